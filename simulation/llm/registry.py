"""Which providers there are. A provider is imported when a session needs it, and not before."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from simulation.errors import UnknownProvider
from simulation.events import SessionStarted
from simulation.generation import LanguageModel
from simulation.llm.endpoint import Adapter, Endpoint
from simulation.parameters import ModelChoice, SimulationParameters

if TYPE_CHECKING:
    from simulation.llm.budget import Ledger, Spent
    from simulation.llm.pricing import PriceList


class Provider(Protocol):
    """Gives every session its model. What is costly to make is made once and shared."""

    def for_session(self, start: SessionStarted) -> LanguageModel: ...

    def for_session_so_far(self, start: SessionStarted, spent: Spent) -> LanguageModel:
        """Return the model of a session that has `spent` so much; raise KeyError if this provider does not have it."""
        ...

    @property
    def problem(self) -> str | None:
        """Why no session should begin, if so."""
        ...

    async def close(self) -> None: ...


class LocalProvider(ABC):
    """A provider in this process, with no line to be broken and nothing to be let go of."""

    problem: str | None = None

    @abstractmethod
    def for_session(self, start: SessionStarted) -> LanguageModel: ...

    def for_session_so_far(self, start: SessionStarted, spent: Spent) -> LanguageModel:
        """Nothing costs anything here."""
        return self.for_session(start)

    async def close(self) -> None:  # noqa: B027 (whoever holds nothing has nothing to add)
        """Nothing is held."""


LOCAL = {
    "scripted": "simulation.llm.scripted:ScriptedProvider",
    "recorded": "simulation.llm.recorded:RecordedProvider",
}
"""Name in the settings -> module:class; the class takes (ModelChoice, experiment folder)."""

WIRE = {
    "gemini": "simulation.llm.gemini:Gemini",
    "groq": "simulation.llm.groq:Groq",
    "openai_compatible": "simulation.llm.openai_compatible:OpenAICompatible",
}
"""Name in the settings -> module:class of an Adapter."""

PROVIDERS = (*LOCAL, *WIRE)

NEEDED = {
    "gemini": "GEMINI_API_KEY",
    "groq": "GROQ_API_KEY",
    "openai_compatible": "OPENAI_COMPATIBLE_BASE_URL",
}
"""The setting that makes a provider usable."""

_CHAT = frozenset({"temperature", "top_p", "max_output_tokens", "stop", "seed", "reasoning_effort"})
TAKES = {
    "gemini": frozenset(
        {"temperature", "top_p", "max_output_tokens", "stop", "seed", "thinking_level", "thinking_budget"}
    ),
    "groq": _CHAT,
    "openai_compatible": _CHAT,
}
"""The settings of `Sampling` that a provider has a word for: the others are not sent to it."""


def taken_by(choice: ModelChoice) -> dict[str, Any]:
    """Return what is set of `choice.sampling` and means something to its provider."""
    return {k: v for k, v in choice.sampling.as_set().items() if k in TAKES.get(choice.provider, ())}


def not_taken_by(choice: ModelChoice) -> list[str]:
    """Return what a researcher has set in vain; the length of an answer is set by default."""
    return [name for name in choice.sampling.as_set() if choice.provider in WIRE and name not in TAKES[choice.provider]]


@dataclass(frozen=True, slots=True)
class Means:
    """What asking on the wire takes: endpoints by provider, the list of prices, and what was spent already."""

    prices: PriceList
    ledger: Ledger
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)


def choices_of(*every: SimulationParameters) -> tuple[ModelChoice, ...]:
    """Return the models that sessions with any of these parameters may ask, each once and the first one first.

    What is recorded is not asked again.
    """
    choices: dict[ModelChoice, None] = {}
    for parameters in every:
        first, second = parameters.language_model, parameters.on_model_failure.second
        choices[first] = None
        if second is not None and first.provider != "recorded":
            choices[second] = None
    return tuple(choices)


def is_on_the_wire(*every: SimulationParameters) -> bool:
    return any(choice.provider in WIRE for choice in choices_of(*every))


def local_provider(choice: ModelChoice, folder: Path) -> Provider:
    """Return a provider of this process; raise UnknownProvider, or what its construction raises."""
    provider: Provider = _class(choice.provider, LOCAL)(choice, folder)
    return provider


def local_providers(every: Sequence[SimulationParameters], folder: Path) -> Provider:
    """Return who answers sessions with any of these parameters, none of whose models is on the wire."""
    choices = dict.fromkeys(parameters.language_model for parameters in every)
    made = {choice: local_provider(choice, folder) for choice in choices}
    return next(iter(made.values())) if len(made) == 1 else _EachItsOwn(made)


class _EachItsOwn(LocalProvider):
    """Conditions with models of their own."""

    def __init__(self, providers: Mapping[ModelChoice, Provider]) -> None:
        self._providers = providers

    def for_session(self, start: SessionStarted) -> LanguageModel:
        return self._providers[start.parameters.language_model].for_session(start)


def wire_provider(every: Sequence[SimulationParameters], folder: Path, means: Means) -> Provider:
    """Return the gateway to the models of `every`. Imports SDKs and builds clients: not on the event loop."""
    from simulation.llm.gateway import Gateway
    from simulation.llm.line import Line

    choices, limits = choices_of(*every), every[0].gateway  # what a line needs to know of it is the same for all
    adapters = adapters_for({choice.provider for choice in choices if choice.provider in WIRE}, means.endpoints)
    lines = {
        (choice.provider, choice.model): Line(adapters[choice.provider], choice.model, limits)
        for choice in choices
        if choice.provider in WIRE
    }
    local = {choice: local_provider(choice, folder) for choice in choices if choice.provider in LOCAL}
    return Gateway(lines, local, means.prices, means.ledger)


def adapters_for(providers: Iterable[str], endpoints: Mapping[str, Endpoint]) -> dict[str, Adapter]:
    """Return a client for each provider; raise UnknownProvider where one has no endpoint."""
    made: dict[str, Adapter] = {}
    for name in providers:
        if name not in endpoints:
            raise UnknownProvider(f"{NEEDED[name]}: missing: it opens the way to {name}")
        made[name] = _class(name, WIRE)(endpoints[name])
    return made


def _class(name: str, table: Mapping[str, str]) -> type:
    if name not in table:
        raise UnknownProvider(f"there is no provider {name!r}; known are {', '.join(PROVIDERS)}")
    module, _, attribute = table[name].partition(":")
    found: type = getattr(import_module(module), attribute)
    return found
