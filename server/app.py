"""The composition root: settings and experiment in, an ASGI application out.

`uvicorn server.app:app` works too: `app` is made when it is asked for, not when this module is imported.
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from datetime import datetime
from functools import cache
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount, WebSocketRoute

from experiments.errors import ExperimentsError
from experiments.eventlog.append import Committer
from experiments.eventlog.checkpoint import Checkpoint
from experiments.eventlog.folder import LogFolder
from experiments.experiment import Experiment, load_experiment
from experiments.opening import session_started
from experiments.store.admission import Admissions
from experiments.store.reconciling import reconcile
from experiments.store.sessions import Reserved, Sessions
from experiments.store.study import DataFolder, Study, open_study
from server import docs, health, limits, metrics, models, openapi, participant, serverlog, starting
from server.attempts import FailedStarts, Failures, Handshakes
from server.errors import EXCEPTION_HANDLERS, InvalidSettings
from server.folders import prepare, sole_use_of
from server.hub import Hub
from server.keys import follow_keys
from server.metrics import Metrics, MetricsMiddleware
from server.openapi import Description
from server.operations import Operation, routes
from server.pages import STATIC, HashedFiles, content_hash, participant_page
from server.retention import keep_retention
from server.security import SecurityMiddleware, on_unforeseen
from server.settings import ServerSettings, load_settings
from server.websocket import participant_socket
from server.workforce import routes as workforce
from server.workforce.page import PAGE, workforce_page
from server.workforce.setup import open_simulator, workforce_roles
from server.workforce.what_if import WhatIfs
from simulation.events import SessionStarted
from simulation.llm.registry import Provider, choices_of, is_on_the_wire
from simulation.runtime.clock import WallClock, wall_time


def operations() -> list[Operation]:
    """Return the REST interface: the routes are made of it, and so is its description."""
    return [
        *participant.OPERATIONS,
        *starting.OPERATIONS,
        *workforce.OPERATIONS,
        PAGE,
        *health.OPERATIONS,
        *metrics.OPERATIONS,
        *openapi.OPERATIONS,
        *docs.OPERATIONS,
    ]


def create_app(settings: ServerSettings, experiment: Experiment, wall: Callable[[], datetime] = wall_time) -> Starlette:
    """Return the application; raise InvalidSettings or StoreError if this machine or the provider cannot carry it.

    Which model speaks is settled already (`models.settled`). `wall` is the world's time.
    """
    prepare_folders(settings)
    data = DataFolder.open(settings.data_dir)
    # What is in this process is cheap, and can be wrong; what speaks on the wire takes a second to import.
    local = None if is_on_the_wire(*experiment.every) else models.provider(settings, experiment)
    version = content_hash(STATIC)
    page = participant_page(experiment, version)
    roles = workforce_roles(experiment.folder)
    described = Description(operations(), [role.role for role in roles])
    counts = Metrics()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        serverlog.redact_uvicorn()
        async with AsyncExitStack() as stack:
            study = await open_study(data, experiment, wall())
            stack.push_async_callback(study.close)
            committer = Committer()
            committer.start()
            stack.push_async_callback(committer.stop)
            provider = await asyncio.to_thread(models.provider, settings, experiment) if local is None else local
            stack.push_async_callback(provider.close)
            logs = LogFolder(settings.log_dir, settings.log_sync, committer)
            sessions = Sessions(study, wall)
            checkpoint = Checkpoint(settings.data_dir)
            unfinished = await reconcile(sessions, logs, study.experiment.conditions, checkpoint.ages)
            hub = _hub(settings, study, sessions, provider, logs, checkpoint, wall, counts)
            simulator = await open_simulator(settings, study, provider, logs, roles, counts, new_id=_new_id)
            counts.live_sessions.set_function(lambda: hub.live_sessions)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(hub.run(unfinished), name="hub")
                tasks.create_task(simulator.desk.run(), name="workforce")
                keys = tasks.create_task(follow_keys(settings, provider), name="keys")
                keeping = keep_retention(study, settings.log_dir, wall, _new_id)
                retention = tasks.create_task(keeping, name="retention")
                yield {
                    "settings": settings,
                    "experiment": experiment,
                    "hub": hub,
                    "page": page,
                    "admissions": Admissions(study, now=wall, new_id=_new_id),
                    "handshakes": Handshakes(settings.handshakes_per_minute),
                    "failed_starts": FailedStarts(settings.start_failures_per_minute),
                    "failed_keys": Failures(settings.start_failures_per_minute),
                    "description": described,
                    "docs": docs.Page(described, version),
                    "metrics": counts,
                    "simulator": simulator,
                    "workforce_page": workforce_page(version),
                    "what_ifs": WhatIfs(simulator),
                }
                keys.cancel()
                retention.cancel()
                await hub.stop()
                await simulator.desk.stop()

    return Starlette(
        routes=[
            *routes(described.operations),
            WebSocketRoute("/ws/{session_id}", participant_socket),
            Mount(f"/static/{version}", HashedFiles(directory=STATIC)),
        ],
        middleware=[
            Middleware(MetricsMiddleware, metrics=counts),
            Middleware(SecurityMiddleware, settings=settings, is_demo=experiment.entry.mode == "demo"),
        ],
        exception_handlers={**EXCEPTION_HANDLERS, Exception: on_unforeseen},
        lifespan=lifespan,
    )


def prepare_folders(settings: ServerSettings) -> None:
    """Make the folders if need be; raise InvalidSettings if one cannot be written."""
    prepare("LOG_DIR", settings.log_dir, "Logs are kept there")
    prepare("DATA_DIR", settings.data_dir, "Tokens and sessions are kept there")


def _hub(
    settings: ServerSettings,
    study: Study,
    sessions: Sessions,
    provider: Provider,
    logs: LogFolder,
    checkpoint: Checkpoint,
    wall: Callable[[], datetime],
    counts: Metrics,
) -> Hub:
    def first_record(reserved: Reserved) -> SessionStarted:
        return session_started(
            study.experiment,
            study.experiment.conditions[reserved.condition],
            session_id=reserved.session_id,
            participant_id=reserved.participant_id,
            experiment_seed=study.seed,
            log_sync=settings.log_sync,
            assignment=reserved.assignment,
            consent=reserved.consent,
        )

    return Hub(
        sessions=sessions,
        first_record=first_record,
        provider=provider,
        clock=WallClock(wall),
        wall=wall,
        logs=logs,
        checkpoint=checkpoint,
        models=frozenset((choice.provider, choice.model) for choice in choices_of(*study.experiment.every)),
        capacity=limits.session_capacity(),
        on_beat=counts.loop_lag.observe,
    )


def _new_id() -> str:
    """Ids of participants and sessions come from the operating system: nobody guesses one from another."""
    return str(uuid.uuid4())


_held = ExitStack()  # as long as the process lives


@cache  # uvicorn asks more than once
def _app_from_environment() -> Starlette:
    try:
        settings = load_settings()
        experiment = models.settled(settings, load_experiment(settings.experiment_folder)).experiment
        prepare_folders(settings)
        _held.enter_context(sole_use_of(DATA_DIR=settings.data_dir, LOG_DIR=settings.log_dir))
        return create_app(settings, experiment)
    except (InvalidSettings, ExperimentsError) as error:
        print(error, file=sys.stderr)  # noqa: T201  there is no log yet
        raise SystemExit(2) from None


def __getattr__(name: str) -> Starlette:
    if name == "app":
        return _app_from_environment()
    raise AttributeError(name)
