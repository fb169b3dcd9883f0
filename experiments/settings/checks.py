"""What must hold between keys: also looked for where single keys are wrong, so that one run tells everything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from experiments.problems import nearest, not_allowed
from experiments.settings.base import EXPERIMENTAL_FILE, SIMULATION_FILE
from experiments.settings.conditions import RawSettings
from experiments.settings.experimental import ExperimentalSettings, OnModelFailureSettings
from experiments.settings.resolving import stimuli_of
from experiments.settings.simulation import LanguageModelSettings, SimulationSettings, TimingSettings
from simulation.parameters import (
    ActWeights,
    name_problem,
    roster_problems,
    stimulus_problems,
    weight_problems,
)
from simulation.prompts import template_problems
from simulation.sanitize import sanitize


class Finding(NamedTuple):
    """`file` and `key` say what is wrong, in the words of that file."""

    file: str
    key: str
    message: str


class Read(NamedTuple):
    """Settings as they stand in the files or hold in a condition; a model is None where a key is wrong."""

    folder: Path
    raw: RawSettings
    simulation: SimulationSettings | None
    experimental: ExperimentalSettings | None


def findings(read: Read) -> Iterator[Finding]:
    """Yield what is wrong between keys of both files."""
    yield from (Finding(SIMULATION_FILE, *each) for each in _simulation(read))
    yield from (Finding(EXPERIMENTAL_FILE, *each) for each in _experimental(read))


Found = tuple[str, str]
"""Key and message."""


def _simulation(read: Read) -> Iterator[Found]:
    raw = read.raw.simulation
    names = raw.get("agent_names")
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        yield from _roster(raw, names)
    if read.simulation is not None:
        weights = ActWeights(**read.simulation.act_weights.model_dump())
        yield from ((each.key, each.allowed) for each in weight_problems(weights))
        yield from _timing(read.simulation.timing)
        yield from _language_model(read.folder, read.simulation.language_model)


def _roster(raw: Mapping[str, Any], names: list[str]) -> Iterator[Found]:
    number = raw.get("num_agents")
    if isinstance(number, int) and number != len(names):
        yield "num_agents", not_allowed(number, f"agent_names has {len(names)} names")
    participant = raw.get("participant_name")
    for problem in roster_problems(names, participant if isinstance(participant, str) else None):
        yield problem.key, not_allowed(problem.value, problem.allowed)
    group = raw.get("group_name")
    if isinstance(group, str) and (allowed := name_problem(group)):
        yield "group_name", not_allowed(group, allowed)
    personas = raw.get("personas")
    for name in personas if isinstance(personas, dict) else ():
        if name not in names:
            yield f"personas.{name}", f"no agent has this name; {nearest(name, names)}"


def _timing(timing: TimingSettings) -> Iterator[Found]:
    if timing.typing_least_seconds > timing.typing_most_seconds:
        allowed = f"not more than timing.typing_most_seconds, {timing.typing_most_seconds:g}"
        yield "timing.typing_least_seconds", not_allowed(timing.typing_least_seconds, allowed)


def _language_model(folder: Path, chosen: LanguageModelSettings) -> Iterator[Found]:
    for key, name in (("script", chosen.script), ("log", chosen.log)):
        if name is not None and not _is_file(folder / name):
            yield f"language_model.{key}", not_allowed(name, f"there is no such file in {folder}")
    if chosen.provider == "recorded" and chosen.log is None:
        yield "language_model.log", "missing: the recorded model answers from a session's log"
    if chosen.thinking_level is not None and chosen.thinking_budget is not None:
        allowed = "not together with language_model.thinking_level: the provider refuses both in one request"
        yield "language_model.thinking_budget", not_allowed(chosen.thinking_budget, allowed)
    if chosen.attempt_seconds > chosen.turn_seconds:
        allowed = f"not more than language_model.turn_seconds, {chosen.turn_seconds:g}"
        yield "language_model.attempt_seconds", not_allowed(chosen.attempt_seconds, allowed)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long, a folder that may not be looked into
        return False


def _experimental(read: Read) -> Iterator[Found]:
    template = read.raw.experimental.get("prompt_template")
    if isinstance(template, str):
        yield from (("prompt_template", message) for message in template_problems(template))
    if read.experimental is None:
        return
    yield from _failure(read.experimental.on_model_failure)
    yield from _stimuli(read, read.experimental)


def _failure(failure: OnModelFailureSettings) -> Iterator[Found]:
    if failure.mode == "canned" and not failure.lines:
        yield "on_model_failure.lines", "missing: the mode is canned, so at least one line is needed"
    if failure.mode == "second_provider":
        if failure.provider is None:
            yield "on_model_failure.provider", "missing: the mode is second_provider, so it must be named"
        elif failure.provider == "recorded":
            yield "on_model_failure.provider", not_allowed("recorded", "a provider that can answer")
        elif failure.model is None and failure.provider != "scripted":
            yield "on_model_failure.model", f"missing: which model of {failure.provider} answers instead"


def _is_seen(content: str) -> bool:
    """Whether it passes as it stands what every message of an agent must pass."""
    return bool(content.strip()) and "control_characters" not in sanitize(content, "", ()).rules


def _stimuli(read: Read, experimental: ExperimentalSettings) -> Iterator[Found]:
    for index, each in enumerate(experimental.stimuli):
        moments = [name for name in ("at_seconds", "after_messages", "on") if getattr(each, name) is not None]
        if len(moments) != 1:
            given = " and ".join(moments) or "none"
            yield f"stimuli[{index}]", f"exactly one of at_seconds, after_messages and on says when: here {given}"
        if each.content is not None and not _is_seen(each.content):
            yield f"stimuli[{index}].content", not_allowed(each.content, "text with something in it that can be seen")
        if (each.content is None) == (each.card is None):
            given = "none" if each.card is None else "both"
            yield f"stimuli[{index}]", f"either content or card says what is shown: here {given}"
    if read.simulation is not None:
        seconds = read.simulation.session_duration_minutes * 60
        for problem in stimulus_problems(stimuli_of(experimental), read.simulation.agent_names, seconds):
            if problem.key.endswith("]"):
                continue  # told above, in the words of the file
            yield problem.key, not_allowed(problem.value, problem.allowed)
