"""The task board: what the role agents have said of their tasks, put together.

Nothing here is estimated by us. What no agent has said is None, and what could not be taken as it was said (a
dependency on a task that nobody named, a circle) stands in the board's notes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, NamedTuple

from simulation.workforce.events import AgentAnswered

LIKENESS = 0.85
"""From here on two names are taken for one: a letter off, a plural, but not another number or word."""
MOST_COMPARED = 200
"""Likeness is looked for on boards of at most so many tasks, and among names of at most so many characters: it takes
time that grows with the square of both."""

FORMULAS: Mapping[str, str] = {
    "tasks": "Statements are joined by task name (case and spaces folded); in each field the latest that says "
    "something holds.",
    "assigned_agent": "The role of the session that was last named for it, else the role that named the task first.",
    "dependencies": "Tasks of the same name, else the closest by Ratcliff and Obershelp (difflib) from a ratio of "
    f"{LIKENESS}; of a circle, the dependency that was stated last is left out.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task as it stands. `dependencies` are task ids; `named_by` is the role that named it first.

    `completion_chance` is 0 to 1, `estimated_effort_hours` working hours of one person, `priority` 1 to 10.
    """

    task_id: str
    task_name: str
    named_by: str
    assigned_agent: str
    description: str = ""
    status: str = "planned"
    completion_chance: float | None = None
    estimated_effort_hours: float | None = None
    priority: int | None = None
    dependencies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskBoard:
    """Tasks in the order in which they were named first; their dependencies are free of circles."""

    tasks: tuple[Task, ...] = ()
    notes: tuple[str, ...] = ()

    def by_name(self) -> dict[str, Task]:
        """Return the tasks by their folded names."""
        return {folded(task.task_name): task for task in self.tasks}


def folded(name: str) -> str:
    """Return what two spellings of one name have in common."""
    return " ".join(name.split()).casefold()


def role_of(text: str, names: Mapping[str, str]) -> str | None:
    """Return the role that `text` means, by its key or its display name; `names` are display names by role."""
    wanted = folded(text)
    if not wanted:
        return None
    for role, name in names.items():
        if wanted in (folded(role), folded(role.replace("_", " ")), folded(name)):
            return role
    return None


def task_board(answers: Iterable[AgentAnswered], names: Mapping[str, str]) -> TaskBoard:
    """Return the tasks as they stand after `answers` (oldest first); `names` are display names by role."""
    merged: dict[str, _Merged] = {}
    statements = ((answer.agent_name, stated) for answer in answers for stated in answer.tasks)
    for moment, (speaker, stated) in enumerate(statements):
        name = stated["task_name"]
        merged.setdefault(folded(name), _Merged(name, speaker)).take(stated, names, moment)
    ids = {key: f"task-{number}" for number, key in enumerate(merged, 1)}
    notes: list[str] = []
    kept = _without_circles(_edges(merged, notes), merged, notes)
    tasks = tuple(each.task(ids[key], tuple(ids[other] for other in kept[key])) for key, each in merged.items())
    return TaskBoard(tasks=tasks, notes=tuple(notes))


SAYING = ("description", "status", "completion_chance", "estimated_effort_hours", "priority")
"""Fields of which a later statement takes the earlier one's place, if it says something."""


@dataclass(slots=True, eq=False)
class _Merged:
    """`wanted` are dependencies by folded name: when it was stated first, and in what spelling."""

    name: str
    named_by: str
    assigned: str | None = None
    values: dict[str, Any] = field(default_factory=dict)
    wanted: dict[str, tuple[int, str]] = field(default_factory=dict)

    def take(self, stated: Mapping[str, Any], names: Mapping[str, str], moment: int) -> None:
        self.values |= {key: stated[key] for key in SAYING if stated.get(key) not in (None, "")}
        self.assigned = role_of(stated.get("assigned_agent") or "", names) or self.assigned
        if stated.get("dependencies"):
            # Who repeats a list states it no later than before: else saying it again would make it the circle's last.
            new = {folded(each): (moment, each) for each in stated["dependencies"]}
            self.wanted = {key: self.wanted.get(key, value) for key, value in new.items()}

    def task(self, task_id: str, dependencies: tuple[str, ...]) -> Task:
        return Task(
            task_id=task_id,
            task_name=self.name,
            named_by=self.named_by,
            assigned_agent=self.assigned or self.named_by,
            dependencies=dependencies,
            **self.values,
        )


class _Edge(NamedTuple):
    """`task` waits for `needed`, both by folded name."""

    moment: int
    task: str
    needed: str


def _edges(merged: Mapping[str, _Merged], notes: list[str]) -> list[_Edge]:
    """Return every dependency on a task of the board; what cannot be one is noted."""
    edges: dict[tuple[str, str], _Edge] = {}
    for key, task in merged.items():
        for wanted, (moment, spelling) in task.wanted.items():
            needed = wanted if wanted in merged else _closest(wanted, [each for each in merged if each != key])
            if needed is None:
                notes.append(f'"{task.name}" depends on "{spelling}", which nobody has named as a task: left out.')
            elif needed == key:
                notes.append(f'"{task.name}" depends on itself: left out.')
            else:
                if needed != wanted:
                    notes.append(f'"{task.name}" depends on "{spelling}": taken for "{merged[needed].name}".')
                edges.setdefault((key, needed), _Edge(moment, key, needed))
    return list(edges.values())


def _closest(wanted: str, known: list[str]) -> str | None:
    if len(known) > MOST_COMPARED or len(wanted) > MOST_COMPARED:
        return None
    candidates = [each for each in known if len(each) <= MOST_COMPARED]
    return next(iter(get_close_matches(wanted, candidates, n=1, cutoff=LIKENESS)), None)


def _without_circles(edges: list[_Edge], merged: Mapping[str, _Merged], notes: list[str]) -> dict[str, list[str]]:
    """Return what each task waits for: edge by edge as they were stated, save those that would close a circle."""
    kept: dict[str, list[str]] = {key: [] for key in merged}
    for edge in sorted(edges, key=lambda each: each.moment):  # stable: within one statement as they were listed
        if _reaches(kept, edge.needed, edge.task):
            task, needed = merged[edge.task].name, merged[edge.needed].name
            notes.append(f'"{task}" depends on "{needed}", which waits for it in turn: left out.')
        else:
            kept[edge.task].append(edge.needed)
    return kept


def _reaches(edges: Mapping[str, list[str]], start: str, goal: str) -> bool:
    """Whether `goal` is among what `start` waits for, directly or through others."""
    seen, waiting = {start}, [start]
    while waiting:
        for each in edges[waiting.pop()]:
            if each == goal:
                return True
            if each not in seen:
                seen.add(each)
                waiting.append(each)
    return False
