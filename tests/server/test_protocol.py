"""The models of the protocol, the documents made of them, and the server: all three say the same."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from participants import PATIENCE_SECONDS, OurParticipant, ours, plain, start
from servers import Server, serving

from server import protocol, protocol_docs
from server.protocol import ERRORS, BadFrame, Close
from simulation.codec import Record
from simulation.events import MessagePosted, ReactionAdded

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SCHEMA = protocol_docs.schema()
NOON = "2026-11-27T12:00:00.000000+00:00"
CARD = {"headline": "Well is back", "source": "The Post", "text": "It gives water."}


def validator(definition: str) -> jsonschema_rs.Draft202012Validator:
    """Return what tells whether a value is as a definition of the schema says."""
    return jsonschema_rs.Draft202012Validator(
        {"$ref": f"#/$defs/{definition}", "$defs": SCHEMA["$defs"]}, validate_formats=True
    )


FROM_CLIENT, TO_CLIENT, FROM_PLAIN, TO_PLAIN = (
    validator(name) for name in ("ClientFrame", "ServerFrame", "PlainUserMessage", "PlainMessage")
)


# The documents


@pytest.mark.parametrize("name", ["protocol.md", "protocol.schema.json"])
def test_what_lies_in_docs_is_current(name):
    assert (DOCS / name).read_text(encoding="utf-8") == protocol_docs.documents()[name], "run: make schema"


def test_they_can_be_written_anywhere(tmp_path: Path):
    protocol_docs.write(tmp_path / "docs")
    assert sorted(path.name for path in (tmp_path / "docs").iterdir()) == ["protocol.md", "protocol.schema.json"]


def test_the_schema_is_one_and_takes_what_either_side_sends():
    jsonschema_rs.meta.validate(SCHEMA)
    either = jsonschema_rs.Draft202012Validator(SCHEMA)
    for _, frame in example_frames():
        assert either.is_valid(json.loads(frame)), frame
    assert not either.is_valid({"type": "nothing"})


def example_frames() -> Iterator[tuple[str, str]]:
    for scene in protocol_docs.conversation():
        yield from scene.lines


def test_the_documents_conversation_is_one_that_both_sides_understand():
    for arrow, frame in example_frames():
        if arrow == protocol_docs.FROM_CLIENT:
            assert protocol.client_frame(frame.encode())
        else:
            TO_CLIENT.validate(json.loads(frame))


def test_every_type_code_and_field_is_in_the_document():
    text = protocol_docs.document()
    for name in ("ClientFrame", "ServerFrame"):
        for kind in SCHEMA["$defs"][name]["discriminator"]["mapping"]:
            assert f"### `{kind}`" in text
    for code in (*(f"`{code}`" for code in ERRORS), *(f"| {code:d} |" for code in Close)):
        assert code in text
    for definition in SCHEMA["$defs"].values():
        for field in definition.get("properties", {}):
            assert f"`{field}`" in text or f".{field}`" in text, field


# What the server sends


async def test_every_frame_of_a_lively_conversation_is_as_the_schema_says(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(protocol, "HEARTBEAT_SECONDS", 0.1)
    async with serving(tmp_path, **LIVELY) as server:
        session_id = await start(server)
        async with ours(server, session_id, hello=False) as first:
            await first.posts("too early")
            await first.expects_error("hello_first")
            await first.says_hello()
            await _goes_wrong_in_every_way(first)
            await _does_everything(first)
        async with ours(server, session_id, after=1) as back:
            await back.expects("backlog_end")
            await back.sends({"type": "leave"})
            assert await back.reads_until_closed() == Close.OVER
    frames = first.frames + back.frames
    assert {frame["type"] for frame in frames} == set(SCHEMA["$defs"]["ServerFrame"]["discriminator"]["mapping"])
    assert {frame["code"] for frame in frames if frame["type"] == "error"} == set(ERRORS) - {"not_stored"}
    assert any(frame.get("card") == CARD for frame in frames)
    assert any(frame.get("reply_to") for frame in frames)
    for frame in frames:
        TO_CLIENT.validate(frame)
        assert not TO_CLIENT.is_valid(frame | {"source": "model"})


LIVELY: dict[str, Any] = {
    "messages_per_minute": 600,
    "user_response_probability": 1,
    "act_weights": {"message": 1, "reply": 1, "mention": 1, "reaction": 1},
    "timing": {"scale": 0.01},
    "limits": {"messages_per_second": 20, "message_burst": 12},
    "experimental": {"stimuli": [{"at_seconds": 0.1, "agent": "Eve", "card": CARD}]},
}


async def _goes_wrong_in_every_way(participant: OurParticipant) -> None:
    for frame, code in [
        ("nonsense", "bad_frame"),
        ({"type": "dance"}, "unknown_type"),
        ({"type": "user_message", "content": "x" * 4001, "client_message_id": "long"}, "too_long"),
        ({"type": "reaction", "message_id": "nothing", "emoji": "👍"}, "unknown_message"),
        ({"type": "report", "message_id": "nothing"}, "unknown_message"),
    ]:
        await participant.sends(frame)
        await participant.expects_error(code)


async def _does_everything(participant: OurParticipant) -> None:
    await participant.posts("hello", client_message_id="c1", mentions=["Bob"])
    echo = await participant.expects_echo("hello")
    await participant.posts("hello", client_message_id="c1")
    assert await participant.expects_echo("hello") == echo
    await participant.posts("ho", client_message_id="c1")
    await participant.expects_error("conflict")
    answer = await participant.hears_an_agent()
    for frame in (
        {"type": "reaction", "message_id": answer["message_id"], "emoji": "👍"},
        {"type": "report", "message_id": answer["message_id"], "reason": "rude"},
        {"type": "seen", "position": answer["position"]},
        {"type": "typing"},
    ):
        await participant.sends(frame)
    await participant.expects("reaction", sender="user")
    for number in range(20):
        await participant.posts("why?", reply_to=answer["message_id"], client_message_id=f"r{number}")
    refused = await participant.expects_error("rate_limited")
    assert refused["retry_after"] >= 0.1
    await participant.expects("typing")
    await participant.expects("heartbeat")
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not any("card" in frame for frame in participant.frames):
            await participant.next_frame()


async def test_what_a_plain_client_is_sent_is_as_the_schema_says(tmp_path: Path):
    async with serving(tmp_path, **LIVELY, session_duration_minutes=0.05) as server, plain(server) as participant:
        await participant.posts("hello")
        for _ in range(5):
            frame = await participant.next_frame()
            TO_PLAIN.validate(frame)
            assert not TO_PLAIN.is_valid(frame | {"type": "message"})


def test_the_bytes_of_every_frame_are_these():
    echo = _posted(position=3, client_message_id="c1", source="participant")
    news = _posted(position=4, sender="Eve", reply_to="m1", mentions=("Bob",), card=CARD, source="stimulus")
    liked = ReactionAdded(elapsed=1.0, message_id="m3", sender="Bob", emoji="👍", position=5, turn_id="turn-7")
    rest = (
        f'"sender":"user","content":"hi","timestamp":"{NOON}","reply_to":null,"mentions":[],"client_message_id":"c1"}}'
    )
    card = json.dumps(CARD, separators=(",", ":"))
    assert protocol.visible_frame(_record(echo)) == f'{{"type":"message","position":3,"message_id":"m3",{rest}'
    assert protocol.visible_frame(_record(news)) == (
        f'{{"type":"message","position":4,"message_id":"m4","sender":"Eve","content":"hi","timestamp":"{NOON}",'
        f'"reply_to":"m1","mentions":["Bob"],"card":{card}}}'
    )
    assert protocol.visible_frame(_record(liked)) == (
        '{"type":"reaction","message_id":"m3","sender":"Bob","emoji":"👍","position":5}'
    )
    assert protocol.plain_message(_record(news)) == (
        f'{{"sender":"Eve","content":"hi","timestamp":"{NOON}","message_id":"m4"}}'
    )
    assert protocol.plain_message(_record(echo)) is None
    assert protocol.plain_message(_record(liked)) is None
    assert protocol.welcome(group_name="Us", members=("Bob",), position=5, seconds_left=9.96) == (
        '{"type":"welcome","group_name":"Us","members":["Bob"],"position":5,"seconds_left":10.0}'
    )
    assert protocol.backlog_end(5) == '{"type":"backlog_end","position":5}'
    assert protocol.typing("Bob", False) == '{"type":"typing","sender":"Bob","typing":false}'
    assert protocol.heartbeat(5) == '{"type":"heartbeat","position":5}'
    assert protocol.error("rate_limited", "too fast", "c1", 0.5) == (
        '{"type":"error","code":"rate_limited","message":"too fast","retry_after":0.5,"client_message_id":"c1"}'
    )
    assert protocol.error("bad_frame", "empty") == '{"type":"error","code":"bad_frame","message":"empty"}'


def _posted(*, position: int, sender: str = "user", **details: Any) -> MessagePosted:
    return MessagePosted(
        elapsed=1.0, sender=sender, content="hi", message_id=f"m{position}", position=position, **details
    )


def _record(event: MessagePosted | ReactionAdded) -> Record:
    return Record(9, NOON, event)


@pytest.mark.parametrize(("seconds", "told"), [(0.001, 0.1), (0.1, 0.1), (0.31, 0.4), (2, 2.0)])
def test_nobody_is_told_to_come_back_too_soon(seconds, told):
    assert json.loads(protocol.error("rate_limited", "too fast", retry_after=seconds))["retry_after"] == told


@pytest.mark.parametrize(
    ("reason", "told"),
    [("duration_expired", "duration_expired"), ("withdrawn", "withdrawn"), ("model_failed", "ended"), ("x", "ended")],
)
def test_of_the_end_a_participant_is_told_no_more_than_they_may_know(reason, told):
    frame = json.loads(protocol.session_end(reason))
    TO_CLIENT.validate(frame)
    assert frame["reason"] == told


def test_nothing_in_a_server_frame_tells_an_agent_from_a_person():
    definitions = [SCHEMA["$defs"][name] for name in _of_the_server()]
    names = {name for definition in definitions for name in definition["properties"]}
    assert names == {
        "type", "position", "message_id", "sender", "content", "timestamp", "reply_to", "mentions", "card",
        "client_message_id", "group_name", "members", "seconds_left", "typing", "emoji", "code", "message",
        "retry_after", "reason",
    }  # fmt: skip
    for definition in (*definitions, SCHEMA["$defs"]["PlainMessage"]):
        assert definition["additionalProperties"] is False
        words = set(re.findall(r"[a-z]+", json.dumps(definition).lower()))
        assert not words & {"agent", "agents", "bot", "human", "person", "model", "persona", "condition", "stimulus"}
    senders = [each["properties"]["sender"] for each in definitions if "sender" in each["properties"]]
    assert all(set(sender) == {"type", "description"} for sender in senders)


def _of_the_server() -> list[str]:
    return [each["$ref"].rpartition("/")[2] for each in SCHEMA["$defs"]["ServerFrame"]["oneOf"]]


def test_every_error_code_that_is_sent_is_explained_and_no_other():
    sources = [*(ROOT / "server").glob("*.py"), ROOT / "simulation" / "room.py"]
    text = "".join(path.read_text(encoding="utf-8") for path in sources)
    sent = re.findall(r'(?:BadFrame\(|Refuse\(|_refuse\(posted,)\s*"(\w+)"', text)
    assert set(sent) == set(ERRORS)


# What a client sends


def is_taken(frame: Any, parser=protocol.client_frame) -> bool:
    try:
        parser(json.dumps(frame).encode())
    except BadFrame:
        return False
    return True


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "hello"},
        {"type": "hello", "after": 7},
        {"type": "user_message", "content": "hi"},
        {"type": "user_message", "content": "x" * 4000, "client_message_id": "c" * 100, "reply_to": "m1"},
        {"type": "user_message", "content": "😀" * 4000, "client_message_id": None, "reply_to": None},
        {"type": "user_message", "content": " hi\n", "mentions": ["Bob", "Bob"]},
        {"type": "reaction", "message_id": "m1", "emoji": ""},
        {"type": "reaction", "message_id": "m1", "emoji": "😀" * 16},
        {"type": "report", "message_id": "m1"},
        {"type": "report", "message_id": "m1", "reason": "x" * 1000},
        {"type": "report", "message_id": "m1", "reason": None},
        {"type": "seen", "position": 1},
        {"type": "typing"},
        {"type": "typing", "typing": False},
        {"type": "leave"},
    ],
)
def test_good_frames_are_good_to_the_schema_and_to_the_parser(frame):
    assert (FROM_CLIENT.is_valid(frame), is_taken(frame)) == (True, True)


@pytest.mark.parametrize(
    "frame",
    [
        None,
        [],
        "hello",
        {},
        {"type": None},
        {"type": "Hello"},
        {"type": "hello", "after": -1},
        {"type": "hello", "after": 1.5},
        {"type": "hello", "after": True},
        {"type": "hello", "after": "1"},
        {"type": "hello", "after": None},
        {"type": "hello", "before": 1},
        {"type": "user_message"},
        {"type": "user_message", "content": ""},
        {"type": "user_message", "content": " \n\t\u3000"},
        {"type": "user_message", "content": "x" * 4001},
        {"type": "user_message", "content": ["hi"]},
        {"type": "user_message", "content": "hi", "client_message_id": ""},
        {"type": "user_message", "content": "hi", "client_message_id": "c" * 101},
        {"type": "user_message", "content": "hi", "client_message_id": 1},
        {"type": "user_message", "content": "hi", "reply_to": "m" * 101},
        {"type": "user_message", "content": "hi", "mentions": "Bob"},
        {"type": "user_message", "content": "hi", "mentions": [None]},
        {"type": "user_message", "content": "hi", "mentions": None},
        {"type": "user_message", "content": "hi", "mentions": ["Bob"] * 101},
        {"type": "user_message", "content": "hi", "sender": "Bob"},
        {"type": "reaction", "message_id": "m1"},
        {"type": "reaction", "message_id": "m1", "emoji": "x" * 17},
        {"type": "reaction", "message_id": "m1", "emoji": None},
        {"type": "report"},
        {"type": "report", "message_id": None},
        {"type": "report", "message_id": "m1", "reason": "x" * 1001},
        {"type": "seen"},
        {"type": "seen", "position": 0},
        {"type": "seen", "position": 2.5},
        {"type": "typing", "typing": 1},
        {"type": "typing", "sender": "Bob"},
        {"type": "leave", "reason": "bored"},
        {"type": "message", "content": "hi"},
    ],
)
def test_bad_frames_are_bad_to_the_schema_and_to_the_parser(frame):
    assert (FROM_CLIENT.is_valid(frame), is_taken(frame)) == (False, False)


# A whole number that is written as 1.0 is one to JSON Schema; NUL and half surrogate pairs are not to our parser. The
# document says so.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20) | st.sampled_from(
    [" ", "\x1c", "\x85", "\ufeff", "\u200b", *("x" * length for length in (16, 17, 100, 101, 1000, 1001, 4000, 4001))]
)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 10**18 - 1),
    st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: not number.is_integer()),
    TEXTS,
    st.lists(TEXTS | st.none(), max_size=3),
    st.dictionaries(TEXTS, TEXTS, max_size=1),
)
CLIENT_MODELS = {
    kind: SCHEMA["$defs"][ref.rpartition("/")[2]]
    for kind, ref in SCHEMA["$defs"]["ClientFrame"]["discriminator"]["mapping"].items()
}
FIELD_NAMES = sorted({name for model in CLIENT_MODELS.values() for name in model["properties"]} | {"unknown"})


@st.composite
def frames(draw: st.DrawFn, *kinds: str) -> Any:
    """A frame of one of these types, most of the time with the fields that it has."""
    kind = draw(st.sampled_from(kinds))
    if draw(st.integers(0, 4)) == 0:
        return {"type": kind} | draw(st.dictionaries(st.sampled_from(FIELD_NAMES), VALUES, max_size=4))
    model = CLIENT_MODELS[kind]
    fields = {name: _mostly_fitting(field) for name, field in model["properties"].items() if name != "type"}
    required = {name: fields.pop(name) for name in model["required"] if name != "type"}
    return {"type": kind} | draw(st.fixed_dictionaries(required, optional=fields))


def _mostly_fitting(field: dict[str, Any]) -> st.SearchStrategy[Any]:
    kinds = {"integer": st.integers(-1, 3), "boolean": st.booleans(), "array": st.lists(TEXTS)}
    fitting = kinds.get(field.get("type", "string"), TEXTS)
    return st.integers(0, 5).flatmap(lambda number: fitting if number else VALUES)


@settings(max_examples=200, deadline=None)
@given(frames(*CLIENT_MODELS))
def test_the_schema_and_the_parser_agree(frame):
    assert FROM_CLIENT.is_valid(frame) == is_taken(frame)


@settings(max_examples=60, deadline=None)
@given(frames("user_message", "leave"))
def test_the_schema_and_the_parser_agree_on_plain_frames(frame):
    assert FROM_PLAIN.is_valid(frame) == is_taken(frame, protocol.plain_frame)


def test_blank_is_the_same_to_the_schema_as_to_the_parser():
    content = jsonschema_rs.Draft202012Validator(SCHEMA["$defs"]["UserMessage"]["properties"]["content"])
    for code in (*range(1, 0xD800), *range(0xE000, 0x11000)):
        assert content.is_valid(chr(code)) == bool(chr(code).strip()), hex(code)


# Close codes


def test_the_page_stays_away_after_the_codes_that_say_so():
    script = (ROOT / "server" / "static" / "participant" / "connection.js").read_text(encoding="utf-8")
    final = {int(code) for code in re.findall(r'\[(\d{4}), "\w+"\]', script)}
    assert final == {code for code in Close if not code.comes_back}


def test_a_close_code_is_a_number_wherever_one_is_needed():
    assert (Close.OVER, f"{Close.TOO_FAST}", json.dumps(Close.ENDED)) == (1000, "4429", "4410")


# The client in the document


def the_client():
    spec = importlib.util.spec_from_file_location("protocol_client", DOCS / protocol_docs.CLIENT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_stays_away_after_the_codes_that_say_so():
    assert {code for code in Close if not code.comes_back} == the_client().FINAL_CODES
    assert the_client().SILENCE_SECONDS == protocol_docs.SILENCE_SECONDS


async def test_it_comes_back_and_says_everything_once_and_in_order(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setenv("no_proxy", "*")
    limits = {"messages_per_second": 20, "message_burst": 1}
    async with serving(tmp_path, user_response_probability=0, limits=limits) as server:
        session_id = await start(server)
        client = the_client().Client(f"{server.ws}/ws/{session_id}")
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(client.run())
            await client.post("one")
            await _has_said_all(client)
            client.live.transport.abort()
            for content in ("two", "three", "x" * 5000, "four"):
                await client.post(content)
            await _has_said_all(client)
            async with ours(server, session_id):
                assert await running == Close.OPENED_ELSEWHERE
        assert _said_in(server, session_id) == ["one", "two", "three", "four"]
    shown = capsys.readouterr().out.splitlines()
    assert [line for line in shown if "not sent" not in line] == [f"user: {n}" for n in ("one", "two", "three", "four")]
    assert any(line.startswith("not sent (content: longer than") for line in shown)


async def _has_said_all(client: Any) -> None:
    async with asyncio.timeout(10):
        while client.outbox:
            await asyncio.sleep(0.01)


def _said_in(server: Server, session_id: str) -> list[str]:
    events = [record.event for record in server.log_of(session_id)]
    return [event.content for event in events if isinstance(event, MessagePosted)]


async def test_it_runs_as_the_document_says(tmp_path: Path):
    async with serving(tmp_path, user_response_probability=0) as server:
        command = (sys.executable, str(DOCS / protocol_docs.CLIENT), server.http, "1234", "Hello everybody!", "Bye.")
        process = await asyncio.create_subprocess_exec(
            *command, env=os.environ | {"no_proxy": "*"}, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        async with asyncio.timeout(20):
            for content in (b"Hello everybody!", b"Bye."):
                assert await process.stdout.readline() == b"user: " + content + os.linesep.encode()
            (log,) = server.log_dir.glob("*.json")
            async with ours(server, log.stem):
                assert (await process.stdout.read()).strip() == b"closed: 4409"
                assert await process.wait() == 0
