"""What the protocol's models say, for whoever builds another client: as a document, and as a JSON Schema.

`python -m server.protocol_docs` writes both to `docs`; a test holds that what lies there is current.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Template
from textwrap import fill
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from experiments.schema import DIALECT
from server import connection, protocol
from server.allowance import MOST_IGNORED
from server.fields import Field, fields
from server.protocol import ERRORS, AnyClientFrame, AnyServerFrame, Close, PlainMessage, PlainUserMessage
from server.settings import ServerSettings
from simulation.codec import Record
from simulation.events import MessagePosted, ReactionAdded
from simulation.parameters import PARTICIPANT, MessageLimits, SimulationParameters
from simulation.room import message_id
from simulation.strict_json import MAX_DEPTH, MAX_INTEGER_DIGITS

DOCS = Path(__file__).parents[1] / "docs"
CLIENT = "protocol_client.py"
SILENCE_SECONDS = 12
"""Two heartbeats, and something for a slow line."""
LONGEST_RETRY_SECONDS = 15
WIDTH = 120
SESSION_ID = "6f1d4c1e-4b0a-4d5e-9d7a-2f1b3c4d5e6f"
SCHEMA_DESCRIPTION = (
    "Frames of the WebSocket at /ws/{session_id}, one JSON object each. ClientFrame is what a client of chatroom.v1 "
    "may send, ServerFrame what it is sent, PlainUserMessage and PlainMessage are the same for the plain protocol. "
    "What JSON Schema cannot say: a whole number is written without a decimal point; no key stands twice in an "
    "object, and no text holds NUL or half a surrogate pair."
)

Schema = dict[str, Any]
Definitions = Mapping[str, Schema]


def documents() -> dict[str, str]:
    """Return file name -> content."""
    return {
        "protocol.md": document(),
        "protocol.schema.json": json.dumps(schema(), indent=2, ensure_ascii=False) + "\n",
    }


def write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in documents().items():
        (folder / name).write_text(content, encoding="utf-8")


# The schema


def schema() -> Schema:
    """Return the JSON Schema of whatever either side sends in chatroom.v1; each frame and direction is a definition."""
    adapters: dict[str, TypeAdapter[Any]] = {
        "ClientFrame": TypeAdapter(AnyClientFrame),
        "ServerFrame": TypeAdapter(AnyServerFrame),
        "PlainUserMessage": TypeAdapter(PlainUserMessage),
        "PlainMessage": TypeAdapter(PlainMessage),
    }
    schemas, rest = TypeAdapter.json_schemas([(name, "validation", each) for name, each in adapters.items()])
    directions = {name: schemas[name, "validation"] for name in ("ClientFrame", "ServerFrame")}
    return {
        "$schema": DIALECT,
        "title": protocol.SUBPROTOCOL,
        "description": SCHEMA_DESCRIPTION,
        "anyOf": [{"$ref": f"#/$defs/{name}"} for name in directions],
        "$defs": _without_titles({**directions, **rest["$defs"]}),
    }


def _without_titles(value: Any) -> Any:
    """Return a schema without what only repeats a name."""
    if isinstance(value, list):
        return [_without_titles(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {key: _without_titles(each) for key, each in value.items() if key != "title"}


# The document


def document() -> str:
    definitions: Definitions = schema()["$defs"]
    return Template(TEXT).substitute(
        _numbers(),
        subprotocol=protocol.SUBPROTOCOL,
        participant=PARTICIPANT,
        conversation="\n\n".join(_told(scene) for scene in conversation()),
        close_codes="\n".join(_close_codes()),
        errors="\n".join(_errors()),
        client=(DOCS / CLIENT).read_text(encoding="utf-8").strip(),
        client_frames=_frames("ClientFrame", definitions),
        server_frames=_frames("ServerFrame", definitions),
        plain_user_message=_table("PlainUserMessage", definitions),
        plain_message=_table("PlainMessage", definitions),
    )


def _numbers() -> dict[str, str]:
    limits = MessageLimits()
    numbers = {
        "frame_kib": protocol.MAX_FRAME_BYTES // 1024,
        "hello_seconds": protocol.HELLO_SECONDS,
        "heartbeat_seconds": protocol.HEARTBEAT_SECONDS,
        "silence_seconds": SILENCE_SECONDS,
        "longest_retry_seconds": LONGEST_RETRY_SECONDS,
        "grace_seconds": SimulationParameters.reconnect_grace_seconds,
        "handshakes": ServerSettings.model_fields["handshakes_per_minute"].default,
        "per_second": limits.messages_per_second,
        "burst": limits.message_burst,
        "most_ignored": MOST_IGNORED,
        "max_lag": connection.MAX_LAG,
        "send_seconds": connection.SEND_SECONDS,
        "depth": MAX_DEPTH,
        "digits": MAX_INTEGER_DIGITS,
    }
    return {name: f"{number:g}" for name, number in numbers.items()}


def _frames(direction: str, definitions: Definitions) -> str:
    mapping: dict[str, str] = definitions[direction]["discriminator"]["mapping"]
    return "\n\n".join(_frame(name, ref.rpartition("/")[2], definitions) for name, ref in mapping.items())


def _frame(name: str, model: str, definitions: Definitions) -> str:
    parts = (f"### `{name}`", definitions[model]["description"], _table(model, definitions))
    return "\n\n".join(part for part in parts if part)


def _table(model: str, definitions: Definitions) -> str:
    """Return the fields of a frame as a table, but for its `type`; nothing if there are no others."""
    rows = [_row(each) for each in fields(definitions[model], definitions) if each.name != "type"]
    return "\n".join(["| field | holds | meaning |", "|---|---|---|", *rows]) if rows else ""


def _row(field: Field) -> str:
    name = f"`{field.name}`" if field.is_required else f"`{field.name}`, optional"
    kind = field.kind.replace(" | ", ", ")
    holds = f"{kind}; {field.limits}" if field.limits else kind
    return f"| {name} | {holds} | {field.description} |"


def _errors() -> Iterator[str]:
    yield "| code | meaning | what a client does |"
    yield "|---|---|---|"
    for name, code in ERRORS.items():
        yield f"| `{name}` | {code.meaning} | {code.advice} |"


def _close_codes() -> Iterator[str]:
    yield "| code | meaning | comes back | what a client does |"
    yield "|---|---|---|---|"
    for code in Close:
        yield f"| {code:d} | {code.meaning} | {'yes' if code.comes_back else 'no'} | {code.advice} |"


# The conversation in it


class Scene(NamedTuple):
    """A part of the example: what it shows, and its frames, from the client and to it."""

    text: str
    lines: tuple[tuple[str, str], ...]


FROM_CLIENT, TO_CLIENT = "→", "←"


def _told(scene: Scene) -> str:
    lines = "\n".join(f"{arrow} {frame}" for arrow, frame in scene.lines)
    return f"{fill(scene.text, WIDTH)}\n\n```text\n{lines}\n```"


def conversation() -> tuple[Scene, ...]:
    """Return a conversation in which everything happens once; its frames are made as the server makes them."""
    first, second = "0f8b4c52-7d0e-4a3b-9a53-1c8f4f6f2b11", "b7d1f1f0-2a55-4c86-8f0f-5c1f2f0b9e42"
    echo = _message(1, "user", "Hello everybody!", client_message_id=first)
    answer = _message(2, "Alice", "Hi! Have you seen the notice?", reply_to=message_id(SESSION_ID, 1))
    late = _message(3, "user", "Which notice?", client_message_id=second)
    return (
        Scene(
            "The client connects and says hello. There is no backlog yet.",
            (_says(type="hello"), _hears(_welcome(0, 899.9)), _hears(protocol.backlog_end(0))),
        ),
        Scene(
            "The participant writes. The echo says that the message is stored; then somebody answers.",
            (
                _posts(first, "Hello everybody!"),
                _hears(echo),
                _hears(protocol.typing("Alice", True)),
                _hears(answer),
                _hears(protocol.heartbeat(2)),
            ),
        ),
        Scene(
            "The participant writes again, and the line is lost before the echo comes. The client keeps the message.",
            (_posts(second, "Which notice?"),),
        ),
        Scene(
            "It comes back and asks for what it lacks. The message had arrived: its echo is in the backlog. (Were it "
            "not there, the client would send the same frame again after `backlog_end`.)",
            (
                _says(type="hello", after=2),
                _hears(_welcome(4, 841.6)),
                _hears(late),
                _hears(_thumb(4)),
                _hears(protocol.backlog_end(4)),
            ),
        ),
        Scene(
            "Had it not known, and sent it again, the same echo would have come once more.",
            (_posts(second, "Which notice?"), _hears(late)),
        ),
        Scene(
            "Somebody writes faster than allowed, waits as long as told, and sends the same frame again.",
            (
                _posts("c7", "And one more"),
                _hears(protocol.error("rate_limited", "too fast", "c7", 0.4)),
                _posts("c7", "And one more"),
                _hears(_message(5, "user", "And one more", client_message_id="c7")),
            ),
        ),
        Scene(
            "The time is up: this is the last frame, and the server closes with 1000.",
            (_hears(protocol.session_end("duration_expired")),),
        ),
    )


def _says(**frame: Any) -> tuple[str, str]:
    return FROM_CLIENT, json.dumps(frame, separators=(",", ":"))


def _posts(name: str, content: str) -> tuple[str, str]:
    return _says(type="user_message", content=content, client_message_id=name)


def _hears(frame: str) -> tuple[str, str]:
    return TO_CLIENT, frame


def _welcome(position: int, seconds_left: float) -> str:
    members = ("Alice", "Bob")
    return protocol.welcome(group_name="Community group", members=members, position=position, seconds_left=seconds_left)


def _message(position: int, sender: str, content: str, **details: Any) -> str:
    event = MessagePosted(
        elapsed=0.0,
        sender=sender,
        content=content,
        message_id=message_id(SESSION_ID, position),
        position=position,
        source="",
        **details,
    )
    return protocol.visible_frame(_kept(event, position))


def _thumb(position: int) -> str:
    under = message_id(SESSION_ID, 3)
    event = ReactionAdded(elapsed=0.0, message_id=under, sender="Bob", emoji="👍", position=position)
    return protocol.visible_frame(_kept(event, position))


def _kept(event: MessagePosted | ReactionAdded, position: int) -> Record:
    return Record(position, f"2026-11-27T10:00:{7 * position:02}.041326+00:00", event)


TEXT = """\
# The protocol `$subprotocol`

For whoever builds another client of the room: a page of their own, a program that takes part. It is generated from the
server's models (`make schema`), and so is [protocol.schema.json](protocol.schema.json), a JSON Schema of every frame.
[protocol_client.py](protocol_client.py) is a [whole client](#a-client-in-python).

| where to find | |
|---|---|
| [Connecting](#connecting) | from a token to a socket; what a frame is |
| [A conversation](#a-conversation) | an example from hello to the end, with a lost line in it |
| [Delivery](#delivery) | what a client can rely on, and what it does for it |
| [Coming back](#coming-back) | heartbeats, close codes, one connection at a time |
| [Errors and limits](#errors-and-limits) | error codes, rates, slow readers |
| [From the client](#from-the-client), [to the client](#to-the-client) | every frame and field |
| [The plain protocol](#the-plain-protocol) | the same socket without `$subprotocol` |

## Connecting

1. `POST /session/start` with `{"token": "1234"}`, or what the study's entry wants (`/docs` on the server has all of
   it). The answer has `session_id` and `websocket_url`. Starting again with the same token gives the same session, for
   as long as it is not over; the demo token `1234` starts a new one each time. Whoever knows a session's id may speak
   in it: keep it secret.
2. Open a WebSocket at `websocket_url`, `/ws/{session_id}`, and ask for the subprotocol `$subprotocol`. Browsers send
   an `Origin`: a page of another origin must be named in `ALLOWED_ORIGINS`, or the handshake is answered with 403.
3. Send [`hello`](#hello) within $hello_seconds s. The session begins with its first connection, not before.

A frame is one JSON object in one text frame of at most $frame_kib KiB, in UTF-8. The server reads JSON strictly: no key
twice, no NaN, whole numbers without a decimal point and of at most $digits digits, at most $depth levels, no NUL and no
half surrogate pairs. It refuses fields that it does not know. A client does the opposite: it passes over fields and
frame types that it does not know, so that later servers may have more.
Lengths are counted in characters (Unicode code points). Times are RFC 3339 in UTC.

## A conversation

→ is from the client, ← to the client.

$conversation

## Delivery

* **Everything visible has a position**: `message` and `reaction` count 1, 2, 3 ... without gap, in the order in which
  they happened, which is the same for every connection. A client keeps the last position that it has.
* **Written before shown.** What a client is sent is in the session's log.
* **The echo is the acknowledgement.** A `user_message` comes back as a `message` with `sender` `$participant`, its
  `position` and its `client_message_id`. Until then the client does not know whether it arrived, and keeps it.
* **Send again as often as you like**, over any number of connections, also after a restart of the server: one
  `client_message_id` is one message. What is known is answered with the echo that it had, for which a client may have
  the position already; so a client takes every echo as an acknowledgement, and shows what is beyond its last position.
* **The same id with other content** (or another `reply_to`) is refused with `conflict`, and changes nothing. White
  space around the content does not count.
* A message without `client_message_id` is taken too, but sent again it is said twice.
* Send one message at a time and wait for its echo, or a message that has to wait is overtaken by the next.
* `hello` with `after: n` brings n + 1 and on, in order, however many there are, and nothing twice. Then comes
  `backlog_end`, and then what is new. `typing`, `error` and `heartbeat` may stand anywhere after `welcome`.

`reaction`, `report`, `seen` and `typing` have no id. A reaction may be sent again: the last emoji stands. The others
need not be.

## Coming back

The session goes on while nobody is connected, for `reconnect_grace_seconds` (usually $grace_seconds s); after that it
ends, as it does after `leave`. It survives a restart of the server.

If `welcome.position` is less than the `after` that you sent, the server has been through a power cut with `LOG_SYNC=os`
and knows less than it has shown: drop your transcript, connect anew and say `hello` with 0.

* **A dead line shows by its silence.** A `heartbeat` comes every $heartbeat_seconds s. After $silence_seconds s without
  any frame, close the socket and come back. The server sends WebSocket pings, too; browsers and libraries answer them
  by themselves.
* **Wait a random time** between 0 and 0.5 s, then 1, 2, 4 ... up to $longest_retry_seconds s; begin with 0.5 s again
  once there was a `backlog_end`. Go on for as long as the session lasts.
* **One connection wins, the newest.** Another one for the same session is closed with 4409. So a client may come back
  before the server has noticed that its old socket is dead.
* At most $handshakes connections a minute are taken for a session (`HANDSHAKES_PER_MINUTE`).

$close_codes

A socket that is lost without a code (1005, 1006), and any code that is not in the table: come back.

## Errors and limits

An `error` says what was wrong with one frame; the connection goes on. It has the `client_message_id` of a message that
had one; a reaction or report that was refused may be dropped.

$errors

Take a code that is not in the table for `bad_frame`.

**Rates.** A participant may send $burst messages at once and $per_second a second in the long run, unless the settings
say otherwise (`limits`: `messages_per_second`, `message_burst`). Reactions and reports count as messages; `seen`,
`typing` and messages that are known already do not. Whoever goes on for more than $most_ignored frames in spite of
`rate_limited` is closed with 4429.

**Slow readers.** Of what could not be sent yet, only the newest `heartbeat` and the newest `typing` of each member are
kept. Messages and reactions are never left out. A client that takes none while $max_lag new ones wait, or does not take
a frame within $send_seconds s, is closed with 4408 and gets what it lacks when it comes back.

## A client in Python

It keeps an outbox, comes back, sends again what has no echo, and prints what is said. (`pip install websockets`)

```python
$client
```

## From the client

$client_frames

## To the client

Nothing in a frame says who is who, but that the participant's own messages and reactions have `$participant` as sender.

$server_frames

## The plain protocol

Without a subprotocol the same socket speaks a smaller one, for clients that show every frame as a line of the chat.

The client sends `{"type": "user_message", "content": "..."}`; other fields are passed over, and what is no such frame
is not taken, without a word.

$plain_user_message

It is sent members' messages, without a `type`: no echo, no reaction, no error, no goodbye, nothing from before it
connected. A news card comes as text.

$plain_message

There is no acknowledgement and no way back: the session ends when the socket is lost (another connection may take its
place before that, which closes the older with 4409). Who writes too fast is not told; the messages wait for their turn.
Close codes are the same.
"""


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS)
