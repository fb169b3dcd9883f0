"""What the simulator answers with: shapes alone, which `views` fills in."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from experiments.workforce.comparison import AgentAnalysis, PredictedOutcome
from experiments.workforce.function_points import FunctionPointEstimate
from experiments.workforce.metrics import Metrics, TaskShare
from experiments.workforce.timeline import Timeline

Status = Literal["active", "paused", "completed", "failed"]
Basis = dict[str, str]


class Shape(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Config(Shape):
    """The configuration as it holds: what the request left out is filled in."""

    max_turns: int
    agents: list[str]
    temperature: float
    enable_memory: bool
    enable_analytics: bool
    execution: Literal["sequential", "parallel", "waves"]
    seed: int | None


class StartAnswer(Shape):
    session_id: str
    status: Status
    scenario: str
    config: Config
    agents: list[str]
    message: str
    created_at: str


class TokenUsage(Shape):
    """As the provider counted; 0 where it did not say."""

    prompt: int
    completion: int
    total: int


class AgentResponse(Shape):
    agent_role: str
    response: str
    reasoning: str
    actions_proposed: list[str]
    directed_to: list[str]
    confidence: float | None
    risks: list[str]
    opportunities: list[str]
    is_structured: bool
    """False: the model gave no JSON, twice, and this is its text as it came."""
    token_usage: TokenUsage
    metrics: Metrics | None
    task_distribution: list[TaskShare]
    basis: Basis


class RoundAnswer(Shape):
    """A round. While it is played, and after it has failed, `agent_responses` holds whoever has answered."""

    session_id: str
    model: str
    """Who answers: `provider:model`; `scripted` is no model, but lines written before."""
    turn_number: int
    status: Literal["completed", "in_progress", "failed"]
    user_input: str | None
    coordinator_summary: str | None
    agent_responses: list[AgentResponse]
    awaited: list[str]
    """Who has not answered: roles, and `coordinator` for the summary."""
    duration_ms: int | None
    total_tokens: int
    has_more_turns: bool
    next_suggested_action: str | None
    project_timeline: Timeline | None
    function_point_estimation: FunctionPointEstimate | None
    basis: Basis
    """Why a field is null."""
    formulas: dict[str, str]
    """How the figures were computed, by field."""


class Fork(Shape):
    parent: str
    base_turn: int
    kind: Literal["base", "modified"]
    run: int
    what_if: str
    modifications: list[dict[str, Any]]


class Listed(Shape):
    session_id: str
    name: str | None
    description: str | None
    scenario: str
    status: Status
    current_turn: int
    max_turns: int
    created_at: str
    updated_at: str
    parent: str | None
    """The session of which this is a branch."""


class SimulationList(Shape):
    simulations: list[Listed]
    total: int
    """Of all that fit the query, not of this page."""
    limit: int
    offset: int


class AgentState(Shape):
    id: str
    session_id: str
    agent_role: str
    name: str
    priority: int
    is_active: bool
    current_focus: str | None
    """What it proposed first in its newest answer."""
    goals: list[str]
    """The tasks that it has named and that are not completed."""
    context: dict[str, Any]
    messages_sent: int
    last_active_turn: int | None


class StateAnswer(Shape):
    session_id: str
    name: str | None
    description: str | None
    scenario: str
    status: Status
    current_turn: int
    max_turns: int
    config: Config
    context: dict[str, Any]
    agent_states: list[AgentState]
    model: str
    """Who answers: `provider:model`."""
    fork: Fork | None
    round: RoundAnswer | None
    """The round that is in progress, or that has failed."""
    created_at: str
    updated_at: str


class RoundsAnswer(Shape):
    session_id: str
    turns: list[RoundAnswer]
    """In their order; one that is in progress, or has failed, comes last."""
    total: int
    """How many there are in all."""


class StatusAnswer(Shape):
    session_id: str
    status: Status


class Agent(Shape):
    id: str
    role: str
    name: str
    description: str
    capabilities: list[str]
    personality_traits: dict[str, float]
    priority: int
    is_active: bool


class AgentList(Shape):
    agents: list[Agent]
    total: int


class MemoryEntry(Shape):
    id: str
    agent_role: str
    memory_type: str
    key: str
    content: dict[str, Any]
    importance: float
    access_count: int
    """How often it was recalled."""
    created_at: str
    last_accessed_at: str | None
    expires_at: str | None


class MemoryAnswer(Shape):
    session_id: str
    total_memories: int
    memories_by_agent: dict[str, list[MemoryEntry]]
    summary: str


class Branch(Shape):
    kind: Literal["base", "modified"]
    run: int
    session_id: str


class BranchProgress(Branch):
    turns_played: int


class WhatIfAnswer(Shape):
    id: str
    session_id: str
    model: str
    """Who answers: `provider:model`; `scripted` is no model, but lines written before."""
    base_turn: int
    name: str | None
    description: str | None
    modifications: list[dict[str, Any]]
    num_turns_to_simulate: int
    runs: int
    predicted_outcomes: list[PredictedOutcome]
    agent_analyses: list[AgentAnalysis]
    overall_confidence: float | None
    recommendation: str
    branches: list[Branch]
    basis: Basis
    formulas: dict[str, str]
    created_at: str


class WhatIfListed(Shape):
    id: str
    session_id: str
    name: str | None
    base_turn: int
    modifications: list[dict[str, Any]]
    num_turns_to_simulate: int
    runs: int
    is_complete: bool
    branches: list[BranchProgress]
    created_at: str


class WhatIfList(Shape):
    what_ifs: list[WhatIfListed]
    total: int


class BatchResult(Shape):
    status: int
    """What the request would have been answered with by itself."""
    body: dict[str, Any] = Field(description="StartAnswer, RoundAnswer, or the envelope of an error.")


class BatchAnswer(Shape):
    results: list[BatchResult]
    """In the order of the items."""
