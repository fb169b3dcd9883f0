"""The sessions of this process: those that run. Those that were started and wait for their participant, and those that
are over, stand in the index (`experiments.store`).

A session begins when its participant's first connection is attached, not when it was started: nobody's time runs while
their browser loads. One connection speaks for a participant, the newest; the one before is told and closed.

A server that stops ends nobody: it lays its sessions aside. The next one resumes, from their logs, those whose
participant comes back, and one after another all others, since they must end some time as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from weakref import WeakValueDictionary

from experiments.errors import LogError, LogExists, StoreError
from experiments.eventlog.checkpoint import Age, Checkpoint
from experiments.eventlog.folder import LogFolder
from experiments.store.sessions import Reserved, Sessions
from experiments.store.study import moment
from experiments.store.tables import LIVE, OVER
from server.allowance import Allowance
from server.connection import Connection
from server.errors import RequestRefused, SocketRefused
from server.protocol import Close
from server.pulse import Pulse
from server.resuming import CannotResume, NotBegun, Resumed, open_log, resumed
from simulation.events import SessionStarted
from simulation.inputs import ParticipantConnected, WallClockJumped
from simulation.llm.registry import Provider
from simulation.runtime.clock import Clock
from simulation.runtime.session import LogSink, SimulationSession

logger = logging.getLogger("chatroom.hub")

RETRY_AFTER_SECONDS = 30
INDEX_RETRY_SECONDS = 2.0
INDEX_SECONDS = 10.0
"""How long whoever asks for what is due waits for the index to know of the end."""
PAUSED_SECONDS = 300
STOP_SECONDS = 5.0
"""How long a stopping server waits for its sessions' last records."""
RESUME_AGAIN_SECONDS = 5.0
RESUMED_AT_ONCE = 8
CHECKPOINT_BEATS = 2
"""Every so many beats of the pulse, how old the sessions are is written down."""


class Hub:
    """`sessions` is the index; `first_record` makes a session's SessionStarted; `models` are those that this server
    leads to, as (provider, model); `capacity` is how many sessions may run at once; `on_beat` is told once a second by
    how many seconds the event loop is late.
    """

    def __init__(
        self,
        *,
        sessions: Sessions,
        first_record: Callable[[Reserved], SessionStarted],
        provider: Provider,
        clock: Clock,
        wall: Callable[[], datetime],
        logs: LogFolder,
        checkpoint: Checkpoint,
        models: frozenset[tuple[str, str]],
        capacity: int,
        on_beat: Callable[[float], None] = lambda late: None,
    ) -> None:
        self.is_stopping = False
        self.capacity = capacity
        self.logs = logs
        self._sessions = sessions
        self._first_record = first_record
        self._provider = provider
        self._clock = clock
        self._wall = wall
        self._checkpoint = checkpoint
        self._models = models
        self._unfinished: set[str] = set()  # those that are to be resumed, until they are
        self._ages: dict[str, Age] = {}  # theirs
        self._live: dict[str, _Live] = {}
        self._doors: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._tasks: asyncio.TaskGroup | None = None
        self._all_gone = asyncio.Event()
        self._on_beat = on_beat
        self._beats = 0
        self._writing: asyncio.Task[None] | None = None
        self._has_ages = bool(checkpoint.ages)

    @property
    def model_problem(self) -> str | None:
        """Why no session should begin, if its agents would not say a word."""
        return self._provider.problem

    @property
    def live_sessions(self) -> int:
        return len(self._live)

    # The server's life

    async def run(self, unfinished: Iterable[str] = ()) -> None:
        """Own the sessions' tasks until `stop`. `unfinished` are the ids of those that are to be resumed."""
        waiting = [*unfinished]
        self._unfinished = {*waiting}
        self._ages = {each: age for each in waiting if (age := self._checkpoint.ages.get(each)) is not None}
        pulse = Pulse(self._clock, self._wall, on_jump=self._clock_jumped, on_beat=self._beat)
        async with asyncio.TaskGroup() as self._tasks:
            beating = self._tasks.create_task(pulse.run(), name="pulse")
            resuming = self._tasks.create_task(self._resume_all(waiting), name="resuming")
            await self._all_gone.wait()
            beating.cancel()
            resuming.cancel()

    async def stop(self) -> None:
        """Lay every session aside, and wait until its log has everything, but not for ever."""
        if self.is_stopping:
            return
        self.is_stopping = True
        ages = self._all_ages()
        for live in tuple(self._live.values()):
            live.session.lay_aside()
        if tasks := [live.task for live in self._live.values()]:
            _, late = await asyncio.wait(tasks, timeout=STOP_SECONDS)
            for task in late:
                task.cancel()
        if self._writing is not None:
            await asyncio.wait([self._writing])
        await self._keep(ages)
        self._all_gone.set()

    async def _resume_all(self, session_ids: Iterable[str]) -> None:
        """Resume the sessions that the last server had, those whose participants come back first before that."""
        waiting = [*session_ids]
        if waiting:
            logger.info("sessions that the last server had, and that go on: %d", len(waiting))
        while waiting:
            left: list[str] = []
            for start in range(0, len(waiting), RESUMED_AT_ONCE):
                some = waiting[start : start + RESUMED_AT_ONCE]
                async with asyncio.TaskGroup() as tasks:
                    tried = {each: tasks.create_task(self._is_done_with(each)) for each in some}
                left += [each for each, is_done_with in tried.items() if not is_done_with.result()]
            waiting = left
            await asyncio.sleep(RESUME_AGAIN_SECONDS if waiting else 0)

    async def _is_done_with(self, session_id: str) -> bool:
        """Resume a session; return whether that need not be tried again."""
        try:
            await self.session(session_id)
        except SocketRefused as refused:
            return refused.close_code != Close.OVERLOADED
        except Exception as error:  # task boundary: one session that cannot be resumed is no other's loss
            logger.error("session %s could not be resumed", session_id[:8], exc_info=error)
        return True

    def _clock_jumped(self, seconds: float) -> None:
        for live in tuple(self._live.values()):
            live.session.receive(WallClockJumped(seconds))

    def _beat(self, late: float) -> None:
        self._on_beat(late)
        self._beats += 1
        is_free = self._writing is None or self._writing.done()
        if self._beats % CHECKPOINT_BEATS == 0 and is_free:
            self._begin_to_keep(self._all_ages())

    def _begin_to_keep(self, ages: dict[str, Age]) -> None:
        if ages or self._has_ages:
            assert self._tasks is not None
            self._writing = self._tasks.create_task(self._keep(ages), name="checkpoint")

    def _all_ages(self) -> dict[str, Age]:
        """How old those are that a power cut could not take away whole: of others nobody has seen anything."""
        now = moment(self._wall())
        sessions = (live.session for live in self._live.values())
        return self._ages | {each.session_id: Age(each.elapsed, now) for each in sessions if each.is_on_record}

    async def _keep(self, ages: dict[str, Age]) -> None:
        self._has_ages = bool(ages)  # an empty one is written once
        try:
            await asyncio.to_thread(self._checkpoint.write, ages)
        except OSError as error:
            logger.error("how old the sessions are cannot be written down (%s)", error.strerror)

    # New sessions

    def refuse_if_closed(self) -> None:
        """Raise RequestRefused if no new session should be started here, now."""
        if self.model_problem is not None:
            raise RequestRefused(
                "study_paused",
                "The chatroom is closed at the moment. Please try again later: your link stays valid.",
                headers={"Retry-After": str(PAUSED_SECONDS)},
            )
        if self.is_stopping or len(self._live) >= self.capacity:
            raise _not_admitting()
        if problem := self.logs.problem:
            logger.error("no session begins: %s", problem)
            raise _not_admitting()

    async def has_just_ended(self, session_id: str) -> bool:
        """Whether a session is over; if so, the index knows it by the time that this returns."""
        live = self._live.get(session_id)
        if live is None or live.session.end_reason is None:
            return False
        try:
            async with asyncio.timeout(INDEX_SECONDS):
                await live.is_gone.wait()
        except TimeoutError:
            raise _not_admitting() from None
        return True

    # Connections

    async def session(self, session_id: str) -> SimulationSession:
        """Return the session that a connection asks for, begun or resumed if need be; raise SocketRefused."""
        if (session := self._running(session_id)) is not None:
            return session
        try:
            async with self._door(session_id):  # two sockets of one participant are to begin one session
                return self._running(session_id) or await self._begin(session_id)
        except (StoreError, LogError) as error:
            logger.error("session %s has to wait: %s", session_id[:8], error)
            raise SocketRefused(Close.OVERLOADED, "not admitting") from error

    def _door(self, session_id: str) -> asyncio.Lock:
        return self._doors.setdefault(session_id, asyncio.Lock())

    def _running(self, session_id: str) -> SimulationSession | None:
        live = self._live.get(session_id)
        if live is not None and live.session.end_reason is not None:
            raise SocketRefused(Close.ENDED, "session over")
        return live.session if live is not None else None

    def allowance(self, session_id: str) -> Allowance:
        return self._live[session_id].allowance

    def attach(self, session_id: str, connection: Connection, *, resumable: bool) -> None:
        """Let `connection`, which is to be run now, speak for the participant, and tell all that follows from that."""
        live = self._live[session_id]
        connection.begin()
        if live.connection is not None:
            live.connection.close(Close.OPENED_ELSEWHERE, "opened elsewhere")
        live.connection = connection
        live.session.receive(ParticipantConnected(connection.number, resumable))

    def next_connection_number(self, session_id: str) -> int:
        live = self._live[session_id]
        live.connections += 1
        return live.connections

    # Beginning and resuming

    async def _begin(self, session_id: str) -> SimulationSession:
        self._refuse_if_stopping()
        if session_id in self._unfinished:  # the index has said so, for all of them at once
            return await self._resume(session_id)
        reserved = await self._sessions.begin(session_id)
        if reserved is None and await self._sessions.is_elsewhere(session_id):
            raise SocketRefused(Close.OVERLOADED, "not admitting")  # until its experiment is served again
        if reserved is None:
            raise SocketRefused(Close.UNKNOWN, "unknown session")
        if reserved.state == OVER:
            raise SocketRefused(Close.ENDED, "session over")
        if reserved.state == LIVE:
            return await self._resume(session_id)
        try:
            return self._begun(self._first_record(reserved))
        except LogExists:  # it has begun, and the index has missed that
            return await self._resume(session_id)
        except SocketRefused:
            await self._sessions.unbegun(session_id)
            raise

    def _refuse_if_stopping(self) -> None:
        if self.is_stopping or self._tasks is None:
            raise SocketRefused(Close.RESTARTING, "restarting")

    def _begun(self, start: SessionStarted) -> SimulationSession:
        self._refuse_if_stopping()  # told so while the index was asked
        if len(self._live) >= self.capacity:
            raise SocketRefused(Close.OVERLOADED, "full")
        try:
            log = self.logs.create(start.session_id)
        except LogExists:
            raise
        except LogError as error:
            logger.error("no log, no session: %s", error)
            raise SocketRefused(Close.OVERLOADED, "not admitting") from error
        return self._new(start, log)

    def _new(self, start: SessionStarted, log: LogSink) -> SimulationSession:
        with contextlib.ExitStack() as if_it_fails:
            if_it_fails.callback(log.close)
            model = self._provider.for_session(start)
            session = SimulationSession.begin(start, model=model, clock=self._clock, log=log)
            if_it_fails.pop_all()
        return self._let_run(session)

    async def _resume(self, session_id: str) -> SimulationSession:
        """Go on with a session that another server has begun. Its log is read in a thread: others go on meanwhile."""
        try:
            found = await asyncio.to_thread(self._resumed, session_id)
        except CannotResume as error:
            await self._sessions.ended(session_id, error.end_reason)
            self._forget_unfinished(session_id)
            raise SocketRefused(Close.ENDED, "session over") from error
        with contextlib.ExitStack() as if_it_fails:
            if_it_fails.callback(found.log.close)
            reserved = await self._sessions.begin(session_id) if isinstance(found, NotBegun) else None
            self._refuse_if_stopping()  # told so while the log was read
            if_it_fails.pop_all()
        self._forget_unfinished(session_id)
        if isinstance(found, Resumed):
            return self._let_run(found.session)
        assert reserved is not None, "whose log is there is in the index"
        return self._new(self._first_record(reserved), found.log)

    def _forget_unfinished(self, session_id: str) -> None:
        self._unfinished.discard(session_id)
        self._ages.pop(session_id, None)

    def _resumed(self, session_id: str) -> Resumed | NotBegun:
        opened = open_log(self.logs, session_id, self._clock.timestamp)
        if not opened.records:
            return NotBegun(opened.log)
        age = self._ages.get(session_id)
        return resumed(opened, age, self._wall(), clock=self._clock, provider=self._provider, models=self._models)

    def _let_run(self, session: SimulationSession) -> SimulationSession:
        assert self._tasks is not None
        session_id = session.session_id
        task = self._tasks.create_task(self._run(session), name=f"session {session_id[:8]}")
        self._live[session_id] = _Live(session, task, self._clock)
        how = "goes on" if session.core.state.position or session.core.state.connections else "started"
        logger.info("session %s %s, %d running", session_id[:8], how, len(self._live))
        return session

    async def _run(self, session: SimulationSession) -> None:
        broke_off = None
        try:
            await session.run()
        except Exception as error:  # task boundary: one session's end is no other's
            broke_off = "error"
            logger.error("session %s broke off", session.session_id[:8], exc_info=error)
        finally:
            await self._let_go(session, session.end_reason or broke_off)
        end_reason = session.end_reason or broke_off
        how = f"over ({end_reason})" if end_reason else "laid aside for the next server"
        logger.info("session %s %s, %d running", session.session_id[:8], how, len(self._live))

    async def _let_go(self, session: SimulationSession, end_reason: str | None) -> None:
        try:
            while end_reason is not None:
                if await self._end_is_kept(session, end_reason):
                    break
                await asyncio.sleep(INDEX_RETRY_SECONDS)
        finally:
            self._live.pop(session.session_id).is_gone.set()

    async def _end_is_kept(self, session: SimulationSession, end_reason: str) -> bool:
        """Tell the index that a session is over; whoever asks for what is due waits until it knows."""
        try:
            await self._sessions.ended(session.session_id, end_reason)
        except StoreError as error:
            logger.error("session %s is over, but the index fails: %s", session.session_id[:8], error)
            return self.is_stopping  # the log says it at the next start
        return True


def _not_admitting() -> RequestRefused:
    return RequestRefused(
        "not_admitting",
        "The chatroom is full at the moment. Please try again in a little while.",
        headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
    )


class _Live:
    __slots__ = ("allowance", "connection", "connections", "is_gone", "session", "task")

    def __init__(self, session: SimulationSession, task: asyncio.Task[None], clock: Clock) -> None:
        self.session = session
        self.task = task
        self.allowance = Allowance(session.start.parameters.limits, clock.monotonic)
        self.connection: Connection | None = None
        self.connections = session.core.state.connections
        self.is_gone = asyncio.Event()
