"""One socket that speaks for a session's participant.

Theory of operation
===================

Two tasks: one reads frames and hands them to the session, one writes. (The session itself is the third.) The reader
never waits for anything but the socket, or pings would go unanswered and the socket be closed under it.

The writer sends what stands in the session's transcript after `_sent`, a cursor. So a backlog and live messages are one
thing, in one order, and nothing is queued for a slow reader but a number. Beside it stands a bounded queue of frames
that are no messages: typing, errors, heartbeats. Of what a client could not be sent yet, the newest word counts: there
is one typing frame for each member in it, and one heartbeat.

Invariants
==========

* What is sent of the transcript is sent once, in order of position.
* A client that does not take a frame within SEND_SECONDS, or is MAX_LAG behind while it takes none, is cut off; the
  session and everybody else goes on. It may come back and gets what it lacks. That it is stuck is noticed when there
  is more to send and at every heartbeat: a timer for each frame would cost more than the frame.
* A message is taken while the session's allowance and its log let it; else the client is told when to send it again.
  One that speaks the plain protocol cannot be told anything: its messages wait here for their turn.
* The socket is closed by the writer alone, after everything before the close has been sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import OrderedDict
from typing import NamedTuple, assert_never

from starlette.websockets import WebSocket, WebSocketDisconnect

from server import protocol
from server.allowance import Allowance
from server.guard import ABORT
from server.protocol import BadFrame, Close
from simulation.codec import Record
from simulation.effects import Acknowledge, HideTyping, Refuse, ShowTyping
from simulation.events import MessagePosted, SessionEnded
from simulation.inputs import (
    ParticipantDisconnected,
    ParticipantLeft,
    ParticipantPosted,
    ParticipantReacted,
    ParticipantReported,
    ParticipantSaw,
)
from simulation.runtime.clock import Timer
from simulation.runtime.session import Shown, SimulationSession

MAX_QUEUED_FRAMES = 256
MAX_LAG = 256
"""New messages that a client which takes nothing may be behind."""
FRAMES_BEFORE_OTHERS = 16
"""How many frames of one client are taken in a row before others have their turn."""
STALLED_SECONDS = 2.0
"""After how long a client may send again what could not be stored."""
SEND_SECONDS = 10.0
"""How long a client may take to take one frame; noticed at the next heartbeat at the latest."""


class Closing(NamedTuple):
    code: int
    reason: str


class Connection:
    """`number` tells the connections of a session apart; `after` is the position up to which the client has all."""

    def __init__(
        self,
        websocket: WebSocket,
        session: SimulationSession,
        *,
        number: int,
        allowance: Allowance,
        is_plain: bool,
        after: int = 0,
    ) -> None:
        self.number = number
        self._allowance = allowance
        self._websocket = websocket
        self._session = session
        self._is_plain = is_plain
        self._sent = min(after, len(session.transcript))
        self._backlog_until = len(session.transcript)
        self._queue: OrderedDict[object, str] = OrderedDict()
        self._wake = asyncio.Event()
        self._last: str | None = None
        self._sending_since: float | None = None
        self._writer: asyncio.Task[None] | None = None
        self._closing: Closing | None = None
        self._typing: dict[str, Timer] = {}
        self._heartbeat: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Have the client told what comes first, and from now on what becomes of the session. `run` is to follow."""
        self._greet()
        self._session.observe(self)

    async def run(self) -> None:
        """Serve the socket until either side closes it."""
        code: int | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                self._writer = tasks.create_task(self._write(), name="writer")
                reader = tasks.create_task(self._read(), name="reader")
                await asyncio.wait((reader, self._writer), return_when=asyncio.FIRST_COMPLETED)
                code = reader.result() if reader.done() else None
                reader.cancel()
                self._writer.cancel()
        finally:
            self._let_go(code)

    def close(self, code: int, reason: str) -> None:
        """Close the socket once everything queued is sent."""
        if self._closing is None:
            self._closing = Closing(code, reason)
            self._wake.set()

    def _let_go(self, code: int | None) -> None:
        self._session.forget(self)
        self._writer = None  # a task and its error hold this connection: let it go without the garbage collector
        for timer in self._typing.values():
            timer.cancel()
        if self._heartbeat is not None:
            self._heartbeat.cancel()
        if code != Close.RESTARTING:  # that is the server's doing: the next one goes on with the session
            self._session.receive(ParticipantDisconnected(self.number, code))

    # What the session tells

    def record_kept(self, record: Record) -> None:
        event = record.event
        if isinstance(event, SessionEnded):
            self._end(event.reason)
        elif isinstance(event, MessagePosted):
            self._forget_typing(event.sender)
        if self._sending_since is not None:
            self._cut_off_if_stuck(self._sending_since)
        self._wake.set()

    def told(self, effect: Shown) -> None:
        if self._is_plain:
            return
        match effect:
            case ShowTyping():
                self._forget_typing(effect.sender)
                show = self._session.call_at(effect.at, lambda: self._show_typing(effect.sender))
                self._typing[effect.sender] = show
            case HideTyping():
                if not self._forget_typing(effect.sender):
                    self._put(protocol.typing(effect.sender, False), key=effect.sender)
            case Acknowledge():
                if effect.position <= self._sent:  # else its echo is still on its way
                    self._put(protocol.visible_frame(self._session.transcript[effect.position - 1]))
            case Refuse():
                self._put(protocol.error(effect.code, effect.message, effect.client_message_id))
            case _:
                assert_never(effect)

    def _show_typing(self, sender: str) -> None:
        del self._typing[sender]
        self._put(protocol.typing(sender, True), key=sender)

    def _forget_typing(self, sender: str) -> bool:
        """Take back typing that was not shown yet; return whether there was any."""
        timer = self._typing.pop(sender, None)
        if timer is not None:
            timer.cancel()
        return timer is not None

    def _cut_off_if_stuck(self, since: float) -> None:
        behind = len(self._session.transcript) - max(self._sent, self._backlog_until)
        if behind > MAX_LAG or asyncio.get_running_loop().time() - since > SEND_SECONDS:
            self.close(Close.TOO_SLOW, "too slow")
            if self._writer is not None:
                self._writer.cancel()  # it waits for a client that takes nothing
            if (abort := self._websocket.scope["extensions"].get(ABORT)) is not None:
                abort["abort"]()

    def _end(self, reason: str) -> None:
        if self._closing is None and not self._is_plain:
            self._last = protocol.session_end(reason)
        self.close(Close.OVER, "session over")

    # Reading

    async def _read(self) -> int | None:
        """Hand on what comes in until the socket is gone; return its close code."""
        for number in itertools.count(1):
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return message.get("code")
            self._take(protocol.data_of(message))
            if number % FRAMES_BEFORE_OTHERS == 0:
                await asyncio.sleep(0)  # receive() does not give way while frames are waiting
        raise AssertionError("unreachable")

    def _take(self, data: bytes | None) -> None:
        if data is not None and len(data) > protocol.MAX_FRAME_BYTES:
            self.close(Close.TOO_BIG, "frame too big")
            return
        try:
            self._post(protocol.plain_frame(data) if self._is_plain else protocol.client_frame(data))
        except BadFrame as bad:
            if not self._is_plain:
                self._put(protocol.error(bad.code, bad.message, bad.client_message_id, bad.retry_after))

    def _post(self, frame: protocol.ClientFrame) -> None:
        match frame:
            case protocol.UserMessage():
                self._posted(
                    ParticipantPosted(
                        content=frame.content.strip(),
                        client_message_id=frame.client_message_id,
                        reply_to=frame.reply_to,
                        mentions=self._members(frame),
                    )
                )
            case protocol.Reaction():
                self._receive_in_time(ParticipantReacted(message_id=frame.message_id, emoji=frame.emoji))
            case protocol.Report():
                self._receive_in_time(ParticipantReported(message_id=frame.message_id, reason=frame.reason))
            case protocol.Seen():
                self._session.receive(ParticipantSaw(frame.position))
            case protocol.Leave():
                self._session.receive(ParticipantLeft())
            case protocol.Typing():
                pass  # nobody in the room looks at the participant's typing
            case protocol.Hello():
                raise BadFrame("bad_frame", "hello was said already")
            case _:
                assert_never(frame)

    def _posted(self, posted: ParticipantPosted) -> None:
        if posted.client_message_id in self._session.core.state.sent:
            self._session.receive(posted)  # it is known: sending it again costs nothing
        elif self._session.is_stalled and not self._is_plain:
            raise BadFrame("not_stored", "not now, please send it again", posted.client_message_id, STALLED_SECONDS)
        else:
            self._receive_in_time(posted)

    def _receive_in_time(self, input: ParticipantPosted | ParticipantReacted | ParticipantReported) -> None:
        """Hand on what counts against the participant's allowance, or say when it would be taken."""
        if self._is_plain:
            wait = self._allowance.reserve()
            self._session.call_at(self._session.elapsed + wait, lambda: self._session.receive(input))
            self._close_if_ignored()
            return
        if (wait := self._allowance.take()) == 0:
            self._session.receive(input)
            return
        self._close_if_ignored()
        raise BadFrame("rate_limited", "too fast", getattr(input, "client_message_id", None), wait)

    def _close_if_ignored(self) -> None:
        if self._allowance.is_ignored:
            self.close(Close.TOO_FAST, "too fast")

    def _members(self, frame: protocol.UserMessage) -> tuple[str, ...]:
        names = self._session.start.parameters.agent_names
        for name in frame.mentions:
            if name not in names:
                raise BadFrame("bad_frame", "mentions: no such member", frame.client_message_id)
        return frame.mentions

    # Writing

    def _greet(self) -> None:
        self._beat_later()
        if self._is_plain:
            return
        parameters = self._session.start.parameters
        self._put(
            protocol.welcome(
                group_name=parameters.group_name,
                members=parameters.agent_names,
                position=self._backlog_until,
                seconds_left=self._session.seconds_left,
            )
        )
        self._mark_backlog_end()

    def _beat_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._heartbeat = loop.call_later(protocol.HEARTBEAT_SECONDS, self._beat)

    def _beat(self) -> None:
        if self._sending_since is not None:
            self._cut_off_if_stuck(self._sending_since)
        elif not self._is_plain:
            self._put(protocol.heartbeat(self._sent), key=protocol.heartbeat)
        self._beat_later()

    def _put(self, frame: str, key: object = None) -> None:
        """Queue a frame; one that waits there under the same `key` is out of date, and goes."""
        if key is not None:
            self._queue.pop(key, None)
        if len(self._queue) >= MAX_QUEUED_FRAMES:
            self.close(Close.TOO_SLOW, "too slow")
            return
        self._queue[key or object()] = frame
        self._wake.set()

    async def _write(self) -> None:
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                await self._wake.wait()
                self._wake.clear()
                await self._flush()
                if self._closing is not None:
                    self._sending_since = asyncio.get_running_loop().time()
                    await self._websocket.close(self._closing.code, self._closing.reason)
                    return

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        while (frame := self._next_frame()) is not None:
            self._sending_since = loop.time()  # others see it only if this has to wait
            await self._websocket.send_text(frame)
        self._sending_since = None

    def _next_frame(self) -> str | None:
        """Return what goes out next: what is no message first, then the transcript, then the goodbye."""
        if self._queue:
            return self._queue.popitem(last=False)[1]
        while self._sent < len(self._session.transcript):
            record = self._session.transcript[self._sent]
            self._sent += 1
            frame = protocol.plain_message(record) if self._is_plain else protocol.visible_frame(record)
            if frame is not None:
                self._mark_backlog_end()
                return frame
        last, self._last = self._last, None
        return last

    def _mark_backlog_end(self) -> None:
        if not self._is_plain and self._sent == self._backlog_until:
            self._put(protocol.backlog_end(self._backlog_until))
