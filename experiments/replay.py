"""A session once more, from its log: the same core, the inputs and the model's answers as they were recorded.

Nothing is asked of a provider and no time passes. Every record that the core writes is held against the one that the
log has; all of them are equal, or the log was not written by these settings, this seed and this version of the core.
`timestamp` is not compared: it is the world's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from simulation.codec import Record, encode
from simulation.events import (
    AnyEvent,
    ErrorRaised,
    LogRepaired,
    MessagePosted,
    ModelCalled,
    ModelDegraded,
    ParticipantArrived,
    ParticipantLost,
    ReactionAdded,
    SessionEnded,
    SessionStarted,
    TurnDropped,
    UnknownEvent,
)
from simulation.inputs import (
    Crashed,
    EndRequested,
    Input,
    ParticipantConnected,
    ParticipantDisconnected,
    ParticipantLeft,
    ParticipantPosted,
    ParticipantReacted,
    Tick,
)
from simulation.llm.recorded import Answer, answers_in
from simulation.parameters import PARTICIPANT
from simulation.room import Room

BY_THEMSELVES = ("duration_expired", "websocket_disconnect", "technical")
"""Ends that follow from the settings and the clock, without anybody asking."""


class Difference(NamedTuple):
    """Where the log and the core part: the record, and what the core wrote instead (None: nothing)."""

    record: Record
    instead: AnyEvent | None


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
    start = records[0].event if records else None
    if not isinstance(start, SessionStarted):
        raise ValueError("a log begins with session_start")
    same: list[Record] = [records[0]]
    difference = None
    for record, event in _side_by_side(start, records):
        if event is None or _line(record, event) != _line(record, record.event):
            difference = Difference(record, event)
            break
        same.append(record)
    kinds = [type(record.event) for record in same]
    has_end = kinds[-1] is SessionEnded
    return Replay(len(same), kinds.count(MessagePosted), kinds.count(ModelCalled), has_end, difference)


def _line(record: Record, event: AnyEvent) -> bytes:
    return encode(record._replace(event=event))


def _side_by_side(start: SessionStarted, records: Sequence[Record]) -> Iterator[tuple[Record, AnyEvent | None]]:
    """Yield each record with what the core writes in its place."""
    core, answers = Room(start), answers_in(records)
    written: deque[AnyEvent] = deque()
    for index, record in enumerate(records[1:], start=1):
        if isinstance(record.event, LogRepaired | UnknownEvent):
            yield record, record.event  # not the core's
            continue
        if not written:
            written += core.handle(_input(records, index, answers), record.elapsed).events
        yield record, written.popleft() if written else None


def _input(records: Sequence[Record], index: int, answers: dict[str, Answer]) -> Input:
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
