"""State and persona to a request: who the agent is, what it sees, what is asked of it.

In the order of the seed: identity, the researcher's `prompt_template`, the recent messages, the instruction. What
members wrote stands in the user part alone, one line a message, between tags that no message can write. Nothing here
knows the condition, a key, a token or a note of the researcher's, so nothing can give one away.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from string import Formatter

from simulation import casting
from simulation.events import Act, MessagePosted, TurnPlanned
from simulation.generation import ChatMessage, GenerateRequest, Scene
from simulation.parameters import (
    NEUTRAL_PARTICIPANT,
    PARTICIPANT,
    ZERO_WIDTH_JOINER,
    Persona,
    SimulationParameters,
)
from simulation.state import SessionState

TEMPLATE_VARIABLES = ("agent_name", "participant_name", "group_name", "persona")
QUOTED_CHARACTERS = 300


def template_problems(template: str) -> Iterator[str]:
    """Yield what keeps `template` from being filled in."""
    known = ", ".join(f"{{{name}}}" for name in TEMPLATE_VARIABLES)
    advice = f"known are {known}; write {{{{ and }}}} for braces"
    try:
        parts = list(Formatter().parse(template))
    except ValueError:
        yield f"a brace that belongs to nothing; {advice}"
        return
    for _, name, layout, conversion in parts:
        if name is not None and (name not in TEMPLATE_VARIABLES or layout or conversion):
            written = name + (f"!{conversion}" if conversion else "") + (f":{layout}" if layout else "")
            yield f"{{{written}}} is no placeholder; {advice}"


def system_prompts(parameters: SimulationParameters) -> dict[str, str]:
    """Return who each agent is, by name: the same in every request of a session."""
    return {persona.name: _system_prompt(parameters, persona) for persona in parameters.agents}


def _system_prompt(parameters: SimulationParameters, persona: Persona) -> str:
    identity = f'You are {persona.name}, one of the members of the group chat "{parameters.group_name}".'
    is_placed = "{persona}" in parameters.prompt_template or not persona.description
    described = "" if is_placed else f"About {persona.name}: {persona.description}"
    parts = (f"{identity} {_company(parameters, persona)}", described, _filled(parameters, persona))
    return "\n\n".join(part for part in parts if part)


def instructions(parameters: SimulationParameters) -> dict[str, str]:
    """Return what the researcher wrote about each agent, by name: nobody in the room is to hear of it."""
    return {each.name: f"{each.description}\n{_filled(parameters, each)}" for each in parameters.agents}


def _company(parameters: SimulationParameters, persona: Persona) -> str:
    """Say who else is there; a participant without a name is not to be called by what stands in its place."""
    others = [name for name in parameters.called_names if name != persona.name]
    if parameters.participant_name:
        return f"The others are {_listed(others)}."
    unnamed = f"one more, whose messages are marked {NEUTRAL_PARTICIPANT}: that is no name, so do not use it"
    return f"The others are {_listed([*others, unnamed])}."


def _listed(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def _filled(parameters: SimulationParameters, persona: Persona) -> str:
    return parameters.prompt_template.format(
        agent_name=persona.name,
        participant_name=_participant_name(parameters),
        group_name=parameters.group_name,
        persona=persona.description,
    )


def _participant_name(parameters: SimulationParameters) -> str:
    return parameters.participant_name or NEUTRAL_PARTICIPANT


def request_for(state: SessionState, planned: TurnPlanned, system_prompt: str) -> GenerateRequest:
    """Return what the model is asked for a turn; the agent sees what stands in the room now."""
    parameters = state.parameters
    window = parameters.message_window
    visible = tuple(state.messages[-window:]) if window else ()
    mention = planned.target if planned.act == Act.MENTION else None
    towards = state.by_id.get(planned.target or "")
    if towards not in visible:
        towards = None
    transcript = _transcript(parameters, visible) if window else ""
    instruction = _instruction(state, planned, towards)
    return GenerateRequest(
        session_id=state.start.session_id,
        turn_id=planned.turn_id,
        messages=(ChatMessage("system", system_prompt), ChatMessage("user", f"{transcript}{instruction}")),
        scene=Scene(
            agent_name=planned.agent_name,
            members=parameters.agent_names,
            act=planned.act,
            cause=planned.cause,
            visible=visible if window else None,
            towards=towards,
            mention=mention,
        ),
    )


def _transcript(parameters: SimulationParameters, messages: tuple[MessagePosted, ...]) -> str:
    if not messages:
        return "Nobody has written anything in the group yet.\n\n"
    lines = "\n".join(_line(parameters, message) for message in messages)
    return f"The latest messages in the group, the newest at the end:\n\n<messages>\n{lines}\n</messages>\n\n"


def _line(parameters: SimulationParameters, message: MessagePosted, most: int | None = None) -> str:
    sender = _participant_name(parameters) if message.sender == PARTICIPANT else message.sender
    content = f"{'(shares some news) ' if message.card else ''}{_one_line(message.content)}"
    return f"{sender}: {content if most is None or len(content) <= most else f'{content[:most]}…'}"


@lru_cache(maxsize=4096)  # a message is shown again in every prompt while it is in the window
def _one_line(content: str) -> str:
    """Keep a message from writing a line of its own, and from opening or closing what it stands in."""
    if not content.isascii():
        content = "".join(each for each in content if each == ZERO_WIDTH_JOINER or not _is_invisible(each))
    return _TAG.sub("< ", _LINE_ENDS.sub(" / ", content))


def _is_invisible(character: str) -> bool:
    """Whether it could stand in the middle of a word that a model then reads as whole."""
    return character == "\u034f" or unicodedata.category(character) == "Cf"


_LINE_ENDS = re.compile(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")
_TAG = re.compile(r"<(?=\s*/|\s*messages?\b)", re.IGNORECASE)


def _instruction(state: SessionState, planned: TurnPlanned, towards: MessagePosted | None) -> str:
    ask = f"Write the next message that {planned.agent_name} sends to the group.{_aim(state, planned, towards)}"
    return (
        f"{ask}\n\nReply with the text of that message alone: no name in front of it, no quotation marks round it, "
        "nothing said by anybody else."
    )


def _aim(state: SessionState, planned: TurnPlanned, towards: MessagePosted | None) -> str:
    if planned.act == Act.MENTION and planned.target:
        return f" It speaks to @{casting.called(state, planned.target)}; write the name like that, with the @."
    if towards is None:
        return ""
    quotes = ", which will be shown quoted above it" if planned.act == Act.REPLY else ""
    line = _line(state.parameters, towards, QUOTED_CHARACTERS)
    return f" It answers this one{quotes}:\n\n<message>\n{line}\n</message>"
