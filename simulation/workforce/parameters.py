"""What a workforce session is made of, resolved: it stands whole in the `session_start` record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self

from simulation.parameters import Budget, GatewayLimits, ModelChoice

COORDINATOR = "coordinator"
"""Who sums a round up: a voice of the table's own, and so no role's name."""
SUMMARY_TEMPERATURE = 0.5
"""At most so much for the coordinator: a summary is to be true rather than lively."""
WAVE_WIDTH = 25
"""Roles whose priorities lie in the same quarter of a hundred speak in the same wave."""

PATIENCE = GatewayLimits(turn_seconds=150.0, attempt_seconds=60.0)
"""Nobody waits at a keyboard for a round, and structured answers are long."""

Execution = Literal["sequential", "parallel", "waves"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A position at the table. `priority` decides who speaks first; `personality_traits` are 0 to 1, by name.

    `instruction` is what a what-if adds to what the role is told.
    """

    role: str
    name: str
    description: str = ""
    capabilities: tuple[str, ...] = ()
    personality_traits: Mapping[str, float] = field(default_factory=dict)
    priority: int = 50
    system_prompt: str = ""
    instruction: str = ""
    is_active: bool = True

    @classmethod
    def from_record(cls, data: Mapping[str, Any]) -> Self:
        return cls(**{**data, "capabilities": tuple(data.get("capabilities", ()))})


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkforceParameters:
    """`roles` stand in the order in which they speak. `sends_seed`: whether models are told a seed, so that they, too,
    answer the same again as far as they can; in a fork they always are.
    """

    scenario: str
    roles: tuple[Role, ...]
    max_turns: int = 50
    temperature: float = 0.7
    execution: Execution = "sequential"
    enable_memory: bool = True
    enable_analytics: bool = True
    initial_context: Mapping[str, Any] = field(default_factory=dict)
    sends_seed: bool = False
    language_model: ModelChoice = field(default_factory=ModelChoice)
    gateway: GatewayLimits = PATIENCE
    budget: Budget = field(default_factory=Budget)

    @classmethod
    def from_record(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild what `session_start` holds under `parameters`."""
        values = dict(data)
        values["roles"] = tuple(map(Role.from_record, data["roles"]))
        values["language_model"] = ModelChoice.from_record(data["language_model"])
        values["gateway"] = GatewayLimits(**data["gateway"])
        values["budget"] = Budget(**data["budget"])
        known = {each.name for each in fields(cls)}
        return cls(**{key: value for key, value in values.items() if key in known})
