"""Tokens that let nobody in: whether the time of the answer tells them apart, and how fast they are answered."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2

from benchmarks.processes import ours
from benchmarks.report import Report
from experiments.experiment import load_experiment
from experiments.store.study import DataFolder, open_study
from experiments.store.tokens import create_tokens, revoke_tokens

ROUNDS = 400
TOKENS = {"entry": {"mode": "tokens"}}


def refusals(report: Report) -> None:
    """Compare the medians of unknown, revoked and expired tokens, asked for in turns."""
    with tempfile.TemporaryDirectory() as data:
        environment = {"DATA_DIR": data, "START_FAILURES_PER_MINUTE": "0"}
        with ours(experimental=TOKENS, environment=environment) as server:
            tokens = asyncio.run(_tokens(Path(data), server.folder))
            medians = _medians(f"http://127.0.0.1:{server.port}/session/start", tokens)
    for name in ("revoked", "expired"):
        what = f"answer to a token that is {name}, against an unknown one"
        report.add(what, medians["unknown"], medians[name], "ms", "1x, in the noise")


async def _tokens(data: Path, folder: Path) -> dict[str, str]:
    now = datetime.now(UTC)
    study = await open_study(DataFolder.open(data), load_experiment(folder), now)
    try:
        (revoked,) = await create_tokens(study, 1, now=now, condition=None, expires_at=None, are_short=False)
        (expired,) = await create_tokens(
            study, 1, now=now, condition=None, expires_at=now - timedelta(1), are_short=False
        )
        await revoke_tokens(study, [revoked], [], now)
    finally:
        await study.close()
    return {"unknown": "A" * len(revoked), "revoked": revoked, "expired": expired}


def _medians(address: str, tokens: Mapping[str, str]) -> dict[str, float]:
    """Return milliseconds by kind of token."""
    taken: dict[str, list[float]] = {name: [] for name in tokens}
    with httpx2.Client(trust_env=False) as client:
        for _ in range(ROUNDS):
            for name, token in tokens.items():
                began = time.perf_counter()
                answer = client.post(address, json={"token": token})
                taken[name].append((time.perf_counter() - began) * 1000)
                assert answer.status_code == 401, answer.text
    return {name: statistics.median(times) for name, times in taken.items()}
