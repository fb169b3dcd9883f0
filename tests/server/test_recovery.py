"""Sessions outlive their server: stopped, killed or moved to another version, they go on where they were."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from folders import write_settings
from participants import ours, plain, start
from servers import Process, Server, run_command, serving

from experiments.eventlog.chain import Chain
from experiments.eventlog.checkpoint import CHECKPOINT_FILE
from experiments.eventlog.reader import read_records
from experiments.replay import replay
from experiments.store.sessions import Sessions
from server import hub
from server.hub import Hub
from simulation.codec import Record
from simulation.events import (
    MessagePosted,
    SessionEnded,
    SessionResumed,
    TurnPlanned,
)

SEAL = re.compile(rb',"salt":"[0-9a-f]{32}","hash":"[0-9a-f]{64}"}')
OTHER = {"experiment_id": "other"}
LIVELY = {"messages_per_minute": 60, "user_response_probability": 1}


@contextmanager
def served(folder: Path) -> Iterator[tuple[Process, Server]]:
    command = ("-m", "server", "--port", "0", "--experiment", "config")
    with Process(*command, folder=folder) as process:
        banner = process.read_until("Ctrl+C")
        port = int(re.findall(r"http://127\.0\.0\.1:(\d+)/", banner)[0])
        yield process, Server(port, folder / "logs")


def settle(folder: Path, **changes) -> None:
    write_settings(folder / "config", timing={"scale": 0}, limits={"messages_per_second": 0}, **changes)


def assert_whole(records: list[Record]) -> None:
    """Nothing missing, nothing twice, and the same once more."""
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    positions = [record.event.position for record in records if isinstance(record.event, MessagePosted)]
    assert positions == sorted(set(positions))
    planned = [record.event.turn_id for record in records if isinstance(record.event, TurnPlanned)]
    assert len(planned) == len(set(planned))
    assert replay(records).difference is None


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_a_session_goes_on_with_the_next_server(tmp_path: Path, how: signal.Signals):
    settle(tmp_path, **LIVELY)
    with served(tmp_path) as (process, server):
        async with ours(server) as participant:
            await participant.posts("before", client_message_id="one")
            echo = await participant.expects_echo("before")
            seen = [frame for frame in participant.frames if frame["type"] == "message"]
            await asyncio.to_thread(process.stop, how)
    with served(tmp_path) as (process, server):
        async with ours(server, participant.session_id) as back:
            assert await back.expects("message", position=echo["position"]) == echo
            await back.expects("backlog_end")
            again = [frame for frame in back.frames if frame["type"] == "message"]
            assert again[: len(seen)] == seen
            await back.posts("before", client_message_id="one")
            assert await back.expects_echo("before") == echo
            await back.posts("after", client_message_id="two")
            await back.expects_echo("after")
            await back.sends({"type": "leave"})
            await back.expects("session_end")
    records = server.log_of(participant.session_id)
    assert_whole(records)
    assert len([record for record in records if isinstance(record.event, SessionResumed)]) == 1
    assert isinstance(records[-1].event, SessionEnded)


async def test_a_session_that_nobody_comes_back_to_ends_all_the_same(tmp_path: Path, monkeypatch):
    async with serving(tmp_path, reconnect_grace_seconds=1) as server, ours(server) as participant:
        pass
    monkeypatch.setattr("simulation.room.SECONDS_TO_COME_BACK", 1.0)
    async with serving(tmp_path, reconnect_grace_seconds=1) as server:
        assert (await server.end_of(participant.session_id)).reason == "websocket_disconnect"


async def test_one_that_speaks_the_plain_protocol_is_not_ended_by_a_deploy_either(tmp_path: Path):
    async with serving(tmp_path, user_response_probability=1) as server:
        session_id = await start(server)
        one = plain(server, session_id)
        participant = await one.__aenter__()
        await participant.posts("hello")
        await participant.next_frame()
    await one.__aexit__(None, None, None)
    async with serving(tmp_path, user_response_probability=1) as server, plain(server, session_id) as back:
        await back.posts("here again")
        await back.next_frame()
        assert not any(isinstance(record.event, SessionEnded) for record in server.log_of(session_id))


async def test_five_deploys_cost_no_time_and_end_nobody(tmp_path: Path):
    settle(tmp_path, messages_per_minute=6, session_duration_minutes=5)
    session_id, left, running = None, [], 0.0
    clock = asyncio.get_running_loop()
    for _ in range(6):
        with served(tmp_path) as (process, server):
            async with ours(server, session_id, hello=False) as participant:
                session_id, began = participant.session_id, clock.time()
                left.append((await participant.says_hello())["seconds_left"])
                await asyncio.sleep(0.3)
                running += clock.time() - began
                await asyncio.to_thread(process.stop)
    records = list(read_records(tmp_path / "logs" / f"{session_id}.json"))
    assert len([record for record in records if isinstance(record.event, SessionResumed)]) == 5
    assert not any(isinstance(record.event, SessionEnded) for record in records)
    assert abs((left[0] - left[-1]) - running) < 5
    assert left == sorted(left, reverse=True)
    assert_whole(records)


async def test_a_quiet_session_is_as_old_as_it_was(tmp_path: Path):
    settle(tmp_path, messages_per_minute=0, session_duration_minutes=5)
    with served(tmp_path) as (process, server):
        async with ours(server) as participant:
            await participant.posts("hello")
            await participant.expects_echo("hello")
            checkpoint = tmp_path / "data" / CHECKPOINT_FILE
            while not checkpoint.exists() or participant.session_id not in checkpoint.read_text():
                await asyncio.sleep(0.05)
            age = float(re.findall(r"\[([0-9.]+),", checkpoint.read_text())[0])
            await asyncio.to_thread(process.stop, signal.SIGKILL)
    last = server.log_of(participant.session_id)[-1].elapsed
    assert age > last
    with served(tmp_path) as (_, server):
        async with ours(server, participant.session_id, hello=False) as back:
            welcome = await back.says_hello()
            assert welcome["seconds_left"] < 300 - age + 0.5


async def test_a_second_server_on_the_same_folders_refuses_to_start(tmp_path: Path):
    settle(tmp_path)
    with served(tmp_path):
        for environment in ({}, {"DATA_DIR": "other"}):
            second = await asyncio.to_thread(
                run_command, "-m", "server", "--port", "0", folder=tmp_path, environment=environment
            )
            assert second.returncode == 2
            assert "in use by another server" in second.stderr
            assert ("LOG_DIR" if environment else "DATA_DIR") in second.stderr


@pytest.mark.parametrize(("was", "is_now"), [(b'"seq":2,', b'"sq":2,'), (b'"content":"hello"', b'"content":"hallo"')])
async def test_a_damaged_log_is_told_of_and_harms_no_other(tmp_path: Path, was: bytes, is_now: bytes):
    async with serving(tmp_path) as server, ours(server) as one, ours(server) as other:
        for participant in (one, other):
            await participant.posts("hello")
            await participant.expects_echo("hello")
    path = tmp_path / "logs" / f"{one.session_id}.json"
    before = path.read_bytes()
    path.write_bytes(before.replace(was, is_now))
    assert (changed := path.read_bytes()) != before
    async with serving(tmp_path) as server, ours(server, other.session_id) as back:
        await back.expects_echo("hello")
        async with ours(server, one.session_id, hello=False) as lost:
            await lost.sends({"type": "hello"})
            assert await lost.reads_until_closed() == 4410
    assert path.read_bytes() == changed


async def test_a_torn_tail_is_moved_aside_and_the_session_goes_on(tmp_path: Path):
    async with serving(tmp_path) as server, ours(server) as participant:
        await participant.posts("hello")
        await participant.expects_echo("hello")
    path = tmp_path / "logs" / f"{participant.session_id}.json"
    with path.open("ab") as log:
        log.write(b'{"seq":99,"timestamp":"2026')
    async with serving(tmp_path) as server, ours(server, participant.session_id) as back:
        await back.expects_echo("hello")
        await back.posts("again")
        await back.expects_echo("again")
        records = server.log_of(participant.session_id)
    assert [record.event.event_type for record in records].count("log_repaired") == 1
    assert_whole(records)


async def test_a_condition_that_was_taken_out_of_the_settings_ends_nobody(tmp_path: Path):
    before, after = {"conditions": {"one": {}, "two": {}}}, {"conditions": {"three": {}, "four": {}}}
    async with serving(tmp_path, experimental=before) as server, ours(server) as participant:
        await participant.posts("hello")
        await participant.expects_echo("hello")
    async with serving(tmp_path, experimental=after) as server:
        async with ours(server, participant.session_id) as back:
            await back.expects_echo("hello")
            await back.posts("still here")
            await back.expects_echo("still here")


async def test_many_sessions_are_resumed_while_their_participants_come_back(tmp_path: Path):
    async with serving(tmp_path) as server:
        ids = [await start(server) for _ in range(30)]
        for each in ids:
            async with ours(server, each) as participant:
                await participant.posts("hello")
                await participant.expects_echo("hello")
    async with serving(tmp_path) as server:
        async with asyncio.TaskGroup() as tasks:
            for each in ids[::2]:
                tasks.create_task(_comes_back(server, each))
        while not all(_is_resumed(server, each) for each in ids):
            await asyncio.sleep(0.02)


async def _comes_back(server: Server, session_id: str) -> None:
    async with ours(server, session_id) as participant:
        await participant.expects_echo("hello")


def _is_resumed(server: Server, session_id: str) -> bool:
    return [type(record.event) for record in server.log_of(session_id)].count(SessionResumed) == 1


async def test_a_session_whose_model_this_server_does_not_lead_to_ends_and_its_log_says_so(tmp_path: Path):
    async with serving(tmp_path) as server, ours(server) as participant:
        await participant.posts("hello")
        await participant.expects_echo("hello")
    path = tmp_path / "logs" / f"{participant.session_id}.json"
    path.write_bytes(as_if_written(path.read_bytes().replace(b'"provider":"scripted"', b'"provider":"gemini"')))
    async with serving(tmp_path) as server:
        assert (await server.end_of(participant.session_id)).reason == "technical"


def as_if_written(log: bytes) -> bytes:
    """A log with the hashes of what it says."""
    chain = Chain()
    return b"".join(chain.sealed(SEAL.sub(b"}", line)) for line in log.splitlines(keepends=True))


async def test_a_log_that_was_emptied_is_not_begun_anew(tmp_path: Path):
    async with serving(tmp_path) as server, ours(server) as participant:
        await participant.posts("hello")
        await participant.expects_echo("hello")
    (tmp_path / "logs" / f"{participant.session_id}.json").write_bytes(b"")
    async with serving(tmp_path) as server, ours(server, participant.session_id, hello=False) as back:
        await back.sends({"type": "hello"})
        assert await back.reads_until_closed() == 4410


async def test_sessions_of_another_experiment_wait_until_that_is_served_again(tmp_path: Path, caplog):
    async with serving(tmp_path) as server, ours(server) as participant:
        await participant.posts("hello")
        await participant.expects_echo("hello")
    other = tmp_path / "other"
    async with (
        serving(
            other, settings={"log_dir": tmp_path / "logs", "data_dir": tmp_path / "data"}, experimental=OTHER
        ) as server,
        ours(server, participant.session_id, hello=False) as waiting,
    ):
        await waiting.sends({"type": "hello"})
        assert await waiting.reads_until_closed() == 1013
    assert "sessions of the experiment config that wait until that is served again: 1" in caplog.text
    async with serving(tmp_path) as server, ours(server, participant.session_id) as back:
        await back.expects_echo("hello")


async def test_a_server_that_is_stopped_while_a_session_begins_stops_and_leaves_that_to_the_next(
    tmp_path: Path, monkeypatch
):
    is_asked, is_stopping = asyncio.Event(), asyncio.Event()
    begins, stops = Sessions.begin, Hub.stop

    async def begins_late(sessions: Sessions, session_id: str):
        reserved = await begins(sessions, session_id)
        is_asked.set()
        await is_stopping.wait()
        return reserved

    async def stops_meanwhile(hub: Hub):
        is_stopping.set()
        await stops(hub)

    monkeypatch.setattr(Sessions, "begin", begins_late)
    monkeypatch.setattr(Hub, "stop", stops_meanwhile)
    async with asyncio.timeout(10), serving(tmp_path) as server, ours(server, hello=False) as early:
        await early.sends({"type": "hello"})
        await is_asked.wait()
    assert not list((tmp_path / "logs").glob("*.json"))
    async with serving(tmp_path) as server, ours(server, early.session_id) as participant:
        await participant.posts("hello")
        await participant.expects_echo("hello")


async def test_a_session_that_was_about_to_begin_waits_for_its_participant_as_before(tmp_path: Path):
    async with serving(tmp_path) as server:
        session_id = await start(server)
        (server.log_dir / f"{session_id}.json").touch()
    async with serving(tmp_path) as server:
        assert server.log_of(session_id) == []
        async with ours(server, session_id) as participant:
            await participant.posts("hello")
            await participant.expects_echo("hello")
        assert server.log_of(session_id)[0].event.event_type == "session_start"


CHECKPOINTS = {
    "below 0": '{"ID": [-5, "2026-01-01T00:00:00+00:00"]}',
    "older than any session": '{"ID": [1e18, "2026-01-01T00:00:00+00:00"]}',
    "from the future": '{"ID": [3, "2999-01-01T00:00:00+00:00"]}',
    "without a zone": '{"ID": [99, "2026-01-01T00:00:00"]}',
    "no moment": '{"ID": [99, "yesterday"]}',
    "no number": '{"ID": ["old", "2026-01-01T00:00:00+00:00"]}',
    "no pair": '{"ID": 5}',
    "no object": "[1]",
    "no JSON": "\0\1",
}


@pytest.mark.parametrize("text", CHECKPOINTS.values(), ids=CHECKPOINTS)
async def test_whatever_the_checkpoint_says_a_session_goes_on(tmp_path: Path, text: str):
    async with serving(tmp_path) as server, ours(server) as participant:
        await participant.posts("hello")
        await participant.expects_echo("hello")
    (tmp_path / "data" / CHECKPOINT_FILE).write_text(text.replace("ID", participant.session_id))
    async with serving(tmp_path) as server, ours(server, participant.session_id, hello=False) as back:
        assert (await back.says_hello())["seconds_left"] > 890
        await back.expects_echo("hello")


async def test_a_log_that_cannot_be_read_keeps_no_other_from_going_on_and_is_tried_again(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(hub, "RESUME_AGAIN_SECONDS", 0.1)
    async with serving(tmp_path) as server, ours(server) as one, ours(server) as other:
        for participant in (one, other):
            await participant.posts("hello")
            await participant.expects_echo("hello")
    log, aside = tmp_path / "logs" / f"{one.session_id}.json", tmp_path / "aside"
    log.rename(aside)
    log.mkdir()  # root can read whatever is a file
    async with serving(tmp_path) as server, ours(server, other.session_id) as back:
        await back.expects_echo("hello")
        async with ours(server, one.session_id, hello=False) as waiting:
            await waiting.sends({"type": "hello"})
            assert await waiting.reads_until_closed() == 1013
        log.rmdir()
        aside.rename(log)
        async with ours(server, one.session_id) as back:
            await back.expects_echo("hello")
