"""Every kind of bad frame and body gets its error and harms nothing."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from participants import ours, plain
from servers import serving
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from server import protocol
from server.protocol import BadFrame
from simulation.events import ErrorRaised, MessagePosted

MESSAGE = {"type": "user_message", "content": "hi"}

BAD_FRAMES: dict[str, tuple[object, str]] = {
    "empty": ("", "bad_frame"),
    "blank": ("   ", "bad_frame"),
    "not JSON": ("hello", "bad_frame"),
    "scalar": ("17", "bad_frame"),
    "text": ('"user_message"', "bad_frame"),
    "null": ("null", "bad_frame"),
    "list": ("[]", "bad_frame"),
    "empty object": ("{}", "bad_frame"),
    "no content": ({"type": "user_message"}, "bad_frame"),
    "no type": ({"content": "hi"}, "bad_frame"),
    "content a number": ({"type": "user_message", "content": 5}, "bad_frame"),
    "content a list": ({"type": "user_message", "content": ["hi"]}, "bad_frame"),
    "content null": ({"type": "user_message", "content": None}, "bad_frame"),
    "content empty": ({"type": "user_message", "content": ""}, "bad_frame"),
    "content blank": ({"type": "user_message", "content": " \n\t "}, "bad_frame"),
    "content too long": ({"type": "user_message", "content": "x" * 4001}, "too_long"),
    "type a number": ({"type": 5, "content": "hi"}, "unknown_type"),
    "type a list": ({"type": [], "content": "hi"}, "unknown_type"),
    "unknown type": ({"type": "shutdown"}, "unknown_type"),
    "binary": (b'{"type":"user_message","content":"hi"}', "bad_frame"),
    "NaN": ('{"type":"user_message","content":"hi","after":NaN}', "bad_frame"),
    "Infinity": ('{"type":"hello","after":Infinity}', "bad_frame"),
    "1e400": ('{"type":"hello","after":1e400}', "bad_frame"),
    "5,000 digits": ('{"type":"hello","after":' + "9" * 5000 + "}", "bad_frame"),
    "depth 30,000": ("[" * 30_000 + "]" * 30_000, "bad_frame"),
    "lone surrogate": (r'{"type":"user_message","content":"\ud800"}', "bad_frame"),
    "NUL": (r'{"type":"user_message","content":"a\u0000b"}', "bad_frame"),
    "duplicate keys": ('{"type":"user_message","content":"one","content":"two"}', "bad_frame"),
    "spoofed sender": (MESSAGE | {"sender": "Alice"}, "bad_frame"),
    "spoofed position": (MESSAGE | {"position": 1}, "bad_frame"),
    "id a number": (MESSAGE | {"client_message_id": 7}, "bad_frame"),
    "id too long": (MESSAGE | {"client_message_id": "x" * 101}, "bad_frame"),
    "mentions a word": (MESSAGE | {"mentions": "Alice"}, "bad_frame"),
    "mentions of nobody": (MESSAGE | {"mentions": ["Mallory"]}, "bad_frame"),
    "reply to a number": (MESSAGE | {"reply_to": 3}, "bad_frame"),
    "reply to nothing": (MESSAGE | {"reply_to": "nothing"}, "unknown_message"),
    "reaction to nothing": ({"type": "reaction", "message_id": "x", "emoji": "👍"}, "unknown_message"),
    "reaction too long": ({"type": "reaction", "message_id": "x", "emoji": "x" * 17}, "bad_frame"),
    "hello again": ({"type": "hello"}, "bad_frame"),
    "hello before the beginning": ({"type": "hello", "after": -1}, "bad_frame"),
    "truncated": ('{"type":"user_message","content":"hi"', "bad_frame"),
    "trailing comma": ('{"type":"user_message","content":"hi",}', "bad_frame"),
    "two values": ('{"type":"typing"}{"type":"typing"}', "bad_frame"),
}


async def test_every_bad_frame_gets_its_error_and_the_connection_lives(tmp_path: Path):
    async with serving(tmp_path, user_response_probability=0) as server, ours(server) as participant:
        for name, (frame, code) in BAD_FRAMES.items():
            await participant.sends(frame)
            error = await participant.next_frame() if participant.frames[-1:] else None
            while error["type"] != "error":
                error = await participant.next_frame()
            assert error["code"] == code, name
            assert error["message"], name
            assert error["message"] != "hi"
        await participant.posts("still here")
        await participant.expects_echo("still here")
        events = [record.event for record in server.log_of(participant.session_id)]
    assert [event.content for event in events if isinstance(event, MessagePosted)] == ["still here"]
    assert not [event for event in events if isinstance(event, ErrorRaised)]


async def test_the_plain_protocol_passes_over_every_bad_frame(tmp_path: Path):
    async with serving(tmp_path, user_response_probability=0, session_duration_minutes=0.1) as server:
        async with plain(server) as participant:
            for frame, _ in BAD_FRAMES.values():
                await participant.sends(frame)
            await participant.posts("still here")
            assert await participant.reads_until_closed() == 1000
        assert participant.frames == []
        posted = [r.event for r in server.log_of(participant.session_id) if isinstance(r.event, MessagePosted)]
    assert posted[-1].content == "still here"
    assert {message.sender for message in posted} == {"user"}
    # What our protocol refuses for its extra keys is, in the seed's, a message with keys that nobody reads.
    assert {message.content for message in posted} == {"hi", "still here"}


async def test_an_error_names_the_message_that_it_is_about(tmp_path: Path):
    async with serving(tmp_path) as server, ours(server) as participant:
        await participant.posts("x" * 4001, client_message_id="c1")
        assert (await participant.expects_error("too_long"))["client_message_id"] == "c1"


async def test_a_frame_too_big_costs_the_connection_and_not_the_session(tmp_path: Path):
    async with serving(tmp_path, user_response_probability=0) as server:
        async with ours(server) as participant:
            await participant.posts("before")
            await participant.expects_echo("before")
            await participant.posts("x" * 65 * 1024)
            assert await participant.reads_until_closed() == 1009
        async with ours(server, participant.session_id, after=1) as back:
            await back.posts("after")
            await back.expects_echo("after")


async def test_text_that_is_no_utf_8_costs_the_connection_and_not_the_session(tmp_path: Path):
    async with serving(tmp_path, user_response_probability=0) as server:
        async with ours(server) as participant:
            protocol_of_client = participant.socket.protocol
            protocol_of_client.send_frame(Frame(Opcode.TEXT, b'{"type":"\xff"}'))
            participant.socket.transport.write(b"".join(protocol_of_client.data_to_send()))
            assert await participant.reads_until_closed() == 1007
        async with ours(server, participant.session_id) as back:
            await back.posts("after")
            await back.expects_echo("after")


async def test_a_flood_of_frames_does_not_hold_up_another_session(tmp_path: Path):
    async with (
        serving(tmp_path, user_response_probability=0) as server,
        ours(server) as flooding,
        ours(server) as other,
    ):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_floods(flooding, 3000))
            loop, slowest = asyncio.get_running_loop(), 0.0
            for number in range(20):
                began = loop.time()
                await other.posts(f"hi {number}")
                await other.expects_echo(f"hi {number}")
                slowest = max(slowest, loop.time() - began)
        assert slowest < 5


async def _floods(participant, frames: int) -> None:
    with suppress(ConnectionClosed):  # whoever does not read what they are answered is cut off in the end
        for _ in range(frames):
            await participant.sends("nonsense")


@settings(max_examples=300, deadline=None)
@given(
    st.text(max_size=80)
    | st.builds(json.dumps, st.recursive(st.none() | st.text(max_size=5) | st.integers(), st.lists))
)
def test_any_text_is_a_frame_or_a_bad_frame(text):
    for read in (protocol.client_frame, protocol.plain_frame):
        with suppress(BadFrame):
            assert read(text.encode()).type in ("hello", "user_message", "reaction", "typing", "leave")


BAD_BODIES = {
    "empty": (b"", 400, "invalid_json"),
    "not JSON": (b"token=1234", 400, "invalid_json"),
    "cut off": (b'{"token": "12', 400, "invalid_json"),
    "invalid UTF-8": (b'{"token": "\xff"}', 400, "invalid_json"),
    "duplicate keys": (b'{"token": "1234", "token": "1234"}', 400, "invalid_json"),
    "NaN": (b'{"token": NaN}', 400, "invalid_json"),
    "5,000 digits": (b'{"token": ' + b"9" * 5000 + b"}", 400, "invalid_json"),
    "depth 30,000": (b"[" * 30_000 + b"]" * 30_000, 400, "invalid_json"),
    "lone surrogate": (rb'{"token": "\ud800"}', 400, "invalid_json"),
    "NUL": (rb'{"token": "a\u0000"}', 400, "invalid_json"),
    "scalar": (b"1234", 422, "validation_error"),
    "list": (b'["1234"]', 422, "validation_error"),
    "null": (b"null", 422, "validation_error"),
    "no token": (b"{}", 422, "validation_error"),
    "token a number": (b'{"token": 1234}', 422, "validation_error"),
    "token null": (b'{"token": null}', 422, "validation_error"),
    "token too long": (b'{"token": "' + b"x" * 300 + b'"}', 422, "validation_error"),
    "wrong token": (b'{"token": "12345"}', 401, "unauthorized"),
    "empty token": (b'{"token": ""}', 401, "unauthorized"),
    "token of another script": ('{"token": "１２３４"}'.encode(), 401, "unauthorized"),
    "65 KiB": (b'{"token": "' + b"x" * 65 * 1024 + b'"}', 413, "too_large"),
}


async def test_every_bad_body_gets_its_error(tmp_path: Path):
    async with serving(tmp_path) as server, httpx2.AsyncClient(base_url=server.http, trust_env=False) as client:
        for name, (body, status, code) in BAD_BODIES.items():
            answer = await client.post("/session/start", content=body, headers={"content-type": "application/json"})
            error = answer.json()
            assert (answer.status_code, error["error"]) == (status, code), name
            assert set(error) == {"error", "message", "details", "request_id"}
            assert error["request_id"] == answer.headers["x-request-id"]
            if status == 422:
                assert error["details"], name
        answer = await client.post(
            "/session/start", content=b'{"token": "1234"}', headers={"content-type": "text/plain"}
        )
        assert (answer.status_code, answer.json()["error"]) == (415, "unsupported_media_type")
        answer = await client.post("/session/start", json={"token": "1234", "later": "key"})
        assert answer.status_code == 200


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
async def test_the_usual_spellings_of_json_are_taken(tmp_path: Path, content_type: str):
    async with serving(tmp_path) as server, httpx2.AsyncClient(base_url=server.http, trust_env=False) as client:
        headers = {"content-type": content_type}
        answer = await client.post("/session/start", content=b'{"token": "1234"}', headers=headers)
        assert answer.status_code == 200
