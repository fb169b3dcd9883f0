"""A table in memory: a workforce core, its log, and a model that answers as the test says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from simulation.codec import Record, decode, encode
from simulation.effects import Generate, Refuse
from simulation.generation import Attempt, GenerateRequest, Generation, Usage, status_of
from simulation.inputs import GenerationArrived, Reopened
from simulation.workforce.core import Workforce
from simulation.workforce.events import WorkforceStarted
from simulation.workforce.hooks import Hooks
from simulation.workforce.inputs import RoundRequested, WorkforceInput
from simulation.workforce.modifications import in_order
from simulation.workforce.parameters import COORDINATOR, Role, WorkforceParameters

SESSION_ID = "6f1f3b52-7a10-4bd4-9c1a-0a1f6f0c2a11"
MOMENT = "2026-11-25T09:00:00.000000+00:00"
SCENARIO = "We launch a new product in three months with eight engineers and/or contractors."
CEO = Role(role="ceo", name="Chief Executive Officer", priority=100, system_prompt="You lead.")
PM = Role(role="pm", name="Product Manager", priority=80, system_prompt="You plan.")
ENGINEER = Role(role="engineering_lead", name="Engineering Lead", priority=75, system_prompt="You build.")
DESIGNER = Role(role="designer", name="Lead Designer", priority=70, system_prompt="You draw.")
ROLES = (CEO, PM, ENGINEER, DESIGNER)

Said = str | dict[str, Any] | None
Says = Callable[[GenerateRequest], Said]
"""What the model answers: a text, an object, or None for a failure."""


def table_start(*, roles: Iterable[Role] = ROLES, **changes: Any) -> WorkforceStarted:
    started = {name: changes.pop(name) for name in ("session_id", "seed", "fork", "created_at") if name in changes}
    parameters = WorkforceParameters(**({"scenario": SCENARIO, "roles": in_order(roles)} | changes))
    values = {"session_id": SESSION_ID, "seed": 7, "created_at": MOMENT} | started
    return WorkforceStarted(elapsed=0.0, experimental_config={}, simulation_config={}, parameters=parameters, **values)


def plainly(request: GenerateRequest) -> dict[str, Any]:
    """Says who speaks in which round, and nothing clever."""
    scene = request.scene
    if scene.agent_name == COORDINATOR:
        return {"summary": f"round {scene.turn_number} summed up", "next_action": "go on"}
    return answer(f"{scene.agent_name} speaks in round {scene.turn_number}")


def answer(response: str, **parts: Any) -> dict[str, Any]:
    return {"response": response, "reasoning": "because", "actions": [], "confidence": 0.8, **parts}


@dataclass
class Table:
    """`failing` are names that get no answer, with the status of it; what is asked stands in `asked`."""

    start: WorkforceStarted = field(default_factory=table_start)
    says: Says = plainly
    hooks: Sequence[Hooks] = ()
    failing: dict[str, str] = field(default_factory=dict)
    core: Workforce = field(init=False)

    def __post_init__(self) -> None:
        self.core = Workforce(self.start, self.hooks)
        self.records: list[Record] = []
        self.asked: list[GenerateRequest] = []
        self.refused: list[str] = []
        self.pending: list[GenerateRequest] = []
        self.now = 0.0
        self._keep((self.start,))

    # What happens

    def plays(self, user_input: str | None = None, **asked: Any) -> None:
        """Ask for a round, and answer whatever the core asks until nobody is under way."""
        self.asks_for_a_round(user_input, **asked)
        self.answers_all()

    def asks_for_a_round(self, user_input: str | None = None, **asked: Any) -> None:
        values = {"moment": MOMENT, "request_sha256": f"{user_input}{asked}"} | asked
        self.gets(RoundRequested(user_input=user_input, **values))

    def answers_all(self) -> None:
        while self.pending:
            self.answers_one()

    def answers_one(self, name: str | None = None) -> GenerateRequest:
        """Answer the request of `name`, or the oldest one."""
        index = next((i for i, each in enumerate(self.pending) if name in (None, each.scene.agent_name)), 0)
        request = self.pending.pop(index)
        status = self.failing.get(request.scene.agent_name)
        said = None if status else self.says(request)
        self.gets(_arrived(request, said, status or "failed"))
        return request

    def gets(self, input: WorkforceInput) -> None:
        self.now += 1.0
        step = self.core.handle(input, self.now)
        self._keep(step.events)
        for effect in step.effects:
            if isinstance(effect, Generate):
                self.asked.append(effect.request)
                self.pending.append(effect.request)
            elif isinstance(effect, Refuse):
                self.refused.append(effect.code)

    def is_killed(self) -> None:
        """The server goes down, and comes up again: what was under way is lost."""
        lines = [encode(record) for record in self.records]
        self.records = [decode(line) for line in lines]
        self.core = Workforce.resume((record.event for record in self.records), self.hooks)
        self.pending.clear()
        self.gets(Reopened(60.0))

    def _keep(self, events: Iterable[Any]) -> None:
        for event in events:
            self.records.append(Record(len(self.records) + 1, MOMENT, event))

    # What there is to see

    @property
    def state(self):
        return self.core.state

    @property
    def events(self) -> list[Any]:
        return [record.event for record in self.records]

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def asked_names(self) -> list[str]:
        return [request.scene.agent_name for request in self.asked]

    def prompt_of(self, name: str, number: int = -1) -> str:
        """The newest prompt of a role (or another one of them)."""
        return [request.prompt for request in self.asked if request.scene.agent_name == name][number]


def _arrived(request: GenerateRequest, said: Said, status: str) -> GenerationArrived:
    generation = None
    if said is not None:
        text = said if isinstance(said, str) else json.dumps(said)
        generation = Generation(text=text, usage=Usage(input_tokens=100, output_tokens=20))
        status = status_of(generation)
    attempt = Attempt(
        provider="groq",
        requested_model="small",
        status=status,
        generation=generation,
        error=None if generation else "as arranged",
        parameters=request.parameters,
    )
    return GenerationArrived(
        turn_id=request.turn_id,
        agent_name=request.scene.agent_name,
        prompt=request.prompt,
        status=status,
        generation=generation,
        attempts=(attempt,),
    )
