"""What every answer carries, and who is let in at all: headers, request ids, hosts, origins."""

from __future__ import annotations

import logging
import re
import uuid
from functools import lru_cache, partial

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.errors import RequestRefused, envelope
from server.settings import ServerSettings

logger = logging.getLogger("chatroom.http")

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self'; frame-ancestors 'none'"
)
API_POLICY = "default-src 'none'; frame-ancestors 'none'"

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
_SAFE_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class SecurityMiddleware:
    """Gives requests an id and answers their headers; refuses hosts that are not on the list."""

    def __init__(self, app: ASGIApp, settings: ServerSettings, *, is_demo: bool) -> None:
        self._app = app
        self._allowed_hosts = frozenset(host.lower() for host in settings.allowed_hosts)
        self._exposure_problem = lru_cache(maxsize=64)(partial(settings.exposure_problem, is_demo=is_demo))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        scope["request_id"] = request_id = _request_id(connection)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                add_headers(MutableHeaders(scope=message), request_id, scope["scheme"])
            await send(message)

        if refused := self._refusal(connection):
            await self._refuse(refused, scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)

    def _refusal(self, connection: HTTPConnection) -> RequestRefused | None:
        if not self._host_is_allowed(connection):
            return RequestRefused("host_not_allowed", "This server does not answer under that name (ALLOWED_HOSTS).")
        address, port = connection.scope.get("server") or ("", None)
        if port is not None and self._exposure_problem(address):  # another server than ours was told where to listen
            return RequestRefused("exposed", "This server is not set up to be reached from other machines.")
        return None

    def _host_is_allowed(self, connection: HTTPConnection) -> bool:
        if not self._allowed_hosts:
            return True
        host = connection.headers.get("host", "").lower()
        return host in self._allowed_hosts or host.rsplit(":", 1)[0] in self._allowed_hosts

    async def _refuse(self, refused: RequestRefused, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        await envelope(Request(scope), refused)(scope, receive, send)


def _request_id(connection: HTTPConnection) -> str:
    given = connection.headers.get("x-request-id", "")
    return given if _SAFE_REQUEST_ID.fullmatch(given) else str(uuid.uuid4())


def add_headers(headers: MutableHeaders, request_id: str, scheme: str) -> None:
    headers["X-Request-ID"] = request_id
    for name, value in _ALWAYS.items():
        headers[name] = value
    headers.setdefault("Cache-Control", "no-store")
    is_page = headers.get("content-type", "").startswith("text/html")
    headers.setdefault("Content-Security-Policy", PAGE_POLICY if is_page else API_POLICY)
    if scheme == "https":
        headers["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"


async def on_unforeseen(request: Request, error: Exception) -> Response:
    """An error of ours: the traceback goes to the server log, and nothing of it to whoever asked.

    Starlette answers with this outside of every middleware, so it carries its headers by itself.
    """
    request_id = request.scope.get("request_id", "")
    logger.error("request %s failed", request_id, exc_info=error)
    answer = envelope(request, RequestRefused("internal_error", "An unexpected error occurred."))
    add_headers(answer.headers, request_id, request.url.scheme)
    return answer


def origin_is_allowed(connection: HTTPConnection) -> bool:
    """A browser says from which page it connects; that must be ours. Who says nothing is no browser."""
    origin = connection.headers.get("origin")
    if origin is None:
        return True
    settings: ServerSettings = connection.state.settings
    if origin in settings.allowed_origins:
        return True
    scheme = "https" if connection.scope["scheme"] in ("https", "wss") else "http"
    return origin.lower() == f"{scheme}://{connection.headers.get('host', '').lower()}"
