"""What ours is compared with: the least that a server of each kind can be.

`python -m benchmarks.references KIND PORT`, KIND one of

raw        `websockets` by itself, uvloop: echoes each message
starlette  uvicorn (sans-I/O) and Starlette: `POST /start`, and a socket that echoes
durable    the same, each message appended to one file and echoed after an fdatasync every 5 ms
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import threading

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.server import ServerConnection, serve

COMMIT_SECONDS = 0.005


async def raw(port: int) -> None:
    async def echo(socket: ServerConnection) -> None:
        async for message in socket:
            await socket.send(message)

    async with serve(echo, "127.0.0.1", port, compression=None):
        await asyncio.Future()


async def start(request: Request) -> JSONResponse:
    await request.json()
    return JSONResponse({"session_id": "x"})


async def healthy(request: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"})


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnect:
        pass


class GroupCommit:
    """One file, one thread, one fdatasync every 5 ms."""

    def __init__(self) -> None:
        with tempfile.TemporaryFile() as file:
            self._file = os.dup(file.fileno())
        self._waiting: list[asyncio.Future[None]] = []
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._commit, daemon=True).start()

    async def append(self, line: bytes) -> None:
        os.write(self._file, line)
        kept = self._loop.create_future()
        self._waiting.append(kept)
        await kept

    def _commit(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(COMMIT_SECONDS)
            waiting, self._waiting = self._waiting, []
            if waiting:
                os.fdatasync(self._file)
                self._loop.call_soon_threadsafe(_keep, waiting)


def _keep(waiting: list[asyncio.Future[None]]) -> None:
    for kept in waiting:
        if not kept.done():
            kept.set_result(None)


def durable_echo() -> object:
    commits: list[GroupCommit] = []

    async def handle(websocket: WebSocket) -> None:
        if not commits:
            commits.append(GroupCommit())
        await websocket.accept()
        try:
            while True:
                text = await websocket.receive_text()
                await commits[0].append(text.encode() + b"\n")
                await websocket.send_text(text)
        except WebSocketDisconnect:
            pass

    return handle


def served(handler: object, port: int) -> None:
    routes = [
        Route("/health", healthy),
        Route("/start", start, methods=["POST"]),
        WebSocketRoute("/ws/{session_id}", handler),  # type: ignore[arg-type]
    ]
    uvicorn.run(
        Starlette(routes=routes),
        port=port,
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        log_level="error",
        access_log=False,
    )


if __name__ == "__main__":
    kind, port = sys.argv[1], int(sys.argv[2])
    if kind == "raw":
        uvloop.run(raw(port))
    else:
        served(durable_echo() if kind == "durable" else echo, port)
