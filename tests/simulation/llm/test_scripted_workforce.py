"""The scripted workforce: seven colleagues who make sense, and answer alike when asked alike."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import networkx
import pytest
from chatrooms import FIVE_AGENTS
from scripted_table import (
    FEASIBILITY,
    INTERN,
    LAUNCH,
    LEGAL,
    MOVE,
    SCRIPT_FILE,
    Table,
    generate,
    role_named,
    seven,
    started,
)

from simulation.generation import Scene
from simulation.llm.scripted_workforce import ScriptedWorkforce
from simulation.llm.workforce_script import WorkforceScript, load_workforce_script
from simulation.workforce.answers import read_answer
from simulation.workforce.modifications import in_order

# The role files


def test_the_seven_speak_in_their_order_and_are_distinct():
    assert [role.role for role in seven()] == [
        "ceo", "pm", "engineering_lead", "designer", "sales", "support", "simulation_analyst",
    ]  # fmt: skip
    assert len({role.system_prompt for role in seven()}) == 7
    for role in seven():
        assert 120 <= len(role.system_prompt.split()) <= 220
        assert len(role.personality_traits) == len(role.capabilities) == 5
        assert not re.search(r"JSON|\bAI\b|language model", role.system_prompt)


# The script


def test_what_roles_propose_can_be_said_of_them_by_others():
    """ "{Who} wants to {deed}" needs a verb at the front, no first person and no full stop."""
    script = load_workforce_script()
    deeds = [do for voice in voices(script) for stance in voice.topics.values() for do in stance.do]
    deeds += [task.task_name for tasks in script.backlogs.values() for task in tasks]
    for deed in deeds:
        unquoted = re.sub(r"“[^”]*”", "", deed)
        assert not re.search(r"\b(I|my|me|mine)\b", unquoted), deed
        assert not deed.endswith("."), deed


def test_no_two_roles_have_a_line_in_common():
    lines = [
        line for voice in voices(load_workforce_script()) for stance in voice.topics.values() for line in stance.say
    ]
    assert len(lines) == len(set(lines))


def voices(script: WorkforceScript) -> list[Any]:
    return [*script.voices.values(), script.anyone]


def test_a_voice_that_misses_a_topic_is_refused():
    record = json.loads(SCRIPT_FILE.read_text(encoding="utf-8"))
    del record["voices"]["ceo"]["topics"]["budget"]
    with pytest.raises(ValueError, match=r"ceo: 'budget' has no lines"):
        WorkforceScript.model_validate(record)


def test_a_task_that_waits_for_one_that_may_be_dropped_is_refused():
    record = json.loads(SCRIPT_FILE.read_text(encoding="utf-8"))
    record["backlogs"]["launch"][0]["after"] = ["Run the campaign for the launch"]
    with pytest.raises(ValueError, match="which may never be done"):
        WorkforceScript.model_validate(record)


def test_a_line_that_hangs_on_a_fact_has_one_beside_it_that_does_not():
    record = json.loads(SCRIPT_FILE.read_text(encoding="utf-8"))
    record["voices"]["pm"]["topics"]["time"]["say"] = ["{Time} it is."]
    with pytest.raises(ValueError, match="facts that may not be there"):
        WorkforceScript.model_validate(record)


# Determinism


def test_same_seed_same_session_and_another_seed_another():
    first, again = Table().play(3, FEASIBILITY), Table().play(3, FEASIBILITY)
    assert first.texts == again.texts
    assert Table(seed=2).play(3, FEASIBILITY).texts != first.texts


def test_a_resumed_session_goes_on_as_it_would_have():
    """Nothing is remembered between calls: a model that has just been made answers the same."""
    table = Table().play(4)
    role = seven()[2]
    scene = table.scene(role, [])
    fresh = ScriptedWorkforce(started(LAUNCH, seven(), 1), model="table")
    assert generate(fresh, scene).text == generate(table.model, scene).text


def test_a_further_run_of_a_what_if_draws_anew():
    start = started(LAUNCH, seven(), 1)
    scene = Table().scene(seven()[0], [])
    runs = [ScriptedWorkforce(replace(start, fork={"run": run}), model="table") for run in (1, 2, 2)]
    first, second, again = (generate(model, scene).text for model in runs)
    assert first != second == again


def test_the_generation_names_who_spoke():
    model = ScriptedWorkforce(started(LAUNCH, seven(), 1), model="table", latency_seconds=0.002)
    generation = generate(model, Table().scene(seven()[0], []), temperature=0.7)
    (attempt,) = generation.attempts
    assert (generation.served_model, generation.source, attempt.provider) == ("table", "scripted", "scripted")
    assert attempt.parameters == {"temperature": 0.7}
    assert attempt.latency_ms == 2
    assert attempt.generation == replace(generation, attempts=())


def test_a_chat_scene_is_refused():
    scene = Scene(agent_name="Alice", members=FIVE_AGENTS, act="message", cause="background")
    with pytest.raises(TypeError, match="speaks at a table"):
        generate(Table().model, scene)


# Whole answers


@pytest.mark.parametrize("scenario", [LAUNCH, MOVE])
@pytest.mark.parametrize("parallel", [False, True])
def test_every_answer_is_read_whole(scenario, parallel):
    table = Table(scenario, roles=in_order([*seven(), LEGAL, INTERN]), parallel=parallel)
    table.play(1, FEASIBILITY).play(11)
    names = {role.role for role in table.roles}
    for text in table.texts:
        raw = json.loads(text)
        if "summary" in raw:
            assert raw["next_action"]
            continue
        answer = read_answer(text, names)
        assert answer is not None
        assert answer.content == raw["response"]
        assert list(answer.actions) == raw["actions"] != []
        assert list(answer.directed_to) == raw["directed_to"]
        assert list(answer.tasks) == raw["tasks"]
        assert list(answer.functions) == raw["functions"]
        assert 1 <= len(answer.risks) <= 3
        assert 1 <= len(answer.opportunities) <= 3
        assert answer.confidence is not None
        assert 0.55 <= answer.confidence <= 0.9
        assert answer.reasoning
        assert "{" not in answer.content + answer.reasoning


def test_tasks_depend_on_one_another_without_a_circle():
    table = Table().play(20)
    graph = networkx.DiGraph()
    for task in table.all_tasks():
        graph.add_node(task["task_name"])
        graph.add_edges_from((name, task["task_name"]) for name in task["dependencies"])
    assert networkx.is_directed_acyclic_graph(graph)
    named = {task["task_name"] for task in table.all_tasks()}
    assert set(graph.nodes) == named, "every dependency is somebody's task"
    assert len(named) >= 20


def test_tasks_advance_and_the_launch_is_reached():
    table = Table().play(16)
    order = ["planned", "in_progress", "completed"]
    for name in table.hours():
        met = [status for status in table.statuses(name) if status != "blocked"]
        assert met == sorted(met, key=order.index), name
        assert met.count("completed") <= 1
    assert table.statuses("Build the core of the release")[-1] == "completed"
    assert table.statuses("Release it to everybody")[-1] == "completed"


def test_a_task_starts_only_when_those_it_builds_on_are_done():
    table = Table().play(16)
    done: set[str] = set()
    for answers in table.rounds:
        for answer in answers:
            for task in answer.tasks:
                if task["status"] in ("in_progress", "completed"):
                    assert done.issuperset(task["dependencies"]), task["task_name"]
                if task["status"] == "completed":
                    done.add(task["task_name"])


def test_tasks_of_roles_that_are_absent_are_waited_for_by_nobody():
    table = Table(roles=in_order([role_named("engineering_lead"), role_named("designer")])).play(14)
    assert table.statuses("Build the core of the release")[-1] == "completed"
    names = set(table.hours())
    assert all(names.issuperset(task["dependencies"]) for task in table.all_tasks())


def test_a_topic_can_block_a_task_for_a_while():
    table = Table().play(3)
    table.play(6, "Two engineers are leaving the team. What now?")
    statuses = table.statuses("Build the core of the release")
    assert statuses.count("blocked") == 2
    assert statuses[-1] in ("in_progress", "completed")


def test_functions_are_named_once_by_those_who_build_them():
    table = Table().play(8)
    named = [(answer.agent_name, each) for answers in table.rounds for answer in answers for each in answer.functions]
    names = [each["function_name"] for _, each in named]
    assert 8 <= len(names) == len(set(names)) <= 12
    assert {role for role, _ in named} == {"engineering_lead", "designer"}
    assert {each["function_type"] for _, each in named} == {"EI", "EO", "EQ", "ILF", "EIF"}


def test_a_matter_without_software_has_no_functions_and_no_release():
    table = Table(MOVE).play(8)
    assert not [each for answers in table.rounds for answer in answers for each in answer.functions]
    assert not [name for name in table.hours() if "release" in name.lower()]
    assert "Leeds" in "".join(table.texts)
