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

from experiments.experiment import Experiment, load_experiment
from server import __version__, limits, models, protocol, serverlog
from server.app import create_app
from server.errors import InvalidSettings
from server.guard import GuardedHttp
from server.listening import listening_socket
from server.participant import DEMO_TOKEN
from server.settings import ServerSettings

GRACEFUL_SECONDS = 10


def serve(settings: ServerSettings) -> None:
    """Listen until told to stop. Everything that can be wrong is found before the first connection is taken."""
    if exposed := settings.exposure_problem(settings.host):
        raise InvalidSettings([exposed])
    limits.raise_descriptor_limit()
    experiment, why = models.settled(settings, load_experiment(settings.experiment_folder))
    serverlog.configure(settings.log_level, as_json=settings.json_logs)
    for warning in experiment.warnings:
        logging.getLogger("chatroom").warning("%s", warning)
    app = create_app(settings, experiment)
    listener = listening_socket(settings.host, settings.port)
    server = _Server(
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
        ws="websockets-sansio",
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


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_started()


def banner(settings: ServerSettings, experiment: Experiment, why: str, listener: socket.socket) -> str:
    parameters = experiment.parameters
    rows = {
        "experiment": f"{_experiment(experiment)}: {len(parameters.agents)} agents, "
        f"{parameters.messages_per_minute:g} messages a minute, {parameters.duration_seconds / 60:g} minutes",
        "model": _model(experiment, why),
        "page": f"{address(listener)}   token {DEMO_TOKEN}",
        "logs": f"{settings.log_dir}/  ({_sync(settings)})",
    }
    lines = "\n".join(f"  {name:<11} {value}" for name, value in rows.items())
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
    return folder if name == experiment.folder.resolve().name else f"{name} ({folder})"


def _model(experiment: Experiment, why: str) -> str:
    choice = experiment.parameters.language_model
    if choice.provider == "scripted":
        return f"scripted: demo replies ({choice.script or choice.model}); {why}"
    return f"{choice.provider}: {choice.model}; {why} (`chatroom ask` tries it)"


def _sync(settings: ServerSettings) -> str:
    if settings.log_sync == "fsync":
        return "every message is on disk before it is shown"
    return "LOG_SYNC=os: messages survive a crash of the server, not a power cut"
