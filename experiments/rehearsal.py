"""Many sessions in virtual time: what a room will do, before anybody is recruited for it.

The same core and the same runtime as live write the same logs; only time does not pass, the model is the scripted one
with a latency of choice, and the participant is a script too. Everything follows from one seed.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from experiments.eventlog.folder import RehearsalFolder
from experiments.experiment import Condition, Experiment
from experiments.opening import session_started
from simulation.codec import Record
from simulation.events import (
    Cause,
    MessagePosted,
    ReactionAdded,
    SessionEnded,
    SessionStarted,
    TurnDeferred,
    TurnDropped,
    TurnPlanned,
)
from simulation.generation import LanguageModel
from simulation.inputs import ParticipantConnected, ParticipantPosted
from simulation.llm.registry import LocalProvider, Provider
from simulation.llm.scripted import ScriptedProvider
from simulation.pacing import draws
from simulation.parameters import PARTICIPANT, ModelChoice, SimulationParameters
from simulation.runtime.clock import Clock, VirtualClock, run_in_virtual_time
from simulation.runtime.session import LogSink, Shown, SimulationSession
from simulation.stimuli import SOURCE as STIMULUS

SECONDS_TO_FIRST_MESSAGE = 15.0
SECONDS_BETWEEN_MESSAGES = 45.0
"""Means; the scripted participant writes at exponentially distributed intervals."""

PARTICIPANT_LINES = (
    "Hi everyone!",
    "How are you all?",
    "I'm new here, what did I miss?",
    "Is this always so busy?",
    "That made me laugh",
    "Does anybody know when the bins are collected?",
    "I agree with that",
    "Not sure about that to be honest",
    "What do you think?",
    "Thanks!",
    "@{agent} what would you do?",
    "{agent}, were you there?",
    "ok",
    "Could somebody recommend a plumber?",
    "I saw a fox last night",
    "Sounds good to me",
)


def rehearse(
    experiment: Experiment,
    *,
    sessions: int,
    out: Path,
    seed: int = 0,
    model_latency: float = 0.0,
    on_session: Callable[[], None] = lambda: None,
) -> dict[str, Tally]:
    """Run `sessions` in virtual time, write their logs to `out`, and return what happened in each condition.

    Sessions come to their conditions by the experiment's own list of allocations, with `seed`.
    """
    provider = RehearsalProvider(experiment, model_latency)
    folder = RehearsalFolder(out)
    tallies = {name: Tally(condition.parameters) for name, condition in experiment.conditions.items()}

    allocation = experiment.allocation(seed)

    async def every_session() -> None:
        for number in range(sessions):
            condition = experiment.conditions[allocation.condition("", number + 1)]
            start = rehearsal_start(experiment, condition, seed, number)
            log = folder.create(start.session_id)
            await run_session(start, provider, log, tallies[condition.name], ScriptedParticipant(start.seed))
            on_session()

    run_in_virtual_time(every_session())
    return tallies


class RehearsalProvider(LocalProvider):
    """The scripted model, whichever the settings name: a rehearsal costs nothing."""

    def __init__(self, experiment: Experiment, model_latency: float = 0.0) -> None:
        chosen = {each.language_model: _script(each.language_model) for each in experiment.every}
        made = {
            script: ScriptedProvider(script, experiment.folder, latency_seconds=model_latency)
            for script in dict.fromkeys(chosen.values())
        }
        self._providers = {choice: made[script] for choice, script in chosen.items()}

    def for_session(self, start: SessionStarted) -> LanguageModel:
        return self._providers[start.parameters.language_model].for_session(start)


def _script(chosen: ModelChoice) -> ModelChoice:
    is_scripted = chosen.provider == "scripted"
    return ModelChoice(model=chosen.model, script=chosen.script) if is_scripted else ModelChoice()


def rehearsal_start(experiment: Experiment, condition: Condition, seed: int, number: int) -> SessionStarted:
    """Return the first record of rehearsed session `number`: its ids come from the seed."""
    random = draws(seed, "rehearsal", number)
    session_id, participant_id = (str(uuid.UUID(int=random.getrandbits(128), version=4)) for _ in range(2))
    return session_started(
        experiment,
        condition,
        session_id=session_id,
        participant_id=participant_id,
        experiment_seed=seed,
        log_sync="rehearsal",
        assignment={"method": experiment.settings.assignment.method, "sequence_number": number + 1, "stratum": ""},
    )


async def run_session(
    start: SessionStarted, provider: Provider, log: LogSink, tally: Tally, participant: Participant
) -> None:
    """Run one session to its end on the running (virtual) loop."""
    clock = VirtualClock()
    session = SimulationSession.begin(start, model=provider.for_session(start), clock=clock, log=log)
    session.observe(tally)
    session.receive(ParticipantConnected(connection=1, resumable=True))
    participant.join(session, clock)
    await session.run()
    tally.sessions += 1


class Participant(Protocol):
    def join(self, session: SimulationSession, clock: Clock) -> None:
        """Take part in `session` from now on."""
        ...


class SilentParticipant:
    def join(self, session: SimulationSession, clock: Clock) -> None:
        """Watch."""


class ScriptedParticipant:
    """Writes a line now and then: greetings, questions, sometimes to an agent by name."""

    def __init__(self, seed: int) -> None:
        self._random = draws(seed, "participant", 0)

    def join(self, session: SimulationSession, clock: Clock) -> None:
        names = session.start.parameters.agent_names

        def write() -> None:
            if session.end_reason is not None:
                return
            line = self._random.choice(PARTICIPANT_LINES)
            content = line.replace("{agent}", self._random.choice(names))
            session.receive(ParticipantPosted(content=content))
            write_after(SECONDS_BETWEEN_MESSAGES)

        def write_after(mean_seconds: float) -> None:
            pause = self._random.expovariate(1 / mean_seconds)
            clock.call_at(clock.monotonic() + pause, write)

        write_after(SECONDS_TO_FIRST_MESSAGE)


@dataclass(slots=True)
class Tally:
    """What happened in the rehearsed sessions; observes each of them."""

    parameters: SimulationParameters
    sessions: int = 0
    participant_messages: int = 0
    reactions_drawn: int = 0
    stimuli: int = 0
    seconds_behind_gate: float = 0.0
    messages_by_cause: Counter[str] = field(default_factory=Counter)
    messages_by_agent: Counter[str] = field(default_factory=Counter)
    emoji_reactions: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    _delay_seconds: float = 0.0
    _wait_seconds: float = 0.0
    _drawn: dict[str, TurnPlanned | TurnDeferred] = field(default_factory=dict)
    _is_shut: bool = True

    def record_kept(self, record: Record) -> None:
        match record.event:
            case TurnPlanned() | TurnDeferred() as event:
                self._turn_drawn(event)
            case MessagePosted() as event:
                self._posted(event)
            case ReactionAdded():
                self.emoji_reactions += 1
            case TurnDropped() as event:
                self.dropped[event.reason] += 1
            case SessionEnded() as event:
                if self.parameters.gate and self._is_shut:
                    self.seconds_behind_gate += event.elapsed
                self._is_shut = True
                self._drawn.clear()

    def told(self, effect: Shown) -> None:
        """Nothing of this is counted."""

    def _turn_drawn(self, event: TurnPlanned | TurnDeferred) -> None:
        if event.turn_id not in self._drawn and event.cause == Cause.REACTION and event.replaces is None:
            self.reactions_drawn += 1
        self._drawn[event.turn_id] = event

    def _posted(self, event: MessagePosted) -> None:
        if event.sender == PARTICIPANT:
            if self.parameters.gate and self._is_shut:
                self.seconds_behind_gate += event.elapsed
            self._is_shut = False
            self.participant_messages += 1
            return
        if event.source == STIMULUS:
            self.stimuli += 1
            return
        self.messages_by_agent[event.sender] += 1
        turn = self._drawn.pop(event.turn_id or "")
        self.messages_by_cause[turn.cause] += 1
        if turn.cause == Cause.BACKGROUND:
            self._delay_seconds += event.elapsed - turn.drawn_at
            self._wait_seconds += turn.elapsed - turn.drawn_at

    @property
    def mean_delay_seconds(self) -> float:
        """From the draw of a background post to its appearance."""
        return self._mean(self._delay_seconds)

    @property
    def mean_wait_seconds(self) -> float:
        """The part of the delay in which no agent was free."""
        return self._mean(self._wait_seconds)

    def _mean(self, seconds: float) -> float:
        posted = self.messages_by_cause[Cause.BACKGROUND]
        return seconds / posted if posted else 0.0

    @property
    def background_per_session(self) -> float:
        return self.messages_by_cause[Cause.BACKGROUND] / self.sessions

    @property
    def expected_per_session(self) -> float:
        """Configured rate x the time in which a draw can still appear if an agent is free to take it."""
        seconds = self.parameters.duration_seconds - (self.mean_delay_seconds - self.mean_wait_seconds)
        seconds -= self.seconds_behind_gate / self.sessions
        return self.parameters.messages_per_minute / 60 * seconds

    @property
    def delivered_per_minute(self) -> float:
        """The rate in the time in which a draw can still appear: to be compared with `messages_per_minute`."""
        expected = self.expected_per_session
        rate = self.parameters.messages_per_minute
        return rate * self.background_per_session / expected if expected else 0.0

    @property
    def reaction_share(self) -> float:
        return self.reactions_drawn / self.participant_messages if self.participant_messages else 0.0

    @property
    def share_by_agent(self) -> dict[str, float]:
        total = self.messages_by_agent.total()
        names = self.parameters.agent_names
        return {name: self.messages_by_agent[name] / total if total else 0.0 for name in names}
