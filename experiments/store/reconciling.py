"""After a server was stopped or killed: the index learns from the logs what became of sessions. They are the truth."""

from __future__ import annotations

import logging
from collections.abc import Container

from experiments.errors import LogError
from experiments.eventlog.folder import LogFolder
from experiments.eventlog.reader import read_records
from experiments.store.sessions import Sessions
from experiments.store.tables import LIVE
from simulation.events import SessionEnded

logger = logging.getLogger("chatroom.store")

STOPPED = "server_shutdown"


async def reconcile(sessions: Sessions, logs: LogFolder, conditions: Container[str]) -> None:
    """Set right every session that is not over in the index, while no server runs it."""
    stranded = 0
    for row in await sessions.unfinished():
        if logs.file(row.session_id).exists():
            await sessions.ended(row.session_id, end_reason_in(logs, row.session_id))
        elif row.state == LIVE:
            logger.error("session %s was going on, and its log is not in %s", row.session_id[:8], logs.path)
            await sessions.ended(row.session_id, STOPPED)
        else:
            stranded += row.condition not in conditions
    if stranded:
        logger.error(
            "%d sessions were started in conditions that the settings no longer have: they cannot go on", stranded
        )


def end_reason_in(logs: LogFolder, session_id: str) -> str:
    """Return why a session that has a log is over, if it is not running: a log without an end was broken off."""
    reason = STOPPED
    try:
        for record in read_records(logs.file(session_id)):
            if isinstance(record.event, SessionEnded):
                reason = record.event.reason
    except (LogError, OSError):
        pass  # what a damaged log does not say, nobody knows
    return reason
