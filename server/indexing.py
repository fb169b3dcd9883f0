"""`chatroom sessions` and `chatroom assignment`: what the index knows, as a researcher reads it."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from experiments.assignment import Allocation
from experiments.experiment import Experiment
from experiments.store.sessions import Listed, Sessions
from experiments.store.study import Study
from experiments.store.verifying import Verification, VerifiedList, verify
from server.data import in_study
from server.errors import InvalidSettings
from server.folders import new_private_file
from server.settings import ServerSettings
from simulation.runtime.clock import wall_time

SHOWN_OF_ID = 8
"""As much of a session's id as the server log has; `--json` has all of it."""


def sessions(settings: ServerSettings, experiment: Experiment, *, as_json: bool) -> None:
    """Print every session of the experiment, in the order of their starts."""
    listed = in_study(settings, experiment, lambda study: Sessions(study, wall_time).listed())
    if as_json:
        print(json.dumps([each._asdict() for each in listed], indent=2))  # noqa: T201
        return
    console = Console(highlight=False)
    console.print(_sessions_table(experiment, listed))
    console.print(Text(_summary(listed)))


def linkage(settings: ServerSettings, experiment: Experiment, out: Path) -> None:
    """Write to `out` which session is whose for the panel: for merging and paying, to be kept apart from the data."""
    rows = in_study(settings, experiment, lambda study: Sessions(study, wall_time).linkage())
    names = list(dict.fromkeys(name for _, parameters in rows for name in parameters))
    with new_private_file("--panel-ids", out) as file:
        table = csv.writer(file)
        table.writerow(("session_id", *names))
        table.writerows((session_id, *(each.get(name, "") for name in names)) for session_id, each in rows)
    print(f"{len(rows):,} sessions with their panel's ids: {out}. This file tells who wrote what: guard it.")  # noqa: T201


def _sessions_table(experiment: Experiment, listed: Sequence[Listed]) -> Table:
    table = Table(title=f"Sessions of {experiment.experiment_id}", title_justify="left")
    for column in ("session", "condition", "place", "state", "started (UTC)"):
        table.add_column(column, no_wrap=True, justify="right" if column == "place" else "left")
    for each in listed:
        place = "" if each.sequence_number is None else f"{each.stratum or ''} {each.sequence_number}"
        cells = (each.condition, place, _state(each), _second(each.started_at))
        table.add_row(each.session_id[:SHOWN_OF_ID], *(cell or "" for cell in cells))
    return table


def _state(session: Listed) -> str:
    return f"{session.outcome or session.state}{', erased' if session.erased_at else ''}"


def _second(moment: str | None) -> str | None:
    """Return a moment in UTC as a table has room for it."""
    return moment and moment[5:19].replace("T", " ")


def _summary(listed: Sequence[Listed]) -> str:
    states = Counter(map(_state, listed))
    return f"{len(listed):,} in all: {', '.join(f'{n:,} {name}' for name, n in states.most_common())}" if listed else ""


def assignment(
    settings: ServerSettings, experiment: Experiment, places: int, stratum: Mapping[str, str], *, as_json: bool
) -> None:
    """Print the list of allocations from its beginning: what will happen, before anybody is recruited.

    `stratum` says whose, by parameter of the link; a parameter that is not named is empty.
    """
    allocation = in_study(settings, experiment, _allocation)
    if unknown := [name for name in stratum if name not in allocation.strata]:
        names = ", ".join(allocation.strata) or "there are none"
        raise InvalidSettings([f"--stratum: {unknown[0]!r} is not allowed: assignment.strata has {names}"])
    name = allocation.stratum(stratum)
    conditions = list(islice(allocation.places(name), places))
    if as_json:
        print(json.dumps({**_spec(allocation), "stratum": name, "places": conditions}, indent=2))  # noqa: T201
        return
    console = Console(highlight=False)
    console.print(Text(f"{describe(allocation)}\n"), soft_wrap=True)
    if allocation.strata:
        console.print(Text(f"The list of {name} (--stratum NAME=VALUE for another):\n"), soft_wrap=True)
    size = allocation.block_size if allocation.method == "permuted_blocks" else places
    for start in range(0, places, size):
        block = conditions[start : start + size]
        console.print(Text(f"{start + 1:>5}  {'  '.join(block)}"), soft_wrap=True)


async def _allocation(study: Study) -> Allocation:
    return study.allocation


def _spec(allocation: Allocation) -> dict[str, Any]:
    return {"sha256": allocation.sha256, **json.loads(allocation.spec)}


def describe(allocation: Allocation) -> str:
    """Say in a line how conditions are given."""
    weights = [weight for _, weight in allocation.weights]
    unequal = "" if len(set(weights)) == 1 else f", weights {' : '.join(f'{w:g}' for w in weights)}"
    how = f"permuted blocks of {allocation.block_size}" if allocation.method == "permuted_blocks" else "weighted draws"
    strata = f", one list for each value of {' and '.join(allocation.strata)}" if allocation.strata else ""
    demo = "; a list for demonstrations alone" if allocation.purpose == "demo" else ""
    return f"{len(weights)} conditions, {how}{unequal}{strata}, seed {allocation.seed}{demo}"


def verify_assignment(settings: ServerSettings, experiment: Experiment, *, as_json: bool) -> bool:
    """Make the lists anew from their seeds, compare them with what happened and print it; return whether all agree."""
    verified = in_study(settings, experiment, lambda study: verify(study, settings.log_dir))
    if as_json:
        lists = [_as_json(each) for each in verified.lists]
        facts = {"agrees": verified.agrees, "is_current": verified.is_current, "strays": verified.strays}
        print(json.dumps({**facts, "lists": lists}, indent=2))  # noqa: T201
    else:
        _print_verified(experiment, verified)
    return verified.agrees


def _as_json(verified: VerifiedList) -> dict[str, Any]:
    return {
        "allocation": _spec(verified.allocation),
        "stratum": verified.stratum,
        "given": verified.given,
        "passed_over": verified.passed_over,
        "by_condition": dict(verified.by_condition),
        "logs_read": verified.logs_read,
        "logs_erased": verified.logs_erased,
        "contradictions": verified.contradictions,
    }


def _print_verified(experiment: Experiment, verified: Verification) -> None:
    console = Console(highlight=False)
    if not verified.lists:
        console.print(Text(f"Nobody has been assigned to a condition of {experiment.experiment_id} yet."))
    for each in verified.lists:
        console.print(Text(describe(each.allocation), style="bold"), soft_wrap=True)
        table = Table.grid(padding=(0, 2))
        for name, value in _facts(each).items():
            table.add_row(f"  {name}", value)
        console.print(table)
        for contradiction in each.contradictions:
            console.print(Text(f"  {contradiction}", style="red"), soft_wrap=True)
    for stray in verified.strays:
        console.print(Text(stray, style="red"), soft_wrap=True)
    if not verified.is_current:
        console.print(Text("The settings ask for another list now: whoever starts next is assigned by that one."))


def _facts(verified: VerifiedList) -> dict[str, str]:
    counts = ", ".join(f"{name} {verified.by_condition[name]}" for name, _ in verified.allocation.weights)
    passed_over = f", {verified.passed_over} passed over (quota full)" if verified.passed_over else ""
    contradictions = len(verified.contradictions)
    erased = f", {verified.logs_erased} erased" if verified.logs_erased else ""
    agree = f"{contradictions} contradictions, see below" if contradictions else "as the seed gives it"
    return {
        **({"stratum": verified.stratum} if verified.stratum else {}),
        "sessions": counts,
        "places": f"{verified.given} given{passed_over}",
        "the list": agree,
        "logs": f"{verified.logs_read} of {verified.given} are there and were compared{erased}",
    }
