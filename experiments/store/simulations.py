"""The index of workforce sessions and of their what-ifs: what is listed, and what an Idempotency-Key was used for.

What a session is stands in its log; what is kept here of it follows from the log and can be made anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import delete, func, insert, select, update

from experiments.store.database import Database
from experiments.store.tables import simulations, what_ifs


class SimulationRow(NamedTuple):
    """`status` is active, paused, completed or failed; moments are RFC 3339 in UTC."""

    session_id: str
    name: str | None
    description: str | None
    scenario: str
    status: str
    current_turn: int
    max_turns: int
    parent: str | None
    created_at: str
    updated_at: str


class WhatIfRow(NamedTuple):
    """`request` and `answer` are JSON; no `answer`: it is being played, or was broken off."""

    id: str
    session_id: str
    key_sha256: str | None
    request_sha256: str
    request: str
    base_turn: int
    answer: str | None
    created_at: str


class Page(NamedTuple):
    rows: list[SimulationRow]
    total: int


class Simulations:
    """Methods raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, row: SimulationRow) -> None:
        """List a session; one that is listed already stays as it is."""
        listed = select(simulations.c.session_id).where(simulations.c.session_id == row.session_id)
        async with self._database.transaction() as connection:
            if (await connection.execute(listed)).first() is None:
                await connection.execute(insert(simulations).values(row._asdict()))

    async def keep(self, row: SimulationRow) -> None:
        """Take note of how a session stands now; one that is not listed (any more) is not added."""
        values = {"status": row.status, "current_turn": row.current_turn, "updated_at": row.updated_at}
        changed = update(simulations).where(simulations.c.session_id == row.session_id).values(values)
        async with self._database.transaction() as connection:
            await connection.execute(changed)

    async def find(self, session_id: str) -> SimulationRow | None:
        async with self._database.transaction() as connection:
            found = select(simulations).where(simulations.c.session_id == session_id)
            row = (await connection.execute(found)).first()
        return None if row is None else SimulationRow(*row)

    async def remove(self, session_id: str) -> bool:
        """Take a session and its what-ifs out of the index; return whether it was there. Branches stay."""
        async with self._database.transaction() as connection:
            gone = await connection.execute(delete(simulations).where(simulations.c.session_id == session_id))
            return bool(gone.rowcount)

    async def page(self, status: str | None, limit: int, offset: int, *, branches: bool) -> Page:
        """Return a page of the sessions that fit, the newest first, and how many fit in all."""
        conditions = [] if status is None else [simulations.c.status == status]
        if not branches:
            conditions.append(simulations.c.parent.is_(None))
        table = simulations
        newest_first = (table.c.created_at.desc(), table.c.session_id.desc())
        wanted = select(table).where(*conditions).order_by(*newest_first).limit(limit).offset(offset)
        async with self._database.transaction() as connection:
            rows = (await connection.execute(wanted)).all()
            total = (await connection.execute(select(func.count()).select_from(table).where(*conditions))).scalar_one()
        return Page([SimulationRow(*row) for row in rows], total)

    async def going_on(self) -> list[SimulationRow]:
        """Return the sessions that are not over, as the index knows them."""
        wanted = select(simulations).where(simulations.c.status.in_(("active", "paused")))
        async with self._database.transaction() as connection:
            return [SimulationRow(*row) for row in (await connection.execute(wanted)).all()]

    # What-ifs

    async def add_what_if(self, row: WhatIfRow) -> None:
        async with self._database.transaction() as connection:
            await connection.execute(insert(what_ifs).values(row._asdict()))

    async def answered(self, what_if_id: str, answer: str) -> None:
        changed = update(what_ifs).where(what_ifs.c.id == what_if_id).values({"answer": answer})
        async with self._database.transaction() as connection:
            await connection.execute(changed)

    async def what_if_of_key(self, session_id: str, key_sha256: str) -> WhatIfRow | None:
        found = await self._what_ifs(what_ifs.c.session_id == session_id, what_ifs.c.key_sha256 == key_sha256)
        return found[0] if found else None

    async def what_if(self, session_id: str, what_if_id: str) -> WhatIfRow | None:
        found = await self._what_ifs(what_ifs.c.session_id == session_id, what_ifs.c.id == what_if_id)
        return found[0] if found else None

    async def what_ifs_of(self, session_id: str) -> Sequence[WhatIfRow]:
        """Return the what-ifs of a session, the newest first."""
        return await self._what_ifs(what_ifs.c.session_id == session_id)

    async def _what_ifs(self, *conditions: Any) -> list[WhatIfRow]:
        wanted = select(what_ifs).where(*conditions).order_by(what_ifs.c.created_at.desc(), what_ifs.c.id)
        async with self._database.transaction() as connection:
            return [WhatIfRow(*row) for row in (await connection.execute(wanted)).all()]
