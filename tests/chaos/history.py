"""A participant's client that does as our page does, only quicker, and writes down everything that happens to it.

It comes back after every close, says up to where it has everything, and keeps each message until its echo has come. Its
history is the evidence: what was sent, what came, when. `python history.py ADDRESS SESSION FILE` is the same client as
a process of its own, which can be frozen: it writes its history into FILE when it is told to stop (SIGTERM).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

Frame = dict[str, Any]

COMES_BACK_SECONDS = (0.05, 0.5)
SILENCE_SECONDS = 12.0
ECHO_SECONDS = 10.0
"""Both as the page has them: after so long, a socket is not believed in any more."""
PATIENCE_SECONDS = 60.0
FINAL_CODES = frozenset({1000, 4401, 4404, 4409, 4410})
TEMPORARY = frozenset({"rate_limited", "not_stored"})


class Happening(NamedTuple):
    """`what`: opens, sends, gets (with the frame), closes (with the code), fails (to connect), gives up."""

    at: float
    what: str
    about: Any = None


class History:
    """Everything that happened to one client, and what follows from it."""

    def __init__(self) -> None:
        self.happenings: list[Happening] = []
        self.transcript: list[Frame] = []
        self.acknowledged: dict[str, Frame] = {}
        self.echoes: list[Frame] = []
        self._sent: Counter[str] = Counter()
        self._echoed: Counter[str] = Counter()

    def note(self, what: str, about: Any = None, at: float | None = None) -> None:
        self.happenings.append(Happening(time.monotonic() if at is None else at, what, about))
        if what == "sends" and (sent_id := _id_in(about)) is not None:
            self._sent[sent_id] += 1
        elif what == "gets" and about["type"] in ("message", "reaction"):
            self._came(about)

    def all(self, what: str, since: float = 0.0) -> list[Happening]:
        return [each for each in self.happenings if each.what == what and each.at >= since]

    def got(self, type: str, since: float = 0.0) -> list[Frame]:
        return [each.about for each in self.all("gets", since) if each.about["type"] == type]

    @property
    def sent_ids(self) -> set[str]:
        return set(self._sent)

    @property
    def close_codes(self) -> Counter[int | None]:
        return Counter(each.about for each in self.all("closes"))

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(self.happenings))

    @classmethod
    def load(cls, path: Path) -> History:
        history = cls()
        for at, what, about in json.loads(path.read_text()):
            history.note(what, about, at)
        return history

    def _came(self, frame: Frame) -> None:
        """Put a frame on the screen, but for the second echo of what was sent a second time."""
        sent_id = frame.get("client_message_id")
        if sent_id is not None:
            self.echoes.append(frame)
            self._echoed[sent_id] += 1
            if (
                self.acknowledged.setdefault(sent_id, frame) is not frame
                and self._echoed[sent_id] <= self._sent[sent_id]
            ):
                return
        self.transcript.append(frame)


class Client:
    """`in_flight`: how many messages may be on their way at once; the page has one, so that none overtakes another."""

    def __init__(
        self, address: str, session_id: str, *, in_flight: int = 1, silence_seconds: float = SILENCE_SECONDS
    ) -> None:
        self.address = f"{address}/ws/{session_id}"
        self.session_id = session_id
        self.history = History()
        self.outbox: dict[str, Frame] = {}
        self.refused: dict[str, str] = {}
        self.is_connected = False  # and has everything that was there before
        self.is_over = False
        self._in_flight = in_flight
        self._silence_seconds = silence_seconds
        self._on_their_way: dict[str, float] = {}
        self._is_leaving = False
        self._socket: ClientConnection | None = None
        self._has_to_send = asyncio.Event()
        self._news = asyncio.Event()

    # What a test calls

    @property
    def port(self) -> int | None:
        """From where it calls, while it does."""
        return int(self._socket.local_address[1]) if self._socket is not None else None

    def says(self, content: str, **details: Any) -> str:
        """Put a message into the outbox; return its id."""
        sent_id = str(uuid.uuid4())
        self.outbox[sent_id] = {"type": "user_message", "content": content, "client_message_id": sent_id, **details}
        self._has_to_send.set()
        return sent_id

    async def sends(self, data: str | bytes) -> None:
        """Send something as it is, once there is a connection, and whatever becomes of it."""
        await self.until(lambda: self.is_connected)
        assert self._socket is not None
        self.history.note("sends", _as_frame(data))
        with contextlib.suppress(ConnectionClosed):
            await self._socket.send(data)

    async def hears_back(self) -> None:
        """Wait until everything that was sent before has reached the server."""
        with contextlib.suppress(ConnectionClosed):
            if self._socket is not None:
                await (await self._socket.ping())

    async def until(self, condition: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until what has happened makes `condition()` true."""
        async with asyncio.timeout(seconds):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def all_acknowledged(self) -> None:
        await self.until(lambda: not self.outbox)

    async def leaves(self) -> None:
        """Say goodbye after the last message is acknowledged, and wait for the answer."""
        await self.all_acknowledged()
        self._is_leaving = True
        self._has_to_send.set()
        await self.until(lambda: self.is_over)

    # The client's life

    async def stays(self) -> None:
        """Be in the room, through every interruption, until the session is over."""
        while not self.is_over:
            await self._visits()
            if not self.is_over:
                await asyncio.sleep(random.uniform(*COMES_BACK_SECONDS))

    async def _visits(self) -> None:
        try:
            async with connect(
                self.address,
                subprotocols=["chatroom.v1"],  # type: ignore[list-item]
                proxy=None,
                ping_interval=None,
                compression=None,
                close_timeout=0.2,
                open_timeout=3,
            ) as socket:
                self._note("opens")
                await self._speaks(socket)
        except (OSError, WebSocketException, TimeoutError) as error:
            self._note("fails", type(error).__name__)

    async def _speaks(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._on_their_way.clear()
        sender = asyncio.ensure_future(self._send_all(socket))
        try:
            await self._send(socket, {"type": "hello", "after": len(self.history.transcript)})
            while True:
                async with asyncio.timeout(self._silence_seconds):
                    self._receive(json.loads(await socket.recv()))
        except TimeoutError:
            socket.transport.abort()
            self._lost("gives up")
        except ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd else None
            self.is_over = self.is_over or code in FINAL_CODES
            self._lost("closes", code)
        finally:
            self.is_connected = False
            self._socket = None
            sender.cancel()

    def _lost(self, what: str, code: int | None = None) -> None:
        self.is_connected = False
        self._note(what, code)

    def _receive(self, frame: Frame) -> None:
        match frame["type"]:
            case "backlog_end":
                self.is_connected = True
            case "message":
                if sent_id := frame.get("client_message_id"):
                    self._settled(sent_id)
            case "error":
                self._was_refused(frame)
            case "session_end":
                self.is_over = True
        self._note("gets", frame)
        self._has_to_send.set()
        oldest = min(self._on_their_way.values(), default=None)
        if oldest is not None and time.monotonic() - oldest > ECHO_SECONDS:
            raise TimeoutError

    def _was_refused(self, error: Frame) -> None:
        sent_id = error.get("client_message_id")
        if sent_id not in self._on_their_way:
            return
        if error["code"] in TEMPORARY:
            self._on_their_way[sent_id] = time.monotonic()
            asyncio.get_running_loop().call_later(error.get("retry_after", 2.0), self._is_due_again, sent_id)
        else:
            self.refused[sent_id] = error["code"]
            self._settled(sent_id)

    def _is_due_again(self, sent_id: str) -> None:
        self._on_their_way.pop(sent_id, None)
        self._has_to_send.set()

    def _settled(self, sent_id: str) -> None:
        self.outbox.pop(sent_id, None)
        self._on_their_way.pop(sent_id, None)

    async def _send_all(self, socket: ClientConnection) -> None:
        """Send what is in the outbox, in order, as far as it may be on its way."""
        try:
            while True:
                await self._has_to_send.wait()
                self._has_to_send.clear()
                while self.is_connected and (frame := self._next()) is not None:
                    self._on_their_way[frame["client_message_id"]] = time.monotonic()
                    await self._send(socket, frame)
                if self.is_connected and self._is_leaving and not self.outbox:
                    await self._send(socket, {"type": "leave"})
        except ConnectionClosed:
            return  # the reader sees to it

    def _next(self) -> Frame | None:
        if len(self._on_their_way) >= self._in_flight:
            return None
        return next((frame for sent_id, frame in self.outbox.items() if sent_id not in self._on_their_way), None)

    async def _send(self, socket: ClientConnection, frame: Frame) -> None:
        self._note("sends", frame)
        await socket.send(json.dumps(frame))

    def _note(self, what: str, about: Any = None) -> None:
        self.history.note(what, about)
        self._news.set()


def _id_in(frame: Any) -> str | None:
    sent_id = frame.get("client_message_id") if isinstance(frame, dict) else None
    return sent_id if isinstance(sent_id, str) else None


def _as_frame(data: str | bytes) -> Any:
    """What was sent, if it is a frame; of what is none, nobody will hear again."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


@asynccontextmanager
async def staying(*clients: Client) -> AsyncIterator[None]:
    """Clients who are in their rooms while the block runs."""
    async with asyncio.TaskGroup() as tasks:
        lives = [tasks.create_task(client.stays()) for client in clients]
        try:
            yield
        finally:
            for life in lives:
                life.cancel()


@asynccontextmanager
async def writing(clients: list[Client], every: float) -> AsyncIterator[None]:
    """Clients who write something every so many seconds while the block runs, as long as they are connected."""

    async def writes(client: Client) -> None:
        number = 0
        while True:
            await asyncio.sleep(every * random.uniform(0.8, 1.2))
            if client.is_connected:
                number += 1
                client.says(f"number {number} of mine")

    async with asyncio.TaskGroup() as tasks:
        hands = [tasks.create_task(writes(client)) for client in clients]
        try:
            yield
        finally:
            for hand in hands:
                hand.cancel()


async def _main(address: str, session_id: str, file: str) -> None:
    client = Client(address, session_id)
    life = asyncio.ensure_future(client.stays())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, life.cancel)
    await asyncio.wait([life])
    client.history.save(Path(file))


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
