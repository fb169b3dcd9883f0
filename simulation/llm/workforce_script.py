"""What the scripted workforce knows and how it talks: `workforce.json`, read once and checked.

`topics` are what the table can hear in a text, the more particular first; `is_event` are those that change a plan
while they hold. `voices` has the lines of the roles that we know, `anyone` those of every other role. `phases` are the
stretches of a launch, `backlogs` the tasks that roles name, `asks` questions among colleagues with what is answered.

Lines have slots in `{braces}`; a line is said only when all of its slots can be filled. What a role proposes (`do`) and
what a task is called begins with a verb and names no first person, so that a colleague can say "to ..." of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from simulation.llm.script import SLOT, Line
from simulation.strict_json import parse

ALWAYS = frozenset({"subject", "scenario", "name", "capability", "capability_title", "title"})
"""The slots (in lower case) that can be filled for every role in every session."""

OPEN = "open"
"""The topic of an input in which nothing is recognised."""

Stage = Literal["early", "middle", "late"]
Lines = Annotated[tuple[Line, ...], Field(min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Topic(_Part):
    """`confidence` is added to that of whoever speaks about it; `is_undisputed`: nobody objects to what is proposed."""

    title: str
    is_event: bool = False
    is_undisputed: bool = False
    confidence: float = 0.0
    patterns: tuple[str, ...] = ()
    risk: Line
    opportunity: Line

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(rf"(?<!\w)(?:{'|'.join(self.patterns) or '(?!)'})(?!\w)", re.IGNORECASE)


class Phase(_Part):
    """A stretch of the work: it begins with `from_round`, once the task `after` is done."""

    name: str
    title: str
    from_round: int
    after: str | None = None
    confidence: float = 0.0
    stage: Stage
    topics: tuple[str, ...]


class Stance(_Part):
    """What a role has to say on a topic."""

    say: Lines
    do: Lines
    risk: Line


class Voice(_Part):
    """How a role talks. `called` is what colleagues call it, empty for its own name. It objects to no other role than
    those in `objects_to`: their wishes cross its own.
    """

    called: str
    quote: Lines
    agree: Lines
    pick_up: Lines
    object: Lines
    objects_to: tuple[str, ...]
    reasons: Lines
    opportunities: Lines
    phases: dict[str, Lines]
    general: Lines
    topics: dict[str, Stance]


class Ask(_Part):
    asker: str
    asked: str
    stage: Stage
    ask: Line
    answer: Line


class PlannedTask(_Part):
    """A task as the script has it. `hours` are working hours of one person; it takes `rounds` rounds, 0 for at once.

    `cut_to` is the share of the hours that is left under half the budget; a topic of `dropped_when` takes the task off
    the list, one of `blocked_by` stops it for a while.
    """

    role: str
    task_name: Line
    description: str
    hours: float
    after: tuple[str, ...] = ()
    priority: int = Field(ge=1, le=10)
    from_round: int = Field(ge=1)
    rounds: int = Field(ge=0)
    cut_to: float = 1.0
    dropped_when: tuple[str, ...] = ()
    blocked_by: tuple[str, ...] = ()


class PlannedFunction(_Part):
    role: str
    function_name: Line
    function_type: Literal["EI", "EO", "EQ", "ILF", "EIF"]
    complexity: Literal["low", "average", "high"]
    description: str
    from_round: int
    dropped_when: tuple[str, ...] = ()


class WorkforceScript(_Part):
    title: str
    is_launch: re.Pattern[str]
    is_software: re.Pattern[str]
    topics: dict[str, Topic]
    phases: tuple[Phase, ...]
    last_round: Lines
    to_question: Lines
    note: Lines
    instruction: Lines
    memory: Lines
    stands: Lines
    again: Lines
    progress: dict[str, Lines]
    origins: dict[str, Lines]
    summary: dict[str, Lines]
    next: dict[str, Lines]
    asks: tuple[Ask, ...]
    backlogs: dict[str, tuple[PlannedTask, ...]]
    functions: tuple[PlannedFunction, ...]
    voices: dict[str, Voice]
    anyone: Voice

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        for role, voice in (*self.voices.items(), ("anyone", self.anyone)):
            if missing := self.topics.keys() ^ voice.topics.keys() | {each.name for each in self.phases} ^ set(
                voice.phases
            ):
                raise ValueError(f"{role}: {sorted(missing)[0]!r} has no lines, or has them for nothing")
            for lines in (*voice.phases.values(), *(stance.say for stance in voice.topics.values())):
                if not any(can_always_be_said(line) for line in lines):
                    raise ValueError(f"{role}: {lines[0]!r} and its like all hang on facts that may not be there")
        for tasks in self.backlogs.values():
            known = {each.task_name: each for each in tasks}
            for each in tasks:
                if lost := [name for name in each.after if name not in known or known[name].dropped_when]:
                    raise ValueError(f"{each.task_name!r} waits for {lost[0]!r}, which may never be done")
        return self

    def voice(self, role: str) -> Voice:
        return self.voices.get(role, self.anyone)


def can_always_be_said(line: str) -> bool:
    return {slot.lower() for slot in SLOT.findall(line)} <= ALWAYS


def filled(line: str, slots: Mapping[str, str]) -> str | None:
    """Return `line` with its slots filled (a slot written with a capital begins with one), None if one cannot be."""
    missing = False

    def filling(match: re.Match[str]) -> str:
        nonlocal missing
        value = slots.get(match[1].lower())
        if value is None:
            missing = True
            return ""
        return capital(value) if match[1][0].isupper() else value

    text = SLOT.sub(filling, line) if "{" in line else line
    return None if missing else text


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


@lru_cache(maxsize=1)
def load_workforce_script() -> WorkforceScript:
    return WorkforceScript.model_validate(parse(Path(__file__).with_name("workforce.json").read_bytes()))
