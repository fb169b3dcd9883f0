"""A server that is stopped and started anew: nobody loses a second, and nobody holds it up."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

from checker import assert_all_holds
from deployment import Deployment, settle
from history import staying, writing
from participants import ours, start
from stalled import flood_until_stuck, stalled_reader

from simulation.events import SessionEnded, SessionResumed

SETTINGS = {"messages_per_minute": 60, "user_response_probability": 0.5, "session_duration_minutes": 10}
EXIT_SECONDS = 15
BACK_SECONDS = 5
CLOCK_SECONDS = 1
"""Of each deploy, at most; 5 in the sum."""


async def test_deploys_in_mid_session_cost_no_time_and_end_nobody(tmp_path: Path, extent, within, report):
    deploys = extent(1, 5)
    settle(tmp_path, **SETTINGS)
    returns, running = [], 0.0
    async with Deployment(tmp_path) as deployed:
        client = await deployed.joined(in_flight=20)
        async with staying(client), writing([client], 0.2):
            for deploy in range(deploys + 1):
                served_since = time.monotonic()
                await client.until(lambda: client.is_connected)
                returns.append(time.monotonic() - served_since)
                await asyncio.sleep(1)
                if deploy < deploys:
                    running += time.monotonic() - served_since
                    await deployed.stops()
                    await client.until(lambda: not client.is_connected)
                    await deployed.starts()
            ended = [r for r in deployed.server.log_of(client.session_id) if isinstance(r.event, SessionEnded)]
        async with staying(client):
            await client.leaves()
        records = assert_all_holds(deployed.log(client), client.history)
    assert not ended, "a deploy ends no session"
    assert sum(isinstance(record.event, SessionResumed) for record in records) == deploys
    assert max(returns) < within(BACK_SECONDS)
    left = [frame["seconds_left"] for frame in client.history.got("welcome")]
    drift = (left[0] - left[deploys]) - running
    report(deploys=deploys, longest_return_seconds=max(returns), clock_is_off_by_seconds=drift)
    assert abs(drift) < within(CLOCK_SECONDS * deploys)
    assert client.history.close_codes[1012] >= deploys


async def test_a_server_that_stops_waits_for_nobody_who_takes_nothing(tmp_path: Path, extent, report):
    sockets, stalled = extent(30, 200), extent(3, 10)
    settle(tmp_path)
    async with Deployment(tmp_path) as deployed:
        codes: list[int | None] = []
        all_are_in = asyncio.Event()

        async def is_told(session_id: str) -> None:
            async with ours(deployed.server, session_id) as participant:
                await participant.expects("backlog_end")
                inside.append(session_id)
                if len(inside) == sockets - stalled:
                    all_are_in.set()
                codes.append(await participant.reads_until_closed())

        inside: list[str] = []
        async with asyncio.TaskGroup() as tasks:
            for _ in range(sockets - stalled):
                tasks.create_task(is_told(await start(deployed.server)))
            await all_are_in.wait()
            stuck = [await stalled_reader(deployed) for _ in range(stalled)]
            await flood_until_stuck(stuck)
            seconds = await deployed.stops(signal.SIGTERM)
        for each in stuck:
            each.close()
    report(sockets=sockets, stalled=stalled, exit_seconds=seconds)
    assert seconds < EXIT_SECONDS
    assert codes == [1012] * (sockets - stalled)
