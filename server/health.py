"""Whether the server is there, lives, and takes new sessions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from server import __version__
from server.hub import Hub
from server.operations import Endpoint, Operation
from server.requests import answer


class Healthy(BaseModel):
    status: Literal["ok"] = "ok"
    version: str


class Alive(BaseModel):
    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    status: Literal["ready"] = "ready"


class NotReady(BaseModel):
    status: Literal["not_ready"] = "not_ready"
    reason: str = Field(description="Why no session should begin here.")


async def health(request: Request) -> Response:
    return answer(Healthy(version=__version__))


async def live(request: Request) -> Response:
    """The process answers."""
    return answer(Alive())


async def ready(request: Request) -> Response:
    """New sessions are taken: 503 with the reason where they are not."""
    reason = _not_ready(request)
    return answer(Ready()) if reason is None else answer(NotReady(reason=reason), 503)


def _not_ready(request: Request) -> str | None:
    hub: Hub = request.state.hub
    if hub.is_stopping:
        return "stopping"
    if hub.live_sessions >= hub.capacity:
        return "full"
    if hub.model_problem is not None:
        return hub.model_problem
    return hub.logs.problem


def _operation(path: str, endpoint: Endpoint, summary: str, answers: Mapping[int, type[BaseModel]]) -> Operation:
    return Operation(method="GET", path=path, endpoint=endpoint, summary=summary, tag="Server", answers=answers)


OPERATIONS = [
    _operation("/health", health, "Whether the server answers, and its version", {200: Healthy}),
    _operation("/health/live", live, "Whether the process lives", {200: Alive}),
    _operation("/health/ready", ready, "Whether new sessions are taken", {200: Ready, 503: NotReady}),
]
