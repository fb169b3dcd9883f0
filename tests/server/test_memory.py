"""What is over is gone: no session or connection waits for the garbage collector, which the server lets run rarely."""

from __future__ import annotations

import asyncio
import gc
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from participants import ours, plain
from servers import serving

from server.connection import Connection
from simulation.runtime.session import SimulationSession


@asynccontextmanager
async def nothing_left_behind():
    """What the block has made is gone soon after it, without the garbage collector."""
    gc.collect()
    gc.disable()
    try:
        yield
        async with asyncio.timeout(10):
            while left := [each for each in gc.get_objects() if type(each) in (SimulationSession, Connection)]:
                del left
                await asyncio.sleep(0.05)
    finally:
        gc.enable()


@pytest.mark.parametrize("join", [ours, plain])
async def test_an_ended_session_leaves_nothing_behind(tmp_path: Path, join):
    changes = {"user_response_probability": 1, "messages_per_minute": 60, "reconnect_grace_seconds": 0}
    async with serving(tmp_path, **changes) as server, nothing_left_behind():
        for _ in range(3):
            async with join(server) as participant:
                await participant.posts("hello")
                await participant.next_frame()


async def test_a_session_ended_by_time_leaves_nothing_behind(tmp_path: Path):
    changes = {"session_duration_minutes": 0.05, "messages_per_minute": 60}
    async with serving(tmp_path, **changes) as server, nothing_left_behind(), ours(server) as participant:
        await participant.reads_until_closed()
