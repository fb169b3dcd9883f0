"""Everything that simulation raises on purpose.

SimulationError
├── InvalidParameters      the settings contradict themselves (whoever wrote them can mend it)
├── InvalidJson            bytes that are not the JSON we accept (whoever sent them can mend it)
│   ├── TooLarge           more bytes than the entrance takes
│   └── TooDeep            nested without sense; says where
├── InvalidRecord          a line that is no record of an event log (the file is damaged or foreign)
└── GenerationError        a provider did not answer (its fault, or that of the line to it)
    ├── NotAsked           no call was made: the budget is spent, the circuit is open, the turn's time is over
    └── UnknownProvider    the settings name a provider that does not exist here, or not with what they say
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from simulation.generation import Attempt


class SimulationError(Exception):
    """Root of this package's errors."""


class ParameterProblem(NamedTuple):
    """One thing that is wrong with the parameters: the key as the settings file spells it, and why."""

    key: str
    value: object
    allowed: str


class InvalidParameters(SimulationError, ValueError):
    """Carries every problem found, not only the first."""

    def __init__(self, problems: Sequence[ParameterProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{p.key}: {p.value!r}: {p.allowed}" for p in self.problems))


class InvalidJson(SimulationError, ValueError):
    """`reason` says what is wrong; `line` and `column` (from 1) say where, if that is known."""

    def __init__(self, reason: str, line: int | None = None, column: int | None = None) -> None:
        self.reason = reason
        self.line = line
        self.column = column
        super().__init__(reason if line is None else f"{reason} (line {line}, column {column})")


class TooLarge(InvalidJson):
    """More bytes than this entrance takes."""


class TooDeep(InvalidJson):
    """More brackets within each other than we follow. `path` are the first of the keys and indexes that lead there."""

    def __init__(self, reason: str, path: Sequence[str | int] = ()) -> None:
        self.path = tuple(path)
        super().__init__(reason)


class InvalidRecord(SimulationError, ValueError):
    """A line of an event log that cannot be read as a record."""


class GenerationError(SimulationError):
    """A model was asked and gave no answer, or was not asked because there was no point.

    `kind` is the `status` that goes into the log. `retry_after` is the wait in seconds that the provider asked for,
    `http_status` what its server said, if it came so far. `attempts` are the calls that were made for it.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: str = "failed",
        retry_after: float | None = None,
        http_status: int | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry_after = retry_after
        self.http_status = http_status
        self.request_id = request_id
        self.attempts: tuple[Attempt, ...] = ()


class NotAsked(GenerationError):
    """No call was made, since it would have been in vain: nothing was sent, and nothing is to be logged as a call."""


class UnknownProvider(GenerationError):
    """The name is in no registry."""
