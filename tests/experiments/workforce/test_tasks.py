"""The task board: what agents said of their tasks, joined without adding to it."""

from __future__ import annotations

import graphlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.workforce.tasks import MOST_COMPARED, folded, role_of, task_board
from simulation.workforce.events import AgentAnswered

NAMES = {"pm": "Product Manager", "engineering_lead": "Engineering Lead", "sales": "Sales Director"}


def answer(role: str, *tasks: dict) -> AgentAnswered:
    return AgentAnswered(elapsed=1.0, turn_id="t", agent_name=role, turn_number=1, content="Yes.", tasks=tasks)


def task(name: str, **said) -> dict:
    silent = {"description": "", "status": "planned", "completion_chance": None, "estimated_effort_hours": None}
    return {"task_name": name, **silent, "dependencies": [], "priority": None, "assigned_agent": None, **said}


def board(*answers: AgentAnswered):
    return task_board(answers, NAMES)


def dependencies(*answers: AgentAnswered) -> dict[str, tuple[str, ...]]:
    return {each.task_name: each.dependencies for each in board(*answers).tasks}


def test_a_task_named_twice_stands_once_with_the_latest_of_each_field():
    first = task("Build  the API", description="REST", estimated_effort_hours=40.0, priority=7, completion_chance=0.5)
    later = task("build the api", status="in_progress", estimated_effort_hours=60.0)
    (only,) = board(answer("engineering_lead", first), answer("pm", later)).tasks
    assert (only.task_id, only.task_name, only.named_by) == ("task-1", "Build  the API", "engineering_lead")
    assert (only.status, only.estimated_effort_hours) == ("in_progress", 60.0)
    assert (only.description, only.priority, only.completion_chance) == ("REST", 7, 0.5)


def test_an_effort_of_nothing_is_something_said():
    (only,) = board(
        answer("pm", task("Ask", estimated_effort_hours=4.0)), answer("pm", task("Ask", estimated_effort_hours=0.0))
    ).tasks
    assert only.estimated_effort_hours == 0.0


def test_what_nobody_said_is_none():
    (only,) = board(answer("pm", task("Ask"))).tasks
    assert (only.completion_chance, only.estimated_effort_hours, only.priority) == (None, None, None)


def test_ids_count_in_the_order_in_which_tasks_were_named_first():
    tasks = board(answer("pm", task("B"), task("A")), answer("sales", task("A"), task("C"))).tasks
    assert [(each.task_id, each.task_name) for each in tasks] == [("task-1", "B"), ("task-2", "A"), ("task-3", "C")]


@pytest.mark.parametrize(
    ("said", "assigned"),
    [
        ("engineering_lead", "engineering_lead"),
        ("Engineering Lead", "engineering_lead"),
        ("product  manager", "pm"),
        ("an intern", "sales"),
        (None, "sales"),
    ],
)
def test_a_task_belongs_to_the_role_it_is_assigned_to_else_to_who_named_it(said, assigned):
    (only,) = board(answer("sales", task("Ask", assigned_agent=said))).tasks
    assert (only.assigned_agent, only.named_by) == (assigned, "sales")


def test_an_unknown_assignee_does_not_take_a_task_from_a_known_one():
    answers = [answer("pm", task("A", assigned_agent="sales")), answer("pm", task("A", assigned_agent="nobody"))]
    assert board(*answers).tasks[0].assigned_agent == "sales"


def test_nobody_is_meant_by_nothing():
    assert role_of(" ", {**NAMES, "guest": ""}) is None


def test_dependencies_become_ids_also_of_tasks_named_later_and_of_close_spellings():
    said = answer("pm", task("Launch", dependencies=["write the API", "Test plans"]))
    later = answer("pm", task("Write the  API"), task("Test plan"))
    found = board(said, later)
    assert found.tasks[0].dependencies == ("task-2", "task-3")
    assert found.notes == ('"Launch" depends on "Test plans": taken for "Test plan".',)


def test_a_dependency_that_nobody_named_is_left_out_and_noted():
    found = board(answer("pm", task("Launch", dependencies=["Hire a lawyer"])))
    assert found.tasks[0].dependencies == ()
    assert found.notes == ('"Launch" depends on "Hire a lawyer", which nobody has named as a task: left out.',)


def test_a_task_that_depends_on_itself_does_not_and_that_is_noted():
    found = board(answer("pm", task("Launch", dependencies=["LAUNCH"])))
    assert found.tasks[0].dependencies == ()
    assert found.notes == ('"Launch" depends on itself: left out.',)


def test_a_name_close_to_the_tasks_own_is_not_taken_for_itself():
    found = board(answer("pm", task("Phase number 2", dependencies=["Phase number 1"])))
    assert found.tasks[0].dependencies == ()
    assert found.notes == ('"Phase number 2" depends on "Phase number 1", which nobody has named as a task: left out.',)


def test_of_a_circle_the_dependency_stated_last_is_left_out():
    answers = [
        answer("pm", task("A", dependencies=["B"])),
        answer("pm", task("B", dependencies=["C"])),
        answer("pm", task("C", dependencies=["A"])),
    ]
    assert dependencies(*answers) == {"A": ("task-2",), "B": ("task-3",), "C": ()}
    assert board(*answers).notes == ('"C" depends on "A", which waits for it in turn: left out.',)


def test_saying_a_dependency_again_does_not_make_it_the_later_one():
    answers = [answer("pm", task("A", dependencies=["B"])), answer("pm", task("B", dependencies=["A"]))]
    assert dependencies(*answers, answers[0]) == dependencies(*answers) == {"A": ("task-2",), "B": ()}


def test_an_empty_list_leaves_dependencies_as_they_were_and_another_list_replaces_them():
    start = answer("pm", task("A", dependencies=["B"]), task("B"), task("C"))
    assert dependencies(start, answer("pm", task("A")))["A"] == ("task-2",)
    assert dependencies(start, answer("pm", task("A", dependencies=["C"])))["A"] == ("task-3",)


def test_likeness_is_not_looked_for_on_a_vast_board():
    many = [answer("pm", *(task(f"{number:06} of many") for number in range(MOST_COMPARED + 2)))]
    found = board(*many, answer("pm", task("Launch", dependencies=["000001 of manyy"])))
    assert found.tasks[-1].dependencies == ()


def test_no_answers_no_tasks():
    assert board() == task_board([answer("pm")], NAMES)
    assert board().tasks == ()


STATEMENTS = st.lists(
    st.tuples(st.sampled_from("ABCDEF"), st.lists(st.sampled_from("ABCDEF"), max_size=4)), max_size=20
)


@given(STATEMENTS)
def test_whatever_is_said_no_circle_is_left_and_every_dependency_is_kept_or_noted(statements):
    found = board(*(answer("pm", task(name, dependencies=needed)) for name, needed in statements))
    graph = {each.task_id: each.dependencies for each in found.tasks}
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(graph)
    last = {name: set(needed) for name, needed in statements if needed}
    assert sum(map(len, graph.values())) + len(found.notes) == sum(map(len, last.values()))


@given(st.text())
def test_folding_twice_changes_nothing(text):
    assert folded(folded(text)) == folded(text)
