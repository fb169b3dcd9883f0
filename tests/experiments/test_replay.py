"""A log, once more: offline, and the same to the last record."""

from __future__ import annotations

from dataclasses import replace as changed
from pathlib import Path

import pytest
from chatrooms import Chat, answered, failed
from folders import experiment

from experiments.eventlog.reader import read_records
from experiments.rehearsal import rehearse
from experiments.replay import replay
from simulation.codec import Record, decode
from simulation.events import ErrorRaised, MessagePosted, TurnPlanned
from simulation.generation import Generation
from simulation.inputs import Crashed, GenerationArrived, ParticipantReacted


def records_of(chat: Chat) -> list[Record]:
    return [decode(line) for line in chat.log()]


def assert_same(records: list[Record]) -> None:
    outcome = replay(records)
    assert outcome.difference is None
    assert outcome.records == len(records)


def test_every_rehearsed_session_is_the_same_once_more(tmp_path: Path):
    changes = {"messages_per_minute": 20, "timing": {"stale_after_messages": 2, "stale_answers": "redraw"}}
    (tmp_path / "out").mkdir()
    rehearse(experiment(tmp_path / "config", **changes), sessions=20, out=tmp_path / "out", model_latency=8)
    logs = [*(tmp_path / "out").glob("*.json")]
    assert len(logs) == 20
    for path in logs:
        assert_same(list(read_records(path)))


ANSWERS = {
    "text": answered("hello there"),
    "filtered": answered("As an AI language model I cannot say."),
    "blocked": answered(None, status="blocked", generation=Generation(text=None, finish_reason="content_filter")),
    "empty": answered(" ", status="empty"),
    "failed": failed("unavailable"),
    "another model": answered("hi", generation=Generation(text="hi", served_model="another")),
    "canned": answered("hm", generation=Generation(text="hm", source="canned", reason="auth")),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_whatever_the_model_answered(answer):
    chat = Chat(user_response_probability=1, messages_per_minute=30, model=lambda _: answer, latency=2.5)
    chat.connects()
    chat.runs_until(20)
    chat.participant_posts("hello, @Bob", client_message_id="a")
    chat.runs_until(60)
    chat.disconnects()
    chat.connects(connection=2)
    chat.takes(ParticipantReacted(message_id=chat.messages[0].message_id, emoji="👍"))
    chat.runs_to_its_end()
    assert_same(records_of(chat))


def test_turns_for_which_no_call_was_made():
    chat = Chat(user_response_probability=1, model=lambda _: None)
    for number in range(3):
        chat.participant_posts(f"hello {number}")
        chat.now += 1.5
        turn = chat.requests[-1]
        arrived = GenerationArrived(
            turn_id=turn.turn_id, agent_name=turn.scene.agent_name, prompt=turn.prompt, status="circuit_open"
        )
        chat.takes(arrived)
    chat.ends("withdrawn")
    assert_same(records_of(chat))


def test_an_error_of_ours_is_replayed_as_one():
    chat = Chat()
    chat.takes(Crashed("ValueError", "as arranged", "handling Tick"))
    records = records_of(chat)
    assert any(isinstance(record.event, ErrorRaised) for record in records)
    assert_same(records)


def test_a_record_that_was_changed_is_where_the_replay_parts_from_the_log():
    chat = Chat(user_response_probability=1)
    chat.participant_posts("hello?")
    chat.runs_until(30)
    records = records_of(chat)
    index = next(i for i, r in enumerate(records) if isinstance(r.event, MessagePosted) and r.event.sender != "user")
    forged = changed(records[index].event, content="what was never said")
    outcome = replay([*records[:index], records[index]._replace(event=forged), *records[index + 1 :]])
    assert outcome.difference is not None
    assert outcome.difference.record.seq == records[index].seq
    assert outcome.difference.instead == records[index].event
    assert outcome.records == index


def test_a_record_that_is_missing_is_noticed():
    chat = Chat(user_response_probability=1)
    chat.participant_posts("hello?")
    chat.runs_until(30)
    records = records_of(chat)
    without = [record for record in records if not isinstance(record.event, TurnPlanned)]
    assert replay(without).difference is not None


def test_what_does_not_begin_with_its_start_is_no_log():
    with pytest.raises(ValueError, match="session_start"):
        replay([])
