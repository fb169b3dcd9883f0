"""The composition root: settings and experiment in, an ASGI application out.

`uvicorn server.app:app` works too: `app` is made when it is asked for, not when this module is imported.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from experiments.errors import InvalidExperiment
from experiments.eventlog.append import Committer
from experiments.eventlog.folder import LogFolder
from experiments.experiment import Experiment, load_experiment
from experiments.opening import session_started
from server import health, limits, models, participant, serverlog
from server.errors import EXCEPTION_HANDLERS, InvalidSettings
from server.folders import prepare_folder
from server.hub import Hub
from server.keys import follow_keys
from server.security import SecurityMiddleware
from server.settings import ServerSettings, load_settings
from server.websocket import participant_socket
from simulation.events import SessionStarted
from simulation.llm.registry import Provider, is_on_the_wire
from simulation.runtime.clock import WallClock

HERE = Path(__file__).parent
STATIC = HERE / "static"
TEMPLATES = HERE / "templates"


def create_app(settings: ServerSettings, experiment: Experiment) -> Starlette:
    """Return the application; raise InvalidSettings if this machine or the model's provider cannot carry it.

    Which model speaks is settled already (`models.settled`).
    """
    prepare_log_folder(settings.log_dir)
    # What is in this process is cheap, and can be wrong; what speaks on the wire takes a second to import.
    local = None if is_on_the_wire(*experiment.every) else models.provider(settings, experiment)
    version = _content_hash(STATIC)
    page = _page(experiment, version)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        serverlog.redact_uvicorn()
        committer = Committer()
        committer.start()
        provider = await asyncio.to_thread(models.provider, settings, experiment) if local is None else local
        hub = _hub(settings, experiment, provider, committer)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(hub.run(), name="hub")
                keys = tasks.create_task(follow_keys(settings, provider), name="keys")
                yield {"settings": settings, "experiment": experiment, "hub": hub, "page": page}
                keys.cancel()
                await hub.stop()
        finally:
            await provider.close()
            await committer.stop()

    return Starlette(
        routes=[
            Route("/", participant.index, methods=["GET"]),
            Route("/health", health.health, methods=["GET"]),
            Route("/health/live", health.live, methods=["GET"]),
            Route("/health/ready", health.ready, methods=["GET"]),
            Route("/session/start", participant.start_session, methods=["POST"]),
            WebSocketRoute("/ws/{session_id}", participant_socket),
            Mount(f"/static/{version}", HashedFiles(directory=STATIC)),
        ],
        middleware=[Middleware(SecurityMiddleware, settings=settings)],
        exception_handlers=EXCEPTION_HANDLERS,
        lifespan=lifespan,
    )


def _hub(settings: ServerSettings, experiment: Experiment, provider: Provider, committer: Committer) -> Hub:
    seed = experiment.random_seed if experiment.random_seed is not None else secrets.randbits(53)

    def first_record(session_id: str, participant_id: str) -> SessionStarted:
        return session_started(
            experiment,
            experiment.first,
            session_id=session_id,
            participant_id=participant_id,
            experiment_seed=seed,
            log_sync=settings.log_sync,
        )

    return Hub(
        first_record=first_record,
        provider=provider,
        clock=WallClock(),
        logs=LogFolder(settings.log_dir, settings.log_sync, committer),
        capacity=limits.session_capacity(),
    )


def prepare_log_folder(path: Path) -> None:
    """Make the log folder if need be, for its owner alone; raise InvalidSettings if it cannot be written."""
    try:
        prepare_folder(path)
    except OSError as error:
        raise InvalidSettings(
            [f"LOG_DIR: {path} cannot be written ({error.strerror}). Logs are kept there: choose a folder of yours."]
        ) from error


class HashedFiles(StaticFiles):
    """Static files under an address that changes with their content, so that browsers may keep them."""

    def file_response(self, full_path: Any, stat_result: Any, scope: Scope, status_code: int = 200) -> Any:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


def _content_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(folder).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _page(experiment: Experiment, version: str) -> str:
    """Fill in the participant page: two names, which one engine less to import does as well."""
    template = Template((TEMPLATES / "participant.html").read_text(encoding="utf-8"))
    return template.substitute(group_name=escape(experiment.group_name), static=f"/static/{version}")


def _app_from_environment() -> Starlette:
    try:
        settings = load_settings()
        return create_app(settings, models.settled(settings, load_experiment(settings.experiment_folder)).experiment)
    except (InvalidSettings, InvalidExperiment) as error:
        print(error, file=sys.stderr)  # noqa: T201  there is no log yet
        raise SystemExit(2) from None


def __getattr__(name: str) -> Starlette:
    if name == "app":
        return _app_from_environment()
    raise AttributeError(name)
