"""Time, real and virtual: the one place that asks what time it is.

Virtual time is an event loop whose clock jumps. When nothing is ready to run, asyncio asks its selector to wait until
the next timer; here the wait is skipped and the clock set forward by it. So sessions, timers, deadlines and model
latencies run through exactly the code that they run through live, in the order in which they would, and a session of
fifteen minutes takes milliseconds.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar

Result = TypeVar("Result")

REHEARSAL_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
"""Wall time at the start of virtual time: a date nobody takes for a real session's."""


class Timer(Protocol):
    def cancel(self) -> None: ...


class Clock(Protocol):
    """`monotonic` is seconds on a clock that only goes forward; `timestamp` is wall time, RFC 3339 in UTC."""

    def monotonic(self) -> float: ...

    def timestamp(self) -> str: ...

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer: ...


def wall_time() -> datetime:
    """Return the world's time, in UTC."""
    return datetime.now(UTC)


class WallClock:
    """Real time, on the running event loop; `wall` is the world's."""

    def __init__(self, wall: Callable[[], datetime] = wall_time) -> None:
        self._wall = wall

    def monotonic(self) -> float:
        return time.monotonic()

    def timestamp(self) -> str:
        return self._wall().isoformat(timespec="microseconds")

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_later(max(0.0, when - time.monotonic()), callback)


class VirtualClock:
    """The time of the VirtualLoop that runs where it is made."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stamped_at = -1.0
        self._stamp = ""

    def monotonic(self) -> float:
        return self._loop.time()

    def timestamp(self) -> str:
        now = self._loop.time()
        if now != self._stamped_at:
            self._stamp = (REHEARSAL_EPOCH + timedelta(seconds=now)).isoformat(timespec="microseconds")
            self._stamped_at = now
        return self._stamp

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        return self._loop.call_at(when, callback)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on which waiting takes no time. It starts at 0 seconds."""

    def __init__(self) -> None:
        self._skipping = _SkippingSelector()
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.now


class _SkippingSelector(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:  # nothing is scheduled: only another thread can wake this loop
            return super().select(None)
        self.now += max(0.0, timeout)
        return []


def run_in_virtual_time(main: Coroutine[Any, Any, Result]) -> Result:
    """Run `main` on a VirtualLoop of its own and return its result."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
