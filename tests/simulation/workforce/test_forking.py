"""Branches: the parent's records up to a round, a change, and then their own."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tables import MOMENT, Table, plainly, table_start

from experiments.replay import replay
from simulation.codec import decode, encode
from simulation.workforce.core import Workforce
from simulation.workforce.events import RoundCompleted, SessionForked
from simulation.workforce.forking import branch
from simulation.workforce.inputs import PauseRequested

OTHER_ID = "0f1f3b52-7a10-4bd4-9c1a-0a1f6f0c2a99"
HALVED = {"type": "context", "target": "budget", "change": {"value": "halved"}}


def parent(rounds=3):
    table = Table(table_start(initial_context={"budget": "500K"}))
    for number in range(rounds):
        table.plays(f"round {number + 1}")
    return table


def forked(table, base_turn, *modifications, run=1, kind="modified"):
    """A branch of a table, at a table of its own."""
    fork = {
        "parent": table.start.session_id,
        "base_turn": base_turn,
        "kind": kind,
        "run": run,
        "what_if": OTHER_ID,
        "modifications": list(modifications),
    }
    start = replace(table.start, session_id=OTHER_ID, fork=fork)
    event = SessionForked(
        elapsed=0.0,
        parent=table.start.session_id,
        base_turn=base_turn,
        modifications=tuple(modifications),
        max_turns=50,
    )
    other = Table(start)
    other.records = [decode(encode(record)) for record in branch(table.records, start, event, MOMENT)]
    other.core = Workforce.resume([record.event for record in other.records])
    other.now = other.core.state.elapsed
    return other


@pytest.mark.parametrize("base_turn", range(4))
def test_a_branch_has_the_rounds_up_to_its_fork_and_goes_on_from_there(base_turn):
    table = parent()
    other = forked(table, base_turn)
    assert other.state.current_turn == base_turn
    other.plays("further")
    assert [each.turn_number for each in other.of(RoundCompleted)] == [*range(1, base_turn + 2)]
    assert [record.seq for record in other.records] == [*range(1, len(other.records) + 1)]
    assert replay(other.records).difference is None


def test_the_change_holds_from_the_fork_on():
    other = forked(parent(), 2, HALVED)
    other.plays()
    assert "budget: halved" in other.prompt_of("ceo")


def test_the_parent_is_not_touched():
    table = parent()
    before = [encode(record) for record in table.records]
    other = forked(table, 1, HALVED, {"type": "scenario", "target": "scenario", "change": {"text": "Another one."}})
    other.plays()
    assert [encode(record) for record in table.records] == before
    table.plays()
    assert "budget: 500K" in table.prompt_of("ceo")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"instruction": "You are against it."}, "For this session you are told: You are against it."),
        ({"personality_traits": {"bold": 0.9}}, "bold 0.9"),
    ],
)
def test_a_role_is_changed(change, expected):
    other = forked(parent(), 1, {"type": "agent", "target": "pm", "change": change})
    other.plays()
    assert expected in other.prompt_of("pm")
    assert expected not in other.prompt_of("ceo")


def test_a_role_speaks_earlier_or_not_at_all():
    other = forked(
        parent(),
        1,
        {"type": "agent", "target": "designer", "change": {"priority": 200}},
        {"type": "agent", "target": "pm", "change": {"active": False}},
    )
    other.plays()
    assert other.asked_names == ["designer", "ceo", "engineering_lead", "coordinator"]


def test_something_is_added_to_the_scenario():
    other = forked(
        parent(), 0, {"type": "scenario", "target": "scenario", "change": {"append": "The budget is halved."}}
    )
    other.plays()
    assert f"{table_start().parameters.scenario}\nThe budget is halved." in other.prompt_of("ceo")


def test_both_branches_of_a_run_share_their_draws_and_another_run_has_others():
    table = parent()
    seeds = {}
    for name, options in {"base": {}, "modified": {}, "again": {"run": 2}}.items():
        other = forked(table, 3, **options)
        other.plays()
        seeds[name] = [request.parameters["seed"] for request in other.asked]
    assert seeds["base"] == seeds["modified"]
    assert not set(seeds["base"]) & set(seeds["again"])


def test_a_branch_of_a_paused_or_finished_session_can_be_played():
    table = Table(table_start(max_turns=2))
    table.plays()
    table.gets(PauseRequested())
    for base_turn in (0, 1):
        other = forked(table, base_turn)
        other.plays()
        assert other.state.current_turn == base_turn + 1


def test_an_unfinished_round_is_not_taken_along():
    table = parent(1)
    table.asks_for_a_round("open")
    table.answers_one()
    other = forked(table, 1)
    assert (other.state.current_turn, other.state.open) == (1, None)
    other.plays("mine")
    assert replay(other.records).difference is None


def test_without_a_change_branches_write_the_same():
    table = parent(2)
    one, another = forked(table, 2, kind="base"), forked(table, 2)
    for each in (one, another):
        each.says = plainly
        each.plays()
        each.plays("more")
    assert [encode(r) for r in one.records[1:]] == [encode(r) for r in another.records[1:]]
