"""One thing that is wrong with a settings file, in words that let whoever wrote it mend it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

SHOWN_CHARACTERS = 60
LISTED_CHARACTERS = 600


class Problem(NamedTuple):
    """`key` is the path to the value as one would write it (`timing.scale`, `agent_names[2]`), empty for the file;
    `line` counts from 1, None where there is no file to have lines.
    """

    file: Path
    key: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        where = str(self.file) if self.line is None else f"{self.file}:{self.line}"
        return ": ".join(part for part in (where, self.key, self.message) if part)


def shown(value: object) -> str:
    """Return `value` as it would stand in the file, shortened."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


def not_allowed(value: object, allowed: str) -> str:
    return f"{shown(value)} is not allowed: {allowed}"


def unknown_key(key: str, known: Iterable[str]) -> str:
    """Return the message for a key that there is not, with the one that was probably meant."""
    return f"unknown key; {nearest(key, known)}"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the name that was probably meant, or else all that there are."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f'did you mean "{near[0]}"?'
    listed = ", ".join(names)
    return f"known are {listed if len(listed) <= LISTED_CHARACTERS else f'{listed[:LISTED_CHARACTERS]}…'}"


def key_path(parts: Sequence[str | int]) -> str:
    """Return ("agent_names", 2) as `agent_names[2]`."""
    path = ""
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def allowed_by(schema: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    """Say in words what a JSON Schema allows."""
    if "$ref" in schema:
        return allowed_by(root["$defs"][schema["$ref"].rsplit("/", 1)[-1]], root)
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return ", or ".join(allowed_by(option, root) for option in options)
    if schema.get("format") == "date-time":
        return 'a date and time with its zone, such as "2026-12-01T09:00:00+01:00"'
    if schema.get("pattern") in _PATTERNS:
        return _PATTERNS[schema["pattern"]]
    if "enum" in schema:
        return "one of " + ", ".join(shown(value) for value in schema["enum"])
    if "const" in schema:
        return shown(schema["const"])
    if "properties" in schema:
        return "an object, {...}, which may have " + ", ".join(schema["properties"])
    words = _TYPES.get(schema.get("type", ""), "a value")
    return f"{words}{_range(schema)}"


_TYPES = {
    "number": "a number",
    "integer": "a whole number",
    "string": "text in quotes",
    "array": "a list",
    "object": "an object",
    "boolean": "true or false",
    "null": "null",
}


_PATTERNS = {
    r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$": "a name of letters, digits, _ . and -, up to 64 of them",
    r"^[A-Za-z0-9_.-]{1,64}$": "the name of a link's parameter: letters, digits, _ . and -",
    r"^[!-~]{1,100}$": "letters, digits and signs without a space, up to 100 of them",
}


def _range(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f" from {low:,} to {high:,}"
    if "exclusiveMinimum" in schema:
        return f" above {schema['exclusiveMinimum']:g}"
    if low is not None:
        return f" of at least {low:g}"
    if schema.get("minLength") or schema.get("minItems"):
        return " that is not empty"
    return ""
