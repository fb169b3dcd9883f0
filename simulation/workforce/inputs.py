"""What reaches a workforce session, besides what models answer (`simulation.inputs`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from simulation.inputs import Crashed, EndRequested, GenerationArrived, Reopened, Tick


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundRequested:
    """Somebody wants the next round. Fields as RoundStarted has them; no `focus_agents`: every role that is active."""

    moment: str
    user_input: str | None = None
    focus_agents: tuple[str, ...] = ()
    context_override: Mapping[str, Any] = field(default_factory=dict)
    key_sha256: str | None = None
    request_sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryGiven:
    """A researcher writes into a role's memory. Fields as MemoryStored has them."""

    agent_role: str
    memory_type: str
    key: str
    content: Mapping[str, Any]
    importance: float
    created_at: str
    expires_at: str | None = None


@dataclass(frozen=True, slots=True)
class MemoriesForgotten:
    """A researcher deletes everything that the roles remember."""


@dataclass(frozen=True, slots=True)
class PauseRequested:
    pass


@dataclass(frozen=True, slots=True)
class ContinueRequested:
    pass


WorkforceInput = (
    RoundRequested
    | MemoryGiven
    | MemoriesForgotten
    | PauseRequested
    | ContinueRequested
    | Reopened
    | GenerationArrived
    | Tick
    | EndRequested
    | Crashed
)
