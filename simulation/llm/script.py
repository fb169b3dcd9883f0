"""A script for the scripted model: threads, answers and voices, in one JSON file that anybody can write.

`threads` are small conversations about one thing. Whoever says the first line of a thread is its starter; a beat is
said by the starter or by others, and not before what it follows stands in the room. `intents` say what to answer when
the participant has spoken: the first whose pattern (a regular expression, case ignored) is found and that has a line
left. `to_members` is said to a member by name, `to_replies` and `to_questions` under a quoted message. `small_talk`
fills the gaps. Named groups of a pattern and `slots` fill the `{braces}` of what intents and small talk say.
"""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError, field_validator, model_validator

from simulation.errors import GenerationError, InvalidJson
from simulation.strict_json import UTF8_BOM, parse

BUILT_IN = "neighbourhood"
SHOWN_CHARACTERS = 60

Share = Annotated[float, Field(ge=0, le=1)]
Line = Annotated[str, Field(pattern=r"\S")]

SLOT = re.compile(r"\{(\w+)\}")


class InvalidScript(GenerationError):
    """The script file cannot be used; says where and why."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Beat(_Part):
    """One thing said in a thread, in one of several wordings.

    Beats come in their order, each once the one before it stands in the room. Others may go on while a beat of the
    starter is outstanding, unless it is a `pivot`: what follows would make no sense without it.
    """

    say: tuple[Line, ...] = Field(min_length=1)
    by: Literal["starter", "other"] = "other"
    pivot: bool = False


class Thread(_Part):
    name: str
    keywords: tuple[str, ...] = ()
    beats: tuple[Beat, ...] = Field(min_length=1)
    answers: tuple[Line, ...] = ()


class Intent(_Part):
    name: str
    patterns: tuple[re.Pattern[str], ...] = ()
    say: tuple[Line, ...] = ()
    thread_answers: bool = False

    @field_validator("patterns", mode="before")
    @classmethod
    def _compile(cls, patterns: Any) -> list[re.Pattern[str]]:
        if not isinstance(patterns, list):
            raise ValueError("a list of regular expressions is needed")
        return [_compiled(pattern) for pattern in patterns]

    @property
    def groups(self) -> set[str]:
        """What the patterns name in a text."""
        return {name for pattern in self.patterns for name in pattern.groupindex}


def _compiled(pattern: object) -> re.Pattern[str]:
    try:
        return re.compile(pattern, re.IGNORECASE)  # type: ignore[call-overload, no-any-return]  # TypeError says so
    except (re.error, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{_shown(pattern)} is no regular expression: {error}") from None


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


class Exchange(_Part):
    """Something that one member asks of another, and what that one may answer, the next time it has the word."""

    say: Line
    answers: tuple[Line, ...] = ()


class Voice(_Part):
    """How one agent writes: what is done to every line it says."""

    lower_case: StrictBool = False
    drop_full_stop: StrictBool = False
    full_stop: StrictBool = False
    swap: dict[str, Line] = {}
    emoji: tuple[Line, ...] = ()
    emoji_share: Share = 0

    @cached_property
    def swap_pattern(self) -> re.Pattern[str] | None:
        return re.compile(rf"\b(?:{'|'.join(map(re.escape, self.swap))})\b") if self.swap else None


class Script(_Part):
    title: str = ""
    threads: tuple[Thread, ...] = ()
    intents: tuple[Intent, ...] = ()
    to_members: tuple[Exchange, ...] = ()
    to_replies: tuple[Line, ...] = ()
    to_questions: tuple[Line, ...] = ()
    small_talk: tuple[Line, ...] = ()
    slots: dict[str, Annotated[tuple[Line, ...], Field(min_length=1)]] = {}
    voices: tuple[Voice, ...] = ()

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        names = [thread.name for thread in self.threads]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"threads: {_shown(sorted(twice)[0])} is there twice")
        for lines, groups in ((self.small_talk, set()), *((intent.say, intent.groups) for intent in self.intents)):
            for line in lines:
                if unknown := set(SLOT.findall(line)) - groups - self.slots.keys():
                    raise ValueError(f"{_shown(line)}: nothing fills {{{sorted(unknown)[0]}}}; slots does not have it")
        if not (self.threads or self.small_talk or any(intent.say for intent in self.intents)):
            raise ValueError("there is nothing to say: threads, small_talk and intents are empty")
        return self

    def threads_about(self, text: str) -> list[Thread]:
        """Return the threads one of whose keywords stands in `text`, case ignored."""
        found = {match[0] for match in self._keyword_pattern.finditer(text.casefold())}
        return [thread for thread in self.threads if not found.isdisjoint(self._keywords[thread.name])]

    @cached_property
    def _keywords(self) -> dict[str, frozenset[str]]:
        return {thread.name: frozenset(map(str.casefold, thread.keywords)) for thread in self.threads}

    @cached_property
    def _keyword_pattern(self) -> re.Pattern[str]:
        longest_first = sorted(frozenset().union(*self._keywords.values()), key=len, reverse=True)
        return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first)) or '(?!)'})(?!\w)")


def load_script(path: Path | None = None) -> Script:
    """Return the script in `path`, or the one that comes with us; raise InvalidScript."""
    path = path or Path(__file__).with_name(f"{BUILT_IN}.json")
    try:
        return Script.model_validate(parse(path.read_bytes().removeprefix(UTF8_BOM)))
    except OSError as error:
        raise InvalidScript(f"{path}: cannot be read: {error.strerror}") from error
    except InvalidJson as error:
        raise InvalidScript(f"{path}: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise InvalidScript(": ".join(part for part in (str(path), where, message) if part)) from error
