"""What an experiment will come to, before anybody is recruited: calls, tokens and cost, against its limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from experiments.expectations import NO_PROMPTS, Expectation, expectation, prompt_sizes
from experiments.experiment import Experiment
from simulation.errors import GenerationError
from simulation.llm.pricing import PriceList

SESSIONS_WITHOUT_QUOTAS = 100
"""For how many sessions calls and cost are told where no quotas say how many there will be."""


@dataclass(frozen=True, slots=True)
class Total:
    """`sessions` by condition: those that the quotas want (`by_quota`), else SESSIONS_WITHOUT_QUOTAS by the weights."""

    sessions: Mapping[str, float]
    by_quota: bool
    calls: float
    tokens: float | None
    cost: float | None


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of the budget. `expected` is what a session, or the experiment if its quotas say how large it is, comes
    to; None where that is not known. `sessions` is how many it is enough for. `condition` is the one that comes
    nearest to a limit per session.
    """

    key: str
    limit: float
    expected: float | None
    sessions: float | None
    condition: str | None = None

    @property
    def is_reached(self) -> bool:
        too_many = self.expected is not None and self.expected >= self.limit
        return too_many or (self.sessions is not None and self.sessions < 1)


@dataclass(frozen=True, slots=True)
class Review:
    """`sessions_at_once` is how many the requests_per_minute carry, None where there is no such limit, or no call;
    `problem` says why prompts have no size, if so.
    """

    expectations: Mapping[str, Expectation]
    total: Total
    limits: tuple[Limit, ...]
    sessions_at_once: float | None
    problem: str | None


def review(experiment: Experiment, prices: PriceList | None, seed: int = 0) -> Review:
    """Work out what an experiment, whose models are settled, comes to. Rehearses sessions: takes a moment."""
    try:
        sizes, problem = prompt_sizes(experiment, seed), None
    except GenerationError as error:
        sizes, problem = {}, f"no session could be rehearsed, so the size of prompts is not known: {error}"
    expectations = {
        name: expectation(condition, sizes.get(condition.parameters, NO_PROMPTS), prices)
        for name, condition in experiment.conditions.items()
    }
    total = _total(experiment, expectations)
    limits = tuple(_limits(experiment, expectations, total))
    return Review(expectations, total, limits, _sessions_at_once(experiment, expectations), problem)


# The experiment


def shares(experiment: Experiment) -> dict[str, float]:
    """Return which part of the sessions comes to each condition, by the weights of the assignment."""
    weights = dict(experiment.allocation(seed=0).weights)
    return {name: weight / sum(weights.values()) for name, weight in weights.items()}


def _total(experiment: Experiment, expectations: Mapping[str, Expectation]) -> Total:
    quotas = experiment.settings.assignment.quotas
    by_quota = set(quotas) == set(expectations)
    sessions = quotas if by_quota else {n: s * SESSIONS_WITHOUT_QUOTAS for n, s in shares(experiment).items()}
    calls, tokens, cost = (_sum(sessions, expectations, what) for what in ("calls", "tokens", "cost"))
    return Total(dict(sessions), by_quota, calls or 0.0, tokens, cost)


def _sum(weights: Mapping[str, float], expectations: Mapping[str, Expectation], what: str) -> float | None:
    """Return the weighted sum; None where a part of it is not known."""
    parts = [(weights[name], getattr(each, what)) for name, each in expectations.items()]
    return None if any(part is None for _, part in parts) else float(sum(weight * part for weight, part in parts))


def _limits(experiment: Experiment, expectations: Mapping[str, Expectation], total: Total) -> Iterator[Limit]:
    """Yield the limits that the budget has, with what is expected; those per session may differ between conditions."""
    budget = experiment.parameters.budget
    for what in ("calls", "tokens", "cost"):
        yield from _per_session(what, expectations)
        mean, planned = _sum(shares(experiment), expectations, what), getattr(total, what) if total.by_quota else None
        for key, expected in ((f"{what}_per_experiment", planned), (f"{what}_per_day", None)):
            limit = getattr(budget, key)
            if limit is not None:
                yield Limit(key, limit, expected, limit / mean if mean else None)


def _per_session(what: str, expectations: Mapping[str, Expectation]) -> Iterator[Limit]:
    """Yield each limit once, with the condition that needs most of it."""
    key = f"{what}_per_session"
    worst: dict[float, Limit] = {}
    for name, each in expectations.items():
        limit, expected = getattr(each.condition.parameters.budget, key), getattr(each, what)
        if limit is not None and (limit not in worst or (expected or 0) > (worst[limit].expected or 0)):
            worst[limit] = Limit(key, limit, expected, limit / expected if expected else None, name)
    yield from worst.values()


def _sessions_at_once(experiment: Experiment, expectations: Mapping[str, Expectation]) -> float | None:
    """Return how many sessions the rate limit carries; it holds for each model by itself."""
    limit = experiment.parameters.gateway.requests_per_minute
    calls_per_minute: dict[str, float] = {}
    for name, share in shares(experiment).items():
        each = expectations[name]
        if each.is_on_the_wire:
            calls_per_minute[each.model] = calls_per_minute.get(each.model, 0.0) + share * each.calls_per_minute
    busiest = max(calls_per_minute.values(), default=0.0)
    return limit / busiest if limit and busiest else None


# What a reviewer should not have to find out


def review_warnings(experiment: Experiment, review: Review) -> Iterator[str]:
    """Yield what will probably not be as it was meant, with the figure."""
    if review.problem:
        yield review.problem
    yield from (_limit_warning(limit, review.total) for limit in review.limits if limit.is_reached)
    yield from _rate_warnings(experiment, review.sessions_at_once)
    yield from _late_stimuli(review.expectations)
    yield from _without_quota(experiment)


def _limit_warning(limit: Limit, total: Total) -> str:
    what, _, book = limit.key.partition("_per_")
    start = f"budget.{limit.key}: {figure(what, limit.limit)} will be reached: "
    if book == "session":
        part = f"after {limit.sessions or 0:.0%} of it the agents fall silent"
        return f"{start}a session of {limit.condition} comes to about {about(what, limit.expected or 0)}, so {part}"
    after = f"no session begins after about {limit.sessions or 0:.0f}"
    if limit.expected is None:
        return f"{start}it is not enough for one session, so agents fall silent in the first"
    sessions = sum(total.sessions.values())
    return f"{start}{sessions:g} sessions come to about {about(what, limit.expected)}, so {after}"


def figure(what: str, amount: float) -> str:
    """Return an amount of calls, tokens or cost as one would write it."""
    decimals = 0 if what != "cost" or not amount or amount >= 1000 else 2 if amount >= 1 else 4
    return f"{amount:,.{decimals}f}"


def about(what: str, amount: float) -> str:
    """Return an estimated amount, of which more than three digits would be more than we know."""
    return figure(what, float(f"{amount:.3g}"))


def _rate_warnings(experiment: Experiment, at_once: float | None) -> Iterator[str]:
    if at_once is None:
        return
    limit, most = experiment.parameters.gateway.requests_per_minute, experiment.entry.max_live_sessions
    carries = f"language_model.requests_per_minute: {limit:g} carries about {at_once:.1f} sessions at once"
    if at_once < 1:
        yield f"{carries}: not even one; answers will be late or missing. Raise it, or lower messages_per_minute"
    elif most is not None and at_once < most:
        yield f"{carries}, and entry.max_live_sessions lets {most:,} in: answers will be late or missing"


def _late_stimuli(expectations: Mapping[str, Expectation]) -> Iterator[str]:
    """Say which stimuli wait for more messages than a session is expected to have."""
    late: dict[tuple[int, int], list[str]] = {}
    for name, each in expectations.items():
        for index, stimulus in enumerate(each.condition.parameters.stimuli):
            if (stimulus.after_messages or 0) > each.messages:
                late.setdefault((index, stimulus.after_messages or 0), []).append(name)
    for (index, messages), names in late.items():
        most = max(expectations[name].messages for name in names)
        yield (
            f"stimuli[{index}] follows {messages:,} messages, and a session of {', '.join(names)} has about "
            f"{most:.0f}: in many sessions it will not come"
        )


def _without_quota(experiment: Experiment) -> Iterator[str]:
    quotas = experiment.settings.assignment.quotas
    without = [name for name in experiment.conditions if name not in quotas]
    if quotas and without:
        yield f"assignment.quotas: none for {', '.join(without)}, so the experiment is never full"
