"""How the fake answers: a name, perhaps with parameters, and the reply that follows from it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from server.fakellm import wire
from server.fakellm.wire import GEMINI, Asked, Said, answer, nothing, refusal

Breaks = Literal["drop", "drop_mid", "reset", "malformed"]
"""What no HTTP framework would send."""

LINES = (
    "morning all",
    "has anybody seen the bin lorry yet?",
    "I think that is a good idea",
    "not sure, what do the others say?",
    "haha yes",
    "we had the same last week",
    "count me in",
    "does that work for you?",
    "could be, I will have a look later",
    "thanks for telling us",
)
HTML = b"<!DOCTYPE html><html><head><title>Gateway</title></head><body>Please sign in to the network.</body></html>"
HUGE_CHARACTERS = 1_000_000


@dataclass(frozen=True, slots=True)
class Reply:
    """`delay` in seconds before it, `pause` between its `chunks`; `hangs`: nothing comes until the asker leaves."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    pause: float = 0.0
    chunk_bytes: int | None = None
    hangs: bool = False
    breaks: Breaks | None = None


@dataclass(frozen=True, slots=True)
class Behaviour:
    name: str = "ok"
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def reply(self, asked: Asked) -> Reply:
        return BEHAVIOURS[self.name](asked, **self.parameters)


def line(asked: Asked) -> str:
    """Return a short chat line that changes from request to request; where a schema was given, JSON that has it."""
    said = LINES[(asked.number + len(asked.prompt)) % len(LINES)]
    return said if asked.schema is None else json.dumps(_fitting(asked.schema, said))


def _fitting(schema: Mapping[str, Any], said: str) -> Any:
    """Return a value of a JSON Schema: `said` in each text, and as little as is allowed of everything else."""
    if "enum" in schema:
        return schema["enum"][0]
    kinds = schema.get("type", "null")
    match kinds[-1] if isinstance(kinds, list) else kinds:
        case "object":
            return {name: _fitting(part, said) for name, part in schema.get("properties", {}).items()}
        case "array":
            return []
        case "string":
            return said
        case "number" | "integer":
            return 0
        case "boolean":
            return False
    return None


def _says(asked: Asked, said: Said, served_model: str | None = None, **details: Any) -> Reply:
    # Not orjson: half a surrogate pair, as models do send, is what it would refuse.
    return Reply(body=json.dumps(answer(asked, said, served_model)).encode(), **details)


def ok(
    asked: Asked,
    text: str | None = None,
    latency: float = 0.0,
    thinking_tokens: int = 0,
    cached_tokens: int = 0,
) -> Reply:
    """An answer: `text`, after `latency` seconds, with `thinking_tokens` and `cached_tokens`."""
    said = Said(line(asked) if text is None else text, thinking_tokens=thinking_tokens, cached_tokens=cached_tokens)
    return _says(asked, said, delay=latency)


def echo(asked: Asked) -> Reply:
    """Says what it was asked, the instructions too: what a model must never do."""
    return _says(asked, Said(f"{asked.system}\n\n{asked.prompt}"))


def served(asked: Asked, model: str = "another-model") -> Reply:
    """Another model answers: `model`."""
    return _says(asked, Said(line(asked)), model)


def huge(asked: Asked) -> Reply:
    """A million characters."""
    text = "This is a long sentence that goes on about nothing. " * (HUGE_CHARACTERS // 50)
    return _says(asked, Said(text))


def length(asked: Asked, text: str = "This sentence is whole. This one is cut in the mid") -> Reply:
    """Cut at the limit of tokens: `text`."""
    return _says(asked, Said(text, "MAX_TOKENS"))


def thinking_only(asked: Asked) -> Reply:
    """Thinks until its tokens are used up, and says nothing."""
    return _says(asked, Said(None, "MAX_TOKENS", thinking_tokens=100))


def blocked(asked: Asked) -> Reply:
    """The prompt is refused by a filter."""
    return _says(asked, Said(None, "SAFETY", blocked="PROHIBITED_CONTENT"))


def candidate(asked: Asked, finish: str = "SAFETY", text: str | None = None) -> Reply:
    """An answer with another finish reason: `finish` (one of Gemini's words), `text`."""
    return _says(asked, Said(text, finish))


def empty(asked: Asked) -> Reply:
    """No answer at all, with a 200."""
    return Reply(body=orjson.dumps(nothing(asked)))


def empty_text(asked: Asked) -> Reply:
    """An answer without a character."""
    return _says(asked, Said(""))


def null_content(asked: Asked) -> Reply:
    """An answer without text."""
    return _says(asked, Said(None))


def function_call(asked: Asked) -> Reply:
    """A call of a tool instead of text."""
    return _says(asked, Said(None, parts=[{"functionCall": {"name": "look", "args": {}}}]))


def raw(asked: Asked, status: int = 200, body: str = "", content_type: str = "application/json") -> Reply:
    """Whatever you say: `status`, `body`, `content_type`."""
    return Reply(status, body.encode(), {"content-type": content_type})


def html(asked: Asked, status: int = 200) -> Reply:
    """A page, as a proxy would show it: `status`."""
    return Reply(status, HTML, {"content-type": "text/html"})


def cut(asked: Asked) -> Reply:
    """Half of the JSON."""
    whole = orjson.dumps(answer(asked, Said(line(asked))))
    return Reply(body=whole[: len(whole) // 2])


def drip(asked: Asked, pause: float = 0.25, chunk_bytes: int = 40) -> Reply:
    """A few bytes now and then: `pause` in seconds, `chunk_bytes`."""
    whole = orjson.dumps(answer(asked, Said(line(asked))))
    return Reply(body=whole, pause=pause, chunk_bytes=chunk_bytes)


def hang(asked: Asked) -> Reply:
    """Nothing, until the asker leaves."""
    return Reply(hangs=True)


def status(
    asked: Asked,
    code: int,
    message: str = "as arranged",
    headers: Mapping[str, str] | None = None,
    in_list: bool = False,
) -> Reply:
    """An error status: `code`, `message`, `headers`."""
    body = refusal(asked, code, message)
    return Reply(code, orjson.dumps([body] if in_list else body), headers or {})


def rate_limited(asked: Asked, wait: float | None = None, how: str = "header") -> Reply:
    """429; `wait` in seconds, told in the `header`, in milliseconds (`ms`) or in Google's own way (`details`)."""
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{wait:g}s"}] if wait else []
    headers: dict[str, str] = {}
    if wait is not None and how == "header":
        headers["retry-after"] = f"{wait:g}"
    elif wait is not None and how == "ms":
        headers["retry-after-ms"] = f"{wait * 1000:g}"
    body = refusal(asked, 429, "Too many requests per minute.", details if how == "details" else ())
    return Reply(429, orjson.dumps(body), headers)


def quota(asked: Asked, kind: str = "day") -> Reply:
    """429 that no waiting of ours cures: the `day`'s quota, or `money`."""
    if kind == "money" and asked.wire == GEMINI:
        body = refusal(asked, 429, "Your prepayment credits are depleted.")
    elif kind == "money":
        body = refusal(asked, 429, "You exceeded your current quota, check your billing.", code="insufficient_quota")
    elif asked.wire == GEMINI:
        violation = {"quotaId": "GenerateRequestsPerDayPerProjectPerModel"}
        details = [{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]}]
        body = refusal(asked, 429, "You exceeded your current quota.", details)
    else:
        body = refusal(asked, 429, "Rate limit reached on tokens per day (TPD).", code="rate_limit_exceeded")
    return Reply(429, orjson.dumps(body), {"retry-after": "3600"} if asked.wire != GEMINI else {})


def redirect(asked: Asked) -> Reply:
    """A redirect to elsewhere."""
    return Reply(302, b"", {"location": "http://127.0.0.1:9/elsewhere"})


def _breaking(how: Breaks) -> Callable[[Asked], Reply]:
    def breaking(asked: Asked) -> Reply:
        """The connection breaks."""
        return Reply(body=orjson.dumps(answer(asked, Said(line(asked)))), breaks=how)

    return breaking


def _with_status(code: int) -> Callable[..., Reply]:
    def with_status(asked: Asked, **details: Any) -> Reply:
        """This status: `message`, `headers`."""
        return status(asked, code, **details)

    return with_status


CODES = (400, 401, 402, 403, 404, 408, 409, 413, 422, 424, 429, 498, 499, 500, 502, 503, 504)

BEHAVIOURS: dict[str, Callable[..., Reply]] = {
    "ok": ok,
    "latency": ok,
    "echo": echo,
    "served": served,
    "huge": huge,
    "length": length,
    "thinking_only": thinking_only,
    "blocked": blocked,
    "candidate": candidate,
    "empty": empty,
    "empty_text": empty_text,
    "null_content": null_content,
    "function_call": function_call,
    "raw": raw,
    "html": html,
    "cut": cut,
    "drip": drip,
    "hang": hang,
    "status": status,
    "rate_limited": rate_limited,
    "quota": quota,
    "redirect": redirect,
    "drop": _breaking("drop"),
    "drop_mid": _breaking("drop_mid"),
    "reset": _breaking("reset"),
    "malformed": _breaking("malformed"),
}
BEHAVIOURS.update((str(code), _with_status(code)) for code in CODES)


def behaviour(name: str, **parameters: Any) -> Behaviour:
    """Return a behaviour; raise ValueError if there is none of this name, or not with these parameters."""
    if name not in BEHAVIOURS:
        raise ValueError(f"there is no behaviour {name!r}; known are {', '.join(BEHAVIOURS)}")
    chosen = Behaviour(name, parameters)
    try:
        chosen.reply(Asked(wire.GEMINI, 0, "m", ""))
    except (TypeError, AttributeError) as error:
        raise ValueError(f"{name}: {error}") from None
    return chosen


def described() -> dict[str, str]:
    """Return what each behaviour does, by name."""
    return {name: (each.__doc__ or "").partition("\n")[0] for name, each in BEHAVIOURS.items()}
