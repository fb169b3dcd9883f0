"""The scripted workforce: seven colleagues who make sense, hear what changes, and answer alike when asked alike."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import networkx
import pytest
from chatrooms import FIVE_AGENTS

from simulation.generation import GenerateRequest, Generation, Scene
from simulation.llm.scripted_workforce import ScriptedWorkforce
from simulation.llm.workforce_facts import find_facts, subject_of
from simulation.llm.workforce_hearing import topics_in
from simulation.llm.workforce_script import WorkforceScript, load_workforce_script
from simulation.workforce.answers import Answer, Summary, read_answer, read_summary
from simulation.workforce.events import AgentAnswered, MemoryStored, RoundCompleted, WorkforceStarted
from simulation.workforce.parameters import COORDINATOR, Role, WorkforceParameters
from simulation.workforce.scene import TableScene

LAUNCH = "We need to launch a new AI-powered feature within 3 months. Budget is $500K. Team has 8 engineers available."
MOVE = "Our office must move to Leeds by June. 40 people are affected."
FEASIBILITY = "Let focus on technical feasibility first"
ROOT = Path(__file__).parents[3]
ROLES_FOLDER = ROOT / "config" / "roles"
SCRIPT_FILE = ROOT / "simulation" / "llm" / "workforce.json"
LEGAL = Role(
    role="legal",
    name="Legal Counsel",
    description="Looks after contracts and data protection.",
    capabilities=("contract_review", "data_protection"),
    priority=72,
)
INTERN = Role(role="intern", name="Intern", priority=10)


@cache
def seven() -> tuple[Role, ...]:
    roles = []
    for path in ROLES_FOLDER.glob("*.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        del record["$schema"]
        roles.append(Role.from_record(record))
    return in_turn(*roles)


def in_turn(*roles: Role) -> tuple[Role, ...]:
    return tuple(sorted(roles, key=lambda role: -role.priority))


@dataclass
class Table:
    """A session played by hand: every role in turn, then the coordinator. `texts` is all that the model wrote."""

    scenario: str = LAUNCH
    roles: tuple[Role, ...] = field(default_factory=seven)
    context: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 1
    parallel: bool = False
    recalled: tuple[MemoryStored, ...] = ()

    def __post_init__(self) -> None:
        self.model = ScriptedWorkforce(started(self.scenario, self.roles, self.seed), model="table")
        self.rounds: list[list[AgentAnswered]] = []
        self.summaries: list[RoundCompleted] = []
        self.texts: list[str] = []

    def play(self, count: int = 1, user_input: str | None = None) -> Table:
        for _ in range(count):
            said: list[AgentAnswered] = []
            for role in self.roles:
                answer = self.ask(role, () if self.parallel else said, user_input)
                said.append(answered(role.role, len(self.rounds) + 1, answer))
            summary = self.sum_up(said, user_input)
            self.rounds.append(said)
            self.summaries.append(completed(len(self.rounds), summary))
        return self

    def scene(self, role: Role | None, said: Sequence[AgentAnswered], user_input: str | None = None) -> TableScene:
        return TableScene(
            agent_name=role.role if role else COORDINATOR,
            role=role,
            colleagues=tuple(each for each in self.roles if each is not role),
            turn_number=len(self.rounds) + 1,
            scenario=self.scenario,
            context=self.context,
            user_input=user_input,
            said=tuple(said),
            earlier=tuple(answer for answers in self.rounds for answer in answers),
            summaries=tuple(self.summaries),
            recalled=self.recalled,
        )

    def ask(self, role: Role, said: Sequence[AgentAnswered] = (), user_input: str | None = None) -> Answer:
        text = self._write(self.scene(role, said, user_input))
        answer = read_answer(text, [each.role for each in self.roles])
        assert answer is not None
        return answer

    def sum_up(self, said: Sequence[AgentAnswered], user_input: str | None = None) -> Summary:
        summary = read_summary(self._write(self.scene(None, said, user_input)))
        assert summary is not None
        return summary

    def _write(self, scene: TableScene) -> str:
        text = generate(self.model, scene).text
        assert text is not None
        self.texts.append(text)
        return text

    def all_tasks(self) -> list[Mapping[str, Any]]:
        return [task for answers in self.rounds for answer in answers for task in answer.tasks]

    def hours(self) -> dict[str, float]:
        return {task["task_name"]: task["estimated_effort_hours"] for task in self.all_tasks()}

    def statuses(self, task_name: str) -> list[str]:
        return [task["status"] for task in self.all_tasks() if task["task_name"] == task_name]


def started(scenario: str, roles: tuple[Role, ...], seed: int) -> WorkforceStarted:
    return WorkforceStarted(
        elapsed=0.0,
        session_id="s",
        experimental_config={},
        simulation_config={},
        created_at="2026-11-25T09:00:00+00:00",
        seed=seed,
        parameters=WorkforceParameters(scenario=scenario, roles=roles),
    )


def generate(model: ScriptedWorkforce, scene: TableScene | Scene, **parameters: Any) -> Generation:
    request = GenerateRequest(session_id="s", turn_id="t", messages=(), scene=scene, parameters=parameters)
    return asyncio.run(model.generate(request))


def answered(role: str, turn_number: int, answer: Answer, source: str = "scripted") -> AgentAnswered:
    return AgentAnswered(
        elapsed=0.0,
        turn_id=f"{turn_number}-{role}",
        agent_name=role,
        turn_number=turn_number,
        content=answer.content,
        reasoning=answer.reasoning,
        actions=answer.actions,
        directed_to=answer.directed_to,
        confidence=answer.confidence,
        risks=answer.risks,
        opportunities=answer.opportunities,
        tasks=answer.tasks,
        functions=answer.functions,
        source=source,
    )


def completed(turn_number: int, summary: Summary) -> RoundCompleted:
    return RoundCompleted(
        elapsed=0.0,
        turn_number=turn_number,
        turn_id=f"{turn_number}",
        summary=summary.summary,
        next_action=summary.next_action,
    )


def role_named(name: str) -> Role:
    return next(role for role in seven() if role.role == name)


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
    table = Table(scenario, roles=in_turn(*seven(), LEGAL, INTERN), parallel=parallel)
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
    table = Table(roles=in_turn(role_named("engineering_lead"), role_named("designer"))).play(14)
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
    roles = in_turn(*(told if role.role == "sales" else role for role in seven()))
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
    table = Table(roles=in_turn(*(sales if role.role == "sales" else role for role in seven()))).play(60)
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
    table = Table(roles=in_turn(*seven(), LEGAL, INTERN)).play(4, "Is the price right?")
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
    table = Table(roles=in_turn(LEGAL, INTERN)).play(30, FEASIBILITY)
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
