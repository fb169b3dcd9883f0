"""When a session's log says that the model is away, and when that it is back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from chatrooms import Chat, answered, arrival, failed

from simulation.events import Event, ModelDegraded, ModelMismatch, ModelRecovered
from simulation.generation import Attempt, Generation
from simulation.inputs import GenerationArrived
from simulation.parameters import GatewayLimits, OnModelFailure


def chat_with(*answers: Attempt | None, **changes) -> Chat:
    """A chat whose participant posts once a second, and whose model answers in turn with what it is given."""
    remaining = iter(answers)
    chat = Chat(user_response_probability=1, model=lambda _: next(remaining, None), **changes)
    for number in range(len(answers)):
        chat.participant_posts(f"message {number}")
        chat.now += 1
    return chat


def health(chat: Chat) -> list[tuple[str, float]]:
    return [(e.event_type, e.elapsed) for e in chat.events if isinstance(e, ModelDegraded | ModelRecovered)]


def test_the_first_failure_is_told_and_the_first_answer_after_it():
    chat = chat_with(answered("a"), failed("unavailable"), failed("auth"), answered("b"), answered("c"))
    assert health(chat) == [("llm_degraded", 1), ("llm_recovered", 3)]
    assert chat.of(ModelDegraded)[0].reason == "unavailable"
    assert chat.of(ModelRecovered)[0].seconds == 2


@pytest.mark.parametrize("status", ["empty", "blocked"])
def test_an_answer_that_cannot_be_used_is_one_all_the_same(status):
    nothing = answered(None, status=status, generation=Generation(text=None))
    assert health(chat_with(answered("a"), nothing)) == []


def test_a_prompt_that_was_refused_was_answered_all_the_same():
    assert health(chat_with(answered("a"), failed("blocked"), answered("b"))) == []


def test_prompts_that_are_refused_are_silence_once_there_were_many():
    refused_to_both = [failed("blocked")] * 2  # for the turn goes to another agent
    chat = chat_with(answered("a"), *refused_to_both * 5, answered("b"))
    assert health(chat) == [("llm_degraded", 3), ("llm_recovered", 6)]
    assert chat.of(ModelDegraded)[0].reason == "blocked"


def test_answers_that_cannot_be_used_are_silence_once_there_were_many():
    nothing = answered(None, status="empty", generation=Generation(text=None))
    chat = chat_with(answered("a"), *[nothing] * 7, answered("b"))
    assert health(chat) == [("llm_degraded", 6), ("llm_recovered", 8)]
    assert chat.of(ModelDegraded)[0].reason == "empty"


def test_a_turn_that_we_skipped_says_nothing_of_the_model():
    chat = chat_with(None)
    turn = chat.requests[0]
    chat.takes(GenerationArrived(turn_id=turn.turn_id, agent_name=turn.scene.agent_name, prompt="", status="throttled"))
    assert health(chat) == []


@pytest.mark.parametrize("source", ["canned", "second_provider"])
def test_who_speaks_instead_does_not_hide_that_the_model_is_away(source):
    instead = answered("hm", generation=Generation(text="hm", source=source, reason="auth"))
    chat = chat_with(instead, instead, answered("back"))
    assert health(chat) == [("llm_degraded", 0), ("llm_recovered", 2)]
    assert chat.of(ModelDegraded)[0].reason == "auth"
    assert [message.source for message in chat.messages if message.sender != "user"] == [source, source, "model"]


def test_a_call_that_was_not_made_counts_as_silence():
    chat = chat_with(None)
    turn = chat.requests[0]
    arrived = GenerationArrived(
        turn_id=turn.turn_id, agent_name=turn.scene.agent_name, prompt="", status="budget_spent"
    )
    chat.takes(arrived)
    assert chat.of(ModelDegraded)[0].reason == "budget_spent"


def test_a_late_time_out_of_an_outage_that_is_over_is_old_news():
    chat = chat_with(None, answered("the model is back"))
    chat.takes(arrival(chat.requests[0], failed("timeout")))
    assert health(chat) == []


def test_another_model_is_told_of_once():
    other = answered("hi", requested_model="asked", generation=Generation(text="hi", served_model="another"))
    third = answered("hi", requested_model="asked", generation=Generation(text="hi", served_model="third"))
    chat = chat_with(other, other, third, other)
    assert [event.served_model for event in chat.of(ModelMismatch)] == ["another", "third"]


def test_a_dated_version_is_the_model_that_was_asked_for():
    dated = answered("hi", requested_model="m", generation=Generation(text="hi", served_model="models/m-2026-09-01"))
    assert chat_with(dated).of(ModelMismatch) == []


def test_another_model_ends_the_session_where_the_settings_say_so():
    other = answered("hi", requested_model="asked", generation=Generation(text="hi", served_model="another"))
    chat = chat_with(other, gateway=GatewayLimits(on_model_mismatch="stop"))
    assert chat.end_reasons == ["technical"]
    assert [message.sender for message in chat.messages] == ["user"]


class TestAnEarlyEnd:
    FAILURE = OnModelFailure(mode="end_early", after_seconds=60)

    def test_after_so_long_without_a_word(self):
        chat = chat_with(answered("a"), failed(), on_model_failure=self.FAILURE)
        chat.runs_until(200)
        assert chat.end_reasons == ["technical"]
        assert self.ended(chat).elapsed == 1 + 60

    def test_not_if_the_model_comes_back(self):
        chat = chat_with(failed(), answered("a"), on_model_failure=self.FAILURE)
        chat.runs_until(200)
        assert chat.end_reasons == []

    def test_not_while_others_speak_instead(self):
        instead = answered("hm", generation=Generation(text="hm", source="canned", reason="auth"))
        chat = chat_with(*[instead] * 100, on_model_failure=replace(self.FAILURE))
        assert chat.end_reasons == []

    def test_also_where_every_answer_is_blocked_or_says_nothing(self):
        nothing = answered(None, status="empty", generation=Generation(text=None))
        chat = chat_with(answered("a"), nothing, nothing, on_model_failure=self.FAILURE)
        chat.runs_until(200)
        assert chat.end_reasons == ["technical"]

    def test_not_because_the_room_is_quiet(self):
        chat = chat_with(answered("a"), on_model_failure=self.FAILURE)
        chat.runs_until(500)
        assert chat.end_reasons == []

    def ended(self, chat: Chat) -> Event:
        return chat.events[-1]
