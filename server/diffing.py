"""`chatroom diff`: what changed since the folder that was preregistered."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from experiments.differences import ABSENT, Change, Changes, Comparison, compare
from experiments.errors import InvalidExperiment
from experiments.experiment import Experiment, load_experiment
from experiments.problems import Problem
from server.facts import listed
from server.showing import console, from_to, indented, print_all, said

SHORT_LINE = 90


def diff(old: Path, new: Path, *, as_json: bool) -> bool:
    """Compare two folders and print what changed. Return whether sessions run on the same in both; raise
    InvalidExperiment with what is wrong with either.
    """
    found = compare(*_both(old, new))
    if as_json:
        print(json.dumps(_as_json(found), ensure_ascii=False, indent=2))  # noqa: T201
    else:
        print_all(console(), _parts(found))
    return found.is_same


def _both(old: Path, new: Path) -> tuple[Experiment, Experiment]:
    loaded: list[Experiment] = []
    problems: list[Problem] = []
    for folder in (old, new):
        try:
            loaded.append(load_experiment(folder))
        except InvalidExperiment as error:
            problems += error.problems
    if problems:
        raise InvalidExperiment(problems)
    return loaded[0], loaded[1]


# For people


def _parts(found: Comparison) -> Iterator[RenderableType]:
    yield _hashes(found)
    yield ""
    yield Text(_verdict(found), "bold")
    yield from _conditions(found)
    for changes in found.changes:
        yield from _section(_where(changes, found), changes.changes)
    yield from _section("Notes, which are without effect", found.notes)


def _hashes(found: Comparison) -> Table:
    grid = Table.grid(padding=(0, 2))
    for mark, experiment in (("old", found.old), ("new", found.new)):
        grid.add_row(Text(mark, "dim"), Text(experiment.content_sha256), Text(str(experiment.folder)))
    return grid


def _verdict(found: Comparison) -> str:
    if found.old.sha256 == found.new.sha256 and found.is_same:
        return "No difference: the files are the same, byte for byte."
    if found.is_same and found.has_same_hash:
        return "No difference in content: the files differ in their layout or in notes alone."
    if found.is_same:
        return (
            "No difference in content: sessions run on the same settings. The content hashes differ because the same "
            "is written in another way, such as a default written out."
        )
    return f"The content differs: {_count(found)}."


def _count(found: Comparison) -> str:
    settings = sum(len(each.changes) for each in found.changes)
    counts = (
        (len(found.added), "condition added", "conditions added"),
        (len(found.removed), "condition removed", "conditions removed"),
        (len(found.renamed), "condition renamed", "conditions renamed"),
        (settings, "setting changed", "settings changed"),
    )
    return listed([f"{number} {one if number == 1 else many}" for number, one, many in counts if number])


def _where(changes: Changes, found: Comparison) -> str:
    """Say where settings changed, by factor where that says it."""
    if not changes.conditions:
        return "In the design, beside conditions"
    if changes.conditions == found.kept:
        return "In every condition" if len(found.kept) > 1 else f"In condition {found.kept[0]}"
    level = _level(changes.conditions, found)
    return f"In every condition with {level}" if level else f"In condition {listed(changes.conditions)}"


def _level(names: Iterable[str], found: Comparison) -> str | None:
    """Return the level, with its factor, that these conditions and no others have."""
    by_level: dict[str, set[str]] = {}
    for name in found.kept:
        for factor, level in found.new.conditions[name].levels.items():
            by_level.setdefault(f"{factor} {level}", set()).add(name)
    return next((level for level, of in by_level.items() if of == set(names)), None)


def _conditions(found: Comparison) -> Iterator[RenderableType]:
    for old, new in found.renamed.items():
        yield from _heading(f"Condition {old} is called {new} now; it is the same")
    for title, conditions in (("added", found.added), ("removed", found.removed)):
        for name, overrides in conditions.items():
            yield from _heading(f"Condition {name} was {title}")
            yield from _overrides(overrides)


def _overrides(overrides: Mapping[str, Any]) -> Iterator[RenderableType]:
    if not overrides:
        yield indented(Text("It overrides nothing.", "dim"))
    for key, value in overrides.items():
        yield from _named(key, Text(said(value)))


def _section(title: str, changes: Iterable[Change]) -> Iterator[RenderableType]:
    for index, change in enumerate(changes):
        if not index:
            yield from _heading(title)
        yield from _named(change.key, from_to(change.old, change.new))


def _named(key: str, text: Text) -> Iterator[RenderableType]:
    """Put a value behind its key if that leaves it on one line, else below."""
    name = Text(key, "cyan")
    if len(key) + text.cell_len <= SHORT_LINE:
        yield indented(Text("  ").join((name, text)))
    else:
        yield indented(name)
        yield indented(indented(text))


def _heading(title: str) -> Iterator[RenderableType]:
    yield ""
    yield Text(title, "bold")


# For machines


def _as_json(found: Comparison) -> dict[str, Any]:
    return {
        "old": _experiment(found.old),
        "new": _experiment(found.new),
        "same_content": found.is_same,
        "same_content_sha256": found.has_same_hash,
        "same_files": found.old.sha256 == found.new.sha256,
        "conditions": {
            "added": dict(found.added),
            "removed": dict(found.removed),
            "renamed": [{"old": old, "new": new} for old, new in found.renamed.items()],
        },
        "changes": [
            {"conditions": list(each.conditions), **_change(change)}
            for each in found.changes
            for change in each.changes
        ],
        "notes": [_change(change) for change in found.notes],
    }


def _experiment(experiment: Experiment) -> dict[str, Any]:
    return {
        "folder": str(experiment.folder),
        "experiment_id": experiment.experiment_id,
        "content_sha256": experiment.content_sha256,
        "sha256": dict(experiment.sha256),
    }


def _change(change: Change) -> dict[str, Any]:
    """A value that one side does not have at all is left out."""
    values = {"old": change.old, "new": change.new}
    return {
        "key": change.key,
        **{side: value for side, value in values.items() if value is not ABSENT},
        "in_words": from_to(change.old, change.new).plain,
    }
