"""The simulator's REST interface: each handler reads a request, has it done, and answers in its shape."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from experiments.errors import LogError, StoreError
from server.errors import NOTHING_KEPT, RequestRefused, envelope_body, status_of
from server.operations import SESSION_ID, Operation
from server.requests import answer, body_of, idempotency_key_of, query_of, session_id_of
from server.workforce.answers import (
    Agent,
    AgentList,
    BatchAnswer,
    BatchResult,
    Listed,
    MemoryAnswer,
    MemoryEntry,
    RoundAnswer,
    RoundsAnswer,
    SimulationList,
    StartAnswer,
    StateAnswer,
    StatusAnswer,
    WhatIfAnswer,
    WhatIfList,
)
from server.workforce.shapes import (
    EXAMPLE_ID,
    AgentsQuery,
    BatchItem,
    BatchRequest,
    ListQuery,
    MemoryQuery,
    MemoryRequest,
    NextRequest,
    RoundsQuery,
    StartRequest,
    WhatIfRequest,
)
from server.workforce.table import Simulator
from server.workforce.views import agent
from server.workforce.what_if import WhatIfs

logger = logging.getLogger("chatroom.workforce")

ROLE = {"role": {"type": "string", "description": "The role's name: ceo, pm, ..."}}
WHAT_IF_ID = {"what_if_id": {"type": "string", "format": "uuid", "description": "The what-if's id."}}
NO_ROUND = ("not_found", "session_paused", "session_over", "turn_limit", "round_in_progress")
"""Why no round is played."""
ENDED = ("not_found", "session_over", "turn_limit")
"""Why nothing changes in a session any more."""
MODEL = ("model_failed", "model_unavailable")


def simulator_of(request: Request) -> Simulator:
    simulator: Simulator = request.state.simulator
    return simulator


def what_ifs_of(request: Request) -> WhatIfs:
    what_ifs: WhatIfs = request.state.what_ifs
    return what_ifs


# Sessions


async def start(request: Request) -> Response:
    return answer(await simulator_of(request).start(await body_of(request, StartRequest)), 201)


async def next_round(request: Request) -> Response:
    body, key = await body_of(request, NextRequest), idempotency_key_of(request)
    return answer(await simulator_of(request).next(body, key))


async def what_if(request: Request) -> Response:
    body, key = await body_of(request, WhatIfRequest), idempotency_key_of(request)
    return answer(await what_ifs_of(request).play(body, key))


async def simulations(request: Request) -> Response:
    query = query_of(request, ListQuery)
    index = simulator_of(request).desk.simulations
    page = await index.page(query.status, query.limit, query.offset, branches=query.branches)
    listed = [Listed.model_validate(row._asdict()) for row in page.rows]
    return answer(SimulationList(simulations=listed, total=page.total, limit=query.limit, offset=query.offset))


async def simulation(request: Request) -> Response:
    return answer(await simulator_of(request).state(session_id_of(request)))


async def delete_simulation(request: Request) -> Response:
    await simulator_of(request).desk.delete(session_id_of(request))
    return Response(status_code=204)


async def pause(request: Request) -> Response:
    return answer(await simulator_of(request).pause(session_id_of(request), pauses=True))


async def resume(request: Request) -> Response:
    return answer(await simulator_of(request).pause(session_id_of(request), pauses=False))


async def turns(request: Request) -> Response:
    query = query_of(request, RoundsQuery)
    return answer(await simulator_of(request).rounds(session_id_of(request), query.limit, query.offset))


async def what_ifs(request: Request) -> Response:
    return answer(await what_ifs_of(request).listed(session_id_of(request)))


async def one_what_if(request: Request) -> Response:
    session_id, what_if_id = session_id_of(request), session_id_of(request, "what_if_id")
    return answer(await what_ifs_of(request).find(session_id, what_if_id))


# Roles and memory


async def agents(request: Request) -> Response:
    query = query_of(request, AgentsQuery)
    found = [agent(role) for role in simulator_of(request).roles if role.is_active or not query.active_only]
    return answer(AgentList(agents=found, total=len(found)))


async def one_agent(request: Request) -> Response:
    name = request.path_params["role"]
    for role in simulator_of(request).roles:
        if role.role == name:
            return answer(agent(role))
    raise RequestRefused("not_found", "There is no such role.")


async def memory(request: Request) -> Response:
    query = query_of(request, MemoryQuery)
    return answer(await simulator_of(request).memory(session_id_of(request), query.agent_role))


async def remember(request: Request) -> Response:
    session_id, body = session_id_of(request), await body_of(request, MemoryRequest)
    return answer(await simulator_of(request).remember(session_id, body), 201)


async def forget(request: Request) -> Response:
    await simulator_of(request).forget(session_id_of(request))
    return Response(status_code=204)


# Many at once


async def batch(request: Request) -> Response:
    """Sessions go on beside each other; rounds of one session are played in the order in which they were sent."""
    items = (await body_of(request, BatchRequest)).items
    results: dict[int, BatchResult] = {}
    lines: dict[str, list[int]] = {}
    for index, item in enumerate(items):
        lines.setdefault(_session_of(item) or f"start {index}", []).append(index)

    async def play(indexes: list[int]) -> None:
        for index in indexes:
            results[index] = await _result(request, items[index])

    async with asyncio.TaskGroup() as tasks:
        for indexes in lines.values():
            tasks.create_task(play(indexes))
    return answer(BatchAnswer(results=[results[index] for index in range(len(items))]))


def _session_of(item: BatchItem) -> str | None:
    return item.next.session_id if "next" in item.model_fields_set else None


async def _result(request: Request, item: BatchItem) -> BatchResult:
    simulator = simulator_of(request)
    try:
        if "start" in item.model_fields_set:
            return BatchResult(status=201, body=(await simulator.start(item.start)).model_dump(mode="json"))
        played = await simulator.next(item.next, item.idempotency_key)
        return BatchResult(status=200, body=played.model_dump(mode="json"))
    except RequestRefused as refused:
        return BatchResult(status=status_of(refused), body=envelope_body(request, refused))
    except (StoreError, LogError) as error:
        logger.error("a batch's item: %s", error)
        return BatchResult(status=status_of(NOTHING_KEPT), body=envelope_body(request, NOTHING_KEPT))


def _operation(
    method: str,
    path: str,
    endpoint: Callable[[Request], Awaitable[Response]],
    summary: str,
    answers: Mapping[int, Any],
    **details: Any,
) -> Operation:
    return Operation(
        method=method,
        path=path,
        endpoint=endpoint,
        summary=summary,
        tag="Workforce",
        answers=answers,
        researcher=True,
        **{**details, "errors": (*details.get("errors", ()), "storage_failed")},
    )


OPERATIONS = [
    _operation(
        "POST",
        "/simulate/start",
        start,
        "Begin a session",
        {201: StartAnswer},
        body=StartRequest,
        errors=("model_unavailable", "not_admitting"),
        example={
            "scenario": "We launch a new product in three months with eight engineers.",
            "name": "Product launch",
            "config": {"max_turns": 20, "agents": ["ceo", "pm", "engineering_lead", "designer"]},
        },
    ),
    _operation(
        "POST",
        "/simulate/next",
        next_round,
        "Play the next round",
        {200: RoundAnswer},
        body=NextRequest,
        takes_idempotency_key=True,
        errors=(*NO_ROUND, "idempotency_conflict", *MODEL, "not_admitting"),
        description="Answers when the coordinator has summed up. Meanwhile, `GET /simulate/{session_id}` has in "
        "`round` who has spoken. A round that failed goes on where it stopped when the same is asked again.",
        example={"session_id": EXAMPLE_ID, "user_input": "Let us look at technical feasibility first."},
    ),
    _operation(
        "POST",
        "/simulate/what-if",
        what_if,
        "Fork a session, play both branches and compare them",
        {200: WhatIfAnswer},
        body=WhatIfRequest,
        takes_idempotency_key=True,
        errors=("not_found", "idempotency_conflict", "branch_changed", *MODEL, "not_admitting"),
        description="The session is not touched. Both branches are sessions of their own, which can be read and "
        "continued. Meanwhile, `GET /simulate/{session_id}/what-ifs` tells how far they are.",
        example={
            "session_id": EXAMPLE_ID,
            "name": "Half the budget",
            "modifications": [{"type": "context", "target": "budget", "change": {"value": "halved"}}],
            "num_turns_to_simulate": 3,
            "runs": 5,
        },
    ),
    _operation(
        "POST",
        "/simulate/batch",
        batch,
        "Begin and advance many sessions",
        {200: BatchAnswer},
        body=BatchRequest,
        description="Each item is answered as it would be by itself. Nothing is done if one of them is malformed.",
        example={"items": [{"start": {"scenario": "We launch a new product in three months."}}]},
    ),
    _operation("GET", "/simulations", simulations, "List sessions", {200: SimulationList}, query=ListQuery),
    _operation(
        "GET",
        "/simulate/{session_id}",
        simulation,
        "How a session stands",
        {200: StateAnswer},
        path_parameters=SESSION_ID,
        errors=("not_found",),
    ),
    _operation(
        "DELETE",
        "/simulate/{session_id}",
        delete_simulation,
        "Delete a session and its log",
        {204: None},
        path_parameters=SESSION_ID,
        errors=("not_found", "round_in_progress"),
        description="Branches of it stay: they are sessions of their own.",
    ),
    _operation(
        "POST",
        "/simulate/{session_id}/pause",
        pause,
        "Pause a session",
        {200: StatusAnswer},
        path_parameters=SESSION_ID,
        errors=ENDED,
        description="A round that is in progress is played to its end.",
    ),
    _operation(
        "POST",
        "/simulate/{session_id}/resume",
        resume,
        "End a pause",
        {200: StatusAnswer},
        path_parameters=SESSION_ID,
        errors=ENDED,
    ),
    _operation(
        "GET",
        "/simulate/{session_id}/turns",
        turns,
        "The rounds of a session",
        {200: RoundsAnswer},
        path_parameters=SESSION_ID,
        query=RoundsQuery,
        errors=("not_found",),
    ),
    _operation(
        "GET",
        "/simulate/{session_id}/what-ifs",
        what_ifs,
        "The what-ifs of a session, and how far they are",
        {200: WhatIfList},
        path_parameters=SESSION_ID,
        errors=("not_found",),
    ),
    _operation(
        "GET",
        "/simulate/{session_id}/what-ifs/{what_if_id}",
        one_what_if,
        "What came of a what-if",
        {200: WhatIfAnswer},
        path_parameters={**SESSION_ID, **WHAT_IF_ID},
        errors=("not_found",),
    ),
    _operation("GET", "/agents/list", agents, "List the roles", {200: AgentList}, query=AgentsQuery),
    _operation("GET", "/agents/{role}", one_agent, "A role", {200: Agent}, path_parameters=ROLE, errors=("not_found",)),
    _operation(
        "GET",
        "/memory/{session_id}",
        memory,
        "What the roles of a session remember",
        {200: MemoryAnswer},
        path_parameters=SESSION_ID,
        query=MemoryQuery,
        errors=("not_found",),
    ),
    _operation(
        "POST",
        "/memory/{session_id}",
        remember,
        "Write into a role's memory",
        {201: MemoryEntry},
        path_parameters=SESSION_ID,
        body=MemoryRequest,
        errors=(*ENDED, "memory_disabled", "model_unavailable", "not_admitting"),
        example={
            "agent_role": "pm",
            "key": "customer_interviews",
            "content": {"finding": "Nine of twelve customers ask for an export."},
            "importance": 0.9,
            "ttl_hours": 72,
        },
    ),
    _operation(
        "DELETE",
        "/memory/{session_id}",
        forget,
        "Delete everything that the roles of a session remember",
        {204: None},
        path_parameters=SESSION_ID,
        errors=ENDED,
    ),
]
