"""What the index knows of a participant: found by whatever the researcher has of them, and erased.

A session's row stays for the flow of participants and for the list of allocations, under a participant whom nobody
knows. Linkage, consent, and everything by which the participant could be told again go; their token lets nobody in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from experiments.errors import SessionGoesOn
from experiments.store.study import Study, moment
from experiments.store.tables import (
    LIVE,
    OVER,
    PENDING,
    assignments,
    consents,
    panel_ids,
    participants,
    sessions,
    tokens,
)

ERASED, WITHDRAWN = "erased", "withdrawn"
"""End reason and outcome of a session that was not over when its participant was erased."""


@dataclass(frozen=True, slots=True)
class KnownParticipant:
    """A participant as the index has them; without a session (all of whose columns then are None) they declined.

    `panel` is what the panel's link said; `hashes` are those by which they are found again. `began_at`, `ended_at` and
    `erased_at` are moments as the tables have them.
    """

    participant_id: str
    session_id: str | None
    condition: str | None
    state: str | None
    outcome: str | None
    began_at: str
    ended_at: str | None
    erased_at: str | None
    token_number: int | None
    hashes: tuple[str, ...]
    panel: Mapping[str, str]
    consent: Mapping[str, str] | None


async def find(study: Study, code: str) -> KnownParticipant | None:
    """Return whose `code` is: an id of the participant, of their session or of the panel's, or their token."""
    code = code.strip()
    keys = study.keyring
    named = or_(
        participants.c.participant_id == code,
        sessions.c.session_id == code,
        tokens.c.token_hash.in_(keys.tokens(study.experiment_id, code)),
        panel_ids.c.id_hash == keys.of("panel", study.experiment_id, code),
    )
    async with study.database.transaction() as connection:
        row = (await connection.execute(_known(study).where(named))).first()
    return None if row is None else _participant(row)


async def due(study: Study, retain_days: int, now: datetime) -> list[KnownParticipant]:
    """Return whose time is over: so many days after their session's end, or their coming if they never chatted."""
    until = moment(now - timedelta(days=retain_days))
    has_ended = (sessions.c.state == OVER) & (func.coalesce(sessions.c.ended_at, sessions.c.created_at) <= until)
    never_began = (sessions.c.session_id.is_(None) | (sessions.c.state == PENDING)) & (
        participants.c.created_at <= until
    )
    found = _known(study).where(sessions.c.erased_at.is_(None), or_(has_ended, never_began))
    async with study.database.transaction() as connection:
        rows = (await connection.execute(found.order_by(participants.c.created_at))).all()
    return [_participant(row) for row in rows]


def _known(study: Study) -> Select[Any]:
    joined = (
        participants.outerjoin(sessions, sessions.c.participant_id == participants.c.participant_id)
        .outerjoin(tokens, tokens.c.id == participants.c.token_id)
        .outerjoin(panel_ids, panel_ids.c.participant_id == participants.c.participant_id)
        .outerjoin(consents, consents.c.participant_id == participants.c.participant_id)
    )
    columns = (
        participants.c.participant_id,
        participants.c.token_id,
        participants.c.visit_hash,
        participants.c.created_at.label("began_at"),
        sessions.c.session_id,
        sessions.c.condition,
        sessions.c.state,
        sessions.c.outcome,
        sessions.c.ended_at,
        sessions.c.erased_at,
        panel_ids.c.id_hash,
        panel_ids.c.parameters,
        consents.c.version,
        consents.c.sha256,
        consents.c.decision,
        consents.c.decided_at,
    )
    return select(*columns).select_from(joined).where(participants.c.experiment_id == study.experiment_id)


def _participant(row: Any) -> KnownParticipant:
    consent = {name: getattr(row, name) for name in ("version", "sha256", "decision", "decided_at")}
    return KnownParticipant(
        participant_id=row.participant_id,
        session_id=row.session_id,
        condition=row.condition,
        state=row.state,
        outcome=row.outcome,
        began_at=row.began_at,
        ended_at=row.ended_at,
        erased_at=row.erased_at,
        token_number=row.token_id,
        hashes=tuple(each for each in (row.visit_hash, row.id_hash) if each is not None),
        panel={} if row.parameters is None else json.loads(row.parameters),
        consent=None if row.version is None else consent,
    )


def panel_id(study: Study, participant: KnownParticipant) -> str | None:
    """Return by which of the panel's values they are told apart, None if they came from no panel."""
    hashes = {value: study.keyring.of("panel", study.experiment_id, value) for value in participant.panel.values()}
    return next((value for value, hash in hashes.items() if hash in participant.hashes), None)


async def panel_values_of_others(study: Study, participant: KnownParticipant) -> set[str]:
    """Return what the panel's links of all others said. What somebody shares with them tells nobody who it is, but for
    `panel_id`: that is the same person in another experiment.
    """
    others = select(panel_ids.c.parameters).where(panel_ids.c.participant_id != participant.participant_id)
    async with study.database.transaction() as connection:
        found = (await connection.execute(others)).scalars().all()
    return {value for parameters in found for value in json.loads(parameters).values()}


async def rows_of(study: Study, participant: KnownParticipant) -> dict[str, list[dict[str, Any]]]:
    """Return all that the index has of a participant: the rows of each table, as they stand."""
    of_theirs = {
        participants: participants.c.participant_id == participant.participant_id,
        tokens: tokens.c.id == participant.token_number,
        panel_ids: panel_ids.c.participant_id == participant.participant_id,
        consents: consents.c.participant_id == participant.participant_id,
        sessions: sessions.c.participant_id == participant.participant_id,
        assignments: assignments.c.session_id == participant.session_id,
    }
    async with study.database.transaction() as connection:
        found = {each.name: await connection.execute(select(each).where(it)) for each, it in of_theirs.items()}
        return {name: [dict(row._mapping) for row in rows] for name, rows in found.items()}


async def close_for_erasure(study: Study, participant: KnownParticipant, now: datetime, *, is_served: bool) -> None:
    """See to it that no server begins or goes on with the participant's session: it is over.

    `is_served`: a server runs, so that a session that goes on is being written: raises SessionGoesOn.
    """
    if participant.session_id is None:
        return
    ours = sessions.c.session_id == participant.session_id
    async with study.database.transaction() as connection:
        state = (await connection.execute(select(sessions.c.state).where(ours))).scalar()
        if state == LIVE and is_served:
            raise SessionGoesOn(participant.session_id)
        if state != OVER:
            end = {"state": OVER, "end_reason": ERASED, "outcome": WITHDRAWN, "ended_at": moment(now)}
            await connection.execute(update(sessions).where(ours).values(end))


async def erase_rows(study: Study, participant: KnownParticipant, now: datetime, nobodys_id: str) -> int:
    """Erase what the index knows of a participant; return how many rows are gone, none if somebody else was faster (a
    command beside a server). `nobodys_id` is a new random id.
    """
    is_there = select(participants.c.participant_id).where(participants.c.participant_id == participant.participant_id)
    async with study.database.transaction() as connection:
        if (await connection.execute(is_there)).first() is None:
            return 0
        await _hand_over(connection, study, participant, now, nobodys_id)
        if participant.token_number is not None:
            await _revoke(connection, participant.token_number)
        gone = 0
        for table in (panel_ids, consents, participants):
            of_theirs = table.c.participant_id == participant.participant_id
            gone += (await connection.execute(delete(table).where(of_theirs))).rowcount
        return gone


async def _hand_over(
    connection: AsyncConnection, study: Study, participant: KnownParticipant, now: datetime, nobodys_id: str
) -> None:
    """Let the session be somebody's whom nobody knows."""
    if participant.session_id is None:
        return
    nobody = {
        "participant_id": nobodys_id,
        "experiment_id": study.experiment_id,
        "created_at": participant.began_at,
    }
    await connection.execute(insert(participants).values(nobody))
    ours = sessions.c.session_id == participant.session_id
    handed_over = {"participant_id": nobodys_id, "erased_at": moment(now)}
    await connection.execute(update(sessions).where(ours).values(handed_over))


async def _revoke(connection: AsyncConnection, token_number: int) -> None:
    """Let nobody in with a token again. Not since now: the same moment at their session would tell whose that was."""
    theirs = (tokens.c.id == token_number) & tokens.c.revoked_at.is_(None)
    await connection.execute(update(tokens).where(theirs).values(revoked_at=tokens.c.created_at))
