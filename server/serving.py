"""A server from its settings to its last request: uvicorn set up as we need it, and the banner."""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from experiments.entry import DEMO_TOKEN
from experiments.experiment import Experiment, load_experiment
from experiments.settings.conditions import ONLY_CONDITION
from server import __version__, limits, models, protocol, serverlog
from server.app import create_app, prepare_folders
from server.errors import InvalidSettings
from server.folders import sole_use_of
from server.guard import GuardedHttp, GuardedSocket
from server.hub import Hub
from server.listening import listening_socket
from server.settings import ServerSettings

GRACEFUL_SECONDS = 5
"""How long a stopping server waits for requests that are under way."""
PING_SECONDS, PONG_SECONDS = 4.0, 10.0
"""Whoever does not answer a ping is gone within 14 s: a phone that changed its network, a lid that was shut."""


def serve(settings: ServerSettings) -> None:
    """Listen until told to stop. Everything that can be wrong is found before the first connection is taken."""
    limits.raise_descriptor_limit()
    experiment, why = models.settled(settings, load_experiment(settings.experiment_folder))
    if exposed := settings.exposure_problem(settings.host, is_demo=experiment.entry.mode == "demo"):
        raise InvalidSettings([exposed])
    serverlog.configure(settings.log_level, as_json=settings.json_logs)
    for warning in experiment.warnings:
        logging.getLogger("chatroom").warning("%s", warning)
    prepare_folders(settings)
    with sole_use_of(DATA_DIR=settings.data_dir, LOG_DIR=settings.log_dir):
        app = create_app(settings, experiment)
        listener = listening_socket(settings.host, settings.port)
        server = Server(
            uvicorn_config(app, settings),
            on_started=lambda: print(banner(settings, experiment, why, listener), flush=True),  # noqa: T201  for whoever started it
        )
        calm_garbage_collector()
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the keys are followed, and after: it asks for no end
        server.run(sockets=[listener])


def uvicorn_config(app: ASGIApp, settings: ServerSettings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=GuardedHttp,
        ws=GuardedSocket,
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PONG_SECONDS,
        ws_max_size=protocol.MAX_FRAME_BYTES,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=GRACEFUL_SECONDS,
        server_header=False,
        access_log=False,
        log_config=None,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
    )


def calm_garbage_collector() -> None:
    """Keep full collections away from whoever waits for an echo.

    With 1,000 sessions each of them stopped the server for 120-180 ms (measured). What a session makes is freed by its
    reference counts when it is over (tested), so there is next to nothing for them to find. The middle generation is
    looked through often, and so is small: at ten times these figures a look took 240-300 ms (measured).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 5, 1_000)


class Server(uvicorn.Server):
    """Lays the sessions aside before it closes their sockets: their clocks stop when the server is told to."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None] = lambda: None) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        hub: Hub = self.lifespan.state["hub"]
        try:
            await hub.stop()
        finally:
            await super().shutdown(sockets)


def banner(settings: ServerSettings, experiment: Experiment, why: str, listener: socket.socket) -> str:
    rows = {
        "experiment": _experiment(experiment),
        "room": _room(experiment),
        "conditions": _conditions(experiment),
        "model": _model(experiment, why),
        "page": f"{address(listener)}   {_entry(experiment)}",
        "workforce": f"{address(listener)}workforce   for researchers; REST: {address(listener)}docs",
        "logs": f"{settings.log_dir}/  ({_sync(settings)})",
    }
    lines = "\n".join(f"  {name:<11} {value}" for name, value in rows.items() if value)
    return f"\n  Chatroom Lab {__version__}  (process {os.getpid()})\n\n{lines}\n\n  Stop with Ctrl+C.\n"


def address(listener: socket.socket) -> str:
    """Return the page's address as a browser takes it."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _experiment(experiment: Experiment) -> str:
    folder = str(experiment.folder)
    name = experiment.experiment_id
    shown = folder if name == experiment.folder.resolve().name else f"{name} ({folder})"
    return f"{shown}   content {experiment.content_sha256[:12]}"


def _room(experiment: Experiment) -> str:
    """What all conditions have in common of this is said; what they do not is what `chatroom check` shows."""
    every = experiment.every
    agents = {len(each.agents) for each in every}
    rates = {each.messages_per_minute for each in every}
    minutes = {each.duration_seconds / 60 for each in every}
    return f"{_span(agents)} agents, {_span(rates)} messages a minute, {_span(minutes)} minutes"


def _span(values: set[int] | set[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _conditions(experiment: Experiment) -> str:
    names = list(experiment.conditions)
    return "" if names == [ONLY_CONDITION] else f"{len(names)}: {', '.join(names)}"


def _entry(experiment: Experiment) -> str:
    """Who is let in, for whoever has to hand out links."""
    entry = experiment.entry
    match entry.mode:
        case "demo":
            return f"token {DEMO_TOKEN}, anybody's"
        case "tokens":
            return "by token (`chatroom tokens create --n 120 -o tokens.csv` makes some)"
        case "open":
            return "open to everybody who has the address"
    return f"?{'&'.join(f'{name}=...' for name in entry.parameters)}"


def _model(experiment: Experiment, why: str) -> str:
    choice = experiment.parameters.language_model
    if choice.provider == "scripted":
        return f"scripted: demo replies ({choice.script or choice.model}); {why}"
    return f"{choice.provider}: {choice.model}; {why} (`chatroom ask` tries it)"


def _sync(settings: ServerSettings) -> str:
    if settings.log_sync == "fsync":
        return "every message is on disk before it is shown"
    return "LOG_SYNC=os: messages survive a crash of the server, not a power cut"
