"""What a role's answer has, and reading it out of what a model wrote.

A model is asked for a JSON object of ANSWER_SCHEMA (the coordinator: SUMMARY_SCHEMA). What comes back is read as far as
it goes: a fence round it is taken off, text around the object is passed over, a value of the wrong kind counts as not
given. Only an answer without the object, or without its `response`, is none.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from simulation.errors import InvalidJson
from simulation.strict_json import parse

MAX_ITEMS = 20
"""Of actions, tasks and the like in one answer."""
MAX_HOURS = 100_000.0

FUNCTION_TYPES = ("EI", "EO", "EQ", "ILF", "EIF")
COMPLEXITIES = ("low", "average", "high")
TASK_STATUSES = ("planned", "in_progress", "completed", "blocked")

_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}
_NUMBER = {"type": ["number", "null"]}


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Every key required and no other allowed: what OpenAI's strict mode wants, and harmless elsewhere."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


TASK = {
    "task_name": {"type": "string", "description": "the same words each time this task is named"},
    "description": _TEXT,
    "status": {"type": "string", "enum": list(TASK_STATUSES)},
    "completion_chance": {"type": ["number", "null"], "description": "0 to 1; null if you cannot tell"},
    "estimated_effort_hours": {"type": ["number", "null"], "description": "working hours of one person"},
    "dependencies": {**_TEXTS, "description": "names of tasks that must be done before"},
    "priority": {"type": ["integer", "null"], "description": "1 (can wait) to 10 (first of all)"},
    "assigned_agent": {"type": ["string", "null"], "description": "the role that does it; null for yourself"},
}
FUNCTION = {
    "function_name": _TEXT,
    "function_type": {"type": "string", "enum": list(FUNCTION_TYPES)},
    "complexity": {"type": "string", "enum": list(COMPLEXITIES)},
    "description": _TEXT,
}
ANSWER_SCHEMA = _object(
    {
        "response": {"type": "string", "description": "what you say to the table"},
        "reasoning": {"type": "string", "description": "why"},
        "actions": {**_TEXTS, "description": "what you propose to do"},
        "directed_to": {**_TEXTS, "description": "the roles to whom you speak in particular"},
        "confidence": {"type": ["number", "null"], "description": "0 to 1"},
        "risks": _TEXTS,
        "opportunities": _TEXTS,
        "tasks": {"type": "array", "items": _object(TASK)},
        "functions": {
            "type": "array",
            "items": _object(FUNCTION),
            "description": "functions of the software that you have named, as IFPUG counts them",
        },
    }
)
SUMMARY_SCHEMA = _object(
    {
        "summary": {"type": "string", "description": "what the table has come to in this round"},
        "next_action": {"type": "string", "description": "what should be looked at next"},
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A role's answer, read: `confidence` is 0 to 1; `tasks` have the keys of TASK, `functions` those of FUNCTION."""

    content: str
    reasoning: str = ""
    actions: tuple[str, ...] = ()
    directed_to: tuple[str, ...] = ()
    confidence: float | None = None
    risks: tuple[str, ...] = ()
    opportunities: tuple[str, ...] = ()
    tasks: tuple[Mapping[str, Any], ...] = ()
    functions: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    summary: str
    next_action: str | None = None


def read_answer(text: str, roles: Collection[str]) -> Answer | None:
    """Return the answer that `text` holds, None if it holds none; `roles` are those that can be addressed."""
    found = _object_in(text)
    content = _text(found.get("response")) if found else ""
    if not found or not content:
        return None
    named = (each.strip().lower().replace(" ", "_") for each in _texts(found.get("directed_to")))
    return Answer(
        content=content,
        reasoning=_text(found.get("reasoning")),
        actions=_texts(found.get("actions")),
        directed_to=tuple(dict.fromkeys(each for each in named if each in roles)),
        confidence=_share(found.get("confidence")),
        risks=_texts(found.get("risks")),
        opportunities=_texts(found.get("opportunities")),
        tasks=tuple(filter(None, map(_task, _objects(found.get("tasks"))))),
        functions=tuple(filter(None, map(_function, _objects(found.get("functions"))))),
    )


def read_summary(text: str) -> Summary | None:
    found = _object_in(text)
    summary = _text(found.get("summary")) if found else ""
    if not found or not summary:
        return None
    return Summary(summary=summary, next_action=_text(found.get("next_action")) or None)


_FENCE = re.compile(r"```(?:json)?\s*(\{.*\})\s*```", re.DOTALL | re.IGNORECASE)


def _object_in(text: str) -> dict[str, Any] | None:
    """Return the JSON object in what a model wrote, wherever it stands."""
    fenced = _FENCE.search(text)
    candidates = [text, fenced[1] if fenced else "", text[text.find("{") : text.rfind("}") + 1]]
    for candidate in filter(None, candidates):
        try:
            value = parse(candidate.encode("utf-8", "replace"))
        except InvalidJson:
            continue
        if isinstance(value, dict):
            return value
    return None


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        return ()
    return tuple(filter(None, map(_text, value[:MAX_ITEMS])))


def _objects(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)][:MAX_ITEMS] if isinstance(value, list) else []


def _number(value: object, low: float, high: float) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value) if low <= value <= high else None


def _share(value: object) -> float | None:
    return _number(value, 0, 1)


def _task(given: Mapping[str, Any]) -> dict[str, Any] | None:
    name = _text(given.get("task_name"))
    if not name:
        return None
    status = given.get("status")
    priority = _number(given.get("priority"), 1, 10)
    return {
        "task_name": name,
        "description": _text(given.get("description")),
        "status": status if status in TASK_STATUSES else "planned",
        "completion_chance": _share(given.get("completion_chance")),
        "estimated_effort_hours": _number(given.get("estimated_effort_hours"), 0, MAX_HOURS),
        "dependencies": list(_texts(given.get("dependencies"))),
        "priority": None if priority is None else round(priority),
        "assigned_agent": _text(given.get("assigned_agent")) or None,
    }


def _function(given: Mapping[str, Any]) -> dict[str, Any] | None:
    name, kind, complexity = (_text(given.get(key)) for key in ("function_name", "function_type", "complexity"))
    if not name or kind.upper() not in FUNCTION_TYPES or complexity.lower() not in COMPLEXITIES:
        return None
    return {
        "function_name": name,
        "function_type": kind.upper(),
        "complexity": complexity.lower(),
        "description": _text(given.get("description")),
    }
