"""What a core is to the runtime: told inputs and the time, it answers with what happened and what is to be done."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from simulation.effects import Effect
from simulation.events import AnyEvent, ErrorRaised
from simulation.inputs import Crashed
from simulation.workforce.events import WorkforceEvent

LoggedEvent = AnyEvent | WorkforceEvent
"""Whatever can stand in a log."""


class Step(NamedTuple):
    events: tuple[LoggedEvent, ...]
    effects: tuple[Effect, ...]


class Core(Protocol):
    """Pure: no clock, no I/O, no randomness but from its session's seed."""

    @property
    def session_id(self) -> str: ...

    @property
    def wake_at(self) -> float | None:
        """The next moment (seconds since the session's start) at which something comes due; None: nothing does."""
        ...

    def handle(self, input: Any, now: float) -> Step:
        """Take an input at `now`, seconds since the session's start."""
        ...


def error_raised(crashed: Crashed, now: float) -> ErrorRaised:
    """Return the record of an error that nobody foresaw; the session ends after it."""
    return ErrorRaised(
        elapsed=now,
        error_type=crashed.error_type,
        error_message=crashed.error_message,
        context={"where": crashed.context},
    )
