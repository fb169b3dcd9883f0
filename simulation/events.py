"""Facts, in the past tense: everything that ever happens to a session, and so the schema of its log.

Each class is one `event_type`; its fields, in this order, are the record's `data`, save `elapsed` (seconds since the
session started, on a clock that only goes forward), which stands in the envelope. Field names of the seed come first.
An event is the only thing that changes a state (`state.apply`), live and on replay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

from simulation.parameters import SimulationParameters

FORMAT_VERSION = 1


class Cause(StrEnum):
    """Why a turn was drawn."""

    BACKGROUND = "background"
    REACTION = "reaction"
    STIMULUS = "stimulus"


class Act(StrEnum):
    """What the agent does with its turn, and what `target` then names."""

    MESSAGE = "message"  # target: the message it answers, or None
    REPLY = "reply"  # target: the message it quotes
    MENTION = "mention"  # target: the member it addresses
    REACTION = "reaction"  # target: the message that gets the emoji


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    event_type: ClassVar[str]
    elapsed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStarted(Event):
    """The first record: all that is needed to read, resume and re-execute the rest.

    `levels` are the condition's, by factor; `assignment` says how the condition came about (method, allocation,
    sequence number, stratum), `consent` what the participant agreed to and when (version, sha256, given_at).
    """

    event_type: ClassVar[str] = "session_start"

    session_id: str
    experimental_config: Mapping[str, Any]
    simulation_config: Mapping[str, Any]
    format_version: int = FORMAT_VERSION
    experiment_id: str | None = None
    experiment_sha256: str | None = None
    condition: str | None = None
    levels: Mapping[str, str] = field(default_factory=dict)
    assignment: Mapping[str, Any] | None = None
    consent: Mapping[str, str] | None = None
    participant_id: str
    seed: int
    parameters: SimulationParameters
    settings_sha256: Mapping[str, str] = field(default_factory=dict)
    log_sync: str = "os"
    software: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantArrived(Event):
    event_type: ClassVar[str] = "participant_connected"

    connection: int
    resumable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantLost(Event):
    event_type: ClassVar[str] = "participant_disconnected"

    connection: int
    code: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionResumed(Event):
    """The session goes on after its server was stopped, or after it was laid aside, for `gap_seconds` of the world's
    time. Nobody is connected then. `elapsed` stood still meanwhile, or in a chat with `after_restart: wall_clock` it
    ran on; what was pending is put off by as much.
    """

    event_type: ClassVar[str] = "session_resumed"

    gap_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LogStalled(Event):
    """The log could not be written for so many seconds up to now. The clock ran on, nothing was done meanwhile, and
    what was pending is put off by as much.
    """

    event_type: ClassVar[str] = "log_stalled"

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockJumped(Event):
    """The world's clock was set forward (or back, below 0) by so many seconds: from here on `timestamp` is another
    clock's. `elapsed` knows nothing of it.
    """

    event_type: ClassVar[str] = "clock_jump"

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnDeferred(Event):
    """A turn was drawn while whoever could take it was busy; it waits, so that the rate stays true."""

    event_type: ClassVar[str] = "turn_waiting"

    turn_id: str
    agent_name: str | None
    cause: str
    target: str | None
    drawn_at: float
    replaces: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnPlanned(Event):
    """An agent got a turn.

    `drawn_at` is the moment of the draw: earlier than `elapsed` if the turn had to wait. `pace` says how much slower
    (above 1) or faster than usual the agent reads and types this time; `reading_seconds` has it in already.
    """

    event_type: ClassVar[str] = "turn_planned"

    turn_id: str
    agent_name: str
    cause: str
    act: str
    target: str | None
    drawn_at: float
    pace: float
    reading_seconds: float
    emoji: str | None = None
    replaces: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCalled(Event):
    event_type: ClassVar[str] = "llm_call"

    agent_name: str
    prompt: str
    response: str | None
    error: str | None
    turn_id: str
    provider: str
    requested_model: str
    served_model: str | None
    parameters: Mapping[str, Any]
    attempt: int
    status: str
    finish_reason: str | None
    latency_ms: int
    queue_ms: int
    input_tokens: int | None
    output_tokens: int | None
    thinking_tokens: int | None
    cached_tokens: int | None
    cost: float | None
    request_id: str | None
    http_status: int | None = None
    reason: str | None = None
    source: str = "model"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDegraded(Event):
    """From here on the model gives no answers; `reason` is the status of the turn that showed it."""

    event_type: ClassVar[str] = "llm_degraded"

    provider: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRecovered(Event):
    """The model answers again, after so many seconds."""

    event_type: ClassVar[str] = "llm_recovered"

    provider: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelMismatch(Event):
    """The provider answered with another model than the one that was asked for: said once for each."""

    event_type: ClassVar[str] = "llm_mismatch"

    provider: str
    requested_model: str
    served_model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StimulusBegun(Event):
    """A stimulus's moment has come: `number` counts them as the file does, from 1; `trigger` is what it waited for.
    The turn that shows it follows.
    """

    event_type: ClassVar[str] = "stimulus"

    number: int
    turn_id: str
    trigger: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnAnswered(Event):
    """Text is in hand. It was cleaned by the rules in `sanitized`, and is shown at `appears_at`."""

    event_type: ClassVar[str] = "turn_answered"

    turn_id: str
    agent_name: str
    content: str
    sanitized: tuple[str, ...]
    source: str
    typing_at: float
    appears_at: float
    card: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnDropped(Event):
    """A turn came to nothing; `reason` is the model's status or `stale`, `rules` what it broke if it was filtered."""

    event_type: ClassVar[str] = "turn_dropped"

    turn_id: str
    agent_name: str
    reason: str
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagePosted(Event):
    """A message. The record's `data` has a `timestamp` as well: the envelope's, where the seed has it.

    `card` is a news card (`headline`, `source`, `text`); `content` then is the same as text.
    """

    event_type: ClassVar[str] = "message"

    sender: str
    content: str
    message_id: str
    position: int
    reply_to: str | None = None
    mentions: tuple[str, ...] = ()
    client_message_id: str | None = None
    source: str
    turn_id: str | None = None
    sanitized: tuple[str, ...] = ()
    card: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReactionAdded(Event):
    event_type: ClassVar[str] = "reaction"

    message_id: str
    sender: str
    emoji: str
    position: int
    turn_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageReported(Event):
    """The participant reported a message; `reason` is what they said of it, if anything."""

    event_type: ClassVar[str] = "message_reported"

    message_id: str
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagesSeen(Event):
    """The participant's page has shown everything up to `position`."""

    event_type: ClassVar[str] = "messages_seen"

    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRaised(Event):
    event_type: ClassVar[str] = "error"

    error_type: str
    error_message: str
    context: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRepaired(Event):
    """A torn tail was moved out of the log, to `moved_to`, before anybody was told of it."""

    event_type: ClassVar[str] = "log_repaired"

    bytes_moved: int
    moved_to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantErased(Event):
    """What the log said was erased at the participant's `request`, or since its time was over (`retention`): `records`
    of it, of which digests and hashes stay. The last record of such a log.

    `calls`, `tokens` and `cost` are what budgets of `experiment_id` counted of the session, `by_day` the same three
    (UTC): they have been spent all the same.
    """

    event_type: ClassVar[str] = "participant_erased"

    records: int
    reason: str
    experiment_id: str | None
    calls: int
    tokens: int
    cost: float
    by_day: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEnded(Event):
    """The last record, but for that of an erasure."""

    event_type: ClassVar[str] = "session_end"

    session_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownEvent(Event):
    """A record of a type that this version does not know, kept as it is."""

    event_type: ClassVar[str] = ""

    name: str
    data: Mapping[str, Any]


KnownEvent = (
    SessionStarted
    | ParticipantArrived
    | ParticipantLost
    | SessionResumed
    | LogStalled
    | ClockJumped
    | TurnDeferred
    | TurnPlanned
    | ModelCalled
    | ModelDegraded
    | ModelRecovered
    | ModelMismatch
    | StimulusBegun
    | TurnAnswered
    | TurnDropped
    | MessagePosted
    | ReactionAdded
    | MessageReported
    | MessagesSeen
    | ErrorRaised
    | LogRepaired
    | ParticipantErased
    | SessionEnded
)
AnyEvent = KnownEvent | UnknownEvent
