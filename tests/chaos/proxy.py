"""A bad line: a TCP proxy that cuts, stalls, half-opens and delays what goes through it, as networks do."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import Literal

Side = Literal["client", "server"]
BOTH: tuple[Side, Side] = ("client", "server")
CHUNK_BYTES = 4096


class Line:
    """One connection through the proxy, of two: `client` is the one of who has called, `server` ours to the server."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter, delay: float) -> None:
        self.port: int = client.get_extra_info("peername")[1]
        self.is_half_open = False
        self.delay = delay
        self._writers: dict[Side, asyncio.StreamWriter] = {"client": client, "server": server}
        self._flows: dict[Side, asyncio.Event] = {"client": asyncio.Event(), "server": asyncio.Event()}
        self.flow()

    def stall(self, *sides: Side) -> None:
        """Take nothing from these sides any more, while both connections stay open."""
        for side in sides or BOTH:
            self._flows[side].clear()

    def flow(self) -> None:
        for flow in self._flows.values():
            flow.set()

    def cut(self, *sides: Side, reset: bool = False) -> None:
        """End the connections of these sides: with a goodbye (FIN), or without (RST)."""
        for side in sides or BOTH:
            writer = self._writers[side]
            if reset:
                _forget_politeness(writer)
                writer.transport.abort()
            else:
                writer.close()

    def half_open(self, dead: Side, *, reset: bool = True) -> None:
        """Let one side die while the other hears nothing of it, and of nothing else."""
        self.is_half_open = True
        self.stall()
        self.cut(dead, reset=reset)

    async def carry(self, readers: dict[Side, asyncio.StreamReader]) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._carry(readers["client"], "client", "server"))
            tasks.create_task(self._carry(readers["server"], "server", "client"))

    async def _carry(self, reader: asyncio.StreamReader, source: Side, target: Side) -> None:
        writer, flow = self._writers[target], self._flows[source]
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                if self.delay:
                    await asyncio.sleep(self.delay)
                await flow.wait()
                writer.write(data)
                await writer.drain()
        await flow.wait()
        if not self.is_half_open:
            writer.close()


class Proxy:
    """Stands before the server on `target`; `lines` are those that were opened, the newest last."""

    def __init__(self, target: int, *, delay: float = 0.0) -> None:
        self.target = target
        self.delay = delay
        self.lines: list[Line] = []
        self._server: asyncio.Server | None = None
        self._carrying: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def line_from(self, port: int) -> Line:
        """The line of whoever calls from `port`."""
        return next(line for line in reversed(self.lines) if line.port == port)

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0, limit=CHUNK_BYTES)
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()
        for line in self.lines:
            line.cut(reset=True)
        for each in self._carrying:
            each.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        carrying = asyncio.ensure_future(self._carry(reader, writer))
        self._carrying.add(carrying)
        carrying.add_done_callback(self._carrying.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.target, limit=CHUNK_BYTES)
        except OSError:  # as if nobody listened here either
            _forget_politeness(writer)
            writer.transport.abort()
            return
        line = Line(writer, server_writer, self.delay)
        self.lines.append(line)
        await line.carry({"client": reader, "server": server_reader})


def _forget_politeness(writer: asyncio.StreamWriter) -> None:
    """What is closed after this is reset."""
    raw: socket.socket = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
