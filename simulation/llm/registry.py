"""Which providers there are. A provider is imported when a session needs it, and not before."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Protocol

from simulation.errors import UnknownProvider
from simulation.events import SessionStarted
from simulation.generation import LanguageModel
from simulation.parameters import ModelChoice


class Provider(Protocol):
    """Gives every session its model. What is costly to make is made once and shared."""

    def for_session(self, start: SessionStarted) -> LanguageModel: ...


PROVIDERS = {
    "scripted": "simulation.llm.scripted:ScriptedProvider",
}
"""Name in the settings -> module:class; the class takes (ModelChoice, experiment folder)."""


def provider_for(choice: ModelChoice, folder: Path) -> Provider:
    """Return the provider that `choice` names; raise UnknownProvider, or what its construction raises."""
    target = PROVIDERS.get(choice.provider)
    if target is None:
        raise UnknownProvider(f"there is no provider {choice.provider!r}; known are {', '.join(PROVIDERS)}")
    module, _, name = target.partition(":")
    provider: Provider = getattr(import_module(module), name)(choice, folder)
    return provider
