"""The list of allocations: what the seed gives, block by block, and that it leans to nobody."""

from __future__ import annotations

from collections import Counter
from itertools import islice, pairwise

import pytest

from experiments.assignment import Allocation

FOUR = (("a", 1), ("b", 1), ("c", 1), ("d", 1))


def blocks(weights=FOUR, size: int = 4, seed: int = 1, **details) -> Allocation:
    return Allocation("permuted_blocks", weights, size, seed, **details)


def first(allocation: Allocation, number: int, stratum: str = "") -> list[str]:
    return list(islice(allocation.places(stratum), number))


def test_every_block_has_each_condition_as_often_as_its_weight_says():
    places = first(blocks((("a", 2), ("b", 1)), size=6), 600)
    for start in range(0, 600, 6):
        assert Counter(places[start : start + 6]) == {"a": 4, "b": 2}


def test_the_list_follows_from_the_seed_alone():
    assert first(blocks(seed=5), 200) == first(blocks(seed=5), 200) != first(blocks(seed=6), 200)


def test_a_list_is_what_it_has_always_been():
    """Whoever preregistered a list gets it from every later version."""
    assert "".join(first(blocks(seed=42), 24)) == PREREGISTERED_BLOCKS
    weighted = Allocation("weighted", (("a", 3), ("b", 1)), 0, 42)
    assert "".join(first(weighted, 24)) == PREREGISTERED_WEIGHTED


PREREGISTERED_BLOCKS = "bcadbadcdabccdabbcdabacd"
PREREGISTERED_WEIGHTED = "aaaaabaabaaaabbaaabaaaaa"


def test_any_place_can_be_told_without_those_before_it():
    allocation = blocks(size=8)
    assert [allocation.condition("", number) for number in (97, 3, 41)] == [
        first(allocation, 100)[number - 1] for number in (97, 3, 41)
    ]


def test_strata_have_lists_of_their_own():
    allocation = blocks(strata=("cohort",))
    young, old = allocation.stratum({"cohort": "young"}), allocation.stratum({"cohort": "old"})
    assert first(allocation, 100, young) != first(allocation, 100, old)


def test_values_cannot_be_written_so_that_two_strata_look_the_same():
    allocation = blocks(strata=("one", "two"))
    assert allocation.stratum({"one": "a&two=b", "two": ""}) != allocation.stratum({"one": "a", "two": "b"})


def test_weighted_draws_come_to_their_weights_and_do_not_depend_on_one_another():
    places = first(Allocation("weighted", (("a", 3), ("b", 1)), 0, 1), 40_000)
    share = places.count("a") / 40_000
    assert share == pytest.approx(0.75, abs=0.0065), "3 standard errors; a bias of 1 % shows"
    pairs = Counter(pairwise(places))
    assert pairs["b", "b"] / 40_000 == pytest.approx(1 / 16, abs=0.0045)


def test_every_order_of_a_block_is_as_likely():
    allocation = blocks((("a", 1), ("b", 1), ("c", 1)), size=3)
    orders = Counter(
        tuple(allocation.condition("", 3 * block + place) for place in (1, 2, 3)) for block in range(30_000)
    )
    assert len(orders) == 6
    expected = 5_000
    assert sum((n - expected) ** 2 / expected for n in orders.values()) < 20.5, "chi square, 5 df, p = 0.001"


def test_a_specification_reads_back():
    allocation = blocks((("a", 2), ("b", 1)), size=6, strata=("cohort",), purpose="demo")
    assert Allocation.from_spec(allocation.spec) == allocation
    assert Allocation.from_spec(allocation.spec).sha256 == allocation.sha256 != blocks().sha256
