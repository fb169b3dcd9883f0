"""A server as a process that can be stopped in every way and started again, on the same folders and the same port."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from folders import write_settings
from history import Client
from participants import start
from servers import Server

from experiments.experiment import load_experiment
from experiments.store.study import DataFolder, open_study
from experiments.store.tokens import create_tokens
from server.settings import ServerSettings

ROOT = Path(__file__).parents[2]
STARTED_SECONDS = 60
PORTS = range(20_000, 30_000)
"""Below those that systems give to whoever calls: a port must be free again after a restart."""
CALM = {
    "messages_per_minute": 0,
    "user_response_probability": 0,
    "timing": {"scale": 0},
    "limits": {"messages_per_second": 0},
    "session_duration_minutes": 60,
}
"""Settings under which nobody speaks unasked, and everybody may write as fast as they like."""
NO_LIMITS = {"HANDSHAKES_PER_MINUTE": "0", "START_FAILURES_PER_MINUTE": "0"}
ENDLESS = {
    "small_talk": ["{one} {two} {three}"],
    "slots": {each: [f"{each}{number}" for number in range(60)] for each in ("one", "two", "three")},
}
"""A script for agents who never run out of words."""


def settle(folder: Path, experimental: dict[str, Any] | None = None, **changes: Any) -> None:
    """Write an experiment whose agents speak from ENDLESS."""
    model = {"language_model": {"provider": "scripted", "script": "endless.json"}}
    write_settings(folder / "config", experimental=experimental, **(CALM | model | changes))
    (folder / "config" / "endless.json").write_text(json.dumps(ENDLESS))


HURRIED = (str(Path(__file__).with_name("hurried.py")),)
"""A launcher that makes the server lose its patience PACE times as fast."""


class Deployment:
    """`launcher` is what python runs; `environment` is added to the settings NO_LIMITS."""

    def __init__(self, folder: Path, *, launcher: tuple[str, ...] = ("-m", "server"), **environment: str) -> None:
        self.folder = folder
        self.server = Server(_free_port(), folder / "logs")
        self._launcher = launcher
        self._environment = _without_ours(os.environ) | {"PYTHONPATH": str(ROOT)} | NO_LIMITS | environment
        self._process: subprocess.Popen[bytes] | None = None
        self._said = folder / "server.txt"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def output(self) -> str:
        return self._said.read_text(errors="replace") if self._said.exists() else ""

    def log(self, client: Client) -> Path:
        return self.server.log_dir / f"{client.session_id}.json"

    async def joined(self, token: str = "1234", address: str | None = None, **options: Any) -> Client:
        """Return a client for a new session."""
        return Client(address or self.server.ws, await start(self.server, token), **options)

    async def starts(self) -> None:
        """Start, and wait until the server says that it listens."""
        before = len(self.output)
        self._process = self._started()
        async with asyncio.timeout(STARTED_SECONDS):
            while "Ctrl+C" not in self.output[before:]:
                assert self._process.poll() is None, self.output
                await asyncio.sleep(0.01)

    def _started(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, *self._launcher, "--port", str(self.server.port), "--experiment", "config"]
        with self._said.open("ab") as said:
            return subprocess.Popen(
                command, cwd=self.folder, env=self._environment, stdout=said, stderr=subprocess.STDOUT
            )

    async def stops(self, how: signal.Signals = signal.SIGTERM) -> float:
        """Stop the server; return how many seconds it took."""
        assert self._process is not None
        began = time.monotonic()
        self._process.send_signal(how)
        await asyncio.to_thread(self._process.wait, 60)
        return time.monotonic() - began

    def sends(self, how: signal.Signals) -> None:
        os.kill(self.pid, how)

    def freezes(self) -> bool:
        """Stop all of the process where it is, until SIGCONT; return whether it could be."""
        self.sends(signal.SIGSTOP)
        _, status = os.waitpid(self.pid, os.WUNTRACED)
        return os.WIFSTOPPED(status)

    async def __aenter__(self) -> Deployment:
        await self.starts()
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        if exc[0] is None:
            assert "Traceback" not in self.output, self.output
        else:
            print(self.output[-5000:])

    # What the system knows of the process

    @property
    def open_sockets(self) -> int:
        """How many sockets the process holds."""
        return sum(name.startswith("socket:") for name in _descriptors(self.pid))

    @property
    def resident_mib(self) -> float:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def waits_to_send(self, port: int) -> int:
        """How many bytes wait in the system to be sent to whoever calls from `port`."""
        here, there = f":{self.server.port:04X}", f":{port:04X}"
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, local, remote, _, queues, *_ = line.split()
            if local.endswith(here) and remote.endswith(there):
                return int(queues.partition(":")[0], 16)
        return 0


async def make_tokens(folder: Path, number: int) -> list[str]:
    """Return new tokens of the experiment in `folder`, made as `chatroom tokens create` does."""
    (folder / "data").mkdir(exist_ok=True)
    now = datetime.now(UTC)
    study = await open_study(DataFolder.open(folder / "data"), load_experiment(folder / "config"), now)
    try:
        return await create_tokens(study, number, now=now, condition=None, expires_at=None, are_short=False)
    finally:
        await study.close()


def _free_port() -> int:
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")


def _descriptors(pid: int) -> list[str]:
    names = []
    for each in Path(f"/proc/{pid}/fd").iterdir():
        try:
            names.append(os.readlink(each))
        except FileNotFoundError:  # closed meanwhile
            continue
    return names


def _without_ours(environment: Any) -> dict[str, str]:
    """An environment in which no setting of the server stands."""
    ours = set(ServerSettings.model_fields)
    return {name: value for name, value in environment.items() if name.lower() not in ours}
