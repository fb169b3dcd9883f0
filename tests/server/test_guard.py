"""Connections on which no request becomes whole cost nobody anything but themselves."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from participants import ours, start
from servers import serving
from starlette.types import Message
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from server import guard, requests
from server.security import SecurityMiddleware
from server.settings import ServerSettings
from simulation.events import MessagePosted

START = b"POST /session/start HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"


@asynccontextmanager
async def connected(server):
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def test_a_header_without_end_is_refused_and_others_notice_nothing(tmp_path: Path):
    async with serving(tmp_path) as server, ours(server) as other, connected(server) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 200_000)
        assert (await reader.read(12)) == b"HTTP/1.1 400"
        await other.posts("hi")
        await other.expects_echo("hi")


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"])
async def test_whoever_asks_for_nothing_is_let_go_of(tmp_path: Path, monkeypatch, sent: bytes):
    monkeypatch.setattr(guard, "REQUEST_SECONDS", 0.2)
    async with serving(tmp_path) as server, connected(server) as (reader, writer):
        writer.write(sent)
        async with asyncio.timeout(4):  # the idle time that uvicorn grants after an answer is longer
            answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200" if b"health" in sent else b"")


HANDSHAKE = (
    b"GET /ws/x HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
)


@pytest.mark.parametrize(
    "more",
    [b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"X: y\r\n" * 130, b"X: " + b"y" * 8300 + b"\r\n"],
    ids=["a body", "chunks", "many headers", "a long header"],
)
async def test_a_handshake_that_is_none_is_refused(tmp_path: Path, more: bytes):
    async with serving(tmp_path) as server, connected(server) as (reader, writer):
        writer.write(HANDSHAKE + more + b"\r\n")
        async with asyncio.timeout(4):
            assert (await reader.read()).startswith(b"HTTP/1.1 400")


async def test_a_handshake_right_behind_a_request_is_a_socket_as_any(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(guard, "REQUEST_SECONDS", 0.2)
    async with serving(tmp_path) as server, connected(server) as (reader, writer):
        handshake = HANDSHAKE + b"Sec-WebSocket-Protocol: chatroom.v1\r\n\r\n"
        writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" + handshake)
        await reader.readuntil(b"HTTP/1.1 101")
        await reader.readuntil(b"\r\n\r\n")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await reader.read()


async def test_a_socket_is_patiently_waited_for(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(guard, "REQUEST_SECONDS", 0.2)
    async with serving(tmp_path) as server, ours(server) as participant:
        await asyncio.sleep(0.5)
        await participant.posts("hi")
        await participant.expects_echo("hi")


async def test_whoever_pings_and_reads_nothing_is_dropped(tmp_path: Path, monkeypatch):
    for seconds in ("server.serving.PING_SECONDS", "server.protocol.HEARTBEAT_SECONDS"):
        monkeypatch.setattr(seconds, 600)  # by these they would be noticed as well, some time
    hello, ping = b'{"type":"hello"}', bytes(125)
    frames = bytes([0x81, 0x80 | len(hello), 0, 0, 0, 0]) + hello
    pings = (bytes([0x89, 0x80 | len(ping), 0, 0, 0, 0]) + ping) * 1000
    async with serving(tmp_path) as server, connected(server) as (reader, writer):
        path = b"/ws/" + (await start(server)).encode()
        writer.write(HANDSHAKE.replace(b"/ws/x", path) + b"Sec-WebSocket-Protocol: chatroom.v1\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(frames)
        await reader.readuntil(b"backlog_end")
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(writes_for_ever(writer, pings), 30)


async def test_of_whoever_sends_without_end_little_is_taken_at_a_time(tmp_path: Path, monkeypatch):
    """Others have their turn in between; and nothing of it is lost, or out of order."""
    frames = [json.dumps({"type": "user_message", "content": f"message {number}"}) for number in range(1_000)]
    taken: list[int] = []
    takes = WebSocketsSansIOProtocol.data_received

    def takes_note(socket: WebSocketsSansIOProtocol, data: bytes) -> None:
        taken.append(len(data))
        takes(socket, data)

    monkeypatch.setattr(WebSocketsSansIOProtocol, "data_received", takes_note)
    async with serving(tmp_path, user_response_probability=0) as server, connected(server) as (reader, writer):
        path = b"/ws/" + (session_id := await start(server)).encode()
        writer.write(HANDSHAKE.replace(b"/ws/x", path) + b"Sec-WebSocket-Protocol: chatroom.v1\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"".join(map(masked, ['{"type":"hello"}', *frames])))
        echoed = b""
        while b"message 999" not in echoed:
            echoed += await reader.read(100_000)
        said = [r.event.content for r in server.log_of(session_id) if isinstance(r.event, MessagePosted)]
    assert said == [f"message {number}" for number in range(1_000)]
    assert max(taken) == guard.PIECE_BYTES == 2048


def masked(text: str) -> bytes:
    """A text frame as clients send it (RFC 6455, 5.2), masked with zeros."""
    return bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text.encode()


async def writes_for_ever(writer: asyncio.StreamWriter, data: bytes) -> None:
    while True:
        writer.write(data)
        await writer.drain()


async def test_a_body_that_does_not_come_is_not_waited_for(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(requests, "BODY_SECONDS", 0.2)
    async with serving(tmp_path) as server, connected(server) as (reader, writer):
        writer.write(START + b'{"token"')
        assert (await reader.read(12)) == b"HTTP/1.1 408"


async def test_whoever_leaves_in_the_middle_of_a_body_is_no_error(tmp_path: Path, caplog):
    async with serving(tmp_path) as server, ours(server) as other:
        async with connected(server) as (_, writer):
            writer.write(START + b'{"token"')
            await writer.drain()
        await other.posts("hi")
        await other.expects_echo("hi")
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR and "failed" in record.message]


async def test_what_another_server_exposes_is_not_answered(tmp_path: Path):
    """`uvicorn server.app:app --host 0.0.0.0` listens where `chatroom serve` would refuse to."""

    async def answers(scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def status(address: str, **settings) -> int:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "scheme": "http", "server": (address, 80)}
        middleware = SecurityMiddleware(answers, ServerSettings(_env_file=None, **settings), is_demo=True)
        await middleware(scope, answers, send)
        if sent[0]["status"] == 403:
            assert json.loads(sent[1]["body"])["error"] == "exposed"
        return sent[0]["status"]

    assert await status("127.0.0.1") == 200
    assert await status("::1") == 200
    assert await status("192.0.2.1") == 403
    assert await status("192.0.2.1", researcher_key="k" * 32) == 403
    assert await status("192.0.2.1", researcher_key="k" * 32, allow_demo=True) == 200
