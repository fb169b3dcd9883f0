"""After a server was stopped or killed: the index learns from the logs what became of sessions. They are the truth."""

from __future__ import annotations

import logging
from collections.abc import Container
from pathlib import Path

from experiments.eventlog.folder import LogFolder
from experiments.eventlog.reader import last_line, record_in
from experiments.store.sessions import Sessions
from experiments.store.tables import LIVE
from simulation.events import SessionEnded

logger = logging.getLogger("chatroom.store")

STOPPED = "server_shutdown"
"""Why a session is over that was going on, and whose log is gone or empty."""


async def reconcile(sessions: Sessions, logs: LogFolder, conditions: Container[str], ages: Container[str]) -> list[str]:
    """Set right every session that is not over in the index, while no server runs it; return the ids of those that are
    to go on. `ages` has those that were seen going on.
    """
    unfinished, stranded = [], 0
    for row in await sessions.unfinished():
        path = logs.file(row.session_id)
        if path.exists():
            line = _last_line(path)
            last = record_in(line)
            if last is not None and isinstance(last.event, SessionEnded):
                await sessions.ended(row.session_id, last.event.reason)
            elif line:
                unfinished.append(row.session_id)
            elif row.session_id in ages:
                logger.error("session %s was going on, and its log %s is empty", row.session_id[:8], path)
                await sessions.ended(row.session_id, STOPPED)
            else:  # nothing whole was ever written: nobody has been told that it began
                await sessions.unbegun(row.session_id)
        elif row.state == LIVE and row.session_id not in ages:  # a power cut took its log, and nobody had seen anything
            await sessions.unbegun(row.session_id)
        elif row.state == LIVE:
            logger.error("session %s was going on, and its log is not in %s", row.session_id[:8], logs.path)
            await sessions.ended(row.session_id, STOPPED)
        else:
            stranded += row.condition not in conditions
    if stranded:
        logger.error(
            "%d sessions were started in conditions that the settings no longer have: they cannot go on", stranded
        )
    for experiment_id, count in (await sessions.elsewhere()).items():
        logger.warning("sessions of the experiment %s that wait until that is served again: %d", experiment_id, count)
    return unfinished


def _last_line(path: Path) -> bytes:
    """Return a log's last line; of one that cannot be read, something: whoever goes on with it will be told why."""
    try:
        return last_line(path)
    except OSError as error:
        logger.error("the log %s cannot be read (%s)", path.name, error.strerror)
        return b"?"
