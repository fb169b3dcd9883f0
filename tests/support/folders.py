"""Experiment folders written by tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from experiments.experiment import Experiment, load_experiment
from experiments.settings.base import EXPERIMENTAL_FILE, SIMULATION_FILE

SEED_SIMULATION: dict[str, Any] = {
    "num_agents": 5,
    "agent_names": ["Alice", "Bob", "Charlie", "Diana", "Eve"],
    "messages_per_minute": 6,
    "user_response_probability": 0.7,
    "context_window_size": 10,
    "session_duration_minutes": 15,
}
SEED_EXPERIMENTAL: dict[str, Any] = {
    "prompt_template": "You are a member of a community group. Keep messages short and casual."
}


def write_settings(
    folder: Path, *, prompt_template: str | None = None, experimental: dict[str, Any] | None = None, **changes: Any
) -> Path:
    """Write the seed's two files, changed as told (a value of None takes a key out of the simulation's)."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {key: value for key, value in (SEED_SIMULATION | changes).items() if value is not None}
    design = SEED_EXPERIMENTAL | ({"prompt_template": prompt_template} if prompt_template else {})
    (folder / SIMULATION_FILE).write_text(json.dumps(settings), encoding="utf-8")
    (folder / EXPERIMENTAL_FILE).write_text(json.dumps(design | (experimental or {})), encoding="utf-8")
    return folder


def experiment(folder: Path, **changes: Any) -> Experiment:
    return load_experiment(write_settings(folder, **changes))
