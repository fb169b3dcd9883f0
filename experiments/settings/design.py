"""What must hold of the design: conditions, assignment, entry, screens and completion."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from experiments.entry import PANELS, PanelLink, address_problem
from experiments.markup import link_problems
from experiments.problems import nearest, not_allowed
from experiments.settings.conditions import Cell, contradictions, overrides_of
from experiments.settings.experimental import (
    MAX_BLOCK,
    OUTCOMES,
    AssignmentSettings,
    EntrySettings,
    ExperimentalSettings,
)

MAX_CONDITIONS = 100
SHARED = (
    *(f"language_model.{key}" for key in ("calls_in_flight", "requests_per_minute", "attempt_seconds")),
    "language_model.on_model_mismatch",
    *(f"budget.{what}_per_{book}" for what in ("calls", "tokens", "cost") for book in ("experiment", "day")),
)
"""Settings of the simulation that are of all sessions together, and so of no condition."""

Found = tuple[str, str]
"""Key of experimental_settings.json, and message."""


def crossed_too_many(settings: ExperimentalSettings) -> bool:
    """Whether there are more combinations than anybody could look at: told before they are made."""
    crossed = math.prod(map(len, settings.factors.values())) if settings.factors else 0
    return crossed + len(settings.conditions) > MAX_CONDITIONS


def design_problems(settings: ExperimentalSettings, cells: Sequence[Cell]) -> Iterator[Found]:
    yield from _conditions(settings, cells)
    names = [cell.name for cell in cells]
    yield from _assignment(settings.assignment, names)
    yield from _entry(settings.entry)
    panel = panel_of(settings.entry)
    yield from _strata(settings.assignment, panel)
    yield from _screens(settings)
    yield from _completion(settings, panel)


def panel_of(entry: EntrySettings) -> PanelLink | None:
    if entry.panel is None:
        return None
    return PANELS[entry.panel] if isinstance(entry.panel, str) else PanelLink(**entry.panel.model_dump())


def _conditions(settings: ExperimentalSettings, cells: Sequence[Cell]) -> Iterator[Found]:
    for name, levels in settings.factors.items():
        if not levels:
            yield f"factors.{name}", "has no level; name at least two"
    seen: dict[str, Cell] = {}
    for cell in cells:
        if cell.name in seen:
            yield _where(cell), f'another condition is called "{cell.name}" too; give one of them another name'
        seen[cell.name] = cell
        for first, second in contradictions(cell):
            yield second.at, f"{first.at} says otherwise, and both hold in condition {cell.name}; vary it in one factor"
    for override in dict.fromkeys(each.at for cell in cells for each in overrides_of(cell) if each.key in SHARED):
        yield override, "holds for all sessions together; leave it in simulation_settings.json"


def _where(cell: Cell) -> str:
    return cell.overrides[-1].where if cell.overrides else "conditions"


def _assignment(assignment: AssignmentSettings, names: list[str]) -> Iterator[Found]:
    for key, given in (("weights", assignment.weights), ("quotas", assignment.quotas)):
        for name in given:
            if name not in names:
                yield f"assignment.{key}.{name}", f"no condition has this name; {nearest(name, names)}"
    if assignment.method == "weighted":
        if assignment.block_size is not None:
            allowed = "only with permuted_blocks; weighted draws know no blocks"
            yield "assignment.block_size", not_allowed(assignment.block_size, allowed)
        return
    for name, weight in assignment.weights.items():
        if weight != int(weight):
            yield f"assignment.weights.{name}", not_allowed(weight, "a whole number, as many as go into a block")
    total = sum(int(assignment.weights.get(name, 1)) for name in names)
    if total > MAX_BLOCK:
        yield "assignment.weights", f"a block would have {total:,} places; at most {MAX_BLOCK:,}"
    if assignment.block_size is not None and total and assignment.block_size % total:
        allowed = f"a multiple of {total}, the sum of the conditions' weights"
        yield "assignment.block_size", not_allowed(assignment.block_size, allowed)


def _entry(entry: EntrySettings) -> Iterator[Found]:
    if entry.mode == "panel" and entry.panel is None:
        names = ", ".join(f'"{name}"' for name in PANELS)
        yield "entry.panel", f'missing: the mode is panel; one of {names}, or {{"participant": "NAME_IN_THE_LINK"}}'
    if entry.mode != "panel" and entry.panel is not None:
        yield "entry.panel", f'only in mode "panel"; the mode is "{entry.mode}"'
    if entry.opens_at and entry.closes_at and entry.opens_at >= entry.closes_at:
        yield (
            "entry.closes_at",
            not_allowed(entry.closes_at.isoformat(), f"it must be after opens_at, {entry.opens_at.isoformat()}"),
        )


def _strata(assignment: AssignmentSettings, panel: PanelLink | None) -> Iterator[Found]:
    for index, name in enumerate(assignment.strata):
        if panel and name == panel.participant:
            allowed = "it tells participants apart, so every one would be a stratum alone"
            yield f"assignment.strata[{index}]", not_allowed(name, allowed)


def _screens(settings: ExperimentalSettings) -> Iterator[Found]:
    screens = settings.screens
    for name, screen in (
        ("consent", screens.consent),
        ("welcome", screens.welcome),
        ("debriefing", screens.debriefing),
    ):
        if screen is not None:
            yield from ((f"screens.{name}.text", problem) for problem in link_problems(screen.text))


def _completion(settings: ExperimentalSettings, panel: PanelLink | None) -> Iterator[Found]:
    parameters = panel.names if panel else ()
    for outcome in OUTCOMES:
        chosen = getattr(settings.completion, outcome)
        if chosen is None:
            continue
        if chosen.url is not None and (problem := address_problem(chosen.url, parameters)):
            yield f"completion.{outcome}.url", not_allowed(chosen.url, problem)
        if chosen.url is not None and "{code}" in chosen.url and chosen.code is None:
            yield f"completion.{outcome}.code", "missing: the url has a {code} to fill in"
