"""What it costs that nothing is lost: echoes with every record on disk, and sessions taken up after a kill."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.load import Client, again, join_many, leave, pace
from benchmarks.processes import Measured, ours, serving_again
from benchmarks.report import Report, percentile

COUNTS = (1, 100, 1_000)
SECONDS = 6.0
RECOVERED = 1_000
RECORDS_SECONDS = 20.0
"""How long the sessions live before their server is killed."""


def durability(report: Report) -> None:
    for count in COUNTS:
        every = 0.05 if count == 1 else 1.0
        memory, disk = (_echoes(sync, count, every) for sync in ("os", "fsync"))
        for share, theirs, mine in zip(("p50", "p99"), memory, disk, strict=True):
            what = f"echo {share}, {count:,} sessions, LOG_SYNC=fsync against os"
            report.add(what, theirs, mine, "ms", "-")
    report.add("one sync of one line by itself, on this disk, p50", 0.0, _one_sync_ms(), "ms", "-")
    recovery(report)


def _echoes(sync: str, count: int, every: float) -> tuple[float, float]:
    async def run(server: Measured) -> list[float]:
        clients = await join_many(server.port, count, speaks_ours=True)
        await pace(clients, 1.0, every=every)
        round_trips = await pace(clients, SECONDS, every=every)
        await leave(clients)
        return round_trips

    with ours(sync=sync) as server:
        round_trips = asyncio.run(run(server))
    return percentile(round_trips, 0.5) * 1000, percentile(round_trips, 0.99) * 1000


def _one_sync_ms() -> float:
    with tempfile.NamedTemporaryFile(dir=tempfile.gettempdir()) as file:
        taken = [_timed_sync(file.fileno()) for _ in range(200)]
    return statistics.median(taken) * 1000


def _timed_sync(descriptor: int) -> float:
    began = time.perf_counter()
    os.write(descriptor, b"x" * 300)
    os.fdatasync(descriptor)
    return time.perf_counter() - began


def recovery(report: Report) -> None:
    """Kill a server with 1,000 lively sessions and start it again: when does it answer, when is everybody back?"""
    settings: dict[str, Any] = {"messages_per_minute": 12, "user_response_probability": 0.7, "timing": {"scale": 0.2}}
    with ours(sync="fsync", **settings) as server:
        clients = asyncio.run(_live(server))
        server.kill(signal.SIGKILL)
        logs = [*(server.folder / "logs").glob("*.json")]
        records = sum(path.read_bytes().count(b"\n") for path in logs)
        began = time.perf_counter()
        with serving_again(server, sync="fsync") as next_server:
            healthy = time.perf_counter() - began
            asyncio.run(_all_back(next_server.port, clients))
            back = time.perf_counter() - began
            _wait_until_taken_up(logs)
            whole = time.perf_counter() - began
    what = f"after SIGKILL with {RECOVERED:,} sessions of {records / len(logs):.0f} records"
    report.add(f"{what}: healthy", 0.0, healthy * 1000, "ms", "-")
    report.add(f"{what}: every participant is back, with all that was said", 0.0, back * 1000, "ms", "5,000 ms")
    report.add(f"{what}: every session goes on", 0.0, whole * 1000, "ms", "-")


async def _live(server: Measured) -> list[Client]:
    clients = await join_many(server.port, RECOVERED, speaks_ours=True)
    await pace(clients, RECORDS_SECONDS, every=5.0)
    return clients


async def _all_back(port: int, clients: list[Client]) -> None:
    async with asyncio.TaskGroup() as tasks:
        for client in clients:
            tasks.create_task(again(port, client.session_id))


def _wait_until_taken_up(logs: list[Path]) -> None:
    waiting = set(logs)
    while waiting:
        waiting = {path for path in waiting if b'"session_resumed"' not in path.read_bytes()}
        time.sleep(0.02)
