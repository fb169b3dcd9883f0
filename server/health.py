"""Whether the server is there, lives, and takes new sessions."""

from __future__ import annotations

import os

import orjson
from starlette.requests import Request
from starlette.responses import Response

from server import __version__
from server.hub import Hub


async def health(request: Request) -> Response:
    return _answer(200, {"status": "ok", "version": __version__})


async def live(request: Request) -> Response:
    """The process answers."""
    return _answer(200, {"status": "ok"})


async def ready(request: Request) -> Response:
    """New sessions are taken: 503 with the reason where they are not."""
    reason = _not_ready(request)
    return (
        _answer(200, {"status": "ready"}) if reason is None else _answer(503, {"status": "not_ready", "reason": reason})
    )


def _not_ready(request: Request) -> str | None:
    hub: Hub = request.state.hub
    if hub.is_stopping:
        return "stopping"
    if hub.live_sessions >= hub.capacity:
        return "full"
    if hub.model_problem is not None:
        return hub.model_problem
    if not os.access(request.state.settings.log_dir, os.W_OK):
        return "log folder not writable"
    return None


def _answer(status: int, body: dict[str, str]) -> Response:
    return Response(orjson.dumps(body), status, media_type="application/json")
