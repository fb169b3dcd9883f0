"""What if: a session forked, both branches played, and compared."""

from __future__ import annotations

import json
import sqlite3

import pytest
from servers import serving
from simulations import FOUR, SCENARIO, all_of, visiting, without_times

from experiments.replay import replay
from simulation.codec import encode
from simulation.workforce.events import SessionForked

HALVED = {"type": "context", "target": "budget", "change": {"value": "the budget is halved"}}
APPENDED = {"type": "scenario", "target": "scenario", "change": {"append": "The budget is halved."}}


async def played(researcher, rounds=2, **config):
    session_id = await researcher.begins(**config)
    for _ in range(rounds):
        await researcher.plays(session_id)
    return session_id


def branch_of(found, kind, run=1):
    return next(each["session_id"] for each in found["branches"] if (each["kind"], each["run"]) == (kind, run))


async def test_the_answer_has_the_shape_of_the_seed(researcher):
    session_id = await played(researcher)
    found = await researcher.wonders(session_id, HALVED, name="Half the money", num_turns_to_simulate=2)
    assert {
        *("id", "session_id", "base_turn", "name", "modifications", "predicted_outcomes", "agent_analyses"),
        *("overall_confidence", "recommendation", "created_at", "branches"),
    } <= set(found)
    assert (found["base_turn"], found["name"], found["modifications"]) == (2, "Half the money", [HALVED])
    assert [each["turn"] for each in found["predicted_outcomes"]] == [3, 4]
    assert [each["agent_role"] for each in found["agent_analyses"]] == FOUR
    for each in found["predicted_outcomes"]:
        assert {"summary", "key_changes", "risk_factors", "opportunities", "probability"} <= set(each)


@pytest.mark.parametrize("change", [HALVED, APPENDED], ids=["context", "scenario"])
async def test_branches_differ_after_the_fork_alone(desk, change):
    researcher, server = desk
    session_id = await played(researcher)
    found = await researcher.wonders(session_id, change, num_turns_to_simulate=2)
    assert any(each["changed"] for each in found["predicted_outcomes"])
    base, modified = [await researcher.rounds(branch_of(found, kind)) for kind in ("base", "modified")]
    assert without_times(base[:2]) == without_times(modified[:2])
    assert without_times(base[2:]) != without_times(modified[2:])
    logs = [server.log_of(branch_of(found, kind)) for kind in ("base", "modified")]
    forks = [next(i for i, r in enumerate(log) if isinstance(r.event, SessionForked)) for log in logs]
    assert forks[0] == forks[1]
    before = [[encode(record) for record in log[1 : forks[0]]] for log in logs]
    assert before[0] == before[1]
    assert [replay(log).difference for log in logs] == [None, None]


async def test_without_a_change_branches_are_byte_identical(desk):
    researcher, server = desk
    session_id = await played(researcher, execution="waves")
    found = await researcher.wonders(session_id, num_turns_to_simulate=3, runs=2)
    assert not any(each["changed"] for each in found["predicted_outcomes"])
    assert [each["probability"] for each in found["predicted_outcomes"]] == [0.0, 0.0, 0.0]
    for run in (1, 2):
        logs = [server.log_of(branch_of(found, kind, run)) for kind in ("base", "modified")]
        lines = [[data_of(record) for record in log[1:]] for log in logs]
        assert lines[0] == lines[1]
        rounds = [await researcher.rounds(branch_of(found, kind, run)) for kind in ("base", "modified")]
        assert without_times(rounds[0]) == without_times(rounds[1])


def data_of(record):
    """A line without what the clock puts into it."""
    line = json.loads(encode(record))
    return json.dumps({"seq": line["seq"], "event_type": line["event_type"], "data": line["data"]})


async def test_further_runs_have_other_draws(researcher):
    session_id = await played(researcher)
    found = await researcher.wonders(session_id, num_turns_to_simulate=2, runs=2)
    first, second = [await researcher.rounds(branch_of(found, "base", run)) for run in (1, 2)]
    assert without_times(first[:2]) == without_times(second[:2])
    assert without_times(first[2:]) != without_times(second[2:])


async def test_the_first_run_of_the_base_branch_is_what_the_session_would_have_done(researcher):
    session_id = await played(researcher)
    found = await researcher.wonders(session_id, HALVED, num_turns_to_simulate=2)
    for _ in range(2):
        await researcher.plays(session_id)
    assert without_times(await researcher.rounds(session_id)) == without_times(
        await researcher.rounds(branch_of(found, "base"))
    )


async def test_the_session_is_untouched(desk):
    researcher, server = desk
    session_id = await played(researcher)
    before = [encode(record) for record in server.log_of(session_id)]
    state = await researcher.state(session_id)
    await researcher.wonders(session_id, HALVED, APPENDED, num_turns_to_simulate=1, runs=2)
    assert [encode(record) for record in server.log_of(session_id)] == before
    assert await researcher.state(session_id) == state
    assert (await researcher.gets("/simulations"))["total"] == 1
    assert (await researcher.gets("/simulations?branches=true"))["total"] == 5


@pytest.mark.parametrize("base_turn", [0, 1, 2])
async def test_a_session_is_forked_at_any_round(researcher, base_turn):
    session_id = await played(researcher)
    found = await researcher.wonders(session_id, HALVED, base_turn=base_turn, num_turns_to_simulate=1)
    assert found["base_turn"] == base_turn
    assert [each["turn"] for each in found["predicted_outcomes"]] == [base_turn + 1]
    rounds = await researcher.rounds(branch_of(found, "modified"))
    assert [each["turn_number"] for each in rounds] == [*range(1, base_turn + 2)]


async def test_a_branch_can_be_read_and_continued_and_forked_again(researcher):
    session_id = await played(researcher, max_turns=2)
    found = await researcher.wonders(session_id, HALVED, base_turn=1, num_turns_to_simulate=1)
    branch = branch_of(found, "modified")
    state = await researcher.state(branch)
    assert state["fork"]["parent"] == session_id
    assert (state["fork"]["kind"], state["fork"]["run"], state["context"]) == (
        "modified",
        1,
        {"budget": "the budget is halved"},
    )
    again = await researcher.wonders(branch, APPENDED, base_turn=1, num_turns_to_simulate=4)
    other = await researcher.state(branch_of(again, "base"))
    assert other["context"] == {"budget": "the budget is halved"}
    further = await researcher.begins(max_turns=20)
    await researcher.plays(further)
    found = await researcher.wonders(further, HALVED, num_turns_to_simulate=1)
    assert (await researcher.plays(branch_of(found, "modified")))["turn_number"] == 3


async def test_a_finished_or_paused_session_can_be_asked_about(researcher):
    over = await played(researcher, max_turns=2)
    assert len((await researcher.wonders(over, HALVED, num_turns_to_simulate=3))["predicted_outcomes"]) == 3
    paused = await played(researcher)
    await researcher.asks("POST", f"/simulate/{paused}/pause")
    await researcher.wonders(paused, HALVED, num_turns_to_simulate=1)
    assert (await researcher.state(paused))["status"] == "paused"


async def test_a_role_leaves_or_changes(researcher):
    session_id = await played(researcher)
    away = {"type": "agent", "target": "pm", "change": {"active": False}}
    bold = {"type": "agent", "target": "designer", "change": {"priority": 200, "instruction": "You are against it."}}
    found = await researcher.wonders(session_id, away, bold, num_turns_to_simulate=1)
    last = (await researcher.rounds(branch_of(found, "modified")))[-1]
    assert [each["agent_role"] for each in last["agent_responses"]] == ["designer", "ceo", "engineering_lead"]


async def test_probability_is_a_share_over_runs_and_null_for_one(researcher):
    session_id = await played(researcher)
    one = await researcher.wonders(session_id, HALVED, num_turns_to_simulate=1)
    assert one["predicted_outcomes"][0]["probability"] is None
    assert "run" in one["predicted_outcomes"][0]["basis"]["probability"]
    many = await researcher.wonders(session_id, HALVED, num_turns_to_simulate=1, runs=4)
    assert many["predicted_outcomes"][0]["probability"] in (0.25, 0.5, 0.75, 1.0)
    assert len(many["branches"]) == 8


async def test_one_key_is_one_what_if_and_one_answer(researcher):
    session_id = await played(researcher)
    body = {"session_id": session_id, "modifications": [HALVED], "num_turns_to_simulate": 2, "runs": 2}
    at_once = await all_of(*(researcher.asks("POST", "/simulate/what-if", body, "key") for _ in range(5)))
    later = await researcher.asks("POST", "/simulate/what-if", body, "key")
    assert {each.status_code for each in (*at_once, later)} == {200}
    assert len({each.content for each in (*at_once, later)}) == 1
    assert (await researcher.gets("/simulations?branches=true"))["total"] == 5
    other = await researcher.asks("POST", "/simulate/what-if", {**body, "runs": 3}, "key")
    assert (other.status_code, other.json()["error"]) == (409, "idempotency_conflict")


async def test_what_ifs_are_listed_and_read_again(researcher):
    session_id = await played(researcher)
    found = await researcher.wonders(session_id, HALVED, num_turns_to_simulate=2, name="first")
    listed = (await researcher.gets(f"/simulate/{session_id}/what-ifs"))["what_ifs"]
    assert [(each["name"], each["is_complete"]) for each in listed] == [("first", True)]
    assert [each["turns_played"] for each in listed[0]["branches"]] == [2, 2]
    assert await researcher.gets(f"/simulate/{session_id}/what-ifs/{found['id']}") == found
    assert found["model"].startswith("scripted:")
    unknown = await researcher.asks("GET", f"/simulate/{session_id}/what-ifs/{session_id}")
    assert unknown.status_code == 404


async def test_what_ifs_survive_a_restart(tmp_path):
    async with serving(tmp_path) as server, visiting(server.http) as researcher:
        session_id = await played(researcher)
        found = await researcher.wonders(session_id, HALVED, num_turns_to_simulate=1, key="key")
    async with serving(tmp_path) as server, visiting(server.http) as researcher:
        assert await researcher.wonders(session_id, HALVED, num_turns_to_simulate=1, key="key") == found


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"base_turn": 3}, "base_turn"),
        ({"base_turn": -1}, "base_turn"),
        ({"num_turns_to_simulate": 0}, "num_turns_to_simulate"),
        ({"num_turns_to_simulate": 11}, "num_turns_to_simulate"),
        ({"runs": 0}, "runs"),
        ({"runs": 21}, "runs"),
        ({"modifications": [HALVED] * 11}, "modifications"),
        ({"modifications": [{"type": "weather", "target": "x", "change": {}}]}, "modifications.0.type"),
        ({"modifications": [{"type": "context", "target": "x", "change": {}}]}, "modifications.0.change.value"),
        ({"modifications": [{"type": "context", "target": "", "change": {"value": 1}}]}, "modifications.0.target"),
        (
            {"modifications": [{"type": "agent", "target": "sales", "change": {"active": True}}]},
            "modifications.0.target",
        ),
        ({"modifications": [{"type": "agent", "target": "ceo", "change": {}}]}, "modifications.0.change"),
        (
            {"modifications": [{"type": "agent", "target": "ceo", "change": {"mood": 1}}]},
            "modifications.0.change.mood",
        ),
        (
            {"modifications": [{"type": "agent", "target": "ceo", "change": {"priority": 1001}}]},
            "modifications.0.change.priority",
        ),
        (
            {"modifications": [{"type": "agent", "target": "ceo", "change": {"personality_traits": {"bold": 2}}}]},
            "modifications.0.change.personality_traits.bold",
        ),
        ({"modifications": [{"type": "scenario", "target": "scenario", "change": {}}]}, "modifications.0.change"),
        (
            {"modifications": [{"type": "scenario", "target": "x", "change": {"text": "Another."}}]},
            "modifications.0.target",
        ),
        (
            {"modifications": [{"type": "agent", "target": role, "change": {"active": False}} for role in FOUR]},
            "modifications",
        ),
        ({"name": "x" * 256}, "name"),
        ({"description": "x" * 1001}, "description"),
        ({"unknown": 1}, "unknown"),
    ],
)
async def test_what_cannot_be_asked_is_422_at_its_field(researcher, change, field):
    session_id = await played(researcher)
    answer = await researcher.asks("POST", "/simulate/what-if", {"session_id": session_id, **change})
    assert (answer.status_code, answer.json()["details"][0]["field"]) == (422, field), answer.text
    assert (await researcher.gets("/simulations?branches=true"))["total"] == 1


async def test_a_scenario_cannot_grow_for_ever(researcher):
    session_id = await researcher.begins(SCENARIO)
    grown = {"type": "scenario", "target": "scenario", "change": {"append": "x" * 5000}}
    body = {"session_id": session_id, "modifications": [grown] * 5, "num_turns_to_simulate": 1}
    answer = await researcher.asks("POST", "/simulate/what-if", body)
    assert (answer.status_code, answer.json()["details"][0]["field"]) == (422, "modifications")


def forked(server, branch):
    """Return a branch's log, its lines, and the index of the one with which it leaves its parent."""
    path = server.log_dir / f"{branch}.json"
    lines = path.read_bytes().splitlines(keepends=True)
    return path, lines, next(i for i, line in enumerate(lines) if b'"session_forked"' in line)


@pytest.mark.parametrize("cut", ["nothing", "the fork", "all but the first line", "everything", "all but half a line"])
async def test_a_what_if_broken_off_while_it_forked_is_finished_with_its_key(tmp_path, cut):
    """The server was killed when a branch's first records were written, and the index did not know of it yet."""
    async with serving(tmp_path) as server, visiting(server.http) as researcher:
        session_id = await played(researcher)
        expected = await researcher.wonders(session_id, HALVED, num_turns_to_simulate=1, key="key")
    branch = branch_of(expected, "modified")
    path, lines, fork = forked(server, branch)
    kept = {"nothing": fork + 1, "the fork": fork, "all but the first line": 1}.get(cut, 0)
    path.write_bytes(b"".join(lines[:kept]) + (lines[0][:50] if cut == "all but half a line" else b""))
    with sqlite3.connect(tmp_path / "data" / "chatroom.sqlite") as database:
        database.execute("UPDATE what_ifs SET answer = NULL")
        database.execute("DELETE FROM simulations WHERE session_id = ?", (branch,))
    async with serving(tmp_path) as server, visiting(server.http) as researcher:
        assert await researcher.wonders(session_id, HALVED, num_turns_to_simulate=1, key="key") == expected
        assert replay(server.log_of(branch)).difference is None
        assert (await researcher.gets("/simulations?branches=true"))["total"] == 3


async def test_a_branch_that_somebody_else_went_on_with_is_compared_with_nothing(tmp_path):
    """The what-if was broken off when its branches were forked, and a round of another key came before its own."""
    async with serving(tmp_path) as server, visiting(server.http) as researcher:
        session_id = await played(researcher)
        found = await researcher.wonders(session_id, HALVED, num_turns_to_simulate=1, key="key")
    branch = branch_of(found, "modified")
    path, lines, fork = forked(server, branch)
    path.write_bytes(b"".join(lines[: fork + 1]))
    with sqlite3.connect(tmp_path / "data" / "chatroom.sqlite") as database:
        database.execute("UPDATE what_ifs SET answer = NULL")
    async with serving(tmp_path) as server, visiting(server.http) as researcher:
        await researcher.plays(branch, user_input="I was here first.")
        body = {"session_id": session_id, "modifications": [HALVED], "num_turns_to_simulate": 1}
        answer = await researcher.asks("POST", "/simulate/what-if", body, "key")
        assert (answer.status_code, answer.json()["error"]) == (409, "branch_changed")
        assert len(await researcher.rounds(branch)) == 3, "none was played for a comparison that cannot be made"
        again = await researcher.asks("POST", "/simulate/what-if", body, "another-key")
        assert again.status_code == 200


async def test_a_branch_of_a_session_that_was_over_is_replayed(desk):
    researcher, server = desk
    session_id = await played(researcher, max_turns=2)
    found = await researcher.wonders(session_id, HALVED, num_turns_to_simulate=2)
    for branch in found["branches"]:
        assert replay(server.log_of(branch["session_id"])).difference is None


async def test_what_ifs_beside_a_round_in_progress_leave_the_session_between_two_rounds(desk):
    researcher, server = desk
    session_id = await played(researcher, 1, agents=["ceo", "pm"])
    for number in range(8):
        asked = [researcher.asks_for_a_round(session_id)]
        body = {"session_id": session_id, "num_turns_to_simulate": 2}
        asked += [researcher.asks("POST", "/simulate/what-if", body, f"key-{number}-{each}") for each in range(4)]
        _, *answers = await all_of(*asked)
        for answer in answers:
            assert answer.status_code == 200, answer.text
            found = answer.json()
            turns = [each["turn"] for each in found["predicted_outcomes"]]
            assert turns == [found["base_turn"] + 1, found["base_turn"] + 2]
            assert replay(server.log_of(branch_of(found, "base"))).difference is None
