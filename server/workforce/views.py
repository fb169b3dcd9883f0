"""A session's state as the simulator answers with it. Everything here is a projection of what the log holds."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date
from typing import Any, Literal, NamedTuple, cast

from experiments.workforce import comparison, function_points, metrics, timeline
from experiments.workforce.function_points import NO_ESTIMATE, estimate
from experiments.workforce.metrics import AnswerFigures, round_metrics
from experiments.workforce.tasks import TaskBoard, task_board
from experiments.workforce.timeline import Timeline, why_no_timeline
from server.workforce.answers import (
    Agent,
    AgentResponse,
    AgentState,
    Config,
    Fork,
    MemoryAnswer,
    MemoryEntry,
    RoundAnswer,
    StartAnswer,
    StateAnswer,
    TokenUsage,
)
from server.workforce.opened import Look
from simulation.workforce.events import AgentAnswered
from simulation.workforce.memory import Memory
from simulation.workforce.parameters import COORDINATOR, Role
from simulation.workforce.state import Round, Tokens, WorkforceState

ROLES_NAMESPACE = uuid.UUID("5b2f8d0e-6c0b-4f0c-8d5c-2a6f2f6b8f10")
"""Of the ids of roles: the same for the same role, everywhere."""
ANALYTICS_OFF = "enable_analytics is false"
FORMULAS = {**metrics.FORMULAS, **timeline.FORMULAS, **function_points.FORMULAS}
COMPARISON_FORMULAS = dict(comparison.FORMULAS)


class Played(NamedTuple):
    """A round, and all that was answered until its end: what its figures are computed from. A snapshot, to be looked at
    in another thread.
    """

    round: Round
    answers: tuple[AgentAnswered, ...]
    context: Mapping[str, Any]


class Table(NamedTuple):
    """What the answers about a session's rounds have in common. `names` are those of all roles, `speakers` of the
    active ones.
    """

    session_id: str
    model: str
    names: Mapping[str, str]
    speakers: Mapping[str, str]
    begins_on: date
    max_turns: int
    is_over: bool
    has_analytics: bool


def table_of(state: WorkforceState) -> Table:
    return Table(
        session_id=state.start.session_id,
        model=model_of(state),
        names={role.role: role.name for role in state.premises.roles},
        speakers={role.role: role.name for role in state.premises.active_roles},
        begins_on=date.fromisoformat(state.start.created_at[:10]),
        max_turns=state.max_turns,
        is_over=state.end_reason is not None,
        has_analytics=state.parameters.enable_analytics,
    )


def played(state: WorkforceState, turn_number: int) -> Played:
    """Return a round of a session: a completed one, or the open one."""
    rounds = [*state.all_rounds()][:turn_number]
    answers = tuple(answer for each in rounds for answer in each.said)
    return Played(rounds[-1], answers, dict(state.context_of(rounds[-1])))


# A round


def round_answer(table: Table, one: Played) -> RoundAnswer:
    """Return a round with its figures: some milliseconds of computing."""
    done, number = one.round, one.round.started.turn_number
    board = task_board(one.answers, table.names) if table.has_analytics else None
    schedule = None
    if board is not None:
        schedule = timeline.timeline(board, table.names, table.begins_on, timeline.people_in(one.context))
    points = estimate(one.answers, one.context) if table.has_analytics else None
    figures = _figures(table, done, board, schedule)
    status = _round_status(done)
    return RoundAnswer(
        session_id=table.session_id,
        model=table.model,
        turn_number=number,
        status=status,
        user_input=done.started.user_input,
        coordinator_summary=done.completed.summary if done.completed else None,
        agent_responses=[_response(done, answer, figures.get(answer.turn_id)) for answer in done.said],
        awaited=_awaited(done),
        duration_ms=_milliseconds(done),
        total_tokens=sum(each.input + each.output for each in done.tokens.values()),
        has_more_turns=number < table.max_turns and (not table.is_over or status == "completed"),
        next_suggested_action=done.completed.next_action if done.completed else None,
        project_timeline=schedule,
        function_point_estimation=points,
        basis=_round_basis(table, one, board, schedule, points),
        formulas=FORMULAS if table.has_analytics else {},
    )


def _figures(table: Table, done: Round, board: TaskBoard | None, schedule: Timeline | None) -> dict[str, AnswerFigures]:
    if board is None:
        return {}
    asked = [replace(turn, elapsed=done.asked_at.get(name, turn.elapsed)) for name, turn in done.turns.items()]
    found = round_metrics(done.said, asked, board=board, timeline=schedule, names=table.speakers)
    return {each.turn_id: each for each in found}


def _round_status(done: Round) -> Literal["completed", "in_progress", "failed"]:
    if done.completed is not None:
        return "completed"
    return "in_progress" if done.is_in_progress else "failed"


def _awaited(done: Round) -> list[str]:
    if done.completed is not None:
        return []
    return [*(role for role in done.started.speakers if role not in done.answers), COORDINATOR]


def _milliseconds(done: Round) -> int | None:
    """From the request to the summary; a round that failed in between includes what passed until it was resumed."""
    if done.completed is None:
        return None
    return round((done.completed.elapsed - done.started.elapsed) * 1000)


def _round_basis(
    table: Table, one: Played, board: TaskBoard | None, schedule: Timeline | None, points: object
) -> dict[str, str]:
    basis: dict[str, str] = {}
    done = one.round
    if done.completed is None:
        basis |= dict.fromkeys(("coordinator_summary", "duration_ms", "next_suggested_action"), _why_open(table, done))
    elif done.completed.next_action is None:
        basis["next_suggested_action"] = "the coordinator has named none"
    if not table.has_analytics:
        basis["project_timeline"] = basis["function_point_estimation"] = ANALYTICS_OFF
        return basis
    if schedule is None and board is not None:
        basis["project_timeline"] = why_no_timeline(board) or "no task has an effort"
    if schedule is not None and (unfit := timeline.unfit_people(one.context, table.names)):
        basis["people"] = unfit
    if points is None:
        basis["function_point_estimation"] = NO_ESTIMATE
    return basis


def _why_open(table: Table, done: Round) -> str:
    if done.is_in_progress:
        return "the round is in progress"
    if done.failed is None:
        return "the server was stopped while the round was played"
    role, reason = done.failed.agent_name, done.failed.reason.replace("_", " ")
    return f"the model gave no answer to {table.names.get(role, f'the {role}')} ({reason})"


def _response(done: Round, answer: AgentAnswered, figures: AnswerFigures | None) -> AgentResponse:
    basis = {} if answer.confidence is not None else {"confidence": "the agent has named none"}
    if figures is None:
        basis["metrics"] = basis["task_distribution"] = ANALYTICS_OFF
    return AgentResponse(
        agent_role=answer.agent_name,
        response=answer.content,
        reasoning=answer.reasoning,
        actions_proposed=[*answer.actions],
        directed_to=[*answer.directed_to],
        confidence=answer.confidence,
        risks=[*answer.risks],
        opportunities=[*answer.opportunities],
        is_structured=answer.is_structured,
        token_usage=_usage(done.tokens.get(answer.agent_name, Tokens())),
        metrics=figures.metrics if figures else None,
        task_distribution=[*figures.task_distribution] if figures else [],
        basis=basis,
    )


def _usage(tokens: Tokens) -> TokenUsage:
    return TokenUsage(prompt=tokens.input, completion=tokens.output, total=tokens.input + tokens.output)


# A session


def config_of(state: WorkforceState) -> Config:
    parameters = state.parameters
    return Config(
        max_turns=state.max_turns,
        agents=[role.role for role in state.premises.roles],
        temperature=parameters.temperature,
        enable_memory=parameters.enable_memory,
        enable_analytics=parameters.enable_analytics,
        execution=parameters.execution,
        seed=state.start.simulation_config.get("seed"),
    )


def model_of(state: WorkforceState) -> str:
    choice = state.parameters.language_model
    return f"{choice.provider}:{choice.model}"


def start_answer(look: Look) -> StartAnswer:
    state = look.state
    agents = [role.role for role in state.premises.active_roles]
    return StartAnswer(
        session_id=state.start.session_id,
        status=_status(state),
        scenario=state.premises.scenario,
        config=config_of(state),
        agents=agents,
        message=f"The table is set for {len(agents)}. POST /simulate/next plays the first round.",
        created_at=state.start.created_at,
    )


def _status(state: WorkforceState) -> Literal["active", "paused", "completed", "failed"]:
    return cast(Literal["active", "paused", "completed", "failed"], state.status)


def state_answer(look: Look, open_round: RoundAnswer | None) -> StateAnswer:
    state = look.state
    start = state.start
    return StateAnswer(
        session_id=start.session_id,
        name=start.name,
        description=start.description,
        scenario=state.premises.scenario,
        status=_status(state),
        current_turn=state.current_turn,
        max_turns=state.max_turns,
        config=config_of(state),
        context=dict(state.premises.context),
        agent_states=[_agent_state(state, role) for role in state.premises.roles],
        model=model_of(state),
        fork=None if start.fork is None else Fork.model_validate(start.fork),
        round=open_round,
        created_at=start.created_at,
        updated_at=look.updated_at,
    )


def _agent_state(state: WorkforceState, role: Role) -> AgentState:
    answers = [each.answers[role.role] for each in state.all_rounds() if role.role in each.answers]
    last = answers[-1] if answers else None
    return AgentState(
        id=str(uuid.uuid5(uuid.UUID(state.start.session_id), role.role)),
        session_id=state.start.session_id,
        agent_role=role.role,
        name=role.name,
        priority=role.priority,
        is_active=role.is_active,
        current_focus=last.actions[0] if last and last.actions else None,
        goals=_goals(answers),
        context={"instruction": role.instruction} if role.instruction else {},
        messages_sent=len(answers),
        last_active_turn=last.turn_number if last else None,
    )


def _goals(answers: Iterable[AgentAnswered]) -> list[str]:
    """The names of the tasks that a role has named, as it named them last, without those that it called completed."""
    statuses: dict[str, tuple[str, str]] = {}
    for answer in answers:
        for task in answer.tasks:
            statuses[task["task_name"].casefold()] = (task["task_name"], task["status"])
    return [name for name, status in statuses.values() if status != "completed"]


# Roles and memories


def agent(role: Role) -> Agent:
    return Agent(
        id=str(uuid.uuid5(ROLES_NAMESPACE, role.role)),
        role=role.role,
        name=role.name,
        description=role.description,
        capabilities=[*role.capabilities],
        personality_traits=dict(role.personality_traits),
        priority=role.priority,
        is_active=role.is_active,
    )


def memory_entry(memory: Memory) -> MemoryEntry:
    stored = memory.stored
    return MemoryEntry(
        id=stored.memory_id,
        agent_role=stored.agent_role,
        memory_type=stored.memory_type,
        key=stored.key,
        content=dict(stored.content),
        importance=stored.importance,
        access_count=memory.access_count,
        created_at=stored.created_at,
        last_accessed_at=memory.last_accessed_at,
        expires_at=stored.expires_at,
    )


def memory_answer(state: WorkforceState, role: str | None, moment: str) -> MemoryAnswer:
    """Return what the roles remember at `moment` (of one of them, if `role` names it): what has expired is left out."""
    held = [each for each in state.memories.values() if role is None or each.stored.agent_role == role]
    alive = [each for each in held if each.is_alive(moment)]
    by_agent: dict[str, list[MemoryEntry]] = {}
    for memory in alive:
        by_agent.setdefault(memory.stored.agent_role, []).append(memory_entry(memory))
    return MemoryAnswer(
        session_id=state.start.session_id,
        total_memories=len(alive),
        memories_by_agent=by_agent,
        summary=_summary(len(alive), by_agent, len(held) - len(alive)),
    )


def _summary(alive: int, by_agent: Mapping[str, list[MemoryEntry]], expired: int) -> str:
    of_each = ", ".join(f"{role} {len(entries)}" for role, entries in by_agent.items())
    gone = f" {expired} more have expired." if expired else ""
    if not alive:
        return f"Nobody remembers anything.{gone}"
    return f"{alive} {'memory' if alive == 1 else 'memories'}: {of_each}.{gone}"
