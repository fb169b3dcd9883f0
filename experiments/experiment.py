"""An experiment: a folder of two files, read, checked whole, and resolved into what its sessions run on.

`simulation_settings.json` says how lively the room is, `experimental_settings.json` what the agents are told, what
differs between conditions and who takes part. Everything a file can get wrong is found here, before anybody is let in:
all problems at once, each with file, line, key, value and what is allowed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from experiments.assignment import Allocation
from experiments.entry import Entry
from experiments.errors import InvalidExperiment
from experiments.problems import Problem
from experiments.settings.base import EXPERIMENTAL_FILE, SIMULATION_FILE
from experiments.settings.checks import Finding, Read, findings
from experiments.settings.conditions import Cell, RawSettings, cells, overrides_of, place_of
from experiments.settings.design import MAX_CONDITIONS, crossed_too_many, design_problems, panel_of
from experiments.settings.experimental import (
    CompletionSettings,
    ExperimentalSettings,
    ScreensSettings,
    WithdrawalSettings,
)
from experiments.settings.files import SettingsFile, read_settings
from experiments.settings.resolving import parameters_of
from experiments.settings.simulation import SimulationSettings
from experiments.warnings import warnings_of
from simulation.parameters import SimulationParameters

NO_CONTENT = ("$schema", "note")
"""Keys of the files, of conditions and of levels that are there for editors and researchers alone."""


@dataclass(frozen=True, slots=True)
class Condition:
    """`levels` by factor, empty for a condition that was named itself. The model's names are those of the files: None
    where they name none, and the server settles on one.
    """

    name: str
    parameters: SimulationParameters
    levels: Mapping[str, str]
    named_provider: str | None = None
    named_model: str | None = None

    def with_model(self, provider: str, model: str) -> Condition:
        other = replace(self.parameters.language_model, provider=provider, model=model)
        return replace(self, parameters=replace(self.parameters, language_model=other))


@dataclass(frozen=True, slots=True)
class Experiment:
    """A folder that passed every check. The raw files are kept as they were read: the log holds them whole.

    `content_sha256` is the same for two folders that say the same, whatever their layout; `group_name` is what
    participants read before they have a condition.
    """

    folder: Path
    experiment_id: str
    experimental_config: Mapping[str, Any]
    simulation_config: Mapping[str, Any]
    sha256: Mapping[str, str]
    content_sha256: str
    conditions: Mapping[str, Condition]
    settings: ExperimentalSettings
    group_name: str
    entry: Entry
    random_seed: int | None
    warnings: tuple[str, ...]

    @property
    def first(self) -> Condition:
        return next(iter(self.conditions.values()))

    @property
    def parameters(self) -> SimulationParameters:
        """Those of the first condition, for what is the same in all: what the experiment as a whole may spend."""
        return self.first.parameters

    @property
    def every(self) -> tuple[SimulationParameters, ...]:
        """The parameters of each condition."""
        return tuple(condition.parameters for condition in self.conditions.values())

    @property
    def screens(self) -> ScreensSettings:
        return self.settings.screens

    @property
    def completion(self) -> CompletionSettings:
        return self.settings.completion

    @property
    def withdrawal(self) -> WithdrawalSettings:
        return self.settings.withdrawal

    @property
    def retain_days(self) -> int | None:
        return self.settings.retain_days

    def with_models(self, settle: Callable[[Condition], Condition]) -> Experiment:
        """Return this experiment with the models that were settled on, condition by condition."""
        return replace(self, conditions={name: settle(each) for name, each in self.conditions.items()})

    def allocation(self, seed: int) -> Allocation:
        """Return the list of allocations; `seed` is what it follows from where the files name none."""
        chosen = self.settings.assignment
        weights = tuple((name, chosen.weights.get(name, 1)) for name in self.conditions)
        return Allocation(
            method=chosen.method,
            weights=weights,
            block_size=chosen.block_size or sum(int(weight) for _, weight in weights),
            seed=seed if chosen.seed is None else chosen.seed,
            strata=tuple(chosen.strata),
            purpose="demo" if self.entry.mode == "demo" else "study",
        )


def load_experiment(folder: Path) -> Experiment:
    """Return the experiment in `folder`; raise InvalidExperiment with everything that is wrong with it."""
    problems: list[Problem] = []
    simulation = read_settings(folder / SIMULATION_FILE, SimulationSettings, problems)
    experimental = read_settings(folder / EXPERIMENTAL_FILE, ExperimentalSettings, problems)
    problems += _problems(folder, simulation, experimental)
    if problems or simulation is None or experimental is None:
        raise InvalidExperiment(sorted(problems, key=lambda each: (each.file.name, each.line or 0)))
    assert simulation.model is not None
    assert experimental.model is not None
    raw = RawSettings(simulation.raw, experimental.raw)
    conditions = {cell.name: _condition(raw, cell) for cell in cells(experimental.raw)}
    return Experiment(
        folder=folder,
        experiment_id=experimental.model.experiment_id or folder.resolve().name,
        experimental_config=experimental.raw,
        simulation_config=simulation.raw,
        sha256={SIMULATION_FILE: simulation.sha256, EXPERIMENTAL_FILE: experimental.sha256},
        content_sha256=_content_sha256(folder, raw, conditions.values()),
        conditions=conditions,
        settings=experimental.model,
        group_name=simulation.model.group_name,
        entry=_entry(experimental.model),
        random_seed=simulation.model.random_seed,
        warnings=tuple(warnings_of(raw, experimental.model, {n: c.parameters for n, c in conditions.items()})),
    )


def _condition(raw: RawSettings, cell: Cell) -> Condition:
    here = raw.with_overrides(cell)
    simulation = SimulationSettings.model_validate(here.simulation)
    parameters = parameters_of(simulation, ExperimentalSettings.model_validate(here.experimental))
    chosen = simulation.language_model
    return Condition(cell.name, parameters, cell.levels, chosen.provider, chosen.model)


def _entry(settings: ExperimentalSettings) -> Entry:
    return Entry(
        mode=settings.entry.mode,
        panel=panel_of(settings.entry),
        opens_at=settings.entry.opens_at,
        closes_at=settings.entry.closes_at,
        max_live_sessions=settings.entry.max_live_sessions,
        strata=tuple(settings.assignment.strata),
    )


def _content_sha256(folder: Path, raw: RawSettings, conditions: Collection[Condition]) -> str:
    """Hash what the files say, in which order conditions stand, and what is referred to, but not the files' layout."""
    models = [condition.parameters.language_model for condition in conditions]
    named = sorted({name for model in models for name in (model.script, model.log) if name})
    content = {
        SIMULATION_FILE: _without_notes(raw.simulation),
        EXPERIMENTAL_FILE: _design(raw.experimental),
        "conditions": [condition.name for condition in conditions],
        "files": {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in named},
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _design(raw: Mapping[str, Any]) -> dict[str, Any]:
    conditions = {name: _without_notes(each) for name, each in raw.get("conditions", {}).items()}
    factors = {
        factor: {level: _without_notes(each) for level, each in levels.items()}
        for factor, levels in raw.get("factors", {}).items()
    }
    return {**_without_notes(raw), "conditions": conditions, "factors": factors}


def _without_notes(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in raw.items() if key not in NO_CONTENT}


# What is wrong

Simulation = SettingsFile[SimulationSettings] | None
Experimental = SettingsFile[ExperimentalSettings] | None


def _problems(folder: Path, simulation: Simulation, experimental: Experimental) -> Iterator[Problem]:
    files = {SIMULATION_FILE: simulation, EXPERIMENTAL_FILE: experimental}
    raw = RawSettings(simulation.sound if simulation else {}, experimental.sound if experimental else {})
    read = Read(folder, raw, simulation.model if simulation else None, experimental.model if experimental else None)
    shared = [*findings(read)]
    for finding in shared:
        if file := files[finding.file]:
            yield file.problem(finding.key, finding.message)
    if experimental is None or experimental.model is None:
        return
    if crossed_too_many(experimental.model):
        yield experimental.problem("factors", f"too many combinations: at most {MAX_CONDITIONS} conditions")
        return
    all_cells = cells(experimental.sound)
    for key, message in design_problems(experimental.model, all_cells):
        yield experimental.problem(key, message)
    if simulation is not None:
        seen: set[Problem] = set()  # what a level does wrong, it does in every condition that it is part of
        for cell in all_cells:
            found = {*_problems_of(cell, read, shared, experimental)} - seen
            seen |= found
            yield from sorted(found)


def _problems_of(
    cell: Cell, read: Read, shared: Sequence[Finding], experimental: SettingsFile[ExperimentalSettings]
) -> Iterator[Problem]:
    """Yield what is wrong in a condition alone, at the override that did it."""
    if not cell.overrides:
        return
    raw, overrides = read.raw.with_overrides(cell), [*overrides_of(cell)]
    here = Read(
        read.folder,
        raw,
        _validated(SimulationSettings, raw.simulation),
        _validated(ExperimentalSettings, raw.experimental),
    )
    for finding in findings(here):
        place = place_of(finding.file, finding.key, overrides)
        if place is not None:
            yield experimental.problem(place, finding.message)
        elif finding not in shared:
            yield experimental.problem(
                cell.overrides[-1].where, f"in condition {cell.name}, {finding.key}: {finding.message}"
            )


def _validated(cls: Any, raw: Mapping[str, Any]) -> Any:
    try:
        return cls.model_validate(raw)
    except ValidationError:
        return None  # told of where it stands
