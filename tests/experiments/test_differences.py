"""What differs between conditions, and between two versions of an experiment: that, and only that."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from folders import SEED_SIMULATION, experiment, write_settings

from experiments.differences import ABSENT, Change, Comparison, compare, contrasts, differing
from experiments.experiment import Experiment, load_experiment
from experiments.passages import passages
from experiments.settings.base import EXPERIMENTAL_FILE, SIMULATION_FILE

CIVIL = "You live in Mill Lane. Be friendly, also where you disagree. Keep it short and never step out of your part."
RUDE = "You live in Mill Lane. Be rude, above all where you disagree. Keep it short and never step out of your part."
CARD = {"headline": "Lane opens", "source": "The Gazette", "text": "On Tuesday."}
SHARE = {"at_seconds": 60, "agent": "Bob", "card": CARD}


def in_conditions(folder: Path, **conditions: dict[str, Any]) -> Experiment:
    return experiment(folder, experimental={"prompt_template": CIVIL, "conditions": conditions})


def crossed(folder: Path, factors: dict[str, Any], **design: Any) -> Experiment:
    return experiment(folder, experimental={"factors": factors, **design})


def keys(loaded: Experiment) -> set[str]:
    return {setting.key for contrast in contrasts(loaded) for setting in contrast.settings}


# One override each, and the keys that then differ, in the words of the files.
OVERRIDES: list[tuple[dict[str, Any], set[str]]] = [
    ({}, set()),
    ({"note": "the control"}, set()),
    ({"prompt_template": RUDE}, {"prompt_template"}),
    ({"gate": True}, {"gate"}),
    ({"personas": {"Bob": {"description": "A baker."}}}, {"personas.Bob.description"}),
    (
        {"personas": {"Bob": {"description": "A baker.", "chattiness": 2}}},
        {"personas.Bob.description", "personas.Bob.chattiness"},
    ),
    ({"stimuli": [SHARE]}, {"stimuli[0]"}),
    ({"simulation": {"session_duration_minutes": 10}}, {"session_duration_minutes"}),
    (
        {"simulation": {"context_window_size": 0, "user_response_probability": 1}},
        {"context_window_size", "user_response_probability"},
    ),
    ({"simulation": {"timing": {"scale": 0.5}}}, {"timing.scale"}),
    ({"simulation": {"language_model": {"temperature": 0.1}}}, {"language_model.temperature"}),
    ({"simulation": {"budget": {"calls_per_session": 9}}}, {"budget.calls_per_session"}),
    (
        {"simulation": {"num_agents": 4, "agent_names": ["Alice", "Bob", "Charlie", "Diana"]}},
        {"num_agents", "agent_names", "personas.Eve"},
    ),
    ({"simulation": {"messages_per_minute": 6, "timing": {"scale": 1.0}}}, set()),
]


@pytest.mark.parametrize(("overrides", "expected"), OVERRIDES)
def test_two_conditions_differ_in_exactly_the_keys_that_one_overrides(tmp_path: Path, overrides, expected):
    loaded = in_conditions(tmp_path, control={}, treatment=overrides)
    assert keys(loaded) == expected
    control, treatment = loaded.every
    assert (control == treatment) is not bool(expected), "what is told is what sessions run on"


def test_what_both_override_alike_does_not_differ(tmp_path: Path):
    same = {"stimuli": [SHARE], "simulation": {"messages_per_minute": 9}}
    other = {**same, "stimuli": [SHARE | {"at_seconds": 90}]}
    assert keys(in_conditions(tmp_path, one=same, other=other)) == {"stimuli[0].at_seconds"}


def test_one_condition_differs_from_none(tmp_path: Path):
    assert contrasts(experiment(tmp_path)) == []


TONE = {"civil": {"prompt_template": CIVIL}, "rude": {"prompt_template": RUDE}}
STANCE = {
    "pro": {"personas": {"Bob": {"description": "For it."}}},
    "contra": {"personas": {"Bob": {"description": "Against it."}}},
}


def test_crossed_conditions_are_told_by_factor(tmp_path: Path):
    by_tone, by_stance = contrasts(crossed(tmp_path, {"tone": TONE, "stance": STANCE}))
    assert (by_tone.by, by_tone.labels) == (("tone",), ("civil", "rude"))
    assert by_tone.conditions == (("civil_pro", "civil_contra"), ("rude_pro", "rude_contra"))
    assert by_tone.settings == (("prompt_template", (CIVIL, RUDE)),)
    assert (by_stance.by, by_stance.settings) == (
        ("stance",),
        (("personas.Bob.description", ("For it.", "Against it.")),),
    )


def test_a_condition_beside_the_crossed_ones_has_a_label_of_its_own(tmp_path: Path):
    loaded = crossed(tmp_path, {"tone": TONE, "stance": STANCE}, conditions={"quiet": {"gate": True}})
    found = {contrast.by: contrast for contrast in contrasts(loaded)}
    assert found[()].labels == ("all crossed", "quiet")
    assert found[()].settings == (("gate", (False, True)),)
    assert found[("stance",)].labels == ("pro", "contra", "quiet")
    assert found[("stance",)].settings[0].values == ("For it.", "Against it.", "")


def test_a_setting_that_two_factors_make_is_told_by_both(tmp_path: Path):
    gated, open_ = {"gate": True}, {"note": "as outside"}
    (found,) = contrasts(crossed(tmp_path, {"first": {"a": gated, "b": open_}, "second": {"x": gated, "y": open_}}))
    assert (found.by, found.labels) == (("first", "second"), ("a, x", "a, y", "b, x", "b, y"))
    assert found.settings == (("gate", (True, True, True, False)),)


def test_what_is_not_there_at_all_is_absent_and_not_null(tmp_path: Path):
    (found,) = contrasts(in_conditions(tmp_path, none={}, one={"stimuli": [SHARE]}))
    (setting,) = found.settings
    assert setting.values[0] is ABSENT
    assert setting.values[1]["card"] == CARD


def test_leaves_are_compared_one_by_one():
    old, new = {"a": [{"b": 1}, {"b": 2}], "c": [1, 2]}, {"a": [{"b": 1}, {"b": 3}, {"b": 4}], "c": [1]}
    assert [*differing([old, new])] == [("a[1].b", (2, 3)), ("a[2]", (ABSENT, {"b": 4})), ("c", ([1, 2], [1]))]


# Texts


def joined(texts: list[str], index: int) -> str:
    return " ".join(p.texts[index if p.differs else 0] for p in passages(texts)).strip()


def test_of_long_texts_the_words_that_differ_are_told_with_some_around_them():
    civil, rude = (joined([CIVIL, RUDE], index) for index in (0, 1))
    assert civil == "You live in Mill Lane. Be friendly, also where you disagree. Keep it …"
    assert rude == "You live in Mill Lane. Be rude, above all where you disagree. Keep it …"


@pytest.mark.parametrize(
    ("old", "new", "differing_parts"),
    [
        ("a b c", "a b c", []),
        ("a b c", "a b c d e", [("", "d e")]),
        ("one two three", "three", [("one two three", "three")]),
        ("x a b c y", "z a b c w", [("x", "z"), ("y", "w")]),
        ("x a y", "z a w", [("x a y", "z a w")]),
        ("a\nb", "a b", [("\nb", "b")]),
        ("我喜欢猫。", "我喜欢狗。", [("猫", "狗")]),
        ("", "new", [("", "new")]),
    ],
)
def test_words_that_went_and_came(old: str, new: str, differing_parts):
    found = [passage.texts for passage in passages([old, new]) if passage.differs]
    assert found == differing_parts


def test_nothing_is_lost_of_texts_short_enough_to_be_whole():
    texts = ["the red cat sat", "the blue cat sat down", "a cat sat"]
    for index, text in enumerate(texts):
        assert joined(texts, index).split() == text.split()


# Two versions


def changed(folder: Path, **changes: Any) -> Comparison:
    """Compare an experiment of two conditions with itself, `experimental` and the simulation's settings changed."""
    design = {"conditions": {"civil": {}, "rude": {"prompt_template": RUDE}}, "prompt_template": CIVIL}
    old = experiment(folder / "old", experimental=design)
    new = experiment(folder / "new", **{**changes, "experimental": design | changes.get("experimental", {})})
    return compare(old, new)


def everywhere(found: Comparison) -> list[Change]:
    return [change for each in found.changes for change in each.changes]


def test_a_version_is_the_same_as_itself(tmp_path: Path):
    found = changed(tmp_path)
    assert found.is_same
    assert found.has_same_hash
    assert found.notes == ()


WRITTEN_OUT: list[dict[str, Any]] = [
    {"timing": {"scale": 1.0}, "budget": {}, "personas": {"Bob": {"chattiness": 1}}},
    {"experimental": {"gate": False, "stimuli": [], "entry": {"mode": "demo"}, "screens": {}}},
    {"experimental": {"assignment": {"block_size": 2, "weights": {"civil": 1}, "quotas": {}}}},
    {"experimental": {"conditions": {"civil": {"prompt_template": CIVIL}, "rude": {"prompt_template": RUDE}}}},
]


@pytest.mark.parametrize("written", WRITTEN_OUT)
def test_a_default_written_out_changes_nothing(tmp_path: Path, written):
    found = changed(tmp_path, **written)
    assert found.is_same, everywhere(found)
    assert not found.has_same_hash, "the hash goes by what is written"


def test_layout_and_notes_are_no_content(tmp_path: Path):
    design = {"note": "why", "conditions": {"civil": {"note": "the kind one"}, "rude": {"prompt_template": RUDE}}}
    found = changed(tmp_path, experimental=design)
    assert found.is_same
    assert found.has_same_hash
    assert {change.key for change in found.notes} == {"note", "conditions.civil.note"}


def test_a_change_common_to_all_conditions_is_told_once(tmp_path: Path):
    (only,) = changed(tmp_path, messages_per_minute=9).changes
    assert only == (("civil", "rude"), (Change("messages_per_minute", 6.0, 9.0),))


def test_a_change_in_one_condition_is_told_of_that_one(tmp_path: Path):
    (only,) = changed(tmp_path, experimental={"prompt_template": f"{CIVIL} Be brief."}).changes
    assert only == (("civil",), (Change("prompt_template", CIVIL, f"{CIVIL} Be brief."),))


BESIDE: list[tuple[dict[str, Any], set[str]]] = [
    ({"entry": {"mode": "open"}}, {"entry.mode"}),
    ({"entry": {"mode": "panel", "panel": {"participant": "PID"}}}, {"entry.mode", "entry.panel"}),
    ({"screens": {"consent": {"version": "1", "text": "Hello"}}}, {"screens.consent"}),
    ({"completion": {"completed": {"code": "C1"}}}, {"completion.completed"}),
    ({"assignment": {"seed": 4}}, {"assignment.seed"}),
    ({"assignment": {"weights": {"rude": 2}}}, {"assignment.weights.rude", "assignment.block_size"}),
    ({"assignment": {"method": "weighted"}}, {"assignment.method", "assignment.block_size"}),
    ({"experiment_id": "x"}, {"experiment_id"}),
    ({"withdrawal": {"offered": False}}, {"withdrawal.offered"}),
]


@pytest.mark.parametrize(("design", "expected"), BESIDE)
def test_the_design_beside_conditions_is_compared(tmp_path: Path, design, expected):
    (only,) = changed(tmp_path, experimental=design).changes
    assert only.conditions == ()
    assert {change.key for change in only.changes} == expected


def test_the_order_of_conditions_is_told_since_the_list_follows_from_it(tmp_path: Path):
    swapped = {"rude": {"prompt_template": RUDE}, "civil": {}}
    found = changed(tmp_path, experimental={"conditions": swapped})
    assert [change.key for change in everywhere(found)] == ["conditions (their order)"]
    lists = [[*itertools.islice(each.allocation(1).places(), 40)] for each in (found.old, found.new)]
    assert lists[0] != lists[1]


def test_conditions_are_added_removed_and_renamed(tmp_path: Path):
    conditions = {"impolite": {"prompt_template": RUDE}, "silent": {"simulation": {"messages_per_minute": 0}}}
    found = changed(tmp_path, experimental={"conditions": conditions})
    assert found.renamed == {"rude": "impolite"}
    assert found.added == {"silent": {"conditions.silent.simulation.messages_per_minute": 0}}
    assert found.removed == {"civil": {}}
    assert not found.is_same


def test_where_no_condition_is_left_what_they_share_is_compared(tmp_path: Path):
    conditions = {"other": {"gate": True}, "another": {}}
    found = changed(tmp_path, messages_per_minute=9, experimental={"conditions": conditions})
    assert Change("messages_per_minute", 6.0, 9.0) in everywhere(found)


def test_a_script_that_was_rewritten_is_a_change(tmp_path: Path):
    loaded = []
    for name, content in (("old", "{}"), ("new", '{"a": 1}')):
        write_settings(tmp_path / name, language_model={"provider": "scripted", "script": "mine.json"})
        (tmp_path / name / "mine.json").write_text(content)
        loaded.append(load_experiment(tmp_path / name))
    (only,) = compare(*loaded).changes
    assert only.changes == (Change("file mine.json", "{}", '{"a": 1}'),)


def test_the_layout_of_the_files_is_no_difference(tmp_path: Path):
    old = experiment(tmp_path / "old")
    write_settings(tmp_path / "new")
    indented = json.dumps(dict(reversed(SEED_SIMULATION.items())), indent=4)
    (tmp_path / "new" / SIMULATION_FILE).write_text(indented)
    found = compare(old, load_experiment(tmp_path / "new"))
    assert found.is_same
    assert found.has_same_hash
    assert found.old.sha256[SIMULATION_FILE] != found.new.sha256[SIMULATION_FILE]
    assert found.old.sha256[EXPERIMENTAL_FILE] == found.new.sha256[EXPERIMENTAL_FILE]
