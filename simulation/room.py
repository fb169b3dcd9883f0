"""The clock-driven core of a chat session.

Theory of operation
===================

A room is told what reached it and what time it is (`handle(input, now)`, seconds since the session started), and
answers with events (facts, for the log) and effects (imperatives, for the runtime). It reads no clock, does no I/O and
draws only from the session's seed. `wake_at` is the next moment at which it wants a Tick.

A turn is an agent's opportunity. It goes through these stages, each of them one event:

    draw ──► TurnPlanned ──► ModelCalled ──► TurnAnswered ──► MessagePosted
      │           ▲               │                └────────► TurnDropped (stale)
      │           │               └─────────────────────────► TurnDropped (no usable text)
      └──► TurnDeferred (nobody who could take it is free; FIFO)

An emoji reaction needs no model: it goes from TurnPlanned to ReactionAdded once the agent has read the message. Nor
does a stimulus, whose text the file has: StimulusBegun, TurnPlanned and TurnAnswered are of one moment.

Invariants
==========

* The state changes by `apply(state, event)` alone, and every event goes to the log. So `Room.resume(events)` is the
  room that wrote them.
* An agent has at most one turn that was drawn. A turn that finds no agent waits; it is never lost, or the rate would
  fall. A stimulus waits for nobody: it comes when the file says, whatever else its agent is doing.
* Whatever has come due is done in the order of its time before an input is looked at, however late the wake-up was.
* A standstill (the server was stopped, the log could not be written, the participant is away and agents are to wait
  for them) puts off what was pending: it never comes all at once afterwards.
* SessionEnded is the last event; after it `handle` answers nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from math import inf
from typing import Any, assert_never

from simulation import answers, casting, pacing, prompts, stimuli
from simulation.contract import Step, error_raised
from simulation.effects import Acknowledge, Effect, End, Generate, HideTyping, Refuse, ShowTyping
from simulation.events import (
    Act,
    AnyEvent,
    Cause,
    ClockJumped,
    LogStalled,
    MessagePosted,
    MessageReported,
    MessagesSeen,
    ModelMismatch,
    ParticipantArrived,
    ParticipantLost,
    ReactionAdded,
    SessionEnded,
    SessionResumed,
    SessionStarted,
    TurnAnswered,
    TurnDeferred,
    TurnDropped,
    TurnPlanned,
)
from simulation.inputs import (
    Crashed,
    EndRequested,
    GenerationArrived,
    Input,
    LogRecovered,
    ParticipantConnected,
    ParticipantDisconnected,
    ParticipantLeft,
    ParticipantPosted,
    ParticipantReacted,
    ParticipantReported,
    ParticipantSaw,
    Reopened,
    Tick,
    WallClockJumped,
)
from simulation.model_health import health_events, model_called
from simulation.parameters import MILLISECONDS, PARTICIPANT
from simulation.sanitize import Sanitized
from simulation.state import SessionState, Turn, apply, begin, rebuild

GIVEN_TO_ANOTHER = ("blocked", "filtered")
SECONDS_TO_COME_BACK = 60.0
"""What a participant has at least whose connection was lost because the server was stopped."""


class Room:
    def __init__(self, start: SessionStarted) -> None:
        self._enter(begin(start))

    @classmethod
    def resume(cls, events: Iterable[Any]) -> Room:
        """Return the room that these events have made: any prefix of a log will do."""
        room = cls.__new__(cls)
        room._enter(rebuild(events))
        return room

    def _enter(self, state: SessionState) -> None:
        self.state = state
        self._system_prompts = prompts.system_prompts(state.parameters)
        self._instructions = prompts.instructions(state.parameters)
        begin = [stimuli.begins_at(each, state.parameters.timing) for each in state.parameters.stimuli]
        self._timed_stimuli = {number: at for number, at in enumerate(begin, start=1) if at is not None}
        self._due_at: float | None = None  # what _next_due_at said, until the state changes
        self._events: list[AnyEvent] = []
        self._effects: list[Effect] = []

    # What the runtime calls

    @property
    def session_id(self) -> str:
        return self.state.start.session_id

    @property
    def wake_at(self) -> float | None:
        """The next moment (seconds) at which something comes due; None once the session is over."""
        return None if self.state.end_reason is not None else self._next_due_at()

    def handle(self, input: Input, now: float) -> Step:
        """Do what has come due by `now`, then take `input`; return what happened and what is to be done."""
        now = max(round(now, MILLISECONDS), self.state.elapsed)
        if not isinstance(input, Reopened | LogRecovered):  # what came due in a standstill is put off before it is done
            self._advance(now)
        if self.state.end_reason is None:
            self._take(input, now)
            self._advance(now)
        step = Step(tuple(self._events), tuple(self._effects))
        self._events, self._effects = [], []
        return step

    # Time

    def _advance(self, now: float) -> None:
        while self.state.end_reason is None and (at := self._next_due_at()) <= now:
            self._do_what_is_due(at, now)

    def _next_due_at(self) -> float:
        if self._due_at is None:
            moments = [self.state.parameters.duration_seconds, self._given_up_at(), self._out_of_patience_at()]
            self._due_at = min(*moments, *self._agents_moments())
        return self._due_at

    def _agents_moments(self) -> Iterator[float]:
        """Yield when agents do something next; nothing while they wait for the participant's return."""
        state = self.state
        if state.paused_at is None:
            yield state.next_post_at
            yield from (at for number, at in self._timed_stimuli.items() if number not in state.stimuli_begun)
            yield from (turn.appears_at for turn in state.turns.values())

    def _do_what_is_due(self, at: float, now: float) -> None:
        """Do one thing that came due at `at`: what was under way first, then the end, then something new."""
        state = self.state
        if (turn := self._turn_due(at)) is not None:
            self._finish(turn, now)
        elif (number := self._stimulus_due(at)) is not None:
            self._begin_stimulus(number, now)
        elif at == state.parameters.duration_seconds:
            self._end("duration_expired", now)
        elif at == self._given_up_at():
            self._end("websocket_disconnect", now)
        elif at == self._out_of_patience_at():
            self._end("technical", now)
        else:
            self._draw_turn(Cause.BACKGROUND, at, now)

    def _turn_due(self, at: float) -> Turn | None:
        if self.state.paused_at is not None:
            return None
        return next((turn for turn in self.state.turns.values() if turn.appears_at == at), None)

    def _stimulus_due(self, at: float) -> int | None:
        begun = self.state.stimuli_begun
        if self.state.paused_at is not None:
            return None
        return next((n for n, due_at in self._timed_stimuli.items() if due_at == at and n not in begun), None)

    def _given_up_at(self) -> float:
        """When a participant whose connection was lost will not be waited for any longer."""
        state = self.state
        if state.lost_at is None:
            return inf
        grace = state.parameters.reconnect_grace_seconds
        if state.is_lost_by_us:
            grace = max(grace, SECONDS_TO_COME_BACK)
        elif not state.resumable:
            grace = 0.0
        return round(state.lost_at + grace, MILLISECONDS)

    def _out_of_patience_at(self) -> float:
        """When a session whose agents cannot say a word, for whatever reason, ends early if the experiment says so."""
        since, failure = self.state.failing_since, self.state.parameters.on_model_failure
        if failure.mode != "end_early" or since is None:
            return inf
        return round(since + failure.after_seconds, MILLISECONDS)

    # Inputs

    def _take(self, input: Input, now: float) -> None:  # noqa: C901  one case an input
        match input:
            case ParticipantPosted():
                self._participant_posted(input, now)
            case GenerationArrived():
                self._generation_arrived(input, now)
            case ParticipantConnected():
                self._participant_connected(input, now)
            case ParticipantDisconnected():
                self._participant_disconnected(input, now)
            case ParticipantReacted():
                self._participant_reacted(input, now)
            case ParticipantReported():
                self._participant_reported(input, now)
            case ParticipantSaw():
                self._participant_saw(input, now)
            case Reopened():
                self._reopened(input, now)
            case LogRecovered():
                self._emit(LogStalled(elapsed=now, seconds=round(input.seconds, MILLISECONDS)))
            case WallClockJumped():
                self._emit(ClockJumped(elapsed=now, seconds=round(input.seconds, MILLISECONDS)))
            case ParticipantLeft():
                self._end("withdrawn", now)
            case EndRequested():
                self._end(input.reason, now)
            case Crashed():
                self._crashed(input, now)
            case Tick():
                pass
            case _:
                assert_never(input)

    def _participant_posted(self, posted: ParticipantPosted, now: float) -> None:
        if self._known_already(posted):
            return
        if posted.reply_to is not None and posted.reply_to not in self.state.by_id:
            self._refuse(posted, "unknown_message", "the message that is replied to is not in this room")
            return
        mentions = (*posted.mentions, *casting.mentions_in(posted.content, self.state))
        self._emit(
            MessagePosted(
                elapsed=now,
                sender=PARTICIPANT,
                content=posted.content,
                message_id=self._next_message_id(),
                position=self.state.position + 1,
                reply_to=posted.reply_to,
                mentions=tuple(dict.fromkeys(mentions)),
                client_message_id=posted.client_message_id,
                source="participant",
            )
        )
        self._begin_triggered_stimuli(now)
        self._draw_reaction(now)

    def _draw_reaction(self, now: float) -> None:
        """Draw whether an agent reacts to the participant's newest message, unless that was done."""
        posted, number = self.state.unanswered, self.state.participant_message_count - 1
        if posted is not None and pacing.reaction_is_drawn(self.state.parameters, self.state.start.seed, number):
            wanted = self._addressed_agent(posted)
            self._draw_turn(Cause.REACTION, now, now, target=posted.message_id, wanted=wanted)

    def _known_already(self, posted: ParticipantPosted) -> bool:
        """Answer a repeated client_message_id with the echo that it had, or refuse it for other content."""
        first = self.state.sent.get(posted.client_message_id or "")
        if first is None:
            return False
        if (first.content, first.reply_to) == (posted.content, posted.reply_to):
            self._effects.append(Acknowledge(first.position))
        else:
            self._refuse(posted, "conflict", "this client_message_id was used for another message")
        return True

    def _refuse(self, posted: ParticipantPosted, code: str, message: str) -> None:
        self._effects.append(Refuse(code, message, posted.client_message_id))

    def _addressed_agent(self, posted: MessagePosted) -> str | None:
        """The agent to whom a message speaks: mentioned first, else quoted."""
        agents = self.state.parameters.agent_names
        named = casting.addressed(self.state, posted)
        return next((name for name in named if name in agents), None)

    def _participant_reacted(self, reacted: ParticipantReacted, now: float) -> None:
        if reacted.message_id not in self.state.by_id:
            self._effects.append(Refuse("unknown_message", "the message is not in this room"))
            return
        self._add_reaction(reacted.message_id, PARTICIPANT, reacted.emoji, now)

    def _participant_reported(self, reported: ParticipantReported, now: float) -> None:
        if reported.message_id not in self.state.by_id:
            self._effects.append(Refuse("unknown_message", "the message is not in this room"))
            return
        self._emit(MessageReported(elapsed=now, message_id=reported.message_id, reason=reported.reason))

    def _participant_saw(self, saw: ParticipantSaw, now: float) -> None:
        position = min(saw.position, self.state.position)
        if position > self.state.seen:
            self._emit(MessagesSeen(elapsed=now, position=position))

    def _participant_connected(self, connected: ParticipantConnected, now: float) -> None:
        self._emit(ParticipantArrived(elapsed=now, connection=connected.connection, resumable=connected.resumable))
        for turn in self.state.turns.values():
            if turn.answered is not None:  # whoever comes back sees who is about to speak
                typing_seconds = turn.answered.appears_at - turn.answered.typing_at
                self._effects.append(ShowTyping(turn.planned.agent_name, turn.appears_at - typing_seconds))

    def _reopened(self, reopened: Reopened, now: float) -> None:
        """Go on from the log: what was written stands, what was asked and not answered is asked again."""
        self._emit(SessionResumed(elapsed=now, gap_seconds=reopened.gap_seconds))
        for planned in [turn.planned for turn in self.state.turns.values() if turn.answered is None]:
            if planned.act != Act.REACTION and planned.cause != Cause.STIMULUS:
                self._ask(planned)
        self._finish_what_was_cut_short(now)

    def _finish_what_was_cut_short(self, now: float) -> None:
        """Do what a step of several records has done already, unless a crash came between them."""
        for number in tuple(self.state.stimuli_without_text.values()):
            self._begin_stimulus(number, now)
        self._begin_triggered_stimuli(now)
        self._draw_reaction(now)
        self._serve_waiting(now)

    def _participant_disconnected(self, disconnected: ParticipantDisconnected, now: float) -> None:
        # The late death of a connection that another has replaced changes nothing.
        if disconnected.connection == self.state.connection:
            self._emit(ParticipantLost(elapsed=now, connection=disconnected.connection, code=disconnected.code))

    def _crashed(self, crashed: Crashed, now: float) -> None:
        self._emit(error_raised(crashed, now))
        self._end("error", now)

    # Turns

    def _draw_turn(
        self,
        cause: str,
        drawn_at: float,
        now: float,
        *,
        target: str | None = None,
        wanted: str | None = None,
        replaces: str | None = None,
    ) -> None:
        """Give a turn to `wanted`, or to whoever is drawn; if that must wait, it waits."""
        turn = TurnDeferred(
            elapsed=now,
            turn_id=f"turn-{self.state.turn_count + 1}",
            agent_name=wanted,
            cause=cause,
            target=target,
            drawn_at=drawn_at,
            replaces=replaces,
        )
        if not self._could_plan(turn, now):
            self._emit(turn)

    def _could_plan(self, turn: TurnDeferred, now: float) -> bool:
        """Plan the turn if whoever may take it is free; return whether."""
        free = casting.free_agents(self.state)
        can_be_had = bool(free) if turn.agent_name is None else turn.agent_name in free
        if can_be_had:
            self._plan(turn, free, now)
        return can_be_had

    def _plan(self, turn: TurnDeferred, free: list[str], now: float) -> None:
        state = self.state
        timing = state.parameters.timing
        random = pacing.draws(state.start.seed, "turn", int(turn.turn_id.removeprefix("turn-")))
        agent_name = turn.agent_name or casting.draw_agent(state, free, random)
        cast = casting.cast(state, agent_name, turn.cause, turn.target, random)
        pace = pacing.draw_pace(timing, random)
        planned = TurnPlanned(
            elapsed=now,
            turn_id=turn.turn_id,
            agent_name=agent_name,
            cause=turn.cause,
            act=cast.act,
            target=cast.target,
            drawn_at=turn.drawn_at,
            pace=pace,
            reading_seconds=pacing.reading_seconds(timing, pace, self._characters_to_read(cast.target)),
            emoji=cast.emoji,
            replaces=turn.replaces,
        )
        self._emit(planned)
        if cast.act != Act.REACTION:
            self._ask(planned)

    def _ask(self, planned: TurnPlanned) -> None:
        system = self._system_prompts[planned.agent_name]
        self._effects.append(Generate(prompts.request_for(self.state, planned, system)))

    def _characters_to_read(self, target: str | None) -> int:
        """The length of the message that a turn is about; without one, of the newest."""
        messages = self.state.messages
        read = self.state.by_id.get(target or "") or (messages[-1] if messages else None)
        return len(read.content) if read else 0

    def _generation_arrived(self, arrived: GenerationArrived, now: float) -> None:
        cleaned = answers.cleaned(self.state.parameters, arrived, self._instructions[arrived.agent_name])
        status = arrived.status
        if cleaned is not None and not cleaned.content:
            status = "filtered" if cleaned.rules else "empty"
        for attempt in arrived.attempts:
            if status != arrived.status and attempt.generation is not None and attempt.status == arrived.status:
                attempt = replace(attempt, status=status)  # what we thought of the answer
            self._emit(model_called(arrived, attempt, now))
        self._note_health(arrived, status, now)
        turn = self.state.turns.get(arrived.turn_id)
        if turn is None or self.state.end_reason is not None:
            return  # the turn is gone, but the call was made: the log says so
        if cleaned is not None and cleaned.content and arrived.generation is not None:
            self._answer(turn, cleaned, arrived.generation.source, now)
        else:
            self._came_to_nothing(turn, status, now, cleaned.rules if cleaned else ())

    def _note_health(self, arrived: GenerationArrived, status: str, now: float) -> None:
        for event in health_events(self.state, arrived, status, now):  # each is in force before the next is asked for
            self._emit(event)
            if isinstance(event, ModelMismatch) and self.state.parameters.gateway.on_model_mismatch == "stop":
                self._end("technical", now)
                return

    def _came_to_nothing(self, turn: Turn, reason: str, now: float, rules: tuple[str, ...] = ()) -> None:
        """Drop a turn without usable text; one that was blocked or filtered goes once to another agent."""
        planned = turn.planned
        self._drop(turn, reason, now, rules)
        others = [name for name in casting.free_agents(self.state) if name != planned.agent_name]
        if reason in GIVEN_TO_ANOTHER and planned.replaces is None and others:
            random = pacing.draws(self.state.start.seed, "instead", int(planned.turn_id.removeprefix("turn-")))
            self._redraw(planned, now, wanted=casting.draw_agent(self.state, others, random))

    def _answer(self, turn: Turn, cleaned: Sanitized, source: str, now: float) -> None:
        answer = answers.answered(self.state, turn.planned, cleaned, source, now)
        self._emit(answer)
        self._effects.append(ShowTyping(answer.agent_name, answer.typing_at))

    def _finish(self, turn: Turn, now: float) -> None:
        """A turn's moment has come: show it, unless the talk has moved on and the settings mind."""
        planned = turn.planned
        if turn.answered is None:
            self._add_reaction(planned.target or "", planned.agent_name, planned.emoji or "", now, planned.turn_id)
        elif self._is_stale(turn):
            self._drop(turn, "stale", now)
            if self.state.parameters.timing.stale_answers == "redraw":
                self._redraw(planned, now, wanted=planned.agent_name if planned.cause == Cause.REACTION else None)
        else:
            self._show(planned, turn.answered, now)
        self._serve_waiting(now)

    def _is_stale(self, turn: Turn) -> bool:
        timing = self.state.parameters.timing
        if timing.stale_answers == "keep" or turn.planned.replaces is not None:
            return False
        if turn.planned.cause == Cause.STIMULUS:
            return False
        return len(self.state.messages) - turn.seen >= timing.stale_after_messages

    def _redraw(self, planned: TurnPlanned, now: float, wanted: str | None) -> None:
        """Ask again, once, with the room as it is now; an answer to the participant stays one."""
        answers = planned.cause == Cause.REACTION
        self._draw_turn(
            planned.cause,
            planned.drawn_at,
            now,
            target=planned.target if answers else None,
            wanted=wanted,
            replaces=planned.turn_id,
        )

    def _show(self, planned: TurnPlanned, answered: TurnAnswered, now: float) -> None:
        content = answered.content
        self._emit(
            MessagePosted(
                elapsed=now,
                sender=planned.agent_name,
                content=content,
                message_id=self._next_message_id(),
                position=self.state.position + 1,
                reply_to=planned.target if planned.act == Act.REPLY else None,
                mentions=casting.mentions_in(content, self.state),
                source=answered.source,
                turn_id=planned.turn_id,
                sanitized=answered.sanitized,
                card=answered.card,
            )
        )
        self._begin_triggered_stimuli(now)

    def _add_reaction(self, message_id: str, sender: str, emoji: str, now: float, turn_id: str | None = None) -> None:
        self._emit(
            ReactionAdded(
                elapsed=now,
                message_id=message_id,
                sender=sender,
                emoji=emoji,
                position=self.state.position + 1,
                turn_id=turn_id,
            )
        )

    def _drop(self, turn: Turn, reason: str, now: float, rules: tuple[str, ...] = ()) -> None:
        planned = turn.planned
        if turn.answered is not None:
            self._effects.append(HideTyping(planned.agent_name))
        self._emit(
            TurnDropped(elapsed=now, turn_id=planned.turn_id, agent_name=planned.agent_name, reason=reason, rules=rules)
        )
        self._serve_waiting(now)

    def _serve_waiting(self, now: float) -> None:
        """Give free agents the turns that waited: those meant for one agent first, then in the order of their draw."""
        waiting = self.state.waiting
        for wanted in (*casting.free_agents(self.state), None) if waiting else ():
            queue = waiting.get(wanted)
            while queue and self._could_plan(queue[0], now):
                pass

    # Stimuli

    def _begin_triggered_stimuli(self, now: float) -> None:
        """A message has been posted: begin what waited for it."""
        state = self.state
        for number, stimulus in enumerate(state.parameters.stimuli, start=1):
            if number not in state.stimuli_begun and stimuli.is_triggered(stimulus, state):
                self._begin_stimulus(number, now)

    def _begin_stimulus(self, number: int, now: float) -> None:
        for event in stimuli.turn_of(self.state, number, now):
            self._emit(event)
            if isinstance(event, TurnAnswered):
                self._effects.append(ShowTyping(event.agent_name, event.typing_at))

    # The rest

    def _next_message_id(self) -> str:
        """From the session and the position: from `seq` it would let a participant count what they cannot see."""
        return message_id(self.state.start.session_id, self.state.position + 1)

    def _end(self, reason: str, now: float) -> None:
        self._emit(SessionEnded(elapsed=now, session_id=self.state.start.session_id, reason=reason))
        self._effects.append(End(reason))

    def _emit(self, event: AnyEvent) -> None:
        apply(self.state, event)
        self._due_at = None
        self._events.append(event)


def message_id(session_id: str, position: int) -> str:
    """Return the UUIDv5 (RFC 9562 §5.5) of a position, with the session's id as its namespace."""
    namespace = bytes.fromhex(session_id.replace("-", ""))
    digest = hashlib.sha1(namespace + str(position).encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digest[16], 16) & 3]
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"
