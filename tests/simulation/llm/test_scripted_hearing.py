"""What the scripted workforce hears: topics, what a what-if changes, and figures."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from scripted_table import FEASIBILITY, LAUNCH, MOVE, Table, role_named, seven

from simulation.llm.workforce_facts import find_facts, subject_of
from simulation.llm.workforce_hearing import topics_in
from simulation.llm.workforce_script import load_workforce_script
from simulation.workforce.events import MemoryStored
from simulation.workforce.modifications import in_order

# What is heard


@pytest.mark.parametrize(
    ("text", "topics"),
    [
        (FEASIBILITY, ("feasibility",)),
        ("The budget is halved.", ("budget_cut",)),
        ("We had to cut our funding", ("budget_cut",)),
        ("The budget will not be cut.", ("budget",)),
        ("We must do with half the budget", ("budget_cut",)),
        ("One of our engineers left", ("people",)),
        ("We got additional budget", ("budget_raise",)),
        ("How much may it cost?", ("budget",)),
        ("The deadline has been brought forward", ("delay",)),
        ("When is the deadline?", ("time",)),
        ("What about GDPR and/or privacy?", ("security",)),
        ("Two engineers are leaving", ("people",)),
        ("A customer is leaving us", ("customers",)),
        ("Churn is up", ("customers",)),
        ("What should the price be?", ("pricing",)),
        ("It crashes, there are bugs", ("quality",)),
        ("A rival has shipped it", ("competition",)),
        ("Is it accessible with a screen reader?", ("accessibility",)),
        ("Our help desk drowns in tickets", ("support_load",)),
        ("When do we go live?", ("launch",)),
        ("Good morning", ()),
    ],
)
def test_topics_are_heard(text, topics):
    assert topics_in(text)[: max(1, len(topics))] == topics


@pytest.mark.parametrize(
    "text",
    [
        "The budget covers the first half of the year",
        "It should reduce support costs for customers",
        "We start in late June",
        "The team has three months left",
    ],
)
def test_words_that_only_look_like_a_change_are_none(text):
    topics = load_workforce_script().topics
    assert not [name for name in topics_in(text) if topics[name].is_event]


@pytest.mark.parametrize(
    "topic", ["How much budget do we have?", "What about privacy?", "A rival came out first.", "What should it cost?"]
)
def test_a_topic_changes_what_roles_say_and_propose(topic):
    about, other = Table().play(1, FEASIBILITY), Table().play(1, topic)
    for one, two in zip(about.rounds[0], other.rounds[0], strict=True):
        assert one.content != two.content
        assert one.actions[0] != two.actions[0]
        assert set(one.risks).isdisjoint(two.risks)


def test_the_input_counts_more_than_the_notes():
    table = Table(context={"mood": "customers complain"}).play(1, "Is it secure?")
    for answer in table.rounds[0]:
        stance = load_workforce_script().voice(answer.agent_name).topics["security"]
        assert answer.actions[0] in stance.do


def test_the_input_is_quoted_whole_by_the_first_speaker():
    text = "Use and/or, 24/7, https://example.org/a_b?c=d/e and snake_case_names"
    assert text in Table().play(1, text).rounds[0][0].content
    assert text in Table().play(1, text).summaries[0].summary


def test_notes_are_passed_on_unharmed():
    context = {"rollout_plan": "EU and/or US, 24/7, see https://example.org/x_y"}
    contents = " ".join(answer.content for answer in Table(context=context).play(1).rounds[0])
    assert "rollout_plan: EU and/or US, 24/7, see https://example.org/x_y" in contents


def test_a_round_without_an_input_turns_to_what_is_due():
    table = Table().play(6)
    assert all(answer.content for answers in table.rounds for answer in answers)
    assert len({summary.summary for summary in table.summaries}) == 6


def test_an_input_in_which_nothing_is_recognised_is_answered_all_the_same():
    table = Table().play(1, "Well, good morning everyone")
    stances = {role.role: load_workforce_script().voice(role.role).topics["open"] for role in seven()}
    assert all(answer.actions[0] in stances[answer.agent_name].do for answer in table.rounds[0])


def test_an_instruction_of_a_what_if_reaches_the_role():
    told = replace(role_named("sales"), instruction="Defend the price, and/or leave.")
    roles = in_order(told if role.role == "sales" else role for role in seven())
    table = Table(roles=roles).play(2)
    for answers in table.rounds:
        said = next(answer for answer in answers if answer.agent_name == "sales")
        assert "Defend the price, and/or leave." in said.content
        assert set(load_workforce_script().voices["sales"].topics["pricing"].do) & set(said.actions)


def test_a_memory_that_was_entered_is_spoken_of():
    memory = MemoryStored(
        elapsed=0.0,
        memory_id="m",
        agent_role="ceo",
        memory_type="semantic",
        key="board_rule",
        content={"text": "no spending/hiring above 10_000 without a vote"},
        importance=0.9,
        created_at="2026-11-25T09:00:00+00:00",
    )
    table = Table(recalled=(memory,)).play(3)
    contents = " ".join(answer.content for answers in table.rounds for answer in answers)
    assert "no spending/hiring above 10_000 without a vote" in contents


# The smaller budget


@pytest.mark.parametrize(
    "changed",
    [
        {"scenario": f"{LAUNCH} The budget is halved."},
        {"context": {"budget": "halved"}},
        {"context": {"budget": 250_000}},
        {"context": {"budget": "$250K"}},
    ],
    ids=["scenario", "word", "number", "amount"],
)
def test_a_halved_budget_changes_tasks_confidence_and_words(changed):
    base, cut = Table().play(12), Table(**changed).play(12)
    assert "Build the second-priority parts" in base.hours().keys() - cut.hours().keys()
    assert cut.hours()["Build the core of the release"] < base.hours()["Build the core of the release"]
    for before, after in zip(base.rounds[0], cut.rounds[0], strict=True):
        assert (before.confidence or 0) - (after.confidence or 0) > 0.04
        assert any("budget" in risk for risk in after.risks)
    words = " ".join(answer.content for answers in cut.rounds[:3] for answer in answers)
    assert "$250K" in words
    assert "$500K" in words
    assert "$250K" not in " ".join(answer.content for answers in base.rounds for answer in answers)


def test_a_task_that_was_named_is_taken_off_the_list_when_the_money_goes():
    table = Table().play(7)
    assert table.statuses("Build the second-priority parts")
    table.play(1, "The budget is cut by 40%.").play(2)
    last = [task for task in table.all_tasks() if task["task_name"] == "Build the second-priority parts"][-1]
    assert (last["status"], last["estimated_effort_hours"]) == ("blocked", 0.0)
    assert "Build the second-priority parts" not in {
        task["task_name"] for answers in table.rounds[-2:] for answer in answers for task in answer.tasks
    }


def test_a_cut_asked_about_in_one_round_stays_in_the_hours():
    table = Table().play(5).play(1, "Our budget has been halved.").play(1)
    hours = [
        task["estimated_effort_hours"] for task in table.all_tasks() if task["task_name"].startswith("Build the core")
    ]
    assert hours[0] > hours[-1] == min(hours)


# Figures


@pytest.mark.parametrize(
    ("scenario", "context", "user_input", "expected"),
    [
        (LAUNCH, {}, None, {"money": "$500K", "time": "3 months", "people": "8 engineers", "burn": "$167K"}),
        (LAUNCH, {}, None, {"weeks": "13 weeks", "effort": "24 engineer-months"}),
        (f"{LAUNCH} The budget is cut by $100K.", {}, None, {"money": "$400K", "before": "$500K"}),
        (f"{LAUNCH} The deadline is now 2 months.", {}, None, {"time": "2 months"}),
        (LAUNCH, {"team_size": 5, "timeline": "6 weeks"}, None, {"people": "5 engineers", "time": "6 weeks"}),
        (LAUNCH, {"team": "five developers"}, None, {"people": "5 developers"}),
        (LAUNCH, {}, "What if the budget were €1.2M?", {"money": "€1.2M"}),
        ("Marketing cost us $100K. The budget is $500K, cut by half.", {"budget": 250_000}, None, {"before": "$500K"}),
        ("We have spent $100K of a $500K budget.", {}, None, {"money": "$500K"}),
        ("Spend 40,000 euros in one year", {}, None, {"money": "40,000 euros", "time": "1 year"}),
    ],
)
def test_figures_are_taken_from_the_texts(scenario, context, user_input, expected):
    slots = find_facts(scenario, context, user_input, is_cut="cut" in scenario).slots
    assert {key: slots[key] for key in expected} == expected


def test_figures_that_are_not_there_are_not_claimed():
    assert set(find_facts("Cut spending by $100K.", {}, None, is_cut=True).slots) == {"scenario"}
    table = Table("Launch a better search for our customers.").play(12)
    words = " ".join(answer.content for answers in table.rounds for answer in answers)
    assert not re.search(r"[$€£]\s?\d|\d+ (months|engineers|weeks)", words)


def test_a_cut_to_more_than_before_was_a_cut_of_something_else():
    facts = find_facts("We have $100K in the bank.", {"budget": "cut to $250K"}, None, is_cut=True)
    assert facts.changed == ()
    assert "before" not in facts.slots


def test_a_cut_by_an_unknown_amount_leaves_no_amount():
    facts = find_facts(f"{LAUNCH} The budget is cut.", {}, None, is_cut=True)
    assert "money" not in facts.slots
    assert facts.slots["before"] == "$500K"


@pytest.mark.parametrize(
    ("context", "changed"),
    [({"budget": 1_000_000}, "budget_raise"), ({"deadline": "one month"}, "delay"), ({"headcount": 3}, "people")],
)
def test_figures_alone_say_what_has_changed(context, changed):
    assert find_facts(LAUNCH, context, None, is_cut=False).changed == (changed,)


@pytest.mark.parametrize(
    ("scenario", "subject"),
    [
        (LAUNCH, "the AI-powered feature"),
        ("Our team is building the mobile app, fast.", "the mobile app"),
        ("We roll out our self-service portal to all customers", "our self-service portal"),
        ("We release whatever it is that all of us once wanted to see", None),
        (MOVE, None),
    ],
)
def test_the_subject_is_named_in_the_words_of_the_scenario(scenario, subject):
    assert subject_of(scenario) == subject
