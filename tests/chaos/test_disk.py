"""A disk that takes nothing: nobody is told of what is not stored, nobody is lost, and it goes on where it was."""

from __future__ import annotations

import asyncio
import resource
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from checker import assert_acknowledged_is_stored, assert_all_holds, assert_shown_is_stored
from deployment import Deployment, make_tokens, settle
from history import Client, staying, writing

from simulation.codec import Record
from simulation.events import Cause, LogRepaired, LogStalled, MessagePosted, TurnPlanned

BY_TOKEN = {"entry": {"mode": "tokens"}}
AGENTS_A_MINUTE = 120
NOTICED_SECONDS = 3.0
MOST_IN_A_SECOND = 9
"""Of what agents say unasked: two messages, on the average."""
WRITES_EVERY_SECONDS = 0.3


@asynccontextmanager
async def full(deployed: Deployment, client: Client) -> AsyncIterator[str]:
    """A disk that is full in the middle of the next line but one: no file may grow beyond it."""
    size = deployed.log(client).stat().st_size + 500
    resource.prlimit(deployed.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    yield "no file may grow (RLIMIT_FSIZE)"
    resource.prlimit(deployed.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@asynccontextmanager
async def full_to_the_last_byte(deployed: Deployment, client: Client) -> AsyncIterator[str]:
    """A disk on which no file takes anything, the index's neither."""
    resource.prlimit(deployed.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    yield "no file takes a byte, the database neither (RLIMIT_FSIZE 0)"
    resource.prlimit(deployed.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@asynccontextmanager
async def read_only(deployed: Deployment, client: Client) -> AsyncIterator[str]:
    """A log folder that has become read-only, with all that is in it, also for those who hold it open.

    (A file system cannot be remounted read-only while files on it are open for writing.)
    """
    names = [str(deployed.server.log_dir), *map(str, deployed.server.log_dir.iterdir())]
    if not is_set("+i", names):
        async with full_to_the_last_byte(deployed, client) as how:  # without the right to do that
            yield f"{how}, since chattr is not permitted here"
        return
    try:
        yield "log folder and files are immutable (chattr +i)"
    finally:
        assert is_set("-i", names)


def is_set(flag: str, names: list[str]) -> bool:
    """Set a flag of files; return whether that is permitted, and their file system has it."""
    return subprocess.run(["chattr", flag, *names], check=False, capture_output=True).returncode == 0


WAYS = (full, full_to_the_last_byte, read_only)
SHORT = {"fsync": (full_to_the_last_byte,), "os": (read_only,)}


@pytest.mark.parametrize("sync", SHORT)
async def test_a_disk_that_takes_nothing_for_a_while_costs_nothing(tmp_path: Path, sync: str, extent, report):
    seconds, ways = extent(3.5, 60.0), extent(SHORT[sync], WAYS)
    settle(tmp_path, BY_TOKEN, messages_per_minute=AGENTS_A_MINUTE, user_response_probability=0.5)
    used, early, *unused = await make_tokens(tmp_path, 2 + len(ways))
    async with Deployment(tmp_path, LOG_SYNC=sync) as deployed:
        client = await deployed.joined(used)
        waiting = await deployed.joined(early)  # has a session, and begins it when the disk is full
        async with staying(client):
            async with writing([client], WRITES_EVERY_SECONDS):
                await client.until(lambda: len(client.history.acknowledged) >= 3)
                for refuses, token in zip(ways, unused, strict=True):
                    async with refuses(deployed, client) as how:
                        await assert_nothing_gets_through(deployed, client, token, seconds)
                        async with staying(waiting):
                            await waiting.until(lambda: waiting.history.close_codes[1013] or waiting.is_connected)
                    report(how=how, recovered_after_seconds=await seconds_until(client.all_acknowledged))
                    assert (await deployed.joined(token)).session_id != client.session_id, "the token was not spent"
            async with staying(waiting):
                waiting.says("at last")
                await waiting.leaves()
            await client.leaves()
        records = assert_all_holds(deployed.log(client), client.history)
        assert_all_holds(deployed.log(waiting), waiting.history)
    assert_order(client)
    assert_no_heap(records, report)
    stalled = [record.event.seconds for record in records if isinstance(record.event, LogStalled)]
    report(stalled_seconds=stalled)
    assert len(stalled) == len(ways)
    assert min(stalled) > seconds - NOTICED_SECONDS


def assert_order(client: Client) -> None:
    """What the participant wrote stands in the order of its sending."""
    contents = [frame["content"] for frame in client.history.transcript if frame["sender"] == "user"]
    assert contents == sorted(contents, key=lambda content: int(content.split()[1]))


def assert_no_heap(records: list[Record], report: Callable[..., None]) -> None:
    """Once the disk takes something again, agents do not say all at once what they would have said meanwhile."""
    events = [record.event for record in records]
    unasked = {e.turn_id for e in events if isinstance(e, TurnPlanned) and e.cause == Cause.BACKGROUND}
    said = [e.elapsed for e in events if isinstance(e, MessagePosted) and e.turn_id in unasked]
    ends = [e.elapsed for e in events if isinstance(e, LogStalled)]
    heaps = [sum(end <= each < end + 1 for each in said) for end in ends]
    report(said_in_the_second_after=heaps)
    assert max(heaps) <= MOST_IN_A_SECOND


async def assert_nothing_gets_through(deployed: Deployment, client: Client, token: str, seconds: float) -> None:
    """While the disk refuses: no acknowledgement, no new session, and a server that lives and says so."""
    await asyncio.sleep(NOTICED_SECONDS)  # until then it may have been the disk's last gasp
    since = time.monotonic()
    acknowledged = len(client.history.acknowledged)
    assert await status(deployed, "GET", "/health/live") == 200
    assert await status(deployed, "GET", "/health/ready") == 503
    assert await status(deployed, "POST", "/session/start", {"token": token}) == 503
    await asyncio.sleep(seconds - NOTICED_SECONDS)
    assert len(client.history.acknowledged) == acknowledged
    got = {frame["type"] for frame in (each.about for each in client.history.all("gets", since))}
    codes = {frame["code"] for frame in client.history.got("error", since)}
    assert got <= {"error", "heartbeat", "welcome", "backlog_end"}
    assert codes <= {"not_stored"}
    records = deployed.server.log_of(client.session_id)
    assert_acknowledged_is_stored(records, client.history)
    assert_shown_is_stored(records, client.history)


async def status(deployed: Deployment, method: str, path: str, body: dict[str, str] | None = None) -> int:
    async with httpx2.AsyncClient(trust_env=False) as http:
        return (await http.request(method, deployed.server.http + path, json=body)).status_code


async def seconds_until(done: Callable[[], Awaitable[None]]) -> float:
    began = time.monotonic()
    await done()
    return time.monotonic() - began


async def test_a_server_that_is_stopped_while_the_disk_is_full_leaves_a_log_that_goes_on(tmp_path: Path, report):
    settle(tmp_path, messages_per_minute=AGENTS_A_MINUTE)
    async with Deployment(tmp_path) as deployed:
        client = await deployed.joined()
        async with staying(client), writing([client], WRITES_EVERY_SECONDS):
            await client.until(lambda: client.history.acknowledged)
            async with full(deployed, client):
                while deployed.log(client).read_bytes().endswith(b"\n"):  # until its last line is torn
                    await asyncio.sleep(0.02)
                seconds = await deployed.stops()
                assert not deployed.log(client).read_bytes().endswith(b"\n")
                await deployed.starts()
        async with staying(client):
            await client.leaves()
        records = assert_all_holds(deployed.log(client), client.history)
    report(exit_seconds=seconds)
    assert seconds < 15
    assert sum(isinstance(record.event, LogRepaired) for record in records) == 1
