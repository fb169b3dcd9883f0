"""The researcher's files: read, checked whole, and resolved into what a session runs on.

An experiment is a folder with two files. `simulation_settings.json` says how lively the room is,
`experimental_settings.json` what the agents are told. Everything a file can get wrong is found here, before anybody is
let in: all problems at once, each with file, key, value and what is allowed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from experiments.errors import InvalidExperiment
from experiments.problems import Problem, allowed_by, key_path, not_allowed, shown, unknown_key
from simulation import pacing
from simulation.errors import InvalidJson
from simulation.leaks import leak_in
from simulation.parameters import (
    MAX_AGENTS,
    MAX_MESSAGES_PER_MINUTE,
    MAX_SESSION_MINUTES,
    MILLISECONDS,
    MIN_SESSION_MINUTES,
    NEUTRAL_PARTICIPANT,
    ActWeights,
    Budget,
    GatewayLimits,
    ModelChoice,
    OnModelFailure,
    Persona,
    Sampling,
    SimulationParameters,
    Timing,
    name_problem,
    roster_problems,
    weight_problems,
)
from simulation.prompts import template_problems
from simulation.sanitize import sanitize
from simulation.strict_json import UTF8_BOM, parse

SIMULATION_FILE = "simulation_settings.json"
EXPERIMENTAL_FILE = "experimental_settings.json"
MAX_FILE_BYTES = 1024 * 1024
MAX_NAME_CHARACTERS = 40
MAX_PROMPT_CHARACTERS = 100_000

_TIMING, _WEIGHTS = Timing(), ActWeights()
_SAMPLING, _GATEWAY, _FAILURE = Sampling(), GatewayLimits(), OnModelFailure()

Weight = Annotated[float, Field(ge=0, le=1000)]
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARACTERS)]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


class PersonaSettings(_Settings):
    description: str = Field(default="", max_length=MAX_PROMPT_CHARACTERS)
    """Who this agent is: age, job, opinions, way of writing. Goes into the agent's prompt, and nowhere else."""
    chattiness: float = Field(default=1.0, ge=0, le=100)
    """How often this agent is the one to speak, against the others' 1."""


class TimingSettings(_Settings):
    scale: float = Field(default=_TIMING.scale, ge=0, le=100)
    """Multiplies reading and typing time. 0: answers appear as soon as the model has given them."""
    noticing_seconds: float = Field(default=_TIMING.noticing_seconds, ge=0, le=600)
    """Time before a member starts to read."""
    reading_characters_per_second: float = Field(default=_TIMING.reading_characters_per_second, ge=0.1, le=10_000)
    typing_characters_per_second: float = Field(default=_TIMING.typing_characters_per_second, ge=0.1, le=10_000)
    typing_least_seconds: float = Field(default=_TIMING.typing_least_seconds, ge=0, le=600)
    """Typing is shown for at least this long."""
    typing_most_seconds: float = Field(default=_TIMING.typing_most_seconds, ge=0, le=600)
    """No message takes longer than this to type."""
    spread: float = Field(default=_TIMING.spread, ge=0, le=2)
    """How much members vary: the sigma of a log-normal factor of mean 1."""
    stale_after_messages: int = Field(default=_TIMING.stale_after_messages, ge=1, le=1000)
    """An answer is stale once this many messages were posted since it was planned."""
    stale_answers: Literal["keep", "drop", "redraw"] = _TIMING.stale_answers
    """What happens to a stale answer. `drop` lowers the delivered rate."""


class ActWeightSettings(_Settings):
    message: Weight = _WEIGHTS.message
    """A plain message."""
    reply: Weight = _WEIGHTS.reply
    """A message that quotes another."""
    mention: Weight = _WEIGHTS.mention
    """A message that addresses a member with @."""
    reaction: Weight = _WEIGHTS.reaction
    """An emoji under somebody's message. Comes on top of messages_per_minute."""


ProviderName = Literal["scripted", "recorded", "gemini", "groq", "openai_compatible"]


class LanguageModelSettings(_Settings):
    provider: ProviderName | None = None
    """Who answers. `scripted` needs no key; `openai_compatible` is Ollama, vLLM, LM Studio, llama.cpp and the like.
    null: the provider whose key is set, if a model is named, else `scripted`."""
    model: str | None = Field(default=None, min_length=1, max_length=200)
    """The provider's name for the model. LLM_MODEL in the environment wins."""
    script: str | None = None
    """The scripted model's own file, relative to this folder."""
    log: str | None = None
    """The session log that the recorded model answers from, relative to this folder."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """null: not sent. Some models advise against it."""
    top_p: float | None = Field(default=None, ge=0, le=1)
    """null: not sent."""
    max_output_tokens: int | None = Field(default=_SAMPLING.max_output_tokens, ge=1, le=1_000_000)
    """Thinking counts: too few, and answers are empty. null: not sent."""
    stop: list[str] | None = Field(default=None, max_length=5)
    """Texts at which the model stops. null: not sent."""
    seed: int | None = Field(default=None, ge=0, lt=2**31)
    """For providers that take one. null: not sent."""
    thinking_level: Literal["minimal", "low", "medium", "high"] | None = None
    """Gemini's: how much the model thinks; not every model takes each. null: not sent. Not with thinking_budget."""
    thinking_budget: int | None = Field(default=None, ge=-1, le=1_000_000)
    """Gemini's: tokens for thinking; 0: none, -1: as the model likes. null: not sent."""
    reasoning_effort: str | None = Field(default=None, min_length=1, max_length=20)
    """Groq's and others': how much the model thinks. null: not sent."""
    turn_seconds: float = Field(default=_GATEWAY.turn_seconds, ge=1, le=600)
    """All that a turn may take, waiting and a second try included. Afterwards the agent stays silent."""
    attempt_seconds: float = Field(default=_GATEWAY.attempt_seconds, ge=0.5, le=600)
    """All that one call may take."""
    calls_in_flight: int = Field(default=_GATEWAY.calls_in_flight, ge=1, le=10_000)
    """How many calls may be under way at once, of all sessions together."""
    requests_per_minute: float | None = Field(default=None, ge=0.1, le=1_000_000)
    """Calls a minute, of all sessions together, evenly spread. null: no limit of ours."""
    on_model_mismatch: Literal["warn", "stop"] = _GATEWAY.on_model_mismatch
    """What happens if the provider answers with another model than was asked for: a record, or the session's end."""


class BudgetSettings(_Settings):
    """What may be spent at most; a day is UTC's. null: no limit."""

    calls_per_session: int | None = Field(default=None, ge=1)
    calls_per_experiment: int | None = Field(default=None, ge=1)
    calls_per_day: int | None = Field(default=None, ge=1)
    tokens_per_session: int | None = Field(default=None, ge=1)
    tokens_per_experiment: int | None = Field(default=None, ge=1)
    tokens_per_day: int | None = Field(default=None, ge=1)
    cost_per_session: float | None = Field(default=None, gt=0)
    """In the currency of the price list (US dollars)."""
    cost_per_experiment: float | None = Field(default=None, gt=0)
    cost_per_day: float | None = Field(default=None, gt=0)


class OnModelFailureSettings(_Settings):
    mode: Literal["silence", "canned", "second_provider", "end_early"] = _FAILURE.mode
    """What participants get while the model gives no answer: nothing, lines of yours, another model, an end."""
    lines: list[Annotated[str, Field(min_length=1, max_length=1000)]] = Field(default=[], max_length=1000)
    """canned: what agents say instead. Fits everywhere, or it will show: "hm", "brb", "good question"."""
    provider: ProviderName | None = None
    """second_provider: who answers instead."""
    model: str | None = Field(default=None, min_length=1, max_length=200)
    """second_provider: the model that answers instead."""
    after_minutes: float = Field(default=_FAILURE.after_seconds / 60, gt=0, le=MAX_SESSION_MINUTES)
    """end_early: how long no agent may have said a word."""


class SimulationSettings(_Settings):
    """How the chatroom feels. Not varied between conditions unless a condition says so."""

    model_config = ConfigDict(title=SIMULATION_FILE, populate_by_name=True)

    schema_: str | None = Field(default=None, alias="$schema")
    """Where editors find the description of this file."""
    num_agents: int = Field(ge=1, le=MAX_AGENTS)
    """Number of AI agents in the chatroom. Must match the length of agent_names."""
    agent_names: list[Name] = Field(min_length=1, max_length=MAX_AGENTS)
    """Names of the agents. Each agent knows its own."""
    messages_per_minute: float = Field(ge=0, le=MAX_MESSAGES_PER_MINUTE)
    """Messages that all agents together post of their own accord, on average."""
    user_response_probability: float = Field(ge=0, le=1)
    """Probability that an agent answers a message of the participant. 0.7 = 70 %."""
    context_window_size: int = Field(ge=0, le=10_000)
    """Number of recent messages in an agent's prompt. 0: none."""
    session_duration_minutes: float = Field(ge=MIN_SESSION_MINUTES, le=MAX_SESSION_MINUTES)
    """How long a session runs before it ends by itself. May be a fraction."""
    group_name: Name = "Community group"
    """The name over the chat."""
    participant_name: Name | None = None
    """What agents call the participant. null: they avoid it; models are given a neutral word."""
    personas: dict[str, PersonaSettings] = {}
    """By agent name. An agent without one has nothing but its name."""
    language_model: LanguageModelSettings = LanguageModelSettings()
    """Which model speaks for the agents, and how it is asked."""
    budget: BudgetSettings = BudgetSettings()
    """What all that may cost. A budget that is spent silences the agents, and lets no new session begin."""
    deny_list: list[Annotated[str, Field(min_length=2, max_length=200)]] = Field(default=[], max_length=1000)
    """Words and phrases that no agent may say: a message with one of them is dropped."""
    timing: TimingSettings = TimingSettings()
    """How long members take to read and to type."""
    act_weights: ActWeightSettings = ActWeightSettings()
    """How often a post is a message, a quoted reply, a mention or an emoji reaction."""
    random_seed: int | None = Field(default=None, ge=0, lt=2**53)
    """Every draw of every session follows from it. null: a new one each time the server starts."""
    reconnect_grace_seconds: float = Field(default=120, ge=0, le=MAX_SESSION_MINUTES * 60)
    """How long a session waits for a participant whose connection was lost."""


class ExperimentalSettings(_Settings):
    """What is an experimental variable."""

    model_config = ConfigDict(title=EXPERIMENTAL_FILE, populate_by_name=True)

    schema_: str | None = Field(default=None, alias="$schema")
    """Where editors find the description of this file."""
    experiment_id: str | None = Field(default=None, min_length=1, max_length=100)
    """Stands in every log. null: the folder's name."""
    prompt_template: str = Field(min_length=1, max_length=MAX_PROMPT_CHARACTERS)
    """The system prompt of all agents. May use {agent_name}, {participant_name}, {group_name}, {persona}."""
    on_model_failure: OnModelFailureSettings = OnModelFailureSettings()
    """What happens while the model gives no answer. Stands in every log."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """A folder that passed every check. The raw files are kept as they were read: the log holds them whole."""

    folder: Path
    experiment_id: str
    experimental_config: Mapping[str, Any]
    simulation_config: Mapping[str, Any]
    sha256: Mapping[str, str]
    parameters: SimulationParameters
    random_seed: int | None
    named_provider: str | None
    named_model: str | None
    warnings: tuple[str, ...]

    def with_model(self, provider: str, model: str) -> Experiment:
        """Return this experiment with the model that was settled on."""
        other = replace(self.parameters.language_model, provider=provider, model=model)
        return replace(self, parameters=replace(self.parameters, language_model=other))


def load_experiment(folder: Path) -> Experiment:
    """Return the experiment in `folder`; raise InvalidExperiment with everything that is wrong with it."""
    problems: list[Problem] = []
    simulation = _read(folder / SIMULATION_FILE, SimulationSettings, problems)
    experimental = _read(folder / EXPERIMENTAL_FILE, ExperimentalSettings, problems)
    if simulation is not None:
        problems += _simulation_problems(simulation)
    if experimental is not None:
        problems += _experimental_problems(experimental)
    if problems or simulation is None or experimental is None:
        raise InvalidExperiment(problems)
    assert isinstance(simulation.model, SimulationSettings)
    assert isinstance(experimental.model, ExperimentalSettings)
    parameters = _resolved(folder, simulation.model, experimental.model)
    return Experiment(
        folder=folder,
        experiment_id=experimental.model.experiment_id or folder.resolve().name,
        experimental_config=experimental.raw,
        simulation_config=simulation.raw,
        sha256={SIMULATION_FILE: simulation.sha256, EXPERIMENTAL_FILE: experimental.sha256},
        parameters=parameters,
        random_seed=simulation.model.random_seed,
        named_provider=simulation.model.language_model.provider,
        named_model=simulation.model.language_model.model,
        warnings=(*load_warnings(parameters), *_naming_warnings(parameters), *_canned_warnings(parameters)),
    )


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


def _naming_warnings(parameters: SimulationParameters) -> Iterator[str]:
    if "{participant_name}" in parameters.prompt_template and parameters.participant_name is None:
        yield (
            f'prompt_template uses {{participant_name}}, but participant_name is null: agents will read "'
            f'{NEUTRAL_PARTICIPANT}" there, and are told that this is no name. Name the participant, or leave it out.'
        )


def _canned_warnings(parameters: SimulationParameters) -> Iterator[str]:
    """Canned lines pass what every message must pass: one that does not would never be said."""
    names = parameters.called_names
    for index, line in enumerate(parameters.on_model_failure.lines):
        content, rules = sanitize(line, names[0], names)
        leak = leak_in(content, names[0], names, parameters.deny_list, "")
        if not content or leak:
            broken = leak or ", ".join(rules)
            yield f"on_model_failure.lines[{index}]: {shown(line)} would never be said: it breaks the rule {broken}"


# Reading


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    raw: dict[str, Any]
    sha256: str
    model: _Settings | None


def _read(path: Path, cls: type[_Settings], problems: list[Problem]) -> _File | None:
    """Return the file, with its model unless a key of it is wrong; add to `problems` whatever is."""
    try:
        data = _bytes(path)
        raw = parse(data.removeprefix(UTF8_BOM))
    except InvalidJson as error:
        problems.append(Problem(path, _place(error), error.reason))
        return None
    if not isinstance(raw, dict):
        problems.append(Problem(path, "", "the file must hold one object: {...}"))
        return None
    digest = hashlib.sha256(data).hexdigest()
    try:
        return _File(path, raw, digest, cls.model_validate(raw))
    except ValidationError as error:
        problems += _problems_of(path, cls, error)
        return _File(path, raw, digest, None)


def _bytes(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise InvalidJson("is a folder; a file is needed")
        if path.exists() and not path.is_file():
            raise InvalidJson("is no regular file")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InvalidJson(f"larger than {MAX_FILE_BYTES:,} bytes")
        data = path.read_bytes()
    except FileNotFoundError:
        raise InvalidJson("the file is missing") from None
    except OSError as error:
        raise InvalidJson(f"cannot be read: {error.strerror}") from error
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data[:100]:
        raise InvalidJson('UTF-16 text; save the file as "UTF-8"')
    return data


def _place(error: InvalidJson) -> str:
    return "" if error.line is None else f"line {error.line}, column {error.column}"


def _problems_of(path: Path, cls: type[_Settings], error: ValidationError) -> Iterator[Problem]:
    schema = cls.model_json_schema()
    for each in error.errors(include_url=False):
        parts = tuple(part for part in each["loc"])
        key = key_path(parts)
        property_schema = _schema_at(schema, parts)
        if each["type"] == "extra_forbidden":
            parent = _resolve(schema, _schema_at(schema, parts[:-1]) or schema)
            elsewhere = _file_that_knows(key, cls)
            known = parent.get("properties", {})
            message = f"belongs in {elsewhere}" if elsewhere else unknown_key(str(parts[-1]), known)
            yield Problem(path, key, message)
        elif each["type"] == "missing":
            yield Problem(path, key, f"missing: {allowed_by(property_schema or {}, schema)} is needed")
        else:
            allowed = allowed_by(property_schema, schema) if property_schema else each["msg"]
            yield Problem(path, key, not_allowed(each["input"], _with_length(each, allowed)))


def _file_that_knows(key: str, cls: type[_Settings]) -> str | None:
    """Return the other file's name, if the key is one of its."""
    others: dict[str, type[_Settings]] = {SIMULATION_FILE: SimulationSettings, EXPERIMENTAL_FILE: ExperimentalSettings}
    return next((name for name, each in others.items() if each is not cls and key in each.model_fields), None)


def _with_length(error: Any, allowed: str) -> str:
    longest = error.get("ctx", {}).get("max_length")
    return f"{allowed}, at most {longest} long" if longest else allowed


def _schema_at(schema: Mapping[str, Any], parts: tuple[str | int, ...]) -> Mapping[str, Any] | None:
    here: Mapping[str, Any] = schema
    for part in parts:
        here = _resolve(schema, here)
        options = [_resolve(schema, option) for option in here.get("anyOf", ())]
        here = next((option for option in options if option.get("type") in ("object", "array")), here)
        if isinstance(part, int):
            following = here.get("items")
        else:
            following = here.get("properties", {}).get(part, here.get("additionalProperties"))
        if not isinstance(following, Mapping):
            return None
        here = following
    return here


def _resolve(root: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in schema:
        return schema
    found: Mapping[str, Any] = root["$defs"][schema["$ref"].rsplit("/", 1)[-1]]
    return found


# Checks across keys: also done where single keys are wrong, so that one run tells everything


def _simulation_problems(file: _File) -> Iterator[Problem]:
    names = file.raw.get("agent_names")
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        yield from _roster(file, names)
    weights = file.raw.get("act_weights")
    if file.model is not None and isinstance(file.model, SimulationSettings) and weights is not None:
        chosen = ActWeights(**file.model.act_weights.model_dump())
        yield from (Problem(file.path, p.key, p.allowed) for p in weight_problems(chosen))
    if isinstance(file.model, SimulationSettings):
        yield from _timing(file, file.model.timing)
        yield from _language_model(file, file.model.language_model)


def _roster(file: _File, names: list[str]) -> Iterator[Problem]:
    number = file.raw.get("num_agents")
    if isinstance(number, int) and number != len(names):
        yield Problem(file.path, "num_agents", not_allowed(number, f"agent_names has {len(names)} names"))
    participant = file.raw.get("participant_name")
    for problem in roster_problems(names, participant if isinstance(participant, str) else None):
        yield Problem(file.path, problem.key, not_allowed(problem.value, problem.allowed))
    group = file.raw.get("group_name")
    if isinstance(group, str) and (allowed := name_problem(group)):
        yield Problem(file.path, "group_name", not_allowed(group, allowed))
    personas = file.raw.get("personas")
    for name in personas if isinstance(personas, dict) else ():
        if name not in names:
            yield Problem(file.path, f"personas.{name}", f"no agent has this name; {unknown_key(name, names)}")


def _timing(file: _File, timing: TimingSettings) -> Iterator[Problem]:
    if timing.typing_least_seconds > timing.typing_most_seconds:
        allowed = f"not more than timing.typing_most_seconds, {timing.typing_most_seconds:g}"
        key = "timing.typing_least_seconds"
        yield Problem(file.path, key, not_allowed(timing.typing_least_seconds, allowed))


def _language_model(file: _File, chosen: LanguageModelSettings) -> Iterator[Problem]:
    for key, name in (("script", chosen.script), ("log", chosen.log)):
        if name is not None and not _is_file(file.path.parent / name):
            allowed = f"there is no such file in {file.path.parent}"
            yield Problem(file.path, f"language_model.{key}", not_allowed(name, allowed))
    if chosen.provider == "recorded" and chosen.log is None:
        yield Problem(file.path, "language_model.log", "missing: the recorded model answers from a session's log")
    if chosen.thinking_level is not None and chosen.thinking_budget is not None:
        allowed = "not together with language_model.thinking_level: the provider refuses both in one request"
        yield Problem(file.path, "language_model.thinking_budget", not_allowed(chosen.thinking_budget, allowed))
    if chosen.attempt_seconds > chosen.turn_seconds:
        allowed = f"not more than language_model.turn_seconds, {chosen.turn_seconds:g}"
        yield Problem(file.path, "language_model.attempt_seconds", not_allowed(chosen.attempt_seconds, allowed))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long, a folder that may not be looked into
        return False


def _experimental_problems(file: _File) -> Iterator[Problem]:
    template = file.raw.get("prompt_template")
    if isinstance(template, str):
        yield from (Problem(file.path, "prompt_template", message) for message in template_problems(template))
    if isinstance(file.model, ExperimentalSettings):
        yield from _failure(file, file.model.on_model_failure)


def _failure(file: _File, failure: OnModelFailureSettings) -> Iterator[Problem]:
    if failure.mode == "canned" and not failure.lines:
        yield Problem(
            file.path, "on_model_failure.lines", "missing: the mode is canned, so at least one line is needed"
        )
    if failure.mode == "second_provider":
        if failure.provider is None:
            allowed = "missing: the mode is second_provider, so it must be named"
            yield Problem(file.path, "on_model_failure.provider", allowed)
        elif failure.provider == "recorded":
            yield Problem(file.path, "on_model_failure.provider", not_allowed("recorded", "a provider that can answer"))
        elif failure.model is None and failure.provider != "scripted":
            allowed = f"missing: which model of {failure.provider} answers instead"
            yield Problem(file.path, "on_model_failure.model", allowed)


def _resolved(folder: Path, simulation: SimulationSettings, experimental: ExperimentalSettings) -> SimulationParameters:
    nobody = PersonaSettings()
    personas = (
        Persona(name=name, **simulation.personas.get(name, nobody).model_dump()) for name in simulation.agent_names
    )
    return SimulationParameters(
        prompt_template=experimental.prompt_template,
        agents=tuple(personas),
        messages_per_minute=simulation.messages_per_minute,
        user_response_probability=simulation.user_response_probability,
        message_window=simulation.context_window_size,
        duration_seconds=round(simulation.session_duration_minutes * 60, MILLISECONDS),
        group_name=simulation.group_name,
        participant_name=simulation.participant_name,
        reconnect_grace_seconds=round(simulation.reconnect_grace_seconds, MILLISECONDS),
        language_model=_choice(simulation.language_model),
        timing=Timing(**simulation.timing.model_dump()),
        act_weights=ActWeights(**simulation.act_weights.model_dump()),
        gateway=GatewayLimits(**_shared(simulation.language_model, GatewayLimits)),
        on_model_failure=_on_model_failure(experimental.on_model_failure, simulation.language_model),
        budget=Budget(**simulation.budget.model_dump()),
        deny_list=tuple(simulation.deny_list),
    )


def _choice(chosen: LanguageModelSettings) -> ModelChoice:
    """The choice as the file has it; the server settles on a provider where the file names none."""
    unnamed = ModelChoice()
    return ModelChoice(
        provider=chosen.provider or unnamed.provider,
        model=chosen.model or ("recorded" if chosen.provider == "recorded" else unnamed.model),
        script=chosen.script,
        log=chosen.log,
        sampling=_sampling(chosen),
    )


def _sampling(chosen: LanguageModelSettings) -> Sampling:
    return Sampling.from_record(_shared(chosen, Sampling))


def _shared(settings: _Settings, cls: type[GatewayLimits | Sampling]) -> dict[str, Any]:
    """Return those settings that `cls` has a field for."""
    values = settings.model_dump()
    return {each.name: values[each.name] for each in fields(cls)}


def _on_model_failure(chosen: OnModelFailureSettings, first: LanguageModelSettings) -> OnModelFailure:
    second = None
    if chosen.mode == "second_provider" and chosen.provider is not None:
        # What one provider calls its knobs another does not know: only the length of an answer is the same.
        sampling = Sampling(max_output_tokens=first.max_output_tokens)
        second = ModelChoice(provider=chosen.provider, model=chosen.model or ModelChoice().model, sampling=sampling)
    seconds = round(chosen.after_minutes * 60, MILLISECONDS)
    return OnModelFailure(mode=chosen.mode, lines=tuple(chosen.lines), second=second, after_seconds=seconds)
