"""What happens to a workforce session: like `simulation.events`, each class is one `event_type` of the log."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from simulation.events import FORMAT_VERSION, Event
from simulation.workforce.parameters import WorkforceParameters

SEED_BITS = 53


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkforceStarted(Event):
    """The first record; `kind` tells it from a chat session's.

    `experimental_config` is what the agents are told (scenario, initial context), `simulation_config` the `config` of
    the request, both as they were sent. `created_at` is wall time. `fork` of a branch: `parent`, `base_turn`, `kind`
    (base, modified), `run`, `what_if`, `modifications`; the records up to the fork point are the parent's.
    """

    event_type: ClassVar[str] = "session_start"

    session_id: str
    experimental_config: Mapping[str, Any]
    simulation_config: Mapping[str, Any]
    kind: str = "workforce"
    format_version: int = FORMAT_VERSION
    experiment_id: str | None = None
    name: str | None = None
    description: str | None = None
    created_at: str
    seed: int
    parameters: WorkforceParameters
    fork: Mapping[str, Any] | None = None
    log_sync: str = "os"
    software: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def stream_seed(self) -> int:
        """What draws follow from: the seed; in a what-if's further runs another, the same for both branches."""
        run = (self.fork or {}).get("run", 1)
        if run == 1:
            return self.seed
        digest = hashlib.sha256(f"{self.seed}:run:{run}".encode()).digest()
        return int.from_bytes(digest[:8]) >> (64 - SEED_BITS)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundStarted(Event):
    """A round was asked for. `speakers` are the roles that have the word, in their order; `moment` is the wall time
    that memories are recalled and kept at; `key_sha256` and `request_sha256` are hashes of the Idempotency-Key and of
    what was asked.
    """

    event_type: ClassVar[str] = "round_started"

    turn_number: int
    user_input: str | None
    focus_agents: tuple[str, ...]
    context_override: Mapping[str, Any]
    speakers: tuple[str, ...]
    moment: str
    key_sha256: str | None = None
    request_sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundResumed(Event):
    """A round that had failed, or was broken off, goes on with the roles that have not answered."""

    event_type: ClassVar[str] = "round_resumed"

    turn_number: int
    key_sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundAbandoned(Event):
    """Something else was asked instead of resuming a failed round: the next one takes its number."""

    event_type: ClassVar[str] = "round_abandoned"

    turn_number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnStarted(Event):
    """A role (or the coordinator) is asked. `form`: `schema` and `plain` say how JSON was asked for, `repair` that the
    answer before was none. `recalled` are the memories that the prompt holds, the best first.
    """

    event_type: ClassVar[str] = "turn_started"

    turn_id: str
    agent_name: str
    turn_number: int
    form: str
    recalled: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentAnswered(Event):
    """What a role said. `is_structured` false: its text was no JSON, twice, and is kept as `content`.

    `tasks` and `functions` have the keys of `answers.TASK` and `answers.FUNCTION`; a number that was not named is null.
    `amended`: a hook changed the answer; the model's own text stands in its `llm_call`.
    """

    event_type: ClassVar[str] = "agent_answered"

    turn_id: str
    agent_name: str
    turn_number: int
    content: str
    reasoning: str = ""
    actions: tuple[str, ...] = ()
    directed_to: tuple[str, ...] = ()
    confidence: float | None = None
    risks: tuple[str, ...] = ()
    opportunities: tuple[str, ...] = ()
    tasks: tuple[Mapping[str, Any], ...] = ()
    functions: tuple[Mapping[str, Any], ...] = ()
    is_structured: bool = True
    amended: bool = False
    source: str = "model"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundFailed(Event):
    """The model gave no answer to `agent_name`, for `reason` (the status of the log); what was answered is kept."""

    event_type: ClassVar[str] = "round_failed"

    turn_number: int
    agent_name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundCompleted(Event):
    """Everybody has spoken and the coordinator has summed up."""

    event_type: ClassVar[str] = "round_completed"

    turn_number: int
    turn_id: str
    summary: str
    next_action: str | None = None
    is_structured: bool = True
    source: str = "model"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryStored(Event):
    """`importance` is 0 to 1; `created_at` and `expires_at` (null: never) are wall time, RFC 3339 in UTC."""

    event_type: ClassVar[str] = "memory_stored"

    memory_id: str
    agent_role: str
    memory_type: str
    key: str
    content: Mapping[str, Any]
    importance: float
    created_at: str
    expires_at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoriesDeleted(Event):
    event_type: ClassVar[str] = "memories_deleted"

    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPaused(Event):
    event_type: ClassVar[str] = "session_paused"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionContinued(Event):
    """The pause is over."""

    event_type: ClassVar[str] = "session_continued"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionForked(Event):
    """Here the branch leaves its parent: `modifications` hold from now on (`type`, `target`, `change`, `description`).

    `elapsed` goes on from the parent's record before it; `timestamp` is the fork's own.
    """

    event_type: ClassVar[str] = "session_forked"

    parent: str
    base_turn: int
    modifications: tuple[Mapping[str, Any], ...] = ()
    max_turns: int


WorkforceEvent = (
    WorkforceStarted
    | RoundStarted
    | RoundResumed
    | RoundAbandoned
    | TurnStarted
    | AgentAnswered
    | RoundFailed
    | RoundCompleted
    | MemoryStored
    | MemoriesDeleted
    | SessionPaused
    | SessionContinued
    | SessionForked
)
