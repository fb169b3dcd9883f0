"""What a session is made of, resolved: every default filled in, every name settled.

A researcher's files are read by `experiments.experiment`; this is what they come to. The whole of it stands in the
`session_start` record, so that a log can be resumed and re-executed by a version with other defaults.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Literal, Self

from simulation.errors import InvalidParameters, ParameterProblem

PARTICIPANT = "user"
"""The participant's name on the wire and in the log: a word of the seed, and so no agent's name."""

NEUTRAL_PARTICIPANT = "Guest"
"""What models are told the participant is called, where the settings name nobody."""

ZERO_WIDTH_JOINER = "\u200d"
"""Invisible, but what holds an emoji such as a family together."""

MILLISECONDS = 3
"""Decimals of every time in the log, and so of every time that the core knows."""

MAX_MESSAGES_PER_MINUTE = 600
MAX_REACTIONS_PER_MESSAGE = 20
MIN_SESSION_MINUTES = 0.05
MAX_SESSION_MINUTES = 1440
MAX_AGENTS = 100

StaleAnswers = Literal["keep", "drop", "redraw"]
WhileAway = Literal["continue", "pause"]
AfterRestart = Literal["pause_clock", "wall_clock"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Persona:
    """An agent's written definition. `chattiness` weighs how often it is the one to speak."""

    name: str
    description: str = ""
    chattiness: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long a member takes to read and to type. `scale` multiplies both; 0 means at once.

    Defaults: reading at 25 characters a second, as people skim a chat, and typing at 8, which is faster than thumbs: a
    group that types at the true average (about 36 words, or 3 characters a second) is slow for whoever waits for it.
    """

    scale: float = 1.0
    noticing_seconds: float = 1.0
    reading_characters_per_second: float = 25.0
    typing_characters_per_second: float = 8.0
    typing_least_seconds: float = 1.5
    typing_most_seconds: float = 20.0
    spread: float = 0.25
    stale_after_messages: int = 8
    stale_answers: StaleAnswers = "keep"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActWeights:
    """How often a background post is a plain message, a quoted reply, a mention, an emoji reaction."""

    message: float = 0.84
    reply: float = 0.08
    mention: float = 0.04
    reaction: float = 0.04


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """What a model is told besides the prompt. None is left out of the request: some models refuse some of these.

    `max_output_tokens` must leave room for thinking, or the answer is empty.
    """

    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = 2048
    stop: tuple[str, ...] | None = None
    seed: int | None = None
    thinking_level: str | None = None
    thinking_budget: int | None = None
    reasoning_effort: str | None = None

    @classmethod
    def from_record(cls, data: Mapping[str, Any]) -> Self:
        return cls(**{**data, "stop": None if data.get("stop") is None else tuple(data["stop"])})

    def as_set(self) -> dict[str, Any]:
        """Return what is not None, by name."""
        values = ((each.name, getattr(self, each.name)) for each in fields(self))
        return {name: value for name, value in values if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChoice:
    """Which provider answers, and with which model; `script` names the scripted model's own file, `log` the event log
    that the recorded model answers from.
    """

    provider: str = "scripted"
    model: str = "neighbourhood"
    script: str | None = None
    log: str | None = None
    sampling: Sampling = field(default_factory=Sampling)

    @classmethod
    def from_record(cls, data: Mapping[str, Any]) -> Self:
        return cls(**{**data, "sampling": Sampling.from_record(data.get("sampling", {}))})


FailureMode = Literal["silence", "canned", "second_provider", "end_early"]

FALLBACKS = ("canned", "second_provider")
"""The modes in which somebody else speaks while the model does not, and the sources of what they say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnModelFailure:
    """What a session does while its model gives no answer: the participant must not notice, whatever it is.

    `lines` are what agents say instead (canned), `second` who answers instead (second_provider); `after_seconds`
    without a message of any agent end the session (end_early).
    """

    mode: FailureMode = "silence"
    lines: tuple[str, ...] = ()
    second: ModelChoice | None = None
    after_seconds: float = 180.0

    @classmethod
    def from_record(cls, data: Mapping[str, Any]) -> Self:
        second = data.get("second")
        return cls(
            **{
                **data,
                "lines": tuple(data.get("lines", ())),
                "second": None if second is None else ModelChoice.from_record(second),
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayLimits:
    """How models are asked. Times in seconds.

    `turn_seconds` is all that a turn may take, waiting and retries included; `attempt_seconds` one call of it.
    """

    turn_seconds: float = 20.0
    attempt_seconds: float = 15.0
    calls_in_flight: int = 256
    requests_per_minute: float | None = None
    on_model_mismatch: Literal["warn", "stop"] = "warn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What may be spent at most, None: without limit. Costs are in the currency of the price list."""

    calls_per_session: int | None = None
    calls_per_experiment: int | None = None
    calls_per_day: int | None = None
    tokens_per_session: int | None = None
    tokens_per_experiment: int | None = None
    tokens_per_day: int | None = None
    cost_per_session: float | None = None
    cost_per_experiment: float | None = None
    cost_per_day: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageLimits:
    """How fast a participant may write: `messages_per_second` in the long run (0: as fast as they like), and
    `message_burst` at once.
    """

    messages_per_second: float = 1.0
    message_burst: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A shared piece of news."""

    headline: str
    source: str
    text: str

    @property
    def content(self) -> str:
        """The card as text, for whoever is shown no cards: models, the plain protocol, a transcript."""
        return f"{self.headline}\n{self.text}\n{self.source}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stimulus:
    """Comes at `at_seconds`, after `after_messages` messages of anybody, or `on` the participant's first: one of them.
    Says `content`, or shows `card`; `reply_to_last` quotes the newest message.
    """

    agent: str
    at_seconds: float | None = None
    after_messages: int | None = None
    on: Literal["first_participant_message"] | None = None
    content: str | None = None
    card: Card | None = None
    reply_to_last: bool = False

    @property
    def text(self) -> str:
        return self.card.content if self.card else self.content or ""

    @property
    def trigger(self) -> str:
        """The key of the settings file that says when."""
        if self.at_seconds is not None:
            return "at_seconds"
        return "after_messages" if self.after_messages is not None else "on"

    @classmethod
    def from_record(cls, data: Mapping[str, Any]) -> Self:
        card = data.get("card")
        return cls(**{**data, "card": None if card is None else Card(**card)})


@dataclass(frozen=True, kw_only=True)  # no slots: what follows from the fields is computed once and kept
class SimulationParameters:
    prompt_template: str
    agents: tuple[Persona, ...]
    messages_per_minute: float
    user_response_probability: float
    message_window: int
    duration_seconds: float
    group_name: str = "Community group"
    participant_name: str | None = None
    reconnect_grace_seconds: float = 120.0
    while_away: WhileAway = "continue"
    after_restart: AfterRestart = "pause_clock"
    limits: MessageLimits = field(default_factory=MessageLimits)
    language_model: ModelChoice = field(default_factory=ModelChoice)
    timing: Timing = field(default_factory=Timing)
    act_weights: ActWeights = field(default_factory=ActWeights)
    gateway: GatewayLimits = field(default_factory=GatewayLimits)
    on_model_failure: OnModelFailure = field(default_factory=OnModelFailure)
    budget: Budget = field(default_factory=Budget)
    deny_list: tuple[str, ...] = ()
    stimuli: tuple[Stimulus, ...] = ()
    gate: bool = False

    def __post_init__(self) -> None:
        problems = [*self._problems()]
        if problems:
            raise InvalidParameters(problems)

    @cached_property
    def agent_names(self) -> tuple[str, ...]:
        return tuple(agent.name for agent in self.agents)

    @cached_property
    def called_names(self) -> tuple[str, ...]:
        """Every name by which a member can be called."""
        return (*self.agent_names, self.participant_name) if self.participant_name else self.agent_names

    @cached_property
    def chattiness(self) -> dict[str, float]:
        return {agent.name: agent.chattiness for agent in self.agents}

    def persona(self, name: str) -> Persona:
        return next(agent for agent in self.agents if agent.name == name)

    @classmethod
    def from_record(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild what `session_start` holds under `parameters`."""
        values = dict(data)
        values["agents"] = tuple(Persona(**agent) for agent in data["agents"])
        values["language_model"] = ModelChoice.from_record(data["language_model"])
        values["timing"] = Timing(**data["timing"])
        values["act_weights"] = ActWeights(**data["act_weights"])
        values["gateway"] = GatewayLimits(**data.get("gateway", {}))
        values["on_model_failure"] = OnModelFailure.from_record(data.get("on_model_failure", {}))
        values["budget"] = Budget(**data.get("budget", {}))
        values["limits"] = MessageLimits(**data.get("limits", {}))
        values["deny_list"] = tuple(data.get("deny_list", ()))
        values["stimuli"] = tuple(map(Stimulus.from_record, data.get("stimuli", ())))
        known = {each.name for each in fields(cls)}
        return cls(**{key: value for key, value in values.items() if key in known})

    def _problems(self) -> Iterator[ParameterProblem]:
        yield from roster_problems(self.agent_names, self.participant_name)
        if problem := name_problem(self.group_name):
            yield ParameterProblem("group_name", self.group_name, problem)
        for key, low, high in _RANGES:
            value = getattr(self, key)
            if not low <= value <= high:
                yield ParameterProblem(key, value, f"a number from {low} to {high}")
        yield from weight_problems(self.act_weights)
        yield from stimulus_problems(self.stimuli, self.agent_names, self.duration_seconds)
        timing = self.timing
        if timing.typing_least_seconds > timing.typing_most_seconds:
            yield ParameterProblem(
                "timing.typing_least_seconds",
                timing.typing_least_seconds,
                f"not more than typing_most_seconds, {timing.typing_most_seconds}",
            )


_RANGES = (
    ("messages_per_minute", 0, MAX_MESSAGES_PER_MINUTE),
    ("user_response_probability", 0, 1),
    ("message_window", 0, 10_000),
    ("duration_seconds", MIN_SESSION_MINUTES * 60, MAX_SESSION_MINUTES * 60),
    ("reconnect_grace_seconds", 0, MAX_SESSION_MINUTES * 60),
)


def stimulus_problems(
    stimuli: Sequence[Stimulus], agent_names: Sequence[str], duration_seconds: float
) -> Iterator[ParameterProblem]:
    """Say what keeps a stimulus from ever being seen."""
    for index, stimulus in enumerate(stimuli):
        key = f"stimuli[{index}]"
        if stimulus.agent not in agent_names:
            yield ParameterProblem(f"{key}.agent", stimulus.agent, f"one of {', '.join(agent_names)}")
        if stimulus.at_seconds is not None and stimulus.at_seconds >= duration_seconds:
            allowed = f"it must be less than the session's length, {duration_seconds:g} seconds"
            yield ParameterProblem(f"{key}.at_seconds", stimulus.at_seconds, allowed)
        if [stimulus.at_seconds, stimulus.after_messages, stimulus.on].count(None) != 2:
            yield ParameterProblem(key, stimulus.trigger, "one of at_seconds, after_messages and on")
        if (stimulus.content is None) == (stimulus.card is None):
            yield ParameterProblem(key, stimulus.content, "either content or card")


def weight_problems(weights: ActWeights) -> Iterator[ParameterProblem]:
    if weights.message + weights.reply + weights.mention <= 0:
        allowed = "at least one of message, reply and mention above 0, or agents would never say a word"
        yield ParameterProblem("act_weights", weights.message, allowed)
    elif weights.reaction > MAX_REACTIONS_PER_MESSAGE * (weights.message + weights.reply + weights.mention):
        allowed = f"at most {MAX_REACTIONS_PER_MESSAGE} times message, reply and mention together"
        yield ParameterProblem("act_weights.reaction", weights.reaction, allowed)


def roster_problems(names: Sequence[str], participant_name: str | None = None) -> Iterator[ParameterProblem]:
    """Names must tell members apart for a reader who does not look at case or width."""
    taken = {folded(PARTICIPANT): "the participant's word in the log"}
    if participant_name is None:
        taken[folded(NEUTRAL_PARTICIPANT)] = "what models are told the participant is called"
    elif problem := name_problem(participant_name):
        yield ParameterProblem("participant_name", participant_name, problem)
    else:
        taken[folded(participant_name)] = "the participant's name"
    if not names:
        yield ParameterProblem("agent_names", list(names), "at least one name")
    for index, name in enumerate(names):
        key = f"agent_names[{index}]"
        if problem := name_problem(name):
            yield ParameterProblem(key, name, problem)
        elif folded(name) in taken:
            yield ParameterProblem(key, name, f"a name of its own; this one is {taken[folded(name)]}")
        else:
            taken[folded(name)] = f'also agent_names[{index}], "{name}"'


def name_problem(name: str) -> str | None:
    """Return what a name should be, if it is not that: something that a reader sees, on one line."""
    if not name.strip():
        return "a name with something in it"
    invisible = ("C", "Zl", "Zp")  # control, format and unassigned characters; separators of lines
    if any(unicodedata.category(each).startswith(invisible) and each != ZERO_WIDTH_JOINER for each in name):
        return "a name without invisible characters"
    return None


def folded(name: str) -> str:
    """The name without what a reader overlooks: case, width, and space around it."""
    return unicodedata.normalize("NFKC", name).casefold().strip()
