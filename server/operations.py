"""What an operation of the REST interface is, said once: the routes and the description are both made of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from server.access import require_researcher

Endpoint = Callable[[Request], Awaitable[Response]]

SESSION_ID = {"session_id": {"type": "string", "format": "uuid", "description": "The session's id."}}
"""The path parameter of most paths."""


class Detail(BaseModel):
    """One thing that is wrong with a request."""

    model_config = ConfigDict(extra="allow")

    field: str = Field(default="", description="Where, with dots: `config.agents.2`. Empty: the request as a whole.")
    message: str = Field(default="", description="What is wrong.")
    type: str = Field(default="", description="What is wrong, for programs.")


class ErrorAnswer(BaseModel):
    """The answer that every error has."""

    error: str = Field(description="What went wrong, for programs: one of the codes named at the operation.")
    message: str = Field(description="What went wrong, for people.")
    details: list[Detail] = Field(description="Every problem found, at most 50.")
    request_id: str = Field(description="As in the header `X-Request-ID`; the server log has it too.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path.

    `path` is a template of Starlette's ("/simulate/{session_id}"), `path_parameters` the JSON schema of each of its
    parameters. `body` and `query` are what the endpoint reads with `body_of` and `query_of`. `answers`: status -> model
    of the JSON, None for an answer without JSON; `media_types` are other forms in which a 200 comes. `errors` are the
    operation's own codes of `server.errors.STATUS`: those that follow from the rest of what is said here are added.
    `error_model` is the envelope, with what this operation puts in beside it. `example` is a body.
    """

    method: str
    path: str
    endpoint: Endpoint
    summary: str
    tag: str
    description: str = ""
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    path_parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    takes_idempotency_key: bool = False
    answers: Mapping[int, type[BaseModel] | None]
    media_types: Sequence[str] = ()
    errors: Sequence[str] = ()
    error_model: type[ErrorAnswer] = ErrorAnswer
    researcher: bool = False
    example: Mapping[str, Any] | None = None

    @property
    def every_error(self) -> tuple[str, ...]:
        """Its own codes, and those that its body, its parameters and its guard bring along."""
        codes = [*self.errors]
        if self.body is not None:
            codes += ["invalid_json", "timeout", "too_large", "unsupported_media_type"]
        if self.body or self.query or self.path_parameters or self.takes_idempotency_key:
            codes.append("validation_error")
        if self.researcher:
            codes += ["unauthorized", "too_many_failures"]
            codes += ["origin_not_allowed"] * (self.method not in ("GET", "HEAD"))
        return tuple(dict.fromkeys([*codes, "host_not_allowed", "exposed", "internal_error"]))


def routes(operations: Iterable[Operation]) -> list[Route]:
    """Return a route for each path, those without parameters first: "/agents/list" is no role."""
    by_path: dict[str, dict[str, Operation]] = {}
    for operation in operations:
        methods = by_path.setdefault(operation.path, {})
        assert operation.method not in methods, f"{operation.method} {operation.path} stands twice"
        methods[operation.method] = operation
    return [OperationRoute(path, by_path[path]) for path in sorted(by_path, key=lambda path: "{" in path)]


class OperationRoute(Route):
    """All methods of one path, so that a 405 names all that there are."""

    def __init__(self, path: str, operations: Mapping[str, Operation]) -> None:
        async def dispatch(request: Request) -> Response:
            operation = operations.get(request.method) or operations["GET"]  # HEAD
            if operation.researcher:
                require_researcher(request)
            return await operation.endpoint(request)

        super().__init__(path, dispatch, methods=[*operations], name=path)
        self.operations = operations

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """A path is its own whatever the method: "GET /simulate/start" asks for no session called start."""
        match, child_scope = super().matches(scope)
        return (Match.NONE if match is Match.NONE else Match.FULL), child_scope
