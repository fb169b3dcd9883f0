"""What the server counts of itself, in Prometheus' text: `GET /metrics`.

However odd what is asked for, the number of series is bounded: an endpoint is a route's template, a method one of the
known, a status what we answer.
"""

from __future__ import annotations

from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.operations import Operation

# When each series began: a second series for each, of use to nobody here.
disable_created_metrics()  # type: ignore[no-untyped-call]

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "OTHER"
UNMATCHED = "unmatched"
SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper ends of the histogram's classes: from an answer out of memory to a round of seven models."""


class Metrics:
    """One process' counts. Whoever counts rounds and calls takes outcomes and statuses from closed lists."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        labels = ("method", "endpoint")
        self.requests = Counter("http_requests", "Requests answered.", (*labels, "status"), registry=registry)
        self.seconds = Histogram(
            "http_request_duration_seconds",
            "From the request to the last byte.",
            labels,
            registry=registry,
            buckets=SECONDS,
        )
        self.live_sessions = Gauge("chatroom_live_sessions", "Chat sessions that run.", registry=registry)
        self.loop_lag = Histogram(
            "chatroom_event_loop_lag_seconds",
            "How late the server looked at what was due, once a second.",
            registry=registry,
            buckets=SECONDS,
        )
        self.workforce_rounds = Counter("workforce_rounds", "Rounds played.", ("outcome",), registry=registry)
        self.workforce_calls = Counter("workforce_calls", "Calls of models.", ("status",), registry=registry)


class MetricsMiddleware:
    """Counts every request, those refused included. It stands outermost."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = _Request(self._metrics, scope)

        async def send_and_look(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.start":
                request.status = message["status"]
            elif not message.get("more_body", False):
                request.is_over()  # now: an endpoint may have to tidy up, and the next request may be here before

        try:
            await self._app(scope, receive, send_and_look)
        finally:
            request.is_over()


class _Request:
    """One request, counted once. Where nothing is answered a handler outside of this middleware answers 500."""

    def __init__(self, metrics: Metrics, scope: Scope) -> None:
        self.status = 500
        self._metrics = metrics
        self._scope = scope
        self._began = perf_counter()
        self._is_counted = False

    def is_over(self) -> None:
        if self._is_counted:
            return
        self._is_counted = True
        method = self._scope["method"] if self._scope["method"] in METHODS else OTHER
        endpoint = getattr(self._scope.get("route"), "path", UNMATCHED)
        self._metrics.requests.labels(method, endpoint, self.status).inc()
        self._metrics.seconds.labels(method, endpoint).observe(perf_counter() - self._began)


async def metrics(request: Request) -> Response:
    found: Metrics = request.state.metrics
    return Response(generate_latest(found.registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)


OPERATIONS = [
    Operation(
        method="GET",
        path="/metrics",
        endpoint=metrics,
        summary="Counts of this process, for Prometheus",
        tag="Server",
        answers={200: None},
        media_types=("text/plain",),
        researcher=True,
    )
]
