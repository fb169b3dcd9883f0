"""The frames of the wire: what a client may send, what it is sent, and the codes a socket closes with.

Two protocols share one socket address. *Plain* is what the seed's page speaks: it sends `user_message` and takes every
frame for a chat line, so it is sent agents' messages and nothing else, no echo, no error, no goodbye. `chatroom.v1` is
ours, asked for as a subprotocol.

Nothing in a frame tells an agent from a person, or where a message came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from simulation.codec import Record
from simulation.errors import InvalidJson
from simulation.events import MessagePosted, ReactionAdded
from simulation.strict_json import parse

SUBPROTOCOL = "chatroom.v1"

MAX_FRAME_BYTES = 64 * 1024
MAX_CONTENT_CHARACTERS = 4_000
MAX_EMOJI_CHARACTERS = 16
HELLO_SECONDS = 10.0
HEARTBEAT_SECONDS = 15.0


class Close:
    """Close codes. A client comes back after 1001, 1011, 1012 and 4408; after the others it does not."""

    OVER = 1000
    TOO_BIG = 1009
    INTERNAL = 1011
    RESTARTING = 1012
    OVERLOADED = 1013
    NOT_ALLOWED = 4401
    UNKNOWN = 4404
    TOO_SLOW = 4408
    OPENED_ELSEWHERE = 4409
    ENDED = 4410


class BadFrame(Exception):
    """A frame that is not taken; `code` is one of the wire's."""

    def __init__(self, code: str, message: str, client_message_id: str | None = None) -> None:
        self.code = code
        self.message = message
        self.client_message_id = client_message_id
        super().__init__(f"{code}: {message}")


# From the client


class _ClientFrame(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Hello(_ClientFrame):
    """The first frame: everything after position `after` is wanted."""

    type: Literal["hello"]
    after: int = Field(default=0, ge=0)


class UserMessage(_ClientFrame):
    type: Literal["user_message"]
    content: str
    client_message_id: str | None = Field(default=None, min_length=1, max_length=100)
    reply_to: str | None = Field(default=None, max_length=100)
    mentions: tuple[str, ...] = Field(default=(), max_length=100, strict=False)


class Reaction(_ClientFrame):
    """An emoji under a message; an empty one takes it back."""

    type: Literal["reaction"]
    message_id: str = Field(max_length=100)
    emoji: str = Field(max_length=MAX_EMOJI_CHARACTERS)


class Typing(_ClientFrame):
    type: Literal["typing"]
    typing: bool = True


class Leave(_ClientFrame):
    type: Literal["leave"]


ClientFrame = Hello | UserMessage | Reaction | Typing | Leave
Frame = TypeVar("Frame", bound=ClientFrame)
_CLIENT_FRAME: TypeAdapter[ClientFrame] = TypeAdapter(Annotated[ClientFrame, Field(discriminator="type")])


class PlainUserMessage(BaseModel):
    """What the plain protocol takes; whatever else stands in the frame is passed over, as the seed does."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    type: Literal["user_message"]
    content: str


_PLAIN_FRAME = TypeAdapter(PlainUserMessage)


def data_of(message: Mapping[str, Any]) -> bytes | None:
    """Return the bytes of a received text frame; None for a binary one."""
    text = message.get("text")
    return None if text is None else text.encode()


def client_frame(data: bytes | None) -> ClientFrame:
    """Return the `chatroom.v1` frame in `data`; raise BadFrame."""
    value = _parsed(data)
    try:
        return _checked(_CLIENT_FRAME.validate_python(value))
    except ValidationError as error:
        raise _bad_frame(value, error) from None


def plain_frame(data: bytes | None) -> UserMessage:
    """Return the message in a plain frame; raise BadFrame for anything else."""
    value = _parsed(data)
    try:
        frame = _PLAIN_FRAME.validate_python(value)
    except ValidationError as error:
        raise _bad_frame(value, error) from None
    return _checked(UserMessage(type="user_message", content=frame.content))


def _parsed(data: bytes | None) -> Any:
    if data is None:
        raise BadFrame("bad_frame", "a text frame is needed")
    try:
        return parse(data)
    except InvalidJson as error:
        raise BadFrame("bad_frame", str(error)) from None


def _checked(frame: Frame) -> Frame:
    if isinstance(frame, UserMessage):
        if not frame.content.strip():
            raise BadFrame("bad_frame", "content: empty", frame.client_message_id)
        if len(frame.content) > MAX_CONTENT_CHARACTERS:
            message = f"content: longer than {MAX_CONTENT_CHARACTERS:,} characters"
            raise BadFrame("too_long", message, frame.client_message_id)
    return frame


def _bad_frame(value: Any, error: ValidationError) -> BadFrame:
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] in ("union_tag_invalid", "literal_error"):
        return BadFrame("unknown_type", "type: not one of this protocol's")
    where = ".".join(str(part) for part in first["loc"][1:]) or "frame"
    sent_id = value.get("client_message_id") if isinstance(value, dict) else None
    known_id = sent_id if isinstance(sent_id, str) and len(sent_id) <= 100 else None
    return BadFrame("bad_frame", f"{where}: {first['msg'][0].lower()}{first['msg'][1:]}", known_id)


# To the client


def plain_message(record: Record) -> str | None:
    """Return an agent's message in the seed's shape; None for what the plain protocol does not show."""
    event = record.event
    if not isinstance(event, MessagePosted) or event.source == "participant":
        return None
    return _text(
        {
            "sender": event.sender,
            "content": event.content,
            "timestamp": record.timestamp,
            "message_id": event.message_id,
        }
    )


def visible_frame(record: Record) -> str:
    """Return the frame of a record that stands in the transcript."""
    event = record.event
    if isinstance(event, ReactionAdded):
        return _text(
            {
                "type": "reaction",
                "message_id": event.message_id,
                "sender": event.sender,
                "emoji": event.emoji,
                "position": event.position,
            }
        )
    assert isinstance(event, MessagePosted)
    frame: dict[str, Any] = {
        "type": "message",
        "position": event.position,
        "message_id": event.message_id,
        "sender": event.sender,
        "content": event.content,
        "timestamp": record.timestamp,
        "reply_to": event.reply_to,
        "mentions": event.mentions,
    }
    if event.card is not None:
        frame["card"] = event.card
    if event.client_message_id is not None:
        frame["client_message_id"] = event.client_message_id
    return _text(frame)


def welcome(*, group_name: str, members: tuple[str, ...], position: int, seconds_left: float) -> str:
    return _text(
        {
            "type": "welcome",
            "group_name": group_name,
            "members": members,
            "position": position,
            "seconds_left": round(seconds_left, 1),
        }
    )


def backlog_end(position: int) -> str:
    return _text({"type": "backlog_end", "position": position})


def typing(sender: str, is_typing: bool) -> str:
    return _text({"type": "typing", "sender": sender, "typing": is_typing})


def heartbeat(position: int) -> str:
    return _text({"type": "heartbeat", "position": position})


def error(code: str, message: str, client_message_id: str | None = None) -> str:
    frame = {"type": "error", "code": code, "message": message}
    if client_message_id is not None:
        frame["client_message_id"] = client_message_id
    return _text(frame)


def session_end(reason: str) -> str:
    """`reason` is cut down to what a participant may know: whether the time was up, or they left."""
    return _text({"type": "session_end", "reason": reason if reason in _TOLD_REASONS else "ended"})


_TOLD_REASONS = ("duration_expired", "withdrawn")


def _text(frame: dict[str, Any]) -> str:
    return orjson.dumps(frame).decode()
