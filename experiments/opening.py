"""The first record of a session: everything that the rest of its log follows from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from experiments.experiment import Condition, Experiment
from experiments.software import software
from simulation.events import SessionStarted

SEED_BITS = 53
"""What a JSON number holds exactly in every language."""


def session_seed(experiment_seed: int, session_id: str) -> int:
    """Derive a session's seed. One seed for all would make rooms that start together act in step."""
    digest = hashlib.sha256(f"{experiment_seed}:{session_id}".encode()).digest()
    return int.from_bytes(digest[:8]) >> (64 - SEED_BITS)


def session_started(
    experiment: Experiment,
    condition: Condition,
    *,
    session_id: str,
    participant_id: str,
    experiment_seed: int,
    log_sync: str,
    assignment: Mapping[str, Any] | None = None,
    consent: Mapping[str, str] | None = None,
) -> SessionStarted:
    """Return the first record of a session in `condition`; `assignment` and `consent` as SessionStarted has them."""
    return SessionStarted(
        elapsed=0.0,
        session_id=session_id,
        experimental_config=experiment.experimental_config,
        simulation_config=experiment.simulation_config,
        experiment_id=experiment.experiment_id,
        experiment_sha256=experiment.content_sha256,
        condition=condition.name,
        levels=condition.levels,
        assignment=assignment,
        consent=consent,
        participant_id=participant_id,
        seed=session_seed(experiment_seed, session_id),
        parameters=condition.parameters,
        settings_sha256=experiment.sha256,
        log_sync=log_sync,
        software=software(),
    )
