"""The rate is true and the reaction is true: enough runs that a bias of 1 % would show."""

from __future__ import annotations

import json
from collections import Counter
from math import sqrt
from pathlib import Path

import pytest
from chatrooms import FIVE_AGENTS, Chat
from folders import experiment

from experiments.rehearsal import SilentParticipant, Tally, rehearsal_start, run_session
from simulation.llm.scripted import ScriptedProvider
from simulation.parameters import ModelChoice
from simulation.runtime.clock import run_in_virtual_time

pytestmark = pytest.mark.statistics

MODEL_LATENCY_SECONDS = 8
WORDS = [f"{letter}{number}" for letter in "abcdefghij" for number in range(10)]
ENDLESS_SCRIPT = {"small_talk": ["{word} {word} {word} {word} {word}"], "slots": {"word": WORDS}}


class NoLog:
    def append(self, lines, kept) -> None:
        kept()

    def close(self) -> None: ...


def rehearsed(folder: Path, *, sessions: int, **changes) -> Tally:
    """Run silent sessions with a model that takes 8 s, through the runtime, without logs."""
    (folder / "endless.json").write_text(json.dumps(ENDLESS_SCRIPT))
    loaded = experiment(folder, **changes)
    provider = ScriptedProvider(ModelChoice(script="endless.json"), folder, MODEL_LATENCY_SECONDS)
    tally = Tally(loaded.parameters)

    async def every_session() -> None:
        for number in range(sessions):
            start = rehearsal_start(loaded, loaded.first, 1, number)
            await run_session(start, provider, NoLog(), tally, SilentParticipant())

    run_in_virtual_time(every_session())
    return tally


@pytest.mark.parametrize(("rate", "minutes", "sessions"), [(0.5, 300, 800), (6, 60, 334), (20, 60, 100)])
def test_the_delivered_rate_is_the_configured_one(tmp_path: Path, rate, minutes, sessions):
    tally = rehearsed(tmp_path, sessions=sessions, messages_per_minute=rate, session_duration_minutes=minutes)
    delivered = tally.background_per_session * sessions
    assert 1 / sqrt(delivered) < 0.003  # the standard error, relative; the draws are a little less than Poisson
    assert tally.mean_delay_seconds > MODEL_LATENCY_SECONDS
    assert not tally.dropped
    expected = rate * (minutes - tally.mean_delay_seconds / 60)
    assert tally.background_per_session == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(("probability", "least", "most"), [(0.7, 6860, 7140), (0, 0, 0), (1, 10_000, 10_000)])
def test_ten_thousand_messages_draw_their_share_of_reactions(probability, least, most):
    chat = Chat(user_response_probability=probability)
    for number in range(10_000):
        chat.now = number * 0.05
        chat.participant_posts("hello")
    assert least <= len(chat.plans) <= most


def test_agents_of_equal_chattiness_speak_equally():
    senders: Counter[str] = Counter()
    for seed in range(40):
        chat = Chat(seed, messages_per_minute=60, latency=1)
        chat.runs_to_its_end()
        senders.update(message.sender for message in chat.messages)
    for name in FIVE_AGENTS:
        assert senders[name] / senders.total() == pytest.approx(0.2, abs=0.006)
