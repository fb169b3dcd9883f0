"""The workforce sessions of this process: begun, taken up from their logs when something is asked of them, laid aside.

A session that rests costs nothing but its log and its line in the index. One that is taken up stays open for the next
request; when too many are, those that were not asked for the longest are laid aside. What is shown of a session is read
from the open one, or else folded from its log.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from weakref import WeakValueDictionary

from experiments.errors import DamagedLog, ErasedLog, LogError
from experiments.eventlog.folder import LogFolder
from experiments.eventlog.reader import read_records
from experiments.spending import spent_by
from experiments.store.simulations import Simulations
from experiments.store.study import moment
from server.errors import RequestRefused
from server.metrics import Metrics
from server.workforce.opened import Look, Opened, Snapshot, row_of
from simulation.codec import Record
from simulation.errors import SimulationError
from simulation.events import SessionResumed
from simulation.generation import LanguageModel
from simulation.llm.budget import Spent
from simulation.runtime.clock import Clock
from simulation.runtime.workforce import WorkforceSession
from simulation.workforce.events import SessionForked, WorkforceStarted
from simulation.workforce.forking import branch
from simulation.workforce.hooks import Hooks
from simulation.workforce.state import rebuild

logger = logging.getLogger("chatroom.workforce")

MOST_OPEN = 32
STOP_SECONDS = 5.0

ModelFor = Callable[[WorkforceStarted, Spent], LanguageModel | None]
"""Who speaks in a session that has spent so much; None: this server is not set up for its model."""


class Desk:
    def __init__(
        self,
        *,
        simulations: Simulations,
        logs: LogFolder,
        model_for: ModelFor,
        clock: Clock,
        now: Callable[[], datetime],
        metrics: Metrics,
        hooks: Sequence[Hooks] = (),
    ) -> None:
        self.simulations = simulations
        self._logs = logs
        self._model_for = model_for
        self._clock = clock
        self._now = now
        self._metrics = metrics
        self._hooks = hooks
        self._open: OrderedDict[str, Opened] = OrderedDict()
        self._doors: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._tasks: asyncio.TaskGroup | None = None
        self._closing = asyncio.Event()

    # The desk's own life

    async def run(self) -> None:
        """Own the sessions' tasks until `stop`."""
        async with asyncio.TaskGroup() as self._tasks:
            await self._closing.wait()

    async def stop(self) -> None:
        """Lay every session aside. A round that is in progress can be resumed from its log."""
        self._closing.set()
        tasks = [each.task for each in self._open.values() if each.task is not None]
        for each in tuple(self._open.values()):
            each.session.lay_aside()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=STOP_SECONDS)
            for task in late:
                task.cancel()

    async def reconcile(self) -> None:
        """Bring the index up to what the logs say, after a server was stopped before it could."""
        for row in await self.simulations.going_on():
            path = self._logs.file(row.session_id)
            with suppress(OSError, LogError):
                if moment(datetime.fromtimestamp(path.stat().st_mtime, self._now().tzinfo)) > row.updated_at:
                    await self._keep(self._folded(row.session_id))

    def moment(self) -> str:
        """The world's time, as logs and tables have it."""
        return moment(self._now())

    # Beginning

    async def begin(self, start: WorkforceStarted) -> Look:
        """Begin a session; its first record is kept when this returns."""
        model = self._model(start, Spent())
        log = self._logs.create(start.session_id)
        session = WorkforceSession.begin(start, model=model, clock=self._clock, log=log, hooks=self._hooks)
        return (await self._listed(session)).look

    async def begin_branch(self, records: Sequence[Record], start: WorkforceStarted, forked: SessionForked) -> None:
        """Begin a branch of the session whose `records` these are."""
        model = self._model(start, Spent())
        first = branch(records, start, forked, self._clock.timestamp())
        log = self._logs.create(start.session_id)
        session = WorkforceSession.branch(first, model=model, clock=self._clock, log=log, hooks=self._hooks)
        await self._listed(session)

    async def _listed(self, session: WorkforceSession) -> Opened:
        """Let a new session run, and list it once its first records are kept. Those of a branch are its parent's, and
        were counted there.
        """
        opened = await self._started(session, watched=False)
        await session.all_kept()
        session.observe(opened)
        await self.simulations.add(row_of(opened.look))
        return opened

    def _model(self, start: WorkforceStarted, spent: Spent) -> LanguageModel:
        if self._closing.is_set() or self._tasks is None:
            raise RequestRefused("not_admitting", "The server is being stopped.")
        model = self._model_for(start, spent)
        if model is None:
            choice = start.parameters.language_model
            raise RequestRefused(
                "model_unavailable",
                f"This session speaks through {choice.provider} ({choice.model}), which this server is not set up for "
                "(LLM_PROVIDER, LLM_MODEL, keys).",
            )
        return model

    async def _started(self, session: WorkforceSession, *, watched: bool = True) -> Opened:
        """Let a session run; whoever looks for it finds it when it does, and not before."""
        assert self._tasks is not None
        opened = Opened(session, self._clock.timestamp(), self._metrics)
        if watched:
            session.observe(opened)
        opened.task = self._tasks.create_task(self._run(opened), name=f"workforce {session.session_id[:8]}")
        await session.begun()
        self._open[session.session_id] = opened
        if self._closing.is_set():
            session.lay_aside()
        self._make_room()
        return opened

    async def _run(self, opened: Opened) -> None:
        session = opened.session
        try:
            await session.run()
        except Exception as error:  # task boundary: one session's end is no other's
            logger.error("workforce session %s broke off", session.session_id[:8], exc_info=error)
        finally:
            if self._open.get(session.session_id) is opened:
                del self._open[session.session_id]

    def _make_room(self) -> None:
        """Lay aside who was not asked for the longest. The newest one is not among them."""
        surplus = len(self._open) - MOST_OPEN
        for session_id, opened in [*self._open.items()][:-1]:
            if surplus > 0 and opened.is_idle:
                del self._open[session_id]
                opened.session.lay_aside()
                surplus -= 1

    # Finding

    async def look(self, session_id: str) -> Look:
        """Return a session as it is; raise RequestRefused if there is none."""
        opened = self._open.get(session_id)
        if opened is not None:
            await opened.session.all_kept()
            return opened.look
        await self._known(session_id)
        return await asyncio.to_thread(self._folded, session_id)

    async def snapshot(self, session_id: str) -> Snapshot:
        """Return what a session's log holds now, and the state that follows from just that."""
        opened = self._open.get(session_id)
        if opened is not None:
            await opened.session.all_kept()
        else:
            await self._known(session_id)
        return await asyncio.to_thread(self._snapshot, session_id)

    def using(self, session_id: str) -> Using:
        """Hold a session open for a block: `async with desk.using(id) as opened`."""
        return Using(self, session_id)

    async def opened(self, session_id: str) -> Opened:
        """Return a session that is open, taken up from its log if need be; raise RequestRefused if there is none."""
        if session_id not in self._open:
            async with self._door(session_id):  # two requests are to open one session
                if session_id not in self._open:
                    await self._known(session_id)
                    await self._reopen(session_id)
        self._open.move_to_end(session_id)
        return self._open[session_id]

    async def _reopen(self, session_id: str) -> None:
        """Take a session up from its log. A long log is read in a thread: chats go on meanwhile."""
        with _telling_of_damage(self._logs.file(session_id)):
            records, log = await asyncio.to_thread(self._logs.reopen, session_id, self._clock.timestamp)
        with ExitStack() as if_it_fails:
            if_it_fails.callback(log.close)
            start = _start_of(self._logs.file(session_id), records)
            model = self._model(start, spent_by(records))
            gap_seconds = self._seconds_since(records[-1].timestamp)
            with _telling_of_damage(self._logs.file(session_id)):
                session = WorkforceSession.reopen(
                    records, gap_seconds, model=model, clock=self._clock, log=log, hooks=self._hooks
                )
            if_it_fails.pop_all()
        await self._started(session)

    def _seconds_since(self, timestamp: str) -> float:
        return max(0.0, round((self._now() - datetime.fromisoformat(timestamp)).total_seconds(), 3))

    async def _known(self, session_id: str) -> None:
        """Raise RequestRefused unless there is such a session. One whose log is there is listed again."""
        row = await self.simulations.find(session_id)
        path = self._logs.file(session_id)
        if row is not None and path.exists():
            return
        if row is None and _begins_a_table(path):
            await self.simulations.add(row_of(await asyncio.to_thread(self._folded, session_id)))
            return
        raise RequestRefused("not_found", "There is no such simulation.")

    def _folded(self, session_id: str) -> Look:
        """Read a session that is not open."""
        records, state = self._snapshot(session_id)
        return Look(state, records[-1].timestamp)

    def _snapshot(self, session_id: str) -> Snapshot:
        """Read a log: nothing is under way in what it says, whatever was when it was read or its server was killed."""
        records = self._read(session_id)
        at_rest = SessionResumed(elapsed=records[-1].elapsed, gap_seconds=0.0)
        with _telling_of_damage(self._logs.file(session_id)):
            state = rebuild([*(record.event for record in records), at_rest])
        return Snapshot(records, state)

    def _read(self, session_id: str) -> list[Record]:
        path = self._logs.file(session_id)
        with _telling_of_damage(path):
            records = [*read_records(path)]
        _start_of(path, records)
        return records

    # Changing

    async def keep(self, opened: Opened) -> None:
        """Take note in the index of how a session stands, once its log has it."""
        await opened.session.all_kept()
        await self._keep(opened.look)

    async def _keep(self, look: Look) -> None:
        await self.simulations.keep(row_of(look))

    async def delete(self, session_id: str) -> None:
        """Delete a session: its log, its line in the index, its what-ifs. Its branches stay."""
        async with self._door(session_id):  # whoever comes meanwhile finds nothing afterwards
            opened = self._open.get(session_id)
            if opened is None:
                await self._known(session_id)
            elif not opened.is_idle:
                raise RequestRefused("round_in_progress", "A round is in progress.")
            else:
                del self._open[session_id]
                opened.session.lay_aside()
                if opened.task is not None:
                    await asyncio.wait([opened.task])
            await self.simulations.remove(session_id)
            self._logs.delete(session_id)

    def clear(self, session_id: str) -> None:
        """Remove what there is of a log that no session has: its server was killed before a first record was whole."""
        self._logs.delete(session_id)

    def _door(self, session_id: str) -> asyncio.Lock:
        return self._doors.setdefault(session_id, asyncio.Lock())


class Using:
    def __init__(self, desk: Desk, session_id: str) -> None:
        self._desk = desk
        self._session_id = session_id
        self._opened: Opened | None = None

    async def __aenter__(self) -> Opened:
        self._opened = await self._desk.opened(self._session_id)
        self._opened.users += 1
        return self._opened

    async def __aexit__(self, *exc: object) -> None:
        assert self._opened is not None
        self._opened.users -= 1


@contextmanager
def _telling_of_damage(path: Path) -> Iterator[None]:
    """What no session has ever written makes no state: that is the log's fault, and no other session's."""
    try:
        yield
    except (OSError, SimulationError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise LogError(path, f"does not hang together: {type(error).__name__}: {error}") from error


def _start_of(path: Path, records: Sequence[Record]) -> WorkforceStarted:
    """Return a log's first record; raise LogError unless the log is a workforce session's, and whole."""
    start = records[0].event if records else None
    if not isinstance(start, WorkforceStarted):
        raise LogError(path, "is no log of a workforce session")
    for number, record in enumerate(records, start=1):
        if record.seq != number:
            raise DamagedLog(path, number, f"record {number} is missing; here is {record.seq}")
    return start


def _begins_a_table(path: Path) -> bool:
    try:
        return path.exists() and _is_of_a_table(next(iter(read_records(path)), None))
    except ErasedLog:
        return False  # a chat's: nobody took part in the others


def _is_of_a_table(record: Record | None) -> bool:
    return record is not None and isinstance(record.event, WorkforceStarted)
