"""The schedule and its critical path, by hand and against brute force."""

from __future__ import annotations

import datetime
import subprocess
import sys
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.workforce.tasks import Task, TaskBoard
from experiments.workforce.timeline import (
    MOST_WORKING_DAYS,
    Timeline,
    people_in,
    timeline,
    unfit_people,
    why_no_timeline,
)

NAMES = {"pm": "Product Manager", "dev": "Engineering Lead"}
MONDAY = datetime.date(2026, 3, 2)
FRIDAY = datetime.date(2026, 3, 6)


def task(number: int, days: float | None, *needed: int, role: str = "dev", **said) -> Task:
    hours = None if days is None else days * 8
    return Task(
        task_id=f"task-{number}",
        task_name=f"Task {number}",
        named_by=role,
        assigned_agent=role,
        estimated_effort_hours=hours,
        dependencies=tuple(f"task-{each}" for each in needed),
        **said,
    )


def planned(*tasks: Task, start: datetime.date = MONDAY) -> Timeline:
    found = timeline(TaskBoard(tasks=tasks), NAMES, start)
    assert found is not None
    return found


def dates(found: Timeline) -> dict[str, tuple[int, int]]:
    return {each.task_id: (each.start_date.day, each.end_date.day) for each in found.tasks}


def test_two_roles_work_side_by_side_and_the_longest_way_is_critical():
    """task-1 (2 days) and task-2 (1) precede task-3 (2): day 2 to 3, day 2, day 4 to 5."""
    found = planned(task(1, 2), task(2, 1, role="pm"), task(3, 2, 1, 2, role="pm"))
    assert dates(found) == {"task-1": (2, 3), "task-2": (2, 2), "task-3": (4, 5)}
    assert found.critical_path == ("task-1", "task-3")
    assert found.slack_days == {"task-1": 0, "task-2": 1, "task-3": 0}
    assert (found.total_duration_days, found.project_start_date, found.project_end_date.day) == (4, MONDAY, 5)


def test_a_role_does_one_task_at_a_time_the_more_urgent_first():
    found = planned(task(1, 1), task(2, 1, priority=9), task(3, 1, priority=5))
    assert dates(found) == {"task-2": (2, 2), "task-1": (3, 3), "task-3": (4, 4)}
    assert found.critical_path == ("task-2", "task-1", "task-3")


def test_a_role_that_waits_does_something_else_meanwhile():
    found = planned(task(1, 3, role="pm", priority=10), task(2, 1, 1, priority=9), task(3, 2), task(4, 2))
    assert dates(found) == {"task-1": (2, 4), "task-3": (2, 3), "task-2": (5, 5), "task-4": (6, 9)}


def test_a_task_that_just_fits_before_another_goes_there():
    found = planned(task(1, 3, role="pm", priority=10), task(2, 1, 1, priority=9), task(3, 3))
    assert dates(found) == {"task-1": (2, 4), "task-3": (2, 4), "task-2": (5, 5)}


def test_ties_go_by_number_not_by_letters():
    found = planned(*(task(number, 1) for number in range(1, 12)))
    assert list(dates(found)) == [f"task-{number}" for number in range(1, 12)]


@pytest.mark.parametrize(("hours", "days"), [(0.5, 1), (8, 1), (8.5, 2), (16, 2), (41, 6)])
def test_hours_become_whole_days(hours, days):
    assert planned(task(1, hours / 8)).tasks[0].duration_days == days


@pytest.mark.parametrize(
    ("start", "days", "first", "last"),
    [
        (FRIDAY, 2, FRIDAY, datetime.date(2026, 3, 9)),
        (datetime.date(2026, 3, 7), 1, datetime.date(2026, 3, 9), datetime.date(2026, 3, 9)),
        (datetime.date(2026, 3, 8), 6, datetime.date(2026, 3, 9), datetime.date(2026, 3, 16)),
        (MONDAY, 5, MONDAY, FRIDAY),
    ],
)
def test_nobody_works_at_the_weekend(start, days, first, last):
    found = planned(task(1, days), start=start)
    assert (found.project_start_date, found.project_end_date) == (first, last)
    assert (found.tasks[0].start_date, found.tasks[0].end_date) == (first, last)


def test_tasks_without_an_effort_are_left_out_and_named_and_what_is_behind_them_still_waits():
    found = planned(task(1, 2), task(2, None, 1, role="pm"), task(3, 0, 2, role="pm"), task(4, 1, 3, role="pm"))
    assert dates(found) == {"task-1": (2, 3), "task-4": (4, 4)}
    assert found.tasks[1].dependencies == ("task-1",)
    assert found.basis == {"tasks": 'left out, as no agent named an effort in hours: "Task 2", "Task 3"'}


def test_how_far_a_task_has_come_is_told_only_where_it_is_known():
    statuses = ("completed", "planned", "in_progress", "blocked")
    found = planned(*(task(number, 1, status=status) for number, status in enumerate(statuses, 1)))
    assert [each.completion_percentage for each in found.tasks] == [100, 0, None, None]
    assert ["completion_percentage" in each.basis for each in found.tasks] == [False, False, True, True]


def test_each_role_has_a_milestone_and_so_has_the_project():
    found = planned(task(1, 2, role="dev"), task(2, 1, role="pm"), task(3, 1, role="guest", priority=1))
    assert [(each.name, each.agent_role, each.date.day) for each in found.milestones] == [
        ("Product Manager: all tasks done", "pm", 2),
        ("guest: all tasks done", "guest", 2),
        ("Engineering Lead: all tasks done", "dev", 3),
        ("Project end", None, 3),
    ]


@pytest.mark.parametrize("tasks", [(), (task(1, None), task(2, 0))])
def test_no_effort_no_timeline_and_a_reason(tasks):
    board = TaskBoard(tasks=tasks)
    assert timeline(board, NAMES, MONDAY) is None
    assert why_no_timeline(board) == "no agent has named a task with an effort in hours"


def test_efforts_beyond_the_calendar_give_no_timeline_and_a_reason():
    board = TaskBoard(tasks=(task(1, MOST_WORKING_DAYS), task(2, 1)))
    assert timeline(board, NAMES, MONDAY) is None
    assert "more than" in (why_no_timeline(board) or "")
    assert why_no_timeline(TaskBoard(tasks=board.tasks[:1])) is None


def test_the_graph_library_waits_until_a_timeline_is_asked_for():
    code = "import experiments.workforce.timeline, sys; sys.exit('networkx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@st.composite
def boards(draw) -> tuple[Task, ...]:
    """Up to eight tasks of three roles, each depending on some of those before it."""
    count = draw(st.integers(1, 8))
    return tuple(
        task(
            number,
            draw(st.integers(1, 5)),
            *draw(st.sets(st.integers(1, number - 1), max_size=3) if number > 1 else st.just(set())),
            role=draw(st.sampled_from(["dev", "pm", "sales"])),
            priority=draw(st.none() | st.integers(1, 10)),
        )
        for number in range(1, count + 1)
    )


def precedence(found: Timeline) -> set[tuple[str, str]]:
    edges = {(before, each.task_id) for each in found.tasks for before in each.dependencies}
    for role in {each.assigned_agent for each in found.tasks}:
        of_role = [each.task_id for each in found.tasks if each.assigned_agent == role]
        edges |= set(pairwise(of_role))
    return edges


def longest(edges: set[tuple[str, str]], days: dict[str, int]) -> int:
    """By trying every chain."""

    def after(key: str) -> int:
        return days[key] + max((after(later) for before, later in edges if before == key), default=0)

    return max(map(after, days))


@given(boards())
def test_the_project_is_as_long_as_the_longest_path(tasks):
    found = planned(*tasks)
    days = {each.task_id: each.duration_days for each in found.tasks}
    edges = precedence(found)
    assert found.total_duration_days == longest(edges, days)
    assert sum(days[key] for key in found.critical_path) == found.total_duration_days
    assert set(pairwise(found.critical_path)) <= edges


@given(boards())
def test_slack_is_what_a_task_can_grow_by_without_the_end_moving(tasks):
    found = planned(*tasks)
    days = {each.task_id: each.duration_days for each in found.tasks}
    edges = precedence(found)
    for key, slack in found.slack_days.items():
        assert longest(edges, {**days, key: days[key] + slack}) == found.total_duration_days
        assert longest(edges, {**days, key: days[key] + slack + 1}) == found.total_duration_days + 1
    assert {key for key, slack in found.slack_days.items() if slack == 0} >= set(found.critical_path)


@given(boards(), st.dates(datetime.date(2020, 1, 1), datetime.date(2030, 1, 1)))
def test_no_task_begins_before_what_it_needs_is_done_and_no_role_is_in_two_places(tasks, start):
    found = planned(*tasks, start=start)
    by_id = {each.task_id: each for each in found.tasks}
    for each in found.tasks:
        assert each.start_date >= start
        assert each.start_date.weekday() < 5 > each.end_date.weekday()
        assert all(by_id[before].end_date < each.start_date for before in each.dependencies)
    for one, other in combinations(found.tasks, 2):
        if one.assigned_agent == other.assigned_agent:
            assert one.end_date < other.start_date or other.end_date < one.start_date


@pytest.mark.parametrize(("people", "days"), [({}, 10), ({"dev": 2}, 5), ({"dev": 3}, 4), ({"pm": 2}, 10)])
def test_a_role_that_is_several_people_is_faster(people, days):
    found = timeline(TaskBoard(tasks=(task(1, 10),)), NAMES, MONDAY, people)
    assert found is not None
    assert found.total_duration_days == days


@pytest.mark.parametrize(
    "said", [None, 3, {"pm": 0}, {"pm": -1}, {"pm": 0.0001}, {"pm": 1e17}, {"pm": True}, {"pm": "two"}, ["pm"]]
)
def test_people_that_are_no_number_are_one_and_that_is_told(said):
    assert people_in({"people": said}) == {}
    assert "people" in unfit_people({"people": said}, NAMES)


def test_people_are_told_by_role_where_they_count_for_nothing():
    assert unfit_people({}, NAMES) == unfit_people({"people": {"pm": 2}}, NAMES) == ""
    told = unfit_people({"people": {"pm": 2, "dev": "two", "clown": 3}}, NAMES)
    assert "dev: no number" in told
    assert "clown: no role" in told
    assert "pm" not in told
