"""A session once more, from its log: the same core, the inputs and the model's answers as they were recorded.

Nothing is asked of a provider and no time passes. Every record that the core writes is held against the one that the
log has; all of them are equal, or the log was not written by these settings, this seed and this version of the core.
`timestamp` is not compared: it is the world's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import NamedTuple, Protocol

from experiments.workforce.replay import Table, begins_a_table
from simulation.codec import Record, encode
from simulation.contract import LoggedEvent
from simulation.events import (
    ClockJumped,
    ErrorRaised,
    LogRepaired,
    LogStalled,
    MessagePosted,
    MessageReported,
    MessagesSeen,
    ModelCalled,
    ModelDegraded,
    ParticipantArrived,
    ParticipantLost,
    ReactionAdded,
    SessionEnded,
    SessionResumed,
    SessionStarted,
    TurnDropped,
    UnknownEvent,
)
from simulation.inputs import (
    Crashed,
    EndRequested,
    Input,
    LogRecovered,
    ParticipantConnected,
    ParticipantDisconnected,
    ParticipantLeft,
    ParticipantPosted,
    ParticipantReacted,
    ParticipantReported,
    ParticipantSaw,
    Reopened,
    Tick,
    WallClockJumped,
)
from simulation.llm.recorded import Answer, answers_in
from simulation.parameters import PARTICIPANT
from simulation.room import Room

BY_THEMSELVES = ("duration_expired", "websocket_disconnect", "technical")
"""Ends that follow from the settings and the clock, without anybody asking."""


class Difference(NamedTuple):
    """Where the log and the core part: the record, and what the core wrote instead (None: nothing)."""

    record: Record
    instead: LoggedEvent | None


class Replay(NamedTuple):
    """`records` were the same, `messages` of them messages, `calls` of them calls of a model; `has_end`: the last is
    the session's end.
    """

    records: int
    messages: int
    calls: int
    has_end: bool
    difference: Difference | None


def replay(records: Sequence[Record]) -> Replay:
    """Re-execute a log; the first record must be its session_start."""
    same: list[Record] = [records[0]] if records else []
    difference = None
    for record, event in _side_by_side(_played(records), records):
        if event is None or _line(record, event) != _line(record, record.event):
            difference = Difference(record, event)
            break
        same.append(record)
    kinds = [type(record.event) for record in same]
    has_end = kinds[-1] is SessionEnded
    return Replay(len(same), kinds.count(MessagePosted), kinds.count(ModelCalled), has_end, difference)


class Played(Protocol):
    """A session that is played again: what it wrote when it got what it got before the record at `index`."""

    def from_here(self, index: int) -> Sequence[LoggedEvent]: ...

    def is_not_the_cores(self, event: LoggedEvent) -> bool:
        """Whether a record was written by somebody else than the core."""
        ...

    def is_taken_up(self, index: int) -> bool:
        """Whether the session was taken up from its log at `index`: what was not in the log then has not happened."""
        ...


def _played(records: Sequence[Record]) -> Played:
    start = records[0].event if records else None
    if begins_a_table(start):
        return Table(records)
    if not isinstance(start, SessionStarted):
        raise ValueError("a log begins with session_start")
    return Chat(start, records)


def _line(record: Record, event: LoggedEvent) -> bytes:
    return encode(record._replace(event=event))


def _side_by_side(played: Played, records: Sequence[Record]) -> Iterator[tuple[Record, LoggedEvent | None]]:
    """Yield each record with what the core writes in its place."""
    written: deque[LoggedEvent] = deque()
    for index, record in enumerate(records[1:], start=1):
        if played.is_taken_up(index):
            written.clear()
        if played.is_not_the_cores(record.event):
            yield record, record.event
            continue
        if not written:
            written += played.from_here(index)
        yield record, written.popleft() if written else None


class Chat:
    def __init__(self, start: SessionStarted, records: Sequence[Record]) -> None:
        self._core = Room(start)
        self._records = records
        self._answers = self._answers_from(1)

    def _answers_from(self, index: int) -> dict[str, Answer]:
        """Return what models answered from here on, as long as the session was not taken up anew: what had been asked
        before that was asked again.
        """
        going_on = takewhile(lambda record: not isinstance(record.event, SessionResumed), self._records[index:])
        return answers_in(going_on)

    def from_here(self, index: int) -> Sequence[LoggedEvent]:
        return self._core.handle(_input(self._records, index, self._answers), self._records[index].elapsed).events

    def is_not_the_cores(self, event: LoggedEvent) -> bool:
        return isinstance(event, LogRepaired | UnknownEvent)

    def is_taken_up(self, index: int) -> bool:
        if not isinstance(self._records[index].event, SessionResumed):
            return False
        self._core = Room.resume(record.event for record in self._records[:index])
        self._answers = self._answers_from(index + 1)
        return True


def _input(  # noqa: C901  one case an event
    records: Sequence[Record], index: int, answers: dict[str, Answer]
) -> Input:
    """Return what reached the session when it wrote this record first of all."""
    match records[index].event:
        case MessagePosted(sender=sender) as posted if sender == PARTICIPANT:
            return _posted(posted)
        case ReactionAdded(sender=sender) as reacted if sender == PARTICIPANT:
            return ParticipantReacted(message_id=reacted.message_id, emoji=reacted.emoji)
        case ParticipantArrived() as arrived:
            return ParticipantConnected(arrived.connection, arrived.resumable)
        case ParticipantLost() as lost:
            return ParticipantDisconnected(lost.connection, lost.code)
        case MessageReported() as reported:
            return ParticipantReported(message_id=reported.message_id, reason=reported.reason)
        case MessagesSeen(position=position):
            return ParticipantSaw(position)
        case SessionResumed(gap_seconds=seconds):
            return Reopened(seconds)
        case LogStalled(seconds=seconds):
            return LogRecovered(seconds)
        case ClockJumped(seconds=seconds):
            return WallClockJumped(seconds)
        case ModelCalled() as call:
            return answers[call.turn_id].arrived
        case ModelDegraded() | TurnDropped():
            return _unasked(records, index, answers)
        case ErrorRaised() as error:
            return Crashed(error.error_type, error.error_message, str(error.context.get("where")))
        case SessionEnded(reason=reason):
            return _end(reason)
    return Tick()


def _posted(posted: MessagePosted) -> ParticipantPosted:
    return ParticipantPosted(
        content=posted.content,
        client_message_id=posted.client_message_id,
        reply_to=posted.reply_to,
        mentions=posted.mentions,
    )


def _end(reason: str) -> Input:
    if reason in BY_THEMSELVES:
        return Tick()
    return ParticipantLeft() if reason == "withdrawn" else EndRequested(reason)


def _unasked(records: Sequence[Record], index: int, answers: dict[str, Answer]) -> Input:
    """Return what dropped a turn for which no call was made; a stale one is the clock's doing."""
    dropped = next((r.event for r in records[index:] if isinstance(r.event, TurnDropped)), None)
    if dropped is None or dropped.reason == "stale":
        return Tick()
    return answers[dropped.turn_id].arrived
