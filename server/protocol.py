"""The frames of the wire: what a client may send, what it is sent, and the codes a socket closes with.

Two protocols share one socket address. *Plain* is what the seed's page speaks: it sends `user_message` and takes every
frame for a chat line, so it is sent agents' messages and nothing else, no echo, no error, no goodbye. `chatroom.v1` is
ours, asked for as a subprotocol.

The models are the reference: `server.protocol_docs` makes docs/protocol.md and docs/protocol.schema.json of them, of
their docstrings and descriptions and of the tables of codes.

Nothing in a frame tells an agent from a person, or where a message came from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import IntEnum
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, TypeVar, cast

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict  # pydantic takes the standard library's from Python 3.12 on

from simulation.codec import Record
from simulation.errors import InvalidJson
from simulation.events import MessagePosted, ReactionAdded
from simulation.strict_json import parse

SUBPROTOCOL = "chatroom.v1"

MAX_FRAME_BYTES = 64 * 1024
MAX_CONTENT_CHARACTERS = 4_000
MAX_REASON_CHARACTERS = 1_000
MAX_ID_CHARACTERS = 100
MAX_MENTIONS = 100
MAX_EMOJI_CHARACTERS = 16
HELLO_SECONDS = 10.0
FRAMES_FOR_HELLO = 20
"""So many frames may a client send until it has said `hello`."""
HEARTBEAT_SECONDS = 5.0
SHORTEST_RETRY_SECONDS = 0.1

# What str.strip takes off; a regular expression's \s is another set in every language.
_BLANK = r"\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_NOT_BLANK = f"[^{_BLANK}]"


class Close(IntEnum):
    """Close codes: whether a client comes back after one, why the socket was closed, what the client does about it."""

    comes_back: bool
    meaning: str
    advice: str

    def __new__(cls, code: int, comes_back: bool, meaning: str, advice: str) -> Close:
        close = int.__new__(cls, code)
        close._value_ = code
        close.comes_back = comes_back
        close.meaning = meaning
        close.advice = advice
        return close

    OVER = 1000, False, "The session is over; `session_end` came before.", "Say goodbye."
    GOING_AWAY = 1001, True, "Something on the way goes away, such as a proxy.", "Come back."
    PROTOCOL_ERROR = (
        1002,
        True,
        "What came were no WebSocket frames.",
        "Come back once: a second time it is the client's mistake.",
    )
    NOT_TEXT = 1007, True, "A text frame was not UTF-8.", "Come back once: a second time it is the client's mistake."
    TOO_BIG = (
        1009,
        True,
        f"A frame was larger than {MAX_FRAME_BYTES // 1024} KiB.",
        "Come back, with that message marked as failed: never send it again. (Who goes on sending meanwhile may see "
        "the connection reset instead.)",
    )
    INTERNAL = 1011, True, "The server failed, or the client answered no ping.", "Come back."
    RESTARTING = (
        1012,
        True,
        "The server restarts; the session goes on in the next one.",
        "Come back, each client after a different time: all of them were told at once.",
    )
    OVERLOADED = (
        1013,
        True,
        "The server is full, cannot write, or serves another experiment now.",
        "Come back, slowly: after 15 s and more.",
    )
    NOT_ALLOWED = (
        4401,
        False,
        f"There was no `hello` within {HELLO_SECONDS:g} s, or among the first {FRAMES_FOR_HELLO} frames.",
        "Stay away: it is the client's mistake.",
    )
    UNKNOWN = 4404, False, "There is no such session.", "Start one: `POST /session/start`."
    TOO_SLOW = 4408, True, "The client did not take what it was sent.", "Come back: what is lacking is sent."
    OPENED_ELSEWHERE = (
        4409,
        False,
        "The session was opened by another connection; the newest wins.",
        "Stay away, or the two would chase each other; offer people to go on here.",
    )
    ENDED = 4410, False, "The session was over before this connection.", "Say goodbye."
    TOO_FAST = (
        4429,
        True,
        "Too many connections in a minute, or frame after frame in spite of `rate_limited`.",
        "Come back after a minute.",
    )


class ErrorCode(NamedTuple):
    """What is wrong with a frame, and what the client does about it."""

    meaning: str
    advice: str


ERRORS = {
    "bad_frame": ErrorCode(
        "It is no JSON object of this protocol, or a field is wrong: `message` says which.",
        "A mistake of the client's: mark the message as failed.",
    ),
    "unknown_type": ErrorCode("`type` is none of this protocol's.", "A mistake of the client's."),
    "hello_first": ErrorCode("It came before `hello`.", "Say hello, and send it again."),
    "too_long": ErrorCode(
        f"`content` is longer than {MAX_CONTENT_CHARACTERS:,} characters.",
        "Mark the message as failed; people may shorten it.",
    ),
    "rate_limited": ErrorCode(
        "That is more than a participant may send.",
        "Keep it, and send it again `retry_after` seconds later.",
    ),
    "conflict": ErrorCode(
        "`client_message_id` is another message's.",
        "Mark the message as failed; sent anew, it has a name of its own.",
    ),
    "unknown_message": ErrorCode(
        "`reply_to` or `message_id` names no message of this room.",
        "Mark the message as failed, or send it without `reply_to` under a new name.",
    ),
    "not_stored": ErrorCode(
        "The log cannot be written at the moment.",
        "Keep it, and send it again `retry_after` seconds later.",
    ),
}
"""The codes of `error`."""


class BadFrame(Exception):
    """A frame that is not taken; `code` is one of ERRORS, `retry_after` seconds until it may be sent again."""

    def __init__(
        self, code: str, message: str, client_message_id: str | None = None, retry_after: float | None = None
    ) -> None:
        self.code = code
        self.message = message
        self.client_message_id = client_message_id
        self.retry_after = retry_after
        super().__init__(f"{code}: {message}")


# From the client

# What the parser looks at by itself, so that it has a code of its own, is told to the schema.
Content = Annotated[str, Field(json_schema_extra={"maxLength": MAX_CONTENT_CHARACTERS, "pattern": _NOT_BLANK})]
MessageId = Annotated[str, Field(max_length=MAX_ID_CHARACTERS, description="The room's name for the message.")]


class _ClientFrame(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Hello(_ClientFrame):
    """The first frame, once in a connection. It is answered with `welcome`, and with what the client lacks."""

    type: Literal["hello"]
    after: int = Field(default=0, ge=0, description="The last position that the client has; all after it is wanted.")


class UserMessage(_ClientFrame):
    """A message of the participant's, acknowledged by its echo."""

    type: Literal["user_message"]
    content: Content = Field(
        description="What is said: white space around it is taken off, and must not be all there is."
    )
    client_message_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_ID_CHARACTERS,
        description="The client's own name for the message, such as a random UUID: under it, it may be sent again.",
    )
    reply_to: MessageId | None = Field(default=None, description="The `message_id` of the message that this answers.")
    mentions: tuple[str, ...] = Field(
        default=(), max_length=MAX_MENTIONS, strict=False, description="Members whom it speaks to, as in `welcome`."
    )


class Reaction(_ClientFrame):
    """An emoji of the participant's under a message. It comes back as `reaction`."""

    type: Literal["reaction"]
    message_id: MessageId
    emoji: str = Field(max_length=MAX_EMOJI_CHARACTERS, description="Empty, it takes back what was there.")


class Report(_ClientFrame):
    """The participant reports a message to the researcher. It is logged, and nothing is answered."""

    type: Literal["report"]
    message_id: MessageId
    reason: str | None = Field(
        default=None, max_length=MAX_REASON_CHARACTERS, description="In the participant's words."
    )


class Seen(_ClientFrame):
    """How far the participant has seen the room. It is logged, and nothing is answered."""

    type: Literal["seen"]
    position: int = Field(ge=1, description="Everything up to it was on the screen.")


class Typing(_ClientFrame):
    """The participant is typing, or is not any more. It is taken, and shown to nobody."""

    type: Literal["typing"]
    typing: bool = True


class Leave(_ClientFrame):
    """The participant wants to stop. The session ends for good: `session_end` and close code 1000 follow."""

    type: Literal["leave"]


ClientFrame = Hello | UserMessage | Reaction | Report | Seen | Typing | Leave
AnyClientFrame = Annotated[ClientFrame, Field(discriminator="type")]
Frame = TypeVar("Frame", bound=ClientFrame)
_CLIENT_FRAME: TypeAdapter[ClientFrame] = TypeAdapter(AnyClientFrame)


class PlainUserMessage(BaseModel):
    """A message of the participant's. Whatever else stands in the frame is passed over, as the seed does."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    type: Literal["user_message"]
    content: Content = Field(
        description="What is said: white space around it is taken off, and must not be all there is."
    )


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
    known_id = sent_id if isinstance(sent_id, str) and len(sent_id) <= MAX_ID_CHARACTERS else None
    return BadFrame("bad_frame", f"{where}: {first['msg'][0].lower()}{first['msg'][1:]}", known_id)


# To the client
#
# These models are typed dicts, so a frame is built as fast as without: an echo takes 0.6 us, of which a frozen
# dataclass would make 1.6 and a pydantic model 3. What is NotRequired is left out where there is nothing to say.

_exact = with_config(ConfigDict(extra="forbid"))

Place = Annotated[int, Field(ge=1, description="Its place in the room: 1, 2, 3 without gap.")]
Sender = Annotated[str, Field(description="A member's name. What the participant wrote or did has `user`.")]
Timestamp = Annotated[str, Field(description="When it was posted, UTC.", json_schema_extra={"format": "date-time"})]
SentId = Annotated[str, Field(description="The name that the client gave it; only where it gave one.")]


@_exact
class Welcome(TypedDict):
    """The answer to `hello`, and the first frame of a connection."""

    type: Literal["welcome"]
    group_name: Annotated[str, Field(description="The name over the chat.")]
    members: Annotated[tuple[str, ...], Field(description="Who is in the room beside the participant.")]
    position: Annotated[int, Field(ge=0, description="The newest there is: what comes up to it is the backlog.")]
    seconds_left: Annotated[float, Field(ge=0, description="Until the session is over.")]


@_exact
class Card(TypedDict):
    """A piece of news that a member shares."""

    headline: str
    source: Annotated[str, Field(description="Who published it.")]
    text: str


@_exact
class Message(TypedDict):
    """A message, a member's or the participant's own: live, from the backlog, or as an echo."""

    type: Literal["message"]
    position: Place
    message_id: Annotated[str, Field(description="The room's name for it, which `reply_to` and reactions use.")]
    sender: Sender
    content: Annotated[str, Field(description="What is said.")]
    timestamp: Timestamp
    reply_to: Annotated[str | None, Field(description="The `message_id` of the message that this answers.")]
    mentions: Annotated[tuple[str, ...], Field(description="Members whom it speaks to.")]
    card: NotRequired[
        Annotated[Card, Field(description="Only with a piece of news; `content` then is the same as text.")]
    ]
    client_message_id: NotRequired[SentId]


@_exact
class BacklogEnd(TypedDict):
    """All that was there at `hello` has been sent. What follows is live."""

    type: Literal["backlog_end"]
    position: Annotated[int, Field(ge=0, description="The newest of the backlog.")]


@_exact
class MemberTyping(TypedDict):
    """A member has begun to type; or has stopped, and nothing comes of it. Their next message ends it as well."""

    type: Literal["typing"]
    sender: Annotated[str, Field(description="A member's name.")]
    typing: bool


@_exact
class MemberReaction(TypedDict):
    """An emoji under a message, in place of the one that the sender had there."""

    type: Literal["reaction"]
    message_id: Annotated[str, Field(description="The message under which it stands.")]
    sender: Sender
    emoji: Annotated[str, Field(description="Empty: taken back.")]
    position: Place


@_exact
class Heartbeat(TypedDict):
    """The line is alive."""

    type: Literal["heartbeat"]
    position: Annotated[int, Field(ge=0, description="The newest that was sent. A client that lacks it comes back.")]


@_exact
class Error(TypedDict):
    """Something that the client sent was not taken. The connection goes on."""

    type: Literal["error"]
    code: Annotated[str, Field(json_schema_extra={"enum": [*ERRORS]})]
    message: Annotated[str, Field(description="What is wrong, for whoever writes the client.")]
    retry_after: NotRequired[
        Annotated[float, Field(ge=SHORTEST_RETRY_SECONDS, description="Seconds after which it may be sent again.")]
    ]
    client_message_id: NotRequired[SentId]


EndReason = Literal["duration_expired", "withdrawn", "ended"]


@_exact
class SessionEnd(TypedDict):
    """The session is over: the last frame, before close code 1000."""

    type: Literal["session_end"]
    reason: Annotated[EndReason, Field(description="The time was up, the participant has left, or anything else.")]


ServerFrame = Welcome | Message | BacklogEnd | MemberTyping | MemberReaction | Heartbeat | Error | SessionEnd
AnyServerFrame = Annotated[ServerFrame, Field(discriminator="type")]


@_exact
class PlainMessage(TypedDict):
    """A member's message. The participant's own do not come back."""

    sender: Annotated[str, Field(description="A member's name.")]
    content: Annotated[str, Field(description="What is said.")]
    timestamp: Timestamp
    message_id: Annotated[str, Field(description="The room's name for it.")]


def plain_message(record: Record) -> str | None:
    """Return an agent's message in the seed's shape; None for what the plain protocol does not show."""
    event = record.event
    if not isinstance(event, MessagePosted) or event.source == "participant":
        return None
    frame: PlainMessage = {
        "sender": event.sender,
        "content": event.content,
        "timestamp": record.timestamp,
        "message_id": event.message_id,
    }
    return _text(frame)


def visible_frame(record: Record) -> str:
    """Return the frame of a record that stands in the transcript."""
    event = record.event
    if isinstance(event, ReactionAdded):
        return _reaction(event)
    assert isinstance(event, MessagePosted)
    frame: Message = {
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
        frame["card"] = cast("Card", event.card)
    if event.client_message_id is not None:
        frame["client_message_id"] = event.client_message_id
    return _text(frame)


def _reaction(event: ReactionAdded) -> str:
    frame: MemberReaction = {
        "type": "reaction",
        "message_id": event.message_id,
        "sender": event.sender,
        "emoji": event.emoji,
        "position": event.position,
    }
    return _text(frame)


def welcome(*, group_name: str, members: tuple[str, ...], position: int, seconds_left: float) -> str:
    frame: Welcome = {
        "type": "welcome",
        "group_name": group_name,
        "members": members,
        "position": position,
        "seconds_left": round(seconds_left, 1),
    }
    return _text(frame)


def backlog_end(position: int) -> str:
    frame: BacklogEnd = {"type": "backlog_end", "position": position}
    return _text(frame)


def typing(sender: str, is_typing: bool) -> str:
    frame: MemberTyping = {"type": "typing", "sender": sender, "typing": is_typing}
    return _text(frame)


def heartbeat(position: int) -> str:
    frame: Heartbeat = {"type": "heartbeat", "position": position}
    return _text(frame)


def error(code: str, message: str, client_message_id: str | None = None, retry_after: float | None = None) -> str:
    """`code` is one of ERRORS; `retry_after`, in seconds, is rounded up to a tenth, or it would be too soon."""
    frame: Error = {"type": "error", "code": code, "message": message}
    if retry_after is not None:
        frame["retry_after"] = max(SHORTEST_RETRY_SECONDS, math.ceil(retry_after * 10) / 10)
    if client_message_id is not None:
        frame["client_message_id"] = client_message_id
    return _text(frame)


def session_end(reason: str) -> str:
    """`reason` is cut down to what a participant may know: whether the time was up, or they left."""
    frame: SessionEnd = {"type": "session_end", "reason": _TOLD_REASONS.get(reason, "ended")}
    return _text(frame)


_TOLD_REASONS: dict[str, EndReason] = {"duration_expired": "duration_expired", "withdrawn": "withdrawn"}


def _text(frame: ServerFrame | PlainMessage) -> str:
    return orjson.dumps(frame).decode()
