"""The far end of a line, in virtual time: a peer that answers as it is told, and a gateway that asks it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from typing import Any, NamedTuple

from chatrooms import started

from simulation.errors import GenerationError
from simulation.generation import Attempt, ChatMessage, GenerateRequest, Generation, LanguageModel, Scene, status_of
from simulation.llm.budget import Ledger
from simulation.llm.gateway import Gateway, Line
from simulation.llm.pricing import Price, PriceList
from simulation.llm.registry import WIRE, Provider, choices_of
from simulation.parameters import GatewayLimits, ModelChoice, OnModelFailure
from simulation.runtime.clock import run_in_virtual_time

FIRST = ModelChoice(provider="groq", model="small")
SECOND = ModelChoice(provider="gemini", model="other")
PRICES = PriceList("USD", "2026-11-24", {"groq": {"small": Price(input=1.0, output=2.0)}})
TODAY = "2026-11-24"


class Said(NamedTuple):
    """What a call comes to, after so many seconds (None: never)."""

    what: Generation | GenerationError
    after: float | None = 0.0


def says(text: str | None = "hello", *, after: float = 0.0, **details: Any) -> Said:
    return Said(Generation(text=text, **details), after)


def fails(kind: str, *, after: float = 0.0, **details: Any) -> Said:
    return Said(GenerationError(f"{kind}, as arranged", kind=kind, **details), after)


ANSWERS = says()
HANGS = Said(GenerationError("nobody waits so long"), None)


class Peer:
    """An adapter, and the provider behind it.

    `script` is what each call in turn comes to, the last of it again and again; or a function of the call's number,
    from 1. `asked_at` are seconds of virtual time.
    """

    def __init__(self, script: Sequence[Said] | Callable[[int], Said] = (ANSWERS,), *, provider: str = "groq") -> None:
        self.provider = provider
        self.asked: list[GenerateRequest] = []
        self.asked_at: list[float] = []
        self.models_asked: list[str] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self._script = script
        self._closed = asyncio.Event()

    @property
    def calls(self) -> int:
        return len(self.asked)

    @property
    def is_closed(self) -> bool:
        return self._closed.is_set()

    def model(self, name: str) -> LanguageModel:
        return _PeersModel(self, name)

    async def models(self) -> tuple[str, ...]:
        return (FIRST.model, SECOND.model)

    async def close(self) -> None:
        """Calls that are under way break off, as those of a real client do."""
        self._closed.set()

    async def answer(self, model: str, request: GenerateRequest) -> Generation:
        self.asked.append(request)
        self.asked_at.append(asyncio.get_running_loop().time())
        self.models_asked.append(model)
        said = self._said(self.calls)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            async with asyncio.timeout(said.after):
                await self._closed.wait()
        except TimeoutError:
            if isinstance(said.what, GenerationError):
                raise copy(said.what) from None
            return said.what
        finally:
            self.in_flight -= 1
        raise GenerationError("the client was closed", kind="unavailable")

    def _said(self, number: int) -> Said:
        if callable(self._script):
            return self._script(number)
        return self._script[min(number, len(self._script)) - 1]


class _PeersModel:
    def __init__(self, peer: Peer, name: str) -> None:
        self.provider = peer.provider
        self.model = name
        self._peer = peer

    async def generate(self, request: GenerateRequest) -> Generation:
        return await self._peer.answer(self.model, request)


class Turn(NamedTuple):
    """What a turn came to, as a session sees it: `asked_at` and `seconds` say when it began and how long it took."""

    status: str
    text: str | None
    attempts: tuple[Attempt, ...]
    asked_at: float
    seconds: float
    generation: Generation | None = None
    message: str = ""

    @property
    def statuses(self) -> list[str]:
        return [attempt.status for attempt in self.attempts]


class Wired:
    """A gateway to peers, with its ledger, for sessions whose settings are `changes`. One event loop for each."""

    def __init__(
        self,
        *peers: Peer,
        first: ModelChoice = FIRST,
        prices: PriceList = PRICES,
        local: dict[ModelChoice, Provider] | None = None,
        limits: dict[str, Any] | None = None,
        **changes: Any,
    ) -> None:
        self.changes = {"language_model": first, "gateway": GatewayLimits(**(limits or {})), **changes}
        self.parameters = started(**self.changes).parameters
        self.date = TODAY
        self.ledger = Ledger(self.parameters.budget, lambda: self.date, date=TODAY)
        by_provider = {peer.provider: peer for peer in peers}
        self.lines = {
            (choice.provider, choice.model): Line(by_provider[choice.provider], choice.model, self.parameters.gateway)
            for choice in choices_of(self.parameters)
            if choice.provider in WIRE
        }
        self.gateway = Gateway(self.lines, local or {}, prices, self.ledger)
        self.ended_at = 0.0

    @property
    def states(self) -> dict[str, str]:
        """What each circuit says: `ok`, or why it is open."""
        return {
            f"{provider}:{model}": line.circuit.open_because or "ok" for (provider, model), line in self.lines.items()
        }

    @property
    def problem(self) -> str | None:
        """Why no session should begin after the last turn, if so."""
        return self.problem_after(0.0)

    def problem_after(self, seconds: float) -> str | None:
        async def main() -> str | None:
            await asyncio.sleep(self.ended_at + seconds)
            return self.gateway.problem

        return run_in_virtual_time(main())

    def session(self, seed: int = 1) -> LanguageModel:
        return self.gateway.for_session(started(seed, **self.changes))

    def turns(self, moments: Iterable[float], *, of_one_session: bool = False, **details: Any) -> list[Turn]:
        """Run a turn from each of these moments on, each of a session of its own unless told otherwise."""
        return run_in_virtual_time(self.turns_at(moments, of_one_session=of_one_session, **details))

    async def turns_at(self, moments: Iterable[float], *, of_one_session: bool = False, **details: Any) -> list[Turn]:
        loop = asyncio.get_running_loop()
        one = self.session()

        async def at(moment: float) -> Turn:
            await asyncio.sleep(moment - loop.time())
            return await turn(one if of_one_session else self.session(), **details)

        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(at(moment)) for moment in moments]
        self.ended_at = loop.time()
        return [task.result() for task in running]

    def one_turn(self, **details: Any) -> Turn:
        (only,) = self.turns([0], **details)
        return only

    def one_after_another(self, count: int, seed: int = 1, **details: Any) -> list[Turn]:
        """Run turns of one session, each when the one before is over."""

        async def main() -> list[Turn]:
            model = self.session(seed)
            came_to = [await turn(model, **details) for _ in range(count)]
            self.ended_at = asyncio.get_running_loop().time()
            return came_to

        return run_in_virtual_time(main())


async def turn(model: LanguageModel, **details: Any) -> Turn:
    loop = asyncio.get_running_loop()
    asked_at = loop.time()
    try:
        generation = await model.generate(request(**details))
    except GenerationError as error:
        return Turn(error.kind, None, error.attempts, asked_at, loop.time() - asked_at, message=str(error))
    seconds = loop.time() - asked_at
    return Turn(status_of(generation), generation.text, generation.attempts, asked_at, seconds, generation)


def request(**details: Any) -> GenerateRequest:
    values: dict[str, Any] = {
        "session_id": "s",
        "turn_id": "turn-1",
        "messages": (ChatMessage("user", "What now?"),),
        "scene": Scene(agent_name="Alice", members=("Alice", "Bob"), act="message", cause="background"),
    }
    return GenerateRequest(**(values | details))


def canned(*lines: str) -> OnModelFailure:
    return OnModelFailure(mode="canned", lines=lines)


def second_provider(choice: ModelChoice = SECOND) -> OnModelFailure:
    return OnModelFailure(mode="second_provider", second=choice)
