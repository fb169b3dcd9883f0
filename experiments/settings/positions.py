"""Where in a JSON file a value stands, so that whoever has to mend it finds it."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping

from experiments.problems import key_path

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|[{}\[\],:]|[^\s{}\[\],:"]+')


Token = tuple[str, int]


def lines_of(text: str) -> Mapping[str, int]:
    """Return key path -> line (from 1) of every value in `text`, which is JSON; where it has a key, the key's line."""
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    tokens = ((match[0], bisect_right(starts, match.start())) for match in _TOKEN.finditer(text))
    return dict(_value(next(tokens), tokens, ()))


def _value(first: Token, rest: Iterator[Token], path: tuple[str | int, ...]) -> Iterator[tuple[str, int]]:
    """Yield the lines of the value that begins with `first`, and take its tokens from `rest`."""
    token, line = first
    yield key_path(path), line
    if token == "{":
        yield from _members(rest, path)
    elif token == "[":
        yield from _items(rest, path)


def _members(tokens: Iterator[Token], path: tuple[str | int, ...]) -> Iterator[tuple[str, int]]:
    for token, line in tokens:
        if token == "}":
            return
        if token == ",":
            continue
        next(tokens)  # the colon
        opening, _ = next(tokens)
        yield from _value((opening, line), tokens, (*path, json.loads(token)))


def _items(tokens: Iterator[Token], path: tuple[str | int, ...]) -> Iterator[tuple[str, int]]:
    index = 0
    for token, line in tokens:
        if token == "]":
            return
        if token == ",":
            index += 1
        else:
            yield from _value((token, line), tokens, (*path, index))


def line_of(key: str, lines: Mapping[str, int]) -> int | None:
    """Return the line of `key`, or of the innermost value around it that stands in the file."""
    while key:
        if key in lines:
            return lines[key]
        key = key[: max(key.rfind("."), key.rfind("["), 0)]
    return lines.get("")
