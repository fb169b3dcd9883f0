"""Retention: what was said, and by whom, is erased when its time is over (`retain_days`)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from experiments.erasing import erase_participant
from experiments.errors import LogError, SessionGoesOn, StoreError
from experiments.store.erasing import due
from experiments.store.study import Study

logger = logging.getLogger("chatroom.retention")

EVERY_SECONDS = 3600.0
SHOWN_OF_ID = 8


async def keep_retention(study: Study, log_dir: Path, wall: Callable[[], datetime], new_id: Callable[[], str]) -> None:
    """Erase what is due now and then every hour, until cancelled. What cannot be erased is tried again then."""
    days = study.experiment.retain_days
    while days is not None:
        try:
            await erase_due(study, log_dir, days, wall(), new_id)
        except StoreError as error:
            logger.error("retention: not everything that is due could be erased: %s", error)
        await asyncio.sleep(EVERY_SECONDS)


async def erase_due(study: Study, log_dir: Path, retain_days: int, now: datetime, new_id: Callable[[], str]) -> int:
    """Erase whose time is over at `now`, beside the sessions that go on; return how many they were. Raises StoreError.

    Who comes into the chat at this very moment is left alone, and so is whose log cannot be written.
    """
    erased = 0
    for participant in await due(study, retain_days, now):
        whose = f"session {participant.session_id[:SHOWN_OF_ID]}" if participant.session_id else "who took no part"
        try:
            done = await erase_participant(
                study, log_dir, participant, reason="retention", now=now, nobodys_id=new_id(), is_served=True
            )
        except (LogError, SessionGoesOn) as error:
            logger.error("retention: %s is not erased: %s", whose, type(error).__name__)
            continue
        logger.info("retention: %s: %d records erased after %d days", whose, done.records, retain_days)
        erased += 1
    if erased:
        await study.database.compact()
    return erased
