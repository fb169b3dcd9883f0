"""The one JSON parser for every entrance: sockets, requests, settings files and logs.

Stricter than the standard library, because each leniency there has hurt somebody: duplicate keys (the last one wins
silently), NaN and 1e400 (they come back out as something that is not JSON), integers without bound, lone surrogates
(they cannot be encoded again), NUL (PostgreSQL refuses it), nesting without bound (RecursionError).
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from simulation.errors import InvalidJson, TooDeep, TooLarge

MAX_DEPTH = 32
PATH_KEYS = 5
"""How many of the keys that lead to what is nested too deep are told: the first name the field, the rest is noise."""
MAX_INTEGER_DIGITS = 18  # what a signed 64-bit integer surely holds
UTF8_BOM = b"\xef\xbb\xbf"

# A string is matched possessively, an unterminated one to the end: so no input makes the scan more than linear.
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[\[{]|[\]}]', re.DOTALL)
_TOKENS = re.compile(_BRACKETS.pattern + rb"|[:,]", re.DOTALL)
_SUSPICIOUS_ESCAPE = re.compile(rb"\\u(?:[dD][89a-fA-F]|0000)")
_FORBIDDEN = re.compile("[\ud800-\udfff\0]")


def parse(data: bytes, *, max_bytes: int = 0) -> Any:
    """Return the value in `data`; raise InvalidJson, of it TooDeep beyond MAX_DEPTH, TooLarge above `max_bytes` (0: no
    limit).
    """
    if max_bytes and len(data) > max_bytes:
        raise TooLarge(f"more than {max_bytes:,} bytes")
    _refuse_depth(data)
    text = _text(data)
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise InvalidJson(_reason(error, text), error.lineno, error.colno) from None
    if b"\\u" in data and _SUSPICIOUS_ESCAPE.search(data):
        _refuse_forbidden(value)
    return value


_CURLY_QUOTES = ("“", "”", "„", "‘", "’", "«")


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        raise InvalidJson("not UTF-8 text", line, column) from None


def _reason(error: json.JSONDecodeError, text: str) -> str:
    if not text.strip():
        return "empty"
    before, after = text[: error.pos].rstrip(), text[error.pos :]
    if before.endswith(",") and after[:1] in ("}", "]"):
        return "a comma too many before the closing bracket"
    if after.startswith(_CURLY_QUOTES):
        return f'a curly quote, {after[0]}; write straight ones, "'
    if after.startswith(("//", "/*", "#")):
        return "a comment; JSON has none"
    if not after.strip():
        return "the text breaks off: a bracket or a quotation mark is not closed"
    if after.startswith(("True", "False", "None")):
        return "write true, false or null, without capitals"
    if "control character" in error.msg:
        return "a line break inside a text; write \\n for one"
    if error.msg.startswith("Expecting ',' delimiter"):
        return 'a comma is missing before this, or a " inside a text lacks its backslash: \\"'
    reason = error.msg[0].lower() + error.msg[1:]
    return f"not JSON: {reason}"


def _refuse_depth(data: bytes) -> None:
    # Counting every opening bracket is a cheap upper bound that nearly all input stays under.
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return
    depth = 0
    for match in _BRACKETS.finditer(data):
        token = match[0]
        if token in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise TooDeep(f"nested deeper than {MAX_DEPTH}", _path_to(data, match.start()))
        elif token in b"]}":
            depth -= 1


def _path_to(data: bytes, end: int) -> tuple[str | int, ...]:
    """Return the first keys and indexes that lead to `end`, as far as they can be told: nothing was parsed yet."""
    path: list[str | int | None] = []  # of each open bracket; None in an object before its first key
    text = b""
    for match in _TOKENS.finditer(data, 0, end):
        token = match[0]
        if token in b"[{":
            path.append(0 if token == b"[" else None)
        elif not path:
            continue
        elif token in b"]}":
            path.pop()
        elif token == b":":
            path[-1] = _key(text)
        elif token == b",":
            path[-1] = path[-1] + 1 if isinstance(path[-1], int) else None
        else:
            text = token
    return tuple(part for part in path[:PATH_KEYS] if part is not None)


def _key(token: bytes) -> str:
    try:
        return _FORBIDDEN.sub("\ufffd", str(json.loads(token)))
    except ValueError:  # of bytes that are no UTF-8, too
        return token.decode("utf-8", "replace")


def _refuse_forbidden(value: Any) -> None:
    match value:
        case str() if found := _FORBIDDEN.search(value):
            name = "the NUL character" if found[0] == "\0" else "half of a surrogate pair"
            raise InvalidJson(f"text contains {name}")
        case dict():
            for key, item in value.items():
                _refuse_forbidden(key)
                _refuse_forbidden(item)
        case list():
            for item in value:
                _refuse_forbidden(item)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise InvalidJson(f'the key "{twice[:80]}" stands twice')
    return value


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > MAX_INTEGER_DIGITS:
        raise InvalidJson(f"an integer of more than {MAX_INTEGER_DIGITS} digits")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise InvalidJson("a number too large")
    return value


def _constant(name: str) -> float:
    raise InvalidJson(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant)
