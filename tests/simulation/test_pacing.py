from __future__ import annotations

import math

import pytest
from chatrooms import parameters

from simulation import pacing
from simulation.parameters import ActWeights, Timing


def ticks(count: int, seed: int = 1, **changes) -> list[float]:
    chosen = parameters(**changes)
    moments, last = [], 0.0
    for number in range(count):
        last = pacing.next_post_at(chosen, seed, number, last)
        moments.append(last)
    return moments


@pytest.mark.parametrize("rate", [0.5, 6, 20, 59, 60, 61, 150, 600])
def test_the_configured_rate_is_drawn(rate):
    count = 120_000
    seconds = ticks(count, messages_per_minute=rate)[-1]
    assert count / seconds * 60 == pytest.approx(rate, rel=0.01)


def test_gaps_are_geometric():
    moments = ticks(200_000, messages_per_minute=6)
    gaps = [round(b - a) for a, b in zip([0.0, *moments], moments, strict=False)]
    for length in (1, 2, 5, 10):
        expected = 0.1 * 0.9 ** (length - 1)
        assert gaps.count(length) / len(gaps) == pytest.approx(expected, abs=0.002)


def test_ticks_are_whole_seconds_up_to_sixty_a_minute():
    assert all(moment == int(moment) for moment in ticks(100, messages_per_minute=60))


def test_the_smallest_rates_are_just_rare():
    for rate in (1e-9, 1e-310):
        assert pacing.next_post_at(parameters(messages_per_minute=rate), 1, 0, 0.0) > 86_400


def test_no_rate_no_posts():
    assert pacing.next_post_at(parameters(messages_per_minute=0), 1, 0, 0.0) == math.inf


def test_emoji_reactions_come_on_top_of_the_message_rate():
    weights = ActWeights(message=0.75, reply=0, mention=0, reaction=0.25)
    chosen = parameters(messages_per_minute=6, act_weights=weights)
    assert pacing.draws_per_second(chosen) * 0.75 * 60 == pytest.approx(6)


def test_same_seed_same_draws_and_other_seed_others():
    assert ticks(50, messages_per_minute=6) == ticks(50, messages_per_minute=6)
    assert ticks(50, messages_per_minute=6) != ticks(50, seed=2, messages_per_minute=6)


def test_pace_is_1_on_average():
    random = pacing.draws(1, "test", 0)
    paces = [pacing.draw_pace(Timing(spread=0.25), random) for _ in range(50_000)]
    assert sum(paces) / len(paces) == pytest.approx(1, abs=0.005)


def test_scale_0_is_at_once():
    timing = Timing(scale=0)
    assert pacing.reading_seconds(timing, 1, 500) == 0
    moments = pacing.answer_moments(timing, 1, ready_to_type_at=7, arrived_at=9, characters=500)
    assert moments == (9, 9)


def test_typing_is_never_longer_than_the_most():
    timing = Timing(typing_most_seconds=20)
    moments = pacing.answer_moments(timing, 1, ready_to_type_at=0, arrived_at=0, characters=4000)
    assert moments == (0, 20)


def test_load_says_how_many_agents_are_busy():
    load = pacing.expected_load(parameters(messages_per_minute=60, timing=Timing(scale=0)), model_latency=8)
    assert load.busy_agents == pytest.approx(8)
    assert not load.is_sustainable
    assert pacing.expected_load(parameters(messages_per_minute=6, timing=Timing()), model_latency=8).is_sustainable
