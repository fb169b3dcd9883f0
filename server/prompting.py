"""`chatroom prompt`: what an agent's model is told, as a researcher reads it."""

from __future__ import annotations

import json

from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from experiments.experiment import Condition, Experiment
from experiments.prompting import first_of_each_kind, prompts_of
from server.errors import InvalidSettings
from simulation.generation import GenerateRequest

SESSIONS_LOOKED_AT = 5
CAUSES = {"background": "of its own accord", "reaction": "because the participant wrote"}
ACTS = {"message": "A message", "reply": "A quoted reply", "mention": "A message to somebody by name"}


def show(
    experiment: Experiment, condition_name: str | None, agent_name: str | None, seed: int, *, every: bool, as_json: bool
) -> None:
    """Rehearse a session and print what the agent is asked in it; raise InvalidSettings if there is no such agent."""
    condition = condition_of(experiment, condition_name)
    names = condition.parameters.agent_names
    agent_name = agent_name or names[0]
    if agent_name not in names:
        raise InvalidSettings([f"--agent: {agent_name!r} is not allowed: one of {', '.join(names)}"])
    if every:
        chosen = prompts_of(experiment, condition, agent_name, seed)
    else:  # rare kinds may need more than one session to occur
        seeds = range(seed, seed + SESSIONS_LOOKED_AT)
        chosen = first_of_each_kind(
            [each for one in seeds for each in prompts_of(experiment, condition, agent_name, one)]
        )
    if as_json:
        print(json.dumps([_as_json(request) for request in chosen], ensure_ascii=False, indent=2))  # noqa: T201
    else:
        _print(agent_name, chosen, "all of a rehearsed session" if every else "the first of each kind; --all shows all")


def condition_of(experiment: Experiment, name: str | None) -> Condition:
    """Return the condition of that name, the first where none is named; raise InvalidSettings if there is none."""
    if name is None:
        return experiment.first
    if name not in experiment.conditions:
        raise InvalidSettings([f"--condition: {name!r} is not allowed: one of {', '.join(experiment.conditions)}"])
    return experiment.conditions[name]


def _as_json(request: GenerateRequest) -> dict[str, object]:
    messages = [{"role": message.role, "content": message.content} for message in request.messages]
    return {"turn_id": request.turn_id, "cause": request.room.cause, "act": request.room.act, "messages": messages}


def _print(agent_name: str, chosen: list[GenerateRequest], which: str) -> None:
    console = Console(highlight=False)
    if not chosen:
        console.print(Text(f"{agent_name} is asked nothing in this session: nobody writes, or another seed is needed."))
        return
    _section(console, f"What {agent_name} is told in every call, as the system's part", chosen[0].messages[0].content)
    for request in chosen:
        cause, act = request.room.cause, request.room.act
        title = f"{ACTS.get(act, act)}, {CAUSES.get(cause, cause)} ({request.turn_id})"
        _section(console, title, request.messages[-1].content)
    console.print(Text(f"These are {which}. What members say in them comes from the scripted model and a script."))


def _section(console: Console, title: str, content: str) -> None:
    console.print(Rule(Text(title), align="left"))
    console.print(Text(f"{content}\n"), soft_wrap=True)  # word for word, line for line
