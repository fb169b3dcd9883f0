"""Whoever takes nothing any more is let go of soon, and nobody else notices."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from deployment import HURRIED, Deployment, settle
from history import Client, History, staying, writing
from participants import ours
from servers import serving
from stalled import flood_until_stuck, stalled_reader

from simulation.events import ParticipantLost

GONE_SECONDS = 15
WRITERS, EVERY_SECONDS = 10, 0.05
NOISE_RATIO, NOISE_SECONDS = 5, 0.1
"""What is no difference on a machine that does something else as well."""


async def test_those_who_read_nothing_are_gone_in_time_and_delay_nobody(tmp_path: Path, extent, within, report):
    stalled, seconds, pace = extent(3, 6), extent(2.0, 8.0), extent(0.4, 1.0)
    settle(tmp_path, messages_per_minute=30, user_response_probability=0.1)
    # LOG_SYNC=os: the disk has moods of its own.
    async with Deployment(tmp_path, launcher=HURRIED, PACE=str(pace), LOG_SYNC="os") as deployed:
        writers = [await deployed.joined(in_flight=20) for _ in range(WRITERS)]
        async with staying(*writers), writing(writers, EVERY_SECONDS):
            for writer in writers:
                await writer.until(lambda writer=writer: writer.is_connected)
            before = await p99_of_echoes(writers, seconds)
            sockets = deployed.open_sockets
            frozen = [await stalled_reader(deployed) for _ in range(stalled)]  # nothing is said to them
            flooded = [await stalled_reader(deployed) for _ in range(stalled)]
            await flood_until_stuck(flooded)
            assert deployed.open_sockets == sockets + 2 * stalled
            began = time.monotonic()
            meanwhile = await p99_of_echoes(writers, seconds)
            async with asyncio.timeout(within(GONE_SECONDS * pace - seconds)):
                while deployed.open_sockets > sockets:
                    await asyncio.sleep(0.05)
            gone_after = time.monotonic() - began
            after = await p99_of_echoes(writers, seconds)
        for reader in frozen + flooded:
            assert [type(r.event) for r in deployed.server.log_of(reader.session_id)].count(ParticipantLost) == 1
            reader.close()
    report(stalled=2 * stalled, gone_after_seconds=gone_after)
    report(p99_before_ms=1000 * before, p99_meanwhile_ms=1000 * meanwhile, p99_after_ms=1000 * after)
    assert meanwhile < NOISE_RATIO * max(before, after) + within(NOISE_SECONDS)


async def test_who_is_too_far_behind_is_let_go_of_at_once(tmp_path: Path, extent, within, report):
    settle(tmp_path)
    async with Deployment(tmp_path) as deployed:
        sockets = deployed.open_sockets
        readers = [await stalled_reader(deployed) for _ in range(extent(2, 6))]
        await flood_until_stuck(readers)
        began = time.monotonic()
        for reader in readers:
            reader.floods_itself(300, "short")
        async with asyncio.timeout(within(GONE_SECONDS / 3)):
            while deployed.open_sockets > sockets:
                await asyncio.sleep(0.02)
        report(gone_after_seconds=time.monotonic() - began)
        for reader in readers:
            reader.close()


async def p99_of_echoes(writers: list[Client], seconds: float) -> float:
    """Return the 99th percentile of how long echoes took in the seconds to come."""
    since = time.monotonic()
    await asyncio.sleep(seconds)
    took = sorted(each for writer in writers for each in echo_times(writer.history, since))
    return took[int(len(took) * 0.99)]


def echo_times(history: History, since: float) -> list[float]:
    sent: dict[str, float] = {}
    took = []
    for at, what, about in history.happenings:
        sent_id = about.get("client_message_id") if isinstance(about, dict) else None
        if sent_id is None or at < since:
            continue
        if what == "sends":
            sent.setdefault(sent_id, at)
        elif sent_id in sent:
            took.append(at - sent.pop(sent_id))
    return took


async def test_who_answers_no_ping_costs_no_error_though_there_is_something_to_send(
    tmp_path: Path, monkeypatch, caplog
):
    """A socket is given up at the moment of a heartbeat: a loop that is late makes the two meet."""
    monkeypatch.setattr("server.serving.PING_SECONDS", 0.2)
    monkeypatch.setattr("server.serving.PONG_SECONDS", 0.4)
    monkeypatch.setattr("server.protocol.HEARTBEAT_SECONDS", 0.1)
    async with serving(tmp_path) as server, ours(server) as participant:
        await participant.expects("heartbeat")
        participant.socket.transport.pause_reading()
        await asyncio.sleep(0.2)
        time.sleep(0.6)  # noqa: ASYNC251  something holds up the loop, and the server runs in the same
        await asyncio.sleep(0.2)
        participant.socket.transport.abort()
    assert not [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
