"""The two wires: what an answer, and what a refusal, looks like on each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Wire = str
GEMINI, CHAT = "gemini", "chat"

STATUS_NAMES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""Google's words (google.rpc.Code)."""


@dataclass(frozen=True, slots=True)
class Said:
    """One answer, in words that both wires have. `finish` is Gemini's word; `parts` replaces the text part."""

    text: str | None
    finish: str | None = "STOP"
    blocked: str | None = None
    thinking_tokens: int = 0
    cached_tokens: int = 0
    parts: Sequence[Mapping[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, as far as both wires have it; `schema` is the one that its answer is to have."""

    wire: Wire
    number: int
    model: str
    prompt: str
    system: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    schema: Mapping[str, Any] | None = None


CHAT_FINISH = {"STOP": "stop", "MAX_TOKENS": "length", "SAFETY": "content_filter", "RECITATION": "content_filter"}


def answer(asked: Asked, said: Said, served_model: str | None = None) -> dict[str, Any]:
    """Return the body of a 200."""
    body = _gemini if asked.wire == GEMINI else _chat
    return body(asked, said, served_model or asked.model)


def _gemini(asked: Asked, said: Said, model: str) -> dict[str, Any]:
    usage = {
        "promptTokenCount": words(asked.system) + words(asked.prompt),
        "candidatesTokenCount": words(said.text or ""),
        "thoughtsTokenCount": said.thinking_tokens,
        "cachedContentTokenCount": said.cached_tokens,
    }
    usage["totalTokenCount"] = sum(usage.values()) - said.cached_tokens
    body: dict[str, Any] = {"usageMetadata": usage, "modelVersion": model, "responseId": f"fake-{asked.number}"}
    if said.blocked is not None:
        return body | {"promptFeedback": {"blockReason": said.blocked}}
    candidate: dict[str, Any] = {"index": 0}
    if said.finish is not None:
        candidate["finishReason"] = said.finish
    parts = said.parts if said.parts is not None else [] if said.text is None else [{"text": said.text}]
    if parts:
        candidate["content"] = {"role": "model", "parts": list(parts)}
    return body | {"candidates": [candidate]}


def _chat(asked: Asked, said: Said, model: str) -> dict[str, Any]:
    finish = "content_filter" if said.blocked else CHAT_FINISH.get(said.finish or "", said.finish)
    message: dict[str, Any] = {"role": "assistant", "content": None if said.blocked else said.text}
    if said.thinking_tokens:
        message["reasoning"] = "thinking " * said.thinking_tokens
    prompt, output = words(asked.system) + words(asked.prompt), words(said.text or "") + said.thinking_tokens
    usage: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "queue_time": 0.001,
        "total_time": 0.01,
        "completion_tokens_details": {"reasoning_tokens": said.thinking_tokens},
        "prompt_tokens_details": {"cached_tokens": said.cached_tokens},
    }
    return {
        "id": f"chatcmpl-{asked.number}",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
        "usage": usage,
        "x_groq": {"id": f"req_fake{asked.number}"},
    }


def refusal(asked: Asked, status: int, message: str, details: Sequence[Any] = (), code: str | None = None) -> Any:
    """Return the body of an error status."""
    if asked.wire == GEMINI:
        name = STATUS_NAMES.get(status, "UNKNOWN")
        return {"error": {"code": status, "message": message, "status": name, "details": list(details)}}
    return {"error": {"message": message, "type": "fake_error", "code": code or str(status)}}


def nothing(asked: Asked) -> dict[str, Any]:
    """Return an answer with no candidate at all."""
    return {"candidates": []} if asked.wire == GEMINI else {"choices": []}


def words(text: str) -> int:
    """What we count as tokens."""
    return len(text.split())


def read(wire: Wire, number: int, model: str, body: Any, headers: Mapping[str, str]) -> Asked:
    """Return what is asked, from either wire, in either of Gemini's casings."""
    if not isinstance(body, dict):
        return Asked(wire, number, model, "", headers=headers)
    if wire == GEMINI:
        system = body.get("systemInstruction") or body.get("system_instruction") or {}
        prompt = "\n\n".join(_parts(content) for content in body.get("contents", ()))
        schema = (body.get("generationConfig") or {}).get("responseJsonSchema")
        return Asked(wire, number, model, prompt, _parts(system), headers, schema)
    messages = body.get("messages", ())
    prompt = "\n\n".join(str(m.get("content")) for m in messages if m.get("role") != "system")
    system = "\n\n".join(str(m.get("content")) for m in messages if m.get("role") == "system")
    schema = ((body.get("response_format") or {}).get("json_schema") or {}).get("schema")
    return Asked(wire, number, str(body.get("model", model)), prompt, system, headers, schema)


def _parts(content: Mapping[str, Any]) -> str:
    return "".join(str(part.get("text", "")) for part in content.get("parts", ()))
