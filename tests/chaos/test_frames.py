"""Whatever a client sends: no traceback, no close that it has not earned, no growing server, and the room goes on."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from pathlib import Path

import pytest
from checker import assert_all_holds
from deployment import Deployment, settle
from frames import Frames
from history import Client, staying

OVER, TOO_BIG, TOO_FAST, RESET = 1000, 1009, 4429, None
DEFAULT = {"HANDSHAKES_PER_MINUTE": "60"}
GROWTH_MIB = 48.0
"""What a server may grow by, whatever comes; beside it stands what its sessions were told and have to keep."""
KEPT_KIB = 4.0
"""A message in the transcript, in the state and in the index of ids."""
LIMITS = {"off": {"messages_per_second": 0}, "default": {"messages_per_second": 1, "message_burst": 5}}


@pytest.mark.parametrize("limits", LIMITS)
async def test_no_frame_does_any_harm(tmp_path: Path, limits: str, extent, report):
    number, sessions = extent(3_000, 100_000), extent(6, 50)
    settle(tmp_path, messages_per_minute=6, user_response_probability=0.1, limits=LIMITS[limits])
    frames = [Frames(seed) for seed in range(sessions)]
    async with Deployment(tmp_path, **({} if limits == "off" else DEFAULT)) as deployed:
        clients = [await deployed.joined() for _ in range(sessions)]
        async with staying(*clients):
            for client in clients:
                await client.until(lambda client=client: client.is_connected)
            before, began = deployed.resident_mib, time.monotonic()
            async with asyncio.TaskGroup() as tasks:
                for seed, client in enumerate(clients):
                    tasks.create_task(sends_anything(client, frames[seed], number // sessions))
            seconds, after = time.monotonic() - began, deployed.resident_mib
            for client in clients:
                client.says("and still I am here")
                await client.leaves()
        stored = 0
        for client in clients:
            assert_all_holds(deployed.log(client), client.history)
            stored += len(client.history.transcript)
            assert client.history.acknowledged, "it can still write"
    codes = sum((client.history.close_codes for client in clients), start=Counter[int | None]())
    too_big = sum(each.too_big for each in frames)
    report(frames=number, frames_a_second=number / seconds, stored=stored, too_big=too_big, closes=dict(codes))
    report(mib_before=before, mib_after=after)
    assert codes.keys() <= {OVER, TOO_BIG, RESET} | ({TOO_FAST} if limits == "default" else set())
    assert codes[TOO_BIG] + codes[RESET] <= too_big, "who goes on sending meanwhile is reset, and hears no code"
    assert after - before < GROWTH_MIB + stored * KEPT_KIB / 1024


async def sends_anything(client: Client, frames: Frames, number: int) -> None:
    """Send so many frames, and wait for an answer to a few of them: who only writes would measure their own buffers."""
    for count, data in zip(range(number), frames, strict=False):
        with contextlib.suppress(TimeoutError):
            await client.sends(data)
        if count % 50 == 49:
            await client.hears_back()
