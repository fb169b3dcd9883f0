"""`chatroom sessions` and `chatroom assignment`: what the index knows, as a researcher reads it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from experiments.assignment import Allocation
from experiments.experiment import Experiment
from experiments.store.sessions import Listed, Sessions
from experiments.store.study import Study
from experiments.store.verifying import VerifiedList, verify
from server.data import in_study
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


def _sessions_table(experiment: Experiment, listed: Sequence[Listed]) -> Table:
    table = Table(title=f"Sessions of {experiment.experiment_id}", title_justify="left")
    for column in ("session", "condition", "place", "state", "outcome", "started", "ended"):
        table.add_column(column, no_wrap=column != "condition", justify="right" if column == "place" else "left")
    for each in listed:
        place = "" if each.sequence_number is None else str(each.sequence_number)
        cells = (each.condition, place, each.state, each.outcome, _second(each.started_at), _second(each.ended_at))
        table.add_row(each.session_id[:SHOWN_OF_ID], *(cell or "" for cell in cells))
    return table


def _second(moment: str | None) -> str | None:
    """Return a moment in UTC as a table has room for it."""
    return moment and moment[5:19].replace("T", " ")


def _summary(listed: Sequence[Listed]) -> str:
    states = Counter(each.outcome or each.state for each in listed)
    return f"{len(listed):,} in all: {', '.join(f'{n:,} {name}' for name, n in states.most_common())}" if listed else ""


def assignment(settings: ServerSettings, experiment: Experiment, places: int, *, as_json: bool) -> None:
    """Print the list of allocations from its beginning: what will happen, before anybody is recruited."""
    allocation = in_study(settings, experiment, _allocation)
    conditions = list(islice(allocation.places(), places))
    if as_json:
        print(json.dumps({**_spec(allocation), "places": conditions}, indent=2))  # noqa: T201
        return
    console = Console(highlight=False)
    console.print(Text(f"{describe(allocation)}\n"))
    size = allocation.block_size if allocation.method == "permuted_blocks" else places
    for start in range(0, places, size):
        block = conditions[start : start + size]
        console.print(Text(f"{start + 1:>5}  {'  '.join(block)}"), soft_wrap=True)
    if allocation.strata:
        console.print(Text(f"\nEvery other value of {' and '.join(allocation.strata)} has a list of its own."))


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
    lists = in_study(settings, experiment, lambda study: verify(study, settings.log_dir))
    if as_json:
        print(json.dumps([_as_json(each) for each in lists], indent=2))  # noqa: T201
    else:
        _print_verified(experiment, lists)
    return not any(each.contradictions for each in lists)


def _as_json(verified: VerifiedList) -> dict[str, Any]:
    return {
        "allocation": _spec(verified.allocation),
        "stratum": verified.stratum,
        "given": verified.given,
        "passed_over": verified.passed_over,
        "by_condition": dict(verified.by_condition),
        "logs_read": verified.logs_read,
        "contradictions": verified.contradictions,
    }


def _print_verified(experiment: Experiment, lists: Sequence[VerifiedList]) -> None:
    console = Console(highlight=False)
    if not lists:
        console.print(Text(f"Nobody has been assigned to a condition of {experiment.experiment_id} yet."))
    for each in lists:
        console.print(Text(describe(each.allocation), style="bold"))
        table = Table.grid(padding=(0, 2))
        for name, value in _facts(each).items():
            table.add_row(f"  {name}", value)
        console.print(table)
        for contradiction in each.contradictions:
            console.print(Text(f"  {contradiction}", style="red"))


def _facts(verified: VerifiedList) -> dict[str, str]:
    counts = ", ".join(f"{name} {verified.by_condition[name]}" for name, _ in verified.allocation.weights)
    passed_over = f", {verified.passed_over} passed over (quota full)" if verified.passed_over else ""
    contradictions = len(verified.contradictions)
    agree = f"{contradictions} contradictions, see below" if contradictions else "as the seed gives it"
    return {
        **({"stratum": verified.stratum} if verified.stratum else {}),
        "sessions": counts,
        "places": f"{verified.given} given{passed_over}",
        "the list": agree,
        "logs": f"{verified.logs_read} of {verified.given} are there and were compared",
    }
