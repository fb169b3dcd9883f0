"""`simulation_settings.json`: how lively the room is, and who is in it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from experiments.settings.base import MAX_TEXT_CHARACTERS, SIMULATION_FILE, Name, Settings, Weight
from simulation.parameters import (
    MAX_AGENTS,
    MAX_MESSAGES_PER_MINUTE,
    MAX_SESSION_MINUTES,
    MIN_SESSION_MINUTES,
    ActWeights,
    AfterRestart,
    GatewayLimits,
    MessageLimits,
    Sampling,
    Timing,
    WhileAway,
)

_TIMING, _WEIGHTS, _SAMPLING, _GATEWAY = Timing(), ActWeights(), Sampling(), GatewayLimits()
_LIMITS = MessageLimits()


class PersonaSettings(Settings):
    description: str = Field(default="", max_length=MAX_TEXT_CHARACTERS)
    """Who this agent is: age, job, opinions, way of writing. Goes into the agent's prompt, and nowhere else."""
    chattiness: float = Field(default=1.0, ge=0, le=100)
    """How often this agent is the one to speak, against the others' 1."""


class TimingSettings(Settings):
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


class ActWeightSettings(Settings):
    message: Weight = _WEIGHTS.message
    """A plain message."""
    reply: Weight = _WEIGHTS.reply
    """A message that quotes another."""
    mention: Weight = _WEIGHTS.mention
    """A message that addresses a member with @."""
    reaction: Weight = _WEIGHTS.reaction
    """An emoji under somebody's message. Comes on top of messages_per_minute."""


ProviderName = Literal["scripted", "recorded", "gemini", "groq", "openai_compatible"]


class LanguageModelSettings(Settings):
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


class BudgetSettings(Settings):
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


class LimitSettings(Settings):
    messages_per_second: float = Field(default=_LIMITS.messages_per_second, ge=0, le=1000)
    """In the long run. 0: no limit."""
    message_burst: int = Field(default=_LIMITS.message_burst, ge=1, le=1000)
    """At once, after a pause."""


class SimulationSettings(Settings):
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
    personas: dict[str, PersonaSettings] = Field(default={})
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
    while_away: WhileAway = "continue"
    """What agents do while the participant's connection is lost: write on, or wait for their return."""
    after_restart: AfterRestart = "pause_clock"
    """Whether the session's clock stood still while its server was stopped, or ran on."""
    limits: LimitSettings = LimitSettings()
    """How fast a participant may write. What is beyond it is taken a little later, and nobody is told."""
