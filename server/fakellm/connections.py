"""The sockets below the application: counted, and broken where a real network would break them."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

Client = tuple[str, int] | None


class Connections:
    """`open` is how many there are; a number is given in the order of their coming, from 1."""

    def __init__(self) -> None:
        self.all_closed = asyncio.Event()
        self.all_closed.set()
        self._transports: dict[Client, asyncio.Transport] = {}
        self._numbers: dict[Client, int] = {}
        self._count = 0

    @property
    def open(self) -> int:
        return len(self._transports)

    def number(self, client: Client) -> int:
        return self._numbers[client]

    def made(self, client: Client, transport: asyncio.Transport) -> None:
        self._count += 1
        self.all_closed.clear()
        self._transports[client], self._numbers[client] = transport, self._count

    def lost(self, client: Client) -> None:
        self._transports.pop(client, None)
        if not self._transports:
            self.all_closed.set()

    def breaks(self, client: Client, how: str, body: bytes) -> None:
        """Break the connection: before a reply, in the middle of one, with a reset, or with what is no HTTP."""
        transport = self._transports[client]
        if how == "drop_mid":
            head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
            transport.write(head.encode() + body[: len(body) // 2])
        elif how == "malformed":
            transport.write(b"SPQR 9.9 nonsense\r\n\r\n")
        if how == "reset":
            raw: socket.socket = transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        else:
            transport.close()

    def protocol(self) -> type[H11Protocol]:
        """Return the protocol that keeps count for us."""
        connections = self

        class CountedProtocol(H11Protocol):
            def connection_made(self, transport: Any) -> None:
                super().connection_made(transport)
                connections.made(self.client, transport)

            def connection_lost(self, exc: Exception | None) -> None:
                connections.lost(self.client)
                super().connection_lost(exc)

        return CountedProtocol
