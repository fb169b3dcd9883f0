"""What all sessions share that speak with one model of one provider: client, circuit, slots, pace."""

from __future__ import annotations

import asyncio
import logging
from math import inf

from simulation.generation import GenerateRequest, Generation, is_another_model
from simulation.llm.circuit import Circuit
from simulation.llm.endpoint import Adapter
from simulation.parameters import GatewayLimits

logger = logging.getLogger("chatroom.model")

HALVED_SECONDS = 60.0
"""How long every second turn is skipped after the provider said that there were too many."""
FIRST_GUESS_SECONDS = 5.0
"""What a call is taken to need until one was answered."""
FORGETTING = 0.9
"""How much of an earlier, slower answer is still reckoned with after each faster one."""


class Line:
    """Times are seconds on the event loop's clock; `needs_seconds` is what a call should have left to be worth it."""

    def __init__(self, adapter: Adapter, model: str, limits: GatewayLimits) -> None:
        self.provider = adapter.provider
        self.model = model
        self.adapter = adapter
        self.attempt_seconds = limits.attempt_seconds
        self.circuit = Circuit(f"{adapter.provider} ({model})")
        self.slots = asyncio.Semaphore(limits.calls_in_flight)
        self.pace = Pace(limits.requests_per_minute)
        self.halving = Halving()
        self._usual_seconds = FIRST_GUESS_SECONDS
        self._wire = adapter.model(model)
        self._served: set[str | None] = set()

    @property
    def needs_seconds(self) -> float:
        return min(self._usual_seconds, self.attempt_seconds)

    async def generate(self, request: GenerateRequest) -> Generation:
        generation = await self._wire.generate(request)
        served = generation.served_model
        if served not in self._served and is_another_model(self.model, served):
            logger.warning("%s: %s was asked for, %s answers", self.provider, self.model, served)
        self._served.add(served)
        return generation

    def took(self, seconds: float) -> None:
        """Take note of how long an answer took."""
        self._usual_seconds = max(seconds, self._usual_seconds * FORGETTING)

    def use(self, adapter: Adapter) -> None:
        """Speak through another client from now on: a new key, with which nothing has failed yet."""
        self.adapter = adapter
        self._wire = adapter.model(self.model)
        self.circuit = Circuit(f"{adapter.provider} ({self.model})")


class Pace:
    """Calls a minute, evenly spaced: a provider's own limit has no burst of a whole minute. None: no limit.

    Our own few lines and not a library's: in virtual time the one that we had waited for ever at some rates, and a
    turn that cannot be had in time should know at once.
    """

    def __init__(self, per_minute: float | None) -> None:
        self._gap = 60 / per_minute if per_minute else 0.0
        self._free_at = -inf

    def moment(self, now: float, latest: float) -> float | None:
        """Return when the next call may be made, and keep that moment for it; None if it is later than `latest`."""
        at = max(now, self._free_at)
        if at > max(now, latest):
            return None
        self._free_at = at + self._gap
        return at


class Halving:
    """Half of what was too much for the provider: every second turn is skipped for a while, whoever's it is."""

    def __init__(self) -> None:
        self._until = -inf
        self._skipped_last = False

    def begin(self, now: float) -> None:
        self._until = now + HALVED_SECONDS

    def skips(self, now: float) -> bool:
        """Whether this turn is to be skipped."""
        self._skipped_last = now < self._until and not self._skipped_last
        return self._skipped_last
