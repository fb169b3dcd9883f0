"""What all sessions share that speak with one model of one provider: its client, its circuit, its slots, its pace."""

from __future__ import annotations

import asyncio
import logging
from math import inf

from simulation.generation import GenerateRequest, Generation, is_another_model
from simulation.llm.circuit import Circuit
from simulation.llm.endpoint import Adapter
from simulation.parameters import GatewayLimits

logger = logging.getLogger("chatroom.model")


class Line:
    def __init__(self, adapter: Adapter, model: str, limits: GatewayLimits) -> None:
        self.provider = adapter.provider
        self.model = model
        self.adapter = adapter
        self.circuit = Circuit(f"{adapter.provider} ({model})")
        self.slots = asyncio.Semaphore(limits.calls_in_flight)
        self.pace = Pace(limits.requests_per_minute)
        self._wire = adapter.model(model)
        self._served: set[str | None] = set()

    async def generate(self, request: GenerateRequest) -> Generation:
        generation = await self._wire.generate(request)
        served = generation.served_model
        if served not in self._served and is_another_model(self.model, served):
            logger.warning("%s: %s was asked for, %s answers", self.provider, self.model, served)
        self._served.add(served)
        return generation

    def use(self, adapter: Adapter) -> None:
        """Speak through another client from now on: a new key, with which nothing has failed yet."""
        self.adapter = adapter
        self._wire = adapter.model(self.model)
        self.circuit = Circuit(f"{adapter.provider} ({self.model})")


class Pace:
    """Calls a minute, evenly spaced: a provider's own limit has no burst of a whole minute. None: no limit.

    Our own four lines and not a library's: in virtual time the one that we had waited for ever at some rates, and a
    turn that could not be had in time should know at once.
    """

    def __init__(self, per_minute: float | None) -> None:
        self._gap = 60 / per_minute if per_minute else 0.0
        self._free_at = -inf

    def moment(self, now: float, latest: float) -> float | None:
        """Return when the next call may be made, and keep that moment for it; None if that is after `latest`."""
        at = max(now, self._free_at)
        if at > latest:
            return None
        self._free_at = at + self._gap
        return at
