"""What a what-if changes: the context, a role, the scenario.

`context`: `target` names a key, `change` is {"value": ...}. `agent`: `target` is a role of the session, `change` any of
`priority`, `personality_traits`, `instruction`, `active`. `scenario`: `change` is {"text": ...} or {"append": ...}.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from simulation.workforce.parameters import Role


@dataclass(frozen=True, slots=True)
class Premises:
    """What a round starts from: what a what-if may change."""

    scenario: str
    context: Mapping[str, Any]
    roles: tuple[Role, ...]

    @property
    def active_roles(self) -> tuple[Role, ...]:
        return tuple(role for role in self.roles if role.is_active)


def in_order(roles: Iterable[Role]) -> tuple[Role, ...]:
    """Return roles in the order in which they speak: by priority, the highest first; equal ones as they were named."""
    return tuple(sorted(roles, key=lambda role: -role.priority))


def modified(premises: Premises, modifications: Iterable[Mapping[str, Any]]) -> Premises:
    """Return `premises` with every modification made, one after another."""
    for each in modifications:
        premises = _modified(premises, each["type"], each["target"], each["change"])
    return premises


def _modified(premises: Premises, kind: str, target: str, change: Mapping[str, Any]) -> Premises:
    match kind:
        case "context":
            return replace(premises, context={**premises.context, target: change["value"]})
        case "scenario":
            text = change["text"] if "text" in change else f"{premises.scenario}\n{change['append']}"
            return replace(premises, scenario=text)
        case "agent":
            roles = (_changed(role, change) if role.role == target else role for role in premises.roles)
            return replace(premises, roles=in_order(roles))
    raise ValueError(f"there is no modification {kind!r}")


def _changed(role: Role, change: Mapping[str, Any]) -> Role:
    return replace(
        role,
        priority=change.get("priority", role.priority),
        personality_traits={**role.personality_traits, **change.get("personality_traits", {})},
        instruction=change.get("instruction", role.instruction),
        is_active=change.get("active", role.is_active),
    )
