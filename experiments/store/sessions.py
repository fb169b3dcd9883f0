"""The index of sessions: which are pending, live and over, and what their logs begin with."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from experiments.assignment import Allocation
from experiments.store.study import Study, moment
from experiments.store.tables import LIVE, OVER, PENDING, allocations, assignments, consents, panel_ids, sessions

OUTCOMES = {"duration_expired": "completed", "withdrawn": "withdrawn"}
"""End reason -> outcome. Every other end was nobody's wish: `technical`, so that nobody goes unpaid for it."""


def outcome_of(end_reason: str) -> str:
    return OUTCOMES.get(end_reason, "technical")


@dataclass(frozen=True, slots=True)
class Reserved:
    """A session as it stands in the index; `assignment` and `consent` as the first record has them."""

    session_id: str
    participant_id: str
    condition: str
    state: str
    assignment: Mapping[str, Any]
    consent: Mapping[str, str] | None


class Listed(NamedTuple):
    """A session for a list."""

    session_id: str
    participant_id: str
    condition: str
    sequence_number: int | None
    stratum: str | None
    state: str
    outcome: str | None
    end_reason: str | None
    created_at: str
    started_at: str | None
    ended_at: str | None
    erased_at: str | None
    experiment_sha256: str
    purpose: str


class Sessions:
    def __init__(self, study: Study, now: Callable[[], datetime]) -> None:
        self._study = study
        self._now = now

    async def reserved(self, session_id: str) -> Reserved | None:
        """Return a session of this experiment, None if there is none of that id."""
        async with self._study.database.transaction() as connection:
            return await self._reserved(connection, session_id)

    async def begin(self, session_id: str) -> Reserved | None:
        """Return a session as it was until now; one that waited for its participant is live from now on.

        None: there is none of that id, or the settings no longer have the condition in which it was to begin.
        """
        async with self._study.database.transaction() as connection:
            reserved = await self._reserved(connection, session_id)
            if reserved is not None and reserved.state == PENDING:
                if reserved.condition not in self._study.experiment.conditions:
                    return None
                sha256 = self._study.experiment.content_sha256
                values = {"state": LIVE, "started_at": moment(self._now()), "experiment_sha256": sha256}
                await _update(connection, session_id, values)
            return reserved

    async def _reserved(self, connection: AsyncConnection, session_id: str) -> Reserved | None:
        found = (
            select(
                sessions,
                assignments.c.stratum,
                assignments.c.sequence_number,
                allocations.c.spec,
                allocations.c.sha256.label("allocation_sha256"),
                consents,
            )
            .select_from(
                sessions.outerjoin(assignments, assignments.c.session_id == sessions.c.session_id)
                .outerjoin(allocations, allocations.c.id == assignments.c.allocation_id)
                .outerjoin(consents, consents.c.participant_id == sessions.c.participant_id)
            )
            .where(sessions.c.session_id == session_id, sessions.c.experiment_id == self._study.experiment_id)
        )
        row = (await connection.execute(found)).first()
        if row is None:
            return None
        return Reserved(
            session_id=row.session_id,
            participant_id=row.participant_id,
            condition=row.condition,
            state=row.state,
            assignment=_assignment(row),
            consent=_consent(row),
        )

    async def unbegun(self, session_id: str) -> None:
        """It was about to begin, and did not: it waits for its participant as before."""
        async with self._study.database.transaction() as connection:
            await _update(connection, session_id, {"state": PENDING, "started_at": None})

    async def ended(self, session_id: str, end_reason: str) -> None:
        values = {"end_reason": end_reason, "outcome": outcome_of(end_reason), "ended_at": moment(self._now())}
        async with self._study.database.transaction() as connection:
            await _update(connection, session_id, {"state": OVER, **values})

    async def unfinished(self) -> list[Any]:
        """Return session_id, condition and state of the sessions that were not over when last heard of."""
        chosen = select(sessions.c.session_id, sessions.c.condition, sessions.c.state)
        ours = (sessions.c.experiment_id == self._study.experiment_id) & (sessions.c.state != OVER)
        async with self._study.database.transaction() as connection:
            return list((await connection.execute(chosen.where(ours))).all())

    async def elsewhere(self) -> dict[str, int]:
        """Return how many sessions of other experiments of this data folder go on, by experiment."""
        found = (
            select(sessions.c.experiment_id, func.count())
            .where(sessions.c.experiment_id != self._study.experiment_id, sessions.c.state == LIVE)
            .group_by(sessions.c.experiment_id)
        )
        async with self._study.database.transaction() as connection:
            return {row[0]: row[1] for row in (await connection.execute(found)).all()}

    async def is_elsewhere(self, session_id: str) -> bool:
        """Whether a session goes on that belongs to another experiment of this data folder."""
        found = select(sessions.c.session_id).where(
            sessions.c.session_id == session_id,
            sessions.c.experiment_id != self._study.experiment_id,
            sessions.c.state == LIVE,
        )
        async with self._study.database.transaction() as connection:
            return (await connection.execute(found)).first() is not None

    async def linkage(self) -> list[tuple[str, dict[str, str]]]:
        """Return session id and the parameters of the panel's link, for those who came from a panel."""
        found = (
            select(sessions.c.session_id, panel_ids.c.parameters)
            .join(panel_ids, panel_ids.c.participant_id == sessions.c.participant_id)
            .where(sessions.c.experiment_id == self._study.experiment_id)
            .order_by(sessions.c.created_at)
        )
        async with self._study.database.transaction() as connection:
            rows = (await connection.execute(found)).all()
        return [(row.session_id, json.loads(row.parameters)) for row in rows]

    async def listed(self) -> list[Listed]:
        """Return all sessions of the experiment, in the order in which they were started."""
        found = (
            select(sessions, assignments.c.stratum, assignments.c.sequence_number)
            .select_from(sessions.outerjoin(assignments, assignments.c.session_id == sessions.c.session_id))
            .where(sessions.c.experiment_id == self._study.experiment_id)
            .order_by(sessions.c.created_at, sessions.c.session_id)
        )
        async with self._study.database.transaction() as connection:
            rows = (await connection.execute(found)).all()
        return [Listed(*(getattr(row, name) for name in Listed._fields)) for row in rows]


async def _update(connection: AsyncConnection, session_id: str, values: Mapping[str, str | None]) -> None:
    await connection.execute(update(sessions).where(sessions.c.session_id == session_id).values(dict(values)))


def _assignment(row: Any) -> dict[str, Any]:
    """How the condition came about: by the list in which the session has its place, also if that is another by now."""
    if row.sequence_number is None:
        return {"method": "token"}
    return {
        "method": Allocation.from_spec(row.spec).method,
        "sequence_number": row.sequence_number,
        "stratum": row.stratum,
        "allocation_sha256": row.allocation_sha256,
    }


def _consent(row: Any) -> dict[str, str] | None:
    if row.version is None:
        return None
    return {"version": row.version, "sha256": row.sha256, "given_at": row.decided_at}
