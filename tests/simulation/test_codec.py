from __future__ import annotations

import json

import pytest
from chatrooms import Chat, answered
from hypothesis import given
from hypothesis import strategies as st

from simulation.codec import Record, decode, encode
from simulation.errors import InvalidJson, InvalidRecord
from simulation.events import MessagePosted, UnknownEvent
from simulation.parameters import ActWeights

NOW = "2026-11-22T10:00:00.000000+00:00"


def message(content: str) -> MessagePosted:
    return MessagePosted(elapsed=1.5, sender="user", content=content, message_id="m", position=1, source="participant")


def test_a_line_has_the_envelope_and_the_seeds_fields():
    line = encode(Record(7, NOW, message("Hello!")))
    value = json.loads(line)
    assert list(value) == ["seq", "timestamp", "elapsed", "event_type", "data"]
    assert (value["seq"], value["elapsed"], value["event_type"]) == (7, 1.5, "message")
    assert value["data"]["timestamp"] == value["timestamp"] == NOW
    assert {"sender", "content", "timestamp", "message_id"} <= set(value["data"])
    assert "elapsed" not in value["data"]
    assert line.endswith(b"}\n")


def test_every_kind_of_event_reads_back():
    weights = ActWeights(message=1, reply=0.5, mention=0.5, reaction=0.5)
    chat = Chat(messages_per_minute=60, latency=3, user_response_probability=1, act_weights=weights)
    chat.connects()
    for second in range(0, 60, 7):
        chat.runs_until(second)
        chat.participant_posts("hello @Alice", client_message_id=f"c{second}")
    chat.disconnects()
    chat.ends()
    for seq, event in enumerate((chat.start, *chat.events), 1):
        record = Record(seq, NOW, event)
        assert decode(encode(record)) == record


@given(st.text())
def test_any_text_is_one_line_and_reads_back(content):
    line = encode(Record(1, NOW, message(content)))
    assert line.count(b"\n") == 1
    assert len(line.decode().splitlines()) == 1
    assert decode(line).event.content == content.encode("utf-8", "replace").decode().replace("\0", "")


@pytest.mark.parametrize("content", ["a\u2028b", "a\u2029b", "a\u0085b", "a\nb", "a\r\nb", "a\x0bb\x0cc\x1cd"])
def test_what_readers_take_for_line_ends_is_escaped(content):
    line = encode(Record(1, NOW, message(content))).decode()
    assert len(line.splitlines()) == 1
    assert json.loads(line)["data"]["content"] == content


def test_what_no_reader_takes_is_left_out_of_what_models_send():
    chat = Chat(user_response_probability=1, model=lambda _: answered("half \ud800 a pair \0 and NUL"))
    chat.participant_posts("hello")
    for line in chat.log():
        decode(line)
    assert "\\ud800" not in b"".join(chat.log()).decode()


def test_unknown_types_are_kept():
    line = b'{"seq":3,"timestamp":"t","elapsed":2.0,"event_type":"from_the_future","data":{"a":[1]}}\n'
    record = decode(line)
    assert record.event == UnknownEvent(elapsed=2.0, name="from_the_future", data={"a": [1]})
    assert encode(record) == line


def test_unknown_fields_of_known_types_are_passed_over():
    line = encode(Record(1, NOW, message("hi"))).replace(b'"sender"', b'"mood":"good","sender"')
    assert decode(line).event == message("hi")


@pytest.mark.parametrize(
    "line", [b"{}", b"[]", b'{"seq":1}', b'"x"', b'{"event_type":"message","data":{},"elapsed":1}']
)
def test_a_line_that_is_no_record_is_refused(line):
    with pytest.raises(InvalidRecord):
        decode(line)


def test_a_line_that_is_no_json_is_refused():
    with pytest.raises(InvalidJson):
        decode(b'{"seq":1,')
