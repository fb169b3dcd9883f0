"""A chat session from its log, at the age that it had when its server was stopped."""

from __future__ import annotations

import logging
from collections.abc import Callable, Container
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime

from experiments.errors import DamagedLog, ErasedLog, LogMissing
from experiments.eventlog.checkpoint import Age
from experiments.eventlog.folder import LogFolder, Reopened
from experiments.spending import spent_by
from server.errors import ServerError
from simulation.codec import Record
from simulation.errors import NotAsked, SimulationError
from simulation.events import SessionEnded, SessionStarted
from simulation.generation import GenerateRequest, Generation, LanguageModel
from simulation.inputs import EndRequested
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


class Nobody:
    """Speaks for the agents of a session whose model this server does not lead to: not at all."""

    provider = model = "none"

    async def generate(self, request: GenerateRequest) -> Generation:
        raise NotAsked("no model", kind="failed")


def open_log(logs: LogFolder, session_id: str, timestamp: Callable[[], str]) -> Reopened:
    """Open a session's log; raise CannotResume, or LogError if that may work a little later."""
    try:
        return logs.reopen(session_id, timestamp)
    except (DamagedLog, ErasedLog, LogMissing) as error:
        logger.error("session %s cannot go on: %s (chatroom verify names what was done to it)", session_id[:8], error)
        raise CannotResume("error") from error


def resumed(
    opened: Reopened,
    age: Age | None,
    now: datetime,
    *,
    clock: Clock,
    provider: Provider,
    models: Container[tuple[str, str]],
) -> Resumed:
    """Take a session up from its log, which has records; raise CannotResume.

    `age` is what the last server wrote down of it, `now` the world's time, `models` are those that there are.
    """
    with ExitStack() as if_it_fails:
        if_it_fails.callback(opened.log.close)
        start = _start_of(opened)
        choice = start.parameters.language_model
        has_model = (choice.provider, choice.model) in models
        model = provider.for_session_so_far(start, spent_by(opened.records)) if has_model else Nobody()
        session = _session(opened, start, _age_now(opened.records[-1], age, now, start.parameters), model, clock)
        if_it_fails.pop_all()
    if not has_model:
        logger.error("session %s ends: no way leads to %s: %s", start.session_id[:8], choice.provider, choice.model)
        session.receive(EndRequested("technical"))
    return Resumed(session, opened.log)


def _start_of(opened: Reopened) -> SessionStarted:
    """Return how a session began that is not over; raise CannotResume."""
    first, last = opened.records[0].event, opened.records[-1].event
    if isinstance(last, SessionEnded):
        raise CannotResume(last.reason)
    if not isinstance(first, SessionStarted):
        raise CannotResume("error")
    return first


def _session(
    opened: Reopened, start: SessionStarted, ages: tuple[float, float], model: LanguageModel, clock: Clock
) -> SimulationSession:
    elapsed, gap_seconds = ages
    try:
        return SimulationSession.resume(
            opened.records, elapsed=elapsed, gap_seconds=gap_seconds, model=model, clock=clock, log=opened.log
        )
    except (SimulationError, LookupError, TypeError, ValueError, AttributeError) as error:  # no session wrote that
        why = f"its log does not hang together: {type(error).__name__}: {error}"
        logger.error("session %s cannot go on: %s", start.session_id[:8], why)
        raise CannotResume("error") from error


def _age_now(last: Record, age: Age | None, now: datetime, parameters: SimulationParameters) -> tuple[float, float]:
    """Return how old a session is now, and for how many seconds of the world's time it was not at work."""
    elapsed, seen_at = last.elapsed, datetime.fromisoformat(last.timestamp)
    if age is not None and elapsed < age.elapsed <= parameters.duration_seconds:  # nobody gets older than that
        elapsed, seen_at = age.elapsed, datetime.fromisoformat(age.moment)
    gap_seconds = round(max(0.0, (now - seen_at).total_seconds()), 3)
    return elapsed + (gap_seconds if parameters.after_restart == "wall_clock" else 0.0), gap_seconds
