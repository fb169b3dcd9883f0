"""A workforce session at work: the runtime of every session, and two things of its own.

It is laid aside when nobody asks for a round, and taken up again from its log: a table has no clock that would run on.
And it tells whoever asked for a round when the round is over, once that is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Unpack

from simulation.codec import Record
from simulation.effects import Effect, Refuse
from simulation.errors import SimulationError
from simulation.events import SessionEnded
from simulation.generation import LanguageModel
from simulation.inputs import Reopened
from simulation.runtime.clock import Clock
from simulation.runtime.session import CoreSession, LogSink, Wiring
from simulation.workforce.core import OBJECTIONS, Workforce
from simulation.workforce.events import RoundCompleted, RoundFailed, WorkforceStarted
from simulation.workforce.hooks import Hooks
from simulation.workforce.inputs import RoundRequested


class WorkforceSession(CoreSession[Workforce]):
    """Made by `begin` or `reopen`."""

    def __init__(self, core: Workforce, **wiring: Unpack[Wiring]) -> None:
        super().__init__(core, **wiring)
        self._waiting: list[asyncio.Future[None]] = []
        self._refusal: str | None = None

    @classmethod
    def begin(
        cls, start: WorkforceStarted, *, model: LanguageModel, clock: Clock, log: LogSink, hooks: Sequence[Hooks] = ()
    ) -> WorkforceSession:
        return cls(Workforce(start, hooks), model=model, clock=clock, log=log, first=(start,))

    @classmethod
    def reopen(
        cls,
        records: Sequence[Record],
        gap_seconds: float,
        *,
        model: LanguageModel,
        clock: Clock,
        log: LogSink,
        hooks: Sequence[Hooks] = (),
    ) -> WorkforceSession:
        """Take up the session that wrote `records`, after `gap_seconds` of the world's time."""
        last = records[-1]
        core = Workforce.resume((record.event for record in records), hooks)
        first = core.handle(Reopened(gap_seconds), last.elapsed).events  # now: whoever looks must not see a round go on
        return cls(core, model=model, clock=clock, log=log, first=first, written=last.seq, elapsed=last.elapsed)

    @classmethod
    def branch(
        cls,
        records: Sequence[Record],
        *,
        model: LanguageModel,
        clock: Clock,
        log: LogSink,
        hooks: Sequence[Hooks] = (),
    ) -> WorkforceSession:
        """Begin a branch, whose first `records` (`forking.branch`) are put into its log."""
        last = records[-1]
        core = Workforce.resume((record.event for record in records), hooks)
        session = cls(core, model=model, clock=clock, log=log, elapsed=last.elapsed)
        session.put(records)
        return session

    @property
    def is_busy(self) -> bool:
        """Whether a round is in progress, or something is not kept yet: then it is not to be laid aside."""
        open_round = self.core.state.open
        is_playing = open_round is not None and open_round.is_in_progress
        return is_playing or bool(self._waiting) or not self.is_kept

    def lay_aside(self) -> None:
        for over in self._waiting:
            over.cancel()
        super().lay_aside()

    async def round(self, asked: RoundRequested) -> None:
        """Ask for a round and wait until it is completed or has failed; raise SimulationError if there can be none."""
        if (objection := self.core.objection()) is not None:
            raise SimulationError(OBJECTIONS[objection])
        over = self._waiter()  # before: a log that keeps at once, or an error of a hook, may end it here and now
        self._refusal = None
        self.receive(asked)
        if self._refusal is not None:
            self._waiting.remove(over)
            raise SimulationError(self._refusal)
        await over

    async def round_over(self) -> None:
        """Wait until the round in progress is over, and what became of it is kept."""
        await self._waiter()

    def _waiter(self) -> asyncio.Future[None]:
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(over)
        return over

    def _dispatch(self, effect: Effect) -> None:
        if isinstance(effect, Refuse):
            self._refusal = effect.message
        super()._dispatch(effect)

    def _take_note(self, record: Record) -> None:
        super()._take_note(record)
        if isinstance(record.event, RoundCompleted | RoundFailed | SessionEnded):
            waiting, self._waiting = self._waiting, []
            for over in waiting:
                if not over.done():
                    over.set_result(None)
