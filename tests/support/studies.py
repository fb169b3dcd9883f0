"""A study with a real database, a clock that is turned by hand, and ids that count."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

from folders import write_settings

from experiments.experiment import load_experiment
from experiments.store.admission import Admissions, Applicant
from experiments.store.sessions import Sessions
from experiments.store.study import DataFolder, Study, open_study
from experiments.store.tokens import create_tokens

NOON = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
FOUR = {name: {"simulation": {"context_window_size": size}} for size, name in enumerate("abcd", start=20)}
"""Four conditions."""
IDS = count(1)


class StudyDesk:
    """Admits participants as the server does, at a time of choice."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.now = NOON
        self.admissions = Admissions(study, now=lambda: self.now, new_id=self._new_id)
        self.sessions = Sessions(study, lambda: self.now)

    def _new_id(self) -> str:
        return str(UUID(int=next(IDS)))

    def later(self, **by: float) -> None:
        self.now += timedelta(**by)

    async def starts(self, token: str | None = None, **details: Any) -> str:
        """Return the session that somebody gets."""
        return (await self.admissions.admit(Applicant(token=token, **details))).session_id

    async def resumes(self, token: str | None = None, **details: Any) -> str:
        return (await self.admissions.admit(Applicant(token=token, **details), resume_only=True)).session_id

    async def runs_whole(self, session_id: str, end_reason: str = "duration_expired") -> None:
        await self.sessions.begin(session_id)
        await self.sessions.ended(session_id, end_reason)

    async def conditions(self) -> list[str]:
        """The conditions of all sessions, in the order of their places."""
        listed = await self.sessions.listed()
        return [each.condition for each in sorted(listed, key=lambda each: each.sequence_number or 0)]

    async def tokens(self, number: int = 1, **details: Any) -> list[str]:
        values = {"now": self.now, "condition": None, "expires_at": None, "are_short": False}
        return await create_tokens(self.study, number, **(values | details))


@asynccontextmanager
async def studying(folder: Path, **experimental: Any):
    """Open the desk of an experiment with these experimental settings (open to everybody unless told otherwise)."""
    design = {"entry": {"mode": "open"}, "experiment_id": "study"} | experimental
    loaded = load_experiment(write_settings(folder / "config", experimental=design))
    (folder / "data").mkdir(exist_ok=True)
    study = await open_study(DataFolder.open(folder / "data"), loaded, NOON)
    try:
        yield StudyDesk(study)
    finally:
        await study.close()


async def tokens_for(folder: Path, number: int = 1, **details: Any) -> list[str]:
    """Make tokens beside the running server, as the command does."""
    study = await open_study(DataFolder.open(folder / "data"), load_experiment(folder / "config"), datetime.now(UTC))
    values = {"now": datetime.now(UTC), "condition": None, "expires_at": None, "are_short": False}
    try:
        return await create_tokens(study, number, **(values | details))
    finally:
        await study.close()
