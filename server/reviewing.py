"""What a reviewer reads of an experiment: its facts, what differs between conditions, what sessions come to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from experiments.differences import Contrast
from experiments.expectations import (
    CALLS_REHEARSED,
    CHARACTERS_PER_TOKEN,
    OUTPUT_TOKENS_PER_CALL,
    Expectation,
    sessions_rehearsed,
)
from experiments.experiment import Experiment
from experiments.rehearsal import SECONDS_BETWEEN_MESSAGES
from experiments.review import Limit, Review, about, figure
from server.facts import facts, listed
from server.showing import bullet, indented, number_table, print_all, side_by_side, text_table
from simulation.llm.pricing import PriceList
from simulation.pacing import expected_answer_seconds

NARROWEST_VALUE = 30
"""Columns for the values of a setting; where there is less room, values stand below one another."""
CELL_CHARACTERS = 480
INDENT = 2
NOT_KNOWN = "?"


class Checked(NamedTuple):
    """An experiment without a problem; `why` says why its model is this one."""

    experiment: Experiment
    prices: PriceList | None
    review: Review
    contrasts: list[Contrast]
    why: str
    warnings: tuple[str, ...]


def show(out: Console, found: Checked) -> None:
    """Print the experiment, what differs in it, what it comes to, and what to think about."""
    print_all(out, _parts(found, out.width))


def _parts(found: Checked, width: int) -> Iterator[RenderableType]:
    experiment = found.experiment
    yield Text.assemble((experiment.experiment_id, "bold"), (f"  in {experiment.folder}", "dim"))
    yield ""
    yield indented(_facts(found))
    yield from _heading("What differs between conditions")
    yield from _differences(found, width - INDENT)
    yield from _heading("What a session comes to, about")
    yield indented(_figures(found))
    yield ""
    yield from (bullet("·", note, "dim") for note in _notes(found))
    yield from _heading("What the experiment comes to, about")
    yield indented(Text(_in_all(found)))
    if found.review.limits or found.review.sessions_at_once is not None:
        yield ""
        yield indented(_limits(found))
    yield from _heading("Warnings" if found.warnings else "No warnings")
    yield from (bullet("!", warning, "yellow") for warning in found.warnings)


def _heading(title: str) -> Iterator[RenderableType]:
    yield ""
    yield Text(title, "bold")
    yield ""


def _facts(found: Checked) -> Table:
    grid = Table.grid(padding=(0, 2))
    models = dict.fromkeys(each.model for each in found.review.expectations.values())
    for name, value in (*facts(found.experiment), ("model", f"{', '.join(models)} ({found.why})")):
        grid.add_row(Text(name, "dim"), Text(value))
    return grid


# What differs


def _differences(found: Checked, width: int) -> Iterator[RenderableType]:
    for each in found.contrasts:
        if each.by:
            yield indented(Text.assemble("By ", (listed(each.by), "bold"), "" if each.by[1:] else " alone"))
            yield ""
        yield indented(_contrast_table(each, width))
        yield ""
    one = len(found.experiment.conditions) == 1
    yield indented(Text("Nothing: there is one condition." if one else f"Nothing{_else(found)} differs."))


def _else(found: Checked) -> str:
    return " else" if found.contrasts else ""


def _contrast_table(contrast: Contrast, width: int) -> Table:
    """Values beside one another where there is room for them, else below."""
    rows = [side_by_side(setting.values, CELL_CHARACTERS) for setting in contrast.settings]
    room = (width - max(len(setting.key) for setting in contrast.settings)) // len(contrast.labels) - 2
    longest = max(text.cell_len for row in (map(Text, contrast.labels), *rows) for text in row)
    return _beside(contrast, rows) if room >= min(NARROWEST_VALUE, longest) else _below(contrast, rows)


def _beside(contrast: Contrast, rows: Sequence[Sequence[Text]]) -> Table:
    table = text_table("setting", *contrast.labels, leading=1)
    for setting, texts in zip(contrast.settings, rows, strict=True):
        table.add_row(Text(setting.key, "cyan"), *texts)
    return table


def _below(contrast: Contrast, rows: Sequence[Sequence[Text]]) -> Table:
    table = text_table("setting", " and ".join(contrast.by) or "condition", "value")
    for setting, texts in zip(contrast.settings, rows, strict=True):
        if table.row_count:
            table.add_row()
        labels: dict[str, tuple[Text, list[str]]] = {}
        for label, text in zip(contrast.labels, texts, strict=True):
            labels.setdefault(text.plain, (text, []))[1].append(label)
        for index, (text, of) in enumerate(labels.values()):
            table.add_row(Text("" if index else setting.key, "cyan"), Text(", ".join(of)), text)
    return table


# Figures


def _figures(found: Checked) -> Table:
    currency = found.prices.currency if found.prices else ""
    table = number_table(
        "\ncondition",
        "\nminutes",
        "agents'\nmessages",
        "of these\nanswers",
        "of these\nstimuli",
        "model\ncalls",
        "tokens of\na prompt",
        "longest\nprompt",
        f"cost\n{currency}",
    )
    for name, each in found.review.expectations.items():
        table.add_row(Text(name), *_row(each))
    return table


def _row(each: Expectation) -> list[str]:
    return [
        f"{each.minutes:g}",
        f"{each.agent_messages:.0f}",
        f"{each.reactions:.0f}",
        f"{each.stimuli}",
        f"{each.calls:.0f}",
        _figure("tokens", each.prompt_tokens),
        _figure("tokens", each.longest_prompt_tokens),
        _figure("cost", each.cost),
    ]


def _figure(what: str, amount: float | None) -> str:
    return NOT_KNOWN if amount is None else about(what, amount)


def _notes(found: Checked) -> Iterator[str]:
    """Say what the figures rest on."""
    yield (
        f"Messages: the rate, but for the last {_answer_seconds(found.experiment)} of a session, as what is drawn then "
        f"does not appear any more. Answers: to a participant who writes every {SECONDS_BETWEEN_MESSAGES:.0f} s, as in "
        "a rehearsal."
    )
    rehearsed = sessions_rehearsed(found.experiment)
    sessions = "a rehearsed session" if rehearsed == 1 else f"{rehearsed} rehearsed sessions"
    yield (
        f"Tokens: characters / {CHARACTERS_PER_TOKEN}, an estimate, of the prompts of {sessions} for each condition; "
        f"{OUTPUT_TOKENS_PER_CALL} for an answer. No thinking, no second tries{_prices_of(found.prices)}."
    )
    yield from _cut_short(found.review)
    yield from _gates(found.experiment)


def _answer_seconds(experiment: Experiment) -> str:
    seconds = sorted({round(expected_answer_seconds(each)) for each in experiment.every})
    return f"{seconds[0]} s" if len(seconds) == 1 else f"{seconds[0]} to {seconds[-1]} s"


def _prices_of(prices: PriceList | None) -> str:
    return f". Prices: the list of {prices.date}" if prices else ""


def _cut_short(review: Review) -> Iterator[str]:
    if any(each.prompts_until < each.minutes * 60 for each in review.expectations.values() if each.prompt_tokens):
        yield f"Sessions were rehearsed up to about {CALLS_REHEARSED} calls: later prompts may be longer."


def _gates(experiment: Experiment) -> Iterator[str]:
    gated = [name for name, each in experiment.conditions.items() if each.parameters.gate]
    if gated:
        of = "" if len(gated) == len(experiment.conditions) else f" of {listed(gated)}"
        yield f"Agents{of} wait behind a gate: these figures hold from the participant's first message."


def _in_all(found: Checked) -> str:
    total = found.review.total
    sessions = f"{sum(total.sessions.values()):,.0f}"
    if total.by_quota:
        sessions += " completed sessions, as the quotas want (those of drop-outs are on top)"
    else:
        sessions += " sessions (no quotas say how many there will be)"
    currency = f" {found.prices.currency}" if found.prices else ""
    amounts = (("calls", total.calls, " calls"), ("tokens", total.tokens, " tokens"), ("cost", total.cost, currency))
    return f"{sessions}: {', '.join(f'{about(what, n)}{unit}' for what, n, unit in amounts if n is not None)}"


def _limits(found: Checked) -> Table:
    table = number_table("limit", "allows", "expected", "is enough for")
    for each in found.review.limits:
        what, _, book = each.key.partition("_per_")
        of = f" ({each.condition})" if len(found.review.expectations) > 1 and each.condition else ""
        expected = _figure(what, each.expected) + of if book != "day" else ""
        style = "bold yellow" if each.is_reached else ""
        figures = (Text(expected, style), Text(_enough(each), style))
        table.add_row(f"budget.{each.key}", figure(what, each.limit), *figures)
    if (at_once := found.review.sessions_at_once) is not None:
        limit = found.experiment.parameters.gateway.requests_per_minute or 0
        table.add_row("language_model.requests_per_minute", f"{limit:g}", "", f"{at_once:.1f} sessions at once")
    return table


def _enough(limit: Limit) -> str:
    if limit.sessions is None:
        return NOT_KNOWN
    if limit.key.endswith("_session"):
        return f"{limit.sessions:.0%} of a session"
    return f"{limit.sessions:,.0f} sessions{' a day' if limit.key.endswith('_day') else ''}"
