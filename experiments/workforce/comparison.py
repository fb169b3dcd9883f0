"""A what-if, compared: what the modified branch has that its base branch has not, turn by turn and role by role.

Nothing is predicted beyond what was played. With one run a difference is an observation; with several, the share of the
runs in which it came is told, and how far the runs lie apart. Texts are compared as they stand (actions, risks and
opportunities with case and spaces folded), never by their meaning.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from statistics import fmean, stdev
from typing import NamedTuple

from experiments.workforce.tasks import folded
from simulation.workforce.events import AgentAnswered, RoundCompleted

FORMULAS: Mapping[str, str] = {
    "predicted_outcomes.summary": "The coordinator's summary in the modified branch of run 1.",
    "predicted_outcomes.changed": "Whether in any run an answer, or the coordinator's, differs from the base branch's.",
    "predicted_outcomes.probability": "Runs in which it does / all runs; None with a single run.",
    "predicted_outcomes.actions_added": "Actions that a role proposes in the modified branch and not in the base "
    "branch of the same run, at the same turn; actions_dropped the other way round.",
    "predicted_outcomes.risk_factors": "Risks named in the modified branches at this turn, first those that no base "
    "branch names at any turn; opportunities likewise.",
    "confidence": "Mean over the agents that gave one and over runs; difference = modified - base; spread = sample "
    "standard deviation over runs of the run's own difference.",
    "agent_analyses.confidence": "Mean over turns and runs of what the role gave in the modified branches.",
    "overall_confidence": "Mean over turns, runs and roles of what was given in the modified branches.",
    "recommendation": "The coordinator's next action at the last turn of the modified branch of run 1; means and "
    "counts as above, over all turns.",
}
ONE_RUN = "a single run shows no share and no spread: ask for more runs"
NOBODY = "no agent gave a confidence"
SAID = ("content", "reasoning", "actions", "directed_to", "confidence", "risks", "opportunities", "tasks", "functions")
"""What makes two answers differ: not when or by whom they were generated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedRound:
    turn_number: int
    answers: tuple[AgentAnswered, ...]
    completed: RoundCompleted


class Branches(NamedTuple):
    """One run of the what-if: the same turns on both branches, in their order."""

    base: Sequence[PlayedRound]
    modified: Sequence[PlayedRound]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedAction:
    """`runs`: in how many of the runs it was added, or dropped."""

    agent_role: str
    action: str
    runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfidenceChange:
    """0 to 1; `basis` says why a number is None."""

    base: float | None
    modified: float | None
    difference: float | None
    spread: float | None
    basis: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictedOutcome:
    turn: int
    summary: str
    key_changes: tuple[str, ...]
    risk_factors: tuple[str, ...]
    opportunities: tuple[str, ...]
    probability: float | None
    changed: bool
    actions_added: tuple[ProposedAction, ...]
    actions_dropped: tuple[ProposedAction, ...]
    confidence: ConfidenceChange
    basis: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentAnalysis:
    agent_role: str
    impact_assessment: str
    recommended_actions: tuple[str, ...]
    concerns: tuple[str, ...]
    confidence: float | None
    basis: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    predicted_outcomes: tuple[PredictedOutcome, ...]
    agent_analyses: tuple[AgentAnalysis, ...]
    overall_confidence: float | None
    recommendation: str
    basis: Mapping[str, str] = field(default_factory=dict)
    formulas: Mapping[str, str] = field(default_factory=lambda: FORMULAS)


def compare(runs: Sequence[Branches], names: Mapping[str, str]) -> Comparison:
    """Compare the branches of each run; `names` are display names by role.

    Every branch holds the same turns, at least one: else ValueError.
    """
    turns = [each.turn_number for each in runs[0].modified] if runs else []
    if not turns or any([each.turn_number for each in branch] != turns for run in runs for branch in run):
        raise ValueError("every branch of a what-if holds the same turns, at least one")
    grid = [[_Pair(*pair) for pair in zip(run.base, run.modified, strict=True)] for run in runs]
    roles = _roles(grid, names)
    outcomes = tuple(_outcome(grid, place, roles) for place in range(len(turns)))
    overall = _confidence(grid)
    return Comparison(
        predicted_outcomes=outcomes,
        agent_analyses=tuple(_analysis(grid, role, outcomes) for role in roles),
        overall_confidence=overall.modified,
        recommendation=_recommendation(grid, outcomes, overall),
        basis={} if overall.modified is not None else {"overall_confidence": NOBODY},
    )


class _Pair(NamedTuple):
    """One turn of one run."""

    base: PlayedRound
    modified: PlayedRound

    def of(self, role: str) -> tuple[AgentAnswered | None, AgentAnswered | None]:
        return _answer(self.base, role), _answer(self.modified, role)

    def differs(self, role: str) -> bool:
        base, modified = self.of(role)
        if base is None or modified is None:
            return base is not modified
        return any(getattr(base, key) != getattr(modified, key) for key in SAID)

    @property
    def differs_anywhere(self) -> bool:
        spoke = {each.agent_name for side in self for each in side.answers}
        return self.sums_up_differently or any(map(self.differs, spoke))

    @property
    def sums_up_differently(self) -> bool:
        base, modified = self.base.completed, self.modified.completed
        return (base.summary, base.next_action) != (modified.summary, modified.next_action)


_Grid = Sequence[Sequence[_Pair]]
"""Runs, and in each its turns."""


def _answer(played: PlayedRound, role: str) -> AgentAnswered | None:
    return next((each for each in played.answers if each.agent_name == role), None)


def _roles(grid: _Grid, names: Mapping[str, str]) -> dict[str, str]:
    """Return the display names of whoever speaks on either branch: in the order of `names`, then as they spoke."""
    spoke = {each.agent_name: None for run in grid for pair in run for side in pair for each in side.answers}
    ordered = [*(role for role in names if role in spoke), *(role for role in spoke if role not in names)]
    return {role: names.get(role, role) for role in ordered}


def _outcome(grid: _Grid, place: int, roles: Mapping[str, str]) -> PredictedOutcome:
    pairs = [run[place] for run in grid]
    differing = sum(pair.differs_anywhere for pair in pairs)
    return PredictedOutcome(
        turn=pairs[0].modified.turn_number,
        summary=pairs[0].modified.completed.summary,
        key_changes=tuple(_key_changes(pairs, roles)),
        risk_factors=_named(grid, place, "risks", roles),
        opportunities=_named(grid, place, "opportunities", roles),
        probability=None if len(pairs) == 1 else round(differing / len(pairs), 4),
        changed=differing > 0,
        actions_added=_proposed(pairs, roles),
        actions_dropped=_proposed([_Pair(pair.modified, pair.base) for pair in pairs], roles),
        confidence=_confidence([[pair] for pair in pairs]),
        basis={"probability": ONE_RUN} if len(pairs) == 1 else {},
    )


# What changed, in sentences


class _Change(NamedTuple):
    """`values` are the numbers that the sentence is about: on the base and on the modified branch."""

    sentence: str
    values: tuple[float, float] | None = None


def _key_changes(pairs: Sequence[_Pair], roles: Mapping[str, str]) -> Iterator[str]:
    found: dict[str, list[_Change]] = {}
    by_role = (_changes(pair, role, name) for role, name in roles.items() for pair in pairs)
    for changes in (*by_role, *map(_coordinator_changes, pairs)):
        for change in {folded(each.sentence): each for each in changes}.values():
            found.setdefault(folded(change.sentence), []).append(change)
    for same in found.values():
        values = [each.values for each in same if each.values is not None]
        numbers = f": {_both(*map(fmean, zip(*values, strict=True)))}" if values else ""
        yield same[0].sentence + numbers + _in_runs(len(same), len(pairs), " ({})")


def _changes(pair: _Pair, role: str, name: str) -> list[_Change]:
    if not pair.differs(role):
        return []
    base, modified = pair.of(role)
    if base is None or modified is None:
        changes = [_Change(f"{name} speaks only in the {'modified' if base is None else 'base'} branch")]
    else:
        changes = list(_confidence_change(name, base.confidence, modified.confidence))
    changes += [_Change(f"{name} now proposes: {each}") for each in _only(modified, base, "actions")]
    changes += [_Change(f"{name} no longer proposes: {each}") for each in _only(base, modified, "actions")]
    return changes or [_Change(f"{name} answers differently, with the same actions and confidence")]


def _confidence_change(name: str, base: float | None, modified: float | None) -> Iterator[_Change]:
    if base is None and modified is None:
        return
    if base is None or modified is None:
        yield _Change(f"{name} {'now' if base is None else 'no longer'} says how confident it is")
    elif f"{base:.2f}" != f"{modified:.2f}":
        yield _Change(f"{name} is {'less' if modified < base else 'more'} confident", (base, modified))


def _coordinator_changes(pair: _Pair) -> list[_Change]:
    base, modified = pair.base.completed, pair.modified.completed
    if folded(base.next_action or "") != folded(modified.next_action or ""):
        if modified.next_action:
            return [_Change(f"The coordinator's next action is now: {modified.next_action}")]
        return [_Change("The coordinator no longer names a next action")]
    return [_Change("The coordinator sums up differently")] if pair.sums_up_differently else []


def _only(one: AgentAnswered | None, other: AgentAnswered | None, what: str) -> list[str]:
    """Return the texts under `what` that `one` has and `other` has not."""
    there = {folded(each) for each in (getattr(other, what) if other else ())}
    return [each for each in _distinct(getattr(one, what) if one else ()) if folded(each) not in there]


def _distinct(texts: Iterable[str]) -> tuple[str, ...]:
    found: dict[str, str] = {}
    for each in texts:
        found.setdefault(folded(each), each)
    return tuple(found.values())


def _both(base: float, modified: float) -> str:
    return f"{modified:.2f} instead of {base:.2f}"


def _in_runs(count: int, runs: int, form: str) -> str:
    return form.format(f"in {count} of {runs} runs") if runs > 1 else ""


def _proposed(pairs: Sequence[_Pair], roles: Mapping[str, str]) -> tuple[ProposedAction, ...]:
    """Return the actions proposed on the modified branches alone."""
    found: dict[tuple[str, str], list[str]] = {}
    for role in roles:
        for pair in pairs:
            base, modified = pair.of(role)
            for action in _only(modified, base, "actions"):
                found.setdefault((role, folded(action)), []).append(action)
    return tuple(
        ProposedAction(agent_role=role, action=spelled[0], runs=len(spelled)) for (role, _), spelled in found.items()
    )


def _named(grid: _Grid, place: int, what: str, roles: Mapping[str, str]) -> tuple[str, ...]:
    """Return the risks or opportunities of a turn, each with who names it; new ones first."""
    known = {folded(each) for run in grid for pair in run for said in pair.base.answers for each in getattr(said, what)}
    spelling: dict[str, str] = {}
    by_whom: dict[str, dict[str, None]] = {}
    in_runs: dict[str, set[int]] = {}
    for number, run in enumerate(grid):
        for said in run[place].modified.answers:
            for each in getattr(said, what):
                key = folded(each)
                spelling.setdefault(key, each)
                by_whom.setdefault(key, {})[roles[said.agent_name]] = None
                in_runs.setdefault(key, set()).add(number)
    return tuple(
        f"{spelling[key]} ({', '.join(by_whom[key])}{_in_runs(len(in_runs[key]), len(grid), '; {}')})"
        for key in sorted(spelling, key=lambda each: each in known)
    )


def _confidence(grid: _Grid, role: str | None = None) -> ConfidenceChange:
    base = [_given((pair.base for pair in run), role) for run in grid]
    modified = [_given((pair.modified for pair in run), role) for run in grid]
    before, after = _mean([*chain(*base)]), _mean([*chain(*modified)])
    differences = [fmean(there) - fmean(here) for here, there in zip(base, modified, strict=True) if here and there]
    too_few = ONE_RUN if len(grid) == 1 else "fewer than two runs have a confidence on both branches"
    values = {
        "base": before,
        "modified": after,
        "difference": None if before is None or after is None else round(after - before, 4),
        "spread": round(stdev(differences), 4) if len(differences) > 1 else None,
    }
    reasons = {"base": NOBODY, "modified": NOBODY, "difference": NOBODY, "spread": too_few}
    return ConfidenceChange(**values, basis={key: reasons[key] for key in values if values[key] is None})


def _given(rounds: Iterable[PlayedRound], role: str | None) -> list[float]:
    answers = (each for played in rounds for each in played.answers if role in (None, each.agent_name))
    return [each.confidence for each in answers if each.confidence is not None]


def _mean(values: Sequence[float]) -> float | None:
    return round(fmean(values), 4) if values else None


# What it comes to


def _analysis(grid: _Grid, role: str, outcomes: Sequence[PredictedOutcome]) -> AgentAnalysis:
    last = [_answer(run[-1].modified, role) for run in grid]
    said = [each for run in grid for pair in run if (each := _answer(pair.modified, role)) is not None]
    confidence = _confidence(grid, role)
    return AgentAnalysis(
        agent_role=role,
        impact_assessment=_impact(grid, role, outcomes, confidence),
        recommended_actions=_distinct(action for each in last if each is not None for action in each.actions),
        concerns=_distinct(risk for each in said for risk in each.risks),
        confidence=confidence.modified,
        basis={} if confidence.modified is not None else {"confidence": "the role gave none in the modified branch"},
    )


def _impact(grid: _Grid, role: str, outcomes: Sequence[PredictedOutcome], confidence: ConfidenceChange) -> str:
    spoken = [pair for run in grid for pair in run if pair.of(role) != (None, None)]
    differing = sum(pair.differs(role) for pair in spoken)
    if all(pair.of(role)[1] is None for pair in spoken):
        return "Does not speak in the modified branch."
    if not differing:
        return "Answers as in the base branch."
    added = sum(each.agent_role == role for outcome in outcomes for each in outcome.actions_added)
    dropped = sum(each.agent_role == role for outcome in outcomes for each in outcome.actions_dropped)
    return (
        f"Differs from the base branch in {differing} of {len(spoken)} answers. "
        f"Actions added: {added}, dropped: {dropped}. {_course(confidence)}"
    )


def _course(confidence: ConfidenceChange) -> str:
    base, modified = confidence.base, confidence.modified
    if base is None or modified is None:
        return "Whether confidence rose or fell cannot be said: it was not given on both branches."
    if f"{base:.2f}" == f"{modified:.2f}":
        return f"Confidence is the same on average: {modified:.2f}."
    return f"Confidence is {'lower' if modified < base else 'higher'} on average: {_both(base, modified)}."


def _recommendation(grid: _Grid, outcomes: Sequence[PredictedOutcome], overall: ConfidenceChange) -> str:
    action = grid[0][-1].modified.completed.next_action
    advice = f"Next, by the coordinator of the modified branch: {action}" if action else NO_ACTION
    if advice[-1] not in ".!?":
        advice += "."
    if not any(each.changed for each in outcomes):
        return f"No difference: at every turn the modified branch went as its base branch. {advice}"
    added = sum(len(each.actions_added) for each in outcomes)
    dropped = sum(len(each.actions_dropped) for each in outcomes)
    return f"{advice} {_course(overall)} Actions added: {added}, dropped: {dropped}."


NO_ACTION = "The coordinator of the modified branch named no next action at the last turn."
