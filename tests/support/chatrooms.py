"""Rooms to talk in: a `Chat` drives the pure core by hand, time and model included."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import count
from typing import Any

from simulation.codec import Record, encode
from simulation.effects import Effect, End, Generate
from simulation.events import AnyEvent, MessagePosted, SessionEnded, SessionStarted, TurnPlanned
from simulation.generation import Attempt, GenerateRequest, Generation
from simulation.inputs import (
    EndRequested,
    GenerationArrived,
    Input,
    ParticipantConnected,
    ParticipantDisconnected,
    ParticipantPosted,
    Tick,
)
from simulation.parameters import ActWeights, Persona, SimulationParameters, Timing
from simulation.room import Room

SESSION_ID = "6f1d4c1e-4b0a-4d5e-9d7a-2f1b3c4d5e6f"
PLAIN_ACTS = ActWeights(message=1, reply=0, mention=0, reaction=0)
AT_ONCE = Timing(scale=0)
FIVE_AGENTS = ("Alice", "Bob", "Charlie", "Diana", "Eve")


def parameters(agents: Iterable[str | Persona] = FIVE_AGENTS, **changes: Any) -> SimulationParameters:
    """Quiet, quick and plain unless told otherwise: no background posts, no reactions, answers at once."""
    values: dict[str, Any] = {
        "prompt_template": "Keep it short.",
        "agents": tuple(Persona(name=agent) if isinstance(agent, str) else agent for agent in agents),
        "messages_per_minute": 0.0,
        "user_response_probability": 0.0,
        "message_window": 10,
        "duration_seconds": 900.0,
        "timing": AT_ONCE,
        "act_weights": PLAIN_ACTS,
    }
    return SimulationParameters(**(values | changes))


def started(seed: int = 1, session_id: str = SESSION_ID, **changes: Any) -> SessionStarted:
    return SessionStarted(
        elapsed=0.0,
        session_id=session_id,
        experimental_config={"prompt_template": "Keep it short."},
        simulation_config={},
        participant_id="p",
        seed=seed,
        parameters=parameters(**changes),
    )


def canned(request: GenerateRequest) -> str:
    return f"{request.scene.agent_name} says something ({request.turn_id})"


class Chat:
    """A room, a clock that is turned by hand, and a model that answers `latency` seconds after it was asked."""

    def __init__(
        self,
        seed: int = 1,
        *,
        model: Callable[[GenerateRequest], str | Attempt | None] = canned,
        latency: float = 0.0,
        room: Room | None = None,
        **changes: Any,
    ) -> None:
        self.start = room.state.start if room else started(seed, **changes)
        self.room = room or Room(self.start)
        self.model = model
        self.latency = latency
        self.now = self.room.state.elapsed
        self.events: list[AnyEvent] = []
        self.effects: list[Effect] = []
        self.requests: list[GenerateRequest] = []
        self._answers: list[tuple[float, int, GenerationArrived]] = []
        self._counter = count()

    def connects(self, *, resumable: bool = True, connection: int = 1) -> None:
        self.takes(ParticipantConnected(connection, resumable))

    def disconnects(self, connection: int = 1) -> None:
        self.takes(ParticipantDisconnected(connection))

    def participant_posts(self, content: str, **details: Any) -> list[AnyEvent]:
        return self.takes(ParticipantPosted(content=content, **details))

    def ends(self, reason: str = "researcher") -> None:
        self.takes(EndRequested(reason))

    def takes(self, input: Input) -> list[AnyEvent]:
        """Hand `input` to the room, let its model answer what is due, and return all that happened."""
        before = len(self.events)
        step = self.room.handle(input, self.now)
        self.events += step.events
        self.effects += step.effects
        for effect in step.effects:
            if isinstance(effect, Generate):
                self._ask(effect.request)
        self._deliver()
        return self.events[before:]

    def runs_until(self, seconds: float) -> None:
        """Let time pass, waking the room exactly when it wants to be woken."""
        while (at := self._next_moment()) is not None and at <= seconds:
            self.now = max(self.now, at)
            self._deliver()
            if self.room.wake_at is not None and self.room.wake_at <= self.now:
                self.takes(Tick())
        self.now = max(self.now, seconds)

    def runs_to_its_end(self) -> None:
        self.runs_until(self.start.parameters.duration_seconds + 1)

    def of(self, kind: type[AnyEvent]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def messages(self) -> list[MessagePosted]:
        return self.of(MessagePosted)

    @property
    def plans(self) -> list[TurnPlanned]:
        return self.of(TurnPlanned)

    @property
    def end_reasons(self) -> list[str]:
        return [event.reason for event in self.of(SessionEnded)]

    def told(self, kind: type[Effect]) -> list[Any]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def log(self) -> list[bytes]:
        """The session's lines, with one wall time for all."""
        every = (self.start, *self.events)
        return [encode(Record(seq, "2026-11-22T00:00:00.000000+00:00", event)) for seq, event in enumerate(every, 1)]

    def _ask(self, request: GenerateRequest) -> None:
        self.requests.append(request)
        answer = self.model(request)
        if answer is not None:
            arrived = arrival(request, answer)
            heapq.heappush(self._answers, (self.now + self.latency, next(self._counter), arrived))

    def _deliver(self) -> None:
        while self._answers and self._answers[0][0] <= self.now:
            self.takes(heapq.heappop(self._answers)[2])

    def _next_moment(self) -> float | None:
        moments = [self._answers[0][0]] if self._answers else []
        if self.room.wake_at is not None:
            moments.append(self.room.wake_at)
        return min(moments, default=None) if not self.told(End) else None


def arrival(request: GenerateRequest, answer: str | Attempt) -> GenerationArrived:
    attempt = answered(answer) if isinstance(answer, str) else answer
    return GenerationArrived(
        turn_id=request.turn_id,
        agent_name=request.scene.agent_name,
        prompt=request.prompt,
        status=attempt.status,
        generation=attempt.generation,
        attempts=(attempt,),
    )


def answered(text: str | None, **details: Any) -> Attempt:
    return replace(Attempt(provider="fake", requested_model="m", generation=Generation(text=text)), **details)


def failed(status: str = "failed") -> Attempt:
    return Attempt(provider="fake", requested_model="m", status=status, error=f"{status}, as arranged")
