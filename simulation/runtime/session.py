"""A session at work: a core, its log, its clock and the models that it asks.

Theory of operation
===================

    inbox ─► core.handle(input, now) ─► events ─► log ─► (kept) ─► transcript ─► observers
                                   └──► effects ─► tasks ─► inbox

Whoever has an input calls `receive`. Inputs are handled one after another, each to its end: there is no await between
`handle` and the append to the log, and the dispatcher of effects never awaits, so nothing can come between a decision
and its record. Asking a model is a task of this session's TaskGroup; its answer is one more input.

A session costs one waiting task and one timer, set to the core's `wake_at`. Nothing ticks while nothing is due.

Invariants
==========

* Written before shown: a record reaches `transcript` and the observers only once the log says that it is kept.
* `transcript` holds what the participant may see, in the order of `position`, one record a position.
* After `session_end` nothing is handled or written, and every task of the session is gone when `run` returns.
* A session that is laid aside can be taken up again from its log: what was asked then is asked again, once.
* While the log cannot be written, nothing is handled: inputs wait, the core is told afterwards for how long.
* An error that nobody foresaw ends this session and no other, and stands in its log (`_survive`: a task boundary).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from traceback import format_exception_only
from typing import Any, Generic, NotRequired, Protocol, TypedDict, TypeVar, Unpack, assert_never

from simulation.codec import Record, encode
from simulation.contract import Core, LoggedEvent, Step
from simulation.effects import Acknowledge, Effect, End, Generate, HideTyping, Refuse, ShowTyping
from simulation.errors import GenerationError, NotAsked
from simulation.events import MessagePosted, ReactionAdded, SessionEnded, SessionStarted
from simulation.generation import Attempt, GenerateRequest, Generation, LanguageModel, checked, status_of
from simulation.inputs import Crashed, GenerationArrived, LogRecovered, Reopened, Tick
from simulation.room import Room
from simulation.runtime.clock import Clock, Timer

logger = logging.getLogger("chatroom.session")


STALLED_AFTER_SECONDS = 2.0
"""How long something may be on its way into the log before a session waits for it."""

Shown = ShowTyping | HideTyping | Acknowledge | Refuse
"""Effects that concern what is on the participant's screen."""


class LogSink(Protocol):
    """Where a session's lines go."""

    def append(self, lines: bytes, kept: Callable[[], None]) -> None:
        """Take whole lines, in order, without waiting; call `kept`, in the same order, once they are safe."""
        ...

    def close(self) -> None:
        """Let go of the log after what was appended is safe."""
        ...


class Observer(Protocol):
    """Whoever watches a session, to show it or to count."""

    def record_kept(self, record: Record) -> None:
        """A record is safe in the log; if the participant may see it, it stands in the transcript."""
        ...

    def told(self, effect: Shown) -> None:
        """Something to be shown that is no fact."""
        ...


CoreType = TypeVar("CoreType", bound=Core)


class Wiring(TypedDict):
    """What a session is given beside its core. `first` is written before anything else; `written` and `elapsed` are the
    number and the moment (seconds) of the records that the log holds already.
    """

    model: LanguageModel
    clock: Clock
    log: LogSink
    first: NotRequired[tuple[LoggedEvent, ...]]
    written: NotRequired[int]
    elapsed: NotRequired[float]


class CoreSession(Generic[CoreType]):
    """What both kinds of session have."""

    def __init__(
        self,
        core: CoreType,
        *,
        model: LanguageModel,
        clock: Clock,
        log: LogSink,
        first: tuple[LoggedEvent, ...] = (),
        written: int = 0,
        elapsed: float = 0.0,
    ) -> None:
        self.session_id = core.session_id
        self.end_reason: str | None = None
        self.core = core
        self._model = model
        self._clock = clock
        self._log = log
        self._first = first
        self._origin = clock.monotonic() - elapsed
        self._seq = written
        self._inbox: deque[Any] = deque()
        self._handling = False
        self._timer: Timer | None = None
        self._wake_at: float | None = None
        self._observers: list[Observer] = []
        self._tasks: asyncio.TaskGroup | None = None
        self._asking: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()
        self._begun = asyncio.Event()
        self._kept_seq = written
        self._kept_waiters: list[asyncio.Future[None]] = []
        self._is_gone = False

    def call_at(self, elapsed: float, callback: Callable[[], None]) -> Timer:
        """Call back at a moment of this session (seconds since its start)."""
        return self._clock.call_at(self._origin + elapsed, callback)

    def observe(self, observer: Observer) -> None:
        self._observers.append(observer)

    def forget(self, observer: Observer) -> None:
        if observer in self._observers:
            self._observers.remove(observer)

    async def run(self) -> None:
        """Run the session to its last record, or until it is laid aside; return when what was written is kept."""
        try:
            self._write(self._first)
            async with asyncio.TaskGroup() as self._tasks:
                self._drain()
                self._begun.set()
                await self._over.wait()
        finally:
            self._begun.set()
            self._disarm()
            self._tasks = None
            self._is_gone = True
            self._log.close()

    async def begun(self) -> None:
        """Wait until the session runs: from then on `receive` does what it says before it returns."""
        await self._begun.wait()

    def receive(self, input: Any) -> None:
        """Take an input. What follows from it is written, though not yet kept, when this returns."""
        if self._is_gone:
            return
        self._inbox.append(input)
        self._drain_if_free()

    def lay_aside(self) -> None:
        """Let `run` return without an end: the session can be taken up again from its log. Whatever is being asked is
        given up.
        """
        self._stop_asking()
        self._over.set()

    # The loop of inputs

    def _drain_if_free(self) -> None:
        if self._tasks is not None and not self._handling:
            self._drain()

    def _drain(self) -> None:
        self._handling = True
        try:
            while self._inbox and self._may_handle():
                self._handle(self._inbox.popleft())
        finally:
            self._handling = False
        self._arm()

    def _may_handle(self) -> bool:
        return True

    def _handle(self, input: Any) -> None:
        try:
            self._do(self.core.handle(input, self._now()))
        except Exception as error:  # noqa: BLE001  task boundary: an error of ours ends this session alone
            self._survive(error, input)

    def _do(self, step: Step) -> None:
        self._write(step.events)
        for effect in step.effects:
            self._dispatch(effect)

    def _survive(self, error: Exception, input: Any) -> None:
        """Log an error of ours and end the session; a core that cannot even end is beyond help, and raises."""
        logger.error("session %s failed", self.session_id[:8], exc_info=error)
        crashed = Crashed(type(error).__name__, _message(error), f"handling {type(input).__name__}")
        self._do(self.core.handle(crashed, self._now()))

    def _now(self) -> float:
        return self._clock.monotonic() - self._origin

    def _arm(self) -> None:
        """Set the timer to the core's next moment."""
        wake_at = self.core.wake_at if self._may_handle() else None
        if wake_at == self._wake_at and self._timer is not None:
            return
        self._disarm()
        self._wake_at = wake_at
        if wake_at is not None:
            self._timer = self._clock.call_at(self._origin + wake_at, self._wake)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake(self) -> None:
        self._timer = None
        self.receive(Tick())

    # The log

    def _write(self, events: tuple[LoggedEvent, ...]) -> None:
        if not events:
            return
        timestamp = self._clock.timestamp()
        self.put([Record(seq, timestamp, event) for seq, event in enumerate(events, start=self._seq + 1)])

    def put(self, records: Sequence[Record]) -> None:
        """Put records into the log that follow those which are in it."""
        lines = b"".join(map(encode, records))  # before they are counted: what cannot be written leaves no gap
        self._seq += len(records)
        self._log.append(lines, lambda: self._kept(records))

    def _kept(self, records: Sequence[Record]) -> None:
        self._kept_seq = records[-1].seq
        for record in records:
            self._take_note(record)
            for observer in tuple(self._observers):
                observer.record_kept(record)
        if self.is_kept:
            waiters, self._kept_waiters = self._kept_waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    @property
    def is_kept(self) -> bool:
        """Whether everything that was written is safe."""
        return self._kept_seq >= self._seq

    @property
    def is_on_record(self) -> bool:
        """Whether its first record is safe: before that, nobody can know of it tomorrow."""
        return self._kept_seq > 0

    async def all_kept(self) -> None:
        """Wait until everything that was written so far is safe."""
        if not self.is_kept:
            waiter = asyncio.get_running_loop().create_future()
            self._kept_waiters.append(waiter)
            await waiter

    def _take_note(self, record: Record) -> None:
        if isinstance(record.event, SessionEnded):
            self.end_reason = record.event.reason
            self._over.set()

    # Effects

    def _dispatch(self, effect: Effect) -> None:
        match effect:
            case Generate():
                self._ask(effect.request)
            case ShowTyping() | HideTyping() | Acknowledge() | Refuse():
                for observer in tuple(self._observers):
                    observer.told(effect)
            case End():
                self._stop_asking()
            case _:
                assert_never(effect)

    def _stop_asking(self) -> None:
        for task in self._asking:
            task.cancel()

    def _ask(self, request: GenerateRequest) -> None:
        assert self._tasks is not None
        task = self._tasks.create_task(self._generate(request), name=f"generate {request.turn_id}")
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _generate(self, request: GenerateRequest) -> None:
        asked_at = self._clock.monotonic()
        generation: Generation | None = None
        error: BaseException | None = None
        attempts: tuple[Attempt, ...] = ()
        try:
            generation = checked(await self._model.generate(request))
            status, attempts = status_of(generation), generation.attempts
        except NotAsked as failure:
            self._arrived(request, str(failure.kind), None, failure.attempts)
            return
        except GenerationError as failure:
            error, status, attempts = failure, str(failure.kind), failure.attempts
        except BaseException as failure:  # task boundary: a provider's surprise is no reason to end a session
            if isinstance(failure, KeyboardInterrupt | SystemExit) or _is_cancelled(failure):
                raise
            logger.error("a provider failed", exc_info=failure)
            error, status = failure, "failed"
        attempt = Attempt(
            provider=self._model.provider,
            requested_model=self._model.model,
            status=status,
            generation=generation,
            error=None if error is None else f"{type(error).__name__}: {_message(error)}",
            parameters=request.parameters,
            latency_ms=round((self._clock.monotonic() - asked_at) * 1000),
        )
        self._arrived(request, status, generation, attempts or (attempt,))

    def _arrived(
        self, request: GenerateRequest, status: str, generation: Generation | None, attempts: tuple[Attempt, ...]
    ) -> None:
        self.receive(
            GenerationArrived(
                turn_id=request.turn_id,
                agent_name=request.scene.agent_name,
                prompt=request.prompt,
                status=status,
                generation=generation,
                attempts=attempts,
            )
        )


class SimulationSession(CoreSession[Room]):
    """A chat session, made by `begin` or `resume`; `transcript` is what the participant may see."""

    def __init__(self, room: Room, **wiring: Unpack[Wiring]) -> None:
        super().__init__(room, **wiring)
        self.transcript: list[Record] = []
        self._unkept_since: float | None = None
        self._stalled_at: float | None = None

    @classmethod
    def begin(cls, start: SessionStarted, *, model: LanguageModel, clock: Clock, log: LogSink) -> SimulationSession:
        return cls(Room(start), model=model, clock=clock, log=log, first=(start,))

    @classmethod
    def resume(
        cls,
        records: Sequence[Record],
        *,
        elapsed: float,
        gap_seconds: float,
        model: LanguageModel,
        clock: Clock,
        log: LogSink,
    ) -> SimulationSession:
        """Take up the session that wrote `records`: it is `elapsed` seconds old now, and `gap_seconds` of the world's
        time have passed since it was last at work.
        """
        room = Room.resume(record.event for record in records)
        session = cls(room, model=model, clock=clock, log=log, written=records[-1].seq, elapsed=elapsed)
        session.transcript += (record for record in records if is_visible(record))
        session.receive(Reopened(gap_seconds))
        return session

    @property
    def start(self) -> SessionStarted:
        return self.core.state.start

    @property
    def elapsed(self) -> float:
        """Seconds since its start, by its own clock."""
        return self._now()

    @property
    def seconds_left(self) -> float:
        return max(0.0, self.start.parameters.duration_seconds - self._now())

    # The log stalls

    @property
    def is_stalled(self) -> bool:
        """Whether the log has not been written for so long that nothing is handled any more until it is."""
        if self._stalled_at is None and self._unkept_since is not None:
            now = self._clock.monotonic()
            if now - self._unkept_since > STALLED_AFTER_SECONDS:
                self._stalled_at = now
                logger.error("session %s waits: its log cannot be written", self.session_id[:8])
        return self._stalled_at is not None

    def put(self, records: Sequence[Record]) -> None:
        if self._unkept_since is None:
            self._unkept_since = self._clock.monotonic()
        super().put(records)

    def _kept(self, records: Sequence[Record]) -> None:
        super()._kept(records)
        if not self.is_kept:
            self._unkept_since = self._clock.monotonic()  # the disk takes something: it is slow, but not out of order
            return
        self._unkept_since = None
        if self._stalled_at is not None and not self._is_gone:
            seconds, self._stalled_at = self._clock.monotonic() - self._stalled_at, None
            logger.info("session %s goes on after %.1f seconds", self.session_id[:8], seconds)
            self._inbox.appendleft(LogRecovered(seconds))
            self._drain_if_free()

    def _may_handle(self) -> bool:
        return not self.is_stalled

    def _take_note(self, record: Record) -> None:
        if is_visible(record):
            self.transcript.append(record)
        super()._take_note(record)


def is_visible(record: Record) -> bool:
    """Whether the participant may see it."""
    return isinstance(record.event, MessagePosted | ReactionAdded)


def _is_cancelled(error: BaseException) -> bool:
    """Whether the running task was told to stop, and not merely something inside it."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def _message(error: BaseException) -> str:
    """What the error says; unlike `str`, this works for one that cannot say it."""
    return format_exception_only(error)[0].partition(": ")[2].removesuffix("\n")
