"""`experimental_settings.json`: what is an experimental variable, who takes part, what they read before and after."""

from __future__ import annotations

import copy
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, ConfigDict, Discriminator, Field, Tag, create_model

from experiments.settings.base import EXPERIMENTAL_FILE, Name, Settings, Text
from experiments.settings.simulation import PersonaSettings, ProviderName, SimulationSettings
from simulation.parameters import MAX_SESSION_MINUTES, OnModelFailure

_FAILURE = OnModelFailure()

NOT_A_CONDITIONS = ("schema_", "personas", "random_seed", "reconnect_grace_seconds")
"""What stands in no condition's `simulation`; personas have a place of their own there."""
MAX_MESSAGE_CHARACTERS = 4_000
MAX_SCREEN_CHARACTERS = 50_000
MAX_BLOCK = 1000
OUTCOMES = ("completed", "withdrawn", "declined", "technical", "screened_out")

Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
"""Names of conditions, factors and levels stand in commands and tables: letters, digits, _ . - are enough."""
Line = Annotated[str, Field(min_length=1, max_length=200)]
Message = Annotated[str, Field(min_length=1, max_length=MAX_MESSAGE_CHARACTERS)]
ScreenText = Annotated[str, Field(min_length=1, max_length=MAX_SCREEN_CHARACTERS)]
ParameterName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Moment = Annotated[AwareDatetime, Field(strict=False)]
PanelName = Literal["prolific", "qualtrics", "sona", "cloudresearch"]


# What differs between conditions


class CardSettings(Settings):
    headline: Line
    source: Line
    """Who published it."""
    text: Message
    """The first lines of the article."""


class StimulusSettings(Settings):
    """Comes at one moment (`at_seconds`, `after_messages` or `on`) and shows one thing (`content` or `card`)."""

    at_seconds: float | None = Field(default=None, ge=0, le=MAX_SESSION_MINUTES * 60)
    """It appears so many seconds after the session's start."""
    after_messages: int | None = Field(default=None, ge=1, le=100_000)
    """It follows so many messages, of anybody."""
    on: Literal["first_participant_message"] | None = None
    """It follows the participant's first message."""
    agent: Name
    """In whose name."""
    content: Message | None = None
    """What the agent writes, word for word."""
    card: CardSettings | None = None
    """A piece of news that the agent shares."""
    reply_to_last: bool = False
    """Whether it quotes the newest message."""


def _optional(field: Any) -> Any:
    field = copy.copy(field)
    field.default, field.default_factory = None, None
    return field


_overrides: dict[str, Any] = {
    name: (field.annotation, _optional(field))
    for name, field in SimulationSettings.model_fields.items()
    if name not in NOT_A_CONDITIONS
}
SimulationOverrides: type[Settings] = create_model(
    "SimulationOverrides",
    __base__=Settings,
    __doc__="Settings of simulation_settings.json that have another value here.",
    **_overrides,
)


class ConditionSettings(Settings):
    """What is different here. What is not named is as outside, also inside of personas and settings."""

    note: str | None = Field(default=None, max_length=2_000)
    """For researchers. Goes nowhere."""
    prompt_template: Text | None = None
    """The system prompt of all agents, instead of the one outside."""
    personas: dict[str, PersonaSettings] | None = None
    """By agent name; what is not named of an agent stays as it is in simulation_settings.json."""
    stimuli: list[StimulusSettings] | None = Field(default=None, max_length=100)
    """Instead of the stimuli outside; an empty list: none."""
    gate: bool | None = None
    """Whether agents wait until the participant has posted."""
    simulation: SimulationOverrides | None = None
    """Settings of simulation_settings.json that have another value here."""


class AssignmentSettings(Settings):
    method: Literal["permuted_blocks", "weighted"] = "permuted_blocks"
    """permuted_blocks: every block has each condition as often as its weight says, in random order; weighted: every
    participant is drawn by themselves."""
    block_size: int | None = Field(default=None, ge=1, le=MAX_BLOCK)
    """permuted_blocks: participants in a block, a multiple of the sum of weights. null: the sum of weights."""
    weights: dict[str, Annotated[float, Field(gt=0, le=MAX_BLOCK)]] = Field(default={})
    """By condition. A condition that is not named has 1. For blocks, whole numbers."""
    seed: int | None = Field(default=None, ge=0, lt=2**53)
    """The whole list of allocations follows from it. null: random_seed, else drawn once and kept."""
    strata: list[ParameterName] = Field(default=[], max_length=5)
    """Parameters of the link: every combination of their values has a list of its own."""
    quotas: dict[str, Annotated[int, Field(ge=1, le=1_000_000)]] = Field(default={})
    """By condition: how many completed sessions are wanted. Places of those who drop out are given again."""


# Who takes part


class PanelParameters(Settings):
    """Names of the parameters with which a panel's link comes."""

    participant: ParameterName
    """Which of them tells participants apart."""
    study: ParameterName | None = None
    session: ParameterName | None = None


def _panel_is(value: Any) -> str:
    return "parameters" if isinstance(value, dict | PanelParameters) else "name"


Panel = Annotated[
    Annotated[PanelName, Tag("name")] | Annotated[PanelParameters, Tag("parameters")], Discriminator(_panel_is)
]


class EntrySettings(Settings):
    mode: Literal["demo", "tokens", "open", "panel"] = "demo"
    """demo: everybody, with the token 1234; tokens: whoever has one of yours; open: whoever has the address; panel:
    whom a panel sends."""
    panel: Panel | None = None
    """mode panel: whose link it is, or the names of its parameters."""
    opens_at: Moment | None = None
    """Nobody begins before, e.g. 2026-12-01T09:00:00+01:00."""
    closes_at: Moment | None = None
    """Nobody begins afterwards; who is in the chat stays."""
    max_live_sessions: int | None = Field(default=None, ge=1, le=100_000)
    """How many sessions may go on at once. null: as many as the machine carries."""


# What participants read


class ConsentSettings(Settings):
    version: Annotated[str, Field(min_length=1, max_length=100)]
    """Stands in the log of whoever agreed to this text: give a new one whenever you change it."""
    title: Line = "Before you take part"
    text: ScreenText
    """Paragraphs are separated by blank lines; *strong*, _emphasis_, [a link](https://example.org)."""
    agree: Line = "I agree and take part"
    decline: Line = "I do not take part"


class WelcomeSettings(Settings):
    title: Line = "Welcome"
    text: ScreenText
    """As in consent."""
    button: Line = "Join the chat"


class DebriefingSettings(Settings):
    title: Line = "Thank you"
    text: ScreenText
    """As in consent. Shown, and sent, only when the session is over."""


class ScreensSettings(Settings):
    consent: ConsentSettings | None = None
    """Comes first; who declines gets no session."""
    welcome: WelcomeSettings | None = None
    """Comes before the chat."""
    debriefing: DebriefingSettings | None = None
    """Comes after the chat, also for who left it."""


class OutcomeSettings(Settings):
    code: Annotated[str, Field(pattern=r"^[!-~]{1,100}$")] | None = None
    """What the panel wants to be told."""
    url: Annotated[str, Field(max_length=2_000)] | None = None
    """Where to go on, https. {code} and the parameters of the panel's link, such as {PROLIFIC_PID}, are filled in."""


class CompletionSettings(Settings):
    completed: OutcomeSettings | None = None
    """The time was up."""
    withdrawn: OutcomeSettings | None = None
    """The participant left."""
    declined: OutcomeSettings | None = None
    """No consent was given."""
    technical: OutcomeSettings | None = None
    """The session ended early: a lost connection, a model that failed, a server that was stopped."""
    screened_out: OutcomeSettings | None = None
    """All quotas are reached."""


class WithdrawalSettings(Settings):
    offered: bool = True
    """Whether the page has a button for it."""
    label: Line = "Leave the study"
    question: Line = "Do you want to stop taking part? You cannot come back to the chat."
    confirm: Line = "Leave"
    cancel: Line = "Stay"


# The rest


class OnModelFailureSettings(Settings):
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


class ExperimentalSettings(Settings):
    """What is an experimental variable."""

    model_config = ConfigDict(title=EXPERIMENTAL_FILE, populate_by_name=True)

    schema_: str | None = Field(default=None, alias="$schema")
    """Where editors find the description of this file."""
    experiment_id: str | None = Field(default=None, min_length=1, max_length=100)
    """Stands in every log. null: the folder's name."""
    note: str | None = Field(default=None, max_length=10_000)
    """For researchers: what the experiment is about. Stands in the log, and goes to nobody else."""
    prompt_template: Text
    """The system prompt of all agents. May use {agent_name}, {participant_name}, {group_name}, {persona}."""
    stimuli: list[StimulusSettings] = Field(default=[], max_length=100)
    """Messages and news cards of yours, each at its moment, in the name of an agent."""
    gate: bool = False
    """Whether agents wait until the participant has posted. Stimuli do not wait."""
    conditions: dict[Label, ConditionSettings] = Field(default={}, max_length=100)
    """By name: what is different in each. None: one condition, called "default"."""
    factors: dict[Label, dict[Label, ConditionSettings]] = Field(default={}, max_length=6)
    """By name: their levels, by name. Every combination is a condition: "civil_pro" of the levels "civil" and "pro"."""
    assignment: AssignmentSettings = AssignmentSettings()
    """How participants come to their condition."""
    entry: EntrySettings = EntrySettings()
    """Who takes part, and when."""
    screens: ScreensSettings = ScreensSettings()
    """What participants read before and after the chat; the same in all conditions."""
    completion: CompletionSettings = CompletionSettings()
    """What participants are given at the end, by outcome."""
    withdrawal: WithdrawalSettings = WithdrawalSettings()
    """The way out during the chat."""
    on_model_failure: OnModelFailureSettings = OnModelFailureSettings()
    """What happens while the model gives no answer. Stands in every log."""
    retain_days: int | None = Field(default=None, ge=1, le=36_500)
    """Days after a session's end when what it said is erased, and who it was. null: when somebody deletes it."""
