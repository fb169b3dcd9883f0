"""A round and a speaker to a request: who the role is, what lies on the table, what was said, what is asked of it.

All of it from the first round on: the scenario, the context (with this round's override), what the participant says,
the earlier speakers of this round, what came of earlier rounds, and what the role recalls. What people and roles said
stands in the user part alone, each piece between tags of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from simulation.generation import ChatMessage, GenerateRequest
from simulation.pacing import draws
from simulation.workforce.answers import ANSWER_SCHEMA, SUMMARY_SCHEMA
from simulation.workforce.events import AgentAnswered, MemoryStored, RoundCompleted, TurnStarted
from simulation.workforce.memory import texts_in
from simulation.workforce.parameters import COORDINATOR, SUMMARY_TEMPERATURE, Role, WorkforceParameters
from simulation.workforce.scene import TableScene
from simulation.workforce.state import Round, WorkforceState
from simulation.workforce.waves import heard_by

ROUNDS_TOLD = 5
"""Earlier rounds whose summaries stand in the prompt."""
LEAST_OUTPUT_TOKENS = 4096
"""A structured answer with tasks is longer than a chat message, whatever the settings allow those."""
PROVIDER_SEEDS = 2**31

COORDINATOR_PROMPT = (
    "You chair a meeting of colleagues and speak last in each round. You take no side and add no idea of your own. "
    "You say what the table has come to: what is agreed, who objects to what and why, which risks were named, what is "
    "to be done and by whom. You name roles when you report them. You keep to what was said."
)


def scene_for(state: WorkforceState, open_round: Round, name: str, recalled: Sequence[MemoryStored]) -> TableScene:
    """Return what `name` (a role, or the coordinator) sees when it is its turn."""
    role = None if name == COORDINATOR else state.active(name)
    turn = open_round.turns.get(name)
    return TableScene(
        agent_name=name,
        role=role,
        colleagues=tuple(each for each in state.premises.active_roles if each.role != name),
        turn_number=open_round.started.turn_number,
        scenario=state.premises.scenario,
        context=state.context_of(open_round),
        user_input=open_round.started.user_input,
        said=heard_by(state, open_round, name),
        earlier=tuple(answer for done in state.rounds for answer in done.said),
        summaries=tuple(done.completed for done in state.rounds if done.completed),
        recalled=tuple(recalled),
        is_repair=turn is not None and turn.form == "repair",
    )


def request_for(state: WorkforceState, open_round: Round, turn: TurnStarted) -> GenerateRequest:
    """Return what the model is asked for a turn."""
    recalled = [state.memories[each].stored for each in turn.recalled if each in state.memories]
    scene = scene_for(state, open_round, turn.agent_name, recalled)
    is_summary = turn.agent_name == COORDINATOR
    schema = SUMMARY_SCHEMA if is_summary else ANSWER_SCHEMA
    messages = [ChatMessage("system", _system_prompt(scene)), ChatMessage("user", _user_prompt(state, scene))]
    if turn.form == "repair":
        messages += _repair(open_round.unread.get(turn.agent_name, ""))
    return GenerateRequest(
        session_id=state.start.session_id,
        turn_id=turn.turn_id,
        messages=tuple(messages),
        scene=scene,
        parameters=_parameters(state, scene),
        schema=None if state.schema_refused or turn.form == "plain" else schema,
    )


def _parameters(state: WorkforceState, scene: TableScene) -> dict[str, Any]:
    """What the model is told besides the prompt: the session's temperature over the settings' own."""
    parameters: WorkforceParameters = state.parameters
    given = parameters.language_model.sampling.as_set()
    if "max_output_tokens" in given:
        given["max_output_tokens"] = max(given["max_output_tokens"], LEAST_OUTPUT_TOKENS)
    is_summary = scene.agent_name == COORDINATOR
    given["temperature"] = min(parameters.temperature, SUMMARY_TEMPERATURE) if is_summary else parameters.temperature
    if parameters.sends_seed or state.start.fork is not None:
        random = draws(state.start.stream_seed, f"model:{scene.agent_name}", scene.turn_number)
        given["seed"] = random.randrange(PROVIDER_SEEDS)
    return given


# The system part


def _system_prompt(scene: TableScene) -> str:
    if scene.role is None:
        parts = [COORDINATOR_PROMPT, f"At the table: {_listed(scene.colleagues)}.", _form(SUMMARY_SCHEMA)]
    else:
        parts = [_identity(scene.role, scene.colleagues), *_character(scene.role), _form(ANSWER_SCHEMA)]
    return "\n\n".join(part for part in parts if part)


def _identity(role: Role, colleagues: Sequence[Role]) -> str:
    company = f" With you: {_listed(colleagues)}." if colleagues else " You are alone at the table."
    return f"You are the {role.name} ({role.role}) of a company, in a meeting with your colleagues.{company}"


def _listed(roles: Iterable[Role]) -> str:
    return ", ".join(f"{role.name} ({role.role})" for role in roles)


def _character(role: Role) -> Iterable[str]:
    yield role.system_prompt
    yield f"You answer for: {', '.join(role.capabilities)}." if role.capabilities else ""
    traits = ", ".join(f"{name} {value:g}" for name, value in role.personality_traits.items())
    yield f"Your temperament, each from 0 (not at all) to 1 (very): {traits}." if traits else ""
    yield f"For this session you are told: {role.instruction}" if role.instruction else ""


def _form(schema: Mapping[str, Any]) -> str:
    return (
        "Answer with one JSON object and nothing else: no text around it, no code fence. It has this JSON Schema:\n"
        f"{json.dumps(schema, separators=(',', ':'))}\n"
        "Leave a list empty and a number null where you have nothing to say; never make a number up."
    )


# The user part


def _user_prompt(state: WorkforceState, scene: TableScene) -> str:
    parts = (
        _tagged("scenario", scene.scenario),
        _tagged("context", _context(scene.context)),
        _tagged("earlier_rounds", "\n".join(map(_summary, scene.summaries[-ROUNDS_TOLD:]))),
        _tagged("you_remember", "\n".join(map(_memory, scene.recalled))),
        _tagged("said_to_the_table", scene.user_input or ""),
        _tagged("said_in_this_round", "\n\n".join(_answer(each, state) for each in scene.said)),
        _ask(scene, state.max_turns),
    )
    return "\n\n".join(part for part in parts if part)


def _tagged(name: str, content: str) -> str:
    return f"<{name}>\n{content}\n</{name}>" if content else ""


def _context(context: Mapping[str, Any]) -> str:
    return "\n".join(f"{key}: {_value(value)}" for key, value in context.items())


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _summary(completed: RoundCompleted) -> str:
    following = f" Next: {completed.next_action}" if completed.next_action else ""
    return f"Round {completed.turn_number}: {completed.summary}{following}"


def _memory(stored: MemoryStored) -> str:
    return f"{stored.key}: {texts_in(stored.content)}"


def _answer(answered: AgentAnswered, state: WorkforceState) -> str:
    role = state.active(answered.agent_name)
    lines = [f"{role.name if role else answered.agent_name} ({answered.agent_name}): {answered.content}"]
    for label, items in (("proposes", answered.actions), ("risks", answered.risks)):
        if items:
            lines.append(f"  {label}: {'; '.join(items)}")
    if answered.tasks:
        lines.append(f"  tasks: {'; '.join(map(_task, answered.tasks))}")
    return "\n".join(lines)


def _task(task: Mapping[str, Any]) -> str:
    hours = task["estimated_effort_hours"]
    effort = "" if hours is None else f", {hours:g} h"
    return f"{task['task_name']} ({task['status']}{effort})"


def _ask(scene: TableScene, max_turns: int) -> str:
    where = f"This is round {scene.turn_number} of at most {max_turns}."
    if scene.role is None:
        return f"{where} Sum this round up."
    return f"{where} It is your turn to speak."


def _repair(unread: str) -> list[ChatMessage]:
    again = (
        "That was not the JSON object that was asked for. Say the same again as one JSON object of the schema above, "
        "and nothing else."
    )
    return [ChatMessage("assistant", unread), ChatMessage("user", again)]


def recall_query(state: WorkforceState, open_round: Round) -> str:
    """Return what memories are looked up for: what was said to the table, or else what the table had come to."""
    override = texts_in(open_round.started.context_override)
    said = f"{open_round.started.user_input or ''} {override}".strip()
    if said:
        return said
    last = state.rounds[-1].completed if state.rounds else None
    return f"{last.summary} {last.next_action or ''}" if last else state.premises.scenario
