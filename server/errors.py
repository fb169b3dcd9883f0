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

from experiments.errors import LogError, StoreError

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
    "session_paused": 409,
    "turn_limit": 409,
    "round_in_progress": 409,
    "branch_changed": 409,
    "idempotency_conflict": 409,
    "memory_disabled": 409,
    "session_over": 409,
    "too_large": 413,
    "unsupported_media_type": 415,
    "validation_error": 422,
    "too_many_failures": 429,
    "client_gone": 499,
    "internal_error": 500,
    "model_failed": 502,
    "model_unavailable": 503,
    "storage_failed": 503,
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


NOTHING_KEPT = RequestRefused("storage_failed", "The log or the database cannot be used at the moment.")


class SocketRefused(ServerError):
    def __init__(self, close_code: int, reason: str) -> None:
        self.close_code = close_code
        self.reason = reason
        super().__init__(f"{close_code} {reason}")


def status_of(refused: RequestRefused) -> int:
    return STATUS.get(refused.code, 400)


def envelope_body(request: Request, refused: RequestRefused) -> dict[str, Any]:
    """Return what every error says."""
    return {
        "error": refused.code,
        "message": refused.message,
        "details": refused.details,
        "request_id": request.scope.get("request_id", ""),
        **refused.extra,
    }


def envelope(request: Request, refused: RequestRefused) -> Response:
    """Return the answer that every error has."""
    body = orjson.dumps(envelope_body(request, refused))
    return Response(body, status_of(refused), refused.headers, media_type="application/json")


async def on_refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestRefused)
    return envelope(request, error)


async def on_storage_failure(request: Request, error: Exception) -> Response:
    """The disk or the database refuses; what was acknowledged is kept."""
    logger.error("request %s: %s", request.scope.get("request_id", ""), error)
    return envelope(request, NOTHING_KEPT)


async def on_http_exception(request: Request, error: Exception) -> Response:
    """What Starlette refuses by itself: unknown paths, wrong methods, bodies too large."""
    assert isinstance(error, HTTPException)
    code = _CODE_OF_STATUS.get(error.status_code, "bad_request")
    response = envelope(request, RequestRefused(code, error.detail, headers=error.headers))
    response.status_code = error.status_code
    return response


EXCEPTION_HANDLERS = {
    RequestRefused: on_refused,
    StoreError: on_storage_failure,
    LogError: on_storage_failure,
    HTTPException: on_http_exception,
}
