"""What the server raises and answers: one error tree, one table of statuses, one envelope.

ServerError
├── InvalidSettings    the environment or a flag is wrong; the server does not start
├── RequestRefused     an HTTP request gets an error answer
└── SocketRefused      a socket is closed with one of our codes
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

logger = logging.getLogger("chatroom.http")

STATUS = {
    "invalid_json": 400,
    "host_not_allowed": 400,
    "unauthorized": 401,
    "consent_required": 403,
    "not_open": 403,
    "study_full": 403,
    "exposed": 403,
    "origin_not_allowed": 403,
    "not_started": 404,
    "not_found": 404,
    "method_not_allowed": 405,
    "timeout": 408,
    "already_begun": 409,
    "session_over": 409,
    "too_large": 413,
    "unsupported_media_type": 415,
    "validation_error": 422,
    "too_many_failures": 429,
    "client_gone": 499,
    "internal_error": 500,
    "study_paused": 503,
    "not_admitting": 503,
}
_CODE_OF_STATUS = {status: code for code, status in STATUS.items()} | {400: "bad_request"}


class ServerError(Exception):
    """Root of this package's errors."""


class InvalidSettings(ServerError):
    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


class RequestRefused(ServerError):
    """`code` is a key of STATUS; `details` name what is wrong, one by one; `extra` is what else the answer says."""

    def __init__(
        self,
        code: str,
        message: str,
        details: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.code = code
        self.message = message
        self.details = list(details)
        self.headers = headers
        self.extra = dict(extra or {})
        super().__init__(f"{code}: {message}")


class SocketRefused(ServerError):
    def __init__(self, close_code: int, reason: str) -> None:
        self.close_code = close_code
        self.reason = reason
        super().__init__(f"{close_code} {reason}")


def envelope(request: Request, refused: RequestRefused) -> Response:
    """Return the answer that every error has."""
    body = {
        "error": refused.code,
        "message": refused.message,
        "details": refused.details,
        "request_id": request.scope.get("request_id", ""),
        **refused.extra,
    }
    status = STATUS.get(refused.code, 400)
    return Response(orjson.dumps(body), status, refused.headers, media_type="application/json")


async def on_refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestRefused)
    return envelope(request, error)


async def on_http_exception(request: Request, error: Exception) -> Response:
    """What Starlette refuses by itself: unknown paths, wrong methods, bodies too large."""
    assert isinstance(error, HTTPException)
    code = _CODE_OF_STATUS.get(error.status_code, "bad_request")
    response = envelope(request, RequestRefused(code, error.detail, headers=error.headers))
    response.status_code = error.status_code
    return response


async def on_unforeseen(request: Request, error: Exception) -> Response:
    """An error of ours: the traceback goes to the server log, and nothing of it to whoever asked."""
    logger.error("request %s failed", request.scope.get("request_id", ""), exc_info=error)
    return envelope(request, RequestRefused("internal_error", "An unexpected error occurred."))


EXCEPTION_HANDLERS = {
    RequestRefused: on_refused,
    HTTPException: on_http_exception,
    Exception: on_unforeseen,
}
