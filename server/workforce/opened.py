"""A workforce session as it is, and one that is open: who uses it, and what is counted of it."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from experiments.store.simulations import SimulationRow
from server.metrics import Metrics
from simulation.codec import Record
from simulation.events import ModelCalled
from simulation.runtime.session import Shown
from simulation.runtime.workforce import WorkforceSession
from simulation.workforce.events import RoundCompleted, RoundFailed
from simulation.workforce.inputs import RoundRequested
from simulation.workforce.state import WorkforceState


class Snapshot(NamedTuple):
    """What a log held at a moment, and the state that follows from it."""

    records: list[Record]
    state: WorkforceState


class Look:
    """A session as it is: its state, and when its newest record was written."""

    def __init__(self, state: WorkforceState, updated_at: str) -> None:
        self.state = state
        self.updated_at = updated_at


class Opened:
    """An open session; observes it for what is counted and shown. `answering` is the round that somebody has asked for
    and has no answer to yet.
    """

    def __init__(self, session: WorkforceSession, updated_at: str, metrics: Metrics) -> None:
        self.session = session
        self.updated_at = updated_at
        self.task: asyncio.Task[None] | None = None
        self.users = 0
        self.answering: RoundRequested | None = None
        self._metrics = metrics

    @property
    def look(self) -> Look:
        return Look(self.session.core.state, self.updated_at)

    @property
    def is_idle(self) -> bool:
        return self.users == 0 and not self.session.is_busy

    def record_kept(self, record: Record) -> None:
        self.updated_at = record.timestamp
        match record.event:
            case ModelCalled() as call:
                self._metrics.workforce_calls.labels(call.status).inc()
            case RoundCompleted():
                self._metrics.workforce_rounds.labels("completed").inc()
            case RoundFailed():
                self._metrics.workforce_rounds.labels("failed").inc()

    def told(self, effect: Shown) -> None:
        """Whether a request can be met is looked at before."""


def row_of(look: Look) -> SimulationRow:
    state = look.state
    start, fork = state.start, state.start.fork
    return SimulationRow(
        session_id=start.session_id,
        name=start.name,
        description=start.description,
        scenario=state.premises.scenario,
        status=state.status,
        current_turn=state.current_turn,
        max_turns=state.max_turns,
        parent=None if fork is None else fork["parent"],
        created_at=start.created_at,
        updated_at=look.updated_at,
    )
