"""A researcher who runs workforce sessions over REST."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from servers import Server, serving

SCENARIO = (
    "We need to launch a new AI-powered feature within 3 months. Budget is $500K. Team has 8 engineers available."
)
NIL = "00000000-0000-0000-0000-000000000000"
FOUR = ["ceo", "pm", "engineering_lead", "designer"]
SEVEN = [*FOUR, "sales", "support", "simulation_analyst"]


class Researcher:
    """Methods that say what is done expect it to be done; `asks` and its kin return any answer."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self.client = client

    async def asks(self, method: str, path: str, body: Any = None, key: str | None = None, **options: Any) -> Any:
        headers = {} if key is None else {"Idempotency-Key": key}
        return await self.client.request(method, path, json=body, headers=headers, **options)

    async def begins(self, scenario: str = SCENARIO, *, context: dict[str, Any] | None = None, **config: Any) -> str:
        body: dict[str, Any] = {"scenario": scenario, "config": {"agents": FOUR, "seed": 7, **config}}
        if context is not None:
            body["initial_context"] = context
        answer = await self.asks("POST", "/simulate/start", body)
        assert answer.status_code == 201, answer.text
        return answer.json()["session_id"]

    async def asks_for_a_round(self, session_id: str, key: str | None = None, **body: Any) -> Any:
        return await self.asks("POST", "/simulate/next", {"session_id": session_id, **body}, key)

    async def plays(self, session_id: str, key: str | None = None, **body: Any) -> dict[str, Any]:
        answer = await self.asks_for_a_round(session_id, key, **body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def wonders(
        self, session_id: str, *modifications: dict[str, Any], key: str | None = None, **body: Any
    ) -> Any:
        """Ask what if, and return what came of it."""
        wanted = {"session_id": session_id, "modifications": list(modifications), **body}
        answer = await self.asks("POST", "/simulate/what-if", wanted, key)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def state(self, session_id: str) -> dict[str, Any]:
        return await self.gets(f"/simulate/{session_id}")

    async def rounds(self, session_id: str) -> list[dict[str, Any]]:
        return (await self.gets(f"/simulate/{session_id}/turns?limit=100"))["turns"]

    async def gets(self, path: str) -> Any:
        answer = await self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()


@asynccontextmanager
async def researching(folder: Path, settings: dict[str, Any] | None = None) -> AsyncIterator[tuple[Researcher, Server]]:
    """Serve, and yield a researcher on the server's own machine."""
    async with serving(folder, settings=settings) as server, visiting(server.http) as researcher:
        yield researcher, server


@asynccontextmanager
async def visiting(url: str) -> AsyncIterator[Researcher]:
    async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=60) as client:
        yield Researcher(client)


async def all_of(*awaitables: Any) -> list[Any]:
    """Have everything done at once, and return the results in order."""
    async with asyncio.TaskGroup() as tasks:
        made = [tasks.create_task(each) for each in awaitables]
    return [task.result() for task in made]


def without_times(value: Any) -> Any:
    """Return an answer without what was measured, and without the names of the session."""
    if isinstance(value, dict):
        left_out = ("duration_ms", "response_time_ms", "session_id", "created_at", "updated_at", "last_accessed_at")
        return {key: without_times(item) for key, item in value.items() if key not in left_out}
    return [without_times(item) for item in value] if isinstance(value, list) else value
