"""The participant's way in: the page, and `POST /session/start`."""

from __future__ import annotations

import asyncio
import hmac
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response

from server import __version__
from server.errors import RequestRefused
from server.hub import Hub
from simulation.errors import InvalidJson
from simulation.strict_json import parse

DEMO_TOKEN = "1234"
"""The seed's: anybody's, as often as they like. Each start with it is a new session."""

MAX_BODY_BYTES = 64 * 1024
BODY_SECONDS = 10.0

ENDPOINTS = {
    "session_start": "POST /session/start",
    "websocket": "WS /ws/{session_id}",
    "health": "GET /health",
}


class StartRequest(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    token: str = Field(max_length=200)


async def index(request: Request) -> Response:
    """The participant page for browsers, API information for everybody else."""
    if "text/html" in request.headers.get("accept", ""):
        return HTMLResponse(request.state.page, headers={"Vary": "Accept"})
    body = {"name": "Chatroom Lab", "message": "Chatroom Lab", "version": __version__, "endpoints": ENDPOINTS}
    return _json(body, {"Vary": "Accept"})


async def start_session(request: Request) -> Response:
    """Exchange a token for a session; the session begins when its socket is opened."""
    start = _start_request(await read_json(request))
    if not hmac.compare_digest(start.token.encode(), DEMO_TOKEN.encode()):
        raise RequestRefused("unauthorized", "This token is not valid.")
    hub: Hub = request.state.hub
    session_id = hub.reserve()
    scheme = "wss" if request.url.scheme == "https" else "ws"
    return _json(
        {
            "session_id": session_id,
            "message": "Session created. Connect via WebSocket to start.",
            "websocket_url": f"{scheme}://{request.url.netloc}/ws/{session_id}",
        }
    )


def _start_request(body: Any) -> StartRequest:
    try:
        return StartRequest.model_validate(body)
    except ValidationError as error:
        details = [
            {"field": ".".join(str(part) for part in each["loc"]), "message": each["msg"], "type": each["type"]}
            for each in error.errors(include_url=False, include_input=False)
        ]
        raise RequestRefused("validation_error", "The request is not as it should be.", details) from None


async def read_json(request: Request) -> Any:
    """Return the body's value; raise RequestRefused unless it is sent as JSON and is JSON."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise RequestRefused("unsupported_media_type", "Send the body as application/json.")
    try:
        return parse(await _body(request))
    except InvalidJson as error:
        raise RequestRefused("invalid_json", f"The body is not the JSON we take: {error}.") from None


async def _body(request: Request) -> bytes:
    """Read the body, but no more of it than is taken. (Starlette's own limit would not answer in our envelope.)"""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise RequestRefused("too_large", f"The body is larger than {MAX_BODY_BYTES:,} bytes.")
    except TimeoutError:
        raise RequestRefused("timeout", f"The body did not come within {BODY_SECONDS:g} seconds.") from None
    except ClientDisconnect:
        raise RequestRefused("client_gone", "Whoever asked has left.") from None
    return bytes(body)


def _json(body: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(body), headers=headers, media_type="application/json")
