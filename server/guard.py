"""What uvicorn leaves open: a connection on which no request ever becomes whole, a socket that nobody reads any more.

Its faster parser takes a header of any length, and halts every session meanwhile; h11 takes 16 KiB and no more. Neither
minds a client that connects and says nothing, or a letter a minute: each holds a descriptor until there are none left.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.http11 import Request

REQUEST_SECONDS = 20.0
"""How long a connection may take to ask for something, the first time and each time after."""
MAX_HANDSHAKE_HEADERS = 100
MAX_HANDSHAKE_LINE = 8_000
"""A little less than the 128 headers and 8,192 bytes a line that websockets takes."""


ABORT = "chatroom.abort"
"""The ASGI extension with which a socket is dropped at once."""
MOST_UNREAD_BYTES = 256 * 1024
"""Of pongs. What we send ourselves waits before it comes to that."""
PIECE_BYTES = 2 * 1024
"""How much of what a socket sends is taken before others have their turn. 256 KiB are read at once, in which 32,000
small frames have room: they held up everybody for six seconds (measured).
"""
CLOSING_SECONDS = 1.0
"""What a client has to take the goodbye of a server that stops."""


class GuardedSocket(WebSocketsSansIOProtocol):
    """uvicorn's socket, for peers that take nothing: closing politely would wait for them, descriptor and all. And for
    those that send as much as they can.
    """

    _rest = b""

    def data_received(self, data: bytes) -> None:
        """Take a piece of what has come in, the rest when others have had their turn; until then nothing is read."""
        if self._rest:
            self._rest += data
            self._wait_with_reading()
        else:
            self._rest = data
            self._take_piece()

    def _take_piece(self) -> None:
        piece, self._rest = self._rest[:PIECE_BYTES], self._rest[PIECE_BYTES:]
        super().data_received(piece)
        if self._rest:
            self._wait_with_reading()
            self.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        if self.transport.is_closing():
            return
        self._take_piece()
        if not (self._rest or self.read_paused or self.transport.is_closing()):
            self.transport.resume_reading()

    def _wait_with_reading(self) -> None:
        if not self.transport.is_closing():
            self.transport.pause_reading()

    async def receive(self) -> ASGIReceiveEvent:
        """uvicorn reads on once what it has is taken; what we have comes first."""
        event = await super().receive()
        if self._rest:
            self._wait_with_reading()
        return event

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):
            self.scope["extensions"][ABORT] = {"abort": self.transport.abort}

    def handle_ping(self) -> None:
        """Pongs are not held back as frames are: whoever pings and reads nothing would fill the memory with them."""
        super().handle_ping()
        if self.transport.get_write_buffer_size() > MOST_UNREAD_BYTES:
            self.transport.abort()

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self._abort_if_stuck()

    async def send(self, message: ASGISendEvent) -> None:
        """Of a socket that was given up on in between, its client is gone; uvicorn takes it for an error of ours."""
        await self.writable.wait()
        if self.close_sent:
            raise ClientDisconnected
        await super().send(message)

    def shutdown(self) -> None:
        try:
            super().shutdown()
        except InvalidState:  # its client is just closing it; uvicorn would stop stopping
            self.transport.close()
        self.loop.call_later(CLOSING_SECONDS, self._abort_if_stuck)

    def _abort_if_stuck(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()


class GuardedHttp(H11Protocol):
    """uvicorn's protocol, with an end to its patience."""

    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_request()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.get_protocol() is self:  # and not a socket, whose handshake came right behind
            self._wait_for_request()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        if _is_too_much_for_websockets(event):
            self.send_400_response("This is no WebSocket handshake.")
            return
        self._stop_waiting()
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait_for_request(self) -> None:
        self._stop_waiting()
        self._patience = self.loop.call_later(REQUEST_SECONDS, self._give_up, self.cycle)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self, last: Any) -> None:
        if self.cycle is last:  # no request has begun since
            self.transport.close()


def _is_too_much_for_websockets(event: h11.Request) -> bool:
    """Whether websockets would wait for a body or give up on the handshake: uvicorn then forgets to close it."""
    names = [name for name, _ in event.headers]
    lines = [event.target, *(name + value for name, value in event.headers)]
    has_body = any(name in (b"content-length", b"transfer-encoding") for name in names)
    return has_body or len(names) > MAX_HANDSHAKE_HEADERS or max(map(len, lines)) > MAX_HANDSHAKE_LINE
