"""Who acts, how, and towards what.

A weighted draw among the agents that are free: chattiness x (1 + attention), where attention is what recent messages
gave an agent by mentioning or quoting it, decaying with every message since. Nobody speaks twice running while another
can. How: a plain message mostly, sometimes a quoted reply, a mention or an emoji, by the weights of the settings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from random import Random
from typing import NamedTuple

from simulation.events import Act, Cause, MessagePosted
from simulation.parameters import PARTICIPANT
from simulation.state import SessionState

ATTENTION_DECAY = 0.8
"""What is left of a mention's attention one message later."""
ATTENTION_SPAN_MESSAGES = 12
ATTENTION_FLOOR = 0.05
CHATTINESS_FLOOR = 0.05
TARGET_SPAN_MESSAGES = 6
TARGET_DECAY = 0.6
"""How much less likely each older message is to be quoted or reacted to."""
EMOJI = ("👍", "😂", "❤️", "😮", "🙏", "😢")
QUESTION_MARKS = "?؟？"
EMOJI_WEIGHTS = (34, 26, 20, 9, 7, 4)


class Casting(NamedTuple):
    """`target` is a message_id, a member's name for a mention, or None (see Act)."""

    agent_name: str
    act: Act
    target: str | None = None
    emoji: str | None = None


def free_agents(state: SessionState) -> list[str]:
    busy = state.busy()
    return [name for name in state.parameters.agent_names if name not in busy]


def draw_agent(state: SessionState, free: Sequence[str], random: Random) -> str:
    """Return who of `free` (not empty) takes the turn."""
    last = state.messages[-1].sender if state.messages else None
    candidates = [name for name in free if name != last] or free
    if len(candidates) == 1:
        return candidates[0]
    attention = _attention(state)
    chattiness = state.parameters.chattiness
    weights = [
        max(chattiness[name], CHATTINESS_FLOOR) * (1 + attention.get(name, ATTENTION_FLOOR)) for name in candidates
    ]
    return random.choices(candidates, weights)[0]


def _attention(state: SessionState) -> dict[str, float]:
    attention: dict[str, float] = {}
    weight = 1.0
    for message in reversed(state.messages[-ATTENTION_SPAN_MESSAGES:]):
        if message.mentions or message.reply_to:
            for name in addressed(state, message):
                attention[name] = attention.get(name, ATTENTION_FLOOR) + weight
        weight *= ATTENTION_DECAY
    return attention


def addressed(state: SessionState, message: MessagePosted) -> tuple[str, ...]:
    """Return the members that a message speaks to: mentioned first, then quoted."""
    quoted = state.by_id.get(message.reply_to or "")
    return message.mentions if quoted is None else (*message.mentions, quoted.sender)


def cast_background(state: SessionState, agent_name: str, random: Random) -> Casting:
    """Return what `agent_name` does with a post of its own accord."""
    weights = state.parameters.act_weights
    act = random.choices(
        (Act.MESSAGE, Act.REPLY, Act.MENTION, Act.REACTION),
        (weights.message, weights.reply, weights.mention, weights.reaction),
    )[0]
    match act:
        case Act.REPLY:
            target = _draw_target(_quotable(state, agent_name), random)
            return Casting(agent_name, act, target) if target else Casting(agent_name, Act.MESSAGE)
        case Act.REACTION:
            target = _draw_target(_reactable(state, agent_name), random)
            return Casting(agent_name, act, target, _emoji(random)) if target else Casting(agent_name, Act.MESSAGE)
        case Act.MENTION:
            member = _draw_member(state, agent_name, random)
            return Casting(agent_name, act, member) if member else Casting(agent_name, Act.MESSAGE)
        case Act.MESSAGE:
            return Casting(agent_name, act)


def cast_reaction(state: SessionState, agent_name: str, target: str | None, random: Random) -> Casting:
    """Return how `agent_name` answers the participant's message `target`: always in words, sometimes quoting it."""
    weights = state.parameters.act_weights
    quotes = random.random() * (weights.message + weights.reply) < weights.reply
    return Casting(agent_name, Act.REPLY if quotes and target else Act.MESSAGE, target)


def cast(state: SessionState, agent_name: str, cause: str, target: str | None, random: Random) -> Casting:
    if cause == Cause.REACTION:
        return cast_reaction(state, agent_name, target, random)
    return cast_background(state, agent_name, random)


def _emoji(random: Random) -> str:
    return random.choices(EMOJI, EMOJI_WEIGHTS)[0]


def _quotable(state: SessionState, agent_name: str) -> Iterator[MessagePosted]:
    recent = state.messages[-TARGET_SPAN_MESSAGES:]
    return (message for message in reversed(recent) if message.sender != agent_name)


def _reactable(state: SessionState, agent_name: str) -> Iterator[MessagePosted]:
    given = state.reactions
    return (m for m in _quotable(state, agent_name) if not given.get((m.message_id, agent_name)) and not _asks(m))


def _asks(message: MessagePosted) -> bool:
    """A question wants words: an emoji under it reads as mockery."""
    return any(mark in message.content for mark in QUESTION_MARKS)


def _draw_target(messages: Iterable[MessagePosted], random: Random) -> str | None:
    candidates = [message.message_id for message in messages]
    if not candidates:
        return None
    return random.choices(candidates, [TARGET_DECAY**age for age in range(len(candidates))])[0]


def _draw_member(state: SessionState, agent_name: str, random: Random) -> str | None:
    """Return whom to mention: another agent, or the participant if the settings give them a name to be called by."""
    others = [name for name in state.parameters.agent_names if name != agent_name]
    spoke = {message.sender for message in state.messages[-TARGET_SPAN_MESSAGES:]}
    if state.parameters.participant_name and PARTICIPANT in spoke:
        others.append(PARTICIPANT)
    return random.choices(others, [3 if name in spoke else 1 for name in others])[0] if others else None


def called(state: SessionState, member: str) -> str:
    """Return the name that members use for `member`."""
    return (state.parameters.participant_name or "") if member == PARTICIPANT else member


def mentions_in(content: str, state: SessionState) -> tuple[str, ...]:
    """Return the members named in `content`, in order: `@name` in any case, or the bare name as it is written."""
    parameters = state.parameters
    if "@" not in content and not any(name in content for name in parameters.called_names):
        return ()
    names, pattern = _name_pattern(parameters.called_names)
    # Two groups a name (with and without @), so which group matched says who was named, whatever the spelling.
    found = [names[(match.lastindex or 1) % len(names)] for match in pattern.finditer(content)]
    return tuple(dict.fromkeys(PARTICIPANT if name == parameters.participant_name else name for name in found))


@lru_cache(maxsize=256)
def _name_pattern(names: tuple[str, ...]) -> tuple[tuple[str, ...], re.Pattern[str]]:
    """Longer names come first, so that "Anna" is not read as "Ann"; group k is of `names[k % len(names)]`."""
    ordered = sorted(names, key=len, reverse=True)
    groups = "|".join(f"({re.escape(name)})" for name in ordered)
    pattern = re.compile(rf"@(?i:{groups})(?!\w)|(?<!\w)(?:{groups})(?!\w)")
    return (ordered[-1], *ordered[:-1]), pattern
