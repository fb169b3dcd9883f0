"""Asking a model: one request, one answer, one method.

A provider is anything with `generate`. It maps messages, parameters, text, finish reason and usage, and classifies its
errors; it does not retry, log or decide.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, NamedTuple, Protocol

from simulation.events import MessagePosted
from simulation.workforce.scene import TableScene

MOST_TOKENS = 2**53
"""What every reader of the log can count to."""

MOST_NAMES = 20
"""Of models that answered in another's place: whoever calls themselves anew each time is not told of each time."""

CACHE = "cache"
"""The source of an answer that was given before to the very same request."""

USABLE = ("ok", "length_cut")
"""The statuses of an answer that becomes a message."""

_VERSION = re.compile(r"(?:[-@:](?:\d{3,8}|\d{4}-\d{2}-\d{2}|latest|preview(?:-\d\d-\d{2,4})?))+")

Role = Literal["system", "user", "assistant"]


class FinishReason(StrEnum):
    STOP = "stop"
    LENGTH = "length"
    CONTENT_FILTER = "content_filter"
    CUT = "cut"
    """The provider gave none: what there is may be half of what was meant."""


class ChatMessage(NamedTuple):
    role: Role
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What is asked of the agent, in the room's own terms: who speaks, in which act, towards what.

    `visible` are the messages that the agent sees, oldest first; None where the settings show it none. Providers on the
    wire need none of this, since the prompt says it in words; a provider that knows rooms (the scripted one) reads it.
    """

    agent_name: str
    members: tuple[str, ...]
    act: str
    cause: str
    visible: tuple[MessagePosted, ...] | None = ()
    towards: MessagePosted | None = None
    mention: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateRequest:
    """`parameters` are those of `Sampling` that are set, by its names: what is not there is not sent.

    `schema` is the JSON Schema that the answer must have, None for plain text. `answer_by` is the moment, in seconds on
    the runtime's clock, after which nobody waits for the answer.
    """

    session_id: str
    turn_id: str
    messages: tuple[ChatMessage, ...]
    scene: Scene | TableScene
    parameters: Mapping[str, Any] = field(default_factory=dict)
    schema: Mapping[str, Any] | None = None
    answer_by: float | None = None

    @property
    def room(self) -> Scene:
        """The scene, where it is a chat's."""
        assert isinstance(self.scene, Scene)
        return self.scene

    @property
    def prompt(self) -> str:
        """The whole prompt as one text, for the log."""
        return "\n\n".join(message.content for message in self.messages)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens counted by the provider; None where it does not say."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    thinking_tokens: int | None = None
    cached_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One answer. `text` None or empty is an ordinary outcome, named by `finish_reason` and `reason`.

    `reason` is the provider's own word for an end that was no plain one (SAFETY, MAX_TOKENS, ...), or why somebody else
    had to speak. `attempts` is what a gateway had to do for it; an adapter leaves it empty. `source` says who spoke:
    the `model` that was asked, or whoever did instead.
    """

    text: str | None
    finish_reason: str = FinishReason.STOP
    reason: str | None = None
    usage: Usage = field(default_factory=Usage)
    served_model: str | None = None
    request_id: str | None = None
    source: str = "model"
    attempts: tuple[Attempt, ...] = ()


def status_of(generation: Generation) -> str:
    """Return the log's word for an answer."""
    has_text = bool(generation.text and generation.text.strip())
    if generation.finish_reason == FinishReason.CONTENT_FILTER:
        return "blocked"
    if not has_text:
        return "empty"
    if generation.finish_reason == FinishReason.CUT:
        return "truncated"
    return "length_cut" if generation.finish_reason == FinishReason.LENGTH else "ok"


def is_another_model(requested: str, served: str | None) -> bool:
    """Whether `served` is not the model that was asked for, nor a version of it."""
    return served is not None and not is_version_of(served, requested)


def is_version_of(name: str, model: str) -> bool:
    """Whether `name` is `model`, with a full path or not, or a dated version of it (or its latest)."""
    full, short = (each.rsplit("models/", 1)[-1].casefold() for each in (name, model))
    return full == short or (full.startswith(short) and _VERSION.fullmatch(full[len(short) :]) is not None)


def checked(answer: object) -> Generation:
    """Return what a provider answered, or raise TypeError if it is nothing that a log can hold."""
    if not (isinstance(answer, Generation) and isinstance(answer.usage, Usage)):
        raise TypeError(f"a provider answers with a Generation and its Usage, not with {type(answer).__name__}")
    usage = answer.usage
    for text in (
        answer.text,
        answer.finish_reason,
        answer.reason,
        answer.served_model,
        answer.request_id,
        answer.source,
    ):
        if text is not None and type(text) not in (str, FinishReason):
            raise TypeError(f"text is needed, not {type(text).__name__}")
    for tokens in (usage.input_tokens, usage.output_tokens, usage.thinking_tokens, usage.cached_tokens):
        if tokens is not None and not (type(tokens) is int and 0 <= tokens <= MOST_TOKENS):
            raise TypeError(f"a number of tokens is needed, not {type(tokens).__name__}")
    return answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One ask and what became of it: what one `llm_call` record says.

    `latency_ms` and `queue_ms` are milliseconds; `cost` is in the currency of the price list, None if unknown.
    """

    provider: str
    requested_model: str
    number: int = 1
    status: str = "ok"
    generation: Generation | None = None
    error: str | None = None
    http_status: int | None = None
    request_id: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    latency_ms: int = 0
    queue_ms: int = 0
    cost: float | None = None


class LanguageModel(Protocol):
    """Who answers. `provider` and `model` are what the log calls it."""

    provider: str
    model: str

    async def generate(self, request: GenerateRequest) -> Generation:
        """Return an answer or raise GenerationError."""
        ...
