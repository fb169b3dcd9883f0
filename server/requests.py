"""Reading what is sent over HTTP, and answering in JSON."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from functools import reduce
from operator import getitem
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import orjson
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from server.errors import RequestRefused
from simulation.errors import InvalidJson, TooDeep
from simulation.strict_json import parse

MAX_BODY_BYTES = 64 * 1024
"""What participants may send."""
RESEARCHER_BODY_BYTES = 1024 * 1024
BODY_SECONDS = 10.0
MAX_PROBLEMS = 50
"""How many problems of one request are told."""
MAX_ECHO = 80
"""How many characters of what was sent an answer repeats."""
MAX_MESSAGE = 500
MAX_QUERY_KEYS = 50

Model = TypeVar("Model", bound=BaseModel)
Loc = tuple[str | int, ...]

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,255}")
_SCALAR = re.compile(r"true|false|-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,17})?")
"""What a query writes for a truth value or a number: JSON's spelling, of a length that is sure to be taken."""


async def read_json(request: Request) -> Any:
    """Return the body's value; raise RequestRefused unless it is sent as JSON and is JSON."""
    _refuse_other_types(request)
    try:
        return parse(await _body(request, MAX_BODY_BYTES))
    except InvalidJson as error:
        raise _invalid_json(error) from None


async def body_of(request: Request, cls: type[Model]) -> Model:
    """Return a researcher's body; raise RequestRefused, of `validation_error` with every problem and its field.

    Types are JSON's: no text counts as a number.
    """
    _refuse_other_types(request)
    body = await _body(request, RESEARCHER_BODY_BYTES)
    try:
        value = parse(body)
    except TooDeep as error:
        raise invalid([_detail(error.path, error.reason, "too_deep")]) from None
    except InvalidJson as error:
        raise _invalid_json(error) from None
    return _validated(cls, body, value)


def query_of(request: Request, cls: type[Model]) -> Model:
    """Return what the query string says; raise RequestRefused, also for keys that are unknown or stand twice."""
    text = request.scope.get("query_string", b"").decode("utf-8", "replace")
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_QUERY_KEYS)
    except ValueError:
        raise invalid([_detail((), f"More than {MAX_QUERY_KEYS} keys", "too_long")]) from None
    given = dict(pairs)
    schema = cls.model_json_schema().get("properties", {})
    details = [_detail((key,), "Unknown key", "extra_forbidden") for key in given if key not in schema]
    if len(given) < len(pairs):
        keys = [key for key, _ in pairs]
        details += [_detail((key,), "Stands twice", "repeated") for key in given if keys.count(key) > 1]
    if details:
        raise invalid(details)
    values = {key: _query_value(text, schema[key]) for key, text in given.items()}
    return _validated(cls, orjson.dumps(values), values)


def session_id_of(request: Request, name: str = "session_id") -> str:
    """Return an id of the path in small letters; raise RequestRefused unless it is a UUID."""
    given = str(request.path_params[name])
    if not _UUID.fullmatch(given):
        raise invalid([_detail((name,), "Not a UUID such as 0e52a3f4-…, of 36 characters", "uuid_parsing")])
    return given.lower()


def idempotency_key_of(request: Request) -> str | None:
    """Return the header `Idempotency-Key`, None without; raise RequestRefused if it is none."""
    given = request.headers.getlist("idempotency-key")
    if not given:
        return None
    if len(given) > 1 or not _IDEMPOTENCY_KEY.fullmatch(given[0]):
        message = "One key of 1 to 255 visible ASCII characters is taken"
        raise invalid([_detail(("Idempotency-Key",), message, "string_pattern_mismatch")])
    return given[0]


def invalid(details: Iterable[Mapping[str, Any]]) -> RequestRefused:
    """Return the refusal of a request that is not as it should be."""
    return RequestRefused("validation_error", "Request validation failed", [*details][:MAX_PROBLEMS])


def json_answer(body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(body), headers=headers, media_type="application/json")


def answer(body: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer that cannot but have the shape that its model documents."""
    return Response(body.model_dump_json(), status, headers, media_type="application/json")


def _refuse_other_types(request: Request) -> None:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise RequestRefused("unsupported_media_type", "Send the body as application/json.")


def _invalid_json(error: InvalidJson) -> RequestRefused:
    where = "" if error.line is None else f" (line {error.line}, column {error.column})"
    return RequestRefused("invalid_json", f"The body is not the JSON that we take{where}.")


async def _body(request: Request, max_bytes: int) -> bytes:
    """Read the body, but no more of it than is taken. (Starlette's own limit would not answer in our envelope.)"""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > max_bytes:
                    raise RequestRefused("too_large", f"The body is larger than {max_bytes:,} bytes.")
    except TimeoutError:
        raise RequestRefused("timeout", f"The body did not come within {BODY_SECONDS:g} seconds.") from None
    except ClientDisconnect:
        raise RequestRefused("client_gone", "Whoever asked has left.") from None
    return bytes(body)


def _query_value(text: str, schema: Mapping[str, Any]) -> Any:
    """Return a value as JSON would have it: a text where texts are taken, else a truth value or a number if it is one.

    (pydantic by itself would take "yes", "1_0" and " 5".)
    """
    kinds = [each.get("type") for each in (schema, *schema.get("anyOf", ()))]
    if "string" in kinds or "$ref" in schema or "enum" in schema or not _SCALAR.fullmatch(text):
        return text
    return orjson.loads(text)


def _validated(cls: type[Model], data: bytes, value: Any) -> Model:
    """Return the model of `data`, which `value` is in Python."""
    try:
        return cls.model_validate_json(data, strict=True)  # as JSON, which has neither tuples nor UUIDs of its own
    except ValidationError as error:
        problems = error.errors(include_url=False)
    if _has_made_integers(problems, value):
        return _validated(cls, orjson.dumps(value), value)
    raise invalid(_detail(_place(each, value), _message(each), each["type"]) for each in problems[:MAX_PROBLEMS])


def _has_made_integers(problems: Iterable[ErrorDetails], value: Any) -> bool:
    """Make integers of 5.0 and the like where integers are wanted, and return whether there were any.

    To JSON they are the same number, and some programs write every number so; to pydantic they are not.
    """
    is_changed = False
    for problem in problems:
        number, path = problem["input"], _keys(problem["loc"], value)
        if path and problem["type"] == "int_type" and isinstance(number, float) and _is_integer(number):
            reduce(getitem, path[:-1], value)[path[-1]] = int(number)
            is_changed = True
    return is_changed


def _is_integer(number: float) -> bool:
    return number.is_integer() and abs(number) < 2**53  # beyond, a float does not tell which integer it is


def _detail(path: Loc, message: str, kind: str) -> dict[str, str]:
    return {"field": _cut(".".join(map(str, path))), "message": message, "type": kind}


def _place(problem: ErrorDetails, value: Any) -> Loc:
    """Return the keys that lead to what is wrong: of a choice, the key that should tell what is meant."""
    keys = _keys(problem["loc"], value)
    if problem["type"].startswith("union_tag"):
        keys = (*keys, str(problem["ctx"]["discriminator"]).strip("'"))
    return keys


def _keys(loc: Loc, value: Any) -> Loc:
    """Return the keys and indexes in `loc`: pydantic also puts in which member of a union it tried."""
    found: list[str | int] = []
    for place, part in enumerate(loc):
        is_last = place == len(loc) - 1
        if isinstance(value, dict) and (part in value or (is_last and part != "[key]")):
            found.append(part)
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            found.append(part)
            value = value[part]
    return tuple(found)


def _message(problem: ErrorDetails) -> str:
    """Return what pydantic says, with no more of the input in it than is repeated."""
    message = problem["msg"]
    for text in (problem["input"], *problem.get("ctx", {}).values()):
        if isinstance(text, str) and len(text) > MAX_ECHO:
            message = message.replace(text, _cut(text))
    return message if len(message) <= MAX_MESSAGE else f"{message[: MAX_MESSAGE - 1]}…"


def _cut(text: str) -> str:
    return text if len(text) <= MAX_ECHO else f"{text[: MAX_ECHO - 1]}…"
