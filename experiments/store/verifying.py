"""Whether what happened is what the seed gives: the lists of allocations made anew, and held against the sessions.

Compared are: each place that was given with the list that its seed, weights and blocks give; the condition of each
session in the index with its place; and both with the session's log, which no change of the database changes. Then the
other way round: a session without a place, or a log that the index does not know, is told as well.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from experiments.assignment import Allocation
from experiments.errors import ErasedLog, LogError
from experiments.eventlog.reader import last_line, read_records, record_in
from experiments.store.study import Study
from experiments.store.tables import PENDING, allocations, assignments, participants, sessions, tokens
from simulation.contract import LoggedEvent
from simulation.events import ParticipantErased, SessionStarted
from simulation.workforce.events import WorkforceStarted


@dataclass(frozen=True, slots=True)
class VerifiedList:
    """One list for one stratum: how many places were given to sessions and passed over, the sessions by condition, how
    many of their logs were compared and how many are erased, and what does not agree.
    """

    allocation: Allocation
    stratum: str
    given: int
    passed_over: int
    by_condition: Counter[str]
    logs_read: int
    logs_erased: int
    contradictions: tuple[str, ...]


class Verification(NamedTuple):
    """`strays` are sessions and logs that belong to no list; `is_current`: whether the settings still ask for a list
    that was used (or none was).
    """

    lists: list[VerifiedList]
    strays: list[str]
    is_current: bool

    @property
    def agrees(self) -> bool:
        return not self.strays and not any(each.contradictions for each in self.lists)


Logs = dict[str, SessionStarted | ParticipantErased | None]
"""Session id -> first record, of an erased log what stands in its place; None where the log cannot be read."""


async def verify(study: Study, log_dir: Path) -> Verification:
    """Compare every list of the experiment with what happened."""
    logs = _logs(study, log_dir)
    async with study.database.transaction() as connection:
        rows = await _places(connection, study)
        strays = await _sessions_without_a_place(connection, study)
        known = await _session_ids(connection, study)
    strays += [f"the log of session {name} is not in the index" for name in logs if name not in known]
    by_list: dict[tuple[int, str], list[Any]] = {}
    for row in rows:
        by_list.setdefault((row.allocation_id, row.stratum), []).append(row)
    lists = [_verified(study, each, logs) for each in by_list.values()]
    return Verification(lists, strays, not rows or study.allocation.sha256 in {row.sha256 for row in rows})


def _logs(study: Study, log_dir: Path) -> Logs:
    """Read the first records of the experiment's logs; those of others are passed over."""
    found = {path.stem: _first(path) for path in sorted(log_dir.glob("*.json"))}
    return {
        name: start if isinstance(start, SessionStarted | ParticipantErased) else None
        for name, start in found.items()
        if not isinstance(start, WorkforceStarted)
        and (not isinstance(start, SessionStarted | ParticipantErased) or start.experiment_id == study.experiment_id)
    }


def _first(path: Path) -> LoggedEvent | None:
    try:
        first = next(read_records(path), None)
    except ErasedLog:
        first = record_in(last_line(path))
    except (LogError, OSError):
        return None
    return first.event if first is not None else None


async def _places(connection: AsyncConnection, study: Study) -> list[Any]:
    had = sessions.c.condition.label("had")
    found = (
        select(allocations.c.spec, allocations.c.sha256, assignments, had, sessions.c.state, sessions.c.erased_at)
        .select_from(
            assignments.join(allocations, allocations.c.id == assignments.c.allocation_id).outerjoin(
                sessions, sessions.c.session_id == assignments.c.session_id
            )
        )
        .where(allocations.c.experiment_id == study.experiment_id)
        .order_by(assignments.c.allocation_id, assignments.c.stratum, assignments.c.sequence_number)
    )
    return list((await connection.execute(found)).all())


async def _sessions_without_a_place(connection: AsyncConnection, study: Study) -> list[str]:
    """Name the sessions that have no place, but for those whose token fixed the condition that they have."""
    found = (
        select(sessions.c.session_id)
        .select_from(
            sessions.join(participants, participants.c.participant_id == sessions.c.participant_id)
            .outerjoin(tokens, tokens.c.id == participants.c.token_id)
            .outerjoin(assignments, assignments.c.session_id == sessions.c.session_id)
        )
        .where(sessions.c.experiment_id == study.experiment_id, assignments.c.session_id.is_(None))
        .where(or_(tokens.c.condition.is_(None), tokens.c.condition != sessions.c.condition))
        .where(sessions.c.erased_at.is_(None))  # which token it was is no longer known
    )
    return [f"session {name} has no place in a list" for name in (await connection.execute(found)).scalars()]


async def _session_ids(connection: AsyncConnection, study: Study) -> set[str]:
    ours = select(sessions.c.session_id).where(sessions.c.experiment_id == study.experiment_id)
    return set((await connection.execute(ours)).scalars())


def _verified(study: Study, rows: list[Any], logs: Logs) -> VerifiedList:
    taken = [row for row in rows if row.session_id is not None]
    is_whole = hashlib.sha256(rows[0].spec.encode()).hexdigest() == rows[0].sha256
    allocation = Allocation.from_spec(rows[0].spec) if is_whole else study.allocation
    told = [] if is_whole else ["what the list follows from was changed: it is not what its hash says"]
    for number, row in enumerate(rows, start=1):
        told += _contradictions(study, allocation, number, row, logs)
    return VerifiedList(
        allocation=allocation,
        stratum=rows[0].stratum,
        given=len(taken),
        passed_over=len(rows) - len(taken),
        by_condition=Counter(row.condition for row in taken),
        logs_read=sum(isinstance(logs.get(row.session_id), SessionStarted) for row in taken),
        logs_erased=sum(row.erased_at is not None for row in taken),
        contradictions=tuple(told),
    )


def _contradictions(study: Study, allocation: Allocation, expected: int, row: Any, logs: Logs) -> Iterator[str]:
    number = row.sequence_number
    if number != expected:
        yield f"place {expected} was never given, but place {number} was"
        return
    wanted = allocation.condition(row.stratum, number)
    if row.condition != wanted:
        yield f"place {number}: the list says {wanted}, the index {row.condition}"
    if row.session_id is None:
        if not study.experiment.settings.assignment.quotas:
            yield f"place {number} is empty, and there are no quotas for which it could have been passed over"
        return
    if row.had != row.condition:
        yield f"place {number}: session {row.session_id} had {row.had}, its place is {row.condition}"
    if row.state != PENDING and row.erased_at is None:
        yield from _against_its_log(row, logs)


def _against_its_log(row: Any, logs: Logs) -> Iterator[str]:
    where = f"place {row.sequence_number}: the log of session {row.session_id}"
    start = logs.get(row.session_id)
    if isinstance(start, ParticipantErased):
        yield f"{where} is erased, and the index does not know of it: delete them once more"
        return
    if start is None:
        yield f"{where} {'cannot be read' if row.session_id in logs else 'is not there'}"
        return
    said = (start.session_id, start.condition, *_place_in(start))
    index = (row.session_id, row.condition, row.sequence_number, row.stratum, row.sha256)
    for name, in_log, in_index in zip(("session", "condition", "place", "stratum", "list"), said, index, strict=True):
        if in_log != in_index:
            yield f"{where} says {name} {in_log}, the index {in_index}"


def _place_in(start: SessionStarted) -> tuple[Any, Any, Any]:
    assignment = start.assignment or {}
    return assignment.get("sequence_number"), assignment.get("stratum"), assignment.get("allocation_sha256")
