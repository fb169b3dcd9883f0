"""The fake as an application: three wires on one port, a switch, and a memory of what it was asked.

PUT    /fake/behaviour   {"name": "429", ...}      from now on
POST   /fake/queue       [{"name": "hang"}, ...]   for the next requests, one each
GET    /fake/requests                              what was asked
DELETE /fake/requests                              forget it
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from server.fakellm import wire
from server.fakellm.behaviours import Behaviour, Reply, behaviour, described
from server.fakellm.connections import Connections

MOST_QUEUED = 10_000
MOST_REMEMBERED = 10_000
MODELS = ("fake-small", "fake-large")


@dataclass(slots=True)
class Asking:
    """One request as it came; `left`: whoever asked went away before the reply was whole."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: Any
    connection: int
    left: bool = False


@dataclass(slots=True)
class Fake:
    """`behaviour` is how it answers; `queued` goes before it, one a request. `keys` None takes any key.
    `is_strict`: it does not have models besides `models`.
    """

    behaviour: Behaviour = field(default_factory=Behaviour)
    queued: deque[Behaviour] = field(default_factory=deque)
    requests: deque[Asking] = field(default_factory=lambda: deque(maxlen=MOST_REMEMBERED))
    models: tuple[str, ...] = MODELS
    keys: set[str] | None = None
    is_strict: bool = False
    in_flight: int = 0
    most_in_flight: int = 0
    connections: Connections = field(default_factory=Connections)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def next_behaviour(self) -> Behaviour:
        return self.queued.popleft() if self.queued else self.behaviour

    def behaves(self, name: str, **parameters: Any) -> None:
        """Answer in this way from now on."""
        self.behaviour = behaviour(name, **parameters)

    def queue(self, name: str, times: int = 1, **parameters: Any) -> None:
        """Answer the next `times` requests in this way."""
        if not 1 <= times <= MOST_QUEUED:
            raise ValueError(f"times: a number from 1 to {MOST_QUEUED}")
        self.queued.extend([behaviour(name, **parameters)] * times)

    async def tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()


def create_app(fake: Fake) -> Starlette:
    async def gemini(request: Request) -> Response:
        model, _, verb = request.path_params["model_and_verb"].rpartition(":")
        return await _generate(request, fake, wire.GEMINI, model, streams=verb == "streamGenerateContent")

    async def chat(request: Request) -> Response:
        return await _generate(request, fake, wire.CHAT, "", streams=False)

    async def models(request: Request) -> Response:
        await _remember(request, fake)
        kind = wire.GEMINI if "x-goog-api-key" in request.headers else wire.CHAT
        asked = _asked(request, kind)
        if refused := _refused(fake, asked) or _refusal(fake.behaviour.reply(asked)):
            return await _hanging(request) if refused.hangs else _response(refused)
        if kind == wire.GEMINI:
            listed = [
                {"name": f"models/{name}", "supportedGenerationMethods": ["generateContent"]} for name in fake.models
            ]
            return _json({"models": listed})
        return _json({"object": "list", "data": [{"id": name, "object": "model"} for name in fake.models]})

    async def switch(request: Request) -> Response:
        return await _switched(request, fake)

    async def requests(request: Request) -> Response:
        if request.method == "DELETE":
            fake.requests.clear()
        return _json([asdict(each) for each in fake.requests])

    return Starlette(
        routes=[
            Route("/{version:path}/models/{model_and_verb:path}", gemini, methods=["POST"]),
            Route("/{version:path}/tunedModels/{model_and_verb:path}", gemini, methods=["POST"]),
            Route("/openai/v1/chat/completions", chat, methods=["POST"]),
            Route("/v1/chat/completions", chat, methods=["POST"]),
            Route("/openai/v1/models", models, methods=["GET"]),
            Route("/v1/models", models, methods=["GET"]),
            Route("/v1beta/models", models, methods=["GET"]),
            Route("/fake/behaviour", switch, methods=["GET", "PUT"]),
            Route("/fake/queue", switch, methods=["POST"]),
            Route("/fake/requests", requests, methods=["GET", "DELETE"]),
        ]
    )


async def _switched(request: Request, fake: Fake) -> Response:
    try:
        if request.method == "PUT":
            told = await request.json()
            if not isinstance(told, dict) or "name" not in told:
                raise ValueError('say {"name": "hang"} or the like; GET tells which names there are')
            fake.behaves(**told)
        elif request.method == "POST":
            queued = Fake()  # all of them or none
            for each in await request.json():
                queued.queue(**each)
            fake.queued += queued.queued
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        return _json({"error": str(error).encode("ascii", "backslashreplace").decode()}, 422)
    return _json(
        {"name": fake.behaviour.name, **fake.behaviour.parameters, "queued": len(fake.queued), "known": described()}
    )


def _asked(request: Request, kind: str, number: int = 0, model: str = "", body: Any = None) -> wire.Asked:
    return wire.read(kind, number, model, body, dict(request.headers))


async def _remember(request: Request, fake: Fake) -> Asking:
    raw = await request.body()
    try:
        body = orjson.loads(raw) if raw else None
    except orjson.JSONDecodeError:
        body = raw.decode("utf-8", "replace")
    number = fake.connections.number(request.scope["client"])
    asking = Asking(request.method, request.url.path, request.url.query, dict(request.headers), body, number)
    fake.requests.append(asking)
    await fake.tell()
    return asking


def _refused(fake: Fake, asked: wire.Asked) -> Reply | None:
    key = asked.headers.get("x-goog-api-key") or asked.headers.get("authorization", "").removeprefix("Bearer ")
    if fake.keys is None or key in fake.keys:
        return None
    return behaviour("401", message="API key not valid.").reply(asked)


def _unknown_model(fake: Fake, asked: wire.Asked) -> Reply | None:
    if not fake.is_strict or asked.model.removeprefix("models/") in fake.models:
        return None
    return behaviour("404", message=f"The model {asked.model} is not found.").reply(asked)


def _refusal(reply: Reply) -> Reply | None:
    """The part of a behaviour that a request for the list of models meets with as well."""
    is_page = "html" in reply.headers.get("content-type", "")
    return reply if reply.status != 200 or reply.hangs or is_page else None


async def _hanging(request: Request) -> Response:
    await _leaves(request, None)
    return Response(status_code=499)


async def _generate(request: Request, fake: Fake, kind: str, model: str, *, streams: bool) -> Response:
    asking = await _remember(request, fake)
    asked = _asked(request, kind, len(fake.requests), model, asking.body)
    reply = _refused(fake, asked) or _unknown_model(fake, asked) or fake.next_behaviour().reply(asked)
    fake.in_flight += 1
    fake.most_in_flight = max(fake.most_in_flight, fake.in_flight)
    try:
        if await _leaves(request, None if reply.hangs else reply.delay):
            asking.left = True
            return Response(status_code=499)
    finally:
        fake.in_flight -= 1
        await fake.tell()
    if reply.breaks is not None:
        fake.connections.breaks(request.scope["client"], reply.breaks, reply.body)
        return Response(status_code=499)
    return _response(reply, streams=streams)


async def _leaves(request: Request, seconds: float | None) -> bool:
    """Wait; return whether whoever asked went away meanwhile."""
    if seconds == 0:
        return False
    try:
        async with asyncio.timeout(seconds):
            while (await request.receive())["type"] != "http.disconnect":
                pass
            return True
    except ClientDisconnect:
        return True
    except TimeoutError:
        return False


def _response(reply: Reply, *, streams: bool = False) -> Response:
    headers = {"content-type": "application/json", "x-request-id": "fake-request", **reply.headers}
    if streams and reply.status == 200:
        return Response(b"data: " + reply.body + b"\r\n\r\n", headers=headers | {"content-type": "text/event-stream"})
    if reply.chunk_bytes is None:
        return Response(reply.body, reply.status, headers)
    return StreamingResponse(_dripping(reply), reply.status, headers)


async def _dripping(reply: Reply) -> AsyncIterator[bytes]:
    for chunk in _chunks(reply.body, reply.chunk_bytes or len(reply.body)):
        yield chunk
        await asyncio.sleep(reply.pause)


def _chunks(body: bytes, size: int) -> Iterable[bytes]:
    return (body[start : start + size] for start in range(0, len(body), size))


def _json(body: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, media_type="application/json")
