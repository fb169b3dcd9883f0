"""Reading what is sent over HTTP, and answering in JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from server.errors import RequestRefused
from simulation.errors import InvalidJson
from simulation.strict_json import parse

MAX_BODY_BYTES = 64 * 1024
BODY_SECONDS = 10.0


async def read_json(request: Request) -> Any:
    """Return the body's value; raise RequestRefused unless it is sent as JSON and is JSON."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise RequestRefused("unsupported_media_type", "Send the body as application/json.")
    try:
        return parse(await _body(request))
    except InvalidJson as error:
        where = "" if error.line is None else f" (line {error.line}, column {error.column})"
        raise RequestRefused("invalid_json", f"The body is not the JSON that we take{where}.") from None


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


def json_answer(body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(body), headers=headers, media_type="application/json")
