"""What a call costs follows from a dated list, from nothing else, and only where the list has the model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from simulation.generation import Usage
from simulation.llm.pricing import InvalidPrices, Price, PriceList, total_tokens

SHIPPED = Path(__file__).parents[3] / "config" / "prices.json"
RAW = json.loads(SHIPPED.read_text(encoding="utf-8"))
ENTRIES = [(provider, model) for provider, models in RAW["models"].items() for model in models]

PRICES = PriceList(
    "USD",
    "2026-11-24",
    {
        "gemini": {
            "gemini-2.5-flash": Price(input=0.3, output=2.5, cached=0.075),
            "gemini-2.5-flash-lite": Price(input=0.1, output=0.4),
        },
        "groq": {"oss": Price(input=0.15, output=0.6, cached=0.075), "plain": Price(input=1.0, output=2.0)},
    },
)


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "prices.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


class TestTheShippedList:
    def test_loads_and_says_when_and_in_which_currency(self):
        shipped = PriceList.load(SHIPPED)
        assert (shipped.currency, shipped.date) == ("USD", RAW["date"])
        assert {(provider, model) for provider, models in shipped.prices.items() for model in models} == set(ENTRIES)

    @pytest.mark.parametrize(("provider", "model"), ENTRIES, ids=lambda value: value)
    def test_each_price_has_a_date_and_a_source_and_is_one(self, provider, model):
        entry = RAW["models"][provider][model]
        assert entry["as_of"] <= RAW["date"]
        assert entry["source"].startswith("https://")
        price = PriceList.load(SHIPPED).price(provider, model)
        assert price is not None
        assert 0 < price.input <= price.output
        assert price.cached is None or price.cached <= price.input


class TestCost:
    @pytest.mark.parametrize(
        ("provider", "model", "usage", "cost"),
        [
            pytest.param(
                "gemini",
                "gemini-2.5-flash",
                Usage(input_tokens=1000, output_tokens=200),
                0.0008,  # 1000 x 0.3 + 200 x 2.5 = 800 millionths
                id="gemini",
            ),
            pytest.param(
                "gemini",
                "gemini-2.5-flash",
                Usage(input_tokens=1000, output_tokens=200, thinking_tokens=300),
                0.00155,  # 300 + (200 + 300) x 2.5
                id="gemini, whose thinking is counted beside the output",
            ),
            pytest.param(
                "gemini",
                "gemini-2.5-flash",
                Usage(input_tokens=1000, output_tokens=200, cached_tokens=400),
                0.00071,  # 600 x 0.3 + 400 x 0.075 + 500
                id="gemini, of whose input a part was cached",
            ),
            pytest.param(
                "gemini",
                "gemini-2.5-flash-lite",
                Usage(input_tokens=1000, output_tokens=0, cached_tokens=400),
                0.0001,
                id="gemini, where cached input has no price of its own",
            ),
            pytest.param(
                "groq",
                "oss",
                Usage(input_tokens=1000, output_tokens=500, thinking_tokens=300),
                0.00045,  # 150 + 500 x 0.6: the thinking is among the 500
                id="groq, whose thinking is counted within the output",
            ),
            pytest.param(
                "groq",
                "oss",
                Usage(input_tokens=1000, output_tokens=500, cached_tokens=1000),
                0.000375,  # 1000 x 0.075 + 300
                id="groq, whose input was cached",
            ),
            pytest.param(
                "groq",
                "oss",
                Usage(input_tokens=1000, output_tokens=500, cached_tokens=5000),
                0.000375,
                id="more cached than there was",
            ),
            pytest.param("groq", "plain", Usage(input_tokens=0, output_tokens=0), 0.0, id="nothing"),
        ],
    )
    def test_is_what_one_gets_by_hand(self, provider, model, usage, cost):
        assert PRICES.cost(provider, model, usage) == pytest.approx(cost, abs=1e-12)

    @pytest.mark.parametrize(
        ("provider", "model", "usage"),
        [
            pytest.param("groq", "unlisted", Usage(input_tokens=1, output_tokens=1), id="a model that is not listed"),
            pytest.param("elsewhere", "plain", Usage(input_tokens=1, output_tokens=1), id="a provider that is not"),
            pytest.param("groq", "plain", Usage(output_tokens=1), id="no count of the input"),
            pytest.param("groq", "plain", Usage(input_tokens=1), id="no count of the output"),
        ],
    )
    def test_is_unknown_and_not_nothing(self, provider, model, usage):
        assert PRICES.cost(provider, model, usage) is None

    def test_has_no_digits_that_are_the_machine_s(self):
        assert PRICES.cost("gemini", "gemini-2.5-flash-lite", Usage(input_tokens=3, output_tokens=7)) == 0.0000031


class TestPrice:
    FLASH, LITE = PRICES.prices["gemini"]["gemini-2.5-flash"], PRICES.prices["gemini"]["gemini-2.5-flash-lite"]

    @pytest.mark.parametrize(
        ("model", "price"),
        [
            ("gemini-2.5-flash", FLASH),
            ("models/gemini-2.5-flash", FLASH),
            ("gemini-2.5-flash-001", FLASH),
            ("gemini-2.5-flash-latest", FLASH),
            ("gemini-2.5-flash-preview", FLASH),
            ("gemini-2.5-flash-preview-05-20", FLASH),
            ("gemini-2.5-flash-2026-01-15", FLASH),
            ("gemini-2.5-flash-20260115", FLASH),
            ("gemini-2.5-flash-lite", LITE),
            ("gemini-2.5-flash-lite-001", LITE),
            ("gemini-2.5-flash-lite-preview-06-17", LITE),
            ("gemini-2.5-flash-image", None),
            ("gemini-2.5-flash-8b", None),
            ("gemini-2.5-flashy", None),
            ("gemini-2.5", None),
            ("gemini-2.5-flash-lite-image", None),
        ],
    )
    def test_is_that_of_the_model_or_of_the_one_that_it_is_a_version_of(self, model, price):
        assert PRICES.price("gemini", model) == price

    def test_of_a_model_is_no_other_provider_s(self):
        assert PRICES.price("groq", "gemini-2.5-flash") is None

    @pytest.mark.parametrize("model", ["openai/gpt-oss-120b", "models/openai/gpt-oss-120b"])
    def test_of_a_model_with_a_path_in_its_name(self, model):
        assert PriceList.load(SHIPPED).price("groq", model) == Price(0.15, 0.6, 0.075, "2026-06")


class TestADamagedList:
    @pytest.mark.parametrize(
        ("entry", "key"),
        [
            ({"output": 1}, "input"),
            ({"input": 1}, "output"),
            ({"input": "0.3", "output": 1}, "input"),
            ({"input": -0.3, "output": 1}, "input"),
            ({"input": True, "output": 1}, "input"),
            ({"input": 1, "output": None}, "output"),
            ({"input": 1, "output": 1, "cached": "half"}, "cached"),
        ],
        ids=str,
    )
    def test_is_told_of_with_file_and_key(self, tmp_path, entry, key):
        listed = {"date": "2026-11-24", "currency": "USD", "models": {"groq": {"oss": entry}}}
        path = write(tmp_path, json.dumps(listed))
        with pytest.raises(InvalidPrices) as told:
            PriceList.load(path)
        assert str(told.value).startswith(f"{path}: models.groq.oss.{key}: ")

    @pytest.mark.parametrize("missing", ["date", "currency", "models"])
    def test_says_what_is_needed(self, tmp_path, missing):
        listed = {"date": "2026-11-24", "currency": "USD", "models": {}}
        del listed[missing]
        path = write(tmp_path, json.dumps(listed))
        with pytest.raises(InvalidPrices) as told:
            PriceList.load(path)
        assert str(path) in str(told.value)
        assert missing in str(told.value)

    @pytest.mark.parametrize(
        "text",
        [
            pytest.param("", id="empty"),
            pytest.param("{", id="cut"),
            pytest.param("[]", id="an array"),
            pytest.param("3", id="a number"),
            pytest.param('{"date": "d", "currency": "USD", "models": []}', id="models are no object"),
            pytest.param('{"date": "d", "currency": "USD", "models": {"groq": 3}}', id="a provider is no object"),
            pytest.param('{"date": "d", "currency": "USD", "models": {"groq": {"m": 3}}}', id="a model is no object"),
            pytest.param(b"\xff\xfe{}", id="not UTF-8"),
        ],
    )
    def test_names_the_file_whatever_is_in_it(self, tmp_path, text):
        path = write(tmp_path, text)
        with pytest.raises(InvalidPrices) as told:
            PriceList.load(path)
        assert str(path) in str(told.value)

    def test_that_is_not_there_is_told_of(self, tmp_path):
        with pytest.raises(InvalidPrices, match=r"prices\.json: cannot be read"):
            PriceList.load(tmp_path / "prices.json")


@pytest.mark.parametrize(
    ("provider", "usage", "tokens"),
    [
        ("groq", Usage(), 0),
        ("groq", Usage(input_tokens=3), 3),
        ("groq", Usage(input_tokens=3, output_tokens=4, cached_tokens=2), 7),
        ("groq", Usage(input_tokens=100, output_tokens=50, thinking_tokens=40), 150),
        ("openai_compatible", Usage(input_tokens=100, output_tokens=50, thinking_tokens=40), 150),
        ("gemini", Usage(input_tokens=100, output_tokens=50, thinking_tokens=40), 190),
    ],
)
def test_thinking_is_counted_once(provider, usage, tokens):
    assert total_tokens(provider, usage) == tokens
