"""How settings are shown in a terminal or a pipe: values, and where texts differ. Shared by `check` and `diff`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from experiments.differences import ABSENT
from experiments.passages import LEFT_OUT, Passage, item_passages, passages

WIDEST = 120
IN_A_PIPE = 100
UNKNOWN_WIDTH = 80
"""What rich takes a pipe's width to be."""
SHORT_CHARACTERS = 40
"""Texts up to this long are shown whole, one beside the other."""
SHORT_LIST_CHARACTERS = 120
NOTHING = "(nothing)"

_LINE_ENDS = re.compile(r"[ \t]*(?:\r?\n[ \t]*)+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def console() -> Console:
    """Return the console, as wide as is good to read."""
    found = Console(highlight=False)
    width = IN_A_PIPE if not found.is_terminal and found.width == UNKNOWN_WIDTH else found.width
    return Console(highlight=False, width=min(width, WIDEST))


def print_all(out: Console, parts: Iterable[RenderableType]) -> None:
    """Print without the spaces that rich fills lines up with: they would be in whatever the output is pasted into."""
    with out.capture() as captured:
        for part in parts:
            out.print(part)
    for line in captured.get().splitlines():
        out.file.write(f"{line.rstrip()}\n")


def indented(content: RenderableType) -> Padding:
    return Padding(content, (0, 0, 0, 2))


def bullet(mark: str, text: str, style: str) -> Padding:
    """Return a text that hangs behind its mark."""
    grid = Table.grid(padding=(0, 1))
    grid.add_row(Text(mark, style), Text(text, style if style == "dim" else ""))
    return indented(grid)


def text_table(*headers: str, leading: int = 0) -> Table:
    """Return a table with a line under its head."""
    table = Table(
        box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0), leading=leading, header_style="bold"
    )
    for header in headers:
        table.add_column(Text(header), overflow="fold")
    return table


def number_table(first: str, *headers: str) -> Table:
    """Return a table of numbers, which are never broken, about what the first column names."""
    table = text_table(first)
    for header in headers:
        table.add_column(Text(header), justify="right", no_wrap=True)
    return table


def one_line(text: str) -> str:
    """Return a text with ¶ for each line end, and without what a terminal would obey."""
    marked = _LINE_ENDS.sub(lambda ends: f" {'¶' * ends[0].count(chr(10))} ", text)
    return _CONTROL.sub(" ", marked).strip()


def shortened(text: str, most: int) -> str:
    """Return a text of about `most` characters, cut between words, that says how much is missing."""
    if len(text) <= most:
        return text
    kept = text[:most].rsplit(" ", 1)[0]
    return f"{kept} {LEFT_OUT} (+{len(text) - len(kept):,} characters)"


def said(value: Any) -> str:
    """Return a setting's value on one line, as one would say it."""
    match value:
        case None:
            return "null"
        case "":
            return '""'
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:.0f}" if value.is_integer() else f"{value!r}"
        case list():
            return ", ".join(map(said, value)) or "none"
        case dict():
            return (
                "; ".join(f"{key}: {said(item)}" for key, item in value.items() if item not in (None, False, ""))
                or "{}"
            )
        case _:
            return "—" if value is ABSENT else one_line(str(value))


def found_passages(values: Sequence[Any]) -> list[Passage] | None:
    """Return where longer texts, or lists, differ; None for values that are best shown whole."""
    if all(isinstance(each, str) for each in values):
        return passages(values) if max(map(len, values)) > SHORT_CHARACTERS else None
    if all(isinstance(each, list) for each in values):
        return item_passages([[*map(said, each)] for each in values])
    return None


def side_by_side(values: Sequence[Any], most: int) -> list[Text]:
    """Return each value, of texts the words that differ; nothing much longer than `most` characters."""
    distinct = [each for index, each in enumerate(values) if each not in values[:index]]
    is_short = all(isinstance(each, list) and len(said(each)) <= SHORT_LIST_CHARACTERS for each in distinct)
    found = None if is_short else found_passages(distinct)
    if found is None:
        return [Text(shortened(said(each), most)) for each in values]
    return [_one_of(found, distinct.index(each), most) for each in values]


def _one_of(found: Sequence[Passage], index: int, most: int) -> Text:
    text = Text()
    for number, passage in enumerate(found):
        if len(text) > most:
            left = sum(each.differs for each in found[number:])
            return text.append(f" {LEFT_OUT} ({left} more)" if left else f" {LEFT_OUT}", "dim")
        word = one_line(passage.texts[index if passage.differs else 0])
        text.append(" " if text else "")
        text.append(shortened(word, most) or NOTHING, "" if passage.differs and word else "dim")
    return text


def from_to(old: Any, new: Any) -> Text:
    """Return what became of a value: of longer texts the words that went [-so-] and that came {+so+}."""
    found = found_passages([old, new])
    if found is not None:
        return Text(" ").join(_marked(each) for each in found)
    arrow = Text(" → ", "dim")
    return arrow.join((Text(said(old), "red"), Text(said(new), "green")))


def _marked(passage: Passage) -> Text:
    if not passage.differs:
        return Text(one_line(passage.texts[0]))
    old, new = map(one_line, passage.texts)
    marks = [Text(f"[-{old}-]", "red")] if old else []
    return Text(" ").join([*marks, *([Text(f"{{+{new}+}}", "green")] if new else [])])
