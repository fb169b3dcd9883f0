"""`chatroom prompt`: what an agent's model is told, as a researcher reads it."""

from __future__ import annotations

import json

from rich.console import Console
from rich.padding import Padding
from rich.rule import Rule
from rich.text import Text

from experiments.experiment import Experiment
from experiments.prompting import first_of_each_kind, prompts_of
from server.errors import InvalidSettings
from simulation.generation import GenerateRequest

CAUSES = {"background": "of its own accord", "reaction": "because the participant wrote"}
ACTS = {"message": "a message", "reply": "a quoted reply", "mention": "a message to somebody by name"}


def show(experiment: Experiment, agent_name: str | None, seed: int, *, every: bool, as_json: bool) -> None:
    """Rehearse a session and print what the agent is asked in it; raise InvalidSettings if there is no such agent."""
    names = experiment.parameters.agent_names
    agent_name = agent_name or names[0]
    if agent_name not in names:
        raise InvalidSettings([f"--agent: {agent_name!r} is not allowed: one of {', '.join(names)}"])
    prompts = prompts_of(experiment, agent_name, seed)
    chosen = prompts if every else first_of_each_kind(prompts)
    if as_json:
        print(json.dumps([_as_json(request) for request in chosen], ensure_ascii=False, indent=2))  # noqa: T201
    else:
        _print(agent_name, chosen, len(prompts))


def _as_json(request: GenerateRequest) -> dict[str, object]:
    messages = [{"role": message.role, "content": message.content} for message in request.messages]
    return {"turn_id": request.turn_id, "cause": request.scene.cause, "act": request.scene.act, "messages": messages}


def _print(agent_name: str, chosen: list[GenerateRequest], count: int) -> None:
    console = Console(highlight=False)
    if not chosen:
        console.print(Text(f"{agent_name} is asked nothing in this session: nobody writes, or another seed is needed."))
        return
    _section(console, f"what {agent_name} is (system, the same in every call)", chosen[0].messages[0].content)
    for request in chosen:
        cause, act = request.scene.cause, request.scene.act
        title = f"{request.turn_id}: {ACTS.get(act, act)}, {CAUSES.get(cause, cause)} (user)"
        _section(console, title, request.messages[-1].content)
    shown = (
        f"all {count}" if len(chosen) == count else f"{len(chosen)} of {count}: the first of each kind, --all for all"
    )
    console.print(Text(f"\nPrompts of one rehearsed session ({shown}). The messages in it are the scripted model's."))


def _section(console: Console, title: str, content: str) -> None:
    console.print(Rule(Text(title), align="left"))
    console.print(Padding(Text(content), (0, 0, 1, 2)))
