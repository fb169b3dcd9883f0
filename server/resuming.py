"""A chat session from its log, at the age that it had when its server was stopped."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from experiments.errors import DamagedLog, LogMissing
from experiments.eventlog.checkpoint import Age
from experiments.eventlog.folder import LogFolder, Reopened
from experiments.spending import spent_by
from server.errors import ServerError
from simulation.codec import Record
from simulation.errors import SimulationError
from simulation.events import SessionEnded, SessionStarted
from simulation.llm.registry import Provider
from simulation.parameters import SimulationParameters
from simulation.runtime.clock import Clock
from simulation.runtime.session import LogSink, SimulationSession

logger = logging.getLogger("chatroom.hub")


class CannotResume(ServerError):
    """A session cannot go on; `end_reason` is why it is over."""

    def __init__(self, end_reason: str) -> None:
        self.end_reason = end_reason
        super().__init__(end_reason)


@dataclass(frozen=True, slots=True)
class Resumed:
    """A session that is ready to run, and its log."""

    session: SimulationSession
    log: LogSink


@dataclass(frozen=True, slots=True)
class NotBegun:
    """A log into which nothing whole was ever written: the session begins with it."""

    log: LogSink


def resumed(
    logs: LogFolder,
    session_id: str,
    age: Age | None,
    *,
    clock: Clock,
    wall: Callable[[], datetime],
    provider: Provider,
) -> Resumed | NotBegun:
    """Take a session up from its log; raise CannotResume, or LogError if it may work a little later.

    `age` is what the last server wrote down of it.
    """
    try:
        found = logs.reopen(session_id, clock.timestamp)
    except (DamagedLog, LogMissing) as error:
        logger.error("session %s cannot go on: %s", session_id[:8], error)
        raise CannotResume("error") from error
    if not found.records:
        return NotBegun(found.log)
    try:
        return Resumed(_session(found, age, clock, wall, provider), found.log)
    except BaseException:
        found.log.close()
        raise


def _session(
    found: Reopened, age: Age | None, clock: Clock, wall: Callable[[], datetime], provider: Provider
) -> SimulationSession:
    first, last = found.records[0].event, found.records[-1]
    if isinstance(last.event, SessionEnded):
        raise CannotResume(last.event.reason)
    if not isinstance(first, SessionStarted):
        raise CannotResume("error")
    elapsed, gap_seconds = _age_now(last, age, wall(), first.parameters)
    try:
        return SimulationSession.resume(
            found.records,
            elapsed=elapsed,
            gap_seconds=gap_seconds,
            model=provider.for_session_so_far(first, spent_by(found.records)),
            clock=clock,
            log=found.log,
        )
    except (
        SimulationError,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
    ) as error:  # what no session has written
        logger.error("session %s cannot go on: %s: %s", first.session_id[:8], type(error).__name__, error)
        raise CannotResume("error") from error


def _age_now(last: Record, age: Age | None, now: datetime, parameters: SimulationParameters) -> tuple[float, float]:
    """Return how old a session is now, and for how many seconds of the world's time it was not at work."""
    elapsed, seen_at = last.elapsed, datetime.fromisoformat(last.timestamp)
    if age is not None and age.elapsed > elapsed:
        elapsed, seen_at = age.elapsed, datetime.fromisoformat(age.moment)
    gap_seconds = round(max(0.0, (now - seen_at).total_seconds()), 3)
    return elapsed + (gap_seconds if parameters.after_restart == "wall_clock" else 0.0), gap_seconds
