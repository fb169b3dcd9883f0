"""The address that participants open: the page for browsers, information for everybody else."""

from __future__ import annotations

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from server import __version__
from server.operations import Operation
from server.requests import answer

ENDPOINTS = {
    "session_start": "POST /session/start",
    "websocket": "WS /ws/{session_id}",
    "health": "GET /health",
}


class Information(BaseModel):
    """What this server is."""

    name: str
    message: str
    version: str
    endpoints: dict[str, str] = Field(description="By name, the method and path of what participants' programs need.")


async def index(request: Request) -> Response:
    """Return the page. Looking at it begins nothing: that is the doing of its button."""
    if "text/html" in request.headers.get("accept", ""):
        return HTMLResponse(request.state.page, headers={"Vary": "Accept"})
    body = Information(name="Chatroom Lab", message="Chatroom Lab", version=__version__, endpoints=ENDPOINTS)
    return answer(body, headers={"Vary": "Accept"})


OPERATIONS = [
    Operation(
        method="GET",
        path="/",
        endpoint=index,
        summary="The participant's page, or what this server is",
        tag="Participants",
        description="A page where `Accept` names `text/html`, JSON otherwise.",
        answers={200: Information},
        media_types=("text/html",),
    )
]
