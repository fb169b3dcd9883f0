"""Whatever a settings file can get wrong is found before anybody is let in, all of it at once."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from chatrooms import parameters
from folders import SEED_EXPERIMENTAL, SEED_SIMULATION, experiment, write_settings

from experiments.errors import InvalidExperiment
from experiments.experiment import load_experiment
from experiments.settings.base import EXPERIMENTAL_FILE, SIMULATION_FILE
from experiments.warnings import load_warnings
from simulation.errors import InvalidParameters
from simulation.parameters import ActWeights, ModelChoice, Persona, SimulationParameters, Timing


def problems(folder: Path) -> list[str]:
    with pytest.raises(InvalidExperiment) as caught:
        load_experiment(folder)
    return [f"{problem.file.name}: {problem.key}: {problem.message}" for problem in caught.value.problems]


def test_the_seeds_two_files_are_an_experiment(tmp_path: Path):
    loaded = experiment(tmp_path)
    chosen = loaded.parameters
    assert chosen.agent_names == ("Alice", "Bob", "Charlie", "Diana", "Eve")
    assert (chosen.messages_per_minute, chosen.user_response_probability, chosen.message_window) == (6, 0.7, 10)
    assert chosen.duration_seconds == 900
    assert chosen.prompt_template == SEED_EXPERIMENTAL["prompt_template"]
    assert loaded.simulation_config == SEED_SIMULATION
    assert loaded.warnings == ()
    assert set(loaded.sha256) == {SIMULATION_FILE, EXPERIMENTAL_FILE}


def test_the_shipped_files_are_an_experiment():
    assert load_experiment(Path(__file__).parents[2] / "config").warnings == ()


def test_optional_settings_reach_the_parameters(tmp_path: Path):
    loaded = experiment(
        tmp_path,
        group_name="Us",
        participant_name="Sam",
        personas={"Bob": {"description": "A baker.", "chattiness": 2}},
        language_model={"provider": "scripted", "model": "m"},
        timing={"scale": 0.5},
        act_weights={"reply": 1},
        random_seed=7,
        reconnect_grace_seconds=0,
        session_duration_minutes=0.05,
    )
    chosen = loaded.parameters
    assert (chosen.group_name, chosen.participant_name, chosen.reconnect_grace_seconds) == ("Us", "Sam", 0)
    assert chosen.persona("Bob") == Persona(name="Bob", description="A baker.", chattiness=2)
    assert chosen.persona("Eve") == Persona(name="Eve")
    assert chosen.language_model == ModelChoice(provider="scripted", model="m")
    assert chosen.timing == Timing(scale=0.5)
    assert chosen.act_weights == ActWeights(reply=1)
    assert (loaded.random_seed, chosen.duration_seconds) == (7, 3)


def test_defaults_of_file_and_core_are_the_same(tmp_path: Path):
    chosen = experiment(tmp_path).parameters
    bare = SimulationParameters(
        prompt_template=chosen.prompt_template,
        agents=chosen.agents,
        messages_per_minute=6,
        user_response_probability=0.7,
        message_window=10,
        duration_seconds=900,
    )
    assert chosen == bare


def test_parameters_read_back_from_a_record(tmp_path: Path):
    chosen = experiment(tmp_path, participant_name="Sam", personas={"Bob": {"description": "A baker."}}).parameters
    from dataclasses import asdict

    assert SimulationParameters.from_record(json.loads(json.dumps(asdict(chosen)))) == chosen


WRONG_VALUES = [
    ("messages_per_minute", -1, "messages_per_minute: -1 is not allowed: a number from 0 to 600"),
    ("messages_per_minute", 601, "a number from 0 to 600"),
    ("messages_per_minute", "6", 'messages_per_minute: "6" is not allowed: a number'),
    ("messages_per_minute", True, "messages_per_minute: true is not allowed"),
    ("user_response_probability", 1.1, "a number from 0 to 1"),
    ("context_window_size", -1, "a whole number from 0"),
    ("context_window_size", 1.5, "a whole number"),
    ("session_duration_minutes", 0.01, "a number from 0.05 to 1,440"),
    ("num_agents", 4, "num_agents: 4 is not allowed: agent_names has 5 names"),
    ("num_agents", 0, "a whole number from 1 to 100"),
    ("agent_names", [], "a list that is not empty"),
    ("agent_names", "Alice", 'agent_names: "Alice" is not allowed: a list'),
    ("agent_names", ["Alice", "Bob", 3, "Diana", "Eve"], "agent_names[2]: 3 is not allowed: text in quotes"),
    ("agent_names", ["Alice", "Bob", " ", "Diana", "Eve"], "agent_names[2]: "),
    ("agent_names", ["Alice", "Bob", "ALICE", "Diana", "Eve"], 'agent_names[2]: "ALICE" is not allowed: a name of its'),
    ("agent_names", ["Alice", "Bob", "Ａlice", "Diana", "Eve"], "agent_names[2]: "),
    ("agent_names", ["Alice", "Bob", "User", "Diana", "Eve"], 'agent_names[2]: "User" is not allowed'),
    ("participant_name", "bob", "agent_names[1]: "),
    ("personas", {"Bobby": {}}, 'personas.Bobby: no agent has this name; did you mean "Bob"?'),
    ("personas", {"Bob": {"chattiness": -1}}, "personas.Bob.chattiness: -1 is not allowed: a number from 0 to 100"),
    ("personas", {"Bob": {"chatiness": 1}}, 'personas.Bob.chatiness: unknown key; did you mean "chattiness"?'),
    ("timing", {"scale": "fast"}, "timing.scale: "),
    ("timing", {"typing_least_seconds": 30}, "timing.typing_least_seconds: 30.0 is not allowed: not more than"),
    ("timing", {"stale_answers": "burn"}, 'timing.stale_answers: "burn" is not allowed: one of "keep", "drop"'),
    ("act_weights", {"message": 0, "reply": 0, "mention": 0}, "act_weights: at least one of message, reply"),
    ("language_model", {"provider": "oracle"}, 'language_model.provider: "oracle" is not allowed: one of "scripted"'),
    ("language_model", {"script": "none.json"}, 'language_model.script: "none.json" is not allowed: there is no'),
    ("language_model", {"script": "n" * 300}, "is not allowed: there is no such file"),
    ("agent_names", ["Alice", "Alice\u200b", "Charlie", "Diana", "Eve"], "a name without invisible characters"),
    ("agent_names", ["Alice", "Bob\nBob", "Charlie", "Diana", "Eve"], "a name without invisible characters"),
    ("agent_names", ["Alice", "Guest", "Charlie", "Diana", "Eve"], "what models are told the participant is called"),
    ("participant_name", " ", 'participant_name: " " is not allowed: a name with something in it'),
    ("group_name", "\t", "group_name: "),
    ("timing", {"typing_characters_per_second": 1e-300}, "a number from 0.1 to 10,000"),
    ("act_weights", {"message": 0.001, "reply": 0, "mention": 0, "reaction": 1}, "act_weights.reaction: at most 20"),
    ("language_model", "gpt", 'language_model: "gpt" is not allowed: an object, {...}, which may have provider, model'),
    ("random_seed", -1, "random_seed: -1 is not allowed"),
    ("mesages_per_minute", 6, 'mesages_per_minute: unknown key; did you mean "messages_per_minute"?'),
    ("colour", "red", "colour: unknown key; known are "),
]


@pytest.mark.parametrize(("key", "value", "message"), WRONG_VALUES)
def test_a_wrong_value_is_named_with_what_is_allowed(tmp_path: Path, key, value, message):
    found = problems(write_settings(tmp_path, **{key: value}))
    assert any(message in problem for problem in found), found
    assert all(problem.startswith(SIMULATION_FILE) for problem in found)


@pytest.mark.parametrize("key", SEED_SIMULATION)
def test_a_missing_key_is_named(tmp_path: Path, key):
    found = problems(write_settings(tmp_path, **{key: None}))
    assert any(problem.startswith(f"{SIMULATION_FILE}: {key}: missing: ") for problem in found)


def test_all_problems_are_told_at_once(tmp_path: Path):
    write_settings(
        tmp_path,
        num_agents=4,
        agent_names=["Alice", "alice", "user"],
        messages_per_minute=-1,
        colour="red",
        prompt_template="Hello {condition}",
    )
    found = "\n".join(problems(tmp_path))
    for part in ("num_agents", "agent_names[1]", "agent_names[2]", "messages_per_minute", "colour", "prompt_template"):
        assert part in found


def _text(content: str):
    return lambda path: path.write_text(content, encoding="utf-8")


def _bytes(content: bytes):
    return lambda path: path.write_bytes(content)


def _replaced_by(make):
    def damage(path: Path) -> None:
        path.unlink()
        make(path)

    return damage


WRONG_FILES = {
    "missing": (Path.unlink, "the file is missing"),
    "a folder": (_replaced_by(Path.mkdir), "is a folder"),
    "a FIFO": (_replaced_by(os.mkfifo), "is no regular file"),
    "empty": (_text(""), "empty"),
    "not JSON": (_text("prompt: hello"), "not JSON"),
    "trailing comma": (_text('{"prompt_template": "x",\n}'), "column 1: a comma too many"),
    "curly quotes": (_text("{“prompt_template”: “x”}"), 'a curly quote, “; write straight ones, "'),
    "a comment": (_text('{\n// mine\n"prompt_template": "x"}'), "column 1: a comment; JSON has none"),
    "duplicate keys": (_text('{"prompt_template": "x", "prompt_template": "y"}'), '"prompt_template" stands twice'),
    "NaN": (_text('{"prompt_template": NaN}'), "NaN"),
    "a list": (_text("[]"), "must hold one object"),
    "UTF-16": (_bytes('{"prompt_template": "x"}'.encode("utf-16")), 'save the file as "UTF-8"'),
    "UTF-16 without a mark": (_bytes('{"prompt_template": "x"}'.encode("utf-16-le")), 'save the file as "UTF-8"'),
    "latin-1": (_bytes('{"prompt_template": "Grüße"}'.encode("latin-1")), "column 24: not UTF-8"),
    "2 MB": (_text('{"prompt_template": "' + "x" * 2_000_000 + '"}'), "larger than"),
    "a prompt too long": (_text('{"prompt_template": "' + "x" * 200_000 + '"}'), "at most 100000 long"),
    "no prompt": (_text("{}"), "prompt_template: missing"),
    "an empty prompt": (_text('{"prompt_template": ""}'), "that is not empty"),
    "deep nesting": (_text("[" * 100_000), "nested deeper"),
}


@pytest.mark.parametrize("name", WRONG_FILES)
def test_a_wrong_file_is_named(tmp_path: Path, name):
    damage, message = WRONG_FILES[name]
    write_settings(tmp_path)
    damage(tmp_path / EXPERIMENTAL_FILE)
    (problem,) = problems(tmp_path)
    assert problem.startswith(EXPERIMENTAL_FILE)
    assert message in problem


def test_a_folder_that_is_not_there_names_both_files(tmp_path: Path):
    assert len(problems(tmp_path / "none")) == 2


def test_a_byte_order_mark_is_taken(tmp_path: Path):
    write_settings(tmp_path)
    path = tmp_path / EXPERIMENTAL_FILE
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load_experiment(tmp_path).parameters.prompt_template


def test_a_rate_that_agents_cannot_keep_up_with_is_warned_of_with_the_figure(tmp_path: Path):
    (warning,) = experiment(tmp_path, messages_per_minute=60).warnings
    assert "60 is more than 5 agents can keep up with" in warning
    assert "a minute" in warning
    slow_model = list(load_warnings(parameters(messages_per_minute=20), model_latency=16))
    assert "an answer takes about 16.0 s, so 5.3 agents would be busy" in slow_model[0]


def test_the_environment_may_name_another_model(tmp_path: Path):
    loaded = experiment(tmp_path)

    for provider, model in (("scripted", "other"), ("oracle", "m")):
        settled = loaded.with_models(lambda each, p=provider, m=model: each.with_model(p, m))
        assert settled.parameters.language_model == ModelChoice(provider=provider, model=model)


@pytest.mark.parametrize(
    "changes",
    [
        {"agents": ()},
        {"agents": ("Alice", "alice")},
        {"messages_per_minute": -1},
        {"user_response_probability": 2},
        {"duration_seconds": 1},
        {"act_weights": ActWeights(message=0, reply=0, mention=0)},
        {"timing": Timing(typing_least_seconds=30)},
    ],
)
def test_the_core_takes_no_nonsense_either(changes):
    with pytest.raises(InvalidParameters):
        parameters(**changes)


def test_every_duration_is_one_that_a_clock_of_milliseconds_can_reach(tmp_path: Path):
    chosen = experiment(tmp_path, session_duration_minutes=0.0555555, reconnect_grace_seconds=1 / 3).parameters
    assert chosen.duration_seconds == 3.333
    assert chosen.reconnect_grace_seconds == 0.333


def test_a_key_of_the_other_file_is_told_where_it_belongs(tmp_path):
    write_settings(tmp_path, on_model_failure={"mode": "canned"}, experimental={"messages_per_minute": 6})
    with pytest.raises(InvalidExperiment) as raised:
        load_experiment(tmp_path)
    text = str(raised.value)
    assert "simulation_settings.json:1: on_model_failure: belongs in experimental_settings.json" in text
    assert "experimental_settings.json:1: messages_per_minute: belongs in simulation_settings.json" in text


def test_a_template_that_names_a_participant_without_a_name_is_warned_of(tmp_path):
    template = "Talk to {participant_name}."
    assert "participant_name is null" in "".join(experiment(tmp_path, prompt_template=template).warnings)
    assert experiment(tmp_path, prompt_template=template, participant_name="Sam").warnings == ()


def test_a_canned_line_that_would_never_be_said_is_warned_of(tmp_path):
    failure = {"mode": "canned", "lines": ["hm", "As an AI I cannot say.", "it is the treatment group"]}
    loaded = experiment(tmp_path, experimental={"on_model_failure": failure}, deny_list=["treatment group"])
    first, second = loaded.warnings
    assert "lines[1]" in first
    assert "ai_disclaimer" in first
    assert "lines[2]" in second
    assert "deny_list" in second
