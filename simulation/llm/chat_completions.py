"""The wire that Groq and the local servers share: OpenAI's chat completions, through the groq client.

The client's typed method is bound to Groq's own path, so both use its `post`, and take the response as it came: making
a typed object of it costs more than everything else of a call.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, ClassVar

import groq
import httpx

from simulation.errors import GenerationError, UnknownProvider
from simulation.generation import FinishReason, GenerateRequest, Generation, Usage
from simulation.llm.body import a_count, a_text, a_word, an_object, first, objects, read
from simulation.llm.endpoint import Endpoint
from simulation.llm.failures import bad_response
from simulation.llm.transport import JSON_HEADERS, Pool

DUMMY_KEY = "none"
"""Local servers want a key to be sent, and do not look at it."""
COMMON_PARAMETERS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "stop": "stop",
    "seed": "seed",
    "reasoning_effort": "reasoning_effort",
}
"""Our name -> the wire's; only the length of an answer has several."""
SDK_HEADERS = ("accept", "content-type", "user-agent")
"""What the client sends of its own, beside x-stainless-*: what the environment adds to it is left out."""

FINISH_REASONS = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
}
"""Any other word is kept as the `reason`: local servers have words of their own for a plain end."""


class ChatCompletions:
    """`path` stands between the base URL and /chat/completions; `parameter_names` maps ours to the wire's."""

    provider: ClassVar[str]
    address: ClassVar[str]
    path: ClassVar[str]
    parameter_names: ClassVar[Mapping[str, str]]
    unfinished: ClassVar[str]
    """What an answer without a finish reason is taken for."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._pool = Pool(endpoint.api_key)
        key = endpoint.api_key or DUMMY_KEY
        http_client = _HttpxClient(self._pool, f"Bearer {key}")
        base_url = endpoint.base_url or self.address
        try:
            self._client = groq.AsyncGroq(api_key=key, base_url=base_url, max_retries=0, http_client=http_client)
        except (httpx.InvalidURL, ValueError) as error:
            raise UnknownProvider(f"{self.provider}: the address cannot be used: {error}") from None

    def model(self, name: str) -> ChatModel:
        return ChatModel(self, name)

    async def models(self) -> tuple[str, ...]:
        value = an_object(read(await self._call(self._client.get(f"{self.path}/models", cast_to=httpx.Response))))
        if not isinstance(value.get("data"), list):
            raise bad_response("no list of models")
        return tuple(sorted(str(each["id"]) for each in objects(value["data"]) if "id" in each))

    async def post(self, body: Mapping[str, Any]) -> Any:
        """Return the answer's value; raise GenerationError."""
        return read(
            await self._call(self._client.post(f"{self.path}/chat/completions", cast_to=httpx.Response, body=body))
        )

    async def _call(self, call: Awaitable[httpx.Response]) -> bytes:
        try:
            return (await call).content
        except groq.GroqError as error:
            failure = error.__cause__
            if not isinstance(failure, GenerationError):
                failure = GenerationError(f"the client failed ({type(error).__name__})", kind="unavailable")
        raise failure  # out here, where the client's error is not its context, nor it the client's error's cause

    async def close(self) -> None:
        await self._client.close()
        await self._pool.close()


class ChatModel:
    def __init__(self, adapter: ChatCompletions, name: str) -> None:
        self.provider = adapter.provider
        self.model = name
        self._adapter = adapter

    async def generate(self, request: GenerateRequest) -> Generation:
        body = {"model": self.model, "messages": _messages(request), **self._parameters(request)}
        return self._generation(await self._adapter.post(body))

    def _parameters(self, request: GenerateRequest) -> dict[str, Any]:
        names = self._adapter.parameter_names
        parameters = {names[name]: value for name, value in request.parameters.items() if name in names}
        if request.schema is not None:
            schema = {"name": "answer", "strict": True, "schema": request.schema}
            parameters["response_format"] = {"type": "json_schema", "json_schema": schema}
        return parameters

    def _generation(self, value: Any) -> Generation:
        if not isinstance(value, dict) or not isinstance(value.get("choices"), list):
            raise bad_response("no chat completion")
        choice = first(value["choices"])
        text = a_text(an_object(choice.get("message")).get("content"))
        word = a_word(choice.get("finish_reason"))
        return Generation(
            text=text,
            finish_reason=FINISH_REASONS.get(word or "", FinishReason.STOP if word else self._adapter.unfinished),
            reason=None if word == "stop" else word,
            usage=_usage(an_object(value.get("usage"))),
            served_model=a_word(value.get("model")),
            request_id=a_word(an_object(value.get("x_groq")).get("id")) or a_word(value.get("id")),
        )


def _messages(request: GenerateRequest) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in request.messages]


def _usage(usage: Mapping[str, Any]) -> Usage:
    """Return the tokens: thinking is within the output, as these servers count it."""
    return Usage(
        input_tokens=a_count(usage.get("prompt_tokens")),
        output_tokens=a_count(usage.get("completion_tokens")),
        thinking_tokens=a_count(an_object(usage.get("completion_tokens_details")).get("reasoning_tokens")),
        cached_tokens=a_count(an_object(usage.get("prompt_tokens_details")).get("cached_tokens")),
    )


class _HttpxClient(httpx.AsyncClient):
    """What the groq client takes for its HTTP client. It asks through `send` alone."""

    def __init__(self, pool: Pool, authorization: str) -> None:
        super().__init__(trust_env=False, transport=httpx.AsyncBaseTransport())  # it has no connections of its own
        self._pool = pool
        self._authorization = authorization

    async def send(self, request: httpx.Request, **details: Any) -> httpx.Response:
        headers = {name: value for name, value in request.headers.items() if _is_the_sdks(name)}
        headers["authorization"] = self._authorization
        body = await self._pool.ask(request.method, str(request.url), headers, request.content or None)
        return httpx.Response(200, headers=JSON_HEADERS, content=body, request=request)


def _is_the_sdks(name: str) -> bool:
    return name in SDK_HEADERS or name.startswith("x-stainless-")
