"""What the simulator takes: the requests, as pydantic models that also describe themselves in /openapi.json.

Unknown keys are refused: a misspelt `max_turn` would otherwise be a session of fifty rounds. Texts are taken as they
are, but for white space around a scenario.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from typing_extensions import TypeAliasType

MAX_OBJECT_CHARACTERS = 16_384
MAX_OBJECT_DEPTH = 10
MAX_RUNS = 20
MAX_BATCH = 50
MAX_AGENTS = 50

EXAMPLE_ID = "6f1f3b52-7a10-4bd4-9c1a-0a1f6f0c2a11"

ROLE = {"x-role": True}  # openapi.ROLE_MARK

NO_NUL = r"^[^\x00]*$"
"""Every text: PostgreSQL, for one, keeps no NUL, and our parser takes none."""
MOST = 10**17
"""Of numbers in facts: what every reader of a log can hold."""
_UUID = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0


def _size(value: Any) -> int:
    if isinstance(value, dict):
        return sum(len(key) + _size(item) + 2 for key, item in value.items())
    if isinstance(value, list):
        return sum(_size(item) + 1 for item in value)
    return len(value) if isinstance(value, str) else 1


def _bounded(value: Any) -> Any:
    """Refuse what no prompt should hold; the parser has seen to it that it is not deeper than we can follow."""
    if _depth(value) > MAX_OBJECT_DEPTH:
        raise ValueError(f"nested deeper than {MAX_OBJECT_DEPTH}")
    if _size(value) > MAX_OBJECT_CHARACTERS:
        raise ValueError(f"more than {MAX_OBJECT_CHARACTERS:,} characters in all")
    return value


SessionId = Annotated[str, StringConstraints(pattern=_UUID), AfterValidator(str.lower)]
RoleName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$"), Field(json_schema_extra=ROLE)]
TraitName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
ScenarioText = Annotated[str, StringConstraints(min_length=1, max_length=5000, pattern=NO_NUL)]
ONLY_SUCH = Field(json_schema_extra={"additionalProperties": False})
"""pydantic takes keys that fit their pattern alone, and its schema does not say so."""

Text = Annotated[str, StringConstraints(pattern=NO_NUL)]
Number = Annotated[int, Field(gt=-(10**18), lt=10**18)] | Annotated[float, Field(ge=-MOST, le=MOST)]
Json = TypeAliasType("Json", "bool | Number | Text | list[Json] | Annotated[dict[Text, Json], ONLY_SUCH] | None")
"""What a fact can be."""
Object = Annotated[
    dict[Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=NO_NUL)], Json],
    Field(max_length=100, json_schema_extra={"additionalProperties": False}),
    AfterValidator(_bounded),
]
"""Facts by name, at most 10 deep and 16,384 characters in all."""
Value = Annotated[Json, AfterValidator(_bounded)]
Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, StringConstraints(max_length=255, pattern=NO_NUL)]
Description = Annotated[str, StringConstraints(max_length=1000, pattern=NO_NUL)]
Input = Annotated[str, StringConstraints(max_length=2000, pattern=NO_NUL)]


def _distinct(values: list[str]) -> list[str]:
    if len(set(values)) < len(values):
        raise ValueError("each role once")
    return values


Roles = Annotated[
    list[RoleName],
    Field(max_length=MAX_AGENTS, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_distinct),
]


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class SimulationConfig(Request):
    max_turns: int = Field(default=50, ge=1, le=500)
    """How many rounds the session has at most."""
    agents: Annotated[Roles, Field(min_length=1)] | None = None
    """The roles at the table. null: all that there are."""
    temperature: float = Field(default=0.7, ge=0, le=2)
    """Of what roles say. The coordinator is asked with at most 0.5."""
    enable_memory: bool = True
    """Whether roles remember earlier rounds, and recall what fits."""
    enable_analytics: bool = True
    """Whether answers bring metrics, timeline and function points."""
    execution: Literal["sequential", "parallel", "waves"] = "sequential"
    """One role after another, all at once, or those of similar priority at once. Nobody hears who speaks at the same
    time."""
    seed: int | None = Field(default=None, ge=0, lt=2**53)
    """What all draws follow from. null: from the experiment's seed and the session's id."""


class StartRequest(Request):
    scenario: Annotated[str, StringConstraints(strip_whitespace=True, min_length=10, max_length=5000, pattern=NO_NUL)]
    """What the meeting is about."""
    name: Name | None = None
    description: Description | None = None
    config: SimulationConfig = Field(default_factory=SimulationConfig)
    initial_context: Object = Field(default_factory=dict)
    """Facts that hold from the first round on, by name. Every role reads them."""


class NextRequest(Request):
    session_id: SessionId
    user_input: Input | None = None
    """What is said to the table before anybody speaks."""
    focus_agents: Roles = Field(default_factory=list)
    """Only these speak in this round. Empty: everybody."""
    context_override: Object = Field(default_factory=dict)
    """Facts that hold in this round alone, over the session's own."""


class ContextChange(Request):
    value: Value
    """What the fact is from now on."""


class AgentChange(Request):
    """At least one of them."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    priority: int = Field(default=50, ge=0, le=1000)
    personality_traits: Annotated[
        dict[TraitName, Share], Field(max_length=20, json_schema_extra={"additionalProperties": False})
    ] = Field(default_factory=dict)
    """These traits change; the others stay as they are."""
    instruction: Input = ""
    """What the role is told besides its own prompt."""
    active: bool = True
    """false: it leaves the table."""

    @model_validator(mode="after")
    def _changes_something(self) -> AgentChange:
        if not self.model_fields_set:
            raise ValueError("any of priority, personality_traits, instruction and active is needed")
        return self


class ScenarioChange(Request):
    """One of them: a new text, or a piece that is added to the one that there is."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    text: ScenarioText = Field(default="")
    append: ScenarioText = Field(default="")

    @model_validator(mode="after")
    def _is_one(self) -> ScenarioChange:
        if len(self.model_fields_set) != 1:
            raise ValueError("one of text and append is needed")
        return self


class _Modification(Request):
    description: Description | None = None

    def as_record(self) -> dict[str, Any]:
        """Return what the log has of it: what was not given is not in it."""
        return self.model_dump(exclude_unset=True)


class ContextModification(_Modification):
    type: Literal["context"]
    target: Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=NO_NUL)]
    """The fact's name; a new one is a new fact."""
    change: ContextChange


class AgentModification(_Modification):
    type: Literal["agent"]
    target: RoleName
    """A role of the session."""
    change: AgentChange


class ScenarioModification(_Modification):
    type: Literal["scenario"]
    target: Literal["scenario"]
    change: ScenarioChange


Modification = Annotated[ContextModification | AgentModification | ScenarioModification, Field(discriminator="type")]


class WhatIfRequest(Request):
    session_id: SessionId
    base_turn: int | None = Field(default=None, ge=0)
    """The round after which the branches leave the session; 0: before the first. null: after the last completed one."""
    name: Name | None = None
    description: Description | None = None
    modifications: Annotated[list[Modification], Field(max_length=10)] = Field(default_factory=list)
    """What is different in the modified branch. Empty: a control, whose branches differ by chance alone."""
    num_turns_to_simulate: int = Field(default=3, ge=1, le=10)
    runs: int = Field(default=1, ge=1, le=MAX_RUNS)
    """How often both branches are played, each time with other draws, which the two of a run share."""
    user_input: Input | None = None
    """What is said to the table in the first round of both branches."""


class MemoryRequest(Request):
    agent_role: RoleName
    memory_type: Literal["short_term", "long_term", "episodic", "semantic"] = "short_term"
    key: Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=NO_NUL)]
    content: Object
    importance: Share = 0.5
    ttl_hours: int | None = Field(default=None, ge=1, le=720)
    """After so many hours it is forgotten. null: never."""


class BatchItem(Request):
    """A start or a round."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["start"]}, {"required": ["next"]}]})

    start: StartRequest = Field(default=None, validate_default=False)  # type: ignore[assignment]
    next: NextRequest = Field(default=None, validate_default=False)  # type: ignore[assignment]
    idempotency_key: Annotated[str, StringConstraints(pattern=r"^[!-~]{1,255}$")] | None = None
    """As the header of `POST /simulate/next`."""

    @model_validator(mode="after")
    def _is_one(self) -> BatchItem:
        if ("start" in self.model_fields_set) == ("next" in self.model_fields_set):
            raise ValueError("one of start and next is needed")
        return self


class BatchRequest(Request):
    items: Annotated[list[BatchItem], Field(min_length=1, max_length=MAX_BATCH)]
    """Sessions are begun and advanced at the same time; rounds of one session in the order in which they stand here."""


class AgentsQuery(Request):
    active_only: bool = True


class MemoryQuery(Request):
    agent_role: RoleName | None = None


class RoundsQuery(Request):
    limit: int = Field(default=50, ge=1, le=100)
    offset: int = Field(default=0, ge=0, lt=2**53)


class ListQuery(Request):
    status: Literal["active", "paused", "completed", "failed"] | None = None
    limit: int = Field(default=100, ge=1, le=500)
    offset: int = Field(default=0, ge=0, lt=2**53)
    branches: bool = False
    """Whether the branches of what-ifs are listed, too."""
