"""Rounds: who speaks when, who hears whom, and what is asked of the model."""

from __future__ import annotations

from dataclasses import replace

from tables import CEO, DESIGNER, ENGINEER, MOMENT, PM, SCENARIO, Table, answer, plainly, table_start

from simulation.events import ModelCalled, SessionEnded
from simulation.workforce.answers import ANSWER_SCHEMA, SUMMARY_SCHEMA
from simulation.workforce.events import AgentAnswered, RoundCompleted, RoundStarted, TurnStarted
from simulation.workforce.inputs import ContinueRequested, PauseRequested
from simulation.workforce.parameters import COORDINATOR, Role


def test_roles_speak_by_priority_and_the_coordinator_last():
    table = Table()
    table.plays()
    assert table.asked_names == ["ceo", "pm", "engineering_lead", "designer", COORDINATOR]


def test_each_is_asked_when_the_one_before_has_answered():
    table = Table()
    table.asks_for_a_round()
    assert table.asked_names == ["ceo"]
    table.answers_one()
    assert table.asked_names == ["ceo", "pm"]


def test_every_speaker_hears_the_earlier_ones_from_the_first_round_on():
    table = Table()
    table.plays("What about the price?")
    assert "ceo speaks in round 1" in table.prompt_of("pm")
    assert "pm speaks in round 1" in table.prompt_of("designer")
    assert "pm speaks" not in table.prompt_of("ceo")
    for name in ("ceo", "pm", "engineering_lead", "designer"):
        assert f"{name} speaks in round 1" in table.prompt_of(COORDINATOR)


def test_input_override_context_and_scenario_reach_the_model_in_the_first_round():
    table = Table(table_start(initial_context={"team": {"engineers": 8}, "city": "Gent"}))
    table.plays("Feasibility first, 24/7", context_override={"city": "Aachen", "url": "https://a.example/b_c?d=1"})
    for name in ("ceo", "designer", COORDINATOR):
        prompt = table.prompt_of(name)
        assert SCENARIO in prompt
        assert "Feasibility first, 24/7" in prompt
        assert 'team: {"engineers": 8}' in prompt
        assert "city: Aachen" in prompt
        assert "Gent" not in prompt
        assert "url: https://a.example/b_c?d=1" in prompt


def test_an_override_holds_in_its_round_alone():
    table = Table(table_start(initial_context={"city": "Gent"}))
    table.plays(context_override={"city": "Aachen"})
    table.plays()
    assert "city: Gent" in table.prompt_of("ceo")


def test_a_role_reads_its_own_prompt_and_nobody_elses():
    table = Table()
    table.plays()
    assert "You build." in table.prompt_of("engineering_lead")
    assert "You build." not in table.prompt_of("ceo")


def test_what_came_of_earlier_rounds_is_told():
    table = Table()
    table.plays()
    table.plays()
    assert "Round 1: round 1 summed up Next: go on" in table.prompt_of("ceo")


def test_only_the_focused_roles_speak():
    table = Table()
    table.plays(focus_agents=("designer", "pm"))
    assert table.asked_names == ["pm", "designer", COORDINATOR]
    table.plays()
    assert table.asked_names[3:] == ["ceo", "pm", "engineering_lead", "designer", COORDINATOR]


def test_parallel_is_one_wave_in_which_nobody_hears_anybody():
    table = Table(table_start(execution="parallel"))
    table.asks_for_a_round()
    assert table.asked_names == ["ceo", "pm", "engineering_lead", "designer"]
    table.answers_all()
    assert table.asked_names[-1] == COORDINATOR
    assert "speaks in round 1" not in "".join(table.prompt_of(name) for name in table.asked_names[:4])
    assert "designer speaks in round 1" in table.prompt_of(COORDINATOR)


def test_waves_are_roles_of_the_same_quarter_of_a_hundred():
    table = Table(table_start(execution="waves"))
    table.asks_for_a_round()
    assert table.asked_names == ["ceo"]
    table.answers_one()
    assert table.asked_names[1:] == ["pm", "engineering_lead"]
    table.answers_one("engineering_lead")
    assert len(table.asked_names) == 3
    table.answers_one()
    assert table.asked_names[3:] == ["designer"]
    assert "ceo speaks" in table.prompt_of("pm")
    assert "engineering_lead speaks" not in table.prompt_of("pm")


def test_answers_are_summed_up_in_the_order_of_speakers_whoever_came_first():
    table = Table(table_start(execution="parallel"))
    table.asks_for_a_round()
    for name in ("designer", "engineering_lead", "pm", "ceo"):
        table.answers_one(name)
    heard = [each.agent_name for each in table.asked[-1].scene.said]
    assert heard == ["ceo", "pm", "engineering_lead", "designer"]


def test_a_role_alone_can_hold_a_round():
    table = Table(table_start(roles=[PM]))
    table.plays()
    assert table.asked_names == ["pm", COORDINATOR]
    assert "alone" in table.prompt_of("pm")


def test_temperature_reaches_the_model_and_the_coordinator_stays_calm():
    table = Table(table_start(temperature=1.3))
    table.plays()
    assert [each.parameters["temperature"] for each in table.asked] == [1.3, 1.3, 1.3, 1.3, 0.5]
    cool = Table(table_start(temperature=0.1))
    cool.plays()
    assert {each.parameters["temperature"] for each in cool.asked} == {0.1}


def test_a_seed_is_sent_where_the_session_was_given_one():
    unseeded, seeded = Table(), Table(table_start(sends_seed=True))
    unseeded.plays()
    seeded.plays()
    seeded.plays()
    assert all("seed" not in each.parameters for each in unseeded.asked)
    seeds = [each.parameters["seed"] for each in seeded.asked]
    assert len(set(seeds)) == len(seeds)
    again = Table(table_start(sends_seed=True))
    again.plays()
    assert [each.parameters["seed"] for each in again.asked] == seeds[:5]


def test_the_schema_is_asked_for():
    table = Table()
    table.plays()
    assert [each.schema for each in table.asked] == [ANSWER_SCHEMA] * 4 + [SUMMARY_SCHEMA]
    assert {each.form for each in table.of(TurnStarted)} == {"schema"}


def test_each_answer_stands_in_the_log_before_the_next_is_asked():
    table = Table()
    table.asks_for_a_round()
    for count in range(1, 5):
        table.answers_one()
        assert len(table.of(AgentAnswered)) == count


def test_text_is_kept_as_it_was_said():
    said = "and/or, 24/7, https://a.example/b_c?d=1, snake_case, *stars*, ünï 👩‍👩‍👧 <b>bold</b>"
    table = Table(says=lambda request: plainly(request) if request.scene.role is None else answer(said, actions=[said]))
    table.plays()
    assert {(each.content, each.actions) for each in table.of(AgentAnswered)} == {(said, (said,))}
    assert said in table.prompt_of("pm")


def test_rounds_are_numbered_without_gap_until_the_last():
    table = Table(table_start(max_turns=3))
    for _ in range(4):
        table.plays()
    assert [each.turn_number for each in table.of(RoundCompleted)] == [1, 2, 3]
    assert [each.reason for each in table.of(SessionEnded)] == ["max_turns"]
    assert table.core.objection() == "turn_limit"
    assert table.state.status == "completed"
    assert isinstance(table.events[-1], SessionEnded)


def test_a_round_in_progress_refuses_another():
    table = Table()
    table.asks_for_a_round()
    table.asks_for_a_round("another")
    assert table.refused == ["round_in_progress"]
    assert len(table.of(RoundStarted)) == 1


def test_a_paused_session_refuses_until_it_is_continued():
    table = Table()
    table.gets(PauseRequested())
    table.plays()
    assert (table.refused, table.state.status) == (["session_paused"], "paused")
    table.gets(ContinueRequested())
    table.plays()
    assert table.state.current_turn == 1


def test_pausing_in_the_middle_lets_the_round_end():
    table = Table()
    table.asks_for_a_round()
    table.gets(PauseRequested())
    table.answers_all()
    assert table.state.current_turn == 1
    assert table.core.objection() == "session_paused"


def test_pausing_twice_is_one_event():
    table = Table()
    before = len(table.events)
    for _ in range(2):
        table.gets(PauseRequested())
    assert len(table.events) == before + 1


def test_tokens_are_counted_by_role_over_all_attempts():
    table = Table()
    table.plays()
    spent = table.state.rounds[0].tokens
    assert set(spent) == {"ceo", "pm", "engineering_lead", "designer", COORDINATOR}
    assert {(each.input, each.output) for each in spent.values()} == {(100, 20)}


def test_an_inactive_role_is_not_asked():
    table = Table(table_start(roles=[CEO, replace(PM, is_active=False), DESIGNER]))
    table.plays()
    assert table.asked_names == ["ceo", "designer", COORDINATOR]


def test_a_role_of_a_researchers_own_sits_at_the_table():
    lawyer = Role(role="lawyer", name="General Counsel", priority=90, system_prompt="You read contracts.")
    table = Table(table_start(roles=[CEO, lawyer]))
    table.plays()
    assert table.asked_names == ["ceo", "lawyer", COORDINATOR]
    assert "General Counsel (lawyer)" in table.prompt_of("ceo")


def test_every_call_is_in_the_log_with_its_prompt():
    table = Table(table_start(roles=[ENGINEER]))
    table.plays("hello")
    assert [call.agent_name for call in table.of(ModelCalled)] == ["engineering_lead", COORDINATOR]
    assert all("hello" in call.prompt for call in table.of(ModelCalled))
    assert table.of(RoundStarted)[0].moment == MOMENT
