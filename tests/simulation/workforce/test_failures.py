"""What a model gets wrong, and what becomes of the round: nothing is paid for twice."""

from __future__ import annotations

import json

import pytest
from tables import ROLES, Table, answer, plainly, table_start

from experiments.replay import replay
from simulation.codec import decode, encode
from simulation.events import ModelCalled, SessionResumed, TurnDropped
from simulation.workforce.core import Workforce
from simulation.workforce.events import (
    AgentAnswered,
    RoundAbandoned,
    RoundCompleted,
    RoundFailed,
    RoundResumed,
    RoundStarted,
    TurnStarted,
)
from simulation.workforce.parameters import COORDINATOR
from simulation.workforce.state import rebuild

EXECUTIONS = ("sequential", "parallel", "waves")


def once(bad, role="pm"):
    """Say something bad the first time that a role is asked."""
    said = []

    def says(request):
        if request.scene.agent_name == role and not said:
            said.append(bad)
            return bad
        return plainly(request)

    return says


def always(bad, role="pm"):
    return lambda request: bad if request.scene.agent_name == role else plainly(request)


def assert_replays(table):
    found = replay(table.records)
    assert found.difference is None
    assert found.records == len(table.records)


@pytest.mark.parametrize(
    "wrapped",
    ["```json\n{}\n```", "Sure, here it is:\n{}", "{}\n\nAnything else?", "```\n{}\n```", "\ufeff {} "],
)
def test_an_object_with_something_round_it_is_read(wrapped):
    said = json.dumps(answer("we do it", actions=["do it"]))
    table = Table(says=always(wrapped.replace("{}", said)))
    table.plays()
    assert table.asked_names.count("pm") == 1
    assert next(each for each in table.of(AgentAnswered) if each.agent_name == "pm").actions == ("do it",)


@pytest.mark.parametrize(
    "bad", ["I think we should wait.", '{"respon', '["a list"]', '{"reasoning": "none"}', '{"response": 7}']
)
def test_an_answer_that_is_no_json_is_asked_for_once_more(bad):
    table = Table(says=once(bad))
    table.plays()
    assert table.asked_names == ["ceo", "pm", "pm", "engineering_lead", "designer", COORDINATOR]
    repair = table.asked[2]
    assert [message.role for message in repair.messages] == ["system", "user", "assistant", "user"]
    assert repair.messages[2].content == bad
    answered = next(each for each in table.of(AgentAnswered) if each.agent_name == "pm")
    assert (answered.content, answered.is_structured) == ("pm speaks in round 1", True)
    assert_replays(table)


def test_an_answer_that_is_no_json_twice_is_kept_as_text():
    table = Table(says=always("  I think we should wait, and/or ask https://a.example/b_c  "))
    table.plays()
    answered = next(each for each in table.of(AgentAnswered) if each.agent_name == "pm")
    assert answered.content == "I think we should wait, and/or ask https://a.example/b_c"
    assert (answered.is_structured, answered.confidence) == (False, None)
    assert table.asked_names.count("pm") == 2
    assert table.state.current_turn == 1
    assert_replays(table)


def test_a_summary_that_is_no_json_is_kept_as_text():
    table = Table(says=always("All agreed.", COORDINATOR))
    table.plays()
    completed = table.of(RoundCompleted)[0]
    assert (completed.summary, completed.next_action, completed.is_structured) == ("All agreed.", None, False)
    assert_replays(table)


def test_a_failed_repair_keeps_what_was_said_first():
    table = Table(says=once("Let us wait."))
    table.asks_for_a_round()
    table.answers_one()
    table.answers_one()
    table.failing["pm"] = "timeout"
    table.answers_all()
    assert next(each for each in table.of(AgentAnswered) if each.agent_name == "pm").content == "Let us wait."
    assert_replays(table)


def test_a_model_that_takes_no_schema_is_asked_without_one_from_then_on():
    table = Table()
    table.failing["ceo"] = "rejected"
    table.asks_for_a_round()
    table.answers_one()
    del table.failing["ceo"]
    table.answers_all()
    table.plays()
    assert [each.schema is None for each in table.asked] == [False] + [True] * 10
    assert table.state.current_turn == 2
    assert not table.of(TurnDropped)
    assert_replays(table)


def test_no_schema_is_found_out_by_all_of_a_wave():
    table = Table(table_start(execution="parallel"))
    table.failing |= dict.fromkeys(("ceo", "pm", "designer"), "rejected")
    table.asks_for_a_round()
    for _ in range(4):
        table.answers_one()
    table.failing.clear()
    table.answers_all()
    assert table.state.current_turn == 1
    assert_replays(table)


def test_a_model_that_rejects_everything_fails_the_round():
    table = Table(failing={"ceo": "rejected"})
    table.plays()
    assert [(each.agent_name, each.reason) for each in table.of(RoundFailed)] == [("ceo", "rejected")]


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("who", ["ceo", "engineering_lead", "designer", COORDINATOR])
def test_a_failed_round_goes_on_where_it_stopped(execution, who):
    table = Table(table_start(execution=execution), failing={who: "unavailable"})
    table.plays("go")
    assert [(each.agent_name, each.reason) for each in table.of(RoundFailed)] == [(who, "unavailable")]
    answered = {each.agent_name for each in table.of(AgentAnswered)}
    before = len(table.asked)
    table.failing.clear()
    table.plays("go")
    assert not answered & set(table.asked_names[before:])
    assert table.state.current_turn == 1
    assert (len(table.of(RoundStarted)), len(table.of(RoundResumed)), len(table.of(RoundCompleted))) == (1, 1, 1)
    assert sorted(each.agent_name for each in table.of(AgentAnswered)) == sorted(role.role for role in ROLES)
    assert_replays(table)


def test_others_in_the_wave_are_waited_for_before_the_round_has_failed():
    table = Table(table_start(execution="parallel"), failing={"ceo": "timeout"})
    table.asks_for_a_round()
    table.answers_one("ceo")
    assert table.core.objection() == "round_in_progress"
    table.answers_all()
    assert len(table.of(AgentAnswered)) == 3
    assert table.core.objection() is None


def test_whoever_is_asked_again_hears_the_same():
    table = Table(table_start(execution="waves"), failing={"pm": "timeout"})
    table.plays("go")
    table.failing.clear()
    table.plays("go")
    assert table.prompt_of("pm", 0) == table.prompt_of("pm", 1)


def test_something_else_instead_of_a_failed_round_takes_its_number():
    table = Table(failing={"pm": "blocked"})
    table.plays("something indecent")
    table.failing.clear()
    table.plays("something else")
    assert [each.turn_number for each in table.of(RoundStarted)] == [1, 1]
    assert len(table.of(RoundAbandoned)) == 1
    assert [each.turn_number for each in table.of(RoundCompleted)] == [1]
    assert "something else" in table.prompt_of("ceo")
    assert_replays(table)


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("answered", range(5))
def test_a_round_broken_off_by_a_crash_goes_on_where_it_stopped(execution, answered):
    table = Table(table_start(execution=execution))
    table.asks_for_a_round("go")
    for _ in range(answered):
        table.answers_one()
    done = {each.agent_name for each in table.of(AgentAnswered)}
    table.is_killed()
    before = len(table.asked)
    table.plays("go")
    assert not done & set(table.asked_names[before:])
    assert len(table.of(RoundCompleted)) == 1
    assert len(table.of(SessionResumed)) == 1
    assert_replays(table)


def test_a_call_that_comes_back_after_its_round_was_given_up_is_logged_alone():
    table = Table(table_start(execution="parallel"), failing={"ceo": "timeout"})
    table.asks_for_a_round("go")
    late = table.pending.copy()
    table.is_killed()
    table.plays("something else")
    answers = len(table.of(AgentAnswered))
    table.pending.append(late[1])
    table.answers_one()
    assert len(table.of(AgentAnswered)) == answers
    assert table.of(ModelCalled)[-1].turn_id == late[1].turn_id


def test_what_was_said_before_a_torn_write_is_not_asked_again():
    """Of a step's records, the last ones may be lost: the call is there, the answer made of it is not."""
    table = Table()
    table.asks_for_a_round("go")
    table.answers_one()
    cut = next(index for index, event in enumerate(table.events) if isinstance(event, ModelCalled)) + 1
    del table.records[cut:]
    table.is_killed()
    table.plays("go")
    assert table.asked_names.count("ceo") == 1
    assert table.state.current_turn == 1


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_any_prefix_of_a_log_makes_the_state_that_wrote_it(execution):
    table = Table(table_start(execution=execution), says=once("no json"), failing={"designer": "timeout"})
    table.plays("go")
    table.failing.clear()
    table.plays("go")
    table.plays("on")
    lines = [encode(record) for record in table.records]
    assert rebuild([decode(line).event for line in lines]) == table.state
    for length in range(1, len(lines)):
        Workforce.resume([decode(line).event for line in lines[:length]])


def test_turn_ids_are_never_used_twice():
    table = Table(failing={"pm": "timeout"}, says=once("no json", "ceo"))
    for _ in range(3):
        table.plays("go")
    table.failing.clear()
    table.plays("go")
    ids = [each.turn_id for each in table.of(TurnStarted)]
    assert len(set(ids)) == len(ids)
