"""Tokens: made, listed and revoked by the researcher. What was made is known to its holder alone afterwards."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import insert, select, update

from experiments.store.credentials import new_short_code, new_token
from experiments.store.study import Study, moment
from experiments.store.tables import participants, sessions, tokens

ROWS_AT_ONCE = 500


async def create_tokens(
    study: Study, number: int, *, now: datetime, condition: str | None, expires_at: datetime | None, are_short: bool
) -> list[str]:
    """Make `number` tokens and return them. `condition` fixes that of their sessions, None leaves it to the list."""
    made = [new_short_code() if are_short else new_token() for _ in range(number)]
    rows = [
        {
            "experiment_id": study.experiment_id,
            "token_hash": study.keyring.hash_of_new(study.experiment_id, token, is_short=are_short),
            "condition": condition,
            "is_short": int(are_short),
            "created_at": moment(now),
            "expires_at": None if expires_at is None else moment(expires_at),
        }
        for token in made
    ]
    async with study.database.transaction() as connection:
        for start in range(0, len(rows), ROWS_AT_ONCE):
            await connection.execute(insert(tokens), rows[start : start + ROWS_AT_ONCE])
    return made


class ListedToken(NamedTuple):
    """A token for a list: by its number, since its text is not known here. `state` is `unused`, `declined`, the
    session's, or what keeps it from being used.
    """

    number: int
    condition: str | None
    created_at: str
    expires_at: str | None
    state: str
    outcome: str | None
    session_id: str | None


async def list_tokens(study: Study, now: datetime) -> list[ListedToken]:
    found = (
        select(tokens, participants.c.participant_id, sessions.c.session_id, sessions.c.state, sessions.c.outcome)
        .select_from(
            tokens.outerjoin(participants, participants.c.token_id == tokens.c.id).outerjoin(
                sessions, sessions.c.participant_id == participants.c.participant_id
            )
        )
        .where(tokens.c.experiment_id == study.experiment_id)
        .order_by(tokens.c.id)
    )
    async with study.database.transaction() as connection:
        rows = (await connection.execute(found)).all()
    return [
        ListedToken(
            row.id, row.condition, row.created_at, row.expires_at, _state(row, moment(now)), row.outcome, row.session_id
        )
        for row in rows
    ]


def _state(row: object, now: str) -> str:
    values = row._mapping  # type: ignore[attr-defined]
    if values["revoked_at"] is not None:
        return "revoked"
    if values["state"] is not None:
        return str(values["state"])
    if values["participant_id"] is not None:
        return "declined"
    return "expired" if values["expires_at"] is not None and values["expires_at"] <= now else "unused"


async def revoke_tokens(study: Study, given: Iterable[str], numbers: Iterable[int], now: datetime) -> int:
    """Let tokens, by their text or number, in no more; return how many there were that were not revoked before."""
    hashes = [each for token in given for each in study.keyring.tokens(study.experiment_id, token)]
    ours = tokens.c.experiment_id == study.experiment_id
    named = tokens.c.token_hash.in_(hashes) | tokens.c.id.in_(list(numbers))
    change = update(tokens).where(ours, named, tokens.c.revoked_at.is_(None)).values(revoked_at=moment(now))
    async with study.database.transaction() as connection:
        return (await connection.execute(change)).rowcount
