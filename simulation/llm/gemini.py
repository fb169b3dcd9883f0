"""Gemini, through google-genai. Wire: https://ai.google.dev/api/generate-content

Everything that the SDK would take from the environment (key, address, API version, Vertex, transport) is given to it.
The response is taken as it came (`should_return_http_response`): its typed objects cost as much as the call itself.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

import httpx2
from google import genai
from google.genai import types

from simulation.errors import GenerationError
from simulation.generation import ChatMessage, FinishReason, GenerateRequest, Generation, Usage
from simulation.llm.body import a_count, a_text, a_word, an_object, first, objects, read
from simulation.llm.endpoint import Endpoint
from simulation.llm.failures import bad_response
from simulation.llm.transport import JSON_HEADERS, Pool

ADDRESS = "https://generativelanguage.googleapis.com/"
API_VERSION = "v1"
PAGE_SIZE = 1000

FINISH_REASONS = {"STOP": FinishReason.STOP, "MAX_TOKENS": FinishReason.LENGTH}
"""Any other word is kept as the `reason`."""
FILTERED = (
    "SAFETY",
    "RECITATION",
    "LANGUAGE",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "IMAGE_SAFETY",
    "MODEL_ARMOR",
)
"""Finish reasons that stand for a refusal (https://ai.google.dev/api/generate-content#FinishReason)."""


class _Quick:
    """What the SDK is given. It asks of each of a hundred fields whether the object holds it by `in`, which on a
    pydantic model walks all fields and never finds one: a third of a call's time (benchmarks, `models`).
    """

    def __contains__(self, _field: object) -> bool:
        return False


_Part, _Content, _Config = (
    type(cls.__name__, (_Quick, cls), {}) for cls in (types.Part, types.Content, types.GenerateContentConfig)
)

_NO_TOOLS = types.AutomaticFunctionCallingConfig(disable=True)


class Gemini:
    provider = "gemini"

    def __init__(self, endpoint: Endpoint) -> None:
        self._pool = Pool(endpoint.api_key)
        self._client = genai.Client(
            vertexai=False,
            api_key=endpoint.api_key,
            http_options=types.HttpOptions(
                base_url=endpoint.base_url or ADDRESS,
                api_version=API_VERSION,
                httpx_async_client=_Httpx2Client(self._pool),
                # Neither is ever used; left to itself the SDK makes them of what the environment says.
                httpx_client=httpx2.Client(trust_env=False, transport=httpx2.BaseTransport()),
                async_client_args={"ssl": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)},
            ),
        )

    def model(self, name: str) -> GeminiModel:
        return GeminiModel(self._client, name)

    async def models(self) -> tuple[str, ...]:
        config = types.ListModelsConfig(page_size=PAGE_SIZE)
        try:
            found = [model async for model in await self._client.aio.models.list(config=config)]
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise bad_response(f"no list of models ({type(error).__name__})") from error
        if not found:
            raise bad_response("an empty list of models")
        talking = [m for m in found if not m.supported_actions or "generateContent" in m.supported_actions]
        return tuple(sorted((model.name or "").removeprefix("models/") for model in talking))

    async def close(self) -> None:
        await self._client.aio.aclose()
        self._client.close()
        await self._pool.close()


class GeminiModel:
    provider = "gemini"

    def __init__(self, client: genai.Client, name: str) -> None:
        self.model = name
        self._models = client.aio.models

    async def generate(self, request: GenerateRequest) -> Generation:
        try:
            response = await self._models.generate_content(
                model=self.model, contents=_contents(request.messages), config=_config(request)
            )
        except ValueError as error:  # what the SDK itself will not send
            raise GenerationError(f"the client refused ({type(error).__name__})", kind="rejected") from error
        http = response.sdk_http_response
        return _generation(read((http.body if http else None) or ""))


def _contents(messages: tuple[ChatMessage, ...]) -> list[types.Content]:
    roles = {"user": "user", "assistant": "model"}
    return [_content(roles[message.role], message.content) for message in messages if message.role != "system"]


def _content(role: str, text: str) -> types.Content:
    content: types.Content = _Content(role=role, parts=[_Part(text=text)])
    return content


def _config(request: GenerateRequest) -> types.GenerateContentConfig:
    given = request.parameters
    system = "\n\n".join(message.content for message in request.messages if message.role == "system")
    config: types.GenerateContentConfig = _Config(
        system_instruction=_content("user", system) if system else None,
        temperature=given.get("temperature"),
        top_p=given.get("top_p"),
        max_output_tokens=given.get("max_output_tokens"),
        stop_sequences=list(given["stop"]) if "stop" in given else None,
        seed=given.get("seed"),
        thinking_config=_thinking(given),
        response_mime_type="application/json" if request.schema is not None else None,
        response_json_schema=request.schema,
        automatic_function_calling=_NO_TOOLS,
        automatic_continuation=False,  # or the SDK would make calls that nobody counts
        should_return_http_response=True,
    )
    return config


def _thinking(given: Mapping[str, Any]) -> types.ThinkingConfig | None:
    level, budget = given.get("thinking_level"), given.get("thinking_budget")
    if level is None and budget is None:
        return None
    return types.ThinkingConfig(thinking_level=level, thinking_budget=budget)


def _generation(value: Any) -> Generation:
    if not isinstance(value, dict):
        raise bad_response("no answer of Gemini's")
    feedback, candidate = an_object(value.get("promptFeedback")), first(value.get("candidates"))
    blocked = a_word(feedback.get("blockReason"))
    word = a_word(candidate.get("finishReason"))
    return Generation(
        text=_said(candidate),
        finish_reason=FinishReason.CONTENT_FILTER if blocked else _finish_reason(word),
        reason=blocked or (None if word == "STOP" else word),
        usage=_usage(an_object(value.get("usageMetadata"))),
        served_model=a_word(value.get("modelVersion")),
        request_id=a_word(value.get("responseId")),
    )


def _finish_reason(word: str | None) -> str:
    if word is None:
        return FinishReason.CUT
    return FinishReason.CONTENT_FILTER if word in FILTERED else FINISH_REASONS.get(word, FinishReason.STOP)


def _said(candidate: Mapping[str, Any]) -> str | None:
    """Return the text of an answer without its thoughts; None where there is no part with text."""
    parts = objects(an_object(candidate.get("content")).get("parts"))
    said = [part["text"] for part in parts if isinstance(part.get("text"), str) and not part.get("thought")]
    return a_text("".join(said)) if said else None


def _usage(usage: Mapping[str, Any]) -> Usage:
    """Return the tokens: thinking is counted beside the output, and what is nought is left out."""
    nought = 0 if "promptTokenCount" in usage else None
    return Usage(
        input_tokens=a_count(usage.get("promptTokenCount")),
        output_tokens=a_count(usage.get("candidatesTokenCount", nought)),
        thinking_tokens=a_count(usage.get("thoughtsTokenCount", nought)),
        cached_tokens=a_count(usage.get("cachedContentTokenCount", nought)),
    )


class _Httpx2Client(httpx2.AsyncClient):
    """What google-genai takes for its HTTP client. It asks through `request` alone."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(trust_env=False, transport=httpx2.AsyncBaseTransport())  # it has no connections of its own
        self._pool = pool

    async def request(self, method: str, url: Any, **details: Any) -> httpx2.Response:
        body = await self._pool.ask(method, str(url), details["headers"], details.get("content"))
        return httpx2.Response(200, headers=JSON_HEADERS, content=body)
