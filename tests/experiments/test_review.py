"""What an experiment will come to is told beforehand, and a rehearsal comes to the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from folders import experiment

from experiments.expectations import OUTPUT_TOKENS_PER_CALL, Expectation, participant_messages
from experiments.experiment import Experiment
from experiments.prompting import all_prompts
from experiments.rehearsal import rehearse
from experiments.review import Review, about, review, review_warnings
from simulation.llm.pricing import Price, PriceList

PRICES = PriceList("USD", "2026-11-24", {"gemini": {"flash": Price(input=1.0, output=10.0)}})
GEMINI = {"provider": "gemini", "model": "flash"}


def reviewed(folder: Path, **changes: Any) -> tuple[Experiment, Review]:
    loaded = experiment(folder, **changes)
    return loaded, review(loaded, PRICES)


def expected(folder: Path, **changes: Any) -> Expectation:
    """Return what a session of the only condition comes to."""
    (only,) = reviewed(folder, **changes)[1].expectations.values()
    return only


def warnings(folder: Path, **changes: Any) -> list[str]:
    return [*review_warnings(*reviewed(folder, **changes))]


# A session


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"messages_per_minute": 15, "session_duration_minutes": 8},
        {"timing": {"scale": 0}, "user_response_probability": 1},
        {"act_weights": {"reaction": 0.5}, "session_duration_minutes": 5},
        {"messages_per_minute": 0},
    ],
)
def test_a_rehearsal_comes_to_what_was_expected(tmp_path: Path, changes):
    sessions = 150
    each = expected(tmp_path / "config", **changes)
    (tally,) = rehearse(experiment(tmp_path / "config", **changes), sessions=sessions, out=tmp_path, seed=5).values()
    of_their_own = tally.messages_by_cause["background"] / sessions
    assert of_their_own == pytest.approx(each.background_messages, rel=0.04)
    assert tally.participant_messages / sessions == pytest.approx(each.participant_messages, rel=0.06)
    assert tally.messages_by_cause["reaction"] / sessions == pytest.approx(each.reactions, rel=0.08)


def test_calls_are_what_a_rehearsal_asks(tmp_path: Path):
    loaded, found = reviewed(tmp_path)
    asked = [len(all_prompts(loaded, loaded.first, seed)) for seed in range(40)]
    assert sum(asked) / len(asked) == pytest.approx(found.expectations["default"].calls, rel=0.04)


def test_the_participant_writes_as_the_rehearsed_one_does():
    assert participant_messages(0) == 0
    assert participant_messages(15) == pytest.approx(0.63 + 0.12, abs=0.01)
    assert participant_messages(900) == pytest.approx(1 + (900 - 15) / 45, abs=0.01)


def test_a_rate_that_agents_cannot_keep_is_not_expected(tmp_path: Path):
    each = expected(tmp_path, messages_per_minute=120, timing={"scale": 2}, user_response_probability=0)
    (tally,) = rehearse(
        experiment(tmp_path, messages_per_minute=120, timing={"scale": 2}, user_response_probability=0),
        sessions=10,
        out=tmp_path,
    ).values()
    assert each.background_messages < 400
    assert tally.messages_by_cause["background"] / 10 == pytest.approx(each.background_messages, rel=0.3)


def test_prompts_are_measured_with_the_code_that_asks(tmp_path: Path):
    template = "A word of advice. " * 200
    short, long = expected(tmp_path / "a"), expected(tmp_path / "b", prompt_template=template)
    assert short.prompt_tokens is not None
    assert long.prompt_tokens is not None
    assert long.prompt_tokens - short.prompt_tokens == pytest.approx(len(template) / 4, rel=0.05)
    assert (long.longest_prompt_tokens or 0) > long.prompt_tokens


def test_a_window_of_nothing_makes_prompts_of_one_length(tmp_path: Path):
    each = expected(tmp_path, context_window_size=0, act_weights={"reply": 0, "mention": 0})
    assert each.prompt_tokens == pytest.approx(each.longest_prompt_tokens or 0, rel=0.02)


def test_whoever_is_never_asked_costs_nothing(tmp_path: Path):
    each = expected(tmp_path, messages_per_minute=0, user_response_probability=0, language_model=GEMINI)
    assert (each.calls, each.prompt_tokens, each.tokens, each.cost) == (0, None, 0, 0)


def test_long_sessions_are_rehearsed_in_part(tmp_path: Path):
    late = {"at_seconds": 80_000, "agent": "Bob", "content": "Good night"}
    each = expected(tmp_path, messages_per_minute=300, session_duration_minutes=1440, experimental={"stimuli": [late]})
    assert 0 < each.prompts_until < 1440 * 60
    assert each.calls > 40_000
    assert each.stimuli == 1


def test_cost_is_of_prompts_and_of_short_answers(tmp_path: Path):
    each = expected(tmp_path, language_model=GEMINI)
    assert each.prompt_tokens is not None
    assert each.cost == pytest.approx(each.calls * (each.prompt_tokens + 10 * OUTPUT_TOKENS_PER_CALL) / 1e6)
    assert each.tokens == pytest.approx(each.calls * (each.prompt_tokens + OUTPUT_TOKENS_PER_CALL))


def test_a_model_without_a_price_has_no_cost_and_the_scripted_one_none_to_pay(tmp_path: Path):
    assert expected(tmp_path / "a", language_model=GEMINI | {"model": "other"}).cost is None
    assert expected(tmp_path / "b").cost == 0
    loaded = experiment(tmp_path / "c", language_model=GEMINI)
    assert review(loaded, None).expectations["default"].cost is None


# The experiment


TWO = {"civil": {}, "rude": {"simulation": {"messages_per_minute": 12}}}


def test_quotas_say_how_many_sessions_there_will_be(tmp_path: Path):
    design = {"conditions": TWO, "assignment": {"quotas": {"civil": 10, "rude": 30}}}
    _, found = reviewed(tmp_path, experimental=design)
    civil, rude = found.expectations.values()
    assert found.total.by_quota
    assert found.total.calls == pytest.approx(10 * civil.calls + 30 * rude.calls)


def test_without_quotas_a_hundred_sessions_come_by_the_weights(tmp_path: Path):
    design = {"conditions": TWO, "assignment": {"weights": {"rude": 3}}}
    _, found = reviewed(tmp_path, experimental=design)
    assert not found.total.by_quota
    assert found.total.sessions == {"civil": 25, "rude": 75}


def test_what_is_not_known_of_one_condition_is_not_known_of_all(tmp_path: Path):
    unpriced = {"simulation": {"language_model": {"model": "other"}}}
    _, found = reviewed(tmp_path, language_model=GEMINI, experimental={"conditions": {"a": {}, "b": unpriced}})
    assert found.expectations["a"].cost
    assert found.total.cost is None
    assert found.total.tokens


# Limits


def test_no_limit_no_word_of_it(tmp_path: Path):
    loaded, found = reviewed(tmp_path)
    assert (found.limits, found.sessions_at_once, [*review_warnings(loaded, found)]) == ((), None, [])


def test_a_limit_of_a_session_is_held_against_the_condition_that_needs_most(tmp_path: Path):
    _, found = reviewed(tmp_path, budget={"calls_per_session": 150}, experimental={"conditions": TWO})
    (limit,) = found.limits
    assert (limit.key, limit.condition, limit.is_reached) == ("calls_per_session", "rude", True)
    assert limit.expected == pytest.approx(found.expectations["rude"].calls)


def test_conditions_may_have_limits_of_their_own(tmp_path: Path):
    rude = {"simulation": {"messages_per_minute": 12, "budget": {"calls_per_session": 400}}}
    _, found = reviewed(
        tmp_path, budget={"calls_per_session": 150}, experimental={"conditions": {"civil": {}, "rude": rude}}
    )
    assert [(limit.limit, limit.condition, limit.is_reached) for limit in found.limits] == [
        (150, "civil", False),
        (400, "rude", False),
    ]


QUOTAS = {"assignment": {"quotas": {"default": 100}}}
REACHED: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"calls_per_session": 50}, {}, "a session of default comes to about 104, so after 48% of it the agents fall"),
    ({"calls_per_experiment": 1000}, QUOTAS, "100 sessions come to about 10,400, so no session begins after about 10"),
    ({"calls_per_experiment": 60}, {}, "it is not enough for one session"),
    ({"tokens_per_day": 5000}, {}, "it is not enough for one session"),
    ({"cost_per_experiment": 0.5}, QUOTAS, "budget.cost_per_experiment: 0.5000 will be reached"),
]
ENOUGH: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"calls_per_session": 200}, {}),
    ({"calls_per_experiment": 20_000}, QUOTAS),
    ({"calls_per_experiment": 1000}, {}),
    ({"cost_per_experiment": 500, "tokens_per_day": 1_000_000, "cost_per_session": 1}, QUOTAS),
]


@pytest.mark.parametrize(("budget", "design", "message"), REACHED)
def test_a_limit_that_will_be_reached_is_warned_of_with_the_figure(tmp_path: Path, budget, design, message):
    (warning,) = warnings(tmp_path, budget=budget, language_model=GEMINI, experimental=design)
    assert message in warning


@pytest.mark.parametrize(("budget", "design"), ENOUGH)
def test_a_limit_that_is_enough_is_not(tmp_path: Path, budget, design):
    assert warnings(tmp_path, budget=budget, language_model=GEMINI, experimental=design) == []


def test_a_limit_on_a_cost_that_is_not_known_says_nothing(tmp_path: Path):
    _, found = reviewed(tmp_path, budget={"cost_per_session": 1}, language_model=GEMINI | {"model": "other"})
    (limit,) = found.limits
    assert (limit.expected, limit.sessions, limit.is_reached) == (None, None, False)


def test_requests_per_minute_carry_so_many_sessions_at_once(tmp_path: Path):
    _, found = reviewed(tmp_path, language_model=GEMINI | {"requests_per_minute": 70})
    assert found.sessions_at_once == pytest.approx(70 / found.expectations["default"].calls_per_minute)
    assert found.sessions_at_once == pytest.approx(10, abs=0.3)


def test_each_model_has_its_own_requests(tmp_path: Path):
    other = {"simulation": {"language_model": {"model": "other"}}}
    chosen = GEMINI | {"requests_per_minute": 70}
    _, found = reviewed(tmp_path, language_model=chosen, experimental={"conditions": {"a": {}, "b": other}})
    assert found.sessions_at_once == pytest.approx(20, abs=0.6)


@pytest.mark.parametrize(
    ("requests", "most", "message"),
    [(5, None, "not even one"), (70, 50, "about 10.1 sessions at once, and entry.max_live_sessions lets 50 in")],
)
def test_a_rate_that_does_not_carry_the_sessions_is_warned_of(tmp_path: Path, requests, most, message):
    chosen, entry = GEMINI | {"requests_per_minute": requests}, {"max_live_sessions": most} if most else {}
    (warning,) = warnings(tmp_path, language_model=chosen, experimental={"entry": entry})
    assert message in warning
    assert warnings(tmp_path, language_model=GEMINI | {"requests_per_minute": 700}, experimental={"entry": entry}) == []


# What else


def test_a_stimulus_that_waits_for_more_messages_than_there_will_be_is_warned_of(tmp_path: Path):
    early, late = ({"after_messages": n, "agent": "Bob", "content": "Hm"} for n in (5, 500))
    (warning,) = warnings(tmp_path, experimental={"stimuli": [early, late]})
    assert "stimuli[1] follows 500 messages" in warning
    assert "has about 126" in warning


def test_a_condition_without_a_quota_beside_others_with_one_is_warned_of(tmp_path: Path):
    design = {"conditions": TWO, "assignment": {"quotas": {"civil": 10}}}
    (warning,) = warnings(tmp_path, experimental=design)
    assert "none for rude" in warning


def test_a_script_that_cannot_be_used_leaves_prompts_without_a_size(tmp_path: Path):
    (tmp_path / "bad.json").write_text("{}")
    loaded, found = reviewed(tmp_path, language_model={"provider": "scripted", "script": "bad.json"})
    assert found.expectations["default"].prompt_tokens is None
    assert found.expectations["default"].tokens is None
    (warning,) = review_warnings(loaded, found)
    assert "bad.json: there is nothing to say" in warning


@pytest.mark.parametrize(
    ("what", "amount", "text"),
    [
        ("calls", 104.4, "104"),
        ("calls", 13_436, "13,400"),
        ("tokens", 19_985_324, "20,000,000"),
        ("cost", 0.01234, "0.0123"),
        ("cost", 2.0899, "2.09"),
        ("cost", 1234.5, "1,230"),
        ("cost", 0.0, "0"),
    ],
)
def test_estimates_have_three_digits(what, amount, text):
    assert about(what, amount) == text
