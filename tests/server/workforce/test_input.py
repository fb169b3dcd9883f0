"""Every field of the seed's tables: one below and one above each limit, wrong types, what is deep and what is large."""

from __future__ import annotations

import json

import pytest
from simulations import FOUR, SCENARIO


def deep(levels):
    value = {"end": 1}
    for _ in range(levels - 1):
        value = {"in": value}
    return value


START = {"scenario": SCENARIO, "config": {"agents": FOUR}}
BAD_STARTS = [
    ({}, "scenario"),
    ({"scenario": "x" * 9}, "scenario"),
    ({"scenario": f"  {'x' * 9}  "}, "scenario"),
    ({"scenario": "x" * 5001}, "scenario"),
    ({"scenario": 7}, "scenario"),
    ({"scenario": None}, "scenario"),
    ({**START, "name": "x" * 256}, "name"),
    ({**START, "description": "x" * 1001}, "description"),
    ({**START, "config": {"max_turns": 0}}, "config.max_turns"),
    ({**START, "config": {"max_turns": 501}}, "config.max_turns"),
    ({**START, "config": {"max_turns": "20"}}, "config.max_turns"),
    ({**START, "config": {"max_turns": 2.5}}, "config.max_turns"),
    ({**START, "config": {"max_turns": True}}, "config.max_turns"),
    ({**START, "config": {"agents": []}}, "config.agents"),
    ({**START, "config": {"agents": ["ceo", "ceo"]}}, "config.agents"),
    ({**START, "config": {"agents": ["ceo", "ghost"]}}, "config.agents.1"),
    ({**START, "config": {"agents": ["CEO"]}}, "config.agents.0"),
    ({**START, "config": {"agents": "ceo"}}, "config.agents"),
    ({**START, "config": {"temperature": -0.1}}, "config.temperature"),
    ({**START, "config": {"temperature": 2.1}}, "config.temperature"),
    ({**START, "config": {"temperature": "hot"}}, "config.temperature"),
    ({**START, "config": {"enable_memory": "yes"}}, "config.enable_memory"),
    ({**START, "config": {"enable_analytics": 1}}, "config.enable_analytics"),
    ({**START, "config": {"execution": "backwards"}}, "config.execution"),
    ({**START, "config": {"seed": -1}}, "config.seed"),
    ({**START, "config": {"seed": 2**53}}, "config.seed"),
    ({**START, "config": {"max_turn": 5}}, "config.max_turn"),
    ({**START, "config": []}, "config"),
    ({**START, "initial_context": []}, "initial_context"),
    ({**START, "initial_context": deep(11)}, "initial_context"),
    ({**START, "initial_context": {"text": "x" * 20_000}}, "initial_context"),
    ({**START, "initial_context": {f"k{n}": n for n in range(101)}}, "initial_context"),
    ({**START, "initial_context": {"": 1}}, "initial_context."),
    ({**START, "typo": 1}, "typo"),
]
BAD_ROUNDS = [
    ({"session_id": None}, "session_id"),
    ({"session_id": "x"}, "session_id"),
    ({"session_id": 7}, "session_id"),
    ({"user_input": "x" * 2001}, "user_input"),
    ({"user_input": 7}, "user_input"),
    ({"focus_agents": ["ghost"]}, "focus_agents.0"),
    ({"focus_agents": ["ceo", "sales"]}, "focus_agents.1"),
    ({"focus_agents": ["ceo", "ceo"]}, "focus_agents"),
    ({"focus_agents": "ceo"}, "focus_agents"),
    ({"context_override": [1]}, "context_override"),
    ({"context_override": deep(11)}, "context_override"),
    ({"context_override": {"text": "x" * 20_000}}, "context_override"),
    ({"typo": 1}, "typo"),
]
MEMORY = {"agent_role": "ceo", "key": "k", "content": {"text": "t"}}
BAD_MEMORIES = [
    ({**MEMORY, "agent_role": "ghost"}, "agent_role"),
    ({**MEMORY, "agent_role": "sales"}, "agent_role"),
    ({**MEMORY, "memory_type": "photographic"}, "memory_type"),
    ({**MEMORY, "key": ""}, "key"),
    ({**MEMORY, "key": "x" * 256}, "key"),
    ({**MEMORY, "content": "text"}, "content"),
    ({**MEMORY, "content": deep(11)}, "content"),
    ({**MEMORY, "importance": -0.01}, "importance"),
    ({**MEMORY, "importance": 1.01}, "importance"),
    ({**MEMORY, "ttl_hours": 0}, "ttl_hours"),
    ({**MEMORY, "ttl_hours": 721}, "ttl_hours"),
    ({"key": "k", "content": {}}, "agent_role"),
]
BAD_QUERIES = [
    ("/simulations?limit=0", "limit"),
    ("/simulations?limit=501", "limit"),
    ("/simulations?limit=x", "limit"),
    ("/simulations?offset=-1", "offset"),
    ("/simulations?status=lost", "status"),
    ("/simulations?statuses=active", "statuses"),
    ("/agents/list?active_only=perhaps", "active_only"),
    ("/memory/{session_id}?agent_role=ghost", "agent_role"),
    ("/simulate/{session_id}/turns?limit=101", "limit"),
]
GOOD_STARTS = [
    {"scenario": "x" * 10},
    {"scenario": "x" * 5000},
    {**START, "name": "x" * 255, "description": "x" * 1000},
    {**START, "config": {"max_turns": 1, "temperature": 0, "seed": 0}},
    {**START, "config": {"max_turns": 500, "temperature": 2, "seed": 2**53 - 1, "execution": "waves"}},
    {**START, "initial_context": deep(10)},
    {**START, "initial_context": {"text": "x" * 16_000, "null": None, "number": 1.5, "list": [1, [2]]}},
    {**START, "name": None, "description": None, "config": {"agents": None}},
]


def assert_refused(answer, field):
    assert answer.status_code == 422, answer.text
    body = answer.json()
    assert set(body) == {"error", "message", "details", "request_id"}
    assert body["error"] == "validation_error"
    assert field in [each["field"] for each in body["details"]], body
    assert len(answer.content) < 2000


async def test_starts(researcher):
    for body, field in BAD_STARTS:
        assert_refused(await researcher.asks("POST", "/simulate/start", body), field)
    assert (await researcher.gets("/simulations"))["total"] == 0
    for body in GOOD_STARTS:
        answer = await researcher.asks("POST", "/simulate/start", body)
        assert answer.status_code == 201, answer.text
        context = (await researcher.state(answer.json()["session_id"]))["context"]
        assert json.dumps(context) == json.dumps(body.get("initial_context", {}))


async def test_rounds(researcher):
    session_id = await researcher.begins()
    for change, field in BAD_ROUNDS:
        body = {"session_id": session_id, **change}
        assert_refused(await researcher.asks("POST", "/simulate/next", body), field)
    assert (await researcher.state(session_id))["current_turn"] == 0
    await researcher.plays(session_id, user_input="x" * 2000, context_override=deep(10), focus_agents=["pm", "ceo"])


async def test_memories(researcher):
    session_id = await researcher.begins()
    for body, field in BAD_MEMORIES:
        assert_refused(await researcher.asks("POST", f"/memory/{session_id}", body), field)
    assert (await researcher.gets(f"/memory/{session_id}"))["total_memories"] == 0
    good = {**MEMORY, "key": "x" * 255, "importance": 1, "ttl_hours": 720, "memory_type": "semantic"}
    assert (await researcher.asks("POST", f"/memory/{session_id}", good)).status_code == 201


async def test_queries(researcher):
    session_id = await researcher.begins()
    for path, field in BAD_QUERIES:
        assert_refused(await researcher.asks("GET", path.format(session_id=session_id)), field)


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "ü".encode(), "a\tb"])
async def test_keys(researcher, key):
    session_id = await researcher.begins()
    headers = {"Idempotency-Key": key}
    answer = await researcher.client.post("/simulate/next", json={"session_id": session_id}, headers=headers)
    assert_refused(answer, "Idempotency-Key")


@pytest.mark.parametrize("levels", [33, 100, 10_000])
async def test_what_is_deeper_than_we_follow_is_told_at_its_field(researcher, levels):
    body = b'{"scenario": "a long enough one", "initial_context": ' + b'{"a":' * levels + b"1" + b"}" * levels + b"}"
    headers = {"content-type": "application/json"}
    answer = await researcher.client.post("/simulate/start", content=body, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["details"][0]["field"].startswith("initial_context")


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"", 400), (b"{", 400), (b"[]", 422), (b'"text"', 422), (b"x" * 1_100_000, 413), (b'{"scenario": NaN}', 400)],
)
async def test_what_is_no_request_harms_nothing(researcher, content, status):
    headers = {"content-type": "application/json"}
    answer = await researcher.client.post("/simulate/start", content=content, headers=headers)
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "message", "details", "request_id"}
    await researcher.begins()


async def test_every_problem_is_told_at_once(researcher):
    body = {"scenario": "short", "config": {"max_turns": 0, "temperature": 9, "agents": ["ceo"]}, "typo": 1}
    answer = await researcher.asks("POST", "/simulate/start", body)
    fields = {each["field"] for each in answer.json()["details"]}
    assert fields == {"scenario", "config.max_turns", "config.temperature", "typo"}
