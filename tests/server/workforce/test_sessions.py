"""Sessions over REST: begun, advanced, listed, paused, deleted; what is answered, and with what code."""

from __future__ import annotations

import asyncio
import json

import pytest
from servers import serving
from simulations import FOUR, NIL, SCENARIO, SEVEN, all_of, visiting

from experiments.replay import replay
from simulation.workforce.events import RoundCompleted, RoundStarted

UNKNOWN = "3f1f3b52-7a10-4bd4-9c1a-0a1f6f0c2a11"


async def test_a_session_begins_with_the_shape_of_the_seed(researcher):
    body = {"scenario": f"  {SCENARIO} ", "name": "Q2 Feature Launch", "config": {"max_turns": 20, "agents": FOUR}}
    answer = await researcher.asks("POST", "/simulate/start", body)
    assert answer.status_code == 201
    begun = answer.json()
    assert set(begun) == {"session_id", "status", "scenario", "config", "agents", "message", "created_at"}
    assert (begun["status"], begun["scenario"], begun["agents"]) == ("active", SCENARIO, FOUR)
    assert begun["config"]["max_turns"] == 20
    assert begun["config"]["temperature"] == 0.7


async def test_all_seven_sit_at_the_table_unless_some_are_named(researcher):
    answer = await researcher.asks("POST", "/simulate/start", {"scenario": SCENARIO})
    assert answer.json()["agents"] == SEVEN


async def test_a_round_has_the_shape_of_the_seed(researcher):
    session_id = await researcher.begins()
    played = await researcher.plays(session_id, user_input="Let focus on technical feasibility first")
    assert {
        *("session_id", "turn_number", "status", "coordinator_summary", "agent_responses", "duration_ms"),
        *("total_tokens", "has_more_turns", "next_suggested_action", "project_timeline", "function_point_estimation"),
    } <= set(played)
    assert (played["turn_number"], played["status"], played["has_more_turns"]) == (1, "completed", True)
    assert [each["agent_role"] for each in played["agent_responses"]] == FOUR
    for each in played["agent_responses"]:
        assert {
            *("agent_role", "response", "reasoning", "actions_proposed", "directed_to", "confidence", "token_usage"),
            *("metrics", "task_distribution"),
        } <= set(each)
        assert each["metrics"]["quality_score"] is None
        assert "quality_score" in each["metrics"]["basis"]
    assert played["project_timeline"]["critical_path"]


async def test_rounds_are_numbered_and_end_at_the_limit(researcher):
    session_id = await researcher.begins(max_turns=3)
    played = [await researcher.plays(session_id) for _ in range(3)]
    assert [each["turn_number"] for each in played] == [1, 2, 3]
    assert [each["has_more_turns"] for each in played] == [True, True, False]
    over = await researcher.asks_for_a_round(session_id)
    assert (over.status_code, over.json()["error"]) == (409, "turn_limit")
    assert (await researcher.state(session_id))["status"] == "completed"


async def test_a_paused_session_is_409_until_it_goes_on(researcher):
    session_id = await researcher.begins()
    paused = await researcher.asks("POST", f"/simulate/{session_id}/pause")
    assert paused.json() == {"session_id": session_id, "status": "paused"}
    refused = await researcher.asks_for_a_round(session_id)
    assert (refused.status_code, refused.json()["error"]) == (409, "session_paused")
    going_on = await researcher.asks("POST", f"/simulate/{session_id}/resume")
    assert going_on.json()["status"] == "active"
    await researcher.plays(session_id)


async def test_a_session_that_is_over_is_neither_paused_nor_resumed(researcher):
    session_id = await researcher.begins(max_turns=1)
    await researcher.plays(session_id)
    for what in ("pause", "resume"):
        answer = await researcher.asks("POST", f"/simulate/{session_id}/{what}")
        assert (answer.status_code, answer.json()["error"]) == (409, "turn_limit")


@pytest.mark.parametrize("session_id", [UNKNOWN, NIL])
async def test_unknown_sessions_are_404(researcher, session_id):
    asked = [
        await researcher.asks_for_a_round(session_id),
        await researcher.asks("POST", "/simulate/what-if", {"session_id": session_id}),
        await researcher.asks("GET", f"/simulate/{session_id}"),
        await researcher.asks("GET", f"/simulate/{session_id}/turns"),
        await researcher.asks("GET", f"/simulate/{session_id}/what-ifs"),
        await researcher.asks("DELETE", f"/simulate/{session_id}"),
        await researcher.asks("POST", f"/simulate/{session_id}/pause"),
        await researcher.asks("POST", f"/simulate/{session_id}/resume"),
        await researcher.asks("GET", f"/memory/{session_id}"),
        await researcher.asks("DELETE", f"/memory/{session_id}"),
        await researcher.asks(
            "POST", f"/memory/{session_id}", {"agent_role": "ceo", "key": "k", "content": {"text": "t"}}
        ),
    ]
    assert {(each.status_code, each.json()["error"]) for each in asked} == {(404, "not_found")}


@pytest.mark.parametrize("session_id", ["x", "1234", NIL[:-1], f"{NIL}0", "..%2Fx", NIL.replace("-", "")])
async def test_malformed_ids_are_422(researcher, session_id):
    for method, path in (
        ("GET", "/simulate/{}"),
        ("GET", "/memory/{}"),
        ("POST", "/simulate/{}/pause"),
        ("DELETE", "/simulate/{}"),
    ):
        answer = await researcher.asks(method, path.format(session_id))
        if answer.status_code != 404 or "/" not in session_id.replace("%2F", "/"):
            assert answer.status_code == 422, answer.text
            assert answer.json()["details"][0]["field"] == "session_id"


async def test_a_chat_session_is_no_simulation(researcher):
    started = await researcher.asks("POST", "/session/start", {"token": "1234"})
    answer = await researcher.asks("GET", f"/simulate/{started.json()['session_id']}")
    assert answer.status_code == 404


async def test_twenty_at_once_play_one_round(researcher):
    session_id = await researcher.begins(max_turns=4)
    for turn in range(1, 5):
        answers = await all_of(*(researcher.asks_for_a_round(session_id) for _ in range(20)))
        good = [each for each in answers if each.status_code == 200]
        others = {each.json()["error"] for each in answers if each.status_code == 409}
        assert [each.json()["turn_number"] for each in good] == [turn]
        assert len(answers) - len(good) == 19
        assert others <= ({"round_in_progress"} if turn < 4 else {"round_in_progress", "turn_limit"})
    last = await all_of(*(researcher.asks_for_a_round(session_id) for _ in range(20)))
    assert {each.json()["error"] for each in last} == {"turn_limit"}


async def test_one_key_is_one_round_and_one_answer(desk):
    researcher, server = desk
    session_id = await researcher.begins()
    at_once = await all_of(*(researcher.asks_for_a_round(session_id, "key-1", user_input="go") for _ in range(20)))
    later = [await researcher.asks_for_a_round(session_id, "key-1", user_input="go") for _ in range(3)]
    assert {each.status_code for each in (*at_once, *later)} == {200}
    assert len({each.content for each in (*at_once, *later)}) == 1
    await researcher.plays(session_id, "key-2")
    assert (await researcher.asks_for_a_round(session_id, "key-1", user_input="go")).content == at_once[0].content
    assert len([record for record in server.log_of(session_id) if isinstance(record.event, RoundStarted)]) == 2


async def test_a_key_with_another_body_is_a_conflict(researcher):
    session_id = await researcher.begins()
    await researcher.plays(session_id, "key-1", user_input="go")
    other = await researcher.asks_for_a_round(session_id, "key-1", user_input="stop")
    assert (other.status_code, other.json()["error"]) == (409, "idempotency_conflict")
    assert (await researcher.state(session_id))["current_turn"] == 1


async def test_a_key_belongs_to_its_session(researcher):
    first, second = await researcher.begins(), await researcher.begins()
    await researcher.plays(first, "key-1")
    assert (await researcher.plays(second, "key-1"))["session_id"] == second


async def test_lists_have_true_totals(researcher):
    names = [await researcher.begins(max_turns=1) for _ in range(5)]
    await researcher.plays(names[0])
    await researcher.asks("POST", f"/simulate/{names[1]}/pause")
    whole = await researcher.gets("/simulations")
    assert (whole["total"], len(whole["simulations"])) == (5, 5)
    page = await researcher.gets("/simulations?limit=2&offset=1")
    assert (page["total"], page["limit"], page["offset"]) == (5, 2, 1)
    assert [each["session_id"] for each in page["simulations"]] == names[::-1][1:3]
    for status, total in (("active", 3), ("paused", 1), ("completed", 1), ("failed", 0)):
        assert (await researcher.gets(f"/simulations?status={status}"))["total"] == total
    assert (await researcher.gets("/simulations?offset=100"))["simulations"] == []
    assert not {"config", "agent_states"} & set(whole["simulations"][0])


async def test_a_session_tells_how_it_stands(researcher):
    session_id = await researcher.begins(context={"city": "Gent"})
    await researcher.plays(session_id)
    state = await researcher.state(session_id)
    assert (state["current_turn"], state["max_turns"], state["context"]) == (1, 50, {"city": "Gent"})
    assert [each["agent_role"] for each in state["agent_states"]] == FOUR
    first = state["agent_states"][0]
    assert (first["messages_sent"], first["last_active_turn"]) == (1, 1)
    assert first["goals"]
    assert len({each["id"] for each in state["agent_states"]}) == 4
    assert state["round"] is None


async def test_a_deleted_session_is_gone_with_its_log(desk):
    researcher, server = desk
    kept, session_id = await researcher.begins(), await researcher.begins()
    await researcher.plays(session_id)
    assert (await researcher.asks("DELETE", f"/simulate/{session_id}")).status_code == 204
    assert (await researcher.asks("GET", f"/simulate/{session_id}")).status_code == 404
    assert (await researcher.asks("DELETE", f"/simulate/{session_id}")).status_code == 404
    assert [path.stem for path in server.log_dir.glob("*.json")] == [kept]
    assert (await researcher.gets("/simulations"))["total"] == 1


async def test_roles_are_listed_and_found(researcher):
    listed = await researcher.gets("/agents/list")
    assert (listed["total"], [each["role"] for each in listed["agents"]]) == (7, SEVEN)
    assert len({each["id"] for each in listed["agents"]}) == 7
    ceo = await researcher.gets("/agents/ceo")
    assert ceo == listed["agents"][0]
    assert (ceo["priority"], ceo["personality_traits"]["assertive"]) == (100, 0.8)
    assert "system_prompt" not in ceo
    assert (await researcher.asks("GET", "/agents/ghost")).status_code == 404
    assert (await researcher.gets("/agents/list?active_only=false"))["total"] == 7


async def test_memory_is_written_recalled_counted_and_forgotten(researcher):
    session_id = await researcher.begins()
    body = {"agent_role": "pm", "key": "interviews", "content": {"text": "nine of twelve want an export"}}
    made = await researcher.asks("POST", f"/memory/{session_id}", {**body, "importance": 0.9, "ttl_hours": 72})
    assert made.status_code == 201
    assert (made.json()["access_count"], made.json()["memory_type"]) == (0, "short_term")
    await researcher.plays(session_id, user_input="What do customers want?")
    held = await researcher.gets(f"/memory/{session_id}")
    assert held["total_memories"] == 5
    assert set(held["memories_by_agent"]) == set(FOUR)
    entry = held["memories_by_agent"]["pm"][0]
    assert (entry["key"], entry["access_count"], entry["importance"]) == ("interviews", 1, 0.9)
    assert (await researcher.gets(f"/memory/{session_id}?agent_role=ceo"))["total_memories"] == 1
    assert (await researcher.gets(f"/memory/{session_id}?agent_role=sales"))["total_memories"] == 0
    assert (await researcher.asks("DELETE", f"/memory/{session_id}")).status_code == 204
    assert (await researcher.gets(f"/memory/{session_id}"))["total_memories"] == 0


async def test_memory_can_be_switched_off(researcher):
    session_id = await researcher.begins(enable_memory=False)
    await researcher.plays(session_id)
    assert (await researcher.gets(f"/memory/{session_id}"))["total_memories"] == 0
    body = {"agent_role": "pm", "key": "k", "content": {"text": "t"}}
    answer = await researcher.asks("POST", f"/memory/{session_id}", body)
    assert (answer.status_code, answer.json()["error"]) == (409, "memory_disabled")


async def test_analytics_can_be_switched_off(researcher):
    session_id = await researcher.begins(enable_analytics=False)
    played = await researcher.plays(session_id)
    assert played["project_timeline"] is None
    assert played["agent_responses"][0]["metrics"] is None
    assert played["basis"]["project_timeline"] == "enable_analytics is false"
    assert played["formulas"] == {}


@pytest.mark.parametrize(
    "text", ["and/or, 24/7", "https://a.example/b_c?d=1&e=_f_", "snake_case __x__ *y*", "ünï 👩‍👩‍👧 <b>&amp;"]
)
async def test_text_comes_through_whole(desk, text):
    researcher, server = desk
    scenario = f"We launch a product: {text}"
    session_id = await researcher.begins(scenario, context={"note": text})
    played = await researcher.plays(session_id, user_input=text)
    assert played["user_input"] == text
    assert any(text in each["response"] for each in played["agent_responses"])
    state = await researcher.state(session_id)
    assert (state["scenario"], state["context"]) == (scenario, {"note": text})
    prompts = [r.event.prompt for r in server.log_of(session_id) if hasattr(r.event, "prompt")]
    assert all(prompt.count(text) >= 3 for prompt in prompts)


async def test_sessions_survive_a_restart(tmp_path):
    async with serving(tmp_path) as server, visiting(server.http) as researcher:
        session_id = await researcher.begins(context={"city": "Gent"})
        before = [await researcher.plays(session_id, "key-1"), await researcher.plays(session_id)]
        paused = await researcher.begins()
        await researcher.asks("POST", f"/simulate/{paused}/pause")
    async with serving(tmp_path) as server, visiting(server.http) as researcher:
        assert await researcher.rounds(session_id) == before
        assert await researcher.plays(session_id, "key-1") == before[0]
        assert (await researcher.plays(session_id))["turn_number"] == 3
        assert (await researcher.asks_for_a_round(paused)).status_code == 409
        assert (await researcher.gets("/simulations"))["total"] == 2
        log = server.log_of(session_id)
        assert [record.seq for record in log] == [*range(1, len(log) + 1)]
        assert len([1 for record in log if isinstance(record.event, RoundCompleted)]) == 3
        assert replay(log).difference is None


async def test_a_session_is_found_again_by_its_log_alone(tmp_path):
    async with serving(tmp_path) as server, visiting(server.http) as researcher:
        session_id = await researcher.begins()
        await researcher.plays(session_id)
    for path in (tmp_path / "data").glob("chatroom.sqlite*"):
        path.unlink()
    (tmp_path / "data" / "secret.key").unlink(missing_ok=True)
    async with serving(tmp_path) as server, visiting(server.http) as researcher:
        assert (await researcher.state(session_id))["current_turn"] == 1
        assert (await researcher.gets("/simulations"))["total"] == 1
        assert (await researcher.plays(session_id))["turn_number"] == 2


async def test_many_open_sessions_are_laid_aside_and_taken_up_again(researcher, monkeypatch):
    monkeypatch.setattr("server.workforce.desk.MOST_OPEN", 3)
    names = [await researcher.begins() for _ in range(6)]
    for turn in (1, 2):
        for session_id in names:
            assert (await researcher.plays(session_id))["turn_number"] == turn


async def test_a_batch_begins_and_advances_many(researcher):
    items = [{"start": {"scenario": SCENARIO, "config": {"agents": ["ceo"]}}} for _ in range(5)]
    begun = (await researcher.asks("POST", "/simulate/batch", {"items": items})).json()["results"]
    assert [each["status"] for each in begun] == [201] * 5
    ids = [each["body"]["session_id"] for each in begun]
    rounds = [{"next": {"session_id": each}} for each in (*ids, *ids, UNKNOWN)]
    rounds[0]["idempotency_key"] = "key-1"
    answer = await researcher.asks("POST", "/simulate/batch", {"items": rounds})
    results = answer.json()["results"]
    assert [each["status"] for each in results] == [200] * 10 + [404]
    assert [each["body"]["turn_number"] for each in results[:10]] == [1] * 5 + [2] * 5
    assert results[10]["body"]["error"] == "not_found"
    assert (await researcher.plays(ids[0], "key-1"))["turn_number"] == 1


async def test_nothing_of_a_batch_is_done_where_one_item_is_malformed(researcher):
    items = [{"start": {"scenario": SCENARIO}}, {"start": {"scenario": "short"}}]
    answer = await researcher.asks("POST", "/simulate/batch", {"items": items})
    assert (answer.status_code, answer.json()["details"][0]["field"]) == (422, "items.1.start.scenario")
    assert (await researcher.gets("/simulations"))["total"] == 0


async def test_the_log_is_readable_without_the_code(desk):
    researcher, server = desk
    session_id = await researcher.begins(max_turns=1, context={"city": "Gent"})
    await researcher.plays(session_id, "a-secret-key", user_input="go")
    path = server.log_dir / f"{session_id}.json"
    text = path.read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["seq"] for line in lines] == [*range(1, len(lines) + 1)]
    first = lines[0]["data"]
    assert (lines[0]["event_type"], first["kind"], first["format_version"]) == ("session_start", "workforce", 1)
    assert first["experimental_config"] == {"scenario": SCENARIO, "initial_context": {"city": "Gent"}}
    assert first["parameters"]["roles"][0]["system_prompt"]
    assert [line["event_type"] for line in lines[-1:]] == ["session_end"]
    assert "a-secret-key" not in text


async def test_a_branch_does_not_answer_for_its_parents_keys(researcher):
    session_id = await researcher.begins()
    await researcher.plays(session_id, "key-1")
    found = await researcher.wonders(session_id, num_turns_to_simulate=1)
    branch = found["branches"][0]["session_id"]
    assert (await researcher.plays(branch, "key-1"))["turn_number"] == 3


async def test_each_of_many_memories_is_answered_with_itself(researcher):
    session_id = await researcher.begins()
    bodies = [{"agent_role": "ceo", "key": f"key {n}", "content": {"n": n}} for n in range(20)]
    made = await all_of(*(researcher.asks("POST", f"/memory/{session_id}", body) for body in bodies))
    assert [each.json()["key"] for each in made] == [body["key"] for body in bodies]
    assert len({each.json()["id"] for each in made}) == 20


@pytest.mark.parametrize("damage", ["empty", "first line gone", "line gone", "foreign line", "impossible"])
async def test_a_damaged_log_is_refused_and_harms_nobody_else(tmp_path, damage):
    async with serving(tmp_path) as server, visiting(server.http) as researcher:
        session_id, other = await researcher.begins(), await researcher.begins()
        await researcher.plays(session_id)
    path = server.log_dir / f"{session_id}.json"
    lines = path.read_bytes().splitlines(keepends=True)
    kept = {
        "empty": [],
        "first line gone": lines[1:],
        "line gone": lines[:3] + lines[4:],
        "foreign line": [*lines[:3], b"garbage\n", *lines[3:]],
        "impossible": [*lines[:1], *(line.replace(b"round_started", b"round_striken") for line in lines[1:])],
    }
    path.write_bytes(b"".join(kept[damage]))
    async with serving(tmp_path) as server, visiting(server.http) as researcher:
        for answer in (
            await researcher.asks("GET", f"/simulate/{session_id}"),
            await researcher.asks_for_a_round(session_id),
            await researcher.asks("POST", "/simulate/what-if", {"session_id": session_id}),
        ):
            assert (answer.status_code, answer.json()["error"]) == (503, "storage_failed"), answer.text
        await researcher.plays(other)
        assert (await researcher.gets("/simulations"))["total"] == 2
        items = [{"next": {"session_id": each}} for each in (session_id, other)]
        results = (await researcher.asks("POST", "/simulate/batch", {"items": items})).json()["results"]
        assert [each["status"] for each in results] == [503, 200]


async def test_what_comes_while_a_session_is_deleted_finds_nothing_or_is_first(desk):
    researcher, server = desk
    for _ in range(5):
        session_id = await researcher.begins(agents=["ceo"])
        await all_of(
            researcher.asks("DELETE", f"/simulate/{session_id}"),
            researcher.asks_for_a_round(session_id),
            researcher.asks("POST", f"/simulate/{session_id}/pause"),
            researcher.asks("DELETE", f"/simulate/{session_id}"),
            researcher.asks_for_a_round(session_id),
        )
        is_there = (await researcher.asks("GET", f"/simulate/{session_id}")).status_code == 200
        assert is_there == (server.log_dir / f"{session_id}.json").exists()
        assert is_there == (session_id in str(await researcher.gets("/simulations")))


async def test_a_session_at_rest_takes_a_memory_and_answers_with_it(tmp_path):
    async with serving(tmp_path) as server, visiting(server.http) as researcher:
        empty, other = await researcher.begins(), await researcher.begins()
        first = {"agent_role": "ceo", "key": "first", "content": {"n": 1}}
        await researcher.asks("POST", f"/memory/{other}", first)
    async with serving(tmp_path) as server, visiting(server.http) as researcher:
        for session_id, name in ((empty, "memory-1"), (other, "memory-2")):
            answer = await researcher.asks("POST", f"/memory/{session_id}", {**first, "key": "second"})
            assert (answer.status_code, answer.json()["id"], answer.json()["key"]) == (201, name, "second")


async def test_a_session_at_rest_is_paused_also_in_the_list(tmp_path):
    async with serving(tmp_path) as server, visiting(server.http) as researcher:
        session_id = await researcher.begins()
    async with serving(tmp_path) as server, visiting(server.http) as researcher:
        await researcher.asks("POST", f"/simulate/{session_id}/pause")
        assert (await researcher.gets("/simulations?status=paused"))["total"] == 1


async def test_a_session_that_was_begun_is_in_its_log(desk):
    researcher, server = desk
    for _ in range(10):
        session_id = await researcher.begins()
        assert [record.seq for record in server.log_of(session_id)] == [1]


async def test_pauses_and_rounds_that_meet_at_a_session_at_rest_all_get_an_answer(researcher, monkeypatch):
    monkeypatch.setattr("server.workforce.desk.MOST_OPEN", 1)
    for _ in range(10):
        session_id = await researcher.begins(agents=["ceo"])
        await researcher.begins(agents=["ceo"])  # the first one is laid aside
        asked = [researcher.asks("POST", f"/simulate/{session_id}/pause") for _ in range(3)]
        asked += [researcher.asks_for_a_round(session_id) for _ in range(6)]
        async with asyncio.timeout(10):
            answers = await all_of(*asked)
        assert {each.status_code for each in answers} <= {200, 409}
        await researcher.asks("POST", f"/simulate/{session_id}/resume")
        await researcher.plays(session_id)


async def test_many_who_look_at_once_find_a_session_that_the_index_has_lost(tmp_path):
    async with serving(tmp_path) as server, visiting(server.http) as researcher:
        session_id = await researcher.begins()
    for path in (tmp_path / "data").iterdir():
        path.unlink()
    async with serving(tmp_path) as server, visiting(server.http) as researcher:
        looks = await all_of(*(researcher.asks("GET", f"/simulate/{session_id}") for _ in range(8)))
        assert [each.status_code for each in looks] == [200] * 8


async def test_numbers_come_through_as_they_are(researcher):
    context = {"big": 10**17 + 1, "bigger": 10**18 - 1, "less": -(10**18) + 1, "half": 0.5}
    session_id = await researcher.begins(context=context)
    assert (await researcher.state(session_id))["context"] == context


async def test_a_log_that_a_power_cut_has_shortened_goes_on_and_is_replayed(tmp_path):
    """In the middle of what one answer has led to: a role's answer is there, the next role's turn is not."""
    async with serving(tmp_path) as server, visiting(server.http) as researcher:
        session_id = await researcher.begins()
        await researcher.plays(session_id, "key", user_input="go")
    path = server.log_dir / f"{session_id}.json"
    lines = path.read_bytes().splitlines(keepends=True)
    cut = next(i for i, line in enumerate(lines) if b'"agent_answered"' in line) + 1
    for torn in (b"", b'{"seq":'):
        path.write_bytes(b"".join(lines[:cut]) + torn)
        async with serving(tmp_path) as server, visiting(server.http) as researcher:
            played = await researcher.plays(session_id, "key", user_input="go")
            assert [each["agent_role"] for each in played["agent_responses"]] == FOUR
            assert replay(server.log_of(session_id)).difference is None
