"""A workforce session once more, from its log: what reached the table, in the order in which it did.

What a hook changed is taken from the log, so hooks need not be there. The records that a branch has of its parent are
played like its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from simulation.codec import Record
from simulation.contract import LoggedEvent
from simulation.events import (
    ErrorRaised,
    LogRepaired,
    ModelCalled,
    SessionEnded,
    SessionResumed,
    TurnDropped,
    UnknownEvent,
)
from simulation.inputs import Crashed, EndRequested, Reopened, Tick
from simulation.llm.recorded import answers_in
from simulation.workforce.core import Workforce
from simulation.workforce.events import (
    AgentAnswered,
    MemoriesDeleted,
    MemoryStored,
    RoundAbandoned,
    RoundResumed,
    RoundStarted,
    SessionContinued,
    SessionForked,
    SessionPaused,
    WorkforceStarted,
)
from simulation.workforce.hooks import Hooks
from simulation.workforce.inputs import (
    ContinueRequested,
    MemoriesForgotten,
    MemoryGiven,
    PauseRequested,
    RoundRequested,
    WorkforceInput,
)
from simulation.workforce.state import WorkforceState, apply


def begins_a_table(event: object) -> bool:
    return isinstance(event, WorkforceStarted)


class Table:
    """`records` are a whole log; the first is its WorkforceStarted."""

    def __init__(self, records: Sequence[Record]) -> None:
        start = records[0].event
        assert isinstance(start, WorkforceStarted)
        self._hooks = (_AsRecorded(records),)
        self._core = Workforce(start, self._hooks)
        self._records = records
        self._answers = answers_in(records)

    def from_here(self, index: int) -> Sequence[LoggedEvent]:
        record = self._records[index]
        return self._core.handle(self._input(index, record.event), record.elapsed).events

    def is_not_the_cores(self, event: LoggedEvent) -> bool:
        if isinstance(event, SessionForked):
            apply(self._core.state, event)
        return isinstance(event, LogRepaired | UnknownEvent | SessionForked)

    def is_taken_up(self, index: int) -> bool:
        if not isinstance(self._records[index].event, SessionResumed | LogRepaired):
            return False
        self._core = Workforce.resume((record.event for record in self._records[:index]), self._hooks)
        return True

    def _input(self, index: int, event: Any) -> WorkforceInput:  # noqa: C901  one case an event
        match event:
            case RoundStarted():
                return _asked(event)
            case RoundResumed():
                return self._asked_again(event)
            case RoundAbandoned():
                return _asked(next(r.event for r in self._records[index:] if isinstance(r.event, RoundStarted)))
            case ModelCalled() | TurnDropped():
                return self._answers[event.turn_id].arrived
            case MemoryStored():
                return _given(event)
            case MemoriesDeleted():
                return MemoriesForgotten()
            case SessionPaused():
                return PauseRequested()
            case SessionContinued():
                return ContinueRequested()
            case SessionResumed():
                return Reopened(event.gap_seconds)
            case ErrorRaised():
                return Crashed(event.error_type, event.error_message, str(event.context.get("where")))
            case SessionEnded():
                return EndRequested(event.reason)
        return Tick()

    def _asked_again(self, resumed: RoundResumed) -> WorkforceInput:
        unfinished = self._core.state.open
        return Tick() if unfinished is None else replace(_asked(unfinished.started), key_sha256=resumed.key_sha256)


def _asked(started: RoundStarted) -> RoundRequested:
    return RoundRequested(
        moment=started.moment,
        user_input=started.user_input,
        focus_agents=started.focus_agents,
        context_override=started.context_override,
        key_sha256=started.key_sha256,
        request_sha256=started.request_sha256,
    )


def _given(stored: MemoryStored) -> MemoryGiven:
    return MemoryGiven(
        agent_role=stored.agent_role,
        memory_type=stored.memory_type,
        key=stored.key,
        content=stored.content,
        importance=stored.importance,
        created_at=stored.created_at,
        expires_at=stored.expires_at,
    )


class _AsRecorded(Hooks):
    """Changes an answer as a hook has changed it then."""

    def __init__(self, records: Sequence[Record]) -> None:
        answered = (record.event for record in records if isinstance(record.event, AgentAnswered))
        self._amended = {each.turn_id: each for each in answered if each.amended}

    def on_answer(self, state: WorkforceState, answered: AgentAnswered) -> AgentAnswered:
        return self._amended.get(answered.turn_id, answered)
