"""Conditions out of the files: factors crossed, overrides laid over what all share, and where each override stands.

A condition is two settings files: the shared ones with its overrides laid over them, object by object. So everything
that is true of a file is checked and resolved for a condition by the same code, and a problem is told where it can be
mended: at the override, if there is one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from experiments.problems import key_path
from experiments.settings.base import EXPERIMENTAL_FILE, SIMULATION_FILE

ONLY_CONDITION = "default"
"""The name of the condition where the files name none."""
BESIDE = ("prompt_template", "stimuli", "gate")
"""What a condition overrides of experimental_settings.json."""


class Overrides(NamedTuple):
    """What one condition or level says, and where: `conditions.civil`, `factors.tone.civil`."""

    where: str
    raw: Mapping[str, Any]


class Cell(NamedTuple):
    """A condition before it is resolved: its levels by factor, and its overrides, none of which contradict."""

    name: str
    levels: Mapping[str, str]
    overrides: tuple[Overrides, ...]


def cells(raw: Mapping[str, Any]) -> list[Cell]:
    """Return the conditions of an experimental_settings.json in their order: crossed ones first. Names may collide."""
    factors: Mapping[str, Mapping[str, Any]] = raw.get("factors", {})
    crossed = [_crossed(factors, levels) for levels in itertools.product(*factors.values())] if factors else []
    named = [Cell(n, {}, (Overrides(f"conditions.{n}", each),)) for n, each in raw.get("conditions", {}).items()]
    return [*crossed, *named] or [Cell(ONLY_CONDITION, {}, ())]


def _crossed(factors: Mapping[str, Mapping[str, Any]], levels: Sequence[str]) -> Cell:
    by_factor = dict(zip(factors, levels, strict=True))
    overrides = (Overrides(f"factors.{name}.{level}", factors[name][level]) for name, level in by_factor.items())
    return Cell("_".join(levels), by_factor, tuple(overrides))


class Override(NamedTuple):
    """One value: `file` and `key` say what is overridden, `at` where in experimental_settings.json it is said."""

    file: str
    key: str
    at: str
    value: Any


def overrides_of(cell: Cell) -> Iterator[Override]:
    """Yield every single value that a condition overrides."""
    for where, raw in cell.overrides:
        for path, value in _leaves(raw):
            first, *rest = path
            at = f"{where}.{key_path(path)}"
            if first == "simulation" and rest:
                yield Override(SIMULATION_FILE, key_path(rest), at, value)
            elif first == "personas":
                yield Override(SIMULATION_FILE, key_path(path), at, value)
            elif first in BESIDE:
                yield Override(EXPERIMENTAL_FILE, key_path(path), at, value)


def _leaves(raw: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in raw.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, key))
        elif value is not None or len(path) > 1:  # a key of the condition's own that is null is not named
            yield (*path, key), value


def contradictions(cell: Cell) -> Iterator[tuple[Override, Override]]:
    """Yield pairs of overrides, from two factors, that want the same thing to be different."""
    seen: dict[tuple[str, str], Override] = {}
    for override in overrides_of(cell):
        first = seen.setdefault((override.file, override.key), override)
        if first is not override and first.value != override.value:
            yield first, override


@dataclass(frozen=True, slots=True)
class RawSettings:
    """Both files' values, as they hold in one condition."""

    simulation: Mapping[str, Any]
    experimental: Mapping[str, Any]

    def with_overrides(self, cell: Cell) -> RawSettings:
        simulation, experimental = dict(self.simulation), dict(self.experimental)
        for _, raw in cell.overrides:
            simulation = _laid_over(simulation, raw.get("simulation") or {})
            simulation = _laid_over(simulation, {"personas": raw["personas"]} if raw.get("personas") else {})
            experimental = _laid_over(experimental, {key: raw[key] for key in BESIDE if raw.get(key) is not None})
        return RawSettings(_without_the_absent(simulation, self.simulation), experimental)


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    both = {
        key: _laid_over(below[key], value)
        for key, value in above.items()
        if isinstance(value, Mapping) and isinstance(below.get(key), Mapping)
    }
    return {**below, **above, **both}


def _without_the_absent(settings: dict[str, Any], shared: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the shared personas of those who are not in this condition's room."""
    personas, names = settings.get("personas"), settings.get("agent_names")
    if not isinstance(personas, Mapping) or not isinstance(names, list):
        return settings
    common = shared.get("personas")
    taken_over = common if isinstance(common, Mapping) else {}
    kept = {name: each for name, each in personas.items() if name in names or each != taken_over.get(name)}
    return {**settings, "personas": kept}


def place_of(file: str, key: str, overrides: Iterable[Override]) -> str | None:
    """Return where in experimental_settings.json `key` of `file`, what it is part of, or a part of it is overridden."""
    for override in overrides:
        if override.file != file:
            continue
        if key == override.key or key.startswith((f"{override.key}.", f"{override.key}[")):
            return f"{override.at}{key[len(override.key) :]}"
        if override.key.startswith(f"{key}."):
            return override.at.removesuffix(override.key[len(key) :])
    return None
