"""The little markup of screens: paragraphs, links, emphasis. Text in, structure out; nobody ever makes HTML of it.

    Paragraphs are separated by blank lines. *strong*, _emphasis_, [a link](https://example.org).

Stars and underscores mark whole words, so that 2*3*4 and snake_case stay what they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

Style = Literal["plain", "strong", "emphasis", "link"]

_SPAN = re.compile(
    r"\[(?P<label>[^\[\]\n]+)\]\((?P<href>[^()\s]+)\)"
    r"|(?<![\w*])\*(?=[^\s*])(?P<strong>[^*\n]+?)(?<=\S)\*(?![\w*])"
    r"|(?<![\w_])_(?=[^\s_])(?P<emphasis>[^_\n]+?)(?<=\S)_(?![\w_])"
)
_BLANK_LINES = re.compile(r"\n\s*\n")


class Span(NamedTuple):
    text: str
    style: Style = "plain"
    href: str | None = None


Paragraph = list[Span]


def paragraphs(text: str) -> list[Paragraph]:
    return [list(_spans(part.strip())) for part in _BLANK_LINES.split(text) if part.strip()]


def _spans(paragraph: str) -> Iterator[Span]:
    end = 0
    for match in _SPAN.finditer(paragraph):
        if match.start() > end:
            yield Span(paragraph[end : match.start()])
        yield _marked(match)
        end = match.end()
    if end < len(paragraph):
        yield Span(paragraph[end:])


def _marked(match: re.Match[str]) -> Span:
    if match["label"]:
        return Span(match["label"], "link", match["href"])
    return Span(match["strong"], "strong") if match["strong"] else Span(match["emphasis"], "emphasis")


def link_problems(text: str) -> Iterator[str]:
    """Say which links lead nowhere that a participant should be sent."""
    for paragraph in paragraphs(text):
        for span in paragraph:
            if span.href is not None and not _is_safe(span.href):
                yield f'the link "{span.href}" is not allowed: an address that begins with https:// or mailto:'


def _is_safe(href: str) -> bool:
    try:
        parts = urlsplit(href)
    except ValueError:
        return False
    return parts.scheme == "mailto" or (parts.scheme == "https" and bool(parts.hostname))
