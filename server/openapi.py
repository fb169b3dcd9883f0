"""`GET /openapi.json`: the description of the REST interface, made of the operations that also make its routes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from starlette.requests import Request
from starlette.responses import Response

from server import __version__
from server.errors import STATUS
from server.operations import Operation
from server.requests import json_answer

OPENAPI_VERSION = "3.1.0"
DESCRIPTION = """\
Chatroom Lab serves chat sessions for participants and a workforce simulator for researchers.

A chat session goes on over a WebSocket, at the `websocket_url` that `POST /session/start` answers with; OpenAPI has \
no words for sockets.

Operations that name a security scheme are the researcher's: with `RESEARCHER_KEY` as bearer, or as the password of \
any user name. Where no key is set they answer on the server's own machine alone.

Every error has one shape: `error` is a code for programs, `message` a sentence, `details` the problems one by one."""
SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"basic": []}]
SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "RESEARCHER_KEY."},
    "basic": {"type": "http", "scheme": "basic", "description": "Any user name, and RESEARCHER_KEY as password."},
}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A name of your own for this request. Sent again with the same body it does nothing twice: what "
    "failed goes on where it stopped, what is done is answered again.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
}
PHRASES = {
    200: "As asked.",
    201: "Made.",
    204: "Done; nothing to say.",
    503: "Not now.",
}
ROLE_MARK = "x-role"
"""What a model's schema says where the name of a role is asked for: which there are, is known later."""
REF = "#/components/schemas/{model}"

Schema = dict[str, Any]


class Description:
    """The document of some operations, made when it is first asked for: nobody waits for it at the start."""

    def __init__(self, operations: Sequence[Operation], roles: Sequence[str] = ()) -> None:
        self.operations = tuple(operations)
        self._roles = [*roles]

    @cached_property
    def document(self) -> dict[str, Any]:
        refs, components = _schemas(self.operations)
        paths: dict[str, dict[str, Any]] = {}
        for operation in self.operations:
            described = _described(operation, refs)
            paths.setdefault(operation.path, {})[operation.method.lower()] = described
        tags = dict.fromkeys(operation.tag for operation in self.operations)
        document = {
            "openapi": OPENAPI_VERSION,
            "info": {"title": "Chatroom Lab", "version": __version__, "description": DESCRIPTION},
            "servers": [{"url": "/"}],
            "tags": [{"name": tag} for tag in tags],
            "paths": paths,
            "components": {"schemas": components, "securitySchemes": SCHEMES},
        }
        _name_roles(document, self._roles)
        return document


async def openapi_json(request: Request) -> Response:
    description: Description = request.state.description
    return json_answer(description.document)


def _schemas(operations: Iterable[Operation]) -> tuple[dict[Any, Schema], dict[str, Schema]]:
    """Return a reference for each model and mode, and what the references lead to."""
    wanted = dict.fromkeys(each for operation in operations for each in _models(operation))
    refs, definitions = models_json_schema([*wanted], ref_template=REF)
    return dict(refs), dict(sorted(definitions.get("$defs", {}).items()))


def _name_roles(schema: Any, roles: Sequence[str]) -> None:
    """Put the roles that there are where a role is asked for."""
    if isinstance(schema, dict):
        if schema.pop(ROLE_MARK, False) and roles:
            schema["enum"] = [*roles]
            schema.pop("pattern", None)
        for value in schema.values():
            _name_roles(value, roles)
    elif isinstance(schema, list):
        for value in schema:
            _name_roles(value, roles)


def _models(operation: Operation) -> Iterator[tuple[type[BaseModel], JsonSchemaMode]]:
    if operation.body is not None:
        yield operation.body, "validation"
    for model in operation.answers.values():
        if model is not None:
            yield model, "serialization"
    yield operation.error_model, "serialization"


def _described(operation: Operation, refs: Mapping[Any, Schema]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": _operation_id(operation),
        "summary": operation.summary,
        "description": operation.description,
        "tags": [operation.tag],
        "parameters": [*_parameters(operation)],
        "responses": _responses(operation, refs),
        "security": SECURITY if operation.researcher else [],
    }
    if operation.body is not None:
        content: dict[str, Any] = {"schema": refs[operation.body, "validation"]}
        if operation.example is not None:
            content["example"] = operation.example
        described["requestBody"] = {"required": True, "content": {"application/json": content}}
    return {name: value for name, value in described.items() if value or name == "security"}


def _operation_id(operation: Operation) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", f"{operation.method.lower()} {operation.path}").strip("_")


def _parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    for name, schema in operation.path_parameters.items():
        yield _parameter(name, "path", schema, required=True)
    if operation.query is not None:
        queried = operation.query.model_json_schema()
        for name, schema in queried.get("properties", {}).items():
            yield _parameter(name, "query", _inlined(schema, queried), required=name in queried.get("required", ()))
    if operation.takes_idempotency_key:
        yield IDEMPOTENCY_KEY


def _parameter(name: str, place: str, schema: Mapping[str, Any], *, required: bool) -> dict[str, Any]:
    rest = {key: value for key, value in schema.items() if key not in ("description", "title")}
    parameter = {"name": name, "in": place, "required": required, "schema": _without_null(rest)}
    return parameter | ({"description": schema["description"]} if "description" in schema else {})


def _without_null(schema: Schema) -> Schema:
    """A query cannot say null: what may be null there may be left out."""
    kinds = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if not kinds:
        return schema
    rest = {key: value for key, value in schema.items() if key != "anyOf" and (key, value) != ("default", None)}
    return {**rest, **(kinds[0] if len(kinds) == 1 else {"anyOf": kinds})}


def _inlined(schema: Any, document: Mapping[str, Any]) -> Any:
    """Return `schema` with what its references lead to in their place: query models have no recursion."""
    if isinstance(schema, list):
        return [_inlined(each, document) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        return _inlined({**document["$defs"][schema["$ref"].rpartition("/")[2]], **rest}, document)
    return {key: _inlined(value, document) for key, value in schema.items()}


def _responses(operation: Operation, refs: Mapping[Any, Schema]) -> dict[str, Any]:
    codes: dict[int, list[str]] = {}
    for code in operation.every_error:
        codes.setdefault(STATUS[code], []).append(code)
    return {
        str(status): _response(operation, status, codes.get(status, []), refs)
        for status in sorted({*codes, *operation.answers})
    }


def _response(operation: Operation, status: int, codes: Sequence[str], refs: Mapping[Any, Schema]) -> dict[str, Any]:
    schemas = []
    if (model := operation.answers.get(status)) is not None:
        schemas.append(refs[model, "serialization"])
    if codes:
        schemas.append(refs[operation.error_model, "serialization"])
    content: dict[str, Any] = {}
    if schemas:
        content["application/json"] = {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}
    if status == 200:
        content |= {media_type: {"schema": {"type": "string"}} for media_type in operation.media_types}
    has_answer = status in operation.answers
    told = [PHRASES.get(status, "As asked.")] if has_answer else []
    told += [f"Errors: {', '.join(f'`{code}`' for code in codes)}."] if codes else []
    response: dict[str, Any] = {"description": " ".join(told)}
    if codes:
        response |= {"x-errors": codes, "x-has-answer": has_answer}  # for /docs, and whoever wants them one by one
    if content:
        response["content"] = content
    if status == STATUS["unauthorized"] and operation.researcher:
        response["headers"] = {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}}}
    return response


class _OpenApi(BaseModel):
    """An OpenAPI 3.1 document."""

    openapi: str
    info: dict[str, Any]
    servers: list[dict[str, Any]]
    tags: list[dict[str, Any]]
    paths: dict[str, Any]
    components: dict[str, Any]


OPERATIONS = [
    Operation(
        method="GET",
        path="/openapi.json",
        endpoint=openapi_json,
        summary="This description, as OpenAPI 3.1",
        tag="Server",
        answers={200: _OpenApi},
        researcher=True,
    )
]
