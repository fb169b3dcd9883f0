"""A JSON schema in words: what its fields are called, what they hold and within which limits."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

Schema = Mapping[str, Any]

_RANGES = (
    ("minimum", "maximum", ""),
    ("minLength", "maxLength", " characters"),
    ("minItems", "maxItems", " items"),
    ("minProperties", "maxProperties", " keys"),
)
ANYTHING = "#/components/schemas/Json"
"""What holds itself, and is as well said in two words."""
_NO_NUL = r"^[^\x00]*$"
_SHOWN_PATTERN = 40
"""Characters of a pattern beyond which it tells people nothing."""


class Field(NamedTuple):
    """`name` has dots for what is inside of it, `[]` for each item of a list: `modifications[].type`."""

    name: str
    kind: str
    limits: str
    is_required: bool
    description: str


def fields(schema: Schema, components: Mapping[str, Schema]) -> list[Field]:
    """Return every field of an object, each before what is inside of it; a model inside itself is not followed."""
    return [*_fields(schema, components, "", ())]


def field(name: str, schema: Schema, components: Mapping[str, Schema], *, is_required: bool) -> Field:
    whole = _resolved(schema, components)
    limits = ", ".join(_limits(whole, components))
    return Field(name, kind(schema, components), limits, is_required, str(whole.get("description", "")))


def kind(schema: Schema, components: Mapping[str, Schema]) -> str:
    """Return what a schema takes, e.g. "list of texts or null"."""
    if schema.get("$ref") == ANYTHING:
        return "any JSON"
    schema = _resolved(schema, components)
    if alternatives := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(dict.fromkeys(kind(each, components) for each in alternatives))
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(json.dumps(each) for each in schema["enum"])
    if schema.get("type") == "array":
        items = schema.get("items", {})
        return f"list of {kind(items, components)}" if items else "list"
    name = schema.get("type", "any value")
    name = " or ".join(name) if isinstance(name, list) else name
    return f"{name} ({schema['format']})" if "format" in schema else str(name)


def _fields(schema: Schema, components: Mapping[str, Schema], prefix: str, within: tuple[str, ...]) -> Iterator[Field]:
    inner = _resolved(schema, components)
    within = (*within, schema["$ref"]) if "$ref" in schema else within
    required = inner.get("required", ())
    for name, each in inner.get("properties", {}).items():
        yield field(prefix + name, each, components, is_required=name in required)
        for suffix, part in _objects_in(each, components):
            if part.get("$ref") not in within:
                yield from _fields(part, components, f"{prefix}{name}{suffix}.", within)


def _objects_in(schema: Schema, components: Mapping[str, Schema]) -> Iterator[tuple[str, Schema]]:
    """Yield what has fields of its own in a field's schema, and how that is written behind the field's name."""
    if schema.get("$ref") == ANYTHING:
        return
    whole = _resolved(schema, components)
    if "properties" in whole:
        yield "", schema
    for each in whole.get("anyOf") or whole.get("oneOf") or ():
        yield from _objects_in(each, components)
    if whole.get("type") == "array":
        yield from (("[]" + suffix, each) for suffix, each in _objects_in(whole.get("items", {}), components))
    if isinstance(values := whole.get("additionalProperties"), Mapping):
        yield from ((".*" + suffix, each) for suffix, each in _objects_in(values, components))


def _limits(schema: Schema, components: Mapping[str, Schema]) -> Iterator[str]:
    yield from _ranges(schema)
    for each in schema.get("anyOf") or schema.get("oneOf") or ():
        yield from _ranges(_resolved(each, components))
    if schema.get("type") == "array":
        yield from (f"each {limit}" for limit in _ranges(_resolved(schema.get("items", {}), components)))
    default = schema.get("default")
    if default not in (None, []) and not isinstance(default, dict):  # an object's are told at its fields
        yield f"default {json.dumps(default, ensure_ascii=False)}"


def _ranges(schema: Schema) -> Iterator[str]:
    for low, high, unit in _RANGES:
        least, most = schema.get(low), schema.get(high)
        if least is not None and most is not None:
            yield f"{_number(least)} to {_number(most)}{unit}"
        elif least is not None:
            yield f"at least {_number(least)}{unit}"
        elif most is not None:
            yield f"at most {_number(most)}{unit}"
    pattern = schema.get("pattern", "")
    if pattern != _NO_NUL and 0 < len(pattern) < _SHOWN_PATTERN:
        yield f"matches {pattern}"


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _resolved(schema: Schema, components: Mapping[str, Schema]) -> Schema:
    """Return the schema that a reference leads to, with what stands beside the reference."""
    if "$ref" not in schema:
        return schema
    beside = {key: value for key, value in schema.items() if key != "$ref"}
    return {**_resolved(components[schema["$ref"].rpartition("/")[2]], components), **beside}
