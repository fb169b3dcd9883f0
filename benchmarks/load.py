"""The load generator: clients on real sockets that send a message and wait for its echo."""

from __future__ import annotations

import asyncio
import json
import random
import time
import urllib.request
from dataclasses import dataclass, field
from typing import cast

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

TEXT = "a message of about the length that people write in a group chat, give or take a few words"


@dataclass(slots=True)
class Client:
    """One socket. `speaks_ours`: it speaks chatroom.v1; else it is echoed what it sends."""

    socket: ClientConnection
    speaks_ours: bool
    session_id: str = ""
    round_trips: list[float] = field(default_factory=list)
    sent: int = 0

    async def round_trip(self) -> None:
        self.sent += 1
        sent_id = f"m{self.sent}"
        frame = {"type": "user_message", "content": TEXT, "client_message_id": sent_id}
        began = time.perf_counter()
        await self.socket.send(json.dumps(frame))
        while sent_id not in await self.socket.recv():
            pass
        self.round_trips.append(time.perf_counter() - began)


def start_session(port: int, path: str) -> str:
    body = json.dumps({"token": "1234"}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", data=body, headers={"content-type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        return str(json.load(answer)["session_id"])


async def join(port: int, *, speaks_ours: bool, starts: bool = True) -> Client:
    """Start a session and open its socket, as a browser does."""
    session_id = "x"
    if starts:
        path = "/session/start" if speaks_ours else "/start"
        session_id = await asyncio.to_thread(start_session, port, path)
    socket = await connect(
        f"ws://127.0.0.1:{port}/ws/{session_id}",
        subprotocols=["chatroom.v1"] if speaks_ours else None,  # type: ignore[list-item]
        compression=None,
        proxy=None,
        ping_interval=None,
    )
    if speaks_ours:
        await _until_all_is_there(socket)
    return Client(socket, speaks_ours, session_id)


async def again(port: int, session_id: str) -> None:
    """Open a session's socket again, and wait until everything that was said has come."""
    address = f"ws://127.0.0.1:{port}/ws/{session_id}"
    subprotocols = cast(list[Subprotocol], ["chatroom.v1"])
    async with connect(address, subprotocols=subprotocols, proxy=None, open_timeout=60) as socket:
        await _until_all_is_there(socket)


async def _until_all_is_there(socket: ClientConnection) -> None:
    await socket.send('{"type":"hello"}')
    while "backlog_end" not in await socket.recv():
        pass


async def join_many(port: int, count: int, *, speaks_ours: bool, starts: bool = True) -> list[Client]:
    clients: list[Client] = []
    for first in range(0, count, 20):
        async with asyncio.TaskGroup() as tasks:
            joining = [
                tasks.create_task(join(port, speaks_ours=speaks_ours, starts=starts))
                for _ in range(min(20, count - first))
            ]
        clients += [each.result() for each in joining]
    return clients


async def leave(clients: list[Client]) -> None:
    for client in clients:
        client.socket.transport.abort()
        await client.socket.wait_closed()


async def saturate(clients: list[Client], seconds: float) -> int:
    """Every client sends again as soon as it has its echo; return the number of round trips."""
    ends = time.perf_counter() + seconds

    async def loop(client: Client) -> None:
        while time.perf_counter() < ends:
            await client.round_trip()

    before = sum(len(client.round_trips) for client in clients)
    async with asyncio.TaskGroup() as tasks:
        for client in clients:
            tasks.create_task(loop(client))
    return sum(len(client.round_trips) for client in clients) - before


async def pace(clients: list[Client], seconds: float, *, every: float) -> list[float]:
    """Every client sends once in `every` seconds, each at its own moment; return the round trips (seconds)."""
    ends = time.perf_counter() + seconds

    async def loop(client: Client) -> None:
        await asyncio.sleep(random.Random(id(client)).random() * every)
        while time.perf_counter() < ends:
            began = time.perf_counter()
            await client.round_trip()
            now = time.perf_counter()
            await asyncio.sleep(max(0.0, min(began + every, ends) - now))

    for client in clients:
        client.round_trips.clear()
    async with asyncio.TaskGroup() as tasks:
        for client in clients:
            tasks.create_task(loop(client))
    return [each for client in clients for each in client.round_trips]
