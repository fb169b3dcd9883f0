"""Once a second the server looks at its clocks."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from server.pulse import Pulse
from simulation.runtime.clock import VirtualClock, run_in_virtual_time


class World:
    """The world's clock, which goes with the session's until it is set."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.offset = 0.0

    def __call__(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self._clock.monotonic() + self.offset)


def beats(script) -> tuple[list[float], list[float]]:
    """Return the jumps and the delays that a pulse told of while `script(world)` ran."""
    jumps: list[float] = []
    delays: list[float] = []

    async def main() -> None:
        clock = VirtualClock()
        world = World(clock)
        pulse = asyncio.ensure_future(Pulse(clock, world, on_jump=jumps.append, on_beat=delays.append).run())
        await script(world)
        pulse.cancel()

    run_in_virtual_time(main())
    return jumps, delays


def test_a_clock_that_is_set_is_told_of_once_each_time():
    async def script(world: World) -> None:
        await asyncio.sleep(5)
        world.offset = 3600.0
        await asyncio.sleep(5)
        world.offset = 0.0
        await asyncio.sleep(5)

    jumps, _ = beats(script)
    assert [round(each) for each in jumps] == [3600, -3600]


def test_a_clock_that_is_put_right_a_little_at_a_time_has_not_jumped():
    async def script(world: World) -> None:
        for _ in range(100):
            await asyncio.sleep(1)
            world.offset += 0.05

    jumps, delays = beats(script)
    assert jumps == []
    assert len(delays) >= 99
