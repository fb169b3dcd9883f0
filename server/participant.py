"""The address that participants open: the page for browsers, information for everybody else."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from server import __version__
from server.requests import json_answer

ENDPOINTS = {
    "session_start": "POST /session/start",
    "websocket": "WS /ws/{session_id}",
    "health": "GET /health",
}


async def index(request: Request) -> Response:
    """Return the page. Looking at it begins nothing: that is the doing of its button."""
    if "text/html" in request.headers.get("accept", ""):
        return HTMLResponse(request.state.page, headers={"Vary": "Accept"})
    body = {"name": "Chatroom Lab", "message": "Chatroom Lab", "version": __version__, "endpoints": ENDPOINTS}
    return json_answer(body, {"Vary": "Accept"})
