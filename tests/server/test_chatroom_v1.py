"""Our protocol: hello, welcome, echo as acknowledgement, typing, heartbeat, errors, the end, and back again."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path

import pytest
from participants import ours, plain, start
from servers import serving
from websockets.exceptions import ConnectionClosed

from experiments.eventlog.folder import LogFolder
from server import connection, protocol
from simulation.events import MessagePosted, ModelCalled
from simulation.llm.scripted import ScriptedProvider


async def test_the_subprotocol_is_agreed_on(tmp_path: Path):
    async with serving(tmp_path) as server, ours(server) as participant:
        assert participant.socket.subprotocol == "chatroom.v1"


async def test_welcome_says_where_one_is(tmp_path: Path):
    async with serving(tmp_path, group_name="Us") as server, ours(server, hello=False) as participant:
        welcome = await participant.says_hello()
        assert set(welcome) == {"type", "group_name", "members", "position", "seconds_left"}
        assert (welcome["group_name"], welcome["position"]) == ("Us", 0)
        assert welcome["members"] == ["Alice", "Bob", "Charlie", "Diana", "Eve"]
        assert 890 < welcome["seconds_left"] <= 900
        assert (await participant.next_frame()) == {"type": "backlog_end", "position": 0}


async def test_the_echo_is_the_acknowledgement_and_is_in_the_log_by_then(tmp_path: Path):
    async with serving(tmp_path, user_response_probability=0) as server, ours(server) as participant:
        for number in range(1, 6):
            await participant.posts(f"hi {number}", client_message_id=f"c{number}")
            echo = await participant.expects_echo(f"hi {number}")
            assert (echo["position"], echo["client_message_id"]) == (number, f"c{number}")
            logged = [r.event for r in server.log_of(participant.session_id) if isinstance(r.event, MessagePosted)]
            assert logged[-1].client_message_id == f"c{number}"
            assert logged[-1].message_id == echo["message_id"]


async def test_an_id_sent_again_is_answered_with_the_same_echo(tmp_path: Path):
    async with serving(tmp_path, user_response_probability=0) as server, ours(server) as participant:
        await participant.posts("hi", client_message_id="c1")
        first = await participant.expects_echo("hi")
        for _ in range(3):
            await participant.posts("hi", client_message_id="c1")
            assert await participant.expects_echo("hi") == first
        await participant.posts("ho", client_message_id="c1")
        assert (await participant.expects_error("conflict"))["client_message_id"] == "c1"


async def test_an_agent_answers_and_is_seen_typing_first(tmp_path: Path):
    timing = {"scale": 0.02, "spread": 0}
    async with (
        serving(tmp_path, user_response_probability=1, messages_per_minute=0, timing=timing) as server,
        ours(server) as participant,
    ):
        await participant.posts("@Diana are you there?")
        typing = await participant.expects("typing")
        assert (typing["sender"], typing["typing"]) == ("Diana", True)
        answer = await participant.expects("message", sender="Diana")
        assert answer["position"] == 2
        assert answer["content"]


async def test_a_reply_quotes_and_a_mention_is_answered_by_whom_it_names(tmp_path: Path):
    async with serving(tmp_path, user_response_probability=1, messages_per_minute=0) as server, ours(server) as me:
        await me.posts("hello", mentions=["Bob"])
        answer = await me.expects("message", sender="Bob")
        await me.posts("oh?", reply_to=answer["message_id"])
        assert (await me.expects_echo("oh?"))["reply_to"] == answer["message_id"]
        await me.expects("message", sender="Bob")
        await me.posts("oh?", reply_to="nothing")
        await me.expects_error("unknown_message")
        await me.posts("oh?", mentions=["Nobody"])
        await me.expects_error("bad_frame")


async def test_a_reaction_is_echoed_with_a_position(tmp_path: Path):
    async with serving(tmp_path, user_response_probability=0) as server, ours(server) as participant:
        await participant.posts("hi")
        echo = await participant.expects_echo("hi")
        await participant.sends({"type": "reaction", "message_id": echo["message_id"], "emoji": "👍"})
        reaction = await participant.expects("reaction")
        assert (reaction["sender"], reaction["emoji"], reaction["position"]) == ("user", "👍", 2)


async def test_the_end_is_told_and_the_socket_closed(tmp_path: Path):
    async with serving(tmp_path, session_duration_minutes=0.05) as server, ours(server) as participant:
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await participant.reads_until_closed() == 1000
        assert participant.frames[-1] == {"type": "session_end", "reason": "duration_expired"}
        assert 2.5 < loop.time() - began < 5
        async with ours(server, participant.session_id, hello=False) as late:
            await late.sends({"type": "hello"})
            assert await late.reads_until_closed() == 4410


async def test_leaving_ends_the_session(tmp_path: Path):
    async with serving(tmp_path) as server, ours(server) as participant:
        await participant.sends({"type": "leave"})
        assert await participant.reads_until_closed() == 1000
        assert participant.frames[-1]["reason"] == "withdrawn"
        assert server.log_of(participant.session_id)[-1].event.reason == "withdrawn"


async def test_nothing_begins_before_hello(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(protocol, "HELLO_SECONDS", 0.2)
    async with serving(tmp_path) as server:
        session_id = await start(server)
        async with ours(server, session_id, hello=False) as participant:
            await participant.posts("too early")
            await participant.expects_error("hello_first")
            await participant.sends("nonsense")
            await participant.expects_error("bad_frame")
            await participant.sends(b"binary")
            await participant.expects_error("bad_frame")
            assert not list(server.log_dir.glob("*.json"))
            assert await participant.reads_until_closed() == 4401
        async with ours(server, session_id) as participant:
            await participant.posts("now")
            await participant.expects_echo("now")


async def test_hello_is_said_once(tmp_path: Path):
    async with serving(tmp_path) as server, ours(server) as participant:
        await participant.sends({"type": "hello"})
        await participant.expects_error("bad_frame")


async def test_whoever_comes_back_gets_exactly_what_they_lack(tmp_path: Path):
    async with serving(tmp_path, user_response_probability=0) as server:
        async with ours(server) as participant:
            for number in range(1, 11):
                await participant.posts(f"message {number}")
            await participant.expects_echo("message 10")
        async with ours(server, participant.session_id, after=7) as back:
            frames = [await back.next_frame() for _ in range(4)]
            assert [frame["position"] for frame in frames] == [8, 9, 10, 10]
            assert [frame["type"] for frame in frames] == ["message", "message", "message", "backlog_end"]
            await back.posts("and on")
            assert (await back.expects_echo("and on"))["position"] == 11
        async with ours(server, participant.session_id, after=999) as ahead:
            assert (await ahead.next_frame()) == {"type": "backlog_end", "position": 11}


async def test_a_backlog_longer_than_any_queue_comes_whole(tmp_path: Path):
    async with serving(tmp_path, user_response_probability=0) as server:
        async with ours(server) as participant:
            for number in range(700):
                await participant.posts(f"message {number}")
            await participant.expects_echo("message 699")
        async with ours(server, participant.session_id) as back:
            await back.expects("backlog_end")
            positions = [frame["position"] for frame in back.frames if frame["type"] == "message"]
            assert positions == list(range(1, 701))


async def test_the_newest_connection_wins_and_the_older_is_told(tmp_path: Path):
    async with serving(tmp_path, user_response_probability=0) as server, ours(server) as first:
        await first.posts("one")
        await first.expects_echo("one")
        async with ours(server, first.session_id, after=1) as second:
            assert await first.reads_until_closed() == 4409
            await second.posts("two")
            assert (await second.expects_echo("two"))["position"] == 2


async def test_an_unknown_session_is_unknown(tmp_path: Path):
    async with serving(tmp_path) as server:
        for session_id in (
            "6f1d4c1e-4b0a-4d5e-9d7a-2f1b3c4d5e6f",
            "x",
            "%2e%2e",
            "6F1D4C1E-4B0A-4D5E-9D7A-2F1B3C4D5E6F",
        ):
            async with ours(server, session_id, hello=False) as participant:
                await participant.sends({"type": "hello"})
                assert await participant.reads_until_closed() == 4404
            async with plain(server, session_id) as participant:
                assert await participant.reads_until_closed() == 4404
        assert list(server.log_dir.iterdir()) == []


async def test_a_heart_beats_with_the_last_position(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(protocol, "HEARTBEAT_SECONDS", 0.1)
    async with serving(tmp_path, user_response_probability=0, messages_per_minute=0) as server, ours(server) as me:
        assert (await me.expects("heartbeat"))["position"] == 0
        await me.posts("hi")
        await me.expects_echo("hi")
        assert (await me.expects("heartbeat"))["position"] == 1


async def test_positions_have_no_gap_and_frames_tell_nobody_apart(tmp_path: Path):
    changes = {"messages_per_minute": 600, "user_response_probability": 1, "session_duration_minutes": 0.06}
    acts = {"message": 1, "reply": 0.3, "mention": 0.3, "reaction": 0.3}
    async with serving(tmp_path, act_weights=acts, **changes) as server, ours(server) as participant:
        await participant.posts("hi")
        await participant.reads_until_closed()
    visible = [
        frame for frame in participant.frames if "position" in frame and frame["type"] in ("message", "reaction")
    ]
    assert [frame["position"] for frame in visible] == list(range(1, len(visible) + 1))
    assert len(visible) > 10
    for frame in visible:
        if frame["type"] == "message":
            assert set(frame) <= {
                "type", "position", "message_id", "sender", "content", "timestamp", "reply_to", "mentions",
            }  # fmt: skip


async def test_a_reader_that_falls_behind_is_cut_off_and_the_session_goes_on(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(connection, "MAX_LAG", 8)
    monkeypatch.setattr(connection, "SEND_SECONDS", 0.3)
    async with serving(tmp_path, user_response_probability=0) as server:
        session_id = await start(server)
        async with ours(server, session_id, max_queue=1, ping_interval=None) as stalled:
            stalled.socket.transport.pause_reading()
            async with asyncio.TaskGroup() as tasks:
                flood = tasks.create_task(_floods(stalled))
                async with asyncio.timeout(20):
                    while b'"participant_disconnected"' not in _newest(server.log_dir / f"{session_id}.json"):
                        await asyncio.sleep(0.05)
                flood.cancel()
            stalled.socket.transport.abort()
        async with ours(server, session_id) as back:
            await back.expects("backlog_end")
            await back.posts("still here")
            await back.expects_echo("still here")


def _newest(log: Path) -> bytes:
    """Return the end of a log that is too long to be read again and again."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 65536))
        return file.read()


async def _floods(participant) -> None:
    with suppress(ConnectionClosed):
        while True:
            await participant.posts("x" * 3900)


async def test_typing_that_comes_to_nothing_is_taken_back(tmp_path: Path):
    timing = {"scale": 0.05, "spread": 0, "stale_after_messages": 1, "stale_answers": "drop"}
    async with serving(tmp_path, user_response_probability=1, timing=timing) as server, ours(server) as participant:
        await participant.posts("@Bob hello")
        await participant.expects("typing", sender="Bob", typing=True)
        await participant.posts("@Alice the talk moves on")
        await participant.expects("typing", sender="Bob", typing=False)


async def test_participants_typing_is_taken_and_nobodys_business(tmp_path: Path):
    async with serving(tmp_path) as server, ours(server) as participant:
        await participant.sends({"type": "typing"})
        await participant.sends({"type": "typing", "typing": False})
        await participant.posts("hi")
        assert (await participant.expects_echo("hi"))["position"] == 1
        assert not [frame for frame in participant.frames if frame["type"] == "error"]


async def test_a_socket_that_never_says_anything_is_closed_and_one_that_leaves_early_is_nobodys_loss(
    tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(protocol, "HELLO_SECONDS", 0.2)
    async with serving(tmp_path) as server:
        async with ours(server, hello=False) as silent:
            assert await silent.reads_until_closed() == 4401
        async with ours(server, hello=False):
            pass
        async with ours(server, hello=False) as talker:
            for _ in range(protocol.FRAMES_FOR_HELLO):
                await talker.sends({})
            assert await talker.reads_until_closed() == 4401
        async with ours(server, hello=False) as big:
            await big.sends("x" * 65 * 1024)
            assert await big.reads_until_closed() == 1009


async def test_a_log_that_is_there_is_never_written_over(tmp_path: Path):
    async with serving(tmp_path) as server:
        session_id = await start(server)
        (server.log_dir / f"{session_id}.json").write_text("somebody else's\n")
        async with ours(server, session_id, hello=False) as participant:
            await participant.sends({"type": "hello"})
            assert await participant.reads_until_closed() == 4410
        assert (server.log_dir / f"{session_id}.json").read_text() == "somebody else's\n"


async def test_a_log_into_which_nothing_whole_was_written_is_the_sessions(tmp_path: Path):
    async with serving(tmp_path) as server:
        session_id = await start(server)
        (server.log_dir / f"{session_id}.json").write_text('{"seq":1,"timest')
        async with ours(server, session_id) as participant:
            await participant.posts("hello")
            await participant.expects_echo("hello")
        assert (server.log_dir / f"{session_id}.json.torn-1").read_text() == '{"seq":1,"timest'
        assert [record.seq for record in server.log_of(session_id)][:2] == [1, 2]


async def test_no_log_no_session(tmp_path: Path):
    async with serving(tmp_path) as server:
        session_id = await start(server)
        server.log_dir.rename(tmp_path / "elsewhere")
        async with ours(server, session_id, hello=False) as participant:
            await participant.sends({"type": "hello"})
            assert await participant.reads_until_closed() == 1013
        (tmp_path / "elsewhere").rename(server.log_dir)
        async with ours(server, session_id) as participant:
            await participant.posts("now")
            await participant.expects_echo("now")


async def test_a_session_that_cannot_begin_keeps_no_file_open(tmp_path: Path, monkeypatch):
    def breaks(self, start):
        raise ZeroDivisionError("as arranged")

    opened = []
    create = LogFolder.create

    def remembers(self, session_id):
        opened.append(create(self, session_id))
        return opened[-1]

    monkeypatch.setattr(LogFolder, "create", remembers)
    monkeypatch.setattr(ScriptedProvider, "for_session", breaks)
    async with serving(tmp_path) as server, ours(server, hello=False) as participant:
        await participant.sends({"type": "hello"})
        assert await participant.reads_until_closed() == 1011
    (log,) = opened
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(log._file.pending.descriptor)


async def test_an_error_in_a_socket_costs_that_socket_and_no_other(tmp_path: Path, monkeypatch):
    def breaks(self):
        raise ZeroDivisionError("as arranged")

    async with serving(tmp_path) as server, ours(server) as healthy:
        monkeypatch.setattr(connection.Connection, "_greet", breaks)
        async with ours(server, hello=False) as broken:
            await broken.sends({"type": "hello"})
            assert await broken.reads_until_closed() == 1011
        await healthy.posts("hi")
        await healthy.expects_echo("hi")


async def test_no_model_is_asked_after_the_session_is_over(tmp_path: Path):
    changes = {"messages_per_minute": 600, "user_response_probability": 1, "session_duration_minutes": 0.05}
    async with serving(tmp_path, reconnect_grace_seconds=0, **changes) as server:
        async with ours(server) as participant:
            await participant.posts("hello")
            await participant.expects_echo("hello")
        await server.end_of(participant.session_id)
        length = len(server.log_of(participant.session_id))
        await asyncio.sleep(0.5)
        records = server.log_of(participant.session_id)
        assert len(records) == length
        assert records[-1].event.reason == "websocket_disconnect"
        assert any(isinstance(record.event, ModelCalled) for record in records)


async def test_whoever_comes_back_sees_who_is_typing(tmp_path: Path):
    slow = {"noticing_seconds": 0, "typing_least_seconds": 3, "spread": 0}
    async with serving(tmp_path, timing=slow, user_response_probability=1) as server:
        async with ours(server) as participant:
            await participant.posts("hello")
            typing = await participant.expects("typing", typing=True)
        async with ours(server, participant.session_id) as back:
            await back.expects("typing", typing=True, sender=typing["sender"])
            assert (await back.hears_an_agent())["sender"] == typing["sender"]
