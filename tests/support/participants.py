"""Participants at real sockets: one who speaks the seed's plain protocol, one who speaks ours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from servers import Server
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

PATIENCE_SECONDS = 15

Frame = dict[str, Any]


async def start(server: Server, token: str = "1234") -> str:
    """Exchange a token for a session id, as the page does."""
    async with httpx2.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"{server.http}/session/start", json={"token": token})
    assert answer.status_code == 200, answer.text
    return answer.json()["session_id"]


class Participant:
    def __init__(self, socket: ClientConnection, session_id: str) -> None:
        self.socket = socket
        self.session_id = session_id
        self.frames: list[Frame] = []
        self.close_code: int | None = None

    async def sends(self, data: Any) -> None:
        """Send a frame: text and bytes as they are, anything else as JSON."""
        await self.socket.send(data if isinstance(data, str | bytes) else json.dumps(data))

    async def next_frame(self) -> Frame:
        async with asyncio.timeout(PATIENCE_SECONDS):
            frame = json.loads(await self.socket.recv())
        self.frames.append(frame)
        return frame

    async def reads_until_closed(self) -> int | None:
        """Read whatever comes until the socket is closed; return its close code."""
        try:
            while True:
                await self.next_frame()
        except ConnectionClosed as closed:
            self.close_code = closed.rcvd.code if closed.rcvd else None
        return self.close_code


class PlainParticipant(Participant):
    async def posts(self, content: str) -> None:
        await self.sends({"type": "user_message", "content": content})


class OurParticipant(Participant):
    async def says_hello(self, after: int = 0) -> Frame:
        await self.sends({"type": "hello", "after": after})
        return await self.expects("welcome")

    async def posts(self, content: str, **details: Any) -> None:
        await self.sends({"type": "user_message", "content": content, **details})

    async def expects(self, type: str, **values: Any) -> Frame:
        """Return the next frame of a type (with the given values), passing over others."""
        while True:
            frame = await self.next_frame()
            if frame["type"] == type and all(frame.get(key) == value for key, value in values.items()):
                return frame

    async def hears_an_agent(self) -> Frame:
        """Return the next message that is not the participant's own."""
        while True:
            frame = await self.expects("message")
            if frame["sender"] != "user":
                return frame

    async def expects_echo(self, content: str) -> Frame:
        return await self.expects("message", sender="user", content=content)

    async def expects_error(self, code: str) -> Frame:
        return await self.expects("error", code=code)


@asynccontextmanager
async def plain(server: Server, session_id: str | None = None, **options: Any) -> AsyncIterator[PlainParticipant]:
    session_id = session_id or await start(server)
    async with connect(f"{server.ws}/ws/{session_id}", proxy=None, **options) as socket:
        yield PlainParticipant(socket, session_id)


@asynccontextmanager
async def ours(
    server: Server, session_id: str | None = None, *, hello: bool = True, after: int = 0, **options: Any
) -> AsyncIterator[OurParticipant]:
    session_id = session_id or await start(server)
    address = f"{server.ws}/ws/{session_id}"
    async with connect(address, subprotocols=["chatroom.v1"], proxy=None, **options) as socket:
        participant = OurParticipant(socket, session_id)
        if hello:
            await participant.says_hello(after)
        yield participant
