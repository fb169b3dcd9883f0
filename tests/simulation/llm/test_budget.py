"""What is spent is counted before or after a call, in three books, of which one is begun anew each day."""

from __future__ import annotations

from typing import Any

import pytest

from simulation.llm.budget import Ledger, Spent
from simulation.parameters import Budget

TOKENS = 120


class Calendar:
    def __init__(self, date: str = "2026-11-24") -> None:
        self.date = date

    def __call__(self) -> str:
        return self.date


def ledger(calendar: Calendar | None = None, **limits) -> Ledger:
    return Ledger(Budget(**limits), calendar or Calendar())


def spend(book: Ledger, session: Spent, calls: int = 1, cost: float | None = 0.5) -> None:
    for _ in range(calls):
        book.count_call(session)
        book.add(session, TOKENS, cost)


def test_a_call_without_a_known_price_costs_nothing_here():
    spent = Spent(cost=1.0)
    spent.add(TOKENS, None)
    assert spent.cost == 1.0


@pytest.mark.parametrize(
    ("limits", "reached"),
    [
        pytest.param((None, None, None), None, id="no limit"),
        pytest.param((11, 1001, 2.1), None, id="below each"),
        pytest.param((10, None, None), "calls", id="calls"),
        pytest.param((None, 1000, None), "tokens", id="tokens"),
        pytest.param((None, None, 2.0), "cost", id="cost"),
        pytest.param((10, 1000, 2.0), "calls", id="the first of several"),
        pytest.param((0, None, None), "calls", id="a limit of 0 is a limit"),
    ],
)
def test_a_limit_is_reached_by_as_much_as_it_says(limits, reached):
    assert Spent(calls=10, tokens=1000, cost=2.0).reaches(*limits) == reached


@pytest.mark.parametrize("unit", ["calls", "tokens", "cost"])
@pytest.mark.parametrize("book", ["session", "experiment", "day"])
def test_each_of_nine_limits_is_named_when_it_is_reached(unit, book):
    limits: dict[str, Any] = {f"{unit}_per_{book}": {"calls": 2, "tokens": 240, "cost": 1.0}[unit]}
    subject, session = ledger(**limits), Spent()
    spend(subject, session)
    assert subject.spent_up_by(session) is None
    spend(subject, session)
    assert subject.spent_up_by(session) == f"{unit}_per_{book}"


def test_what_a_session_has_spent_stops_no_other():
    subject, first, second = ledger(calls_per_session=3), Spent(), Spent()
    spend(subject, first, calls=3)
    assert subject.spent_up_by(first) == "calls_per_session"
    assert subject.spent_up_by(second) is None
    assert subject.spent_up() is None


def test_what_sessions_have_spent_together_stops_all():
    subject = ledger(calls_per_experiment=4)
    for session in (Spent(), Spent()):
        spend(subject, session, calls=2)
    assert subject.spent_up_by(Spent()) == "calls_per_experiment"
    assert subject.spent_up() == "calls_per_experiment"


def test_a_call_counts_from_before_it_is_sent():
    subject, session = ledger(calls_per_session=1), Spent()
    subject.count_call(session)
    assert subject.spent_up_by(session) == "calls_per_session"


class TestTheDay:
    def test_turns_over_and_the_experiment_does_not(self):
        calendar = Calendar()
        subject, session = ledger(calendar, calls_per_day=2, calls_per_experiment=3), Spent()
        spend(subject, session, calls=2)
        assert subject.spent_up() == "calls_per_day"
        calendar.date = "2026-11-25"
        assert subject.spent_up() is None
        spend(subject, session)
        assert subject.spent_up() == "calls_per_experiment"
        assert (subject.day.calls, subject.experiment.calls, session.calls) == (1, 3, 3)

    def test_is_begun_by_whichever_comes_first_a_call_too(self):
        calendar = Calendar()
        subject = ledger(calendar)
        spend(subject, Spent(), calls=5)
        calendar.date = "2026-11-25"
        subject.count_call(Spent())
        assert subject.day == Spent(calls=1)

    def test_goes_on_from_what_was_spent_before_the_ledger_was_opened(self):
        spent = Spent(calls=9)
        subject = Ledger(Budget(calls_per_day=10), Calendar(), day=spent, date="2026-11-24")
        subject.count_call(Spent())
        assert subject.spent_up() == "calls_per_day"
