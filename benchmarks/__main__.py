"""`make bench`: every figure beside its reference, in one run on one machine.

The server under measurement has core 0, the load generator core 1. Rounds of ours and of the reference take turns, and
a row shows the medians over the rounds and their ratio, so that a machine whose speed drifts does not favour either.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import orjson

from benchmarks import durability, entry, models, rounds, sixty_line_core
from benchmarks.load import Client, join, join_many, leave, pace, saturate
from benchmarks.processes import LOAD_CORE, Measured, on_core, ours, reference, wait_until_it_answers, write_settings
from benchmarks.report import Report, percentile
from experiments.experiment import load_experiment
from experiments.rehearsal import rehearsal_start, rehearse
from simulation.codec import Record, encode
from simulation.events import MessagePosted
from simulation.llm.scripted import ScriptedProvider
from simulation.parameters import ModelChoice
from simulation.runtime.clock import WallClock
from simulation.runtime.session import SimulationSession

ROUNDS = 3
SECONDS = 5.0

Serving = Callable[[], AbstractContextManager[Measured]]


def interleaved(measure: Callable[[Serving, bool], list[float]], theirs: Serving, mine: Serving) -> list[list[float]]:
    """Run `measure` on both, in turns; return the medians, theirs and ours, of each figure it gives."""
    results: tuple[list[list[float]], list[list[float]]] = ([], [])
    for _ in range(ROUNDS):
        results[0].append(measure(theirs, False))
        results[1].append(measure(mine, True))
    return [[statistics.median(figures) for figures in zip(*rounds, strict=True)] for rounds in results]


# Echo


def measure_one_session(serving: Serving, is_ours: bool, *, starts: bool = True) -> list[float]:
    async def run(port: int) -> list[float]:
        client = await join(port, speaks_ours=is_ours, starts=is_ours)
        await saturate([client], 1.0)
        client.round_trips.clear()
        await saturate([client], SECONDS)
        await leave([client])
        return [percentile(client.round_trips, share) * 1000 for share in (0.5, 0.99)]

    with serving() as server:
        return asyncio.run(run(server.port))


def measure_many_sessions(count: int) -> Callable[[Serving, bool], list[float]]:
    def measure(serving: Serving, is_ours: bool) -> list[float]:
        async def run(port: int) -> list[float]:
            clients = await join_many(port, count, speaks_ours=is_ours, starts=is_ours)
            round_trips = await pace(clients, SECONDS + 1, every=1.0)
            await leave(clients)
            return [percentile(round_trips, share) * 1000 for share in (0.5, 0.99)]

        with serving() as server:
            return asyncio.run(run(server.port))

    return measure


def measure_saturation(serving: Serving, is_ours: bool) -> list[float]:
    """Microseconds of the server's CPU per message, with 50 clients that never wait."""

    async def run(server: Measured) -> list[float]:
        clients = await join_many(server.port, 50, speaks_ours=is_ours, starts=is_ours)
        await saturate(clients, 1.0)
        before = server.cpu_seconds()
        messages = await saturate(clients, SECONDS)
        used = server.cpu_seconds() - before
        await leave(clients)
        return [used / messages * 1e6, messages / SECONDS]

    with serving() as server:
        return asyncio.run(run(server))


def echo(report: Report) -> None:
    raw, starlette, durable = (lambda kind=kind: reference(kind) for kind in ("raw", "starlette", "durable"))
    theirs, mine = interleaved(measure_one_session, raw, ours)
    report.add("echo p50, one session, against raw websockets", theirs[0], mine[0], "ms", "1.5x")
    report.add("echo p99, one session, against raw websockets", theirs[1], mine[1], "ms", "-")
    theirs, mine = interleaved(measure_many_sessions(1000), raw, ours)
    report.add("echo p50, 1,000 sessions at 1 a second, against raw websockets", theirs[0], mine[0], "ms", "1.5x")
    theirs, mine = interleaved(measure_many_sessions(1000), starlette, ours)
    report.add("echo p99, 1,000 sessions at 1 a second, against Starlette", theirs[1], mine[1], "ms", "2x or 10 ms")
    theirs, mine = interleaved(measure_saturation, starlette, ours)
    report.add("CPU per message at saturation, against Starlette", theirs[0], mine[0], "µs", "2.5x")
    theirs, mine = interleaved(measure_one_session, durable, lambda: ours(sync="fsync"))
    report.add("durable echo p50, one session, against a 5 ms group commit", theirs[0], mine[0], "ms", "1.5x")
    theirs, mine = interleaved(measure_many_sessions(300), durable, lambda: ours(sync="fsync"))
    report.add("durable echo p50, 300 sessions at 1 a second, 300 files to 1", theirs[0], mine[0], "ms", "1.5x")


# Sessions


def measure_memory(serving: Serving, is_ours: bool) -> list[float]:
    """KiB per connection: the server's resident memory with 1,000 of them over that with none."""

    async def run(server: Measured) -> list[float]:
        await leave(await join_many(server.port, 20, speaks_ours=is_ours, starts=is_ours))
        before = server.resident_kib()
        clients = await join_many(server.port, 1000, speaks_ours=is_ours, starts=is_ours)
        used = server.resident_kib() - before
        await leave(clients)
        return [used / 1000]

    with serving() as server:
        return asyncio.run(run(server))


def measure_start(serving: Serving, is_ours: bool) -> list[float]:
    """Milliseconds of the server's CPU to start a session and open its socket."""

    async def run(server: Measured) -> list[float]:
        clients = await join_many(server.port, 40, speaks_ours=is_ours)
        before = server.cpu_seconds()
        clients += await join_many(server.port, 400, speaks_ours=is_ours)
        used = server.cpu_seconds() - before
        await leave(clients)
        return [used / 400 * 1000]

    with serving() as server:
        return asyncio.run(run(server))


def measure_joins(serving: Serving, with_joins: bool) -> list[float]:
    """The echo of 20 live sessions (p50, p99 in ms), while others join at 20 a second or not."""

    async def joining(port: int, joined: list[Client]) -> None:
        while True:
            joined.append(await join(port, speaks_ours=True))
            await asyncio.sleep(1 / 20)

    async def run(port: int) -> list[float]:
        clients = await join_many(port, 20, speaks_ours=True)
        joined: list[Client] = []
        async with asyncio.TaskGroup() as tasks:
            others = tasks.create_task(joining(port, joined)) if with_joins else None
            round_trips = await pace(clients, 2 * SECONDS, every=0.1)
            if others:
                others.cancel()
        await leave(clients + joined)
        return [percentile(round_trips, share) * 1000 for share in (0.5, 0.99)]

    with serving() as server:
        return asyncio.run(run(server.port))


def sessions(report: Report) -> None:
    def starlette() -> AbstractContextManager[Measured]:
        return reference("starlette")

    def ticking() -> AbstractContextManager[Measured]:
        return ours(messages_per_minute=0.01)

    theirs, mine = interleaved(measure_memory, starlette, ticking)
    report.add(
        "memory per ticking session with its socket, against a Starlette socket", theirs[0], mine[0], "KiB", "64 KiB"
    )
    theirs, mine = interleaved(measure_start, starlette, ours)
    report.add("CPU to start a session, against Starlette's POST and accept", theirs[0], mine[0], "ms", "5 ms, 3x")
    theirs, mine = interleaved(measure_joins, ours, ours)
    report.add(
        "echo p99 of 20 sessions while others join at 20 a second, against nobody joining",
        theirs[1],
        mine[1],
        "ms",
        "2x",
    )


# Idle sessions


class NoLog:
    def append(self, lines: bytes, kept: Callable[[], None]) -> None:
        kept()

    def close(self) -> None: ...


def cpu_share(prepare: Callable[[asyncio.TaskGroup], None], seconds: float = 10.0) -> float:
    """Percent of a core that what `prepare` sets going costs."""

    async def run() -> float:
        async with asyncio.TaskGroup() as tasks:
            prepare(tasks)
            await asyncio.sleep(1)
            gc.collect()
            before = time.process_time()
            await asyncio.sleep(seconds)
            used = time.process_time() - before
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
        return used / seconds * 100

    return asyncio.run(run())


def one_task_each(tasks: asyncio.TaskGroup) -> None:
    async def tick() -> None:
        while True:
            await asyncio.sleep(1)

    for _ in range(5000):
        tasks.create_task(tick())


def our_sessions(folder: Path, rate: float) -> Callable[[asyncio.TaskGroup], None]:
    write_settings(folder, messages_per_minute=rate)
    experiment = load_experiment(folder)
    provider = ScriptedProvider(ModelChoice(), folder)

    def prepare(tasks: asyncio.TaskGroup) -> None:
        for number in range(5000):
            start = rehearsal_start(experiment, experiment.first, 1, number)
            session = SimulationSession.begin(start, model=provider.for_session(start), clock=WallClock(), log=NoLog())
            tasks.create_task(session.run())

    return prepare


def idle(report: Report) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tasks = statistics.median(cpu_share(one_task_each) for _ in range(ROUNDS))
        quiet = statistics.median(cpu_share(our_sessions(Path(folder), 0.1)) for _ in range(ROUNDS))
        report.add(
            "5,000 idle sessions, a post each in ten minutes, against a ticking task each", tasks, quiet, "%", "0.2x"
        )
        lively = cpu_share(our_sessions(Path(folder), 6))
        report.add("5,000 sessions at 6 messages a minute, all their posts included", 0, lively, "%", "-")


# Start-up, virtual time, the log


def start_up(report: Report) -> None:
    imports = "import starlette.applications, uvicorn, uvloop, httptools, websockets, uvicorn.lifespan.on"
    imports += ", uvicorn.protocols.http.httptools_impl, uvicorn.protocols.websockets.websockets_sansio_impl"

    def imported() -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", imports], check=True)
        return time.perf_counter() - began

    def healthy() -> float:
        began = time.perf_counter()
        with ours(sync="fsync") as server:
            wait_until_it_answers(server.port)
            return time.perf_counter() - began

    pairs = [(imported(), healthy()) for _ in range(7)]
    theirs, mine = (statistics.median(each) * 1000 for each in zip(*pairs, strict=True))
    report.add("time to a healthy server, against importing Starlette and uvicorn", theirs, mine, "ms", "1.5x")


def virtual_time(report: Report) -> None:
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as out:
        write_settings(Path(folder), messages_per_minute=6, user_response_probability=0.7, session_duration_minutes=15)
        experiment = load_experiment(Path(folder))

        def ours_per_second() -> float:
            began = time.perf_counter()
            rehearse(experiment, sessions=60, out=Path(out), seed=1)
            return 60 / (time.perf_counter() - began)

        rounds = [(sixty_line_core.sessions_per_second(200), ours_per_second()) for _ in range(ROUNDS)]
    theirs, mine = (statistics.median(each) for each in zip(*rounds, strict=True))
    report.add("five-agent fifteen-minute sessions a second, against a 60-line core", theirs, mine, "/s", "80/s, 0.25x")


def one_event(report: Report) -> None:
    """Microseconds to encode and append one record, against orjson and one write."""
    event = MessagePosted(
        elapsed=12.345,
        sender="Alice",
        content="a message of about this length",
        message_id="x" * 36,
        position=7,
        source="model",
    )
    record = Record(7, "2026-11-22T10:00:00.000000+00:00", event)
    plain = orjson.loads(encode(record))
    with tempfile.TemporaryFile() as file:

        def per_call(call: Callable[[], object]) -> float:
            began = time.perf_counter()
            for _ in range(20_000):
                call()
            return (time.perf_counter() - began) / 20_000 * 1e6

        descriptor = file.fileno()
        rounds = [
            (
                per_call(lambda: os.write(descriptor, orjson.dumps(plain, option=orjson.OPT_APPEND_NEWLINE))),
                per_call(lambda: os.write(descriptor, encode(record))),
            )
            for _ in range(ROUNDS)
        ]
    theirs, mine = (statistics.median(each) for each in zip(*rounds, strict=True))
    report.add("one record, encoded and appended, against orjson and a write", theirs, mine, "µs", "5x")


MEASURES = {
    "event": one_event,
    "virtual": virtual_time,
    "startup": start_up,
    "idle": idle,
    "echo": echo,
    "sessions": sessions,
    "models": models.models,
    "refusals": entry.refusals,
    "rounds": rounds.rounds,
    "durability": durability.durability,
    "recovery": durability.recovery,
}


def main() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    on_core(LOAD_CORE)
    report = Report()
    chosen = sys.argv[1:] or list(MEASURES)
    report.console.print(f"Measuring {', '.join(chosen)}: medians of {ROUNDS} rounds.")
    for name in chosen:
        MEASURES[name](report)
    report.console.print(report.table)


if __name__ == "__main__":
    main()
