"""Between a session and a provider: how long, how often, how much, and what happens instead.

Theory of operation
===================

Everything here is a LanguageModel round a LanguageModel. From the outside in:

    Timed       the moment by which the turn must have its answer
    Fallback    what is said instead, where the experiment has something (canned lines, a second provider)
    Told        the parameters that this model is asked with
    Halved      every second turn is skipped for a minute after the provider said that there were too many
    Retrying    a second try, where it can help and the turn has time for it
    Admitted    the circuit, a slot, the pace: no call in vain, not too many at once, not too many a minute
    Parsed      where JSON was asked for, nothing else is an answer
    Budgeted    no call over the budget
    Measured    one attempt: its deadline, its figures, its price
    (adapter)   the provider on the wire

What sessions share (client, circuit, slots, pace) is in a `line.Line`, one for each provider and model; a new key is
put into the line while sessions run. An answer brings its attempts with it, as does an error: each becomes one
`llm_call`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from math import inf

import stamina

from simulation.errors import GenerationError, InvalidJson, NotAsked
from simulation.events import SessionStarted
from simulation.generation import (
    USABLE,
    Attempt,
    GenerateRequest,
    Generation,
    LanguageModel,
    checked,
    status_of,
)
from simulation.llm.budget import Ledger, Spent
from simulation.llm.cache import Answers, Cached
from simulation.llm.circuit import Circuit
from simulation.llm.endpoint import Adapter
from simulation.llm.line import FIRST_GUESS_SECONDS, Line
from simulation.llm.pricing import PriceList, total_tokens
from simulation.llm.registry import TAKES, Provider, taken_by
from simulation.pacing import draws
from simulation.parameters import FALLBACKS, Budget, ModelChoice
from simulation.strict_json import parse
from simulation.workforce.events import WorkforceStarted
from simulation.workforce.parameters import PATIENCE

RETRY_WAIT_SECONDS = 1.0
"""Before a second try where the provider names no wait: between half of this and all of it."""
LEAST_SECONDS = 1.0
"""What a turn must have left for another call to be worth it."""
SECONDS_FOR_THE_SECOND = 5.0
"""What is left to a second provider of the turn's time, at most half of it."""
CURED_BY_RETRY = ("rate_limited", "unavailable", "bad_response", "unparsable")

stamina.instrumentation.set_on_retry_hooks([])  # every attempt stands in the session's log, with its reason


def now() -> float:
    """Seconds on the event loop's clock: a deadline, a wait and a probe mean the same in virtual time."""
    return asyncio.get_running_loop().time()


def _latest(request: GenerateRequest, seconds: float) -> float:
    """The moment after which `seconds` are no longer left for the answer."""
    return inf if request.answer_by is None else request.answer_by - seconds


class _Wrapper:
    """A model round another."""

    def __init__(self, inner: LanguageModel) -> None:
        self.inner = inner
        self.provider = inner.provider
        self.model = inner.model


class Measured(_Wrapper):
    """One attempt, with its own deadline; what it took and cost stands in its Attempt."""

    def __init__(self, inner: LanguageModel, seconds: float, prices: PriceList) -> None:
        super().__init__(inner)
        self._seconds = seconds
        self._prices = prices

    async def generate(self, request: GenerateRequest) -> Generation:
        started = now()
        answer_by = inf if request.answer_by is None else request.answer_by
        try:
            async with asyncio.timeout_at(min(started + self._seconds, answer_by)):
                generation = await self.inner.generate(request)
        except TimeoutError:
            raise self._failure(GenerationError("no answer in time", kind="timeout"), request, started) from None
        except GenerationError as error:
            raise self._failure(error, request, started) from error.__cause__
        return replace(checked(generation), attempts=(self._success(generation, request, started),))

    def _success(self, generation: Generation, request: GenerateRequest, started: float) -> Attempt:
        return Attempt(
            provider=self.provider,
            requested_model=self.model,
            status=status_of(generation),
            generation=generation,
            http_status=200,
            parameters=request.parameters,
            latency_ms=_milliseconds(started),
            cost=self._prices.cost(self.provider, generation.served_model or self.model, generation.usage),
        )

    def _failure(self, error: GenerationError, request: GenerateRequest, started: float) -> GenerationError:
        attempt = Attempt(
            provider=self.provider,
            requested_model=self.model,
            status=error.kind,
            error=str(error),
            http_status=error.http_status,
            request_id=error.request_id,
            parameters=request.parameters,
            latency_ms=_milliseconds(started),
        )
        error.attempts = (attempt,)
        return error


class Budgeted(_Wrapper):
    def __init__(self, inner: LanguageModel, ledger: Ledger, session: Spent, budget: Budget) -> None:
        super().__init__(inner)
        self._ledger = ledger
        self._session = session
        self._budget = budget

    async def generate(self, request: GenerateRequest) -> Generation:
        if reached := self._ledger.spent_up_by(self._session, self._budget):
            raise NotAsked(f"the budget is spent: {reached}", kind="budget_spent")
        self._ledger.count_call(self._session)
        generation = await self.inner.generate(request)
        cost = generation.attempts[-1].cost if generation.attempts else None
        self._ledger.add(self._session, total_tokens(self.provider, generation.usage), cost)
        return generation


class Parsed(_Wrapper):
    """Where a schema was given, an answer is a JSON object; anything else is asked for once more, without a wait."""

    async def generate(self, request: GenerateRequest) -> Generation:
        generation = await self.inner.generate(request)
        if request.schema is None or status_of(generation) not in USABLE or _is_object(generation.text or ""):
            return generation
        error = GenerationError("not the JSON that was asked for", kind="unparsable", retry_after=0.0)
        *before, last = generation.attempts
        error.attempts = (*before, replace(last, status=error.kind, error=str(error)))
        raise error


def _is_object(text: str) -> bool:
    try:
        return isinstance(parse(text.encode("utf-8", "replace")), dict)
    except InvalidJson:
        return False


class Admitted(_Wrapper):
    """What stands between a turn and its call. No turn waits so long that its call would not have the time it needs.

    `may_wait`: whether to wait for a probe's moment; not where somebody else could speak meanwhile.
    """

    def __init__(self, inner: LanguageModel, line: Line, *, may_wait: bool) -> None:
        super().__init__(inner)
        self._line = line
        self._may_wait = may_wait

    async def generate(self, request: GenerateRequest) -> Generation:
        came = now()
        await self._past_the_circuit(request)
        admitted, circuit = now(), self._line.circuit
        await self._slot(request)
        try:
            await self._moment(request)
            if circuit.opened_since(admitted):
                raise _in_vain(circuit)
            return await self._called(request, circuit, _milliseconds(came))
        finally:
            self._line.slots.release()

    async def _past_the_circuit(self, request: GenerateRequest) -> None:
        """Wait until the call may be made, perhaps as a probe."""
        circuit, came = self._line.circuit, now()
        needs = max(self._line.needs_seconds, min(FIRST_GUESS_SECONDS, self._line.attempt_seconds))
        at = circuit.admitted_at(came, _latest(request, needs) if self._may_wait else came)
        if at is None:
            raise _in_vain(circuit)
        if at > came:
            await asyncio.sleep(at - came)
            circuit = self._line.circuit  # another, if there is a new key
            if circuit.is_final and circuit.opened_since(came):
                raise _in_vain(circuit)

    async def _slot(self, request: GenerateRequest) -> None:
        try:
            async with asyncio.timeout_at(_latest(request, self._line.needs_seconds)):
                await self._line.slots.acquire()
        except TimeoutError:
            raise NotAsked("too many calls at once", kind="throttled") from None

    async def _moment(self, request: GenerateRequest) -> None:
        at = self._line.pace.moment(now(), _latest(request, self._line.needs_seconds))
        if at is None:
            raise NotAsked("too many calls a minute", kind="throttled")
        if at > now():
            await asyncio.sleep(at - now())

    async def _called(self, request: GenerateRequest, circuit: Circuit, queue_ms: int) -> Generation:
        began = now()
        try:
            generation = await self.inner.generate(request)
        except NotAsked:
            raise
        except GenerationError as error:
            self._note(error, circuit, request, began)
            error.attempts = _with_queue(error.attempts, queue_ms)
            raise
        circuit.succeeded(began)
        self._line.rejections.end()
        self._line.took(now() - began)
        return replace(generation, attempts=_with_queue(generation.attempts, queue_ms))

    def _note(self, error: GenerationError, circuit: Circuit, request: GenerateRequest, began: float) -> None:
        """Tell the line what happened, unless it was our own haste."""
        had = _latest(request, 0.0) - began
        if error.kind == "timeout" and had < self._line.needs_seconds:
            return
        if error.kind == "rate_limited":
            self._line.too_many(now(), error.retry_after)
        if error.kind == "rejected" and not self._is_general(error, request):
            return
        circuit.failed(error.kind, _briefly(error), now(), error.retry_after)

    def _is_general(self, error: GenerationError, request: GenerateRequest) -> bool:
        """Whether the provider would reject any request: the model is not there, or it rejects several sessions'. That
        it takes no schema says nothing of requests without one.
        """
        if request.schema is not None and error.http_status != 404:
            return False
        return error.http_status == 404 or self._line.rejections.are_general(request.session_id)


def _briefly(error: GenerationError) -> str:
    """For the server log, where a provider's words have no place: they may quote what a participant wrote."""
    return "no answer" if error.http_status is None else f"HTTP {error.http_status}"


def _in_vain(circuit: Circuit) -> NotAsked:
    return NotAsked(f"not asked: {circuit.open_because}", kind="circuit_open")


class Halved(_Wrapper):
    def __init__(self, inner: LanguageModel, line: Line) -> None:
        super().__init__(inner)
        self._line = line

    async def generate(self, request: GenerateRequest) -> Generation:
        if self._line.halving.skips(now(), request.session_id):
            raise NotAsked("every second turn is skipped for a minute after a rate limit", kind="throttled")
        return await self.inner.generate(request)


class Retrying(_Wrapper):
    """One more try, after the wait that the provider names, if the turn has the time for both."""

    async def generate(self, request: GenerateRequest) -> Generation:
        try:
            return await self.inner.generate(request)  # nearly always all there is to it, so stamina comes later
        except GenerationError as error:
            if not _helps(error, request):
                raise
            first = error
        return await self._again(request, first)

    async def _again(self, request: GenerateRequest, first: GenerationError) -> Generation:
        async for attempt in stamina.retry_context(
            _wait_after,
            attempts=2,
            timeout=None,
            wait_initial=RETRY_WAIT_SECONDS / 2,
            wait_jitter=RETRY_WAIT_SECONDS / 2,
        ):
            with attempt:
                if attempt.num == 1:
                    raise first
                try:
                    generation = await self.inner.generate(request)
                except GenerationError as error:
                    error.attempts = _numbered([*first.attempts, *error.attempts])
                    raise
                return replace(generation, attempts=_numbered([*first.attempts, *generation.attempts]))
        raise AssertionError("stamina raises what the last attempt raised")


def _helps(error: GenerationError, request: GenerateRequest) -> bool:
    """Whether another try can cure it, and the turn has the time."""
    wait = RETRY_WAIT_SECONDS if error.retry_after is None else error.retry_after
    return error.kind in CURED_BY_RETRY and now() + wait <= _latest(request, LEAST_SECONDS)


def _wait_after(error: Exception) -> bool | float:
    """Return the provider's wait in seconds, if it named one, as stamina takes it."""
    wait = error.retry_after if isinstance(error, GenerationError) else None
    return True if wait is None else wait


class Told(_Wrapper):
    """Adds the parameters that this model is asked with."""

    def __init__(self, inner: LanguageModel, choice: ModelChoice) -> None:
        super().__init__(inner)
        self._parameters = taken_by(choice)

    async def generate(self, request: GenerateRequest) -> Generation:
        return await self.inner.generate(replace(request, parameters=self._parameters))


class Suited(_Wrapper):
    """Leaves out of a request's own parameters those that this provider has no word for."""

    async def generate(self, request: GenerateRequest) -> Generation:
        known = TAKES[self.provider]
        parameters = {name: value for name, value in request.parameters.items() if name in known}
        return await self.inner.generate(replace(request, parameters=parameters))


class Timed(_Wrapper):
    """Sets the moment by which there must be an answer, or brings it forward."""

    def __init__(self, inner: LanguageModel, seconds: float) -> None:
        super().__init__(inner)
        self._seconds = seconds

    async def generate(self, request: GenerateRequest) -> Generation:
        answer_by = min(now() + self._seconds, _latest(request, 0.0))
        return await self.inner.generate(replace(request, answer_by=answer_by))


class Fallback(_Wrapper):
    """Whoever speaks while the model does not. What was tried before is in the answer's attempts.

    Not for a turn that was skipped since there were too many: that the model is well and asked less is the point of it.
    Nor where it was the prompt that was refused: the model is well, and the turn goes to another agent.
    """

    def __init__(self, inner: LanguageModel, instead: LanguageModel, source: str) -> None:
        super().__init__(inner)
        self._instead = instead
        self._source = source

    async def generate(self, request: GenerateRequest) -> Generation:
        try:
            return await self.inner.generate(request)
        except GenerationError as error:
            if error.kind in ("throttled", "blocked"):
                raise
            first = error
        try:
            generation = await self._instead.generate(request)
        except GenerationError as error:
            error.attempts = _numbered([*first.attempts, *error.attempts])
            raise
        spoken = replace(generation, source=self._source, reason=generation.reason or first.kind, attempts=())
        *before, last = generation.attempts or (self._unmeasured(spoken),)
        return replace(spoken, attempts=_numbered([*first.attempts, *before, replace(last, generation=spoken)]))

    def _unmeasured(self, spoken: Generation) -> Attempt:
        """What a model in this process says is no call, but stands in the log like one."""
        instead = self._instead
        return Attempt(provider=instead.provider, requested_model=instead.model, status=status_of(spoken))


class CannedLines:
    """The researcher's own lines, in an order of the session's own: each once before any comes again."""

    provider = "canned"
    model = "canned"

    def __init__(self, lines: tuple[str, ...], seed: int) -> None:
        self._lines = lines
        self._random = draws(seed, "canned", 0)
        self._left: list[str] = []

    async def generate(self, request: GenerateRequest) -> Generation:
        if not self._left:
            self._left = self._random.sample(self._lines, len(self._lines))
        return Generation(text=self._left.pop())


class Gateway:
    """Gives every session its model: the wrappers round the line that all of them share."""

    def __init__(
        self,
        lines: Mapping[tuple[str, str], Line],
        local: Mapping[ModelChoice, Provider],
        prices: PriceList,
        ledger: Ledger,
    ) -> None:
        self._ledger = ledger
        self._lines = dict(lines)
        self._patient_lines = {key: line.patient(PATIENCE.attempt_seconds) for key, line in lines.items()}
        self._local = dict(local)
        self._prices = prices

    def for_session(self, start: SessionStarted) -> LanguageModel:
        return self.for_session_so_far(start, Spent())

    def for_session_so_far(self, start: SessionStarted, spent: Spent) -> LanguageModel:
        """Return the model of a session that has `spent` so much; raise KeyError if no line leads to it."""
        parameters = start.parameters
        failure, seconds = parameters.on_model_failure, parameters.gateway.turn_seconds
        first = self._composed(parameters.language_model, start, spent, may_wait=failure.mode not in FALLBACKS)
        if failure.mode == "canned":
            first = Fallback(first, CannedLines(failure.lines, start.seed), "canned")
        elif failure.mode == "second_provider" and failure.second is not None:
            second = self._composed(failure.second, start, spent, may_wait=False)
            first = Timed(first, seconds - min(SECONDS_FOR_THE_SECOND, seconds / 2))
            first = Fallback(first, second, "second_provider")
        return Timed(first, seconds)

    def for_workforce(
        self, start: WorkforceStarted, spent: Spent, answers: Answers | None = None
    ) -> LanguageModel | None:
        """Return the model of a workforce session that has `spent` so much, None if this gateway does not lead to it.
        Nobody speaks in its place and no turn is skipped: a round can be resumed. The core reads JSON, and asks for it
        again, itself. `answers` are those that need not be asked for again.
        """
        parameters = start.parameters
        choice = parameters.language_model
        line = self._patient_lines.get((choice.provider, choice.model))
        if line is None:
            return None
        model: LanguageModel = Measured(line, line.attempt_seconds, self._prices)
        model = Admitted(Budgeted(model, self._ledger, spent, parameters.budget), line, may_wait=True)
        model = Suited(Timed(Retrying(model), parameters.gateway.turn_seconds))
        return model if answers is None else Cached(model, answers)

    def _composed(self, choice: ModelChoice, start: SessionStarted, spent: Spent, *, may_wait: bool) -> LanguageModel:
        if choice in self._local:
            return self._local[choice].for_session(start)
        line = self._lines[choice.provider, choice.model]
        model: LanguageModel = Measured(line, line.attempt_seconds, self._prices)
        model = Parsed(Budgeted(model, self._ledger, spent, start.parameters.budget))
        model = Admitted(model, line, may_wait=may_wait)
        model = Halved(Retrying(model), line)
        return Told(model, choice)

    @property
    def providers(self) -> set[str]:
        """The providers on the wire."""
        return {line.provider for line in self._lines.values()}

    @property
    def problem(self) -> str | None:
        """Why no session should begin, if so: no model would say a word."""
        if reached := self._ledger.spent_up():
            return f"budget: {reached}"
        problems = [line.problem(now()) for line in self._lines.values()]
        if self._local or not all(problems):
            return None  # where one of two still answers, sessions have their agents
        return f"model: {problems[0]}"

    async def use(self, adapters: Mapping[str, Adapter]) -> None:
        """Speak through other clients from now on: sessions go on. A call that is under way on
        the old client breaks off, and is tried again on the new one."""
        old = {id(line.adapter): line.adapter for line in self._lines.values() if line.provider in adapters}
        for line in (*self._lines.values(), *self._patient_lines.values()):
            if line.provider in adapters:
                line.use(adapters[line.provider])
        for adapter in old.values():
            await adapter.close()

    async def close(self) -> None:
        for adapter in {id(line.adapter): line.adapter for line in self._lines.values()}.values():
            await adapter.close()


def _milliseconds(since: float) -> int:
    return round((now() - since) * 1000)


def _with_queue(attempts: tuple[Attempt, ...], queue_ms: int) -> tuple[Attempt, ...]:
    return tuple(replace(attempt, queue_ms=queue_ms) for attempt in attempts)


def _numbered(attempts: list[Attempt]) -> tuple[Attempt, ...]:
    return tuple(replace(attempt, number=number) for number, attempt in enumerate(attempts, start=1))
