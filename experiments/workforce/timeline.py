"""When the tasks could be done: a schedule from the efforts that agents named, and its critical path.

A task takes one person a whole number of working days of eight hours, Monday to Friday; a role does one task at a time.
*Serial schedule generation* (Kelley 1963, "The critical-path method: resources planning and scheduling") places task
after task at the earliest gap of its role that its dependencies allow. The *critical path method* (Kelley and Walker
1959, "Critical-path planning and scheduling") then runs on dependencies and on what each role does next: so slack is
what a task can slip without any date of another changing the end, and the critical path is as long as the project.
"""

from __future__ import annotations

import datetime
from bisect import insort
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import pairwise
from math import ceil
from typing import Any, NamedTuple, TypeGuard

from experiments.workforce.tasks import Task, TaskBoard

HOURS_PER_DAY = 8
DAYS_PER_WEEK = 5
DEFAULT_PRIORITY = 5
MOST_WORKING_DAYS = 100_000
"""All tasks together: longer than that (some 380 years) the calendar says nothing."""
PERCENT = {"completed": 100.0, "planned": 0.0}
NO_PERCENT = "agents do not say how far a task has come"

LEAST_PEOPLE, MOST_PEOPLE = 0.1, 100_000
NOBODY_ELSE: Mapping[str, float] = {}

FORMULAS: Mapping[str, str] = {
    "duration_days": f"Effort in hours / {HOURS_PER_DAY} / people of the role, rounded up: working days, Monday to "
    'Friday. A role is one person, unless the context says otherwise: "people": {"engineering_lead": 8}.',
    "start_date": "Serial schedule generation (Kelley 1963): by dependencies, then priority, at the earliest time "
    "at which everything it depends on is done and its role has that many days free.",
    "end_date": "The last working day of the task, inclusive.",
    "total_duration_days": "Working days from the project's start to its end: the length of the critical path.",
    "critical_path": "A longest path through dependencies and the order of each role's tasks "
    "(critical path method, Kelley and Walker 1959).",
    "slack_days": "Latest start - earliest start, in working days (critical path method).",
    "completion_percentage": "100 if completed, 0 if planned; agents do not say how far the others have come.",
    "milestones": "For each role the last working day of its last task; the last of all is the project's end.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Milestone:
    """`agent_role` is None for the project's end."""

    name: str
    date: datetime.date
    agent_role: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledTask:
    """`end_date` is the last day. `dependencies` are ids of scheduled tasks: behind one without an effort, those that
    it waits for.
    """

    task_id: str
    task_name: str
    start_date: datetime.date
    end_date: datetime.date
    duration_days: int
    assigned_agent: str
    status: str
    dependencies: tuple[str, ...]
    effort_hours: float
    completion_percentage: float | None
    basis: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """`tasks` in order of their start; `critical_path` and the keys of `slack_days` are task ids; days are workdays."""

    project_start_date: datetime.date
    project_end_date: datetime.date
    total_duration_days: int
    milestones: tuple[Milestone, ...]
    tasks: tuple[ScheduledTask, ...]
    critical_path: tuple[str, ...]
    slack_days: Mapping[str, int]
    basis: Mapping[str, str] = field(default_factory=dict)


def why_no_timeline(board: TaskBoard) -> str | None:
    """Return why there can be no timeline, None if there can."""
    days = sum(_days(task, 1.0) for task in board.tasks if _has_effort(task))
    if days == 0:
        return "no agent has named a task with an effort in hours"
    if days > MOST_WORKING_DAYS:
        return f"the efforts come to {days} working days, more than the {MOST_WORKING_DAYS} that are put on a calendar"
    return None


def prepare() -> None:
    """Import what the first timeline would otherwise wait for (0.1 s)."""
    import networkx  # type: ignore[import-untyped]  # noqa: F401


def people_in(context: Mapping[str, Any]) -> dict[str, float]:
    """Return how many people the roles are, by role, as far as a session's context says so under `people`: a number
    from 0.1 to 100,000; anything else counts as not said.
    """
    said = context.get("people")
    counts = said.items() if isinstance(said, Mapping) else ()
    return {role: float(count) for role, count in counts if _is_count(count)}


def unfit_people(context: Mapping[str, Any], roles: Collection[str]) -> str:
    """Return what of the context's `people` counts for nothing, and why; nothing if all of it counts."""
    said = context.get("people", {})
    if not isinstance(said, Mapping):
        return 'the context\'s people is no object of numbers by role, such as {"engineering_lead": 8}'
    strangers = [f"{role}: no role of this session" for role in said if role not in roles]
    no_counts = [
        f"{role}: no number from {LEAST_PEOPLE} to {MOST_PEOPLE:,}"
        for role, count in said.items()
        if role in roles and not _is_count(count)
    ]
    wrong = "; ".join([*strangers, *no_counts])
    return f"of the context's people, this does not count: {wrong}" if wrong else ""


def _is_count(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and LEAST_PEOPLE <= value <= MOST_PEOPLE


def timeline(
    board: TaskBoard, names: Mapping[str, str], start: datetime.date, people: Mapping[str, float] = NOBODY_ELSE
) -> Timeline | None:
    """Return the schedule of the tasks that have an effort, from `start` or the next working day on.

    `names` are display names, `people` how many somebody is (1 unless said), by role. None where `why_no_timeline`
    says why.
    """
    if why_no_timeline(board) is not None:
        return None
    tasks = [task for task in board.tasks if _has_effort(task)]
    needed = _needed(board)
    days = {task.task_id: _days(task, people.get(task.assigned_agent, 1.0)) for task in tasks}
    spans = _schedule(tasks, needed, days)
    path, slack = _critical_path(tasks, needed, spans, days)
    first, end = _working_day(start, 0), max(span.end for span in spans.values())
    scheduled = [_scheduled(task, needed[task.task_id], spans[task.task_id], start) for task in tasks]
    return Timeline(
        project_start_date=first,
        project_end_date=_working_day(start, end - 1),
        total_duration_days=end,
        milestones=_milestones(scheduled, names),
        tasks=tuple(sorted(scheduled, key=lambda each: each.start_date)),
        critical_path=path,
        slack_days=slack,
        basis=_left_out(board),
    )


class _Span(NamedTuple):
    """Working days from the project's start: `end` is the first day after."""

    start: int
    end: int


def _has_effort(task: Task) -> bool:
    return task.estimated_effort_hours is not None and task.estimated_effort_hours > 0


def _days(task: Task, people: float) -> int:
    return ceil((task.estimated_effort_hours or 0) / HOURS_PER_DAY / people)


def _needed(board: TaskBoard) -> dict[str, tuple[str, ...]]:
    """Return, by task id, the tasks with an effort that it waits for: also those behind a task without one."""
    tasks = {task.task_id: task for task in board.tasks}
    found: dict[str, tuple[str, ...]] = {}
    for task_id in _in_order(board.tasks, {key: task.dependencies for key, task in tasks.items()}):
        through: dict[str, None] = {}
        for each in tasks[task_id].dependencies:
            through |= dict.fromkeys([each] if _has_effort(tasks[each]) else found[each])
        found[task_id] = tuple(through)
    return found


def _in_order(tasks: Sequence[Task], needed: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the task ids so that each stands after what it needs; ties by priority (higher first), then as named."""
    rank = {task.task_id: (-(task.priority or DEFAULT_PRIORITY), place) for place, task in enumerate(tasks)}
    missing = {key: len(needed[key]) for key in rank}
    followers: dict[str, list[str]] = {key: [] for key in rank}
    for key in rank:
        for each in needed[key]:
            followers[each].append(key)
    ready = [(rank[key], key) for key in rank if not missing[key]]
    heapify(ready)
    order = []
    while ready:
        _, key = heappop(ready)
        order.append(key)
        for each in followers[key]:
            missing[each] -= 1
            if not missing[each]:
                heappush(ready, (rank[each], each))
    return order


def _schedule(tasks: Sequence[Task], needed: Mapping[str, Sequence[str]], days: Mapping[str, int]) -> dict[str, _Span]:
    by_id = {task.task_id: task for task in tasks}
    busy: dict[str, list[_Span]] = {task.assigned_agent: [] for task in tasks}
    spans: dict[str, _Span] = {}
    for key in _in_order(tasks, needed):
        earliest = max((spans[each].end for each in needed[key]), default=0)
        of_role = busy[by_id[key].assigned_agent]
        spans[key] = _first_gap(of_role, earliest, days[key])
        insort(of_role, spans[key])
    return spans


def _first_gap(busy: Sequence[_Span], earliest: int, days: int) -> _Span:
    """Return the first `days` that are free between the spans of `busy` (in order), from `earliest` on."""
    start = earliest
    for span in busy:
        if start + days <= span.start:
            break
        start = max(start, span.end)
    return _Span(start, start + days)


def _critical_path(
    tasks: Sequence[Task],
    needed: Mapping[str, Sequence[str]],
    spans: Mapping[str, _Span],
    days: Mapping[str, int],
) -> tuple[tuple[str, ...], dict[str, int]]:
    """Return a longest path and the slack of every task."""
    import networkx  # takes 0.1 s: not at the server's start

    end = ""  # no task's id: a last node, since an edge is as long as the task that it comes from
    graph: Any = networkx.DiGraph()
    graph.add_weighted_edges_from((key, end, days[key]) for key in days)
    graph.add_weighted_edges_from((key, after, days[key]) for key, after in _precedence(tasks, needed, spans))
    order = list(networkx.topological_sort(graph))
    earliest, latest = dict.fromkeys(order, 0), dict[str, int]()
    for key in order:
        earliest[key] = max((earliest[before] + days[before] for before in graph.predecessors(key)), default=0)
    for key in reversed(order):
        latest[key] = min((latest[after] - days[key] for after in graph.successors(key)), default=earliest[end])
    path = networkx.dag_longest_path(graph, topo_order=order)
    return tuple(path[:-1]), {key: latest[key] - earliest[key] for key in days}


def _precedence(
    tasks: Sequence[Task], needed: Mapping[str, Sequence[str]], spans: Mapping[str, _Span]
) -> list[tuple[str, str]]:
    """Return what comes before what: dependencies, and each role's tasks in the order in which it does them."""
    of_role: dict[str, list[str]] = {task.assigned_agent: [] for task in tasks}
    for task in sorted(tasks, key=lambda each: spans[each.task_id]):
        of_role[task.assigned_agent].append(task.task_id)
    edges = [(before, task.task_id) for task in tasks for before in needed[task.task_id]]
    return edges + [pair for each in of_role.values() for pair in pairwise(each)]


def _working_day(start: datetime.date, number: int) -> datetime.date:
    """Return the working day `number` (from 0), counted from the first on or after `start`."""
    weekday = start.weekday()
    monday = start - datetime.timedelta(days=weekday)
    if weekday >= DAYS_PER_WEEK:
        monday, weekday = monday + datetime.timedelta(weeks=1), 0
    weeks, day = divmod(weekday + number, DAYS_PER_WEEK)
    return monday + datetime.timedelta(weeks=weeks, days=day)


def _scheduled(task: Task, needed: tuple[str, ...], span: _Span, start: datetime.date) -> ScheduledTask:
    percent = PERCENT.get(task.status)
    return ScheduledTask(
        task_id=task.task_id,
        task_name=task.task_name,
        start_date=_working_day(start, span.start),
        end_date=_working_day(start, span.end - 1),
        duration_days=span.end - span.start,
        assigned_agent=task.assigned_agent,
        status=task.status,
        dependencies=needed,
        effort_hours=task.estimated_effort_hours or 0,
        completion_percentage=percent,
        basis={} if percent is not None else {"completion_percentage": NO_PERCENT},
    )


def _milestones(tasks: Sequence[ScheduledTask], names: Mapping[str, str]) -> tuple[Milestone, ...]:
    ends: dict[str, datetime.date] = {}
    for task in tasks:
        ends[task.assigned_agent] = max(task.end_date, ends.get(task.assigned_agent, task.end_date))
    of_roles = [
        Milestone(name=f"{names.get(role, role)}: all tasks done", date=day, agent_role=role)
        for role, day in sorted(ends.items(), key=lambda each: each[1])
    ]
    return (*of_roles, Milestone(name="Project end", date=max(ends.values())))


def _left_out(board: TaskBoard) -> dict[str, str]:
    missing = [f'"{task.task_name}"' for task in board.tasks if not _has_effort(task)]
    return {"tasks": f"left out, as no agent named an effort in hours: {', '.join(missing)}"} if missing else {}
