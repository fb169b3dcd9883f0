"""What all sessions share that speak with one model of one provider: client, circuit, slots, pace."""

from __future__ import annotations

import asyncio
import logging
from math import inf

from simulation.generation import MOST_NAMES, USABLE, GenerateRequest, Generation, is_another_model, status_of
from simulation.llm.circuit import Circuit
from simulation.llm.endpoint import Adapter
from simulation.parameters import GatewayLimits

logger = logging.getLogger("chatroom.model")

HALVED_SECONDS = 60.0
"""How long every second turn is skipped after the provider said that there were too many."""
FIRST_GUESS_SECONDS = 5.0
"""What a call is taken to need until one was answered."""
MANY_USELESS = 10
"""So many answers in a row that nothing could be made of are told of."""
MISMATCH_SECONDS = 300.0
"""How long no session begins after another model answered, where the settings say that this ends sessions."""
LONG_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 20.0, 300.0
"""A wait that the provider names and that no turn could sit out is kept by all of them, up to the second figure."""
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
        self.rejections = Rejections()
        self._usual_seconds = FIRST_GUESS_SECONDS
        self._useless = 0
        self._mismatched_until = -inf
        self._stops_on_mismatch = limits.on_model_mismatch == "stop"
        self._wire = adapter.model(model)
        self._served: set[str | None] = set()

    def patient(self, attempt_seconds: float) -> Line:
        """Return a line to the same model for longer answers: what they take says nothing of short ones, nor the other
        way round. Slots and pace are those of this line, as they are the provider's.
        """
        limits = GatewayLimits(attempt_seconds=attempt_seconds)
        line = Line(self.adapter, self.model, limits)
        line.slots, line.pace = self.slots, self.pace
        return line

    @property
    def needs_seconds(self) -> float:
        return min(self._usual_seconds, self.attempt_seconds)

    async def generate(self, request: GenerateRequest) -> Generation:
        generation = await self._wire.generate(request)
        self._note_model(generation.served_model)
        self._note_use(status_of(generation))
        return generation

    def problem(self, now: float) -> str | None:
        """Why no session should begin that speaks through this line alone, if so."""
        if self.circuit.keeps_out(now):
            return self.circuit.open_because
        return "another model answers" if now < self._mismatched_until else None

    def _note_model(self, served: str | None) -> None:
        is_another = is_another_model(self.model, served)
        if is_another and self._stops_on_mismatch:
            self._mismatched_until = asyncio.get_running_loop().time() + MISMATCH_SECONDS
        if served not in self._served and len(self._served) < MOST_NAMES:
            self._served.add(served)
            if is_another:
                end = ": sessions end, and none begin for now" if self._stops_on_mismatch else ""
                logger.warning("%s: %s was asked for, %r answers%s", self.provider, self.model, served, end)

    def _note_use(self, status: str) -> None:
        """Tell of a model that answers and says nothing."""
        if status in USABLE:
            if self._useless >= MANY_USELESS:
                logger.warning("%s (%s): answers can be used again", self.provider, self.model)
            self._useless = 0
            return
        self._useless += 1
        if self._useless == MANY_USELESS:
            logger.warning("%s (%s): %d answers in a row were %s", self.provider, self.model, MANY_USELESS, status)

    def too_many(self, now: float, retry_after: float | None) -> None:
        """The provider said that there were too many calls."""
        if not self.halving.is_on(now):
            logger.warning(
                "%s (%s): too many calls: every second turn is skipped for %g s (language_model.requests_per_minute "
                "keeps below a limit)",
                self.provider,
                self.model,
                HALVED_SECONDS,
            )
        self.halving.begin(now, retry_after)

    def took(self, seconds: float) -> None:
        """Take note of how long an answer took."""
        self._usual_seconds = max(seconds, self._usual_seconds * FORGETTING)

    def use(self, adapter: Adapter) -> None:
        """Speak through another client from now on: a new key, with which nothing has failed yet."""
        self.adapter = adapter
        self._wire = adapter.model(self.model)
        self.circuit = Circuit(f"{adapter.provider} ({self.model})")
        self._mismatched_until = -inf


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
    """Half of what was too much for the provider: each session's every second turn is skipped for a while."""

    def __init__(self) -> None:
        self._until = -inf
        self._quiet_until = -inf
        self._skipped_last: dict[str, bool] = {}

    def is_on(self, now: float) -> bool:
        return now < self._until

    def begin(self, now: float, retry_after: float | None = None) -> None:
        """There were too many; `retry_after` is the wait that the provider named."""
        if not self.is_on(now):
            self._skipped_last.clear()
        self._until = now + HALVED_SECONDS
        if retry_after is not None and retry_after > LONG_WAIT_SECONDS:
            self._quiet_until = now + min(retry_after, LONGEST_WAIT_SECONDS)

    def skips(self, now: float, session_id: str) -> bool:
        """Whether this turn of a session is to be skipped."""
        if now < self._quiet_until:
            return True
        if not self.is_on(now):
            return False
        skipped = not self._skipped_last.get(session_id, False)
        self._skipped_last[session_id] = skipped
        return skipped


class Rejections:
    """Requests that the provider will never take: one session's own words may be the reason, two sessions' are not."""

    def __init__(self) -> None:
        self._sessions: set[str] = set()

    def are_general(self, session_id: str) -> bool:
        """Take note of one; return whether other sessions have met with it as well."""
        if len(self._sessions) < 2:
            self._sessions.add(session_id)
        return len(self._sessions) > 1

    def end(self) -> None:
        self._sessions.clear()
