"""A participant whose machine takes nothing any more, while more and more is there for it."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import struct
import time

from deployment import Deployment
from participants import start

RECEIVE_BUFFER_BYTES = 4096
MESSAGE = 3990 * "😀"
"""As long as a message may be, in the characters that take most room: 16 kB."""
MESSAGES_AT_ONCE = 20
STUCK_SECONDS = 2.0


class StalledReader:
    """A socket on which nothing is read after the handshake."""

    def __init__(self, deployed: Deployment, raw: socket.socket, session_id: str) -> None:
        self.session_id = session_id
        self._deployed = deployed
        self._raw = raw

    def sends(self, **frame: object) -> None:
        self._raw.sendall(client_frame(json.dumps(frame, ensure_ascii=False).encode()))

    def floods_itself(self, messages: int, content: str = MESSAGE) -> None:
        for _ in range(messages):
            self.sends(type="user_message", content=content)

    async def floods_itself_until_stuck(self) -> None:
        """Write until the echoes fill every buffer on the way, which is some megabytes, and the server waits."""
        echoed = 0
        while not await self._is_stuck(echoed):
            self.floods_itself(MESSAGES_AT_ONCE)
            echoed += MESSAGES_AT_ONCE * len(MESSAGE.encode())

    async def _is_stuck(self, echoed: int) -> bool:
        """Whether not all that is to come back is on its way, and no more of it comes."""
        waiting, since = 0, time.monotonic()
        while waiting + 2 * RECEIVE_BUFFER_BYTES < echoed:
            await asyncio.sleep(0.01)
            if self._waiting > waiting:
                waiting, since = self._waiting, time.monotonic()
            elif time.monotonic() - since > STUCK_SECONDS:
                return True
        return False

    @property
    def _waiting(self) -> int:
        return self._deployed.waits_to_send(self._raw.getsockname()[1])

    def close(self) -> None:
        self._raw.close()


async def flood_until_stuck(readers: list[StalledReader]) -> None:
    async with asyncio.TaskGroup() as tasks:
        for reader in readers:
            tasks.create_task(reader.floods_itself_until_stuck())


async def stalled_reader(deployed: Deployment, token: str = "1234") -> StalledReader:
    """Return a participant who has said hello and reads nothing."""
    session_id = await start(deployed.server, token)
    return await asyncio.to_thread(_opened, deployed, session_id)


def _opened(deployed: Deployment, session_id: str) -> StalledReader:
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    raw.settimeout(20)
    raw.connect(("127.0.0.1", deployed.server.port))
    key = base64.b64encode(os.urandom(16)).decode()
    raw.sendall(
        f"GET /ws/{session_id} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chatroom.v1\r\n\r\n".encode()
    )
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += raw.recv(1)
    assert b" 101 " in answer
    reader = StalledReader(deployed, raw, session_id)
    reader.sends(type="hello")
    return reader


def client_frame(payload: bytes) -> bytes:
    """Return a text frame, masked with zeros, as a client sends it."""
    length = len(payload)  # below 64 KiB, which is all that the server takes
    head = struct.pack("!BB", 0x81, 0x80 | length) if length < 126 else struct.pack("!BBH", 0x81, 0x80 | 126, length)
    return head + bytes(4) + payload
