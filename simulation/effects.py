"""What the runtime must do: imperatives, never logged.

There is no effect that shows a message: whoever shows something reads it from the records that the log has kept. So
nothing can be shown that was not written first, and a returning client gets the bytes that it would have got live.
"""

from __future__ import annotations

from dataclasses import dataclass

from simulation.generation import GenerateRequest


@dataclass(frozen=True, slots=True)
class Generate:
    """Ask the model; its answer comes back as GenerationArrived."""

    request: GenerateRequest


@dataclass(frozen=True, slots=True)
class ShowTyping:
    """Show, from `at` on (seconds), that `sender` is typing: until their message is there."""

    sender: str
    at: float


@dataclass(frozen=True, slots=True)
class HideTyping:
    """What `sender` was typing comes to nothing."""

    sender: str


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """The participant sent a message again that is known: show its echo again."""

    position: int


@dataclass(frozen=True, slots=True)
class Refuse:
    """What the participant sent was not taken; `code` is the wire's."""

    code: str
    message: str
    client_message_id: str | None = None


@dataclass(frozen=True, slots=True)
class End:
    """The session is over: stop asking, and let go of everything."""

    reason: str


Effect = Generate | ShowTyping | HideTyping | Acknowledge | Refuse | End
