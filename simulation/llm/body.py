"""What stands in a provider's body, which may be anything: each reader returns what it is for, or nothing.

Providers are not ours to mend, so this is laxer than `strict_json`: doubled keys are taken, and half surrogate pairs
left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from simulation.generation import MOST_TOKENS


def read(body: bytes | str) -> Any:
    """Return a body's value; None if it is no JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def an_object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def objects(value: Any) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def first(value: Any) -> Mapping[str, Any]:
    return next(iter(objects(value)), {})


MOST_CHARACTERS = 20_000
"""Of an answer: many times what becomes a message."""
WORD_CHARACTERS = 200
"""Of a name, an id or a reason."""


def a_text(value: Any) -> str | None:
    """Return a text as a log can hold it: what the core is told must be what a replay is told."""
    return _storable(value[:MOST_CHARACTERS]) if isinstance(value, str) else None


def a_word(value: Any) -> str | None:
    """Return a name, an id or a reason."""
    return _storable(value[:WORD_CHARACTERS]) if isinstance(value, str) else None


def _storable(text: str) -> str:
    """Return `text` without NUL and half surrogate pairs, which models do send."""
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "ignore")
    return text.replace("\0", "")


def a_count(value: Any) -> int | None:
    """Return a number of tokens."""
    return value if type(value) is int and 0 <= value <= MOST_TOKENS else None
