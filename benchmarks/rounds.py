"""Rounds of the workforce simulator, through REST: how much longer they take than the model does (P11 to P13)."""

from __future__ import annotations

import statistics
import time
from contextlib import ExitStack
from typing import Any

import httpx2

from benchmarks.processes import LOAD_CORE, Measured, ours, provider
from benchmarks.report import Report

LATENCY_SECONDS = 0.15
ROUNDS = 20
LATENCIES_OF = {"sequential": (8, "8.25 latencies"), "waves": (4, "-"), "parallel": (2, "2.1 latencies")}
"""Execution -> model latencies that a round of seven roles and a summary takes at least, and the aim."""
SCENARIO = "We launch a new product within three months. The budget is 500K, the team has eight engineers."
PEERS_ROUND_MS = 131.0
"""A round of the peer at 0 ms, through REST, as measured in performance.md; not measured here."""


def rounds(report: Report) -> None:
    """Play rounds of seven roles with a model of 150 ms, and with one of 0 ms: over HTTP, and in the process."""
    with ExitStack() as running:
        server = _asking(running, LATENCY_SECONDS)
        for execution, (latencies, aim) in LATENCIES_OF.items():
            least = latencies * LATENCY_SECONDS * 1000
            what = f"round of seven roles, {execution}, model of {LATENCY_SECONDS * 1000:g} ms"
            report.add(f"{what} ({latencies} latencies)", least, _median_ms(server, execution), "ms", aim)
    with ExitStack() as running:
        server = _asking(running, 0.0)
        for execution in ("sequential", "parallel"):
            what = f"round of seven roles, {execution}, model of 0 ms over HTTP, against the peer's"
            report.add(what, PEERS_ROUND_MS, _median_ms(server, execution), "ms", "30 ms")
    with ours(sync="fsync") as server:
        what = "round of seven roles, sequential, scripted model, against the peer's"
        report.add(what, PEERS_ROUND_MS, _median_ms(server, "sequential"), "ms", "30 ms")


def _asking(running: ExitStack, seconds: float) -> Measured:
    """Return our server, whose model answers after `seconds`."""
    model = running.enter_context(provider(core=LOAD_CORE, seconds=seconds, kind="structured"))
    environment = {
        "LLM_PROVIDER": "openai_compatible",
        "LLM_MODEL": "llama-3.1-8b-instant",
        "OPENAI_COMPATIBLE_BASE_URL": f"http://127.0.0.1:{model.port}/v1",
    }
    return running.enter_context(ours(sync="fsync", environment=environment))


def _median_ms(server: Measured, execution: str) -> float:
    """Return the median of rounds of one session after its first, in milliseconds."""
    with httpx2.Client(base_url=f"http://127.0.0.1:{server.port}", trust_env=False, timeout=60) as client:
        begun = _posted(client, "/simulate/start", {"scenario": SCENARIO, "config": {"execution": execution}})
        taken: list[float] = []
        for _ in range(ROUNDS + 1):
            began = time.perf_counter()
            _posted(client, "/simulate/next", {"session_id": begun["session_id"]})
            taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken[1:])


def _posted(client: httpx2.Client, path: str, body: dict[str, Any]) -> Any:
    answer = client.post(path, json=body)
    assert answer.status_code in (200, 201), answer.text
    return answer.json()
