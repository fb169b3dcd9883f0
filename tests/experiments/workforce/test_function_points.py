"""Function points by the published weights, and nothing where there is nothing to count."""

from __future__ import annotations

import pytest

from experiments.workforce.function_points import FunctionPointEstimate, estimate
from simulation.workforce.answers import COMPLEXITIES, FUNCTION_TYPES
from simulation.workforce.events import AgentAnswered

PUBLISHED = {"EI": (3, 4, 6), "EO": (4, 5, 7), "EQ": (3, 4, 6), "ILF": (7, 10, 15), "EIF": (5, 7, 10)}
RATED_3 = {"general_system_characteristics": [3] * 14}


def function(name: str, kind: str = "EI", complexity: str = "low", description: str = "") -> dict:
    return {"function_name": name, "function_type": kind, "complexity": complexity, "description": description}


def answer(*functions: dict) -> AgentAnswered:
    return AgentAnswered(elapsed=1.0, turn_id="t", agent_name="pm", turn_number=1, content="Yes.", functions=functions)


def counted(*functions: dict, **context) -> FunctionPointEstimate:
    found = estimate([answer(*functions)], context)
    assert found is not None
    return found


@pytest.mark.parametrize("kind", FUNCTION_TYPES)
@pytest.mark.parametrize("complexity", COMPLEXITIES)
def test_each_function_has_its_published_points(kind, complexity):
    found = counted(function("Log in", kind, complexity))
    assert found.function_points[0].fp_count == PUBLISHED[kind][COMPLEXITIES.index(complexity)]


def test_without_characteristics_and_rate_the_count_stands_unadjusted_and_without_a_price():
    found = counted(function("Log in", "EI", "average"), function("Users", "ILF", "low"))
    assert (found.unadjusted_fp, found.total_function_points) == (11, 11)
    assert (found.estimated_hours, found.estimated_days) == (99, 12.375)
    assert (found.value_adjustment_factor, found.adjusted_fp) == (None, None)
    assert (found.hourly_rate, found.estimated_cost) == (None, None)
    assert found.basis == {
        "total_function_points": "unadjusted_fp",
        "estimated_hours": "unadjusted_fp x 9 h",
        "value_adjustment_factor": "the context has no general_system_characteristics",
        "adjusted_fp": "the context has no general_system_characteristics",
        "hourly_rate": "the context has no hourly_rate",
        "estimated_cost": "the context has no hourly_rate",
    }


def test_fourteen_characteristics_adjust_the_count():
    found = counted(function("Users", "ILF", "average"), **RATED_3, hourly_rate=100)
    assert (found.value_adjustment_factor, found.adjusted_fp, found.total_function_points) == (1.07, 10.7, 10.7)
    assert (found.estimated_hours, found.estimated_cost, found.hourly_rate) == (96.3, 9630, 100)
    assert found.basis == {"total_function_points": "adjusted_fp", "estimated_hours": "adjusted_fp x 9 h"}


@pytest.mark.parametrize(("rating", "factor"), [(0, 0.65), (5, 1.35)])
def test_the_factor_lies_between_its_published_ends(rating, factor):
    found = counted(function("A"), general_system_characteristics=[rating] * 14)
    assert found.value_adjustment_factor == factor


@pytest.mark.parametrize(
    "given",
    [
        [3] * 13,
        [3] * 15,
        [3] * 13 + [6],
        [3] * 13 + [-1],
        [3] * 13 + [True],
        ["3"] * 14,
        "3" * 14,
        42,
        {},
        [10**400] * 14,
    ],
)
def test_other_characteristics_are_refused_with_a_reason(given):
    found = counted(function("A"), general_system_characteristics=given)
    assert found.value_adjustment_factor is None
    assert "14 numbers from 0 to 5" in found.basis["adjusted_fp"]


@pytest.mark.parametrize("given", [0, -1, True, "100", [], float("inf"), float("nan"), 10**400])
def test_other_rates_are_refused_with_a_reason(given):
    found = counted(function("A"), hourly_rate=given)
    assert (found.hourly_rate, found.estimated_cost) == (None, None)
    assert "no number above 0" in found.basis["estimated_cost"]


def test_a_function_named_again_counts_once_as_it_was_named_last():
    answers = [answer(function("Log in", "EI", "low", "by password")), answer(function("log  IN", "EQ", "high"))]
    found = estimate(answers, {})
    assert found is not None
    (only,) = found.function_points
    assert (only.function_name, only.function_type, only.complexity, only.fp_count) == ("Log in", "EQ", "high", 6)
    assert only.description == "by password"


def test_no_functions_no_estimate():
    assert estimate([answer()], RATED_3) is None
    assert estimate([], RATED_3) is None
