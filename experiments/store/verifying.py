"""Whether what happened is what the seed gives: the lists of allocations made anew, and held against the sessions.

Three things are compared: each place that was given with the list that its seed, weights and blocks give; the session's
condition in the index with its place; and both with the condition in the session's log, which no database can change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

from experiments.assignment import Allocation
from experiments.errors import LogError
from experiments.eventlog.reader import read_records
from experiments.store.study import Study
from experiments.store.tables import allocations, assignments, sessions
from simulation.events import SessionStarted


@dataclass(frozen=True, slots=True)
class VerifiedList:
    """One list for one stratum: how many places were given to sessions and passed over, the sessions by condition, how
    many of their logs were read, and what does not agree.
    """

    allocation: Allocation
    stratum: str
    given: int
    passed_over: int
    by_condition: Counter[str]
    logs_read: int
    contradictions: tuple[str, ...]


async def verify(study: Study, log_dir: Path) -> list[VerifiedList]:
    """Compare every list of the experiment with what happened; logs that are not there are passed over."""
    found = (
        select(allocations.c.spec, assignments, sessions.c.condition.label("had"))
        .select_from(
            assignments.join(allocations, allocations.c.id == assignments.c.allocation_id).outerjoin(
                sessions, sessions.c.session_id == assignments.c.session_id
            )
        )
        .where(allocations.c.experiment_id == study.experiment_id)
        .order_by(assignments.c.allocation_id, assignments.c.stratum, assignments.c.sequence_number)
    )
    async with study.database.transaction() as connection:
        rows = (await connection.execute(found)).all()
    lists: dict[tuple[str, str], list[Any]] = {}
    for row in rows:
        lists.setdefault((row.spec, row.stratum), []).append(row)
    return [_verified(Allocation.from_spec(spec), stratum, each, log_dir) for (spec, stratum), each in lists.items()]


def _verified(allocation: Allocation, stratum: str, rows: list[Any], log_dir: Path) -> VerifiedList:
    logged = {row.session_id: _logged(log_dir, row.session_id) for row in rows if row.session_id is not None}
    return VerifiedList(
        allocation=allocation,
        stratum=stratum,
        given=len(logged),
        passed_over=len(rows) - len(logged),
        by_condition=Counter(row.condition for row in rows if row.session_id is not None),
        logs_read=sum(start is not None for start in logged.values()),
        contradictions=tuple(_contradictions(allocation, stratum, rows, logged)),
    )


def _contradictions(
    allocation: Allocation, stratum: str, rows: list[Any], logged: dict[str, SessionStarted | None]
) -> Iterator[str]:
    for expected, row in enumerate(rows, start=1):
        number = row.sequence_number
        if number != expected:
            yield f"place {expected} was never given, but place {number} was"
            return
        wanted = allocation.condition(stratum, number)
        if row.condition != wanted:
            yield f"place {number}: the list says {wanted}, the index {row.condition}"
        if row.session_id is None:
            continue
        if row.had != row.condition:
            yield f"place {number}: session {row.session_id} had {row.had}, its place is {row.condition}"
        start = logged[row.session_id]
        if start is not None and start.condition != row.condition:
            yield f"place {number}: the log of session {row.session_id} says {start.condition}, not {row.condition}"


def _logged(log_dir: Path, session_id: str) -> SessionStarted | None:
    """Return a session's first record, if its log is there and has one."""
    path = log_dir / f"{session_id}.json"
    try:
        first = next(read_records(path), None) if path.exists() else None
    except (LogError, OSError):
        return None
    return first.event if first is not None and isinstance(first.event, SessionStarted) else None
