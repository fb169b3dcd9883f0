"""What is asked of a role, in the table's own terms, for a provider that knows tables (the scripted one)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from simulation.workforce.events import AgentAnswered, MemoryStored, RoundCompleted
from simulation.workforce.parameters import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class TableScene:
    """`agent_name` is a role, or `coordinator`; `role` is None for the latter.

    `colleagues` are the other active roles of the session. `context` is what holds in this round: the initial context,
    what a what-if changed, and this round's override. `said` is what was answered in this round before, as far as this
    speaker hears it; `earlier` are all answers of earlier rounds, oldest first, `summaries` what came of those rounds.
    `is_repair`: the answer before was no JSON.
    """

    agent_name: str
    role: Role | None
    colleagues: tuple[Role, ...]
    turn_number: int
    scenario: str
    context: Mapping[str, Any]
    user_input: str | None
    said: tuple[AgentAnswered, ...]
    earlier: tuple[AgentAnswered, ...]
    summaries: tuple[RoundCompleted, ...]
    recalled: tuple[MemoryStored, ...]
    is_repair: bool = False
