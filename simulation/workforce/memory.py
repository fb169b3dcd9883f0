"""What a role remembers, and which of it comes back when it is its turn."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import log, sqrt
from typing import Any

from simulation.workforce.events import MemoryStored

RECALLED = 5
"""Memories in one prompt."""
DECAY_PER_ROUND = 0.995
EPISODE_IMPORTANCE = 0.6
EPISODE_HOURS = 24
EPISODE_CHARACTERS = 500
"""Of what was said, kept in the memory of a round."""

_WORD = re.compile(r"\w+")


@dataclass(slots=True)
class Memory:
    """`accessed_in` is the round in which it was last recalled, or else the one after which it was stored; `bag` is its
    words, counted when it is first looked at.
    """

    stored: MemoryStored
    accessed_in: int
    access_count: int = 0
    last_accessed_at: str | None = None
    _bag: Counter[str] | None = field(default=None, compare=False, repr=False)

    @property
    def bag(self) -> Counter[str]:
        if self._bag is None:
            self._bag = Counter(_words(f"{self.stored.key} {texts_in(self.stored.content)}"))
        return self._bag

    def is_alive(self, moment: str) -> bool:
        """Whether it has not expired at `moment` (both are RFC 3339 in UTC with microseconds, and sort as text)."""
        return self.stored.expires_at is None or moment < self.stored.expires_at


def recall(memories: Iterable[Memory], query: str, moment: str, turn_number: int) -> tuple[MemoryStored, ...]:
    """Return what a role recalls for `query`, the best first, at most RECALLED.

    score = recency + importance + relevance, each brought to 0..1 by (x - min) / (max - min) over the candidates, as in
    Park et al. (2023), Generative Agents: Interactive Simulacra of Human Behavior, UIST '23, section 4.1, whose weights
    are 1, too. There,

    * recency is 0.995 to the power of the hours since the last access: here, of the rounds since then;
    * importance is what was said when it was stored, 0 to 1;
    * relevance is the cosine similarity of embeddings: here, of TF-IDF vectors of words, which needs no model.

    Equal scores: the newest first. Expired memories are not candidates.
    """
    alive = [memory for memory in memories if memory.is_alive(moment)]
    recency = [DECAY_PER_ROUND ** (turn_number - memory.accessed_in) for memory in alive]
    importance = [memory.stored.importance for memory in alive]
    relevance = _relevance([memory.bag for memory in alive], query)
    scores = map(sum, zip(*map(_scaled, (recency, importance, relevance)), strict=True))
    ranked = sorted(zip(scores, range(len(alive)), strict=True), reverse=True)
    return tuple(alive[index].stored for _, index in ranked[:RECALLED])


def _scaled(values: Sequence[float]) -> list[float]:
    low, high = min(values, default=0.0), max(values, default=0.0)
    return [round((value - low) / (high - low), 9) if high > low else 1.0 for value in values]


def _relevance(bags: Sequence[Counter[str]], query: str) -> list[float]:
    holding = Counter(word for bag in bags for word in bag)
    rarity = {word: log((1 + len(bags)) / (1 + count)) + 1 for word, count in holding.items()}
    asked = _weighted(Counter(_words(query)), rarity)
    return [_cosine(_weighted(bag, rarity), asked) for bag in bags]


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _weighted(bag: Mapping[str, int], rarity: Mapping[str, float]) -> dict[str, float]:
    return {word: count * rarity[word] for word, count in bag.items() if word in rarity}


def _cosine(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    shared = sum(weight * other[word] for word, weight in one.items() if word in other)
    length = sqrt(sum(w * w for w in one.values()) * sum(w * w for w in other.values()))
    return shared / length if length else 0.0


def texts_in(value: Any) -> str:
    """Return everything that can be read in a JSON value, as one text."""
    match value:
        case Mapping():
            return " ".join(f"{key} {texts_in(item)}" for key, item in value.items())
        case list() | tuple():
            return " ".join(map(texts_in, value))
        case None:
            return ""
    return str(value)
