"""The work of the scripted workforce: which tasks a role names in a round, and how far each has come.

Nothing is remembered: how far a task has come is read from what was answered before. A task starts once those that it
builds on are done (their owners say so), takes its rounds, and is then done. A smaller budget takes hours off for good.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

from simulation.llm.workforce_hearing import Hearing, is_done
from simulation.llm.workforce_script import PlannedFunction, PlannedTask, WorkforceScript, load_workforce_script
from simulation.pacing import draws
from simulation.workforce.parameters import Role
from simulation.workforce.scene import TableScene

FIRST_RELEASE_AFTER = 2
ROUNDS_PER_RELEASE = 6
"""After the launch a further release is begun every so many rounds."""
MOST_BLOCKED_ROUNDS = 2
"""After so many rounds somebody has found a way round what blocks a task."""
ROLE_HOURS = 24.0
"""What a task of a role that the script does not know takes."""
SPREAD = 0.1
"""Sessions differ in their hours by this share, up or down."""
HALF = 0.5
FUNCTIONS_PER_ANSWER = 2

CHANCES = {"completed": 1.0, "in_progress": 0.85, "planned": 0.75, "blocked": 0.45}
SETBACKS = frozenset({"budget_cut", "delay", "people"})
SETBACK = 0.12
DROPPED_CHANCE = 0.05

News = Literal["started", "in_progress", "completed", "blocked", "waiting", "dropped"]
"""What there is to say about a task; the first two are in progress, `waiting` is planned, `dropped` is blocked."""
STATUSES = {"started": "in_progress", "waiting": "planned", "dropped": "blocked"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskLine:
    """A task as a role names it in its answer. `news` is what there is to say about it; `waits_for` the task that it
    cannot begin without, and `owner` the role that does that one.
    """

    task: PlannedTask
    news: News
    hours: float
    after: tuple[str, ...]
    chance: float
    waits_for: str | None = None
    owner: str | None = None

    @property
    def status(self) -> str:
        return STATUSES.get(self.news, self.news)

    @property
    def record(self) -> dict[str, Any]:
        """What stands under `tasks` in the answer: the keys of `answers.TASK`."""
        return {
            "task_name": self.task.task_name,
            "description": self.task.description,
            "status": self.status,
            "completion_chance": self.chance,
            "estimated_effort_hours": self.hours,
            "dependencies": list(self.after),
            "priority": self.task.priority,
            "assigned_agent": None,
        }


@dataclass(slots=True)
class _Past:
    """What a role has said about one of its tasks."""

    status: str = "planned"
    hours: float | None = None
    worked: int = 0
    blocked: int = 0

    @property
    def is_over(self) -> bool:
        """Done, or taken off the list (which is a task that stands still and takes no hours)."""
        return self.status == "completed" or (self.status == "blocked" and self.hours == 0)


def release_number(hearing: Hearing, turn_number: int) -> int | None:
    """Return which release is being worked on after the launch; None before."""
    if not hearing.is_launch or hearing.phase.name != "afterwards":
        return None
    return FIRST_RELEASE_AFTER + (turn_number - hearing.phase.from_round) // ROUNDS_PER_RELEASE


def task_lines(scene: TableScene, hearing: Hearing, seed: int, random: Random) -> tuple[TaskLine, ...]:
    """Return the tasks that the role of `scene` names in this round: those that are neither done nor dropped before."""
    if scene.role is None:
        return ()
    past = _past(scene)
    table = {scene.role.role, *(each.role for each in scene.colleagues)}
    tasks = [task for task in _backlog(scene, hearing) if task.role in table]
    owners = {task.task_name: task.role for task in tasks}
    lines = []
    for task in tasks:
        before = past.get(task.task_name, _Past())
        chance_drawn = random.uniform(-0.05, 0.05)
        if task.role != scene.role.role or task.from_round > scene.turn_number or before.is_over:
            continue
        line = _line(task, before, scene, hearing, owners, seed, chance_drawn)
        if line is not None:
            lines.append(line)
    return tuple(lines)


def _past(scene: TableScene) -> dict[str, _Past]:
    past: dict[str, _Past] = {}
    for answer in scene.earlier:
        if answer.agent_name != scene.agent_name:
            continue
        for named in answer.tasks:
            each = past.setdefault(named.get("task_name", ""), _Past())
            each.status, each.hours = named.get("status", "planned"), named.get("estimated_effort_hours")
            each.worked += each.status == "in_progress"
            each.blocked += each.status == "blocked"
    return past


def _backlog(scene: TableScene, hearing: Hearing) -> Iterator[PlannedTask]:
    script = load_workforce_script()
    yield from script.backlogs["launch" if hearing.is_launch else "general"]
    yield from _further_release(script, hearing, scene.turn_number)
    if scene.role and scene.role.role not in script.voices:
        yield from _tasks_of_stranger(scene.role)


def _further_release(script: WorkforceScript, hearing: Hearing, turn_number: int) -> Iterator[PlannedTask]:
    number = release_number(hearing, turn_number)
    if number is None:
        return
    begins = hearing.phase.from_round + (number - FIRST_RELEASE_AFTER) * ROUNDS_PER_RELEASE
    for task in script.backlogs["afterwards"]:
        yield task.model_copy(
            update={
                "task_name": task.task_name.replace("{n}", str(number)),
                "after": tuple(name.replace("{n}", str(number)) for name in task.after),
                "from_round": begins + task.from_round - 1,
            }
        )


def _tasks_of_stranger(role: Role) -> Iterator[PlannedTask]:
    """A role that a researcher has added does what it is said to be able to do."""
    for number, capability in enumerate(role.capabilities[:3]):
        yield PlannedTask(
            role=role.role,
            task_name=f"Take care of {plain(capability)} as {role.name}",
            description=role.description or f"What {role.name} contributes",
            hours=ROLE_HOURS,
            priority=5,
            from_round=1 + 2 * number,
            rounds=2,
            cut_to=0.7,
        )


def plain(name: str) -> str:
    """Return a capability as words (`contract_review`: contract review)."""
    return name.replace("_", " ").strip()


def _line(
    task: PlannedTask,
    before: _Past,
    scene: TableScene,
    hearing: Hearing,
    owners: Mapping[str, str],
    seed: int,
    chance_drawn: float,
) -> TaskLine | None:
    after = tuple(name for name in task.after if name in owners)
    if hearing.pressing.intersection(task.dropped_when):
        if before.hours is None:
            return None  # nobody has heard of it, so it need not be taken back
        return TaskLine(task=task, news="dropped", hours=0.0, after=after, chance=DROPPED_CHANCE)
    missing = next((name for name in after if not is_done(name, scene.earlier + scene.said)), None)
    news = _news(task, before, hearing, waits=missing is not None)
    chance = CHANCES[STATUSES.get(news, news)]
    if news != "completed":
        chance += chance_drawn - SETBACK * bool(hearing.pressing & SETBACKS)
    return TaskLine(
        task=task,
        news=news,
        hours=_hours(task, before, hearing, seed),
        after=after,
        chance=round(chance, 2),
        waits_for=missing,
        owner=owners[missing] if missing else None,
    )


def _news(task: PlannedTask, before: _Past, hearing: Hearing, *, waits: bool) -> News:
    if waits and not before.worked:
        return "waiting"
    if hearing.pressing.intersection(task.blocked_by) and before.blocked < MOST_BLOCKED_ROUNDS:
        return "blocked"
    if before.worked >= task.rounds:
        return "completed"
    return "in_progress" if before.worked else "started"


def _hours(task: PlannedTask, before: _Past, hearing: Hearing, seed: int) -> float:
    """Return the task's hours: the same all through a session, unless a cut takes some away."""
    hours = task.hours * (1 + draws(seed, f"workforce:hours:{task.task_name}", 0).uniform(-SPREAD, SPREAD))
    if "budget_cut" in hearing.pressing:
        share = hearing.facts.budget_share
        lost = 1 - share if share < 1 else HALF
        hours *= 1 - (1 - task.cut_to) * min(1.0, lost / HALF)
    hours = max(2.0, 2.0 * round(hours / 2))
    return hours if before.hours is None else min(hours, before.hours)


def functions(scene: TableScene, hearing: Hearing) -> tuple[PlannedFunction, ...]:
    """Return the functions of the software that the role names now, each once in a session."""
    if not (hearing.is_launch and hearing.is_software):
        return ()
    script = load_workforce_script()
    named = {
        each.get("function_name")
        for answer in scene.earlier
        if answer.agent_name == scene.agent_name
        for each in answer.functions
    }
    due = (
        each
        for each in script.functions
        if each.role == scene.agent_name
        and each.from_round <= scene.turn_number
        and each.function_name not in named
        and not hearing.pressing.intersection(each.dropped_when)
    )
    return tuple(due)[:FUNCTIONS_PER_ANSWER]
