"""How the roles of the scripted workforce name one another, and speak of what a colleague has proposed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, NamedTuple

from simulation.llm.workforce_backlog import plain, release_number
from simulation.llm.workforce_facts import quoted
from simulation.llm.workforce_hearing import Hearing
from simulation.llm.workforce_script import Voice, filled, load_workforce_script
from simulation.workforce.events import AgentAnswered
from simulation.workforce.parameters import Role

QUOTED_CHARACTERS = 240

Kind = Literal["agree", "pick_up", "object"]
KINDS: tuple[Kind, ...] = ("agree", "pick_up", "object")


class Reference(NamedTuple):
    """What a role said about a colleague's proposal: `deed` is the proposal, as it follows on "to"."""

    kind: Kind
    colleague: str
    deed: str


def called(role: Role) -> str:
    """Return what colleagues call a role at the table: a role that the script does not know, by its name."""
    return load_workforce_script().voice(role.role).called or role.name


def deed_of(action: str, source: str = "scripted") -> str:
    """Return a proposal as it follows on "to". Only our own begin with a verb; others are quoted as they are."""
    if source != "scripted":
        return f"act on “{quoted(action, QUOTED_CHARACTERS)}”"
    return action[:1].lower() + action[1:]


def slots_of(role: Role | None, hearing: Hearing, turn_number: int) -> dict[str, str]:
    """Return what the lines of a role may be filled with in this round."""
    name = role.name if role else ""
    capability = f"the {name}'s part"
    if role and role.capabilities:
        capability = plain(role.capabilities[turn_number % len(role.capabilities)])
    slots = dict(hearing.facts.slots) | {
        "subject": hearing.subject,
        "name": name,
        "capability": capability,
        "capability_title": capability,
    }
    number = release_number(hearing, turn_number)
    return slots if number is None else slots | {"n": str(number)}


def lines_of(voice: Voice, kind: Kind) -> Sequence[str]:
    """Return the lines with which a role takes up a colleague's proposal."""
    return {"agree": voice.agree, "pick_up": voice.pick_up, "object": voice.object}[kind]


def reference_in(
    answer: AgentAnswered, said: Collection[AgentAnswered], roles: Mapping[str, Role], slots: Mapping[str, str]
) -> Reference | None:
    """Return what `answer` says about a proposal of somebody who spoke before it; None if it is about none."""
    script = load_workforce_script()
    for other in said:
        if other.agent_name not in answer.directed_to or other.agent_name not in roles or not other.actions:
            continue
        deed = deed_of(other.actions[0], other.source)
        extra = {**slots, "who": called(roles[other.agent_name]), "deed": deed}
        for kind in KINDS:
            for line in lines_of(script.voice(answer.agent_name), kind):
                text = filled(line, extra)
                if text and text in answer.content:
                    return Reference(kind, other.agent_name, deed)
    return None
