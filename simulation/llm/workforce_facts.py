"""The figures that a scenario names (money, time, people) and what this round's notes make of them.

Only what stands in a text is used, and what follows from it by arithmetic: a month's share of the money, the working
months of the people. What is not there is not made up; lines that need it are then not said.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import dropwhile
from typing import Any, NamedTuple

WEEKS_PER_MONTH = 13 / 3
MONTHS = {"day": 1 / 30, "week": 1 / WEEKS_PER_MONTH, "month": 1.0, "quarter": 3.0, "year": 12.0}
MOST_AMOUNT = 1e15

_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_NUMBERS = {word: number for number, word in enumerate(_WORDS, start=1)}
_NUMBER = rf"\d{{1,6}}|{'|'.join(_NUMBERS)}"
_MONEY = re.compile(
    r"(?P<by>\bby )?(?:(?P<symbol>[$€£])\s?(?P<amount>\d[\d,]*(?:\.\d+)?)\s?(?P<unit>k|m|thousand|million)?(?!\w)"
    r"|(?<![\w.,])(?P<amount2>\d[\d,]*(?:\.\d+)?)\s?(?P<unit2>k|m|thousand|million)?\s?"
    r"(?P<currency>dollars?|usd|euros?|eur|pounds?|gbp)(?!\w))",
    re.IGNORECASE,
)
_UNITS = {"k": 1e3, "thousand": 1e3, "m": 1e6, "million": 1e6}
_SYMBOLS = {"d": "$", "u": "$", "e": "€", "p": "£", "g": "£"}
_DURATION = re.compile(rf"(?<!\w)({_NUMBER})[ -](day|week|month|quarter|year)s?(?!\w)", re.IGNORECASE)
_PEOPLE = re.compile(
    rf"(?<![\w.,])({_NUMBER}) (?:[\w-]+ ){{0,2}}?"
    r"(engineers?|developers?|designers?|programmers?|employees|people|colleagues)(?!\w)",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_BUDGET = re.compile(r"budget|funding", re.IGNORECASE)
_ABOUT_MONEY = re.compile(r"budget|fund|spend|money|cost", re.IGNORECASE)
_ABOUT_TIME = re.compile(r"deadline|timeline|time|schedule|duration|date", re.IGNORECASE)
_ABOUT_PEOPLE = re.compile(r"team|engineer|developer|headcount|staff|people", re.IGNORECASE)
_HALF = re.compile(r"halv|half", re.IGNORECASE)
_PERCENT = re.compile(r"(\d{1,2}(?:\.\d+)?) ?(?:%|percent|per cent)", re.IGNORECASE)
_SUBJECT = re.compile(
    r"(?<!\w)(?:launch|release|ship|build|introduce|roll out|develop|create)(?:ing|es|s)? "
    r"(?:(an?|our|the|its|their) (?:new )?|new )"
    r"([^.,;:!?\n]+?)"
    r"(?= (?:within|by|in|for|before|to|with|and|that|which|until|this|next|on|at|over|so|because|from)(?!\w)"
    r"|[.,;:!?\n]|$)",
    re.IGNORECASE,
)
MOST_SUBJECT_WORDS = 6


class Money(NamedTuple):
    """`shown` is the amount as it was written, or as we write what we have calculated."""

    symbol: str
    amount: float
    shown: str
    is_difference: bool = False


class Duration(NamedTuple):
    number: int
    unit: str

    @property
    def months(self) -> float:
        return self.number * MONTHS[self.unit]

    @property
    def shown(self) -> str:
        return f"{self.number} {self.unit}{'' if self.number == 1 else 's'}"


class Group(NamedTuple):
    number: int
    noun: str

    @property
    def shown(self) -> str:
        return f"{self.number} {self.noun}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """`slots` are what lines may use. `changed` are the topics that follow from figures alone (a smaller amount than
    before is a cut, whatever it is called); `budget_share` is what is left of the first budget (1.0: all of it).
    """

    slots: Mapping[str, str]
    changed: tuple[str, ...] = ()
    budget_share: float = 1.0


def as_text(value: object) -> str:
    """Return a value of the context as words: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def find_facts(scenario: str, context: Mapping[str, Any], user_input: str | None, *, is_cut: bool) -> Facts:
    """Return the figures that hold in this round; `is_cut`: the texts speak of a smaller budget."""
    first, last = _budgets(scenario)
    money = _with_notes(last, context, user_input or "")
    if is_cut and first is not None and money == first:
        money = _cut(first, [scenario, *(as_text(each) for each in context.values()), user_input or ""])
    if is_cut and first is not None and money is not None and money.amount > first.amount:
        first = None  # cut to more than before: that was another amount
    given, newest = _durations(scenario)
    time = _noted_duration(context) or newest
    had, people = _people(scenario), _noted_people(context, _people(scenario))
    changed = [
        *_change(first, money, "budget_cut", "budget_raise"),
        *(["delay"] if given and time and time.months < given.months else []),
        *(["people"] if had and people and people.number < had.number else []),
    ]
    slots = {"scenario": quoted(_SENTENCE.split(scenario.strip())[0].rstrip("."))}
    slots |= _money_slots(first, money, time) | _time_slots(time, people)
    share = money.amount / first.amount if money and first and first.amount else 1.0
    return Facts(slots=slots, changed=tuple(changed), budget_share=share)


def subject_of(scenario: str) -> str | None:
    """Return what is to be launched, with its article, in the scenario's own words."""
    found = _SUBJECT.search(scenario)
    if found is None or len(found[2].split()) > MOST_SUBJECT_WORDS:
        return None
    article = (found[1] or "the").lower()
    return f"{'the' if article in ('a', 'an') else article} {found[2].strip()}"


def quoted(text: str, most: int = 240) -> str:
    """Return `text` on one line; a long one is left off between two words."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[:most].rsplit(" ", 1)[0] + " …"


def _sentences_about(subject: re.Pattern[str], text: str) -> str:
    return " ".join(each for each in _SENTENCE.split(text) if subject.search(each))


@lru_cache(maxsize=256)
def _budgets(scenario: str) -> tuple[Money | None, Money | None]:
    """The first and the last amount of the sentences on the budget, else on money, else the first of all."""
    found = (
        _next_to_budget(_sentences_about(_BUDGET, scenario))
        or [*_amounts(_sentences_about(_ABOUT_MONEY, scenario))]
        or [*_amounts(scenario)][:1]
    )
    found = list(dropwhile(lambda each: each.is_difference, found))  # less by so much: nobody knows than what
    if not found:
        return None, None
    last = found[0]
    for each in found[1:]:
        last = _next_amount(last, each)
    return found[0], last


def _next_to_budget(text: str) -> list[Money]:
    """Return the amounts of `text`, from the one on that stands closest to where the budget is first named."""
    named = _BUDGET.search(text)
    if named is None:
        return []
    places = [found.span() for found in _MONEY.finditer(text)]
    apart = [max(start - named.end(), named.start() - end) for start, end in places]
    return [*_amounts(text[places[apart.index(min(apart))][0] :])] if apart else []


def _amounts(text: str) -> Iterator[Money]:
    for found in _MONEY.finditer(text):
        digits = (found["amount"] or found["amount2"]).replace(",", "").rstrip(".")
        amount = float(digits) * _UNITS.get((found["unit"] or found["unit2"] or "").lower(), 1.0)
        symbol = found["symbol"] or _SYMBOLS[found["currency"][0].lower()]
        shown = found[0][len(found["by"] or "") :].strip()
        if 0 < amount < MOST_AMOUNT:
            yield Money(symbol, amount, shown, found["by"] is not None)


def _next_amount(before: Money, given: Money) -> Money:
    """Return what `given` makes of the amount before: "by $100K" takes so much away."""
    if not given.is_difference:
        return given
    return _calculated(before, max(before.amount - given.amount, 0.0))


def _calculated(like: Money, amount: float) -> Money:
    return Money(like.symbol, amount, shown_amount(like.symbol, amount))


def shown_amount(symbol: str, amount: float) -> str:
    """Return an amount in three figures, as people say it: $167K."""
    for size, unit in ((1e6, "M"), (1e3, "K")):
        if amount >= size:
            return f"{symbol}{float(f'{amount / size:.3g}'):g}{unit}"
    return f"{symbol}{amount:.0f}"


def _with_notes(money: Money | None, context: Mapping[str, Any], user_input: str) -> Money | None:
    """Return the amount that the notes or the input put in the scenario's place."""
    for key, value in context.items():
        if not _ABOUT_MONEY.search(key):
            continue
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < MOST_AMOUNT:
            symbol = money.symbol if money else ""
            money = Money(symbol, float(value), shown_amount(symbol, float(value)))
        for given in _amounts(as_text(value)):
            money = _next_amount(money or given, given)
    for given in _amounts(_sentences_about(_ABOUT_MONEY, user_input)):
        money = _next_amount(money or given, given)
    return money


def _cut(money: Money, texts: list[str]) -> Money | None:
    """Return what is left when the texts say by how much it was cut, None when they do not say it."""
    for text in texts:
        if _HALF.search(text):
            return _calculated(money, money.amount / 2)
        if found := _PERCENT.search(text):
            return _calculated(money, money.amount * (1 - float(found[1]) / 100))
    return None


def _change(first: Money | None, money: Money | None, less: str, more: str) -> list[str]:
    if first is None or money is None or first.amount == money.amount:
        return []
    return [less if money.amount < first.amount else more]


def _money_slots(first: Money | None, money: Money | None, time: Duration | None) -> dict[str, str]:
    slots = {"before": first.shown} if first else {}
    if money is None:
        return slots
    slots["money"] = money.shown
    if time and time.months >= 2 and money.amount >= time.months:
        slots["burn"] = shown_amount(money.symbol, money.amount / time.months)
    return slots


@lru_cache(maxsize=256)
def _durations(scenario: str) -> tuple[Duration | None, Duration | None]:
    """The time that the scenario begins with, and the one that a later sentence on time puts in its place."""
    first = _duration(scenario)
    spoken_of = [_duration(each) for each in _SENTENCE.split(scenario) if _ABOUT_TIME.search(each)]
    return first, next((each for each in reversed(spoken_of) if each), first)


def _duration(text: str) -> Duration | None:
    found = _DURATION.search(text)
    count = _count(found[1]) if found else 0
    return Duration(count, found[2].lower()) if found and count else None


def _count(digits: str) -> int:
    return _NUMBERS.get(digits.lower()) or int(digits)


def _noted_duration(context: Mapping[str, Any]) -> Duration | None:
    found = (_duration(as_text(value)) for key, value in context.items() if _ABOUT_TIME.search(key))
    return next(filter(None, found), None)


@lru_cache(maxsize=256)
def _people(scenario: str) -> Group | None:
    found = _PEOPLE.search(scenario)
    count = _count(found[1]) if found else 0
    return Group(count, found[2].lower()) if found and count else None


def _noted_people(context: Mapping[str, Any], known: Group | None) -> Group | None:
    for key, value in context.items():
        if not _ABOUT_PEOPLE.search(key):
            continue
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1_000_000:
            return Group(value, known.noun if known else "people")
        if found := _people(as_text(value)):
            return found
    return known


def _time_slots(time: Duration | None, people: Group | None) -> dict[str, str]:
    slots = {}
    if time:
        slots["time"] = time.shown
        if time.unit in ("month", "quarter"):
            slots["weeks"] = f"{round(time.months * WEEKS_PER_MONTH)} weeks"
    if people and people.number > 1:
        slots["people"] = people.shown
        if time:
            singular = "person" if people.noun == "people" else people.noun.removesuffix("s")
            slots["effort"] = f"{people.number * time.number} {singular}-{time.unit}s"
    return slots
