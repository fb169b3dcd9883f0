"""Figures of single answers: each from what was said, or None with the reason."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.workforce.metrics import AnswerFigures, round_metrics
from experiments.workforce.tasks import task_board
from experiments.workforce.timeline import timeline
from simulation.workforce.events import AgentAnswered, TurnStarted

NAMES = {"pm": "Product Manager", "engineering_lead": "Engineering Lead", "sales": "Sales Director"}
MONDAY = datetime.date(2026, 3, 2)


def answer(role: str = "pm", content: str = "Yes.", **said) -> AgentAnswered:
    return AgentAnswered(
        **{"elapsed": 3.5, "turn_id": role, "turn_number": 1, "agent_name": role, **said}, content=content
    )


def asked(role: str, elapsed: float, form: str = "schema") -> TurnStarted:
    return TurnStarted(elapsed=elapsed, turn_id=role, agent_name=role, turn_number=1, form=form)


def task(name: str, **said) -> dict:
    silent = {"description": "", "status": "planned", "completion_chance": None, "estimated_effort_hours": None}
    return {"task_name": name, **silent, "dependencies": [], "priority": None, "assigned_agent": None, **said}


def figures(*answers: AgentAnswered, started=(), names=NAMES) -> tuple[AnswerFigures, ...]:
    board = task_board(answers, names)
    return round_metrics(answers, started, board=board, timeline=timeline(board, names, MONDAY), names=names)


def test_response_time_runs_from_the_first_asking_to_the_answer():
    (found,) = figures(answer(elapsed=3.5), started=[asked("pm", 1.25), asked("pm", 3.0, "repair")])
    assert found.metrics.response_time_ms == 2250


def test_without_a_record_of_the_asking_there_is_no_response_time():
    (found,) = figures(answer(), started=[asked("sales", 1.0)])
    assert found.metrics.response_time_ms is None
    assert found.metrics.basis["response_time_ms"] == "the log does not say when the role was asked"


def test_tasks_are_counted_by_their_status_each_once():
    said = [task("A", status="completed"), task("B", status="blocked"), task("b", status="in_progress"), task("C")]
    metrics = figures(answer(tasks=tuple(said)))[0].metrics
    assert (metrics.tasks_completed, metrics.tasks_in_progress, metrics.tasks_blocked) == (1, 1, 0)


def test_tasks_of_an_answer_that_is_no_json_are_unknown_not_none_at_all():
    metrics = figures(answer(is_structured=False))[0].metrics
    assert (metrics.tasks_completed, metrics.tasks_in_progress, metrics.tasks_blocked) == (None, None, None)
    assert "stands as text" in metrics.basis["tasks_completed"]


@pytest.mark.parametrize(
    ("content", "directed_to", "score"),
    [
        ("Fine.", (), 0),
        ("Fine.", ("sales",), 0.5),
        ("I ask the sales  director.", ("sales",), 0.5),
        ("SALES and the engineering\nlead know.", (), 1),
        ("engineering_lead, please.", (), 0.5),
        ("Wholesalesmen, presales, sales_team.", (), 0),
        ("I, the Product Manager, decide.", ("pm",), 0),
    ],
)
def test_collaboration_is_the_share_of_others_addressed_or_named(content, directed_to, score):
    (found,) = figures(answer("pm", content, directed_to=directed_to))
    assert found.metrics.collaboration_score == score


def test_who_is_alone_cannot_collaborate():
    metrics = figures(answer(), names={"pm": "Product Manager"})[0].metrics
    assert metrics.collaboration_score is None
    assert metrics.basis["collaboration_score"] == "nobody else speaks in this session"


def test_productivity_is_the_share_of_the_roles_own_hours_that_is_done():
    done = task("A", status="completed", estimated_effort_hours=10.0)
    open_, unknown = task("B", estimated_effort_hours=30.0), task("C", status="completed")
    others = task("D", status="completed", estimated_effort_hours=99.0, assigned_agent="sales")
    pm, sales = figures(answer("pm", tasks=(done, open_, unknown, others)), answer("sales"))
    assert (pm.metrics.productivity_score, sales.metrics.productivity_score) == (0.25, 1)


def test_without_hours_there_is_no_productivity():
    metrics = figures(answer(tasks=(task("A", status="completed"),)))[0].metrics
    assert metrics.productivity_score is None
    assert metrics.basis["productivity_score"] == "no task assigned to the role has an effort in hours"


def test_engagement_is_the_length_against_the_longest_answer():
    short, long = figures(answer("pm", "One two."), answer("sales", "One two three four."))
    assert (short.metrics.engagement_level, long.metrics.engagement_level) == (0.5, 1)
    assert figures(answer(content=""))[0].metrics.engagement_level is None


def test_quality_is_never_a_number():
    metrics = figures(answer(confidence=1.0, tasks=(task("A", status="completed"),)))[0].metrics
    assert metrics.quality_score is None
    assert metrics.basis["quality_score"] == "nothing in an answer measures its quality"


def test_task_distribution_says_what_the_answer_says_and_when_it_is_planned():
    full = task("A", description="All of it", completion_chance=0.5, estimated_effort_hours=16.0, priority=3)
    ((first, second),) = (
        each.task_distribution for each in figures(answer(tasks=(full, task("B", dependencies=["A"]))))
    )
    assert (first.task_name, first.description, first.completion_chance, first.priority) == ("A", "All of it", 0.5, 3)
    assert first.schedule is not None
    assert (first.schedule.start_date, first.schedule.end_date) == (MONDAY, datetime.date(2026, 3, 3))
    assert set(first.basis) == {"function_points"}
    assert (second.dependencies, second.estimated_effort_hours, second.schedule) == (("A",), None, None)
    assert set(second.basis) == {
        "function_points", "schedule", "completion_chance", "estimated_effort_hours", "priority",
    }  # fmt: skip


def test_without_a_timeline_no_task_has_a_schedule():
    (found,) = figures(answer(tasks=(task("A"),)))
    assert found.task_distribution[0].schedule is None


@given(
    st.lists(
        st.tuples(st.sampled_from(list(NAMES)), st.text(max_size=40), st.sampled_from([0.0, 1.0, 1e5])), max_size=6
    )
)
def test_every_number_is_in_its_range_or_has_a_reason(said):
    answers = [answer(role, text, tasks=(task("A", estimated_effort_hours=hours),)) for role, text, hours in said]
    for found in figures(*answers):
        for score in ("productivity_score", "collaboration_score", "quality_score", "engagement_level"):
            value = getattr(found.metrics, score)
            assert score in found.metrics.basis if value is None else 0 <= value <= 1
