"""What differs: between the conditions of an experiment, and between two versions of one.

Both are told in the words of the settings files, with every default filled in: whoever writes a default out changes
nothing. Values are compared leaf by leaf; what one side does not have at all is ABSENT.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any, Final, NamedTuple

from experiments.experiment import Condition, Experiment
from experiments.problems import key_path
from experiments.settings.conditions import RawSettings, cells, overrides_of
from experiments.settings.design import panel_of
from experiments.settings.experimental import ExperimentalSettings
from experiments.settings.simulation import PersonaSettings, SimulationSettings

OF_A_CONDITION = ("prompt_template", "gate", "stimuli", "on_model_failure")
"""What sessions run on and stands in experimental_settings.json."""
BESIDE_CONDITIONS = ("experiment_id", "screens", "completion", "withdrawal")
WITHOUT_EFFECT = "schema_"


class Absent(Enum):
    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT
Tree = dict[str, Any]
Path_ = tuple[str | int, ...]


def settings_by_condition(experiment: Experiment) -> dict[str, Tree]:
    """Return what holds in each condition, as both files would say it if they said everything."""
    raw = RawSettings(experiment.simulation_config, experiment.experimental_config)
    return {cell.name: _settings(raw.with_overrides(cell)) for cell in cells(raw.experimental)}


def _settings(raw: RawSettings) -> Tree:
    simulation = SimulationSettings.model_validate(raw.simulation)
    experimental = ExperimentalSettings.model_validate(raw.experimental).model_dump(mode="json")
    nobody = PersonaSettings()
    personas = {name: simulation.personas.get(name, nobody).model_dump() for name in simulation.agent_names}
    first = {key: experimental[key] for key in OF_A_CONDITION} | {"personas": personas}
    rest = simulation.model_dump(mode="json", exclude={WITHOUT_EFFECT, "personas"})
    return first | rest


def differing(values: Sequence[Any], path: Path_ = ()) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield every leaf that is not the same in all of `values`: its path, and what each has there."""
    if all(each == values[0] for each in values):
        return
    if all(isinstance(each, dict) for each in values):
        for key in dict.fromkeys(key for each in values for key in each):
            yield from differing([each.get(key, ABSENT) for each in values], (*path, key))
    elif all(_holds_objects(each) for each in values):
        for index, items in enumerate(itertools.zip_longest(*values, fillvalue=ABSENT)):
            yield from differing(items, (*path, index))
    else:
        yield key_path(path), tuple(values)


def _holds_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


# Between the conditions of an experiment


class Setting(NamedTuple):
    """`values` in the order of the contrast's labels."""

    key: str
    values: tuple[Any, ...]


class Contrast(NamedTuple):
    """Settings that depend on the same factors; `by` names them, none where conditions were named themselves.

    A label is a level (levels, where several factors are needed) or the name of a condition; `conditions` are those
    that it stands for.
    """

    by: tuple[str, ...]
    labels: tuple[str, ...]
    conditions: tuple[tuple[str, ...], ...]
    settings: tuple[Setting, ...]


THE_CROSSED = "all crossed"
"""The label of the crossed conditions where only a condition that was named itself is different."""


def contrasts(experiment: Experiment) -> list[Contrast]:
    """Return what differs between conditions, and only that; each setting by as few factors as will explain it."""
    trees = settings_by_condition(experiment)
    every = [experiment.conditions[name] for name in trees]
    found: dict[tuple[str, ...], list[tuple[str, dict[str, Any]]]] = {}
    for key, values in differing([*trees.values()]):
        by_name = dict(zip(trees, values, strict=True))
        found.setdefault(_explained_by(every, by_name), []).append((key, by_name))
    factors = [factor for each in every for factor in each.levels]
    ordered = sorted(found, key=lambda by: (len(by), [factors.index(factor) for factor in by]))
    return [_contrast(by, every, found[by]) for by in ordered]


def _explained_by(conditions: Sequence[Condition], values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the fewest factors on whose levels the values depend."""
    crossed = [each for each in conditions if each.levels]
    factors = [*crossed[0].levels] if crossed else []
    subsets = itertools.chain.from_iterable(itertools.combinations(factors, n) for n in range(len(factors) + 1))
    return next(subset for subset in subsets if _is_explained(crossed, values, subset))


def _is_explained(crossed: Iterable[Condition], values: Mapping[str, Any], factors: tuple[str, ...]) -> bool:
    seen: dict[str, Any] = {}
    return all(seen.setdefault(_label(each, factors), values[each.name]) == values[each.name] for each in crossed)


def _label(condition: Condition, factors: tuple[str, ...]) -> str:
    if not condition.levels:
        return condition.name
    return ", ".join(condition.levels[factor] for factor in factors) or THE_CROSSED


def _contrast(
    by: tuple[str, ...], conditions: Sequence[Condition], settings: Sequence[tuple[str, Mapping[str, Any]]]
) -> Contrast:
    names: dict[str, list[str]] = {}
    for each in conditions:
        names.setdefault(_label(each, by), []).append(each.name)
    rows = (Setting(key, tuple(values[of[0]] for of in names.values())) for key, values in settings)
    return Contrast(by, tuple(names), tuple(map(tuple, names.values())), tuple(rows))


# Between two versions of an experiment


class Change(NamedTuple):
    key: str
    old: Any
    new: Any


class Changes(NamedTuple):
    """What changed in the same conditions; no conditions: beside them, in the design."""

    conditions: tuple[str, ...]
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """`added` and `removed` have, by condition, what it sets and where; `notes` are without effect."""

    old: Experiment
    new: Experiment
    renamed: Mapping[str, str]
    added: Mapping[str, Mapping[str, Any]]
    removed: Mapping[str, Mapping[str, Any]]
    changes: tuple[Changes, ...]
    notes: tuple[Change, ...]

    @property
    def kept(self) -> tuple[str, ...]:
        """The conditions that both have."""
        return tuple(name for name in self.new.conditions if name in self.old.conditions)

    @property
    def has_same_hash(self) -> bool:
        return self.old.content_sha256 == self.new.content_sha256

    @property
    def is_same(self) -> bool:
        """Whether every session would run on the same, and everybody would come to it in the same way."""
        return not (self.renamed or self.added or self.removed or self.changes)


def compare(old: Experiment, new: Experiment) -> Comparison:
    """Return what changed from `old` to `new`."""
    before, after = settings_by_condition(old), settings_by_condition(new)
    gone, come = [n for n in before if n not in after], [n for n in after if n not in before]
    renamed = _renamed({name: before[name] for name in gone}, {name: after[name] for name in come})
    return Comparison(
        old=old,
        new=new,
        renamed=renamed,
        added=_overrides(new, [name for name in come if name not in renamed.values()]),
        removed=_overrides(old, [name for name in gone if name not in renamed]),
        changes=(*_beside_conditions(old, new), *_in_conditions(before, after)),
        notes=_changes(_notes(old.experimental_config), _notes(new.experimental_config)),
    )


def _changes(old: Any, new: Any) -> tuple[Change, ...]:
    return tuple(Change(key, *values) for key, values in differing([old, new]))


def _renamed(gone: Mapping[str, Tree], come: Mapping[str, Tree]) -> dict[str, str]:
    """Return old name -> new name of conditions that are the same but for their name."""
    renamed: dict[str, str] = {}
    for name, tree in gone.items():
        same = next((each for each, other in come.items() if other == tree and each not in renamed.values()), None)
        if same is not None:
            renamed[name] = same
    return renamed


def _overrides(experiment: Experiment, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    found = {cell.name: cell for cell in cells(experiment.experimental_config)}
    return {name: {each.at: each.value for each in overrides_of(found[name])} for name in names}


def _in_conditions(before: Mapping[str, Tree], after: Mapping[str, Tree]) -> Iterator[Changes]:
    """Yield what changed inside of conditions that both have, what changed in most of them first, each once."""
    where: dict[tuple[str, str], tuple[Change, list[str]]] = {}
    for name in (name for name in after if name in before):
        for change in _changes(before[name], after[name]):
            where.setdefault((change.key, repr(change)), (change, []))[1].append(name)
    by_conditions: dict[tuple[str, ...], list[Change]] = {}
    for change, names in where.values():
        by_conditions.setdefault(tuple(names), []).append(change)
    for of, changes in sorted(by_conditions.items(), key=lambda each: -len(each[0])):
        yield Changes(of, tuple(changes))


def _beside_conditions(old: Experiment, new: Experiment) -> Iterator[Changes]:
    """Yield what changed beside conditions; where no condition is left, also what all of them share."""
    kept = [name for name in new.conditions if name in old.conditions]
    changes = _changes(_design(old, kept), _design(new, kept)) + _changes(_scripts(old), _scripts(new))
    if not kept:
        changes = _changes(_shared(old), _shared(new)) + changes
    if changes:
        yield Changes((), changes)


def _shared(experiment: Experiment) -> Tree:
    return _settings(RawSettings(experiment.simulation_config, experiment.experimental_config))


def _design(experiment: Experiment, kept: Sequence[str]) -> Tree:
    settings = experiment.settings.model_dump(mode="json")
    factors = {name: [*levels] for name, levels in experiment.experimental_config.get("factors", {}).items()}
    panel = panel_of(experiment.settings.entry)
    return {
        **{key: settings[key] for key in BESIDE_CONDITIONS},
        "entry": {**settings["entry"], "panel": asdict(panel) if panel else None},
        "assignment": {**settings["assignment"], **_resolved_assignment(experiment, kept)},
        "factors": factors,
        # Blocks are shuffled from the conditions in their order: in another, every place is another's.
        "conditions (their order)": [name for name in experiment.conditions if name in kept],
    }


def _resolved_assignment(experiment: Experiment, kept: Sequence[str]) -> Tree:
    chosen, allocation = experiment.settings.assignment, experiment.allocation(seed=0)
    return {
        "weights": {name: weight for name, weight in allocation.weights if name in kept},
        "block_size": allocation.block_size if chosen.method == "permuted_blocks" else None,
        "seed": experiment.random_seed if chosen.seed is None else chosen.seed,
    }


def _scripts(experiment: Experiment) -> dict[str, str]:
    """Return what the scripted models' own files hold."""
    names = {each.language_model.script for each in experiment.every} - {None}
    folder = experiment.folder
    return {f"file {name}": (folder / str(name)).read_text("utf-8", "replace") for name in sorted(map(str, names))}


def _notes(value: Any, path: Path_ = ()) -> Tree:
    """Return every note by its path."""
    if not isinstance(value, Mapping):
        return {}
    here = {key_path((*path, "note")): value["note"]} if isinstance(value.get("note"), str) else {}
    below = (_notes(item, (*path, key)) for key, item in value.items())
    return here | {key: note for notes in below for key, note in notes.items()}
