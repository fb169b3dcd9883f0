"""The sessions of this process: those that were started and wait for their participant, those that run.

A session begins when its participant's first connection is attached, not when it was started: nobody's time runs while
their browser loads. One connection speaks for a participant, the newest; the one before is told and closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections import OrderedDict
from collections.abc import Callable

from experiments.errors import LogError
from experiments.eventlog.folder import LogFolder
from server.connection import Connection
from server.errors import RequestRefused, SocketRefused
from server.protocol import Close
from simulation.events import SessionStarted
from simulation.inputs import EndRequested, ParticipantConnected
from simulation.llm.registry import Provider
from simulation.runtime.clock import Clock
from simulation.runtime.session import SimulationSession

logger = logging.getLogger("chatroom.hub")

MAX_PENDING = 10_000
MAX_ENDED = 100_000
"""How many ended sessions are remembered as such; older ones are unknown."""
RETRY_AFTER_SECONDS = 30
PAUSED_SECONDS = 300
STOP_SECONDS = 5.0
"""How long a stopping server waits for its sessions' last records."""


class Hub:
    """`first_record` makes a session's SessionStarted; `capacity` is how many sessions may run at once."""

    def __init__(
        self,
        *,
        first_record: Callable[[str, str], SessionStarted],
        provider: Provider,
        clock: Clock,
        logs: LogFolder,
        capacity: int,
    ) -> None:
        self.is_stopping = False
        self.capacity = capacity
        self._first_record = first_record
        self._provider = provider
        self._clock = clock
        self._logs = logs
        self._pending: OrderedDict[str, str] = OrderedDict()
        self._live: dict[str, _Live] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()
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

    def reserve(self) -> str:
        """Return the id of a new session, which begins when its participant connects."""
        if self.model_problem is not None:
            raise RequestRefused(
                "study_paused",
                "The chatroom is closed at the moment. Please try again later: your link stays valid.",
                headers={"Retry-After": str(PAUSED_SECONDS)},
            )
        if self.is_stopping or len(self._live) >= self.capacity:
            raise RequestRefused(
                "not_admitting",
                "The chatroom is full at the moment. Please try again in a little while.",
                headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
            )
        session_id = str(uuid.uuid4())
        self._pending[session_id] = str(uuid.uuid4())
        if len(self._pending) > MAX_PENDING:
            self._pending.popitem(last=False)
        return session_id

    def session(self, session_id: str) -> SimulationSession:
        """Return the session that a connection asks for, begun if need be; raise SocketRefused."""
        live = self._live.get(session_id)
        if live is not None and live.session.end_reason is None:
            return live.session
        if live is not None or session_id in self._ended:
            raise SocketRefused(Close.ENDED, "session over")
        participant_id = self._pending.get(session_id)
        if participant_id is None:
            raise SocketRefused(Close.UNKNOWN, "unknown session")
        return self._begin(session_id, participant_id)

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

    def _begin(self, session_id: str, participant_id: str) -> SimulationSession:
        if self.is_stopping or self._tasks is None:
            raise SocketRefused(Close.RESTARTING, "restarting")
        if len(self._live) >= self.capacity:
            raise SocketRefused(Close.OVERLOADED, "full")
        start = self._first_record(session_id, participant_id)
        try:
            log = self._logs.create(session_id)
        except LogError as error:
            logger.error("no log, no session: %s", error)
            raise SocketRefused(Close.OVERLOADED, "not admitting") from error
        with contextlib.ExitStack() as if_it_fails:
            if_it_fails.callback(log.close)
            session = SimulationSession(start, model=self._provider.for_session(start), clock=self._clock, log=log)
            if_it_fails.pop_all()
        del self._pending[session_id]
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
            del self._live[session.session_id]
            self._ended[session.session_id] = None
            if len(self._ended) > MAX_ENDED:
                self._ended.popitem(last=False)
        logger.info("session %s over (%s), %d running", session.session_id[:8], session.end_reason, len(self._live))


class _Live:
    __slots__ = ("connection", "connections", "session", "task")

    def __init__(self, session: SimulationSession, task: asyncio.Task[None]) -> None:
        self.session = session
        self.task = task
        self.connection: Connection | None = None
        self.connections = 0
