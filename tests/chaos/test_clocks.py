"""Clocks that jump, a loop that stands still, a client that is frozen: time goes on where it was."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import history as history_module
from checker import assert_all_holds
from deployment import HURRIED, Deployment, settle
from history import Client, History, staying, writing
from participants import start
from servers import Server, serving_as_it_is

from simulation.events import ClockJumped, ParticipantArrived, SessionEnded

HOUR = 3600
ON_TIME_SECONDS = 2.0


class World:
    """The world's clock, which can be set."""

    def __init__(self) -> None:
        self.offset = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def jumps(self, seconds: float) -> None:
        self.offset += timedelta(seconds=seconds)


async def test_a_clock_that_jumps_an_hour_neither_ends_a_session_nor_makes_it_longer(
    tmp_path: Path, extent, within, report
):
    duration, jumps = extent(5.0, 60.0), extent((HOUR, -HOUR), 5 * (HOUR, -HOUR, -HOUR, HOUR))
    world = World()
    settle(tmp_path, messages_per_minute=120, session_duration_minutes=duration / 60)
    async with serving_as_it_is(tmp_path, wall=world, settings={"handshakes_per_minute": 0}) as server:
        client = Client(server.ws, await start(server), in_flight=20)
        async with staying(client), writing([client], 0.1):
            await client.until(lambda: client.is_connected)
            for number, seconds in enumerate(jumps, start=1):
                await asyncio.sleep(0.5)
                world.jumps(seconds)
                await until_told_of(number, client, server)
            await client.until(lambda: client.is_over, seconds=duration + 10)
    records = assert_all_holds(server.log_dir / f"{client.session_id}.json", client.history)
    told = [record.event.seconds for record in records if isinstance(record.event, ClockJumped)]
    end = records[-1].event
    lived = last_frame_at(client.history) - client.history.all("opens")[0].at
    assert isinstance(end, SessionEnded)
    assert end.reason == "duration_expired"
    report(jumps_told_of=told, ended_at_seconds=end.elapsed, lasted_for_the_client_seconds=lived)
    assert [round(each, -1) for each in told] == [*jumps]
    assert abs(end.elapsed - duration) < ON_TIME_SECONDS
    assert abs(lived - duration) < within(ON_TIME_SECONDS)
    moments = [record.elapsed for record in records]
    assert moments == sorted(moments)


async def until_told_of(jumps: int, client: Client, server: Server) -> None:
    async with asyncio.timeout(5):
        while sum(isinstance(r.event, ClockJumped) for r in server.log_of(client.session_id)) < jumps:
            await asyncio.sleep(0.05)


def last_frame_at(history: History) -> float:
    return history.all("gets")[-1].at


async def test_a_server_that_stands_still_for_three_seconds_goes_on_and_says_so(tmp_path: Path, extent, within, report):
    pauses = extent(1, 5)
    settle(tmp_path, messages_per_minute=300, user_response_probability=0.5)
    async with Deployment(tmp_path) as deployed:
        clients = [await deployed.joined(in_flight=20) for _ in range(5)]
        async with staying(*clients):
            async with writing(clients, 0.1):
                for _ in range(pauses):
                    await asyncio.sleep(0.5)
                    deployed.sends(signal.SIGSTOP)
                    await asyncio.sleep(3)
                    deployed.sends(signal.SIGCONT)
                await asyncio.sleep(0.5)
            for client in clients:
                await client.leaves()
        for client in clients:
            assert_all_holds(deployed.log(client), client.history)
            assert len(client.history.all("opens")) == 1, "nobody was thrown out"
        late = [float(each) for each in re.findall(r"the event loop was ([\d.]+) seconds late", deployed.output)]
    report(told_late_by_seconds=late)
    assert sum(2 <= each < within(5) for each in late) >= pauses


async def test_a_client_that_was_frozen_comes_back_once_and_has_everything(tmp_path: Path, extent, report):
    frozen_for, pace = extent(5.0, 90.0), extent(0.25, 1.0)
    settle(tmp_path, messages_per_minute=300)
    async with Deployment(tmp_path, launcher=HURRIED, PACE=str(pace)) as deployed:
        session_id = await start(deployed.server)
        file = tmp_path / "history.json"
        with page_process(deployed.server, session_id, file) as page:
            await until_arrived(deployed.server, session_id, times=1)
            page.send_signal(signal.SIGSTOP)
            await asyncio.sleep(frozen_for)
            page.send_signal(signal.SIGCONT)
            await until_arrived(deployed.server, session_id, times=2)
            other = Client(deployed.server.ws, session_id)  # ends the session: the page hears of it
            page.send_signal(signal.SIGTERM)
            await asyncio.to_thread(page.wait, 10)
        async with staying(other):
            await other.leaves()
        seen = History.load(file)
        assert_all_holds(deployed.server.log_dir / f"{session_id}.json", other.history)
    assert seen.transcript == other.history.transcript[: len(seen.transcript)]
    arrivals = [r for r in deployed.server.log_of(session_id) if isinstance(r.event, ParticipantArrived)]
    report(frozen_seconds=frozen_for, came_back_times=len(seen.all("opens")) - 1, has_messages=len(seen.transcript))
    assert len(seen.all("opens")) == 2
    assert len(arrivals) == 3


def page_process(server: Server, session_id: str, file: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, history_module.__file__, server.ws, session_id, str(file)])


async def until_arrived(server: Server, session_id: str, times: int) -> None:
    """Wait until the participant has come so many times, and has something to see."""
    async with asyncio.timeout(30):
        while True:
            kinds = [record.event.event_type for record in server.log_of(session_id)]
            came = [number for number, kind in enumerate(kinds) if kind == "participant_connected"]
            if len(came) >= times and kinds[came[-1] :].count("message") >= 10:
                return
            await asyncio.sleep(0.1)
