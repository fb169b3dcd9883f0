"""Where a provider is reached, and what it is shown: settled by the settings, never by the environment of an SDK."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from simulation.generation import LanguageModel


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`base_url` None is the provider's own address. The key is in no repr, and so in no log."""

    api_key: str = field(repr=False)
    base_url: str | None = None


class Adapter(Protocol):
    """A provider on the wire: one client, shared by every session that speaks with its key.

    Made by `Adapter(endpoint)`, which imports the SDK and may take its time: off the event loop.
    """

    provider: str

    def model(self, name: str) -> LanguageModel:
        """Return the model of this name."""
        ...

    async def models(self) -> tuple[str, ...]:
        """Return the names of the models that this key may use; raise GenerationError."""
        ...

    async def close(self) -> None: ...
