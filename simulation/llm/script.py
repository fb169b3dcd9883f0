"""A script for the scripted model: threads, answers and voices, in one JSON file that anybody can write.

`threads` are small conversations about one thing. Whoever says the first line of a thread is its starter; a beat is
said by the starter or by others, and not before what it follows stands in the room. `intents` say what to answer when
the participant has spoken: the first whose pattern (a regular expression, case ignored) is found and that has a line
left. Named groups of the pattern and `slots` fill the `{braces}` of a line. `small_talk` fills the gaps.
"""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from simulation.errors import GenerationError, InvalidJson
from simulation.strict_json import parse

BUILT_IN = "neighbourhood"

Share = Annotated[float, Field(ge=0, le=1)]
Line = Annotated[str, Field(min_length=1)]


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
    def _compiled(cls, patterns: list[str]) -> list[re.Pattern[str]]:
        return [re.compile(pattern, re.IGNORECASE) for pattern in patterns]


class Voice(_Part):
    """How one agent writes: what is done to every line it says."""

    lower_case: bool = False
    drop_full_stop: bool = False
    full_stop: bool = False
    swap: dict[str, str] = {}
    emoji: tuple[str, ...] = ()
    emoji_share: Share = 0
    openers: tuple[str, ...] = ()
    opener_share: Share = 0

    @cached_property
    def swap_pattern(self) -> re.Pattern[str] | None:
        return re.compile(rf"\b(?:{'|'.join(map(re.escape, self.swap))})\b") if self.swap else None


class Script(_Part):
    title: str = ""
    threads: tuple[Thread, ...] = ()
    intents: tuple[Intent, ...] = ()
    to_members: tuple[Line, ...] = ()
    to_replies: tuple[Line, ...] = ()
    small_talk: tuple[Line, ...] = ()
    slots: dict[str, tuple[Line, ...]] = {}
    voices: tuple[Voice, ...] = ()

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
        return Script.model_validate(parse(path.read_bytes()))
    except OSError as error:
        raise InvalidScript(f"{path}: cannot be read: {error.strerror}") from error
    except InvalidJson as error:
        raise InvalidScript(f"{path}: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidScript(f"{path}: {where}: {first['msg']}") from error
    except re.error as error:
        raise InvalidScript(f"{path}: the pattern {error.pattern!r} is no regular expression: {error}") from error
