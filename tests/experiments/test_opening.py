from __future__ import annotations

from pathlib import Path

from folders import experiment

from experiments.opening import session_seed, session_started
from experiments.software import software


def test_sessions_that_start_together_do_not_act_in_step():
    seeds = {session_seed(42, f"session {number}") for number in range(1000)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**53 for seed in seeds)
    assert session_seed(42, "a") == session_seed(42, "a") != session_seed(43, "a")


def test_the_first_record_says_all_that_the_rest_follows_from(tmp_path: Path):
    loaded = experiment(tmp_path)
    start = session_started(
        loaded, loaded.first, session_id="s", participant_id="p", experiment_seed=1, log_sync="fsync"
    )
    assert start.experimental_config == loaded.experimental_config
    assert start.simulation_config == loaded.simulation_config
    assert start.parameters == loaded.parameters
    assert start.settings_sha256 == loaded.sha256
    assert (start.format_version, start.log_sync, start.experiment_id) == (1, "fsync", tmp_path.name)
    assert start.software == software()
    assert start.seed == session_seed(1, "s")


def test_software_names_its_version():
    assert software()["version"]
