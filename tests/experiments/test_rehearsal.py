"""A rehearsal runs whole sessions in virtual time and says what they came to."""

from __future__ import annotations

from pathlib import Path

import pytest
from folders import experiment

from experiments.eventlog.reader import read_records
from experiments.rehearsal import rehearse
from simulation.events import MessagePosted, SessionEnded, SessionStarted
from simulation.room import Room
from simulation.state import rebuild


def test_writes_ordinary_logs(tmp_path: Path):
    out = tmp_path / "out"
    out.mkdir()
    counted = []
    (tally,) = rehearse(
        experiment(tmp_path / "config"), sessions=5, out=out, seed=3, on_session=lambda: counted.append(1)
    ).values()
    logs = sorted(out.iterdir())
    assert (len(logs), len(counted), tally.sessions) == (5, 5, 5)
    agent_messages = 0
    for path in logs:
        events = [record.event for record in read_records(path)]
        assert isinstance(events[0], SessionStarted)
        assert isinstance(events[-1], SessionEnded)
        assert events[0].session_id == path.stem
        assert rebuild(events).end_reason == "duration_expired"
        Room.resume(events)
        agent_messages += sum(isinstance(event, MessagePosted) and event.sender != "user" for event in events)
    assert tally.messages_by_agent.total() == agent_messages


def test_same_seed_same_bytes(tmp_path: Path):
    loaded = experiment(tmp_path / "config")
    written = []
    for name in ("one", "two"):
        out = tmp_path / name
        out.mkdir()
        rehearse(loaded, sessions=3, out=out, seed=3, model_latency=2)
        written.append({path.name: _without_wall_time(path) for path in out.iterdir()})
    assert written[0] == written[1]


def _without_wall_time(path: Path) -> list[tuple[int, float, object]]:
    return [(record.seq, record.elapsed, record.event) for record in read_records(path)]


def test_says_what_was_delivered(tmp_path: Path):
    loaded = experiment(tmp_path / "config", user_response_probability=1)
    (tally,) = rehearse(loaded, sessions=40, out=tmp_path, seed=1).values()
    assert tally.delivered_per_minute == pytest.approx(6, rel=0.1)
    assert tally.reaction_share == 1
    assert sum(tally.share_by_agent.values()) == pytest.approx(1)
    assert 5 < tally.mean_delay_seconds < 15
    assert tally.emoji_reactions > 0


def test_the_models_latency_is_felt(tmp_path: Path):
    loaded = experiment(tmp_path / "config", timing={"scale": 0}, act_weights={"reaction": 0})
    (tally,) = rehearse(loaded, sessions=5, out=tmp_path, seed=1, model_latency=8).values()
    assert tally.mean_delay_seconds == pytest.approx(8, abs=0.1)


def test_agents_who_cannot_keep_up_are_seen_to_deliver_less(tmp_path: Path):
    loaded = experiment(tmp_path / "config", messages_per_minute=120, user_response_probability=0)
    (tally,) = rehearse(loaded, sessions=2, out=tmp_path, seed=1, model_latency=8).values()
    minutes = loaded.parameters.duration_seconds / 60
    assert tally.delivered_per_minute == pytest.approx(tally.background_per_session / minutes, rel=0.02)
    assert tally.delivered_per_minute < 60
    assert tally.mean_wait_seconds > 60
