"""The state of a session, and `apply`, the only thing that changes one: live, on resume and on replay alike.

A state is the fold of its events, and is made of them: a turn is its TurnPlanned and TurnAnswered, a message its
MessagePosted. It holds nothing that is not in them, so a rebuilt state equals the live one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import reduce
from math import inf
from typing import Any, NamedTuple, assert_never

from simulation import pacing
from simulation.errors import SimulationError
from simulation.events import (
    AnyEvent,
    Cause,
    ClockJumped,
    ErrorRaised,
    LogRepaired,
    LogStalled,
    MessagePosted,
    MessageReported,
    MessagesSeen,
    ModelCalled,
    ModelDegraded,
    ModelMismatch,
    ModelRecovered,
    ParticipantArrived,
    ParticipantErased,
    ParticipantLost,
    ReactionAdded,
    SessionEnded,
    SessionResumed,
    SessionStarted,
    StimulusBegun,
    TurnAnswered,
    TurnDeferred,
    TurnDropped,
    TurnPlanned,
    UnknownEvent,
)
from simulation.parameters import MILLISECONDS, PARTICIPANT, SimulationParameters


class Turn(NamedTuple):
    """An agent's turn between its planning and its end.

    `seen` counts the messages that stood in the room when it was planned; `appears_at` is infinite until there is
    something to show.
    """

    planned: TurnPlanned
    seen: int
    answered: TurnAnswered | None
    appears_at: float


@dataclass(slots=True)
class SessionState:
    """`position` counts what the participant can see; `sent` maps their client_message_id to what they posted with it;
    `reactions` maps (message_id, member) to the emoji; `next_post_at` is the tick of the next background draw;
    `waiting` holds the turns that wait, oldest first, by the agent that they are for (None: anybody).

    `degraded_at` is since when the model gives no answers, `model_answered_at` when it last gave one; `failing_since`
    is when the first turn came to nothing since an agent last spoke, `failures` how many have; `served_models` are
    pairs of the model asked and another that answered. `stimuli_begun` are their numbers, from 1, and
    `stimuli_without_text`, by turn, those that come between two records of one step. `connections` is the
    highest number that a connection has had.

    `lost_at` is since when nobody is connected, `is_lost_by_us` whether that is the server's doing; `paused_at` since
    when agents wait for the participant's return. `unanswered` is the participant's message whose reaction was not
    drawn yet: between two records of one step, and after a crash that came between them. `seen` is a position.
    """

    start: SessionStarted
    next_post_at: float
    elapsed: float = 0.0
    position: int = 0
    messages: list[MessagePosted] = field(default_factory=list)
    by_id: dict[str, MessagePosted] = field(default_factory=dict)
    sent: dict[str, MessagePosted] = field(default_factory=dict)
    reactions: dict[tuple[str, str], str] = field(default_factory=dict)
    turns: dict[str, Turn] = field(default_factory=dict)
    waiting: dict[str | None, deque[TurnDeferred]] = field(default_factory=dict)
    turn_count: int = 0
    background_count: int = 0
    participant_message_count: int = 0
    connection: int | None = None
    connections: int = 0
    resumable: bool = False
    lost_at: float | None = None
    is_lost_by_us: bool = False
    paused_at: float | None = None
    unanswered: MessagePosted | None = None
    seen: int = 0
    degraded_at: float | None = None
    model_answered_at: float = 0.0
    failing_since: float | None = None
    failures: int = 0
    served_models: set[tuple[str, str]] = field(default_factory=set)
    stimuli_begun: set[int] = field(default_factory=set)
    stimuli_without_text: dict[str, int] = field(default_factory=dict)
    end_reason: str | None = None

    @property
    def parameters(self) -> SimulationParameters:
        return self.start.parameters

    def busy(self) -> set[str]:
        """The agents with an answer pending."""
        return {turn.planned.agent_name for turn in self.turns.values()}


def begin(start: SessionStarted) -> SessionState:
    """Return the state right after `session_start`."""
    first = inf if start.parameters.gate else pacing.next_post_at(start.parameters, start.seed, 0, 0.0)
    return SessionState(start, first)


def rebuild(events: Iterable[Any]) -> SessionState:
    """Fold a log's events; the first must be its SessionStarted."""
    remaining = iter(events)
    start = next(remaining, None)
    if not isinstance(start, SessionStarted):
        raise SimulationError("a log begins with session_start")
    return reduce(apply, remaining, begin(start))


def apply(state: SessionState, event: AnyEvent) -> SessionState:  # noqa: C901  one case an event
    """Let `event` have happened: change `state` accordingly and return it."""
    state.elapsed = event.elapsed
    match event:
        case MessagePosted():
            _posted(state, event)
        case TurnPlanned():
            _planned(state, event)
        case StimulusBegun():
            state.stimuli_begun.add(event.number)
            state.stimuli_without_text[event.turn_id] = event.number
        case TurnAnswered():
            _answered(state, event)
        case TurnDeferred():
            state.waiting.setdefault(event.agent_name, deque()).append(event)
            _count(state, event)
        case TurnDropped():
            state.turns.pop(event.turn_id, None)
            if event.reason != "stale":
                state.failures += 1
                state.failing_since = event.elapsed if state.failing_since is None else state.failing_since
        case ReactionAdded():
            _reacted(state, event)
        case ParticipantArrived():
            _arrived(state, event)
        case ParticipantLost():
            state.connection, state.lost_at, state.is_lost_by_us = None, event.elapsed, False
            _wait_for_return(state, event.elapsed)
        case SessionResumed():
            _resumed(state, event)
        case LogStalled():
            _put_off(state, event.elapsed, event.seconds)
        case MessagesSeen():
            state.seen = event.position
        case ModelCalled():
            if event.error is None and event.source == "model":
                state.model_answered_at = event.elapsed
        case ModelDegraded():
            state.degraded_at = event.elapsed
        case ModelRecovered():
            state.degraded_at = None
        case ModelMismatch():
            state.served_models.add((event.requested_model, event.served_model))
        case SessionEnded():
            state.end_reason = event.reason
            state.turns.clear()
            state.waiting.clear()
        case SessionStarted():
            raise SimulationError("a session starts once")
        case ErrorRaised() | LogRepaired() | ClockJumped() | MessageReported() | ParticipantErased() | UnknownEvent():
            pass
        case _:
            assert_never(event)
    return state


def _arrived(state: SessionState, event: ParticipantArrived) -> None:
    state.connection, state.resumable, state.lost_at = event.connection, event.resumable, None
    state.connections = max(state.connections, event.connection)
    if state.paused_at is not None:
        since, state.paused_at = state.paused_at, None
        _put_off(state, event.elapsed, event.elapsed - since)


def _wait_for_return(state: SessionState, now: float) -> None:
    if state.parameters.while_away == "pause" and state.paused_at is None:
        state.paused_at = now


def _resumed(state: SessionState, event: SessionResumed) -> None:
    if state.parameters.after_restart == "wall_clock":
        _put_off(state, event.elapsed, event.gap_seconds)
    state.connection, state.lost_at, state.is_lost_by_us = None, event.elapsed, True
    _wait_for_return(state, event.elapsed)


def _put_off(state: SessionState, now: float, seconds: float) -> None:
    """The last `seconds` up to now do not count for what is pending: let it come as much later. A turn that came to
    where it is within them has waited for the rest of them alone.
    """
    state.next_post_at = round(state.next_post_at + seconds, MILLISECONDS)
    if state.paused_at is not None:
        state.paused_at = round(state.paused_at + seconds, MILLISECONDS)
    for turn_id, turn in state.turns.items():
        begun = turn.answered.elapsed if turn.answered else turn.planned.elapsed
        later = min(seconds, now - begun)
        state.turns[turn_id] = turn._replace(appears_at=round(turn.appears_at + later, MILLISECONDS))


def _posted(state: SessionState, event: MessagePosted) -> None:
    state.position = event.position
    state.messages.append(event)
    state.by_id[event.message_id] = event
    if event.turn_id is not None:
        state.turns.pop(event.turn_id, None)
    if event.sender == PARTICIPANT:
        if state.parameters.gate and state.participant_message_count == 0:
            state.next_post_at = pacing.next_post_at(state.parameters, state.start.seed, 0, event.elapsed)
        state.participant_message_count += 1
        state.unanswered = event
        if event.client_message_id is not None:
            state.sent[event.client_message_id] = event
    elif event.source != Cause.STIMULUS:
        state.failing_since, state.failures = None, 0


def _planned(state: SessionState, event: TurnPlanned) -> None:
    if event.cause != Cause.STIMULUS and not _no_longer_waits(state, event):
        _count(state, event)
    # An emoji needs no model: it is given once the message has been read.
    appears_at = inf if event.emoji is None else round(event.elapsed + event.reading_seconds, 3)
    state.turns[event.turn_id] = Turn(event, len(state.messages), None, appears_at)


def _no_longer_waits(state: SessionState, event: TurnPlanned) -> bool:
    """Take a turn from the head of its queue; return whether it stood there."""
    for wanted in (event.agent_name, None):
        queue = state.waiting.get(wanted)
        if queue and queue[0].turn_id == event.turn_id:
            queue.popleft()
            return True
    return False


def _count(state: SessionState, event: TurnPlanned | TurnDeferred) -> None:
    """A new turn was drawn; if in the background, the next draw follows from this one."""
    state.turn_count += 1
    if state.unanswered is not None and event.cause == Cause.REACTION and event.target == state.unanswered.message_id:
        state.unanswered = None
    if event.cause == Cause.BACKGROUND and event.replaces is None:
        state.background_count += 1
        start = state.start
        state.next_post_at = pacing.next_post_at(start.parameters, start.seed, state.background_count, event.drawn_at)


def _answered(state: SessionState, event: TurnAnswered) -> None:
    turn = state.turns[event.turn_id]
    state.stimuli_without_text.pop(event.turn_id, None)
    state.turns[event.turn_id] = Turn(turn.planned, turn.seen, event, event.appears_at)


def _reacted(state: SessionState, event: ReactionAdded) -> None:
    state.position = event.position
    state.reactions[event.message_id, event.sender] = event.emoji
    if event.turn_id is not None:
        state.turns.pop(event.turn_id, None)
