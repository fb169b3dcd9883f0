"""`GET /workforce`: the researcher's page of the simulator, which asks for everything else over the REST interface."""

from __future__ import annotations

from string import Template

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from server.operations import Operation
from server.pages import TEMPLATES


def workforce_page(version: str) -> str:
    """Return the page, the same for all sessions; `version` is that of the static files."""
    template = Template((TEMPLATES / "workforce.html").read_text(encoding="utf-8"))
    return template.substitute(static=f"/static/{version}")


async def page(request: Request) -> Response:
    """Answer with what the application holds as `workforce_page`."""
    return HTMLResponse(request.state.workforce_page)


PAGE = Operation(
    method="GET",
    path="/workforce",
    endpoint=page,
    summary="The simulator's page",
    tag="Workforce",
    description="A session has the address `/workforce#` and its id.",
    answers={200: None},
    media_types=("text/html",),
    researcher=True,
)
