"""What a session of a condition comes to: messages, calls, the size of prompts, tokens, cost.

Messages and calls are worked out from the settings; the participant is taken to write as the rehearsed one does. The
size of prompts is measured in a few rehearsed sessions, with the very code that asks a model live, and told in tokens
of four characters. Where agents wait behind a gate, the figures hold from the participant's first message.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp, inf

from experiments.experiment import Condition, Experiment
from experiments.prompting import all_prompts
from experiments.rehearsal import SECONDS_BETWEEN_MESSAGES, SECONDS_TO_FIRST_MESSAGE
from simulation import pacing
from simulation.llm.pricing import PER_TOKENS, PriceList
from simulation.llm.registry import WIRE
from simulation.parameters import MIN_SESSION_MINUTES, SimulationParameters

CHARACTERS_PER_TOKEN = 4
OUTPUT_TOKENS_PER_CALL = 25
"""A short message. Thinking, which some models do, is on top."""
SESSIONS_REHEARSED = 3
"""For each condition; one where there are more than MANY_CONDITIONS."""
MANY_CONDITIONS = 8
CALLS_REHEARSED = 500
"""Longer sessions are rehearsed up to about so many calls."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a session of one condition comes to on average. `prompt_tokens` and `longest_prompt_tokens` are None where
    nobody is asked, or nothing could be rehearsed; `prompts_until` is the second up to which they were; `cost` is None
    without a price, in the currency of the list.
    """

    condition: Condition
    background_messages: float
    participant_messages: float
    reactions: float
    calls: float
    prompt_tokens: float | None
    longest_prompt_tokens: int | None
    prompts_until: float
    cost: float | None

    @property
    def minutes(self) -> float:
        return self.condition.parameters.duration_seconds / 60

    @property
    def stimuli(self) -> int:
        return len(self.condition.parameters.stimuli)

    @property
    def agent_messages(self) -> float:
        """All that agents are seen to write, stimuli too."""
        return self.background_messages + self.reactions + self.stimuli

    @property
    def messages(self) -> float:
        """Everybody's."""
        return self.agent_messages + self.participant_messages

    @property
    def model(self) -> str:
        """`provider:model`, as the log has it."""
        chosen = self.condition.parameters.language_model
        return f"{chosen.provider}:{chosen.model}"

    @property
    def is_on_the_wire(self) -> bool:
        return self.condition.parameters.language_model.provider in WIRE

    @property
    def tokens(self) -> float | None:
        """Input and output."""
        if not self.calls:
            return 0.0
        return None if self.prompt_tokens is None else self.calls * (self.prompt_tokens + OUTPUT_TOKENS_PER_CALL)

    @property
    def calls_per_minute(self) -> float:
        return self.calls / self.minutes


def expectation(condition: Condition, prompts: PromptSizes, prices: PriceList | None) -> Expectation:
    """Return what a session comes to; `prompts` are those of its condition."""
    parameters = condition.parameters
    load = pacing.expected_load(parameters)
    shown_seconds = max(0.0, parameters.duration_seconds - load.answer_seconds)  # later draws do not appear any more
    most = load.agents * 60 / load.answer_seconds if load.answer_seconds else inf
    rate = min(parameters.messages_per_minute, most)
    probability = parameters.user_response_probability
    written = participant_messages(parameters.duration_seconds)
    calls = rate / 60 * parameters.duration_seconds + probability * written
    return Expectation(
        condition=condition,
        background_messages=rate / 60 * shown_seconds,
        participant_messages=written,
        reactions=probability * participant_messages(shown_seconds),
        calls=calls,
        prompt_tokens=prompts.mean_tokens,
        longest_prompt_tokens=prompts.longest_tokens,
        prompts_until=prompts.until_seconds,
        cost=_cost(parameters, calls, prompts.mean_tokens, prices),
    )


def participant_messages(seconds: float) -> float:
    """Return how many messages the rehearsed participant writes in that time, on average."""
    first = 1 - exp(-seconds / SECONDS_TO_FIRST_MESSAGE)
    return first + (seconds - SECONDS_TO_FIRST_MESSAGE * first) / SECONDS_BETWEEN_MESSAGES


def _cost(
    parameters: SimulationParameters, calls: float, prompt_tokens: float | None, prices: PriceList | None
) -> float | None:
    chosen = parameters.language_model
    if not calls or chosen.provider not in WIRE:
        return 0.0
    price = prices.price(chosen.provider, chosen.model) if prices else None
    if price is None or prompt_tokens is None:
        return None
    return calls * (prompt_tokens * price.input + OUTPUT_TOKENS_PER_CALL * price.output) / PER_TOKENS


# The prompts of a condition


@dataclass(frozen=True, slots=True)
class PromptSizes:
    mean_tokens: float | None
    longest_tokens: int | None
    until_seconds: float


NO_PROMPTS = PromptSizes(None, None, 0.0)


def sessions_rehearsed(experiment: Experiment) -> int:
    """Return how many sessions of each condition are looked at."""
    return SESSIONS_REHEARSED if len(experiment.conditions) <= MANY_CONDITIONS else 1


def prompt_sizes(experiment: Experiment, seed: int) -> dict[SimulationParameters, PromptSizes]:
    """Rehearse a few sessions of each condition, of conditions that do not differ once."""
    distinct = {each.parameters: each for each in experiment.conditions.values()}
    return {parameters: _sizes(experiment, condition, seed) for parameters, condition in distinct.items()}


def _sizes(experiment: Experiment, condition: Condition, seed: int) -> PromptSizes:
    shortened = _shortened(condition)
    characters: list[int] = []
    for one in range(seed, seed + sessions_rehearsed(experiment)):
        prompts = all_prompts(experiment, shortened, one)
        characters += [sum(len(message.content) for message in prompt.messages) for prompt in prompts]
    until = shortened.parameters.duration_seconds
    if not characters:
        return PromptSizes(None, None, until)
    mean, longest = sum(characters) / len(characters), max(characters)
    return PromptSizes(mean / CHARACTERS_PER_TOKEN, round(longest / CHARACTERS_PER_TOKEN), until)


def _shortened(condition: Condition) -> Condition:
    """Return the condition with a session that has no more calls than we care to rehearse."""
    parameters = condition.parameters
    share = CALLS_REHEARSED / max(expectation(condition, NO_PROMPTS, None).calls, CALLS_REHEARSED)
    if share == 1:
        return condition
    seconds = max(round(parameters.duration_seconds * share), MIN_SESSION_MINUTES * 60)
    kept = tuple(each for each in parameters.stimuli if (each.at_seconds or 0) < seconds)
    return replace(condition, parameters=replace(parameters, duration_seconds=seconds, stimuli=kept))
