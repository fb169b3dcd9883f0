"""Figures of one answer each, counted from the answer itself, its round and the task board.

They describe what was said. They do not measure how good it was: for that there is no basis, and so no number.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from experiments.workforce.tasks import Task, TaskBoard, folded
from experiments.workforce.timeline import ScheduledTask, Timeline
from simulation.workforce.events import AgentAnswered, TurnStarted

FORMULAS: Mapping[str, str] = {
    "productivity_score": "Completed effort hours / all known effort hours of the tasks assigned to the role, over the "
    "session so far.",
    "collaboration_score": "Other speakers that the answer addresses (directed_to) or names in its text (role or "
    "display name, as a whole word, whatever it means there) / all other speakers of the session.",
    "quality_score": "None: nothing in an answer measures its quality.",
    "engagement_level": "Words of the answer's text / words of the longest answer of the round.",
    "tasks_completed": "Tasks of this answer whose status is completed.",
    "tasks_in_progress": "Tasks of this answer whose status is in_progress.",
    "tasks_blocked": "Tasks of this answer whose status is blocked.",
    "response_time_ms": "Milliseconds from when the role was first asked in this turn until its answer was there.",
    "task_distribution": "The tasks of this answer as it states them; schedule is that of the project timeline.",
}
NO_QUALITY = "nothing in an answer measures its quality"
NO_POINTS = "agents name functions apart from tasks, so no function point belongs to a task"
NOT_READ = "the answer was no JSON and stands as text: its tasks are not known"
UNSAID = {
    "completion_chance": "the agent did not say how likely it is",
    "estimated_effort_hours": "the agent did not say how long it takes",
    "priority": "the agent did not say how urgent it is",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Scores are 0 to 1; `basis` says why one is None."""

    productivity_score: float | None
    collaboration_score: float | None
    quality_score: float | None
    engagement_level: float | None
    tasks_completed: int | None
    tasks_in_progress: int | None
    tasks_blocked: int | None
    response_time_ms: float | None
    basis: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSchedule:
    """Both days inclusive."""

    start_date: datetime.date
    end_date: datetime.date


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskShare:
    """A task as one answer states it; `dependencies` are names, as they were said."""

    task_name: str
    description: str
    completion_chance: float | None
    estimated_effort_hours: float | None
    dependencies: tuple[str, ...]
    priority: int | None
    function_points: float | None
    schedule: TaskSchedule | None
    basis: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerFigures:
    turn_id: str
    agent_role: str
    metrics: Metrics
    task_distribution: tuple[TaskShare, ...]


def round_metrics(
    answers: Sequence[AgentAnswered],
    started: Iterable[TurnStarted],
    *,
    board: TaskBoard,
    timeline: Timeline | None,
    names: Mapping[str, str],
) -> tuple[AnswerFigures, ...]:
    """Return the figures of each of a round's `answers`, in their order.

    `started` are at least that round's; `board` and `timeline` as they stand after it; `names` are display names of all
    speakers of the session, by role.
    """
    asked_at: dict[str, float] = {}
    for each in started:
        asked_at.setdefault(each.turn_id, each.elapsed)
    longest = max((_words(each.content) for each in answers), default=0)
    tasks = board.by_name()
    dates = {each.task_id: each for each in timeline.tasks} if timeline else {}
    return tuple(
        AnswerFigures(
            turn_id=answer.turn_id,
            agent_role=answer.agent_name,
            metrics=_metrics(answer, asked_at.get(answer.turn_id), longest, board, names),
            task_distribution=tuple(_share(each, tasks, dates) for each in _stated(answer).values()),
        )
        for answer in answers
    )


def _metrics(
    answer: AgentAnswered, asked_at: float | None, longest: int, board: TaskBoard, names: Mapping[str, str]
) -> Metrics:
    values: dict[str, Any] = {
        "productivity_score": _productivity(answer.agent_name, board),
        "collaboration_score": _collaboration(answer, names),
        "quality_score": None,
        "engagement_level": round(_words(answer.content) / longest, 4) if longest else None,
        "response_time_ms": None if asked_at is None else round((answer.elapsed - asked_at) * 1000, 3),
    }
    statuses = [each["status"] for each in _stated(answer).values()]
    for status in ("completed", "in_progress", "blocked"):
        values[f"tasks_{status}"] = statuses.count(status) if answer.is_structured else None
    return Metrics(**values, basis={key: WHY_NOT[key] for key, value in values.items() if value is None})


WHY_NOT: Mapping[str, str] = {
    "productivity_score": "no task assigned to the role has an effort in hours",
    "collaboration_score": "nobody else speaks in this session",
    "quality_score": NO_QUALITY,
    "engagement_level": "no answer of the round has a word",
    "tasks_completed": NOT_READ,
    "tasks_in_progress": NOT_READ,
    "tasks_blocked": NOT_READ,
    "response_time_ms": "the log does not say when the role was asked",
}


def _productivity(role: str, board: TaskBoard) -> float | None:
    own = [task for task in board.tasks if task.assigned_agent == role and task.estimated_effort_hours]
    known = sum(task.estimated_effort_hours or 0 for task in own)
    done = sum(task.estimated_effort_hours or 0 for task in own if task.status == "completed")
    return round(done / known, 4) if known else None


def _collaboration(answer: AgentAnswered, names: Mapping[str, str]) -> float | None:
    others = {role: name for role, name in names.items() if role != answer.agent_name}
    if not others:
        return None
    named = {role for role, name in others.items() if role in answer.directed_to or _names(answer.content, role, name)}
    return round(len(named) / len(others), 4)


def _names(content: str, *spellings: str) -> bool:
    """Whether one of `spellings` stands in `content` as a whole word, whatever its case and spaces."""
    patterns = (r"\s+".join(map(re.escape, each.split())) for each in spellings if each.strip())
    return any(re.search(rf"(?<!\w){each}(?!\w)", content, re.IGNORECASE) for each in patterns)


def _words(content: str) -> int:
    return len(content.split())


def _stated(answer: AgentAnswered) -> dict[str, Mapping[str, Any]]:
    """Return the answer's tasks by folded name; of one that it names twice, the last statement."""
    return {folded(each["task_name"]): each for each in answer.tasks}


def _share(stated: Mapping[str, Any], tasks: Mapping[str, Task], dates: Mapping[str, ScheduledTask]) -> TaskShare:
    on_board = tasks.get(folded(stated["task_name"]))
    dated = dates.get(on_board.task_id) if on_board else None
    basis = {key: reason for key, reason in UNSAID.items() if stated.get(key) is None}
    if dated is None:
        basis["schedule"] = "the task is not on the timeline: no agent named an effort in hours"
    return TaskShare(
        task_name=stated["task_name"],
        description=stated.get("description") or "",
        completion_chance=stated.get("completion_chance"),
        estimated_effort_hours=stated.get("estimated_effort_hours"),
        dependencies=tuple(stated.get("dependencies") or ()),
        priority=stated.get("priority"),
        function_points=None,
        schedule=TaskSchedule(start_date=dated.start_date, end_date=dated.end_date) if dated else None,
        basis={**basis, "function_points": NO_POINTS},
    )
