"""What may be spent: calls, tokens and money, for each session, for the experiment and for a day (UTC).

A call is counted before it is sent, so the one over the limit never is. Tokens and money are known only afterwards: the
calls that are under way when a limit is reached still go over it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from simulation.parameters import Budget

logger = logging.getLogger("chatroom.model")


@dataclass(slots=True)
class Spent:
    """`cost` is in the currency of the price list; calls without a known price cost nothing here."""

    calls: int = 0
    tokens: int = 0
    cost: float = 0.0

    def add(self, tokens: int, cost: float | None) -> None:
        self.tokens += tokens
        self.cost += cost or 0.0

    def reaches(self, calls: int | None, tokens: int | None, cost: float | None) -> str | None:
        """Return which limit is reached, if one is."""
        if calls is not None and self.calls >= calls:
            return "calls"
        if tokens is not None and self.tokens >= tokens:
            return "tokens"
        return "cost" if cost is not None and self.cost >= cost else None


@dataclass(slots=True)
class Ledger:
    """What the experiment has spent, in all and today; `today` tells the date."""

    budget: Budget
    today: Callable[[], str]
    experiment: Spent = field(default_factory=Spent)
    day: Spent = field(default_factory=Spent)
    date: str = ""
    _told: str | None = None

    def spent_up(self) -> str | None:
        """Return the limit that keeps every session from asking, if one is reached."""
        self._turn_the_page()
        b = self.budget
        reached = self.experiment.reaches(b.calls_per_experiment, b.tokens_per_experiment, b.cost_per_experiment)
        if reached:
            return f"{reached}_per_experiment"
        reached = self.day.reaches(b.calls_per_day, b.tokens_per_day, b.cost_per_day)
        return f"{reached}_per_day" if reached else None

    def spent_up_by(self, session: Spent, budget: Budget | None = None) -> str | None:
        """Return the limit that keeps this session from asking, if one is reached; `budget` is its condition's own."""
        b = budget or self.budget
        if reached := session.reaches(b.calls_per_session, b.tokens_per_session, b.cost_per_session):
            return f"{reached}_per_session"
        everybodys = self.spent_up()
        if everybodys != self._told:
            self._told = everybodys
            if everybodys:
                logger.error("budget.%s is spent: agents are silent, and no session begins", everybodys)
        return everybodys

    def count_call(self, session: Spent) -> None:
        self._turn_the_page()
        for spent in (session, self.experiment, self.day):
            spent.calls += 1

    def add(self, session: Spent, tokens: int, cost: float | None) -> None:
        for spent in (session, self.experiment, self.day):
            spent.add(tokens, cost)

    def _turn_the_page(self) -> None:
        if self.date != (today := self.today()):
            self.date, self.day = today, Spent()
