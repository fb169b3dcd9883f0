"""What researchers send is taken as it is meant or refused with every problem and its field."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import httpx2
import pytest
from pydantic import BaseModel, ConfigDict, Field
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from server.errors import EXCEPTION_HANDLERS
from server.operations import SESSION_ID, Operation, routes
from server.requests import (
    MAX_ECHO,
    MAX_PROBLEMS,
    RESEARCHER_BODY_BYTES,
    body_of,
    idempotency_key_of,
    json_answer,
    query_of,
    session_id_of,
)
from simulation.strict_json import MAX_DEPTH

ID = "0e52a3f4-8a55-4a6e-9d0a-3c1b6f6a1d11"


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Config(Strict):
    max_turns: int = Field(default=50, ge=1, le=500)
    agents: list[Literal["ceo", "pm"]] = []


class Halve(Strict):
    type: Literal["halve"]
    target: str


class Rename(Strict):
    type: Literal["rename"]
    name: str


class Plan(Strict):
    scenario: str = Field(min_length=10)
    config: Config = Config()
    context: dict[str, Any] = {}
    changes: list[Annotated[Halve | Rename, Field(discriminator="type")]] = Field(default=[], max_length=100)


class Page(Strict):
    status: Literal["active", "paused"] | None = None
    limit: int = Field(default=100, ge=1, le=500)
    is_active: bool = True
    name: str = ""


async def plan(request: Request) -> Response:
    return json_answer((await body_of(request, Plan)).model_dump())


async def page(request: Request) -> Response:
    return json_answer(query_of(request, Page).model_dump())


async def session(request: Request) -> Response:
    return json_answer({"session_id": session_id_of(request), "key": idempotency_key_of(request)})


def operation(method: str, path: str, endpoint: Any, **rest: Any) -> Operation:
    return Operation(method=method, path=path, endpoint=endpoint, summary="", tag="", answers={200: None}, **rest)


OPERATIONS = [
    operation("POST", "/plan", plan, body=Plan),
    operation("GET", "/{session_id}", session, path_parameters=SESSION_ID),
    operation("GET", "/page", page, query=Page),
]


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    app = Starlette(routes=routes(OPERATIONS), exception_handlers=EXCEPTION_HANDLERS)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1") as client:
        yield client


async def problems(client: httpx2.AsyncClient, body: Any) -> dict[str, str]:
    answer = await client.post("/plan", content=body if isinstance(body, bytes) else json.dumps(body), headers=AS_JSON)
    assert (answer.status_code, answer.json()["error"]) == (422, "validation_error"), answer.text
    assert answer.json()["message"] == "Request validation failed"
    assert all(each["message"] for each in answer.json()["details"])
    return {each["field"]: each["type"] for each in answer.json()["details"]}


AS_JSON = {"content-type": "application/json"}
GOOD = {"scenario": "A launch in spring"}


async def test_a_good_body_is_taken(client):
    answer = await client.post("/plan", json={**GOOD, "changes": [{"type": "halve", "target": "budget"}]})
    assert answer.status_code == 200
    assert answer.json()["config"] == {"max_turns": 50, "agents": []}


async def test_every_problem_is_told_with_its_field(client):
    body = {
        "scenario": "short",
        "config": {"max_turns": 501, "agents": ["ceo", "king"], "agent": 1},
        "changes": [{"type": "halve"}, {"type": "rename", "name": 5}, {"type": "burn"}],
        "more": 1,
    }
    assert await problems(client, body) == {
        "scenario": "string_too_short",
        "config.max_turns": "less_than_equal",
        "config.agents.1": "literal_error",
        "config.agent": "extra_forbidden",
        "changes.0.target": "missing",
        "changes.1.name": "string_type",
        "changes.2.type": "union_tag_invalid",
        "more": "extra_forbidden",
    }


@pytest.mark.parametrize("value", ["5", 5.5, True, None, [], {}])
async def test_a_value_of_another_type_is_not_bent_into_shape(client, value):
    assert [*await problems(client, {**GOOD, "config": {"max_turns": value}})] == ["config.max_turns"]


async def test_a_whole_number_with_a_point_is_a_whole_number(client):
    answer = await client.post("/plan", json={**GOOD, "config": {"max_turns": 5.0}})
    assert answer.json()["config"]["max_turns"] == 5
    assert await problems(client, {**GOOD, "config": {"max_turns": 501.0}}) == {"config.max_turns": "less_than_equal"}
    assert await problems(client, {**GOOD, "config": {"max_turns": 1e300}}) == {"config.max_turns": "int_type"}


async def test_a_body_that_is_no_object_is_a_problem_of_the_whole(client):
    for body in ([], "text", 5, None):
        assert [*await problems(client, body)] == [""]


async def test_what_is_nested_too_deep_is_told_with_its_field(client):
    deep = b'{"scenario": "A launch in spring", "context": {"a": [1, ' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"]}}"
    assert await problems(client, deep) == {"context.a.1.0.0": "too_deep"}


async def test_no_more_than_a_little_of_the_input_comes_back(client):
    long = "y" * 5_000
    body = {"scenario": "short", long: long, "changes": [{"type": long}], "config": {"agents": [long]}}
    answer = await client.post("/plan", json=body)
    assert answer.status_code == 422
    assert "y" * (MAX_ECHO - 10) in answer.text
    assert "y" * (MAX_ECHO + 1) not in answer.text


async def test_no_more_than_fifty_problems_are_told(client):
    assert len(await problems(client, {**GOOD, **{f"key {number}": 1 for number in range(500)}})) == MAX_PROBLEMS


async def test_other_bodies_get_their_own_errors(client):
    for content, headers, status in (
        (b"{", AS_JSON, 400),
        (b'{"scenario": "a\\u0000b"}', AS_JSON, 400),
        (b"{}", {"content-type": "text/plain"}, 415),
        (b" " * RESEARCHER_BODY_BYTES + b"{}", AS_JSON, 413),
    ):
        assert (await client.post("/plan", content=content, headers=headers)).status_code == status
    large = {**GOOD, "context": {"text": "x" * (RESEARCHER_BODY_BYTES - 1_000)}}
    assert (await client.post("/plan", json=large)).status_code == 200


async def test_a_query_is_read_as_its_types(client):
    answer = await client.get("/page?status=paused&limit=5&is_active=false&name=12&")
    assert answer.json() == {"status": "paused", "limit": 5, "is_active": False, "name": "12"}
    assert (await client.get("/page")).json()["limit"] == 100


@pytest.mark.parametrize(
    ("query", "field", "kind"),
    [
        ("limit=0", "limit", "greater_than_equal"),
        ("limit=", "limit", "int_type"),
        ("limit=1_0", "limit", "int_type"),
        ("limit=%205", "limit", "int_type"),
        ("limit=1e1", "limit", "int_type"),
        ("limit=" + "9" * 400, "limit", "int_type"),
        ("is_active=yes", "is_active", "bool_type"),
        ("is_active=1", "is_active", "bool_type"),
        ("status=over", "status", "literal_error"),
        ("limt=5", "limt", "extra_forbidden"),
        ("limit=5&limit=6", "limit", "repeated"),
        ("&".join(f"a{n}=1" for n in range(60)), "", "too_long"),
        ("%ff=1", "\ufffd", "extra_forbidden"),
    ],
)
async def test_a_bad_query_is_told_with_its_key(client, query, field, kind):
    answer = await client.get(f"/page?{query}")
    assert answer.status_code == 422
    assert [(each["field"], each["type"]) for each in answer.json()["details"]] == [(field, kind)]


async def test_an_id_is_a_uuid_in_either_case(client):
    assert (await client.get(f"/{ID.upper()}")).json()["session_id"] == ID
    for wrong in (ID[:-1], ID.replace("-", ""), f"{{{ID}}}", f"urn:uuid:{ID}", "x", ID + "%0A", "%D9%A0" + ID[1:]):
        answer = await client.get(f"/{wrong}")
        assert answer.status_code == 422
        assert [each["field"] for each in answer.json()["details"]] == ["session_id"]


async def test_an_idempotency_key_is_one_short_text(client):
    assert (await client.get(f"/{ID}", headers={"idempotency-key": "round 1".replace(" ", "-")})).json()[
        "key"
    ] == "round-1"
    assert (await client.get(f"/{ID}")).json()["key"] is None
    for wrong in ("", "a b", "x" * 256, "é"):
        answer = await client.get(f"/{ID}", headers={"idempotency-key": wrong.encode()})
        assert answer.status_code == 422
        assert answer.json()["details"][0]["field"] == "Idempotency-Key"
    twice = await client.get(f"/{ID}", headers=[("idempotency-key", "a"), ("idempotency-key", "b")])
    assert twice.status_code == 422
