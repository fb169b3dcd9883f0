"""What calls cost, by a dated list of prices: `config/prices.json`, which a researcher may replace with their own.

Prices are for a million tokens. Thinking is billed as output: Gemini counts it beside the output, the others within it
(https://ai.google.dev/gemini-api/docs/pricing, https://groq.com/pricing). A model that is not in the list has no cost,
which is not the same as costing nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulation.errors import InvalidJson, SimulationError
from simulation.generation import Usage, is_version_of
from simulation.strict_json import parse

PER_TOKENS = 1_000_000
DECIMALS = 9
THINKING_IS_BESIDE_OUTPUT = ("gemini",)


class InvalidPrices(SimulationError):
    """The list of prices cannot be used; says file, key and what is allowed."""


@dataclass(frozen=True, slots=True)
class Price:
    """For a million tokens; `cached` is None where cached input costs what other input does. `as_of` is a date."""

    input: float
    output: float
    cached: float | None = None
    as_of: str = ""


@dataclass(frozen=True, slots=True)
class PriceList:
    """`prices` by provider and model; `date` is when the list was made."""

    currency: str
    date: str
    prices: Mapping[str, Mapping[str, Price]]

    @classmethod
    def load(cls, path: Path) -> PriceList:
        """Read a list; raise InvalidPrices."""
        try:
            raw = parse(path.read_bytes())
        except OSError as error:
            raise InvalidPrices(f"{path}: cannot be read: {error.strerror}") from error
        except InvalidJson as error:
            raise InvalidPrices(f"{path}: {error}") from error
        try:
            models, date, currency = raw["models"], raw["date"], raw["currency"]
            if not (isinstance(date, str) and isinstance(currency, str)):
                raise TypeError("text is needed")
            prices = {
                provider: {m: _price(path, provider, m, p) for m, p in listed.items()}
                for provider, listed in models.items()
            }
            return cls(currency, date, prices)
        except (KeyError, TypeError, AttributeError) as error:
            raise InvalidPrices(f"{path}: date, currency and models (provider, model, price) are needed") from error

    def price(self, provider: str, model: str) -> Price | None:
        """Return the price of a model, or of the model that this is a dated version of."""
        listed = self.prices.get(provider, {})
        known = [name for name in listed if is_version_of(model, name)]
        return listed[max(known, key=len)] if known else None

    def cost(self, provider: str, model: str, usage: Usage) -> float | None:
        """Return what a call cost; None where the price or the number of tokens is not known."""
        price = self.price(provider, model)
        if price is None or usage.input_tokens is None or usage.output_tokens is None:
            return None
        cached = min(usage.cached_tokens or 0, usage.input_tokens)
        output = output_tokens(provider, usage)
        cached_price = price.input if price.cached is None else price.cached
        total = (usage.input_tokens - cached) * price.input + cached * cached_price + output * price.output
        return round(total / PER_TOKENS, DECIMALS)


def output_tokens(provider: str, usage: Usage) -> int:
    """Return what is billed as output: thinking too."""
    beside = usage.thinking_tokens if provider in THINKING_IS_BESIDE_OUTPUT else 0
    return (usage.output_tokens or 0) + (beside or 0)


def total_tokens(provider: str, usage: Usage) -> int:
    return (usage.input_tokens or 0) + output_tokens(provider, usage)


def _price(path: Path, provider: str, model: str, data: Mapping[str, Any]) -> Price:
    if not isinstance(data, dict):
        raise InvalidPrices(f"{path}: models.{provider}.{model}: an object with input and output is needed")

    def figure(key: str, *, needed: bool = True) -> float | None:
        value = data.get(key)
        if value is None and not needed:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise InvalidPrices(f"{path}: models.{provider}.{model}.{key}: a price for a million tokens is needed")
        return float(value)

    as_of = data.get("as_of", "")
    return Price(figure("input") or 0.0, figure("output") or 0.0, figure("cached", needed=False), str(as_of))
