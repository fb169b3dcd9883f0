"""How the scripted workforce talks: to one another, and the coordinator of them."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from scripted_table import (
    FEASIBILITY,
    INTERN,
    LAUNCH,
    LEGAL,
    MOVE,
    Table,
    answered,
    role_named,
    seven,
)

from simulation.llm.workforce_script import load_workforce_script
from simulation.workforce.answers import Answer
from simulation.workforce.modifications import in_order

# One another


def test_colleagues_who_spoke_before_are_named():
    table = Table().play(3, FEASIBILITY)
    script = load_workforce_script()
    for answers in table.rounds:
        for number, answer in enumerate(answers[1:], start=1):
            before = {each.agent_name for each in answers[:number]} | {role.role for role in seven()} - {
                answer.agent_name
            }
            assert answer.directed_to, "everybody but the first speaks to somebody"
            assert before.issuperset(answer.directed_to)
            called = [script.voices[role].called for role in answer.directed_to]
            assert any(name.lower() in answer.content.lower() for name in called)


def test_a_question_is_answered_by_the_one_who_was_asked():
    table = Table().play(30)
    script = load_workforce_script()
    everything = [answer for answers in table.rounds for answer in answers]
    asked = [
        (ask, each)
        for each in everything
        for ask in script.asks
        if ask.ask in each.content and each.agent_name == ask.asker
    ]
    replied = [ask for ask, each in asked if any(ask.answer in later.content for later in everything)]
    assert len(asked) > 20
    assert len(replied) > 0.6 * len(asked)
    for each in everything:
        for ask in script.asks:
            if ask.answer in each.content:
                assert each.agent_name == ask.asked


def objections_of_sales(assertive: float) -> int:
    sales = replace(role_named("sales"), personality_traits={"assertive": assertive, "collaborative": 0.5})
    table = Table(roles=in_order(sales if role.role == "sales" else role for role in seven())).play(60)
    endings = [line.rpartition("}")[2] for line in load_workforce_script().voices["sales"].object]
    said = [answer.content for answers in table.rounds for answer in answers if answer.agent_name == "sales"]
    return sum(any(ending in content for ending in endings) for content in said)


def test_assertive_roles_object_more_often():
    assert objections_of_sales(assertive=1.0) > 2 * objections_of_sales(assertive=0.0)


def test_proposals_of_other_models_are_quoted():
    table = Table()
    given = answered("ceo", 1, Answer(content="Hm.", actions=("Budget: freeze/hold it_now",)), source="model")
    contents = [table.ask(role, [given]).content for role in seven()[1:]]
    assert all("act on “Budget: freeze/hold it_now”" in content for content in contents)


def test_a_colleague_who_proposed_nothing_is_passed_over():
    table = Table()
    given = answered("ceo", 1, Answer(content="I have nothing yet."))
    for role in seven()[1:]:
        answer = table.ask(role, [given])
        assert answer.content
        assert answer.actions


def test_roles_that_nobody_knows_take_part():
    table = Table(roles=in_order([*seven(), LEGAL, INTERN])).play(4, "Is the price right?")
    legal = [answer for answers in table.rounds for answer in answers if answer.agent_name == "legal"]
    intern = [answer for answers in table.rounds for answer in answers if answer.agent_name == "intern"]
    assert {task["task_name"] for answer in legal for task in answer.tasks} == {
        "Take care of contract review as Legal Counsel",
        "Take care of data protection as Legal Counsel",
    }
    assert any("contract review" in answer.content for answer in legal)
    assert all(answer.content and not answer.tasks for answer in intern)
    assert any("Legal Counsel" in answer.content for answers in table.rounds for answer in answers)


def test_a_role_alone_at_the_table_speaks():
    table = Table(roles=(INTERN,)).play(10)
    assert all(answer.content for answers in table.rounds for answer in answers)


@pytest.mark.parametrize("scenario", [LAUNCH, MOVE])
def test_sixty_rounds_bring_no_answer_twice(scenario):
    table = Table(scenario).play(60)
    for number in range(7):
        contents = [answers[number].content for answers in table.rounds]
        assert len(set(contents)) == 60


def test_an_input_that_is_repeated_gets_no_answer_twice():
    table = Table(roles=in_order([LEGAL, INTERN])).play(30, FEASIBILITY)
    for number in range(2):
        assert len({answers[number].content for answers in table.rounds}) == 30


def test_after_the_launch_come_further_releases():
    table = Table().play(40)
    numbers = {int(found[1]) for name in table.hours() if (found := re.search(r"release (\d+)", name))}
    assert numbers == set(range(2, 2 + len(numbers)))
    assert len(numbers) > 3


# The coordinator


def test_the_coordinator_tells_what_was_said():
    table = Table().play(10, FEASIBILITY)
    for said, summary in zip(table.rounds, table.summaries, strict=True):
        deeds = [answer.actions[0][:1].lower() + answer.actions[0][1:] for answer in said]
        assert FEASIBILITY in summary.summary
        assert any(deed in summary.summary for deed in deeds)
        assert 3 <= len(re.findall(r"[.?!](?: |$)", summary.summary)) <= 8
        assert summary.next_action
        assert not summary.next_action.endswith(".")


def test_the_coordinator_names_who_objects_to_whom():
    table = Table()
    ceo = answered("ceo", 1, Answer(content="So.", actions=("Fix the date and let the scope move",)))
    line = load_workforce_script().voices["pm"].object[1]
    objection = line.replace("{Who}", "The CEO").replace("{deed}", "fix the date and let the scope move")
    pm = answered("pm", 1, Answer(content=objection, directed_to=("ceo",), actions=("Plan backwards",)))
    summary = table.sum_up([ceo, pm])
    assert re.search(r"Product.*the CEO.*fix the date and let the scope move", summary.summary)
    assert "Product" in summary.summary


def test_the_coordinator_names_a_risk_that_several_see():
    risk = "The step that is new to us has not been tried"
    said = [answered(role.role, 1, Answer(content="Yes.", risks=(risk,))) for role in seven()[:2]]
    summary = Table().sum_up(said)
    assert "The CEO and Product name the same risk" in summary.summary or "the CEO and Product share" in summary.summary
    assert "the step that is new to us" in summary.summary


def test_the_coordinator_says_what_is_done_and_what_stands_still():
    tasks = tuple(
        {"task_name": name, "status": status} for name, status in [("Ask people", "completed"), ("Move", "blocked")]
    )
    summary = Table().sum_up([answered("pm", 1, Answer(content="Well.", tasks=tasks))])
    assert "done: “Ask people”" in summary.summary.lower().replace("ask people", "Ask people")
    assert "at a stand: “Move”" in summary.summary.replace("At a stand", "at a stand")
    assert "‘Move’" in (summary.next_action or "")


def test_the_coordinator_tells_how_sure_the_table_is_when_there_is_no_work_to_tell_of():
    said = [
        answered("ceo", 1, Answer(content="Sure.", confidence=0.9)),
        answered("pm", 1, Answer(content="Hm.", confidence=0.6)),
    ]
    assert "Product (0.60)" in Table().sum_up(said).summary


def test_the_coordinator_has_something_to_say_when_nobody_spoke():
    assert "“We need to launch a new AI-powered feature within 3 months”" in Table().sum_up([]).summary
    table = Table().play(1)
    assert str(table.summaries[0].next_action) in table.sum_up([]).summary
