"""When: the draws that make a room lively, and the time that members take to read and to type.

Every draw is a function of the session's seed, the name of its stream and a number, so nothing has to be saved to
resume a session, and a fork differs only where it was changed.

The clock ticks every second, and on each tick a post is drawn with probability `messages_per_minute / 60`, as in the
seed. Instead of asking the dice every second, `next_post_at` asks once how many ticks pass until the next post: the
geometric distribution, which is the same thing and costs nothing while the room is quiet. Above 60 a minute one draw a
tick cannot do; the clock then ticks as many times a second as keeps the probability at or under 1.

An emoji reaction is no message. Where the settings let background posts be reactions, posts are drawn that much more
often, so that `messages_per_minute` remains what it says: messages.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, exp, inf, log, log1p
from random import Random
from typing import NamedTuple

from simulation.parameters import SimulationParameters, Timing

TYPICAL_CHARACTERS = 60
"""Length of a message in a group chat, for estimates before anything was said."""


def draws(seed: int, stream: str, number: int) -> Random:
    """Return the generator for one decision: the `number`-th of its `stream`."""
    return Random(f"{seed}:{stream}:{number}")


def draws_per_second(parameters: SimulationParameters) -> float:
    """Background posts drawn per second, of any act."""
    weights = parameters.act_weights
    total = weights.message + weights.reply + weights.mention + weights.reaction
    return parameters.messages_per_minute / 60 * total / (total - weights.reaction)


def next_post_at(parameters: SimulationParameters, seed: int, number: int, last: float) -> float:
    """Return the tick (seconds) of background post `number`, given that of the post before it; inf if none comes."""
    rate = draws_per_second(parameters)
    if rate <= 0:
        return inf
    ticks_per_second = ceil(rate)
    gap = _ticks_until_success(rate / ticks_per_second, uniform(seed, "post", number))
    return round((round(last * ticks_per_second) + gap) / ticks_per_second, 3)


def _ticks_until_success(probability: float, drawn: float) -> int:
    """Geometric on 1, 2, ... by inversion of a draw from [0, 1)."""
    if probability >= 1:
        return 1
    return 1 + int(min(log(1 - drawn) / log1p(-probability), MOST_TICKS))


MOST_TICKS = 10**9
"""More than the longest session has."""

UNIFORMS_PER_SEEDING = 16


def uniform(seed: int, stream: str, number: int) -> float:
    """Return the `number`-th of a stream of draws from [0, 1).

    Seeding a generator costs a hundred times what a number from it does: so one serves sixteen.
    """
    block, index = divmod(number, UNIFORMS_PER_SEEDING)
    return _uniforms(seed, stream, block)[index]


@lru_cache(maxsize=4096)
def _uniforms(seed: int, stream: str, block: int) -> tuple[float, ...]:
    random = draws(seed, stream, block)
    return tuple(random.random() for _ in range(UNIFORMS_PER_SEEDING))


def reaction_is_drawn(parameters: SimulationParameters, seed: int, number: int) -> bool:
    """Whether the participant's message `number` (from 0) gets a reaction."""
    return uniform(seed, "reaction", number) < parameters.user_response_probability


def draw_pace(timing: Timing, random: Random) -> float:
    """Return a log-normal factor of mean 1: people are slower by more than they are faster."""
    sigma = timing.spread
    return round(exp(random.gauss(-sigma * sigma / 2, sigma)), 3) if sigma else 1.0


def reading_seconds(timing: Timing, pace: float, characters: int) -> float:
    """Return how long a member takes to notice and read a message of `characters`."""
    seconds = timing.noticing_seconds + characters / timing.reading_characters_per_second
    return round(timing.scale * pace * seconds, 3)


class Moments(NamedTuple):
    typing_at: float
    appears_at: float


def answer_moments(
    timing: Timing, pace: float, *, ready_to_type_at: float, arrived_at: float, characters: int
) -> Moments:
    """Return when an answer of `characters`, in hand since `arrived_at`, is typed and appears (seconds).

    The model's latency lies inside the time that a person would take to read and type. If it took longer than that,
    the answer still shows a moment of typing: text does not fall out of the air.
    """
    typing = typing_seconds(timing, pace, characters)
    shown = min(typing, timing.scale * timing.typing_least_seconds)
    appears_at = max(ready_to_type_at + typing, arrived_at + shown)
    return Moments(round(max(appears_at - typing, arrived_at), 3), round(appears_at, 3))


def typing_seconds(timing: Timing, pace: float, characters: int) -> float:
    """Return how long a member types a message of `characters`."""
    seconds = pace * characters / timing.typing_characters_per_second
    return timing.scale * min(max(seconds, timing.typing_least_seconds), timing.typing_most_seconds)


def expected_answer_seconds(parameters: SimulationParameters, model_latency: float = 0.0) -> float:
    """Return about how long an agent is occupied by one turn, from the draw to the message."""
    return answer_moments(
        parameters.timing,
        1.0,
        ready_to_type_at=reading_seconds(parameters.timing, 1.0, TYPICAL_CHARACTERS),
        arrived_at=model_latency,
        characters=TYPICAL_CHARACTERS,
    ).appears_at


class Load(NamedTuple):
    """How many agents the configured rate keeps busy, of how many there are."""

    busy_agents: float
    agents: int
    answer_seconds: float

    @property
    def is_sustainable(self) -> bool:
        return self.busy_agents <= self.agents


def expected_load(parameters: SimulationParameters, model_latency: float = 0.0) -> Load:
    seconds = expected_answer_seconds(parameters, model_latency)
    return Load(parameters.messages_per_minute / 60 * seconds, len(parameters.agents), seconds)
