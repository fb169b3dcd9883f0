"""What roles remember, what comes back, and what is forgotten."""

from __future__ import annotations

from math import isclose

import pytest
from tables import MOMENT, Table, answer, plainly, table_start

from simulation.workforce.core import later
from simulation.workforce.events import MemoriesDeleted, MemoryStored, TurnStarted
from simulation.workforce.inputs import MemoriesForgotten, MemoryGiven
from simulation.workforce.memory import RECALLED, Memory, recall


def given(key="price", content=None, role="pm", importance=0.5, expires_at=None):
    return MemoryGiven(
        agent_role=role,
        memory_type="semantic",
        key=key,
        content=content or {"text": "customers pay 30 a month"},
        importance=importance,
        created_at=MOMENT,
        expires_at=expires_at,
    )


def memory(name, text, *, importance=0.5, accessed_in=0, expires_at=None):
    stored = MemoryStored(
        elapsed=0.0,
        memory_id=name,
        agent_role="pm",
        memory_type="semantic",
        key=name,
        content={"text": text},
        importance=importance,
        created_at=MOMENT,
        expires_at=expires_at,
    )
    return Memory(stored, accessed_in)


def recalled(memories, query="price", turn_number=10):
    return [each.memory_id for each in recall(memories, query, MOMENT, turn_number)]


def test_every_role_keeps_what_it_said_in_a_round():
    table = Table(says=lambda r: plainly(r) if r.scene.role is None else answer("x" * 600, actions=["hire"]))
    table.plays()
    stored = table.of(MemoryStored)
    assert [each.agent_role for each in stored] == ["ceo", "pm", "engineering_lead", "designer"]
    first = stored[0]
    assert (first.key, first.memory_type, first.importance) == ("turn_1_response", "episodic", 0.6)
    assert first.content == {"turn": 1, "summary": "x" * 500, "actions": ["hire"]}
    assert (first.created_at, first.expires_at) == (MOMENT, "2026-11-26T09:00:00.000000+00:00")


def test_what_is_recalled_is_in_the_prompt_and_in_the_log():
    table = Table()
    table.gets(given())
    table.plays("What is the price?")
    turn = next(each for each in table.of(TurnStarted) if each.agent_name == "pm")
    assert turn.recalled == ("memory-1",)
    assert "price: text customers pay 30 a month" in table.prompt_of("pm")
    assert "customers pay" not in table.prompt_of("ceo")


def test_being_recalled_is_counted():
    table = Table()
    table.gets(given())
    table.plays()
    table.plays()
    kept = table.state.memories["memory-1"]
    assert (kept.access_count, kept.last_accessed_at, kept.accessed_in) == (2, MOMENT, 2)


def test_being_asked_again_counts_once():
    table = Table(failing={"pm": "timeout"})
    table.gets(given())
    table.plays("go")
    table.failing.clear()
    table.plays("go")
    assert table.state.memories["memory-1"].access_count == 1


def test_expired_memories_do_not_come_back():
    table = Table()
    table.gets(given(expires_at=later(MOMENT, 1)))
    table.plays("price", moment=later(MOMENT, 0.5))
    assert "customers pay" in table.prompt_of("pm")
    table.plays("price", moment=later(MOMENT, 1))
    assert "customers pay" not in table.prompt_of("pm")


def test_without_memory_nothing_is_kept():
    table = Table(table_start(enable_memory=False))
    table.plays()
    table.plays()
    assert table.of(MemoryStored) == []
    assert all(each.recalled == () for each in table.of(TurnStarted))


def test_forgotten_is_forgotten():
    table = Table()
    table.gets(given())
    table.gets(MemoriesForgotten())
    table.plays("price")
    assert [each.count for each in table.of(MemoriesDeleted)] == [1]
    assert "customers pay" not in table.prompt_of("pm")


def test_ids_are_not_used_again_after_forgetting():
    table = Table()
    for _ in range(2):
        table.gets(given())
        table.gets(MemoriesForgotten())
    assert [each.memory_id for each in table.of(MemoryStored)] == ["memory-1", "memory-2"]


def test_the_relevant_one_comes_first():
    found = recalled([memory("a", "the office has new chairs"), memory("b", "the price is too high for customers")])
    assert found == ["b", "a"]


def test_the_important_one_comes_first_where_both_fit_alike():
    assert recalled([memory("a", "price", importance=0.9), memory("b", "price", importance=0.2)]) == ["a", "b"]


def test_the_one_recalled_last_comes_first_where_both_fit_alike():
    assert recalled([memory("a", "price", accessed_in=9), memory("b", "price", accessed_in=2)]) == ["a", "b"]


def test_no_more_are_recalled_than_fit():
    assert len(recalled([memory(f"m{n}", f"price {n}") for n in range(20)])) == RECALLED


def test_nothing_is_recalled_of_nothing():
    assert recalled([]) == []


@pytest.mark.parametrize(("of_c", "order"), [(0.25, ["a", "c", "b"]), (0.3, ["c", "a", "b"])])
def test_the_score_is_the_sum_of_parts_brought_to_0_to_1(of_c, order):
    """Worked out by hand: all fit alike; recency is 1, 0 and 0.494, importance 0, 0.98 and 0.5 (or 0.6)."""
    memories = [
        memory("a", "price", importance=0.0, accessed_in=10),
        memory("b", "price", importance=0.49, accessed_in=0),
        memory("c", "price", importance=of_c, accessed_in=5),
        memory("d", "price", importance=0.5, accessed_in=0),
    ]
    recency = (0.995**5 - 0.995**10) / (1 - 0.995**10)
    scores = {"a": 1.0, "b": 0.98, "c": recency + of_c / 0.5}
    assert isclose(recency, 0.494, abs_tol=0.001)
    assert sorted(scores, key=lambda name: -scores[name]) == order
    assert [name for name in recalled(memories) if name != "d"] == order
