"""The experiments that come with us: whole, and different between conditions exactly where they are meant to be."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

from experiments.experiment import Experiment, load_experiment
from experiments.markup import paragraphs
from experiments.rehearsal import rehearse
from experiments.settings.base import EXPERIMENTAL_FILE, SIMULATION_FILE
from simulation.leaks import QUOTED_WORDS, leak_in
from simulation.parameters import SimulationParameters
from simulation.prompts import instructions, system_prompts
from simulation.sanitize import sanitize

EXAMPLES = Path(__file__).parents[2] / "config" / "examples"
NAMES = ("civility", "factorial", "minimal")
STUDIES = ("civility", "factorial")
FILES = (EXPERIMENTAL_FILE, SIMULATION_FILE)
VIEW = "On the plan:"
"""Where a persona's opinion begins; what comes before is who it is and how it writes."""
THIRD_PERSON = r"\b(?:he|him|his|she|her|hers|they|their)\b"


def example(name: str) -> Experiment:
    return load_experiment(EXAMPLES / name)


def parameters(name: str, condition: str) -> SimulationParameters:
    return example(name).conditions[condition].parameters


def differing(one: SimulationParameters, other: SimulationParameters) -> set[str]:
    return {each.name for each in fields(one) if getattr(one, each.name) != getattr(other, each.name)}


def files(name: str) -> list[dict]:
    return [json.loads((EXAMPLES / name / file).read_text(encoding="utf-8")) for file in FILES]


def test_these_are_all():
    assert {path.name for path in EXAMPLES.iterdir()} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
class TestEveryExample:
    def test_loads_without_a_warning(self, name: str):
        assert all("left to be filled in" in warning for warning in example(name).warnings)

    def test_is_called_like_its_folder(self, name: str):
        assert example(name).experiment_id == name

    def test_points_to_the_schemas_that_lie_there(self, name: str):
        for content, file in zip(files(name), FILES, strict=True):
            schema = (EXAMPLES / name / content["$schema"]).resolve()
            assert schema == EXAMPLES.parent.resolve() / "schema" / file.replace(".json", ".schema.json")
            assert schema.is_file()

    def test_leaves_the_seed_to_whoever_runs_it(self, name: str):
        assert "random_seed" not in files(name)[1]

    def test_can_be_rehearsed(self, name: str, tmp_path: Path):
        experiment = example(name)
        each = 8 // len(experiment.conditions)
        for tally in rehearse(experiment, sessions=8, out=tmp_path, seed=1).values():
            assert tally.sessions == each
            assert tally.stimuli == each * len(tally.parameters.stimuli)
            assert tally.messages_by_agent.total() > each * 20


def test_minimal_is_the_seeds():
    experimental, simulation = files("minimal")
    assert set(experimental) == {"$schema", "prompt_template"}
    assert simulation == {
        "$schema": "../../schema/simulation_settings.schema.json",
        "num_agents": 5,
        "agent_names": ["Alice", "Bob", "Charlie", "Diana", "Eve"],
        "messages_per_minute": 6,
        "user_response_probability": 0.7,
        "context_window_size": 10,
        "session_duration_minutes": 15,
    }


# What conditions have in common, and what not


def assert_one_paragraph_differs(one: str, other: str) -> None:
    """The paragraph on how people talk to each other, and about as much of it."""
    pairs = list(zip(one.split("\n\n"), other.split("\n\n"), strict=True))
    ((first, second),) = [pair for pair in pairs if pair[0] != pair[1]]
    assert first.startswith("This is how people talk")
    assert abs(len(first.split()) - len(second.split())) < 10


class TestCivility:
    def test_has_two_conditions(self):
        assert list(example("civility").conditions) == ["civil", "uncivil"]

    def test_prompt_and_wording_of_stimuli_differ_and_nothing_else(self):
        civil, uncivil = parameters("civility", "civil"), parameters("civility", "uncivil")
        assert differing(civil, uncivil) == {"prompt_template", "stimuli"}
        assert_one_paragraph_differs(civil.prompt_template, uncivil.prompt_template)

    def test_the_same_agents_say_stimuli_of_a_length_at_the_same_moments(self):
        civil, uncivil = parameters("civility", "civil").stimuli, parameters("civility", "uncivil").stimuli
        assert [(each.agent, each.at_seconds) for each in civil] == [(each.agent, each.at_seconds) for each in uncivil]
        for one, other in zip(civil, uncivil, strict=True):
            assert abs(len(one.text) - len(other.text)) < 20

    def test_opinions_are_balanced(self):
        views = [each.description.partition(VIEW)[2] for each in parameters("civility", "civil").agents]
        for view, number in (("is for it", 2), ("is against it", 2), ("cannot make up", 1)):
            assert sum(view in each for each in views) == number


TONES, STANCES = ("civil", "uncivil"), ("supportive", "opposed")


class TestFactorial:
    def test_has_every_combination(self):
        cells = example("factorial").conditions
        assert {name: tuple(cell.levels.values()) for name, cell in cells.items()} == {
            f"{tone}_{stance}": (tone, stance) for tone in TONES for stance in STANCES
        }

    @pytest.mark.parametrize("stance", STANCES)
    def test_tone_is_one_paragraph_of_the_prompt(self, stance: str):
        civil, uncivil = (parameters("factorial", f"{tone}_{stance}") for tone in TONES)
        assert differing(civil, uncivil) == {"prompt_template"}
        assert_one_paragraph_differs(civil.prompt_template, uncivil.prompt_template)

    @pytest.mark.parametrize("tone", TONES)
    def test_stance_is_what_four_think_and_what_one_says(self, tone: str):
        supportive, opposed = (parameters("factorial", f"{tone}_{stance}") for stance in STANCES)
        assert differing(supportive, opposed) == {"agents", "stimuli"}
        changed = [(one, other) for one, other in zip(supportive.agents, opposed.agents, strict=True) if one != other]
        assert {one.name for one, _ in changed} == {"Graham", "Leanne", "Marcus", "Bridget"}
        for one, other in changed:
            who, _, view = one.description.partition(VIEW)
            same, _, contrary = other.description.partition(VIEW)
            assert (who, one.chattiness) == (same, other.chattiness)
            assert "is for it" in view
            assert "is against it" in contrary

    def test_the_card_is_the_same_everywhere_and_known_to_all(self):
        every = example("factorial").every
        (card,) = {stimulus.card for each in every for stimulus in each.stimuli if stimulus.card}
        for each in every:
            assert [stimulus.agent for stimulus in each.stimuli if stimulus.card] == ["Priya"]
            assert all(card.text in prompt for prompt in system_prompts(each).values())

    def test_places_are_given_in_blocks_and_counted_by_condition(self):
        experiment = example("factorial")
        assert experiment.allocation(1).block_size == 8
        assert set(experiment.settings.assignment.quotas) == set(experiment.conditions)


# What agents and participants read


def words_of_the_design(experiment: Experiment) -> set[str]:
    """Names of conditions, factors and levels."""
    factors = experiment.settings.factors
    levels = [level for levels in factors.values() for level in levels]
    return {*experiment.conditions, *factors, *levels} - {"default"}


def assert_says_nothing_of_the_design(text: str, experiment: Experiment) -> None:
    for word in words_of_the_design(experiment):
        assert not re.search(rf"(?<![a-z]){re.escape(word)}(?![a-z])", text.casefold()), word


@pytest.mark.parametrize("name", NAMES)
class TestNothingNamesTheCondition:
    def test_no_prompt(self, name: str):
        experiment = example(name)
        for each in experiment.every:
            for prompt in system_prompts(each).values():
                assert_says_nothing_of_the_design(prompt, experiment)

    def test_no_stimulus_and_no_name(self, name: str):
        experiment = example(name)
        for each in experiment.every:
            for text in (each.group_name, *each.called_names, *(stimulus.text for stimulus in each.stimuli)):
                assert_says_nothing_of_the_design(text, experiment)

    def test_no_screen_before_the_chat_and_no_way_out_of_it(self, name: str):
        experiment = example(name)
        settings = experiment.settings
        for part in (settings.screens.consent, settings.screens.welcome, settings.withdrawal, settings.completion):
            if part is not None:
                assert_says_nothing_of_the_design(part.model_dump_json(), experiment)


@pytest.mark.parametrize("name", STUDIES)
class TestPrompts:
    def test_are_for_a_participant_without_a_name(self, name: str):
        for each in example(name).every:
            assert each.participant_name is None
            assert "{participant_name}" not in each.prompt_template

    def test_do_not_say_what_is_studied_or_who_agents_are(self, name: str):
        for each in example(name).every:
            for prompt in system_prompts(each).values():
                assert not re.search(
                    r"\b(ai|language model|chatbot|bot|study|experiment|research|pretend|simulat\w+|role|character)\b",
                    prompt.casefold(),
                )

    def test_say_what_nobody_does_in_every_condition(self, name: str):
        for each in example(name).every:
            for limit in ("no threats", "no swearing", "not a word against people for their", "be kind"):
                assert limit in each.prompt_template

    def test_agents_can_give_their_reasons_without_reciting_their_instructions(self, name: str):
        """QUOTED_WORDS in a row of an agent's own instructions are held back as a leak."""
        for each in example(name).every:
            for agent in each.agents:
                view = agent.description.partition(VIEW)[2]
                assert view
                for piece in re.split(rf"[.;:]|{THIRD_PERSON}", view, flags=re.IGNORECASE):
                    assert len(re.findall(r"\w+(?:['’]\w+)*", piece)) < QUOTED_WORDS, piece

    def test_what_agents_are_made_to_say_would_pass_as_their_own(self, name: str):
        for each in example(name).every:
            for stimulus in (stimulus for stimulus in each.stimuli if stimulus.content):
                said, agent, names = stimulus.text, stimulus.agent, each.called_names
                assert sanitize(said, agent, names) == (said, ())
                assert leak_in(said, agent, names, each.deny_list, instructions(each)[agent]) is None

    def test_a_model_that_falls_out_of_its_part_is_not_heard(self, name: str):
        each = example(name).parameters
        agent, names = each.agent_names[0], each.called_names
        for said in (
            "well I'm an AI so",
            "is this a study",
            "nice one Guest",
            "as a language-model I",
            "lol a chatbot",
        ):
            assert leak_in(said, agent, names, each.deny_list, "") == "deny_list"


@pytest.mark.parametrize("name", STUDIES)
class TestScreens:
    def test_consent_says_what_it_must(self, name: str):
        consent = example(name).screens.consent
        assert consent is not None
        for part in ("voluntary", "at any time", "What we record", "service providers", "deleted", "[ethics committee"):
            assert part in consent.text, part
        assert f"{example(name).parameters.duration_seconds / 60:g} minutes" in consent.text

    def test_debriefing_explains_the_deception_and_the_way_out(self, name: str):
        experiment = example(name)
        debriefing = experiment.screens.debriefing
        assert debriefing is not None
        assert ", ".join(experiment.parameters.agent_names[:-1]) in debriefing.text
        for part in ("not people", "large language model", "chance decided", "withdraw your data", "apologise"):
            assert part in debriefing.text, part

    def test_welcome_tells_of_the_place_the_time_and_the_way_back(self, name: str):
        experiment = example(name)
        welcome = experiment.screens.welcome
        assert welcome is not None
        assert f"{experiment.parameters.duration_seconds / 60:g} minutes" in welcome.text
        assert "open your link again" in welcome.text

    def test_are_in_the_markup_that_pages_show(self, name: str):
        screens = example(name).screens
        for screen in (screens.consent, screens.welcome, screens.debriefing):
            assert screen is not None
            spans = [span for paragraph in paragraphs(screen.text) for span in paragraph]
            assert not any(mark in span.text for span in spans for mark in "*_")
            assert any(span.style == "strong" for span in spans)

    def test_every_way_out_has_a_code_of_its_own(self, name: str):
        completion = example(name).completion
        outcomes = ["completed", "withdrawn", "declined", "technical"] + ["screened_out"] * (name == "factorial")
        codes = [getattr(completion, outcome).code for outcome in outcomes]
        assert len(set(codes)) == len(outcomes)
        if name == "factorial":
            urls = {getattr(completion, outcome).url for outcome in outcomes}
            assert urls == {"https://app.prolific.com/submissions/complete?cc={code}"}
