"""Which condition a participant comes to: a function of the seed, the stratum and their place in its list.

Every combination of stratum values has a list of its own, whose places count 1, 2, 3, ... The whole list can be written
down before anybody is recruited, and compared afterwards with what happened.

*Permuted blocks* (Zelen 1974, "The randomization and stratification of patients to clinical trials"): a block holds
every condition as often as its weight says, times `block_size / sum of weights`, in random order, so that after every
whole block the conditions stand to one another exactly as their weights. *Weighted*: every place is drawn by itself.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Literal, Self
from urllib.parse import urlencode

from simulation.pacing import draws

Method = Literal["permuted_blocks", "weighted"]


@dataclass(frozen=True, slots=True)
class Allocation:
    """The list of allocations: `weights` by condition, in the conditions' order; `strata` are names of parameters.
    `purpose` keeps demonstrations apart from the study, whose list they must not use up.
    """

    method: Method
    weights: tuple[tuple[str, float], ...]
    block_size: int
    seed: int
    strata: tuple[str, ...] = ()
    purpose: str = "study"

    def condition(self, stratum: str, number: int) -> str:
        """Return the condition at place `number` (from 1) of a stratum's list."""
        if self.method == "permuted_blocks":
            block, place = divmod(number - 1, self.block_size)
            return _block(self, stratum, block)[place]
        random = draws(self.seed, f"assignment:{stratum}", number)
        names, weights = zip(*self.weights, strict=True)
        drawn: str = random.choices(names, weights)[0]
        return drawn

    def places(self, stratum: str = "") -> Iterator[str]:
        """Yield a stratum's list, without end."""
        for number in itertools.count(1):
            yield self.condition(stratum, number)

    def stratum(self, parameters: Mapping[str, str]) -> str:
        """Return the name of the stratum that a link's parameters belong to."""
        return urlencode([(name, parameters.get(name, "")) for name in self.strata])

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.spec.encode()).hexdigest()

    @property
    def spec(self) -> str:
        """All that the list follows from, as JSON."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_spec(cls, spec: str) -> Self:
        values: dict[str, Any] = json.loads(spec)
        weights = tuple((name, weight) for name, weight in values.pop("weights"))
        return cls(weights=weights, strata=tuple(values.pop("strata")), **values)


@lru_cache(maxsize=1024)
def _block(allocation: Allocation, stratum: str, block: int) -> tuple[str, ...]:
    total = sum(int(weight) for _, weight in allocation.weights)
    times = allocation.block_size // total
    places = [name for name, weight in allocation.weights for _ in range(int(weight) * times)]
    draws(allocation.seed, f"assignment:{stratum}", block).shuffle(places)
    return tuple(places)
