"""Real servers on real sockets, in the test's own loop or as a process of their own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from folders import write_settings

from experiments.eventlog.reader import read_records
from experiments.experiment import load_experiment
from server import models
from server.app import create_app
from server.listening import listening_socket
from server.serving import Server as ChatroomServer
from server.serving import uvicorn_config
from server.settings import ServerSettings
from simulation.codec import Record
from simulation.events import SessionEnded
from simulation.runtime.clock import wall_time

QUICK = {
    "messages_per_minute": 0,
    "timing": {"scale": 0},
    "act_weights": {"reply": 0, "mention": 0, "reaction": 0},
    "limits": {"messages_per_second": 0},
}
"""Settings under which nobody speaks unasked, what is drawn appears at once, and one may write as fast as one likes."""
STARTED_SECONDS = 30


@dataclass
class Server:
    port: int
    log_dir: Path

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def log_of(self, session_id: str) -> list[Record]:
        path = self.log_dir / f"{session_id}.json"
        return list(read_records(path)) if path.exists() else []

    async def end_of(self, session_id: str) -> SessionEnded:
        """Wait until a session's log has its end; it is empty at first, until its first record is on disk."""
        async with asyncio.timeout(10):
            while True:
                for record in self.log_of(session_id):
                    if isinstance(record.event, SessionEnded):
                        return record.event
                await asyncio.sleep(0.01)


@asynccontextmanager
async def serving(folder: Path, *, settings: dict[str, Any] | None = None, **changes: Any) -> AsyncIterator[Server]:
    """Serve an experiment (the seed's, quick, with `changes`) on a free port while the block runs."""
    write_settings(folder / "config", **(QUICK | changes))
    async with serving_as_it_is(folder, settings=settings) as server:
        yield server


@asynccontextmanager
async def serving_as_it_is(
    folder: Path, *, settings: dict[str, Any] | None = None, wall: Callable[[], datetime] = wall_time
) -> AsyncIterator[Server]:
    """Serve the experiment in `folder`/config while the block runs; `wall` is the world's clock."""
    experiment = load_experiment(folder / "config")
    values = {"log_dir": folder / "logs", "data_dir": folder / "data", **(settings or {})}
    server_settings = ServerSettings(_env_file=None, **values)
    listener = listening_socket("127.0.0.1", 0)
    app = create_app(server_settings, models.settled(server_settings, experiment).experiment, wall)
    server = ChatroomServer(uvicorn_config(app, server_settings))
    server.capture_signals = no_signals  # type: ignore[method-assign]
    with listener:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve(sockets=[listener]))
            async with asyncio.timeout(STARTED_SECONDS):
                while not server.started:
                    await asyncio.sleep(0.005)
            try:
                yield Server(listener.getsockname()[1], folder / "logs")
            finally:
                server.should_exit = True


@contextmanager
def no_signals():
    yield


class Process:
    """A server as a user starts it; `lines` are what it printed until it was ready."""

    def __init__(self, *command: str, folder: Path, environment: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            env={**_clean_environment(), **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.output = ""

    def read_until(self, text: str) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line
            if text in line:
                return self.output
        raise AssertionError(f"the server stopped before it said {text!r}:\n{self.output}")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        rest, _ = self.process.communicate(timeout=20)
        self.output += rest
        return self.process.returncode

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


def _clean_environment() -> dict[str, str]:
    ours = set(ServerSettings.model_fields)
    root = str(Path(__file__).parents[2])
    return {key: value for key, value in os.environ.items() if key.lower() not in ours} | {"PYTHONPATH": root}


def run_command(
    *command: str, folder: Path, environment: dict[str, str] | None = None, typed: str = ""
) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**_clean_environment(), **(environment or {})},
        input=typed,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def as_json(data: Any) -> bytes:
    return json.dumps(data).encode()
