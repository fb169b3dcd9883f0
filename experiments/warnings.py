"""What is allowed and probably not meant: told at every start and by `chatroom check`."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterator, Mapping

from experiments.problems import shown
from experiments.settings.base import EXPERIMENTAL_FILE
from experiments.settings.conditions import RawSettings, cells, overrides_of
from experiments.settings.experimental import OUTCOMES, ExperimentalSettings
from simulation import pacing
from simulation.leaks import leak_in
from simulation.parameters import NEUTRAL_PARTICIPANT, SimulationParameters, folded
from simulation.sanitize import sanitize

_PLACEHOLDER = re.compile(r"\[([^\[\]\n]+)\](?!\()")
"""What stands in square brackets and is no link."""
ALIKE = 0.75
"""Names that share so much of their letters are mixed up."""
SHORT_NAME = 3


def warnings_of(
    raw: RawSettings, settings: ExperimentalSettings, conditions: Mapping[str, SimulationParameters]
) -> Iterator[str]:
    yield from _of_conditions(conditions)
    yield from _idle_overrides(raw)
    yield from _same_conditions(conditions)
    yield from _outcomes(settings)
    yield from _codes(settings)
    yield from _screens(settings)
    yield from _unused_stimuli(raw)


def _of_conditions(conditions: Mapping[str, SimulationParameters]) -> Iterator[str]:
    """Yield what is to be said of each condition; what is to be said of all of them once."""
    said: dict[str, list[str]] = {}
    for name, parameters in conditions.items():
        for warning in _of_parameters(parameters):
            said.setdefault(warning, []).append(name)
    for warning, names in said.items():
        everywhere = len(names) == len(conditions)
        yield warning if everywhere else f"condition {', '.join(names)}: {warning}"


def _of_parameters(parameters: SimulationParameters) -> Iterator[str]:
    yield from load_warnings(parameters)
    yield from _naming(parameters)
    yield from _alike(parameters)
    yield from _canned(parameters)


def load_warnings(parameters: SimulationParameters, model_latency: float = 0.0) -> Iterator[str]:
    """Say what will not be as the settings say, with the figure."""
    load = pacing.expected_load(parameters, model_latency)
    if not load.is_sustainable:
        sustainable = load.agents * 60 / load.answer_seconds
        agents = "1 agent" if load.agents == 1 else f"{load.agents} agents"
        yield (
            f"messages_per_minute {parameters.messages_per_minute:g} is more than {agents} can keep up "
            f"with: an answer takes about {load.answer_seconds:.1f} s, so {load.busy_agents:.1f} agents would be "
            f"busy at any time. A session will have about {sustainable:.1f} a minute. "
            f"Lower the rate, add agents, or set timing.scale below 1."
        )


def _naming(parameters: SimulationParameters) -> Iterator[str]:
    if "{participant_name}" in parameters.prompt_template and parameters.participant_name is None:
        yield (
            f'prompt_template uses {{participant_name}}, but participant_name is null: agents will read "'
            f'{NEUTRAL_PARTICIPANT}" there, and are told that this is no name. Name the participant, or leave it out.'
        )


def _alike(parameters: SimulationParameters) -> Iterator[str]:
    for one, other in itertools.combinations(parameters.called_names, 2):
        first, second = folded(one), folded(other)
        is_part = min(len(first), len(second)) >= SHORT_NAME and (first.startswith(second) or second.startswith(first))
        if is_part or difflib.SequenceMatcher(None, first, second).ratio() >= ALIKE:
            yield f'"{one}" and "{other}" are called much alike: participants, and models, will mix them up'


def _canned(parameters: SimulationParameters) -> Iterator[str]:
    """Canned lines pass what every message must pass: one that does not would never be said."""
    names = parameters.called_names
    for index, line in enumerate(parameters.on_model_failure.lines):
        content, rules = sanitize(line, names[0], names)
        leak = leak_in(content, names[0], names, parameters.deny_list, "")
        if not content or leak:
            broken = leak or ", ".join(rules)
            yield f"on_model_failure.lines[{index}]: {shown(line)} would never be said: it breaks the rule {broken}"


def _idle_overrides(raw: RawSettings) -> Iterator[str]:
    """Name overrides that change nothing: the value outside is the same."""
    idle: dict[str, None] = {}
    for cell in cells(raw.experimental):
        for override in overrides_of(cell):
            settings = raw.experimental if override.file == EXPERIMENTAL_FILE else raw.simulation
            if _at(settings, override.key) == override.value:
                idle[f"{override.at}: changes nothing: {shown(override.value)} is what holds outside, too"] = None
    yield from idle


def _at(settings: object, key: str) -> object:
    for part in key.split("."):
        if not isinstance(settings, Mapping) or part not in settings:
            return None
        settings = settings[part]
    return settings


def _same_conditions(conditions: Mapping[str, SimulationParameters]) -> Iterator[str]:
    for (one, first), (other, second) in itertools.combinations(conditions.items(), 2):
        if first == second:
            yield f"conditions {one} and {other} do not differ"


def _screens(settings: ExperimentalSettings) -> Iterator[str]:
    """What participants of a study would miss or wonder about; a demonstration has none."""
    if settings.entry.mode == "demo":
        return
    screens = settings.screens
    for name, screen in (("consent", screens.consent), ("debriefing", screens.debriefing)):
        if screen is None:
            yield f"screens.{name} is missing: participants are deceived, and ethics boards want it"
        elif left := _PLACEHOLDER.findall(screen.text):
            placeholders = "1 placeholder is" if len(left) == 1 else f"{len(left)} placeholders are"
            yield f"screens.{name}.text: {placeholders} left to be filled in: [{left[0]}]{' ...' if left[1:] else ''}"


def _codes(settings: ExperimentalSettings) -> Iterator[str]:
    completion, seen = settings.completion, dict[str, str]()
    for outcome in OUTCOMES:
        chosen = getattr(completion, outcome)
        if chosen is not None and chosen.code is not None:
            first = seen.setdefault(chosen.code, outcome)
            if first != outcome:
                yield f"completion.{outcome}.code is that of {first}, too: the panel cannot tell them apart"


def _unused_stimuli(raw: RawSettings) -> Iterator[str]:
    every = cells(raw.experimental)
    replaced = [any(override.key == "stimuli" for override in overrides_of(cell)) for cell in every]
    if raw.experimental.get("stimuli") and all(replaced):
        yield "stimuli: never shown, since every condition has stimuli of its own, and these replace them"


def _outcomes(settings: ExperimentalSettings) -> Iterator[str]:
    completion = settings.completion
    if completion.declined is not None and settings.screens.consent is None:
        yield "completion.declined will never come about: there is no screens.consent to decline"
    if completion.screened_out is not None and not settings.assignment.quotas:
        yield "completion.screened_out will never come about: there are no assignment.quotas to be full"
    if settings.entry.mode == "panel" and completion.completed is None:
        yield "completion.completed is missing: participants of the panel will have no code and no way back"
