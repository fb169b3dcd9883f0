"""State and persona to a request: who the agent is, what it sees, what is asked of it.

In the order of the seed: identity, the researcher's `prompt_template`, the recent messages, the instruction. What
members wrote stands in the user part alone, one line a message, between markers that no message can write.
"""

from __future__ import annotations

from collections.abc import Iterator
from string import Formatter

from simulation import casting
from simulation.events import Act, MessagePosted, TurnPlanned
from simulation.generation import ChatMessage, GenerateRequest, Scene
from simulation.parameters import NEUTRAL_PARTICIPANT, PARTICIPANT, Persona, SimulationParameters
from simulation.state import SessionState

TEMPLATE_VARIABLES = ("agent_name", "participant_name", "group_name", "persona")
QUOTED_CHARACTERS = 120


def template_problems(template: str) -> Iterator[str]:
    """Yield what keeps `template` from being filled in."""
    known = ", ".join(f"{{{name}}}" for name in TEMPLATE_VARIABLES)
    advice = f"known are {known}; write {{{{ and }}}} for braces"
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        yield f"a brace that belongs to nothing ({error}); {advice}"
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
    return "\n\n".join(part for part in (identity, persona.description, _filled(parameters, persona)) if part)


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
    user = f"{_transcript(parameters, visible)}\n\n{_instruction(state, planned, towards)}"
    return GenerateRequest(
        session_id=state.start.session_id,
        turn_id=planned.turn_id,
        messages=(ChatMessage("system", system_prompt), ChatMessage("user", user)),
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
        return "Nothing has been written that you can see."
    guest = _participant_name(parameters)
    lines = [f"{guest if m.sender == PARTICIPANT else m.sender}: {_one_line(m.content)}" for m in messages]
    return "\n".join(("<messages>", *lines, "</messages>"))


def _one_line(content: str) -> str:
    """Keep a message from writing a line of its own, or closing the transcript."""
    if "\n" in content or "</" in content:
        return " / ".join(content.split("\n")).replace("</", "< /")
    return content


def _instruction(state: SessionState, planned: TurnPlanned, towards: MessagePosted | None) -> str:
    ask = f"Write the next message that {planned.agent_name} sends to the group.{_aim(state, planned, towards)}"
    return f"{ask}\nWrite the text of the message alone: no name in front, no quotation marks, nothing by others."


def _aim(state: SessionState, planned: TurnPlanned, towards: MessagePosted | None) -> str:
    if planned.act == Act.MENTION and planned.target:
        return f" Speak to @{casting.called(state, planned.target)}, with the @ in front of the name."
    if towards is None:
        return ""
    quoted = _one_line(towards.content)
    if len(quoted) > QUOTED_CHARACTERS:
        quoted = f"{quoted[:QUOTED_CHARACTERS]}…"
    parameters = state.parameters
    sender = _participant_name(parameters) if towards.sender == PARTICIPANT else towards.sender
    return f" It answers what {sender} wrote: {quoted}"
