"""The round-driven core of a workforce session.

Theory of operation
===================

Like a Room, a Workforce is told what reached it and what time it is, and answers with events and effects. Nothing comes
due by itself: `wake_at` is None, and a round moves on when an answer arrives.

    RoundRequested ──► RoundStarted ──► TurnStarted (one wave of roles) ──► ModelCalled ──► AgentAnswered
                                              ▲                                  │                │
                                              └── repair, plain form ◄───────────┤                ▼
                                                                                 ▼         the next wave, and after the
                       RoundFailed ◄── nobody is under way any more ◄──  TurnDropped       last one the coordinator
                            │                                                                     │
                            └──► RoundResumed (the same asked again) ──► ...                      ▼
                                 RoundAbandoned (something else asked)             RoundCompleted, MemoryStored ...

Invariants
==========

* The state changes by `apply(state, event)` alone: `Workforce.resume(events)` is the workforce that wrote them.
* A role that has answered is not asked again in its round, whatever fails after it, and however often.
* A role hears the waves before its own, and so the same whether it is asked once, or again after a failure.
* Completed rounds are numbered 1, 2, 3 ... without gap; the last one of `max_turns` is followed by SessionEnded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, assert_never

from simulation.contract import Step, error_raised
from simulation.effects import Effect, End, Generate, Refuse
from simulation.events import SessionEnded, SessionResumed, TurnDropped
from simulation.generation import USABLE
from simulation.inputs import Crashed, EndRequested, GenerationArrived, Reopened, Tick
from simulation.model_health import mismatches, model_called
from simulation.parameters import MILLISECONDS
from simulation.workforce.answers import Answer, Summary, read_answer, read_summary
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
    SessionPaused,
    TurnStarted,
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
from simulation.workforce.memory import EPISODE_CHARACTERS, EPISODE_HOURS, EPISODE_IMPORTANCE, recall
from simulation.workforce.parameters import COORDINATOR
from simulation.workforce.prompts import recall_query, request_for
from simulation.workforce.state import Round, TableEvent, WorkforceState, apply, begin, rebuild
from simulation.workforce.waves import waves

OBJECTIONS = {
    "session_over": "The session is over.",
    "turn_limit": "All rounds of the session have been played.",
    "session_paused": "The session is paused.",
    "round_in_progress": "A round is in progress.",
}


class Workforce:
    def __init__(self, start: WorkforceStarted, hooks: Sequence[Hooks] = ()) -> None:
        self._enter(begin(start), hooks)

    @classmethod
    def resume(cls, events: Iterable[Any], hooks: Sequence[Hooks] = ()) -> Workforce:
        """Return the workforce that these events have made: any prefix of a log will do."""
        workforce = cls.__new__(cls)
        workforce._enter(rebuild(events), hooks)
        return workforce

    def _enter(self, state: WorkforceState, hooks: Sequence[Hooks]) -> None:
        self.state = state
        self._hooks = hooks
        self._events: list[TableEvent] = []
        self._effects: list[Effect] = []

    # What the runtime calls

    @property
    def session_id(self) -> str:
        return self.state.start.session_id

    @property
    def wake_at(self) -> float | None:
        """Nothing comes due by itself."""
        return None

    def handle(self, input: WorkforceInput, now: float) -> Step:
        """Take `input`; return what happened and what is to be done."""
        now = max(round(now, MILLISECONDS), self.state.elapsed)
        if self.state.end_reason is None:
            self._take(input, now)
        step = Step(tuple(self._events), tuple(self._effects))
        self._events, self._effects = [], []
        return step

    def objection(self) -> str | None:
        """Return why no round can be asked for now (a key of OBJECTIONS), None if one can."""
        state = self.state
        if state.end_reason is not None:
            return "turn_limit" if state.end_reason == "max_turns" else "session_over"
        if state.open is not None and state.open.is_in_progress:
            return "round_in_progress"
        return "session_paused" if state.is_paused else None

    # Inputs

    def _take(self, input: WorkforceInput, now: float) -> None:
        match input:
            case RoundRequested():
                self._round_requested(input, now)
            case GenerationArrived():
                self._generation_arrived(input, now)
            case MemoryGiven() | MemoriesForgotten():
                self._memory_changed(input, now)
            case PauseRequested() | ContinueRequested():
                self._pause(isinstance(input, PauseRequested), now)
            case Reopened():
                self._emit(SessionResumed(elapsed=now, gap_seconds=input.gap_seconds))
            case EndRequested():
                self._end(input.reason, now)
            case Crashed():
                self._crashed(input, now)
            case Tick():
                pass
            case _:
                assert_never(input)

    def _pause(self, pauses: bool, now: float) -> None:
        """A round that is in progress is played to its end all the same."""
        if pauses and not self.state.is_paused:
            self._emit(SessionPaused(elapsed=now))
        elif self.state.is_paused and not pauses:
            self._emit(SessionContinued(elapsed=now))

    def _memory_changed(self, change: MemoryGiven | MemoriesForgotten, now: float) -> None:
        if isinstance(change, MemoriesForgotten):
            self._emit(MemoriesDeleted(elapsed=now, count=len(self.state.memories)))
            return
        self._emit(
            MemoryStored(
                elapsed=now,
                memory_id=self._next_memory_id(),
                agent_role=change.agent_role,
                memory_type=change.memory_type,
                key=change.key,
                content=change.content,
                importance=change.importance,
                created_at=change.created_at,
                expires_at=change.expires_at,
            )
        )

    def _crashed(self, crashed: Crashed, now: float) -> None:
        self._emit(error_raised(crashed, now))
        self._end("error", now)

    # A round

    def _round_requested(self, asked: RoundRequested, now: float) -> None:
        if objection := self.objection():
            self._effects.append(Refuse(objection, OBJECTIONS[objection]))
            return
        unfinished = self.state.open
        if unfinished is not None and unfinished.started.request_sha256 == asked.request_sha256:
            number = unfinished.started.turn_number
            self._emit(RoundResumed(elapsed=now, turn_number=number, key_sha256=asked.key_sha256))
        else:
            if unfinished is not None:
                self._emit(RoundAbandoned(elapsed=now, turn_number=unfinished.started.turn_number))
            self._start_round(asked, now)
        self._go_on(now)

    def _start_round(self, asked: RoundRequested, now: float) -> None:
        for hook in self._hooks:
            asked = hook.before_round(self.state, asked)
        active = [role.role for role in self.state.premises.active_roles]
        self._emit(
            RoundStarted(
                elapsed=now,
                turn_number=self.state.current_turn + 1,
                user_input=asked.user_input,
                focus_agents=asked.focus_agents,
                context_override=asked.context_override,
                speakers=tuple(name for name in active if not asked.focus_agents or name in asked.focus_agents),
                moment=asked.moment,
                key_sha256=asked.key_sha256,
                request_sha256=asked.request_sha256,
            )
        )

    def _go_on(self, now: float) -> None:
        """Ask whoever is next. Whoever is under way is waited for first; then, if the model gave somebody no answer,
        the round has failed.
        """
        open_round = self.state.open
        if open_round is None or open_round.is_in_progress:
            return
        if open_round.dropped:
            self._fail(open_round, now)
            return
        for wave in waves(self.state, open_round.started):
            silent = [name for name in wave if name not in open_round.answers]
            if silent:
                self._ask_all(open_round, silent, now)
                return
        self._ask_all(open_round, [COORDINATOR], now)

    def _ask_all(self, open_round: Round, names: list[str], now: float) -> None:
        """Ask a wave. What a role said before the server stopped is read first: it is not paid for twice."""
        for name in names:
            if name not in open_round.unread:
                self._ask(open_round, name, "plain" if self.state.schema_refused else "schema", now)
        for name in names:
            if text := open_round.unread.get(name):
                self._read(open_round, name, text, "model", now)

    def _fail(self, open_round: Round, now: float) -> None:
        name, reason = next(iter(open_round.dropped.items()))
        number = open_round.started.turn_number
        self._emit(RoundFailed(elapsed=now, turn_number=number, agent_name=name, reason=reason))

    def _ask(self, open_round: Round, name: str, form: str, now: float) -> None:
        turn = TurnStarted(
            elapsed=now,
            turn_id=f"turn-{self.state.turn_count + 1}",
            agent_name=name,
            turn_number=open_round.started.turn_number,
            form=form,
            recalled=self._recalled(open_round, name),
        )
        self._emit(turn)
        self._effects.append(Generate(request_for(self.state, open_round, turn)))

    def _recalled(self, open_round: Round, name: str) -> tuple[str, ...]:
        """What comes back to a role in this round: asked again, it recalls the same."""
        before = open_round.turns.get(name)
        if before is not None:
            return before.recalled
        if name == COORDINATOR or not self.state.parameters.enable_memory:
            return ()
        started = open_round.started
        query = recall_query(self.state, open_round)
        memories = self.state.memories_of(name)
        return tuple(each.memory_id for each in recall(memories, query, started.moment, started.turn_number))

    # Answers

    def _generation_arrived(self, arrived: GenerationArrived, now: float) -> None:
        open_round = self.state.round_of(arrived.turn_id)
        for attempt in arrived.attempts:
            self._emit(model_called(arrived, attempt, now))
            for mismatch in mismatches(self.state.served_models, attempt, now):
                self._emit(mismatch)
        if open_round is None:
            return  # its round was given up, but the call was made: the log says so
        name, generation = arrived.agent_name, arrived.generation
        turn = open_round.turns[name]
        if arrived.status in USABLE and generation is not None:
            self._read(open_round, name, generation.text or "", generation.source, now)
        elif arrived.status == "rejected" and turn.form == "schema":
            self._ask(open_round, name, "plain", now)  # a model that takes no schema may still answer in JSON
        elif turn.form == "repair" and name in open_round.unread:
            self._keep_as_text(open_round, name, open_round.unread[name], now)
        else:
            self._emit(TurnDropped(elapsed=now, turn_id=turn.turn_id, agent_name=name, reason=arrived.status))
            self._go_on(now)

    def _read(self, open_round: Round, name: str, text: str, source: str, now: float) -> None:
        """Take what a role said; where it is no JSON, ask for it once more, and then keep it as it is."""
        read: Answer | Summary | None
        read = read_summary(text) if name == COORDINATOR else read_answer(text, self._names(name))
        turn = open_round.turns[name]
        if read is not None:
            self._take_answer(open_round, name, read, source, now)
        elif turn.form != "repair":
            self._ask(open_round, name, "repair", now)
        else:
            self._keep_as_text(open_round, name, text, now)

    def _names(self, speaker: str) -> list[str]:
        return [role.role for role in self.state.premises.active_roles if role.role != speaker]

    def _keep_as_text(self, open_round: Round, name: str, text: str, now: float) -> None:
        read = Summary(summary=text.strip()) if name == COORDINATOR else Answer(content=text.strip())
        self._take_answer(open_round, name, read, "model", now, is_structured=False)

    def _take_answer(
        self,
        open_round: Round,
        name: str,
        read: Answer | Summary,
        source: str,
        now: float,
        *,
        is_structured: bool = True,
    ) -> None:
        turn = open_round.turns[name]
        if isinstance(read, Summary):
            self._complete(turn, read, source, now, is_structured=is_structured)
            return
        self._emit(self._hooked(_answered(turn, read, source, now, is_structured=is_structured)))
        self._go_on(now)

    def _hooked(self, answered: AgentAnswered) -> AgentAnswered:
        amended = answered
        for hook in self._hooks:
            amended = hook.on_answer(self.state, amended)
        if amended == answered:
            return answered
        return replace(
            amended,
            elapsed=answered.elapsed,
            turn_id=answered.turn_id,
            agent_name=answered.agent_name,
            turn_number=answered.turn_number,
            amended=True,
        )

    def _complete(self, turn: TurnStarted, read: Summary, source: str, now: float, *, is_structured: bool) -> None:
        completed = RoundCompleted(
            elapsed=now,
            turn_number=turn.turn_number,
            turn_id=turn.turn_id,
            summary=read.summary,
            next_action=read.next_action,
            is_structured=is_structured,
            source=source,
        )
        self._emit(completed)
        self._remember(self.state.rounds[-1], now)
        for hook in self._hooks:
            hook.after_round(self.state, completed)
        if self.state.current_turn >= self.state.max_turns:
            self._end("max_turns", now)

    def _remember(self, done: Round, now: float) -> None:
        """Store what each role said, in its own memory."""
        if not self.state.parameters.enable_memory:
            return
        number, moment = done.started.turn_number, done.started.moment
        for answer in done.said:
            self._emit(
                MemoryStored(
                    elapsed=now,
                    memory_id=self._next_memory_id(),
                    agent_role=answer.agent_name,
                    memory_type="episodic",
                    key=f"turn_{number}_response",
                    content={
                        "turn": number,
                        "summary": answer.content[:EPISODE_CHARACTERS],
                        "actions": list(answer.actions),
                    },
                    importance=EPISODE_IMPORTANCE,
                    created_at=moment,
                    expires_at=later(moment, EPISODE_HOURS),
                )
            )

    # The rest

    def _next_memory_id(self) -> str:
        return f"memory-{self.state.memory_count + 1}"

    def _end(self, reason: str, now: float) -> None:
        self._emit(SessionEnded(elapsed=now, session_id=self.state.start.session_id, reason=reason))
        self._effects.append(End(reason))

    def _emit(self, event: TableEvent) -> None:
        apply(self.state, event)
        self._events.append(event)


def _answered(turn: TurnStarted, read: Answer, source: str, now: float, *, is_structured: bool) -> AgentAnswered:
    return AgentAnswered(
        elapsed=now,
        turn_id=turn.turn_id,
        agent_name=turn.agent_name,
        turn_number=turn.turn_number,
        content=read.content,
        reasoning=read.reasoning,
        actions=read.actions,
        directed_to=read.directed_to,
        confidence=read.confidence,
        risks=read.risks,
        opportunities=read.opportunities,
        tasks=read.tasks,
        functions=read.functions,
        is_structured=is_structured,
        source=source,
    )


def later(moment: str, hours: float) -> str:
    """Return the moment so many hours after `moment`, written in the same way."""
    return (datetime.fromisoformat(moment) + timedelta(hours=hours)).isoformat(timespec="microseconds")
