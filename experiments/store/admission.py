"""Who gets a session, and which: found or made, with its condition, in one transaction.

Theory of operation
===================

Somebody applies with a token, with what a panel's link says, or with nothing. Whoever has begun already gets the same
session again while it is not over, and afterwards what is due to them, however often they ask. For anybody else every
reason to refuse is looked at first; then participant, session, place in the list of allocations, linkage and consent
are written together. So a start that fails leaves nothing behind, a token is spent exactly when there is a session, and
any number of starts at once come to one.

Invariants
==========

* The places of a list are given in order, without gap. A place whose condition is full is passed over, and stands in
  the table without a session; that happens only where there are quotas.
* Unknown, revoked and expired tokens take the same way through the code and end in the same error. One with which
  somebody has begun is theirs, whatever became of it since.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import and_, func, insert, or_, select
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from experiments.entry import DEMO_TOKEN
from experiments.errors import (
    AlreadyBegun,
    ConsentNeeded,
    NoRoom,
    NotOpen,
    NotStarted,
    SessionOver,
    StudyFull,
    UnknownCredential,
)
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

PLACE_KEPT = timedelta(minutes=15)
"""How long a started session that nobody has connected to counts as one that goes on."""
NOBODYS = -1
"""A token's id that no token has."""


@dataclass(frozen=True, slots=True)
class Applicant:
    """What somebody brings: `token`; `parameters` of their link; `visit`, by which an open page tells itself apart;
    `consent` the version that they agreed to.
    """

    token: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    visit: str | None = None
    consent: str | None = None


class Admitted(NamedTuple):
    session_id: str
    is_new: bool


class _Known(NamedTuple):
    """Whose credential it is: the columns by which their participant is found, and what a token fixes."""

    token_id: int | None = None
    visit_hash: str | None = None
    panel_hash: str | None = None
    condition: str | None = None
    is_spent: bool = False


class Place(NamedTuple):
    """A place of the list, None where the token fixed the condition."""

    condition: str
    stratum: str | None = None
    sequence_number: int | None = None


class Admissions:
    def __init__(self, study: Study, *, now: Callable[[], datetime], new_id: Callable[[], str]) -> None:
        self._study = study
        self._now = now
        self._new_id = new_id

    async def admit(
        self, applicant: Applicant, *, resume_only: bool = False, before_new: Callable[[], None] = lambda: None
    ) -> Admitted:
        """Return the applicant's session; raise NotAdmitted with the reason why there is none.

        `before_new` is called before a new session would be made, and may raise to prevent it. `resume_only` makes
        none, but tells what would keep one from being made.
        """
        async with self._study.database.transaction() as connection:
            known = await self._identify(connection, applicant)
            participant = await self._participant(connection, known)
            if participant is not None:
                return self._again(participant)
            self._refuse_outside_the_window()
            before_new()
            if resume_only:
                raise NotStarted
            self._refuse_without_consent(applicant)
            place = await self._place(connection, known, applicant)
            return await self._begin(connection, known, applicant, place)

    async def decline(self, applicant: Applicant, version: str) -> SessionOver:
        """Keep that no consent was given; return what is due. Who has begun already cannot decline any more."""
        async with self._study.database.transaction() as connection:
            known = await self._identify(connection, applicant)
            participant = await self._participant(connection, known)
            if participant is not None:
                self._again(participant)
                raise AlreadyBegun
            consent = self._study.experiment.screens.consent
            if consent is None or version != consent.version:
                raise ConsentNeeded
            participant_id = await self._add_participant(connection, known, applicant)
            await self._decide(connection, participant_id, version, "declined")
        return SessionOver("declined", applicant.parameters)

    # Who it is

    async def _identify(self, connection: AsyncConnection, applicant: Applicant) -> _Known:
        mode = self._study.experiment.entry.mode
        if mode == "panel":
            return self._of_panel(applicant)
        if mode == "tokens":
            return await self._of_token(connection, applicant.token or "")
        if mode == "demo" and applicant.token != DEMO_TOKEN:
            raise UnknownCredential
        visit = applicant.visit and self._hash("visit", applicant.visit)
        return _Known(visit_hash=visit or None)

    def _of_panel(self, applicant: Applicant) -> _Known:
        panel = self._study.experiment.entry.panel
        assert panel is not None
        return _Known(panel_hash=self._hash("panel", applicant.parameters[panel.participant]))

    def _hash(self, kind: str, text: str) -> str:
        return self._study.keyring.of(kind, self._study.experiment_id, text)

    async def _of_token(self, connection: AsyncConnection, token: str) -> _Known:
        hashes = self._study.keyring.tokens(self._study.experiment_id, token)
        row = (await connection.execute(select(tokens).where(tokens.c.token_hash.in_(hashes)))).first()
        if row is None:
            return _Known(token_id=NOBODYS, is_spent=True)
        is_expired = row.expires_at is not None and row.expires_at <= moment(self._now())
        is_of_here = row.condition in (None, *self._study.experiment.conditions)
        is_spent = is_expired or row.revoked_at is not None or not is_of_here
        return _Known(token_id=row.id, condition=row.condition, is_spent=is_spent)

    async def _participant(self, connection: AsyncConnection, known: _Known) -> Row[Any] | None:
        """Return who has begun (or declined) with this, with their session if they have one.

        What lets nobody in is looked up like everything else before it is refused: time is not to tell it apart.
        """
        is_theirs = self._is_theirs(known)
        if is_theirs is None:
            return None
        found = select(participants.c.participant_id, sessions, panel_ids.c.parameters).select_from(
            participants.outerjoin(sessions, sessions.c.participant_id == participants.c.participant_id).outerjoin(
                panel_ids, panel_ids.c.participant_id == participants.c.participant_id
            )
        )
        participant = (await connection.execute(found.where(is_theirs))).first()
        if known.is_spent and participant is None:  # who has begun may go on, and is given what is due
            raise UnknownCredential
        return participant

    @staticmethod
    def _is_theirs(known: _Known) -> Any:
        if known.token_id is not None:
            return participants.c.token_id == known.token_id
        if known.visit_hash is not None:
            return participants.c.visit_hash == known.visit_hash
        return None if known.panel_hash is None else panel_ids.c.id_hash == known.panel_hash

    @staticmethod
    def _again(participant: Row[Any]) -> Admitted:
        parameters = json.loads(participant.parameters) if participant.parameters else {}
        if participant.session_id is None:
            raise SessionOver("declined", parameters)
        if participant.state == OVER:
            raise SessionOver(participant.outcome, parameters)
        return Admitted(participant.session_id, is_new=False)

    # Whether they may begin

    def _refuse_outside_the_window(self) -> None:
        entry, now = self._study.experiment.entry, self._now()
        if not entry.is_open(now):
            raise NotOpen(entry.opens_at if entry.opens_at and now < entry.opens_at else None)

    def _refuse_without_consent(self, applicant: Applicant) -> None:
        consent = self._study.experiment.screens.consent
        if consent is not None and applicant.consent != consent.version:
            raise ConsentNeeded

    async def _place(self, connection: AsyncConnection, known: _Known, applicant: Applicant) -> Place:
        """Return the condition that comes next, or the one that the token fixes; raise if there is no room."""
        experiment = self._study.experiment
        limit, quotas = experiment.entry.max_live_sessions, experiment.settings.assignment.quotas
        counts = await self._counts(connection) if limit is not None or quotas else {}
        if limit is not None and sum(each.under_way for each in counts.values()) >= limit:
            raise NoRoom
        full = {name for name, quota in quotas.items() if name in counts and counts[name].taken >= quota}
        if known.condition is not None:
            if known.condition in full:
                raise self._full(counts, (known.condition,))
            return Place(known.condition)
        if full >= set(experiment.conditions):
            raise self._full(counts, tuple(experiment.conditions))
        return await self._next_place(connection, self._study.allocation.stratum(applicant.parameters), full)

    def _full(self, counts: Mapping[str, _Count], names: tuple[str, ...]) -> StudyFull | NoRoom:
        """Whether all that was wanted has been completed, or might still fall short of it."""
        quotas = self._study.experiment.settings.assignment.quotas
        is_done = all(counts[name].completed >= quotas[name] for name in names)
        return StudyFull("every quota is reached") if is_done else NoRoom("all places are taken for the moment")

    async def _counts(self, connection: AsyncConnection) -> dict[str, _Count]:
        kept_since = moment(self._now() - PLACE_KEPT)
        s = sessions.c
        is_under_way = or_(s.state == LIVE, and_(s.state == PENDING, s.created_at > kept_since))
        is_completed = and_(s.state == OVER, s.outcome == "completed")
        ours = and_(s.experiment_id == self._study.experiment_id, s.purpose == self._study.purpose)
        rows = await connection.execute(
            select(
                s.condition,
                func.count().filter(is_under_way).label("under_way"),
                func.count().filter(is_completed).label("completed"),
            )
            .where(ours)
            .group_by(s.condition)
        )
        return {row.condition: _Count(row.under_way, row.completed) for row in rows}

    async def _next_place(self, connection: AsyncConnection, stratum: str, full: set[str]) -> Place:
        a, allocation_id = assignments.c, self._study.allocation_id
        last = select(func.max(a.sequence_number)).where(a.allocation_id == allocation_id, a.stratum == stratum)
        number = ((await connection.execute(last)).scalar() or 0) + 1
        passed_over: list[Place] = []
        while (condition := self._study.allocation.condition(stratum, number)) in full:
            passed_over.append(Place(condition, stratum, number))
            number += 1
        if passed_over:
            await connection.execute(insert(assignments), [self._row(place, None) for place in passed_over])
        return Place(condition, stratum, number)

    # What is written

    async def _begin(self, connection: AsyncConnection, known: _Known, applicant: Applicant, place: Place) -> Admitted:
        participant_id = await self._add_participant(connection, known, applicant)
        if applicant.consent is not None and self._study.experiment.screens.consent is not None:
            await self._decide(connection, participant_id, applicant.consent, "given")
        session_id = self._new_id()
        await connection.execute(
            insert(sessions).values(
                session_id=session_id,
                participant_id=participant_id,
                experiment_id=self._study.experiment_id,
                experiment_sha256=self._study.experiment.content_sha256,
                purpose=self._study.purpose,
                condition=place.condition,
                state=PENDING,
                created_at=moment(self._now()),
            )
        )
        if place.sequence_number is not None:
            await self._keep_place(connection, place, session_id)
        return Admitted(session_id, is_new=True)

    async def _add_participant(self, connection: AsyncConnection, known: _Known, applicant: Applicant) -> str:
        participant_id = self._new_id()
        await connection.execute(
            insert(participants).values(
                participant_id=participant_id,
                experiment_id=self._study.experiment_id,
                token_id=known.token_id,
                visit_hash=known.visit_hash,
                created_at=moment(self._now()),
            )
        )
        if known.panel_hash is not None:
            linkage = json.dumps(dict(applicant.parameters), ensure_ascii=False)
            values = {"participant_id": participant_id, "id_hash": known.panel_hash, "parameters": linkage}
            await connection.execute(insert(panel_ids).values(values))
        return participant_id

    async def _decide(self, connection: AsyncConnection, participant_id: str, version: str, decision: str) -> None:
        consent = self._study.experiment.screens.consent
        await connection.execute(
            insert(consents).values(
                participant_id=participant_id,
                version=version,
                sha256=hashlib.sha256((consent.text if consent else "").encode()).hexdigest(),
                decision=decision,
                decided_at=moment(self._now()),
            )
        )

    async def _keep_place(self, connection: AsyncConnection, place: Place, session_id: str) -> None:
        await connection.execute(insert(assignments).values(self._row(place, session_id)))

    def _row(self, place: Place, session_id: str | None) -> dict[str, Any]:
        return {
            "allocation_id": self._study.allocation_id,
            "stratum": place.stratum,
            "sequence_number": place.sequence_number,
            "condition": place.condition,
            "session_id": session_id,
        }


class _Count(NamedTuple):
    under_way: int
    completed: int

    @property
    def taken(self) -> int:
        return self.under_way + self.completed
