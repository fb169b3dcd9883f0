from __future__ import annotations

import asyncio
import threading
import time

from simulation.runtime.clock import VirtualClock, WallClock, run_in_virtual_time


def test_an_hour_of_virtual_time_takes_no_time():
    async def wait() -> float:
        await asyncio.sleep(3600)
        return VirtualClock().monotonic()

    started = time.perf_counter()
    assert run_in_virtual_time(wait()) == 3600
    assert time.perf_counter() - started < 1


def test_things_happen_in_the_order_of_their_time():
    happened = []

    async def after(seconds: float) -> None:
        await asyncio.sleep(seconds)
        happened.append((seconds, VirtualClock().monotonic()))

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            for seconds in (30.0, 0.5, 7.0):
                tasks.create_task(after(seconds))
        VirtualClock().call_at(40.0, lambda: happened.append((40.0, VirtualClock().monotonic())))
        await asyncio.sleep(60)

    run_in_virtual_time(main())
    assert happened == [(0.5, 0.5), (7.0, 7.0), (30.0, 30.0), (40.0, 40.0)]


def test_deadlines_run_on_virtual_time():
    async def main() -> float:
        try:
            async with asyncio.timeout(20):
                await asyncio.Event().wait()
        except TimeoutError:
            return VirtualClock().monotonic()
        raise AssertionError

    assert run_in_virtual_time(main()) == 20


def test_a_loop_with_nothing_to_do_waits_for_other_threads():
    async def main() -> str:
        loop = asyncio.get_running_loop()
        told = loop.create_future()
        thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(told.set_result, "told"))
        thread.start()
        return await told

    assert run_in_virtual_time(main()) == "told"


def test_virtual_timestamps_follow_virtual_time():
    async def main() -> list[str]:
        first = VirtualClock().timestamp()
        await asyncio.sleep(61.5)
        return [first, VirtualClock().timestamp()]

    assert run_in_virtual_time(main()) == ["2000-01-01T00:00:00.000000+00:00", "2000-01-01T00:01:01.500000+00:00"]


async def test_the_wall_clock_calls_back_and_tells_utc():
    clock = WallClock()
    called = asyncio.Event()
    clock.call_at(clock.monotonic() + 0.01, called.set)
    await asyncio.wait_for(called.wait(), 5)
    assert clock.timestamp().endswith("+00:00")
    clock.call_at(clock.monotonic() + 3600, called.clear).cancel()
