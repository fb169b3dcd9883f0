"""Conditions and factors: what differs, what is shared, and whatever can be wrong with them, told at its place."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from folders import SEED_SIMULATION, experiment, write_settings

from experiments.errors import InvalidExperiment
from experiments.experiment import load_experiment
from experiments.rehearsal import rehearse
from experiments.settings.base import EXPERIMENTAL_FILE
from experiments.settings.positions import line_of, lines_of
from simulation.codec import decode
from simulation.events import SessionStarted
from simulation.parameters import Card, Stimulus

TONE = {"civil": {}, "uncivil": {"prompt_template": "Be rude."}}
STANCE = {"for": {"personas": {"Bob": {"description": "For it."}}}, "against": {"gate": True}}
AT_FIVE = {"at_seconds": 5, "agent": "Bob", "content": "Look"}


def problems(folder: Path, **experimental: Any) -> list[str]:
    with pytest.raises(InvalidExperiment) as caught:
        experiment(folder, experimental=experimental)
    return [str(problem).removeprefix(f"{folder}/") for problem in caught.value.problems]


class TestResolving:
    def test_without_conditions_there_is_one(self, tmp_path):
        loaded = experiment(tmp_path)
        assert list(loaded.conditions) == ["default"]
        assert loaded.first.levels == {}

    def test_what_a_condition_does_not_name_it_shares(self, tmp_path):
        other = {"personas": {"Bob": {"description": "A baker."}}, "simulation": {"timing": {"scale": 0.5}}}
        loaded = experiment(
            tmp_path,
            personas={"Bob": {"description": "A smith.", "chattiness": 3}, "Eve": {"description": "A spy."}},
            timing={"spread": 0.1},
            experimental={"conditions": {"plain": {}, "other": other}},
        )
        plain, changed = (condition.parameters for condition in loaded.conditions.values())
        assert (changed.persona("Bob").description, changed.persona("Bob").chattiness) == ("A baker.", 3)
        assert (changed.timing.scale, changed.timing.spread) == (0.5, 0.1)
        assert changed.persona("Eve") == plain.persona("Eve")
        assert changed.prompt_template == plain.prompt_template

    def test_factors_are_crossed_into_conditions(self, tmp_path):
        loaded = experiment(tmp_path, experimental={"factors": {"tone": TONE, "stance": STANCE}})
        assert list(loaded.conditions) == ["civil_for", "civil_against", "uncivil_for", "uncivil_against"]
        cell = loaded.conditions["uncivil_for"]
        assert cell.levels == {"tone": "uncivil", "stance": "for"}
        assert (cell.parameters.prompt_template, cell.parameters.gate) == ("Be rude.", False)
        assert cell.parameters.persona("Bob").description == "For it."

    def test_a_control_beside_them_is_one_more(self, tmp_path):
        design = {"factors": {"tone": TONE}, "conditions": {"silence": {"simulation": {"messages_per_minute": 0}}}}
        assert list(experiment(tmp_path, experimental=design).conditions) == ["civil", "uncivil", "silence"]

    def test_stimuli_are_replaced_as_a_whole(self, tmp_path):
        card = {"headline": "H", "source": "S", "text": "T"}
        design = {
            "stimuli": [AT_FIVE],
            "conditions": {
                "shared": {},
                "none": {"stimuli": []},
                "card": {"stimuli": [{"after_messages": 3, "agent": "Eve", "card": card, "reply_to_last": True}]},
            },
        }
        shown = [each.parameters.stimuli for each in experiment(tmp_path, experimental=design).conditions.values()]
        assert shown == [
            (Stimulus(agent="Bob", at_seconds=5, content="Look"),),
            (),
            (Stimulus(agent="Eve", after_messages=3, card=Card(**card), reply_to_last=True),),
        ]

    def test_another_cast_leaves_out_the_personas_of_those_who_are_gone(self, tmp_path):
        two = {"num_agents": 2, "agent_names": ["Alice", "Zoe"]}
        design = {"conditions": {"five": {}, "two": {"simulation": two}}}
        loaded = experiment(tmp_path, personas={"Bob": {"description": "A smith."}}, experimental=design)
        assert loaded.conditions["two"].parameters.agent_names == ("Alice", "Zoe")

    def test_models_may_differ(self, tmp_path):
        other = {"simulation": {"language_model": {"model": "large"}}}
        loaded = experiment(
            tmp_path,
            language_model={"provider": "groq", "model": "small", "temperature": 1},
            experimental={"conditions": {"a": {}, "b": other}},
        )
        models = [each.parameters.language_model for each in loaded.conditions.values()]
        assert [(each.provider, each.model, each.sampling.temperature) for each in models] == [
            ("groq", "small", 1),
            ("groq", "large", 1),
        ]

    def test_the_content_hash_minds_what_is_said_and_not_how_it_is_laid_out(self, tmp_path):
        loaded = experiment(tmp_path / "a", experimental={"note": "one"})
        path = write_settings(tmp_path / "b", experimental={"note": "two"}) / EXPERIMENTAL_FILE
        path.write_text(json.dumps(json.loads(path.read_text()) | {"$schema": "x"}, indent=3, sort_keys=True))
        assert load_experiment(tmp_path / "b").content_sha256 == loaded.content_sha256
        assert experiment(tmp_path / "c", random_seed=1).content_sha256 != loaded.content_sha256

    def test_the_content_hash_minds_the_order_of_conditions_and_one_that_is_called_note(self, tmp_path):
        def of(name: str, *conditions: tuple[str, dict[str, Any]]) -> str:
            return experiment(tmp_path / name, experimental={"conditions": dict(conditions)}).content_sha256

        one, other = ("a", {}), ("note", {"gate": True})
        assert of("x", one, other) != of("y", other, one)
        assert of("x", one, other) != of("z", one, ("note", {"gate": False}))


CATALOGUE: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown key of a condition": (
        {"conditions": {"a": {"promt_template": "x"}}},
        'conditions.a.promt_template: unknown key; did you mean "prompt_template"?',
    ),
    "a setting that is not inside simulation": (
        {"conditions": {"a": {"messages_per_minute": 3}}},
        'conditions.a.messages_per_minute: belongs in "simulation": {...}, here',
    ),
    "a setting that conditions may not change": (
        {"conditions": {"a": {"simulation": {"random_seed": 3}}}},
        "conditions.a.simulation.random_seed: is the same in all conditions",
    ),
    "one that all sessions share": (
        {"conditions": {"a": {"simulation": {"budget": {"calls_per_day": 3}}}}},
        "conditions.a.simulation.budget.calls_per_day: holds for all sessions together",
    ),
    "a number out of range": (
        {"conditions": {"a": {"simulation": {"messages_per_minute": 601}}}},
        "conditions.a.simulation.messages_per_minute: 601 is not allowed: a number from 0 to 600",
    ),
    "a number as text": (
        {"factors": {"f": {"a": {"simulation": {"messages_per_minute": "6"}}}}},
        'factors.f.a.simulation.messages_per_minute: "6" is not allowed: a number',
    ),
    "a count that does not match": (
        {"conditions": {"a": {"simulation": {"num_agents": 4}}}},
        "conditions.a.simulation.num_agents: 4 is not allowed: agent_names has 5 names",
    ),
    "a count that no longer matches": (
        {"conditions": {"a": {"simulation": {"agent_names": ["Zoe"]}}}},
        "conditions.a: in condition a, num_agents: 5 is not allowed: agent_names has 1 names",
    ),
    "an override of nobody": (
        {"conditions": {"a": {"personas": {"Bobby": {"description": "x"}}}}},
        'conditions.a.personas.Bobby: no agent has this name; did you mean "Bob"?',
    ),
    "a name like another": (
        {"conditions": {"a": {"simulation": {"agent_names": ["Alice", "alice", "C", "D", "E"]}}}},
        'conditions.a.simulation.agent_names[1]: "alice" is not allowed: a name of its own',
    ),
    "a participant called like an agent": (
        {"conditions": {"a": {"simulation": {"participant_name": "bob"}}}},
        'agent_names[1]: "Bob" is not allowed: a name of its own',
    ),
    "an unknown placeholder": (
        {"conditions": {"a": {"prompt_template": "Hi {name}"}}},
        "conditions.a.prompt_template: {name} is no placeholder",
    ),
    "an empty prompt": (
        {"conditions": {"a": {"prompt_template": ""}}},
        'conditions.a.prompt_template: "" is not allowed: text in quotes that is not empty',
    ),
    "a name with a space": ({"conditions": {"a b": {}}}, 'conditions.a b: "a b" is not allowed: a name of letters'),
    "a factor without levels": ({"factors": {"f": {}}}, "factors.f: has no level; name at least two"),
    "two conditions of one name": (
        {"factors": {"f": {"a": {}}}, "conditions": {"a": {}}},
        'conditions.a: another condition is called "a" too',
    ),
    "two factors that contradict": (
        {"factors": {"f": {"a": {"gate": True}}, "g": {"b": {"gate": False}}}},
        "factors.g.b.gate: factors.f.a.gate says otherwise, and both hold in condition a_b",
    ),
    "a stimulus of nobody": (
        {"stimuli": [AT_FIVE | {"agent": "Zoe"}]},
        'stimuli[0].agent: "Zoe" is not allowed: one of Alice, Bob',
    ),
    "a stimulus after the end": (
        {"conditions": {"a": {"stimuli": [AT_FIVE | {"at_seconds": 900}]}}},
        "conditions.a.stimuli[0].at_seconds: 900.0 is not allowed: it must be less than the session's",
    ),
    "a shared stimulus that comes too late in one condition": (
        {"stimuli": [AT_FIVE], "conditions": {"a": {"simulation": {"session_duration_minutes": 0.05}}}},
        "conditions.a: in condition a, stimuli[0].at_seconds: 5.0 is not allowed: it must be less than",
    ),
    "a stimulus without a moment": (
        {"stimuli": [{"agent": "Bob", "content": "x"}]},
        "stimuli[0]: exactly one of at_seconds, after_messages and on says when: here none",
    ),
    "a stimulus with two": (
        {"stimuli": [AT_FIVE | {"after_messages": 3}]},
        "stimuli[0]: exactly one of at_seconds, after_messages and on says when: here at_seconds and after_messages",
    ),
    "a stimulus of nothing": (
        {"stimuli": [{"agent": "Bob", "at_seconds": 5}]},
        "stimuli[0]: either content or card says what is shown: here none",
    ),
    "a weight of 0": (
        {"conditions": {"a": {}}, "assignment": {"weights": {"a": 0}}},
        "assignment.weights.a: 0 is not allowed: a number above 0",
    ),
    "a weight for nobody": (
        {"conditions": {"civil": {}}, "assignment": {"weights": {"civl": 1}}},
        'assignment.weights.civl: no condition has this name; did you mean "civil"?',
    ),
    "half a place in a block": (
        {"conditions": {"a": {}}, "assignment": {"weights": {"a": 1.5}}},
        "assignment.weights.a: 1.5 is not allowed: a whole number, as many as go into a block",
    ),
    "a block that does not come out even": (
        {"conditions": {"a": {}, "b": {}}, "assignment": {"block_size": 3}},
        "assignment.block_size: 3 is not allowed: a multiple of 2",
    ),
    "a block for draws": (
        {"assignment": {"method": "weighted", "block_size": 4}},
        "assignment.block_size: 4 is not allowed: only with permuted_blocks",
    ),
    "a quota for nobody": ({"assignment": {"quotas": {"b": 3}}}, "assignment.quotas.b: no condition has this name"),
    "strata of one": (
        {"entry": {"mode": "panel", "panel": "sona"}, "assignment": {"strata": ["survey_code"]}},
        'assignment.strata[0]: "survey_code" is not allowed: it tells participants apart',
    ),
    "no panel": ({"entry": {"mode": "panel"}}, "entry.panel: missing: the mode is panel"),
    "a panel that is not asked": (
        {"entry": {"mode": "open", "panel": "sona"}},
        'entry.panel: only in mode "panel"; the mode is "open"',
    ),
    "an unknown panel": (
        {"entry": {"mode": "panel", "panel": "mturk"}},
        'entry.panel: "mturk" is not allowed: one of "prolific", "qualtrics"',
    ),
    "a panel without its parameter": (
        {"entry": {"mode": "panel", "panel": {}}},
        "entry.panel.participant: missing: the name of a link's parameter",
    ),
    "a moment without a zone": (
        {"entry": {"opens_at": "2026-12-01T09:00:00"}},
        "entry.opens_at: \"2026-12-01T09:00:00\" is not allowed: a date and time with its zone",
    ),
    "a window that closes before it opens": (
        {"entry": {"opens_at": "2026-12-02T09:00:00Z", "closes_at": "2026-12-01T09:00:00Z"}},
        'entry.closes_at: "2026-12-01T09:00:00+00:00" is not allowed: it must be after opens_at',
    ),
    "an address that is not safe": (
        {"completion": {"completed": {"url": "http://panel.example/x"}}},
        "completion.completed.url: \"http://panel.example/x\" is not allowed: an address that begins with https://",
    ),
    "a host from the request": (
        {"entry": {"mode": "panel", "panel": "sona"}, "completion": {"completed": {"url": "https://{survey_code}/"}}},
        "completion.completed.url: \"https://{survey_code}/\" is not allowed: no placeholder may stand in the host",
    ),
    "an address with an unknown placeholder": (
        {"completion": {"completed": {"url": "https://panel.example/{PID}"}}},
        "{PID} is no placeholder; known are {code}",
    ),
    "an address with a format": (
        {"completion": {"completed": {"code": "C", "url": "https://panel.example/{code:d}"}}},
        "{code:d} is no placeholder; known are {code}",
    ),
    "an address with a doubled brace": (
        {"completion": {"completed": {"code": "C", "url": "https://panel.example/{{code}}"}}},
        "{ is no placeholder",
    ),
    "an address with a space": (
        {"completion": {"completed": {"url": "https://panel. example/"}}},
        "an address without spaces",
    ),
    "an address with a port that is none": (
        {"completion": {"completed": {"url": "https://panel.example:99999/"}}},
        "an address that begins with https:// and a host",
    ),
    "more combinations than anybody could look at": (
        {"factors": {f"f{n}": {f"l{m}": {} for m in range(60)} for n in range(6)}},
        "factors: too many combinations: at most 100 conditions",
    ),
    "an address without its code": (
        {"completion": {"completed": {"url": "https://panel.example/{code}"}}},
        "completion.completed.code: missing: the url has a {code} to fill in",
    ),
    "a script in a screen": (
        {"screens": {"debriefing": {"text": "[x](javascript:alert)"}}},
        'screens.debriefing.text: the link "javascript:alert" is not allowed',
    ),
    "a consent without a version": (
        {"screens": {"consent": {"text": "x"}}},
        "screens.consent.version: missing: text in quotes that is not empty is needed",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CATALOGUE)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, name):
    design, told = CATALOGUE[name]
    found = problems(tmp_path, **design)
    assert any(told in problem for problem in found), found
    assert all(
        problem.startswith(("experimental_settings.json:1: ", "simulation_settings.json:1: ")) for problem in found
    )


def test_all_of_it_is_told_at_once_and_once(tmp_path: Path):
    design = {
        "factors": {"f": {"a": {"prompt_template": "{x}"}, "b": {}}, "g": {"c": {}, "d": {"gate": "yes"}}},
        "entry": {"mode": "panel"},
    }
    found = problems(tmp_path, **design)
    assert len(found) == 3, "the level's fault is not told for each of its conditions"
    for key in ("factors.f.a.prompt_template", "factors.g.d.gate", "entry.panel"):
        assert any(f": {key}: " in problem for problem in found)


def test_what_is_wrong_between_keys_is_told_also_where_a_key_is_wrong(tmp_path: Path):
    found = problems(
        tmp_path,
        stimuli=[AT_FIVE | {"agent": "Zoe"}],
        gate="yes",
        conditions={"a": {"promt": "x", "simulation": {"num_agents": 4}}},
        screens={"consent": {"text": "no version"}, "debriefing": {"text": "[x](ftp://x)"}},
    )
    for told in (
        "stimuli[0].agent",
        "gate: ",
        "conditions.a.promt",
        "num_agents: 4",
        "consent.version",
        "debriefing.text",
    ):
        assert any(told in problem for problem in found), told


def test_the_line_is_that_of_the_key(tmp_path: Path):
    write_settings(tmp_path, experimental={"conditions": {"a": {"simulation": {"timing": {"scale": -1}}}}})
    path = tmp_path / EXPERIMENTAL_FILE
    path.write_text(json.dumps(json.loads(path.read_text()), indent=2))
    with pytest.raises(InvalidExperiment) as caught:
        load_experiment(tmp_path)
    (problem,) = caught.value.problems
    assert problem.line is not None
    assert '"scale": -1' in path.read_text().splitlines()[problem.line - 1]


def test_lines_are_found_whatever_the_text_holds():
    text = '{\n "a": {"b": [1,\n {"c.d": "x\\"}{"}], "e": -1.5e3\n},\n "f": [], "h": [[1,2],\n[3]]}'
    lines = lines_of(text)
    assert (lines["a.b"], lines["a.b[1].c.d"], lines["h[1][0]"], lines["f"]) == (2, 3, 6, 5)
    assert (line_of("a.b[1].none", lines), line_of("none", lines)) == (3, 1)


def test_a_fifo_in_a_files_place_is_named_and_waited_for_by_nobody(tmp_path: Path):
    write_settings(tmp_path)
    (tmp_path / EXPERIMENTAL_FILE).unlink()
    os.mkfifo(tmp_path / EXPERIMENTAL_FILE)
    with pytest.raises(InvalidExperiment) as caught:
        load_experiment(tmp_path)
    assert "is no regular file" in str(caught.value)


class TestWarnings:
    def of(self, folder: Path, **changes: Any) -> str:
        return "\n".join(experiment(folder, **changes).warnings)

    def test_an_override_that_changes_nothing(self, tmp_path):
        design = {"conditions": {"a": {"simulation": {"messages_per_minute": 6}}, "b": {"gate": True}}}
        told = self.of(tmp_path, experimental=design)
        assert "conditions.a.simulation.messages_per_minute: changes nothing: 6 is what holds outside, too" in told

    def test_conditions_that_do_not_differ(self, tmp_path):
        assert "conditions a and b do not differ" in self.of(tmp_path, experimental={"conditions": {"a": {}, "b": {}}})

    def test_names_that_are_mixed_up(self, tmp_path):
        told = self.of(tmp_path, agent_names=["Anna", "Anne", "Bob", "Christopher", "Chris"])
        assert '"Anna" and "Anne" are called much alike' in told
        assert '"Christopher" and "Chris"' in told
        assert '"Anna" and "Bob"' not in told

    def test_outcomes_that_cannot_come_about(self, tmp_path):
        completion = {"declined": {"code": "D"}, "screened_out": {"code": "S"}}
        told = self.of(tmp_path, experimental={"completion": completion})
        assert "completion.declined will never come about" in told
        assert "completion.screened_out will never come about" in told

    def test_a_condition_is_named_where_it_is_the_only_one(self, tmp_path):
        fast = {"simulation": {"messages_per_minute": 60}}
        assert "condition b: messages_per_minute 60 is more than" in self.of(
            tmp_path, experimental={"conditions": {"a": {}, "b": fast}}
        )


def test_a_rehearsal_differs_between_conditions_exactly_where_the_files_differ(tmp_path: Path):
    factors = {"tone": TONE, "stance": STANCE}
    loaded = experiment(tmp_path / "config", experimental={"factors": factors, "stimuli": [AT_FIVE]})
    (tmp_path / "out").mkdir()
    rehearse(loaded, sessions=16, out=tmp_path / "out", seed=3)
    logged: dict[str, list[SessionStarted]] = {}
    for path in (tmp_path / "out").iterdir():
        start = decode(path.read_bytes().splitlines()[0]).event
        assert isinstance(start, SessionStarted)
        logged.setdefault(str(start.condition), []).append(start)
    assert {name: len(starts) for name, starts in logged.items()} == dict.fromkeys(loaded.conditions, 4)
    for name, starts in logged.items():
        assert all(start.parameters == loaded.conditions[name].parameters for start in starts)
        assert all(start.levels == loaded.conditions[name].levels for start in starts)
    assert differing(logged["civil_for"][0], logged["uncivil_for"][0]) == {"prompt_template"}
    assert differing(logged["civil_for"][0], logged["civil_against"][0]) == {"agents", "gate"}
    assert differing(logged["civil_against"][0], logged["uncivil_against"][0]) == {"prompt_template"}


def differing(one: SessionStarted, other: SessionStarted) -> set[str]:
    first, second = asdict(one.parameters), asdict(other.parameters)
    return {key for key in first if first[key] != second[key]}


def test_the_seeds_files_are_still_all_that_is_needed(tmp_path: Path):
    loaded = experiment(tmp_path)
    assert loaded.simulation_config == SEED_SIMULATION
    assert loaded.entry.mode == "demo"
    assert loaded.warnings == ()
