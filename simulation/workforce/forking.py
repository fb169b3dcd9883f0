"""A branch of a session: the records of its parent up to a round, and then its own.

A branch is a whole log: its first record names the parent, the fork point and the change, the parent's records follow
as they are (but numbered anew), and `session_forked` stands where the two part. The parent's log is not touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from simulation.codec import Record
from simulation.events import LogRepaired, SessionEnded
from simulation.workforce.events import (
    RoundStarted,
    SessionContinued,
    SessionForked,
    SessionPaused,
    WorkforceStarted,
)

LEFT_OUT = (SessionPaused, SessionContinued, SessionEnded, LogRepaired, WorkforceStarted)
"""What concerns the parent alone: a branch of a session that is paused, or over, can be played."""


def branch(records: Iterable[Record], start: WorkforceStarted, forked: SessionForked, timestamp: str) -> list[Record]:
    """Return the first records of a branch that begins with `start` and leaves its parent, whose `records` these are,
    after round `forked.base_turn`. `timestamp` is the fork's.
    """
    elapsed = 0.0
    kept = [Record(1, timestamp, start)]
    for record in until(records, forked.base_turn):
        if not isinstance(record.event, LEFT_OUT):
            kept.append(record._replace(seq=len(kept) + 1))
            elapsed = record.elapsed
    fork = SessionForked(
        elapsed=elapsed,
        parent=forked.parent,
        base_turn=forked.base_turn,
        modifications=forked.modifications,
        max_turns=forked.max_turns,
    )
    return [*kept, Record(len(kept) + 1, timestamp, fork)]


def until(records: Iterable[Record], base_turn: int) -> Iterator[Record]:
    """Yield what was written before the round after `base_turn` began."""
    for record in records:
        event = record.event
        if isinstance(event, RoundStarted) and event.turn_number > base_turn:
            return
        yield record
