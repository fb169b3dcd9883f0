"""A table of the scripted workforce, played by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from experiments.workforce.roles import load_roles
from simulation.generation import GenerateRequest, Generation, Scene
from simulation.llm.scripted_workforce import ScriptedWorkforce
from simulation.workforce.answers import Answer, Summary, read_answer, read_summary
from simulation.workforce.events import AgentAnswered, MemoryStored, RoundCompleted, WorkforceStarted
from simulation.workforce.parameters import COORDINATOR, Role, WorkforceParameters
from simulation.workforce.scene import TableScene

LAUNCH = "We need to launch a new AI-powered feature within 3 months. Budget is $500K. Team has 8 engineers available."
MOVE = "Our office must move to Leeds by June. 40 people are affected."
FEASIBILITY = "Let focus on technical feasibility first"
ROOT = Path(__file__).parents[2]
SCRIPT_FILE = ROOT / "simulation" / "llm" / "workforce.json"
LEGAL = Role(
    role="legal",
    name="Legal Counsel",
    description="Looks after contracts and data protection.",
    capabilities=("contract_review", "data_protection"),
    priority=72,
)
INTERN = Role(role="intern", name="Intern", priority=10)


@cache
def seven() -> tuple[Role, ...]:
    return load_roles(ROOT / "config" / "roles")


@dataclass
class Table:
    """A session played by hand: every role in turn, then the coordinator. `texts` is all that the model wrote."""

    scenario: str = LAUNCH
    roles: tuple[Role, ...] = field(default_factory=seven)
    context: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 1
    parallel: bool = False
    recalled: tuple[MemoryStored, ...] = ()

    def __post_init__(self) -> None:
        self.model = ScriptedWorkforce(started(self.scenario, self.roles, self.seed), model="table")
        self.rounds: list[list[AgentAnswered]] = []
        self.summaries: list[RoundCompleted] = []
        self.texts: list[str] = []

    def play(self, count: int = 1, user_input: str | None = None) -> Table:
        for _ in range(count):
            said: list[AgentAnswered] = []
            for role in self.roles:
                answer = self.ask(role, () if self.parallel else said, user_input)
                said.append(answered(role.role, len(self.rounds) + 1, answer))
            summary = self.sum_up(said, user_input)
            self.rounds.append(said)
            self.summaries.append(completed(len(self.rounds), summary))
        return self

    def scene(self, role: Role | None, said: Sequence[AgentAnswered], user_input: str | None = None) -> TableScene:
        return TableScene(
            agent_name=role.role if role else COORDINATOR,
            role=role,
            colleagues=tuple(each for each in self.roles if each is not role),
            turn_number=len(self.rounds) + 1,
            scenario=self.scenario,
            context=self.context,
            user_input=user_input,
            said=tuple(said),
            earlier=tuple(answer for answers in self.rounds for answer in answers),
            summaries=tuple(self.summaries),
            recalled=self.recalled,
        )

    def ask(self, role: Role, said: Sequence[AgentAnswered] = (), user_input: str | None = None) -> Answer:
        text = self._write(self.scene(role, said, user_input))
        answer = read_answer(text, [each.role for each in self.roles])
        assert answer is not None
        return answer

    def sum_up(self, said: Sequence[AgentAnswered], user_input: str | None = None) -> Summary:
        summary = read_summary(self._write(self.scene(None, said, user_input)))
        assert summary is not None
        return summary

    def _write(self, scene: TableScene) -> str:
        text = generate(self.model, scene).text
        assert text is not None
        self.texts.append(text)
        return text

    def all_tasks(self) -> list[Mapping[str, Any]]:
        return [task for answers in self.rounds for answer in answers for task in answer.tasks]

    def hours(self) -> dict[str, float]:
        return {task["task_name"]: task["estimated_effort_hours"] for task in self.all_tasks()}

    def statuses(self, task_name: str) -> list[str]:
        return [task["status"] for task in self.all_tasks() if task["task_name"] == task_name]


def started(scenario: str, roles: tuple[Role, ...], seed: int) -> WorkforceStarted:
    return WorkforceStarted(
        elapsed=0.0,
        session_id="s",
        experimental_config={},
        simulation_config={},
        created_at="2026-11-25T09:00:00+00:00",
        seed=seed,
        parameters=WorkforceParameters(scenario=scenario, roles=roles),
    )


def generate(model: ScriptedWorkforce, scene: TableScene | Scene, **parameters: Any) -> Generation:
    request = GenerateRequest(session_id="s", turn_id="t", messages=(), scene=scene, parameters=parameters)
    return asyncio.run(model.generate(request))


def answered(role: str, turn_number: int, answer: Answer, source: str = "scripted") -> AgentAnswered:
    return AgentAnswered(
        elapsed=0.0,
        turn_id=f"{turn_number}-{role}",
        agent_name=role,
        turn_number=turn_number,
        content=answer.content,
        reasoning=answer.reasoning,
        actions=answer.actions,
        directed_to=answer.directed_to,
        confidence=answer.confidence,
        risks=answer.risks,
        opportunities=answer.opportunities,
        tasks=answer.tasks,
        functions=answer.functions,
        source=source,
    )


def completed(turn_number: int, summary: Summary) -> RoundCompleted:
    return RoundCompleted(
        elapsed=0.0,
        turn_number=turn_number,
        turn_id=f"{turn_number}",
        summary=summary.summary,
        next_action=summary.next_action,
    )


def role_named(name: str) -> Role:
    return next(role for role in seven() if role.role == name)
