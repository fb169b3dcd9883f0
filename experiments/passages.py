"""Where texts differ, word by word, with a few words around it that they share."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

CONTEXT = 5
"""Words, or items of a list, that are shown of what is the same."""
FEWEST_WORDS_BETWEEN = 3
"""Differences with fewer words between them read better as one."""
LEFT_OUT = "…"

# Chinese and Japanese put no spaces between words: there a sign counts as one.
_WORD = re.compile(r"\s*(?:[⺀-鿿]|[^\s⺀-鿿]+)|\s+$")


class Passage(NamedTuple):
    """A stretch on which the texts differ, with what each has there (perhaps nothing), or one that all share, as one
    text, shortened.
    """

    texts: tuple[str, ...]
    differs: bool


def passages(texts: Sequence[str]) -> list[Passage]:
    """Return two or more texts as what they share and where they differ, in order."""
    runs = _merged(_runs([_WORD.findall(text) for text in texts]))
    return [*_passages(runs, glue="")]


def item_passages(lists: Sequence[Sequence[str]]) -> list[Passage]:
    """Return two or more lists in the same way, item by item."""
    return [*_passages([*_runs(lists)], glue=", ")]


class _Run(NamedTuple):
    """Words: one list where all share them, else one list for each text."""

    words: tuple[list[str], ...]
    differs: bool


def _runs(variants: Sequence[Sequence[str]]) -> Iterator[_Run]:
    here, shared = (0,) * len(variants), list[str]()
    ends = tuple(map(len, variants))
    for places in (*_shared_places(variants), ends):
        between = tuple([*words[a:b]] for words, a, b in zip(variants, here, places, strict=True))
        if any(between):
            if shared:
                yield _Run((shared,), differs=False)
            yield _Run(between, differs=True)
            shared = []
        shared = [*shared, *variants[0][places[0] : places[0] + 1]]  # nothing at the ends
        here = tuple(place + 1 for place in places)
    if shared:
        yield _Run((shared,), differs=False)


def _shared_places(variants: Sequence[Sequence[str]]) -> Iterator[tuple[int, ...]]:
    """Yield where each word that all have in common stands in each of them."""
    first, *others = variants
    found = [_places(first, other) for other in others]
    for place in range(len(first)):
        if all(place in places for places in found):
            yield (place, *(places[place] for places in found))


def _places(first: Sequence[str], other: Sequence[str]) -> dict[int, int]:
    blocks = SequenceMatcher(None, first, other).get_matching_blocks()
    return {block.a + index: block.b + index for block in blocks for index in range(block.size)}


def _merged(runs: Iterator[_Run]) -> list[_Run]:
    merged: list[_Run] = []
    for run in runs:
        if run.differs and len(merged) > 1 and len(merged[-1].words[0]) < FEWEST_WORDS_BETWEEN:
            (shared,), before = merged.pop().words, merged.pop().words
            run = _Run(tuple([*a, *shared, *b] for a, b in zip(before, run.words, strict=True)), differs=True)
        merged.append(run)
    return merged


def _passages(runs: Sequence[_Run], glue: str) -> Iterator[Passage]:
    for index, run in enumerate(runs):
        if run.differs:
            yield Passage(tuple(glue.join(words).strip(" ") for words in run.words), differs=True)
        else:
            text = _shortened(run.words[0], glue, head=index > 0, tail=index < len(runs) - 1)
            yield Passage((text,), differs=False)


def _shortened(words: Sequence[str], glue: str, *, head: bool, tail: bool) -> str:
    """Return the words that stand beside a difference: those after one are the head, those before one the tail."""
    if len(words) <= CONTEXT * (head + tail) + 1:
        return glue.join(words).strip(" ")
    first, last = words[:CONTEXT] if head else [], words[-CONTEXT:] if tail else []
    return f"{glue.join(first).strip(' ')} {LEFT_OUT} {glue.join(last).strip(' ')}".strip(" ")
