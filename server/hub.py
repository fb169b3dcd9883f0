"""The sessions of this process: those that run. Those that were started and wait for their participant, and those that
are over, stand in the index (`experiments.store`).

A session begins when its participant's first connection is attached, not when it was started: nobody's time runs while
their browser loads. One connection speaks for a participant, the newest; the one before is told and closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from experiments.errors import LogError, LogExists, StoreError
from experiments.eventlog.folder import LogFolder
from experiments.store.reconciling import end_reason_in
from experiments.store.sessions import Reserved, Sessions
from experiments.store.tables import OVER
from server.connection import Connection
from server.errors import RequestRefused, SocketRefused
from server.protocol import Close
from simulation.events import SessionStarted
from simulation.inputs import EndRequested, ParticipantConnected
from simulation.llm.registry import Provider
from simulation.runtime.clock import Clock
from simulation.runtime.session import SimulationSession

logger = logging.getLogger("chatroom.hub")

RETRY_AFTER_SECONDS = 30
INDEX_RETRY_SECONDS = 2.0
INDEX_SECONDS = 10.0
"""How long whoever asks for what is due waits for the index to know of the end."""
PAUSED_SECONDS = 300
STOP_SECONDS = 5.0
"""How long a stopping server waits for its sessions' last records."""


class Hub:
    """`sessions` is the index; `first_record` makes a session's SessionStarted; `capacity` is how many may run at
    once.
    """

    def __init__(
        self,
        *,
        sessions: Sessions,
        first_record: Callable[[Reserved], SessionStarted],
        provider: Provider,
        clock: Clock,
        logs: LogFolder,
        capacity: int,
    ) -> None:
        self.is_stopping = False
        self.capacity = capacity
        self._sessions = sessions
        self._first_record = first_record
        self._provider = provider
        self._clock = clock
        self._logs = logs
        self._live: dict[str, _Live] = {}
        self._door = asyncio.Lock()
        self._tasks: asyncio.TaskGroup | None = None
        self._all_gone = asyncio.Event()

    @property
    def model_problem(self) -> str | None:
        """Why no session should begin, if its agents would not say a word."""
        return self._provider.problem

    @property
    def live_sessions(self) -> int:
        return len(self._live)

    async def run(self) -> None:
        """Own the sessions' tasks until `stop`."""
        async with asyncio.TaskGroup() as self._tasks:
            await self._all_gone.wait()

    async def stop(self) -> None:
        """End every session, and wait until their logs say so, but not for ever."""
        self.is_stopping = True
        for live in tuple(self._live.values()):
            live.session.receive(EndRequested("server_shutdown"))
        tasks = [live.task for live in self._live.values()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=STOP_SECONDS)
            for task in late:
                task.cancel()
        self._all_gone.set()

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

    async def session(self, session_id: str) -> SimulationSession:
        """Return the session that a connection asks for, begun if need be; raise SocketRefused."""
        if (session := self._running(session_id)) is not None:
            return session
        try:
            async with self._door:  # two sockets of one participant are to begin one session
                return self._running(session_id) or await self._begin(session_id)
        except StoreError as error:
            logger.error("the index of sessions fails: %s", error)
            raise SocketRefused(Close.OVERLOADED, "not admitting") from error

    def _running(self, session_id: str) -> SimulationSession | None:
        live = self._live.get(session_id)
        if live is not None and live.session.end_reason is not None:
            raise SocketRefused(Close.ENDED, "session over")
        return live.session if live is not None else None

    def attach(self, session_id: str, connection: Connection, *, resumable: bool) -> None:
        """Let `connection` speak for the participant from now on."""
        live = self._live[session_id]
        if live.connection is not None:
            live.connection.close(Close.OPENED_ELSEWHERE, "opened elsewhere")
        live.connection = connection
        live.session.receive(ParticipantConnected(connection.number, resumable))

    def next_connection_number(self, session_id: str) -> int:
        live = self._live[session_id]
        live.connections += 1
        return live.connections

    async def _begin(self, session_id: str) -> SimulationSession:
        reserved = await self._sessions.begin(session_id)
        if reserved is None:
            raise SocketRefused(Close.UNKNOWN, "unknown session")
        if reserved.state == OVER:
            raise SocketRefused(Close.ENDED, "session over")
        try:
            return self._begun(self._first_record(reserved))
        except LogExists:  # it has been, and the index has missed its end
            await self._sessions.ended(session_id, end_reason_in(self._logs, session_id))
            raise SocketRefused(Close.ENDED, "session over") from None
        except SocketRefused:
            await self._sessions.unbegun(session_id)
            raise

    def _begun(self, start: SessionStarted) -> SimulationSession:
        session_id = start.session_id
        if self.is_stopping or self._tasks is None:
            raise SocketRefused(Close.RESTARTING, "restarting")
        if len(self._live) >= self.capacity:
            raise SocketRefused(Close.OVERLOADED, "full")
        try:
            log = self._logs.create(session_id)
        except LogExists:
            raise
        except LogError as error:
            logger.error("no log, no session: %s", error)
            raise SocketRefused(Close.OVERLOADED, "not admitting") from error
        with contextlib.ExitStack() as if_it_fails:
            if_it_fails.callback(log.close)
            model = self._provider.for_session(start)
            session = SimulationSession.begin(start, model=model, clock=self._clock, log=log)
            if_it_fails.pop_all()
        task = self._tasks.create_task(self._run(session), name=f"session {session_id[:8]}")
        self._live[session_id] = _Live(session, task)
        logger.info("session %s started, %d running", session_id[:8], len(self._live))
        return session

    async def _run(self, session: SimulationSession) -> None:
        try:
            await session.run()
        except Exception as error:  # task boundary: one session's end is no other's
            logger.error("session %s broke off", session.session_id[:8], exc_info=error)
        finally:
            await self._let_go(session)
        logger.info("session %s over (%s), %d running", session.session_id[:8], session.end_reason, len(self._live))

    async def _let_go(self, session: SimulationSession) -> None:
        try:
            while True:
                if await self._end_is_kept(session):
                    break
                await asyncio.sleep(INDEX_RETRY_SECONDS)
        finally:
            self._live.pop(session.session_id).is_gone.set()

    async def _end_is_kept(self, session: SimulationSession) -> bool:
        """Tell the index that a session is over; whoever asks for what is due waits until it knows."""
        try:
            await self._sessions.ended(session.session_id, session.end_reason or "error")
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
    __slots__ = ("connection", "connections", "is_gone", "session", "task")

    def __init__(self, session: SimulationSession, task: asyncio.Task[None]) -> None:
        self.session = session
        self.task = task
        self.connection: Connection | None = None
        self.connections = 0
        self.is_gone = asyncio.Event()
