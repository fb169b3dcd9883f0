"""After a server was stopped or killed: the index learns from the logs what became of the sessions that were live."""

from __future__ import annotations

from experiments.errors import LogError
from experiments.eventlog.folder import LogFolder
from experiments.eventlog.reader import read_records
from experiments.store.sessions import Sessions
from simulation.events import SessionEnded

STOPPED = "server_shutdown"


async def reconcile(sessions: Sessions, logs: LogFolder) -> int:
    """Set right every session that is live in the index, while no server runs it; return how many there were."""
    left_over = await sessions.live()
    for session_id in left_over:
        if logs.file(session_id).exists():
            await sessions.ended(session_id, _end_reason(logs, session_id) or STOPPED)
        else:
            await sessions.unbegun(session_id)
    return len(left_over)


def _end_reason(logs: LogFolder, session_id: str) -> str | None:
    reason = None
    try:
        for record in read_records(logs.file(session_id)):
            if isinstance(record.event, SessionEnded):
                reason = record.event.reason
    except (LogError, OSError):
        pass  # what a damaged log does not say, nobody knows
    return reason
