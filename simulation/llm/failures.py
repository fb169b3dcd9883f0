"""What a provider's refusal means: one table for all of them, since they all speak HTTP.

| the server says | kind | why |
|---|---|---|
| 401, 403; 400 with `API_KEY_INVALID` (Google's way) | auth | the key was refused |
| 402; 429 of a day's quota or for want of money | quota_exhausted | no wait of ours cures it |
| 429 | rate_limited | after the wait that it names |
| 408, 409, 424, 425, 498, 499, 5xx, and any other status | unavailable | it may work the next time |
| 400 with `content_filter` (Azure's way) | blocked | the prompt was refused, not the request |
| 400, 404, 413, 422 and other 4xx | rejected | this request never will |
| 204, 3xx, no JSON, JSON of another shape | bad_response | somebody else answered, or half an answer came |

Sources: https://ai.google.dev/gemini-api/docs/troubleshooting, https://console.groq.com/docs/errors, RFC 9110 §10.2.3.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from simulation.errors import GenerationError
from simulation.llm.body import a_text, first, objects, read

MESSAGE_CHARACTERS = 300
ID_CHARACTERS = 100
"""How much of a provider's own words goes into the log."""

AUTH = (401, 403)
CURED_LATER = (408, 409, 424, 425, 498, 499)
INVALID_KEY = "API_KEY_INVALID"
OUT_OF_MONEY = ("insufficient_quota", "billing_hard_limit_reached")
_NO_MONEY = re.compile(r"credits? (?:are|is) depleted|insufficient (?:funds|credits?|balance)", re.IGNORECASE)
_A_DAY = re.compile(r"per[ _-]?day|daily|\b[RT]PD\b", re.IGNORECASE)
_SECONDS = re.compile(r"(\d+(?:\.\d+)?)s")
LONGEST_WAIT_SECONDS = 86_400.0 * 7


def failure_of(
    status: int, headers: Mapping[str, str], body: bytes, *, at: datetime, hide: Callable[[str], str] = str
) -> GenerationError:
    """Return the error that a status other than 200 stands for.

    `headers` by lower-case name, `at` is now, `hide` takes out of the provider's words what nobody may read.
    """
    error = _error(body)
    said = " ".join(hide(_message(error) or body.decode("utf-8", "replace")).split())
    request_id = headers.get("x-request-id")
    return GenerationError(
        f"HTTP {status}: {said[:MESSAGE_CHARACTERS] or 'no body'}",
        kind=_kind(status, error),
        retry_after=_wait(headers, error, at),
        http_status=status,
        request_id=None if request_id is None else hide(request_id)[:ID_CHARACTERS],
    )


def bad_response(message: str, http_status: int | None = 200) -> GenerationError:
    return GenerationError(message, kind="bad_response", http_status=http_status)


def _kind(status: int, error: Mapping[str, Any]) -> str:
    if status in AUTH or (status == 400 and INVALID_KEY in _reasons(error)):
        return "auth"
    if status == 402 or (status == 429 and _is_final(error)):
        return "quota_exhausted"
    if status == 429:
        return "rate_limited"
    if status == 400 and error.get("code") == "content_filter":
        return "blocked"
    if 400 <= status < 500 and status not in CURED_LATER:
        return "rejected"
    return "bad_response" if status < 400 else "unavailable"


def _is_final(error: Mapping[str, Any]) -> bool:
    """Whether a 429 is about a day or about money, not about a minute."""
    if error.get("code") in OUT_OF_MONEY or error.get("type") in OUT_OF_MONEY:
        return True
    quotas = [
        str(each.get("quotaId", ""))
        for detail in objects(error.get("details"))
        for each in objects(detail.get("violations"))
    ]
    if quotas:
        return any("PerDay" in quota for quota in quotas)
    return bool(_A_DAY.search(_message(error)) or _NO_MONEY.search(_message(error)))


def _reasons(error: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(detail.get("reason")) for detail in objects(error.get("details")))


# Waits


def _wait(headers: Mapping[str, str], error: Mapping[str, Any], at: datetime) -> float | None:
    """Return the seconds that the provider asks us to wait: by header, or in Google's way in the body."""
    waits = (_milliseconds(headers), _retry_after(headers.get("retry-after", ""), at), _retry_delay(error))
    named = next((wait for wait in waits if wait is not None), None)
    return None if named is None else min(max(named, 0.0), LONGEST_WAIT_SECONDS)


def _milliseconds(headers: Mapping[str, str]) -> float | None:
    value = _number(headers.get("retry-after-ms", ""))
    return None if value is None else value / 1000


def _retry_after(value: str, at: datetime) -> float | None:
    seconds = _number(value)
    if seconds is not None or not value:
        return seconds
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return (date.replace(tzinfo=date.tzinfo or UTC) - at).total_seconds()


def _retry_delay(error: Mapping[str, Any]) -> float | None:
    for detail in objects(error.get("details")):
        if match := _SECONDS.fullmatch(str(detail.get("retryDelay", ""))):
            return _number(match[1])
    return None


def _number(text: str) -> float | None:
    # Not `float`: it would take "nan" and "inf".
    return float(text) if re.fullmatch(r"\d{1,12}(?:\.\d{1,12})?", text) else None


def _error(body: bytes) -> Mapping[str, Any]:
    """Return the error object of a body of either wire, wrapped in a list or not; empty if there is none."""
    value = read(body)
    inner = (value if isinstance(value, dict) else first(value)).get("error")
    if isinstance(inner, str):  # Ollama's way
        return {"message": inner}
    return inner if isinstance(inner, dict) else {}


def _message(error: Mapping[str, Any]) -> str:
    return a_text(error.get("message")) or ""
