"""A server that is killed, and a machine whose power is cut: what was acknowledged is there."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

from checker import assert_acknowledged_is_stored, assert_all_holds, assert_counted, assert_shown_is_stored
from deployment import Deployment, settle
from history import Client, staying, writing

from simulation.events import SessionResumed

LIVELY = {"messages_per_minute": 60, "user_response_probability": 0.2}
SESSIONS = 20
EVERY_SECONDS = 0.05
MOMENT_SECONDS = (0.1, 1.2)
LAUNCHER = (str(Path(__file__).with_name("synced.py")),)
BACK_SECONDS = 5
SLOW_SECONDS = "0.5"
DISK_SECONDS = "0.02"
"""What turning disks take over a sync."""


class Diary:
    """What the disk of a server that `synced.py` has started was made to keep."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "synced.txt"
        self._logs = folder / "logs"

    @property
    def is_behind(self) -> bool:
        """Whether a power cut would take something away."""
        return any(log.stat().st_size > (kept or 0) for log, kept in self._kept().items())

    def cut_the_power(self) -> int:
        """Leave of every log what was synced, and nothing of one whose name was not; return how many bytes are gone."""
        lost = 0
        for log, kept in self._kept().items():
            lost += log.stat().st_size - (kept or 0)
            if kept is None:
                log.unlink()
            else:
                os.truncate(log, kept)
        return lost

    def _kept(self) -> dict[Path, int | None]:
        """Return how many bytes of each log are on the disk; None where its name is not."""
        entries = [line.split(" ", 1) for line in self.file.read_text().splitlines()] if self.file.exists() else []
        sizes = {name: int(size) for size, name in entries}
        names = [name for _, name in entries]
        folder_synced = max((n for n, name in enumerate(names) if name == str(self._logs)), default=-1)
        on_disk = {name for name in sizes if names.index(name) < folder_synced}
        return {log: sizes[str(log)] if str(log) in on_disk else None for log in self._logs.glob("*.json")}


async def all_are(clients: list[Client], *, connected: bool) -> None:
    for client in clients:
        await client.until(lambda client=client: client.is_connected == connected)


Moment = Callable[[], Awaitable[None]]
"""Returns when the server is to be killed."""


class Killed(NamedTuple):
    """How long each return took, and how often each session says that it was resumed."""

    returns: list[float]
    resumed: list[int]


async def at_once() -> None:
    """Any moment will do."""


async def killed_again_and_again(
    deployed: Deployment, rounds: int, moment: Moment = at_once, after_kill: Callable[[], None] = lambda: None
) -> Killed:
    """Kill the server at random moments, each the first that is a `moment`, while 20 participants write."""
    clients = [await deployed.joined(in_flight=20) for _ in range(SESSIONS)]
    killed = Killed([], [])
    async with staying(*clients):
        async with writing(clients, EVERY_SECONDS):
            for _ in range(rounds):
                await all_are(clients, connected=True)
                await asyncio.sleep(random.uniform(*MOMENT_SECONDS))
                await moment()
                await deployed.stops(signal.SIGKILL)
                await all_are(clients, connected=False)
                after_kill()
                for client in clients:
                    records = deployed.server.log_of(client.session_id)
                    assert_counted(records)
                    assert_acknowledged_is_stored(records, client.history)
                    assert_shown_is_stored(records, client.history)
                await deployed.starts()
                began = time.monotonic()
                await all_are(clients, connected=True)
                killed.returns.append(time.monotonic() - began)
        for client in clients:
            await client.leaves()
    for client in clients:
        records = assert_all_holds(deployed.log(client), client.history)
        assert client.history.acknowledged.keys() == client.history.sent_ids
        killed.resumed.append(sum(isinstance(record.event, SessionResumed) for record in records))
    return killed


async def test_what_was_acknowledged_is_in_the_log_when_the_server_is_killed(tmp_path: Path, extent, within, report):
    settle(tmp_path, **LIVELY)
    async with Deployment(tmp_path) as deployed:
        killed = await killed_again_and_again(deployed, extent(2, 50))
    report(kills=len(killed.returns), longest_return_seconds=max(killed.returns))
    assert max(killed.returns) < within(BACK_SECONDS)
    assert all(1 <= each <= len(killed.returns) for each in killed.resumed)  # one may be killed before it says so


async def test_what_was_acknowledged_is_in_the_log_when_the_power_is_cut(tmp_path: Path, extent, report):
    settle(tmp_path, **LIVELY)
    diary, lost = Diary(tmp_path), []
    disk = {"SYNCED_FILE": str(diary.file), "SYNC_SECONDS": DISK_SECONDS}
    async with Deployment(tmp_path, launcher=LAUNCHER, **disk) as deployed:

        async def the_disk_is_behind() -> None:
            while not (deployed.freezes() and diary.is_behind):
                deployed.sends(signal.SIGCONT)
                await asyncio.sleep(0.01)

        killed = await killed_again_and_again(
            deployed, extent(1, 50), the_disk_is_behind, after_kill=lambda: lost.append(diary.cut_the_power())
        )
    report(power_cuts=len(lost), bytes_lost_in_all=sum(lost), longest_return_seconds=max(killed.returns))
    assert all(lost), "the disk lost nothing, so nothing was tried"


async def test_what_a_killed_server_has_written_is_shown_only_once_it_is_synced(tmp_path: Path):
    """Its successor reads it from the system's memory: a power cut could take it back."""
    settle(tmp_path)
    diary = Diary(tmp_path)
    slow = {"SYNCED_FILE": str(diary.file), "SYNC_SECONDS": SLOW_SECONDS}
    async with Deployment(tmp_path, launcher=LAUNCHER, **slow) as deployed:
        client = await deployed.joined()
        async with staying(client):
            await client.until(lambda: client.is_connected)
            client.says("first")
            await client.all_acknowledged()
            client.says("on its way to the disk")
            while "on its way to the disk" not in deployed.log(client).read_text():
                await asyncio.sleep(0.005)
            await deployed.stops(signal.SIGKILL)
            assert client.outbox, "it was not acknowledged yet"
            await deployed.starts()
            await client.all_acknowledged()
            await deployed.stops(signal.SIGKILL)
            diary.cut_the_power()
            assert_acknowledged_is_stored(deployed.server.log_of(client.session_id), client.history)


async def test_a_session_whose_log_the_power_cut_took_away_begins_anew(tmp_path: Path):
    """It was live for the index, and nobody had seen anything of it: the token is not spent."""
    settle(tmp_path)
    diary = Diary(tmp_path)
    slow = {"SYNCED_FILE": str(diary.file), "SYNC_SECONDS": SLOW_SECONDS}
    async with Deployment(tmp_path, launcher=LAUNCHER, **slow) as deployed:
        client = await deployed.joined()
        async with staying(client):
            while not deployed.log(client).exists():
                await asyncio.sleep(0.005)
            await deployed.stops(signal.SIGKILL)
            diary.cut_the_power()
            assert not deployed.log(client).exists()
            await deployed.starts()
            client.says("here I am")
            await client.until(lambda: not client.outbox or client.is_over)
            assert client.history.acknowledged, f"the session is over before it began: {client.history.close_codes}"
            await client.leaves()
        assert_all_holds(deployed.log(client), client.history)
