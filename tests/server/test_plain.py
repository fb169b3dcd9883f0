"""A client written from the seed's README alone: start with 1234, connect, talk, read the log."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path

from participants import plain, start
from servers import serving

from simulation.events import MessagePosted, ModelCalled, SessionEnded, SessionStarted


async def test_gets_agents_messages_and_nothing_else(tmp_path: Path):
    async with serving(tmp_path, user_response_probability=1, session_duration_minutes=0.05) as server:
        async with plain(server) as participant:
            await participant.posts("Hello everyone!")
            close_code = await participant.reads_until_closed()
        assert close_code == 1000
        assert participant.frames
        for frame in participant.frames:
            assert set(frame) == {"sender", "content", "timestamp", "message_id"}
            assert frame["sender"] in ("Alice", "Bob", "Charlie", "Diana", "Eve")
            datetime.fromisoformat(frame["timestamp"])


async def test_the_log_holds_the_seeds_events_with_the_seeds_fields(tmp_path: Path):
    async with serving(tmp_path, user_response_probability=1, session_duration_minutes=0.05) as server:
        async with plain(server) as participant:
            await participant.posts("Hello everyone!")
            await participant.reads_until_closed()
        records = server.log_of(participant.session_id)
        text = (server.log_dir / f"{participant.session_id}.json").read_text()
    kinds = [record.event.event_type for record in records]
    assert kinds[0] == "session_start"
    assert kinds[-1] == "session_end"
    assert {"message", "llm_call"} <= set(kinds)
    assert kinds.count("session_end") == 1
    by_kind = {record.event.event_type: record.event for record in records}
    for kind, names in {
        "session_start": ("session_id", "experimental_config", "simulation_config"),
        "message": ("sender", "content", "message_id"),
        "llm_call": ("agent_name", "prompt", "response", "error"),
        "session_end": ("session_id", "reason"),
    }.items():
        for name in names:
            assert hasattr(by_kind[kind], name)
            assert f'"{name}"' in text
    first = next(record.event for record in records if isinstance(record.event, MessagePosted))
    assert (first.sender, first.content) == ("user", "Hello everyone!")
    assert kinds.index("llm_call") < [i for i, kind in enumerate(kinds) if kind == "message"][1]
    assert isinstance(by_kind["session_start"], SessionStarted)
    assert isinstance(by_kind["llm_call"], ModelCalled)


async def test_a_disconnect_ends_the_session(tmp_path: Path):
    async with serving(tmp_path) as server:
        async with plain(server) as participant:
            await participant.posts("Hello")
        end = await server.end_of(participant.session_id)
        assert end.reason == "websocket_disconnect"
        async with plain(server, participant.session_id) as late:
            # told of the end while it is being kept, turned away after
            assert await late.reads_until_closed() in (1000, 4410)


async def test_the_demo_token_starts_a_new_session_each_time(tmp_path: Path):
    async with serving(tmp_path) as server:
        assert await start(server) != await start(server)


async def test_two_sessions_at_once_never_share_a_byte(tmp_path: Path):
    async with serving(tmp_path, user_response_probability=1, session_duration_minutes=0.06) as server:
        async with plain(server) as one, plain(server) as two:
            for number in range(10):
                await one.posts(f"alpha {number}")
                await two.posts(f"omega {number}")
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(one.reads_until_closed())
                tasks.create_task(two.reads_until_closed())
        logs = [(server.log_dir / f"{p.session_id}.json").read_text() for p in (one, two)]
    assert "omega" not in logs[0]
    assert two.session_id not in logs[0]
    assert "alpha" not in logs[1]
    ids = [{frame["message_id"] for frame in participant.frames} for participant in (one, two)]
    assert all(ids)
    assert not ids[0] & ids[1]


async def test_a_second_socket_takes_over_and_the_first_is_told(tmp_path: Path):
    async with serving(tmp_path, user_response_probability=1) as server, plain(server) as first:
        await first.posts("hello")
        await first.next_frame()
        async with plain(server, first.session_id) as second:
            assert await first.reads_until_closed() == 4409
            await second.posts("still here")
            frame = await second.next_frame()
            assert frame["sender"] != "user"
            assert not any(isinstance(r.event, SessionEnded) for r in server.log_of(first.session_id))
