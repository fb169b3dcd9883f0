"""Servers under measurement: one process each, on a core of its own where the system allows it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

SERVER_CORE, LOAD_CORE = 0, 1
ROOT = Path(__file__).parents[1]
SETTINGS: dict[str, Any] = {
    "num_agents": 5,
    "agent_names": ["Alice", "Bob", "Charlie", "Diana", "Eve"],
    "messages_per_minute": 0,
    "user_response_probability": 0,
    "context_window_size": 10,
    "session_duration_minutes": 60,
    "limits": {"messages_per_second": 0},
}
_next_port = iter(range(18400, 19000))


class Measured:
    """A running server: its port, its settings' folder if it is ours, and what it has used."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.port = port
        self.folder = Path()
        self._process = process

    def kill(self, how: signal.Signals) -> None:
        self._process.send_signal(how)
        self._process.wait()

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def waiting_seconds(self) -> float:
        """How long its event loop was kept from running, because somebody else had its core."""
        return int(Path(f"/proc/{self._process.pid}/schedstat").read_text().split()[1]) / 1e9

    def resident_kib(self) -> float:
        return resident_kib(self._process.pid)


def resident_kib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024


@contextmanager
def reference(kind: str) -> Iterator[Measured]:
    port = next(_next_port)
    with _running([sys.executable, "-m", "benchmarks.references", kind, str(port)], {}, port) as measured:
        yield measured


@contextmanager
def provider(*, core: int, seconds: float = 0, kind: str = "chat") -> Iterator[Measured]:
    """A provider on `core` that answers after `seconds`: a chat line, or JSON (`structured`)."""
    port = next(_next_port)
    command = [sys.executable, "-m", "benchmarks.provider", str(port), str(seconds), kind]
    with _running(command, {}, port, core) as measured:
        yield measured


@contextmanager
def ours(
    *,
    sync: str = "os",
    environment: Mapping[str, str] | None = None,
    experimental: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Iterator[Measured]:
    """Our server with quiet settings, changed as told."""
    with tempfile.TemporaryDirectory() as folder:
        write_settings(Path(folder), experimental=experimental, **changes)
        with _serving(Path(folder), sync, environment or {}) as measured:
            yield measured


def serving_again(stopped: Measured, *, sync: str) -> AbstractContextManager[Measured]:
    """Our server on the folders of one that was stopped."""
    return _serving(stopped.folder, sync, {})


@contextmanager
def _serving(folder: Path, sync: str, environment: Mapping[str, str]) -> Iterator[Measured]:
    port = next(_next_port)
    command = [sys.executable, "-m", "server", "--port", str(port), "--experiment", str(folder)]
    variables = {
        "LOG_DIR": f"{folder}/logs",
        "DATA_DIR": f"{folder}/data",
        "LOG_SYNC": sync,
        "LOG_LEVEL": "ERROR",
        **environment,
    }
    with _running(command, variables, port) as measured:
        measured.folder = folder
        yield measured


def write_settings(
    folder: Path,
    *,
    prompt_template: str = "Keep it short.",
    experimental: Mapping[str, Any] | None = None,
    **changes: Any,
) -> None:
    design = {"prompt_template": prompt_template, **(experimental or {})}
    (folder / "simulation_settings.json").write_text(json.dumps(SETTINGS | changes))
    (folder / "experimental_settings.json").write_text(json.dumps(design))


@contextmanager
def _running(command: list[str], environment: dict[str, str], port: int, core: int = SERVER_CORE) -> Iterator[Measured]:
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**_environment(), **environment},
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: on_core(core),
    )
    try:
        wait_until_it_answers(port)
        yield Measured(process, port)
    finally:
        process.kill()
        process.wait()


def _environment() -> dict[str, str]:
    """As a user's shell has it: compiled modules are kept."""
    return {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}


def on_core(core: int) -> None:
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {core})


def wait_until_it_answers(port: int, seconds: float = 20) -> None:
    """Return once something answers on `port`, whatever it says."""
    ends = time.perf_counter() + seconds
    while time.perf_counter() < ends:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.005)
        else:
            return
    raise TimeoutError(f"no server on port {port}")
