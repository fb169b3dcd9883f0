"""What reaches a session. A core is told `handle(input, now)` and knows nothing else of the world."""

from __future__ import annotations

from dataclasses import dataclass

from simulation.generation import Attempt, Generation


@dataclass(frozen=True, slots=True)
class ParticipantConnected:
    """A connection now speaks for the participant. `resumable`: it can come back after a loss."""

    connection: int
    resumable: bool


@dataclass(frozen=True, slots=True)
class ParticipantDisconnected:
    connection: int
    code: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantPosted:
    content: str
    client_message_id: str | None = None
    reply_to: str | None = None
    mentions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantReacted:
    message_id: str
    emoji: str


@dataclass(frozen=True, slots=True)
class ParticipantLeft:
    """The participant's wish to stop: a withdrawal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantReported:
    message_id: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ParticipantSaw:
    """Their page has shown everything up to `position`."""

    position: int


@dataclass(frozen=True, slots=True)
class Reopened:
    """The session is taken up again after `gap_seconds` of the world's time; whatever was under way is not any more."""

    gap_seconds: float


@dataclass(frozen=True, slots=True)
class LogRecovered:
    """The log can be written again; for `seconds` it could not, and nothing was handed to the core."""

    seconds: float


@dataclass(frozen=True, slots=True)
class WallClockJumped:
    """The world's clock was set, by so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationArrived:
    """What became of a turn: its `status`, the answer if there is one, and every attempt that was made for it.

    There may be none: a call is not made where it would be in vain (the budget is spent, the key was refused).
    """

    turn_id: str
    agent_name: str
    prompt: str
    status: str
    generation: Generation | None = None
    attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True, slots=True)
class Tick:
    """The clock's pulse: whatever has come due, do it."""


@dataclass(frozen=True, slots=True)
class EndRequested:
    """Somebody other than the participant ends the session."""

    reason: str


@dataclass(frozen=True, slots=True)
class Crashed:
    """The runtime caught an error that nobody foresaw: the session ends, and the log says why."""

    error_type: str
    error_message: str
    context: str


Input = (
    ParticipantConnected
    | ParticipantDisconnected
    | ParticipantPosted
    | ParticipantReacted
    | ParticipantReported
    | ParticipantSaw
    | ParticipantLeft
    | Reopened
    | LogRecovered
    | WallClockJumped
    | GenerationArrived
    | Tick
    | EndRequested
    | Crashed
)
