"""The size of the software that the agents have named, in function points by the public IFPUG weights.

The functions, their types and their complexities are the agents' own; counting and adding is all that is done here.
Albrecht 1979, "Measuring application development productivity", is the method; the weights and the adjustment are those
of the IFPUG Function Point Counting Practices Manual, release 4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from experiments.workforce.tasks import folded
from simulation.workforce.answers import COMPLEXITIES
from simulation.workforce.events import AgentAnswered

WEIGHTS: Mapping[str, tuple[int, int, int]] = {
    "EI": (3, 4, 6),
    "EO": (4, 5, 7),
    "EQ": (3, 4, 6),
    "ILF": (7, 10, 15),
    "EIF": (5, 7, 10),
}
"""Points of a function by its type: of low, average and high complexity (IFPUG)."""
CHARACTERISTICS = "general_system_characteristics"
COUNT_OF_CHARACTERISTICS = 14
HOURS_PER_POINT = 9
HOURS_PER_DAY = 8
MOST_PER_HOUR = 1e9
NO_ESTIMATE = "no agent has named a function of the software with its type and complexity"

FORMULAS: Mapping[str, str] = {
    "fp_count": "Points by type and complexity (low/average/high), IFPUG: "
    + ", ".join(f"{kind} {'/'.join(map(str, weights))}" for kind, weights in WEIGHTS.items())
    + ".",
    "function_points": "Functions are joined by name (case and spaces folded); the latest statement holds.",
    "unadjusted_fp": "The sum of fp_count.",
    "value_adjustment_factor": f"0.65 + 0.01 x the sum of the 14 general system characteristics, each 0 to 5 (IFPUG), "
    f"from the context's {CHARACTERISTICS}.",
    "adjusted_fp": "unadjusted_fp x value_adjustment_factor.",
    "total_function_points": "adjusted_fp if there is a factor, else unadjusted_fp.",
    "estimated_hours": f"total_function_points x {HOURS_PER_POINT} h: a convention, measured nowhere.",
    "estimated_days": f"estimated_hours / {HOURS_PER_DAY}.",
    "hourly_rate": "The context's hourly_rate.",
    "estimated_cost": "estimated_hours x hourly_rate, in the currency of the rate.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionPoint:
    function_name: str
    function_type: str
    complexity: str
    fp_count: int
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionPointEstimate:
    """`basis` says why a number is None, and what the total and the hours rest on."""

    total_function_points: float
    unadjusted_fp: int
    value_adjustment_factor: float | None
    adjusted_fp: float | None
    function_points: tuple[FunctionPoint, ...]
    estimated_hours: float
    estimated_days: float
    estimated_cost: float | None
    hourly_rate: float | None
    basis: Mapping[str, str] = field(default_factory=dict)


def estimate(answers: Iterable[AgentAnswered], context: Mapping[str, Any]) -> FunctionPointEstimate | None:
    """Return the count over `answers` (oldest first), in the `context` that holds; None for the reason NO_ESTIMATE."""
    functions = _functions(answers)
    if not functions:
        return None
    factor, rate = _factor(context), _rate(context)
    unadjusted = sum(each.fp_count for each in functions)
    adjusted = None if factor.value is None else round(unadjusted * factor.value, 4)
    total = float(unadjusted) if adjusted is None else adjusted
    hours = round(total * HOURS_PER_POINT, 4)
    used = "unadjusted_fp" if adjusted is None else "adjusted_fp"
    return FunctionPointEstimate(
        total_function_points=total,
        unadjusted_fp=unadjusted,
        value_adjustment_factor=factor.value,
        adjusted_fp=adjusted,
        function_points=functions,
        estimated_hours=hours,
        estimated_days=round(hours / HOURS_PER_DAY, 4),
        estimated_cost=None if rate.value is None else round(hours * rate.value, 2),
        hourly_rate=rate.value,
        basis={
            "total_function_points": used,
            "estimated_hours": f"{used} x {HOURS_PER_POINT} h",
            **({"value_adjustment_factor": factor.reason, "adjusted_fp": factor.reason} if factor.reason else {}),
            **({"hourly_rate": rate.reason, "estimated_cost": rate.reason} if rate.reason else {}),
        },
    )


def _functions(answers: Iterable[AgentAnswered]) -> tuple[FunctionPoint, ...]:
    counted: dict[str, FunctionPoint] = {}
    for answer in answers:
        for stated in answer.functions:
            key = folded(stated["function_name"])
            counted[key] = _counted(stated, counted.get(key))
    return tuple(counted.values())


def _counted(stated: Mapping[str, Any], before: FunctionPoint | None) -> FunctionPoint:
    kind, complexity = stated["function_type"], stated["complexity"]
    return FunctionPoint(
        function_name=before.function_name if before else stated["function_name"],
        function_type=kind,
        complexity=complexity,
        fp_count=WEIGHTS[kind][COMPLEXITIES.index(complexity)],
        description=stated.get("description") or (before.description if before else ""),
    )


class _Given(NamedTuple):
    """A number of the context, or why there is none."""

    value: float | None
    reason: str = ""


def _factor(context: Mapping[str, Any]) -> _Given:
    given = context.get(CHARACTERISTICS)
    if given is None:
        return _Given(None, f"the context has no {CHARACTERISTICS}")
    is_list = isinstance(given, list | tuple) and len(given) == COUNT_OF_CHARACTERISTICS
    if not is_list or not all(_is_number(each) and 0 <= each <= 5 for each in given):
        return _Given(
            None, f"the context's {CHARACTERISTICS} is no list of {COUNT_OF_CHARACTERISTICS} numbers from 0 to 5"
        )
    return _Given(round(0.65 + 0.01 * sum(given), 4))


def _rate(context: Mapping[str, Any]) -> _Given:
    given = context.get("hourly_rate")
    if given is None:
        return _Given(None, "the context has no hourly_rate")
    if not _is_number(given) or not 0 < given <= MOST_PER_HOUR:
        return _Given(None, f"the context's hourly_rate is no number above 0 (and at most {MOST_PER_HOUR:.0f})")
    return _Given(float(given))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
