"""What a core is to the runtime: told inputs and the time, it answers with what happened and what is to be done."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from simulation.effects import Effect
from simulation.events import AnyEvent
from simulation.workforce.events import WorkforceEvent

LoggedEvent = AnyEvent | WorkforceEvent
"""Whatever can stand in a log."""


class Step(NamedTuple):
    events: tuple[LoggedEvent, ...]
    effects: tuple[Effect, ...]


class Core(Protocol):
    """Pure: no clock, no I/O, no randomness but from its session's seed."""

    @property
    def wake_at(self) -> float | None:
        """The next moment (seconds since the session's start) at which something comes due; None: nothing does."""
        ...

    def handle(self, input: Any, now: float) -> Step:
        """Take an input at `now`, seconds since the session's start."""
        ...
