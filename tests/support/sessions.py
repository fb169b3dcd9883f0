"""Sessions at work in virtual time, with models that misbehave as arranged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from chatrooms import started

from simulation.codec import Record, decode
from simulation.events import SessionStarted
from simulation.generation import GenerateRequest, Generation
from simulation.runtime.clock import VirtualClock
from simulation.runtime.session import Shown, SimulationSession


class ListLog:
    """A log in memory. Lines are kept at once, or when the test says so."""

    def __init__(self, *, holds: bool = False) -> None:
        self.lines: list[bytes] = []
        self.is_closed = False
        self.holds = holds
        self._waiting: list[Callable[[], None]] = []

    def append(self, lines: bytes, kept: Callable[[], None]) -> None:
        assert not self.is_closed, "nothing is written to a closed log"
        self.lines += lines.splitlines(keepends=True)
        self._waiting.append(kept)
        if not self.holds:
            self.release()

    def release(self) -> None:
        self.holds = False
        waiting, self._waiting = self._waiting, []
        for kept in waiting:
            kept()

    def close(self) -> None:
        self.is_closed = True

    @property
    def records(self) -> list[Record]:
        return [decode(line) for line in self.lines]

    @property
    def kinds(self) -> list[str]:
        return [record.event.event_type for record in self.records]


class Model:
    """Answers `text` after `latency` seconds, or raises `error`; counts how often it was asked."""

    provider = "fake"
    model = "fake-1"

    def __init__(self, text: str = "hello", latency: float = 0.0, error: BaseException | None = None) -> None:
        self.asked = 0
        self.cancelled = 0
        self._text = text
        self._latency = latency
        self._error = error

    async def generate(self, request: GenerateRequest) -> Generation:
        self.asked += 1
        try:
            await asyncio.sleep(self._latency)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self._error is not None:
            raise self._error
        return Generation(text=f"{self._text} {self.asked}")


class Answering(Model):
    """Answers with one and the same thing, whatever it is."""

    def __init__(self, generation: Generation) -> None:
        super().__init__()
        self._generation = generation

    async def generate(self, request: GenerateRequest) -> Generation:
        return self._generation


class Watcher:
    """An observer that remembers what it was shown."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.effects: list[Shown] = []

    def record_kept(self, record: Record) -> None:
        self.records.append(record)

    def told(self, effect: Shown) -> None:
        self.effects.append(effect)


def session(model: Model, log: ListLog, start: SessionStarted | None = None, **changes) -> SimulationSession:
    return SimulationSession.begin(start or started(**changes), model=model, clock=VirtualClock(), log=log)
