"""The state of a workforce session, and `apply`, the only thing that changes one: live, on resume and on replay."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, assert_never

from simulation.errors import SimulationError
from simulation.events import (
    ErrorRaised,
    LogRepaired,
    ModelCalled,
    ModelMismatch,
    SessionEnded,
    SessionResumed,
    TurnDropped,
    UnknownEvent,
)
from simulation.generation import USABLE
from simulation.workforce.events import (
    AgentAnswered,
    MemoriesDeleted,
    MemoryStored,
    RoundAbandoned,
    RoundCompleted,
    RoundFailed,
    RoundResumed,
    RoundStarted,
    SessionContinued,
    SessionForked,
    SessionPaused,
    TurnStarted,
    WorkforceEvent,
    WorkforceStarted,
)
from simulation.workforce.memory import Memory
from simulation.workforce.modifications import Premises, modified
from simulation.workforce.parameters import Role, WorkforceParameters

TableEvent = (
    WorkforceEvent
    | SessionResumed
    | ModelCalled
    | ModelMismatch
    | TurnDropped
    | ErrorRaised
    | LogRepaired
    | SessionEnded
    | UnknownEvent
)
"""What a workforce log can hold."""


@dataclass(slots=True)
class Tokens:
    """What was spent on a role's turn, all attempts together, as far as the provider said."""

    input: int = 0
    output: int = 0


@dataclass(slots=True)
class Round:
    """`turns` are each speaker's newest turn, `asked_at` when it was first asked since the round was last taken up
    (seconds, as `elapsed`); `under_way` are the ids of those that are being asked; `unread` is what a role said that
    has not become an answer: it was no JSON, or the server was stopped in between; `dropped` is why the model gave a
    speaker no answer, since the round was last taken up; `keys` are the hashes of the Idempotency-Keys with which
    it was asked for, and resumed.
    """

    started: RoundStarted
    turns: dict[str, TurnStarted] = field(default_factory=dict)
    answers: dict[str, AgentAnswered] = field(default_factory=dict)
    tokens: dict[str, Tokens] = field(default_factory=dict)
    asked_at: dict[str, float] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    under_way: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    failed: RoundFailed | None = None
    completed: RoundCompleted | None = None

    @property
    def is_in_progress(self) -> bool:
        return bool(self.under_way)

    @property
    def said(self) -> tuple[AgentAnswered, ...]:
        """The answers, in the order of the speakers."""
        return tuple(self.answers[role] for role in self.started.speakers if role in self.answers)


@dataclass(slots=True)
class WorkforceState:
    """`premises` are scenario, context and roles as they are now; `rounds` those that are completed; `open` one that is
    in progress, or that failed. `is_forked`: a branch has left its parent. `served_models` are pairs of the model asked
    and another that answered.
    """

    start: WorkforceStarted
    premises: Premises
    max_turns: int
    elapsed: float = 0.0
    rounds: list[Round] = field(default_factory=list)
    open: Round | None = None
    turn_count: int = 0
    memories: dict[str, Memory] = field(default_factory=dict)
    memory_count: int = 0
    schema_refused: bool = False
    is_paused: bool = False
    is_forked: bool = False
    end_reason: str | None = None
    served_models: set[tuple[str, str]] = field(default_factory=set)

    @property
    def parameters(self) -> WorkforceParameters:
        return self.start.parameters

    @property
    def current_turn(self) -> int:
        return len(self.rounds)

    @property
    def status(self) -> str:
        """The wire's word: active, paused, completed, failed."""
        if self.end_reason is not None:
            return "failed" if self.end_reason == "error" else "completed"
        return "paused" if self.is_paused else "active"

    def round_of(self, turn_id: str) -> Round | None:
        """The open round, if the turn is under way in it."""
        return self.open if self.open is not None and turn_id in self.open.under_way else None

    def all_rounds(self) -> Iterator[Round]:
        yield from self.rounds
        if self.open is not None:
            yield self.open

    def memories_of(self, role: str) -> Iterator[Memory]:
        return (memory for memory in self.memories.values() if memory.stored.agent_role == role)

    def active(self, role: str) -> Role | None:
        return next((each for each in self.premises.active_roles if each.role == role), None)

    def context_of(self, round: Round) -> Mapping[str, Any]:
        """What holds in a round: the session's context, and over it what was said for this round alone."""
        return {**self.premises.context, **round.started.context_override}


def begin(start: WorkforceStarted) -> WorkforceState:
    parameters = start.parameters
    premises = Premises(parameters.scenario, dict(parameters.initial_context), parameters.roles)
    return WorkforceState(start, premises, parameters.max_turns)


def rebuild(events: Iterable[Any]) -> WorkforceState:
    """Return the state that these events have made; the first must be a workforce session's start."""
    iterator = iter(events)
    start = next(iterator, None)
    if not isinstance(start, WorkforceStarted):
        raise SimulationError("a workforce log begins with its session_start")
    return reduce(apply, iterator, begin(start))


def apply(state: WorkforceState, event: TableEvent) -> WorkforceState:  # noqa: C901  one case an event
    """Change `state` by what happened, and return it."""
    state.elapsed = event.elapsed
    match event:
        case RoundStarted():
            state.open = Round(event, keys={event.key_sha256} if event.key_sha256 else set())
        case TurnStarted() | ModelCalled() | AgentAnswered() | TurnDropped() | RoundResumed() | RoundFailed():
            _in_round(state, event)
        case RoundCompleted():
            _completed(state, event)
        case RoundAbandoned():
            state.open = None
        case MemoryStored():
            state.memory_count += 1
            state.memories[event.memory_id] = Memory(event, state.current_turn)
        case MemoriesDeleted():
            state.memories.clear()
        case SessionPaused():
            state.is_paused = True
        case SessionContinued():
            state.is_paused = False
        case SessionForked():
            state.is_forked = True
            for done in state.rounds:
                done.keys.clear()  # keys belong to the parent: what they ask of the branch is something new
            state.premises = modified(state.premises, event.modifications)
            state.max_turns = event.max_turns
        case SessionResumed():
            if state.open is not None:
                state.open.under_way.clear()
        case ModelMismatch():
            state.served_models.add((event.requested_model, event.served_model))
        case SessionEnded():
            state.end_reason = event.reason
        case WorkforceStarted():
            raise SimulationError("a session starts once")
        case ErrorRaised() | LogRepaired() | UnknownEvent():
            pass
        case _:
            assert_never(event)
    return state


def _in_round(
    state: WorkforceState,
    event: TurnStarted | ModelCalled | AgentAnswered | TurnDropped | RoundResumed | RoundFailed,
) -> None:
    open_round = state.open
    if open_round is None:
        return  # a call that came back after its round was given up
    match event:
        case TurnStarted():
            _turn_started(state, open_round, event)
        case ModelCalled():
            _called(state, open_round, event)
        case AgentAnswered():
            open_round.answers[event.agent_name] = event
            open_round.unread.pop(event.agent_name, None)
            open_round.under_way.discard(event.turn_id)
        case TurnDropped():
            open_round.under_way.discard(event.turn_id)
            open_round.dropped[event.agent_name] = event.reason
        case RoundResumed():
            open_round.failed = None
            open_round.dropped.clear()
            open_round.asked_at = {name: at for name, at in open_round.asked_at.items() if name in open_round.answers}
            if event.key_sha256:
                open_round.keys.add(event.key_sha256)
        case RoundFailed():
            open_round.failed = event


def _turn_started(state: WorkforceState, open_round: Round, event: TurnStarted) -> None:
    name = event.agent_name
    before = open_round.turns.get(name)
    state.turn_count += 1
    open_round.asked_at.setdefault(name, event.elapsed)
    if before is None:
        for memory in filter(None, map(state.memories.get, event.recalled)):
            memory.access_count += 1
            memory.accessed_in = event.turn_number
            memory.last_accessed_at = open_round.started.moment
    else:
        open_round.under_way.discard(before.turn_id)
    open_round.turns[name] = event
    open_round.under_way.add(event.turn_id)


def _called(state: WorkforceState, open_round: Round, event: ModelCalled) -> None:
    spent = open_round.tokens.setdefault(event.agent_name, Tokens())
    spent.input += event.input_tokens or 0
    spent.output += (event.output_tokens or 0) + (event.thinking_tokens or 0 if event.provider == "gemini" else 0)
    if event.response and event.status in USABLE:
        turn = open_round.turns.get(event.agent_name)
        if turn is not None and turn.form == "plain":
            state.schema_refused = True  # it was the schema, then, and nothing else
        open_round.unread[event.agent_name] = event.response


def _completed(state: WorkforceState, event: RoundCompleted) -> None:
    done = state.open
    if done is None:
        raise SimulationError("a round is completed that was never started")
    done.completed = event
    done.under_way.clear()
    done.unread.clear()
    state.rounds.append(done)
    state.open = None
