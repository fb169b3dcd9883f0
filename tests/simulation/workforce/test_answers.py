"""Reading an answer: as far as it goes, and never more than was said."""

from __future__ import annotations

import json

import pytest

from simulation.workforce.answers import (
    ANSWER_SCHEMA,
    FUNCTION,
    MAX_ITEMS,
    SUMMARY_SCHEMA,
    TASK,
    read_answer,
    read_summary,
)

TASK_SAID = {
    "task_name": "Build it",
    "description": "all of it",
    "status": "in_progress",
    "completion_chance": 0.7,
    "estimated_effort_hours": 40,
    "dependencies": ["Plan it"],
    "priority": 9,
    "assigned_agent": "pm",
}


def read(**parts):
    return read_answer(json.dumps({"response": "yes", **parts}), ["pm", "engineering_lead"])


def test_a_whole_answer_is_read():
    function = {"function_name": "Login", "function_type": "EI", "complexity": "low", "description": "by mail"}
    found = read(
        reasoning="why",
        actions=["a", "b"],
        directed_to=["pm"],
        confidence=0.5,
        risks=["r"],
        opportunities=["o"],
        tasks=[TASK_SAID],
        functions=[function],
    )
    assert (found.content, found.reasoning, found.actions, found.directed_to) == ("yes", "why", ("a", "b"), ("pm",))
    assert (found.confidence, found.risks, found.opportunities) == (0.5, ("r",), ("o",))
    assert found.tasks == (TASK_SAID,)
    assert found.functions == (function,)


@pytest.mark.parametrize("value", [-0.1, 1.1, "0.8", True, None, [0.8]])
def test_a_confidence_that_is_none_is_not_made_up(value):
    assert read(confidence=value).confidence is None


@pytest.mark.parametrize(
    ("key", "value", "kept"),
    [
        ("status", "nearly", "planned"),
        ("completion_chance", 70, None),
        ("estimated_effort_hours", -1, None),
        ("estimated_effort_hours", "a week", None),
        ("priority", 11, None),
        ("dependencies", "Plan it", []),
        ("assigned_agent", 7, None),
    ],
)
def test_a_wrong_value_of_a_task_counts_as_not_given(key, value, kept):
    assert read(tasks=[{**TASK_SAID, key: value}]).tasks[0][key] == kept


@pytest.mark.parametrize(
    "tasks", [[{"description": "nameless"}], ["Build it"], {"task_name": "x"}, None, [{"task_name": "  "}]]
)
def test_what_is_no_task_is_passed_over(tasks):
    assert read(tasks=tasks).tasks == ()


def test_a_function_of_an_unknown_kind_is_passed_over():
    assert read(functions=[{"function_name": "x", "function_type": "XX", "complexity": "low"}]).functions == ()
    assert read(functions=[{"function_name": "x", "function_type": "eq", "complexity": "High"}]).functions[0] == {
        "function_name": "x",
        "function_type": "EQ",
        "complexity": "high",
        "description": "",
    }


def test_addressed_roles_are_those_at_the_table():
    assert read(directed_to=["PM", "Engineering Lead", "ghost", "pm", 7]).directed_to == ("pm", "engineering_lead")


def test_no_more_items_are_taken_than_anybody_reads():
    assert len(read(actions=[f"a{n}" for n in range(100)]).actions) == MAX_ITEMS


@pytest.mark.parametrize("text", ["", "yes", "[]", "{}", '{"response": ""}', '{"response": null}', '{"response": "a"'])
def test_what_holds_no_answer_is_none(text):
    assert read_answer(text, []) is None


def test_a_summary_is_read():
    assert read_summary('{"summary": " all agreed ", "next_action": ""}').summary == "all agreed"
    assert read_summary('{"summary": "s", "next_action": ""}').next_action is None
    assert read_summary('{"next_action": "n"}') is None


def objects_in(schema):
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for value in schema.values():
            yield from objects_in(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from objects_in(value)


@pytest.mark.parametrize("schema", [ANSWER_SCHEMA, SUMMARY_SCHEMA], ids=["answer", "summary"])
def test_the_schemas_are_what_a_strict_provider_takes(schema):
    """Every key required and no other allowed, in every object: OpenAI's and Groq's `strict`."""
    for each in objects_in(schema):
        assert each["required"] == list(each["properties"])
        assert each["additionalProperties"] is False


def test_what_is_asked_for_is_what_is_read():
    found = read(tasks=[TASK_SAID], functions=[{"function_name": "f", "function_type": "EI", "complexity": "low"}])
    assert set(found.tasks[0]) == set(TASK)
    assert set(found.functions[0]) == set(FUNCTION)
