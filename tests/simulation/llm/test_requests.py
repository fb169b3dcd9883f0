"""What the adapters send: every byte that matters of a request, as a provider receives it."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from providers import KEY, MODEL, WIRES, FakeProvider, fake_provider, request, speaking

from server.fakellm.app import Asking
from simulation.errors import GenerationError
from simulation.generation import ChatMessage
from simulation.llm.endpoint import Endpoint
from simulation.llm.registry import adapters_for
from simulation.parameters import Sampling

on_every_wire = pytest.mark.parametrize("wire", WIRES)


@pytest.fixture
async def provider():
    async with fake_provider() as provider:
        yield provider


async def asked(provider: FakeProvider, wire: str, model: str = MODEL, path: str = "", **details: Any) -> Asking:
    """Ask once, at `path` below the fake's address, and return what came."""
    endpoint = replace(provider.endpoint(wire), base_url=f"{provider.endpoint(wire).base_url}{path}")
    adapter = adapters_for([wire], {wire: endpoint})[wire]
    await adapter.model(model).generate(request(**details))
    await adapter.close()
    return provider.asked[-1]


NOTHING_SET: dict[str, Any] = Sampling(max_output_tokens=None).as_set()
ALL_SET: dict[str, Any] = Sampling(
    temperature=0.7,
    top_p=0.9,
    max_output_tokens=300,
    stop=("Bob:", "\n\n"),
    seed=42,
    thinking_level="low",
    reasoning_effort="medium",
).as_set()

SCHEMA = {"type": "object", "properties": {"text": {"type": ["string", "null"]}}, "additionalProperties": False}

GEMINI = {
    "contents": [{"role": "user", "parts": [{"text": "What now?"}]}],
    "systemInstruction": {"role": "user", "parts": [{"text": "You are Alice."}]},
}
CHAT = {
    "model": MODEL,
    "messages": [{"role": "system", "content": "You are Alice."}, {"role": "user", "content": "What now?"}],
}
CHAT_SET = {"temperature": 0.7, "top_p": 0.9, "stop": ["Bob:", "\n\n"], "seed": 42, "reasoning_effort": "medium"}
CHAT_SCHEMA = {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": SCHEMA}}


class TestBody:
    @pytest.mark.parametrize(
        ("wire", "details", "body"),
        [
            pytest.param("gemini", {}, GEMINI | {"generationConfig": {}}, id="gemini, nothing set"),
            pytest.param("groq", {}, CHAT, id="groq, nothing set"),
            pytest.param("openai_compatible", {}, CHAT, id="openai_compatible, nothing set"),
            pytest.param(
                "gemini",
                {"parameters": ALL_SET},
                GEMINI
                | {
                    "generationConfig": {
                        "temperature": 0.7,
                        "topP": 0.9,
                        "maxOutputTokens": 300,
                        "stopSequences": ["Bob:", "\n\n"],
                        "seed": 42,
                        "thinkingConfig": {"thinking_level": "LOW"},
                    }
                },
                id="gemini, all set",
            ),
            pytest.param(
                "gemini",
                {"parameters": Sampling(max_output_tokens=None, thinking_budget=0).as_set()},
                GEMINI | {"generationConfig": {"thinkingConfig": {"thinking_budget": 0}}},
                id="gemini, no thinking",
            ),
            pytest.param(
                "groq", {"parameters": ALL_SET}, CHAT | CHAT_SET | {"max_completion_tokens": 300}, id="groq, all set"
            ),
            pytest.param(
                "openai_compatible",
                {"parameters": ALL_SET},
                CHAT | CHAT_SET | {"max_tokens": 300},
                id="openai_compatible, all set",
            ),
            pytest.param(
                "gemini",
                {"schema": SCHEMA},
                GEMINI | {"generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}},
                id="gemini, a schema",
            ),
            pytest.param("groq", {"schema": SCHEMA}, CHAT | {"response_format": CHAT_SCHEMA}, id="groq, a schema"),
            pytest.param(
                "openai_compatible",
                {"schema": SCHEMA},
                CHAT | {"response_format": CHAT_SCHEMA},
                id="openai_compatible, a schema",
            ),
        ],
    )
    async def test_holds_what_is_set_and_nothing_else(self, provider, wire, details, body):
        assert (await asked(provider, wire, **({"parameters": NOTHING_SET} | details))).body == body

    CONVERSATION = (
        ChatMessage("system", "You are Alice."),
        ChatMessage("system", "Be brief."),
        ChatMessage("user", "hi"),
        ChatMessage("assistant", "hello"),
        ChatMessage("user", "and now?"),
    )

    async def test_geminis_roles_are_user_and_model_and_the_system_stands_apart(self, provider):
        body = (await asked(provider, "gemini", messages=self.CONVERSATION)).body
        assert body["systemInstruction"]["parts"] == [{"text": "You are Alice.\n\nBe brief."}]
        said = [(content["role"], content["parts"]) for content in body["contents"]]
        assert said == [
            ("user", [{"text": "hi"}]),
            ("model", [{"text": "hello"}]),
            ("user", [{"text": "and now?"}]),
        ]

    @pytest.mark.parametrize("wire", ["groq", "openai_compatible"])
    async def test_chat_completions_take_the_messages_as_they_are(self, provider, wire):
        body = (await asked(provider, wire, messages=self.CONVERSATION)).body
        assert [ChatMessage(**message) for message in body["messages"]] == [*self.CONVERSATION]

    async def test_gemini_without_a_system_message_has_no_system_instruction(self, provider):
        body = (await asked(provider, "gemini", messages=(ChatMessage("user", "hi"),))).body
        assert "systemInstruction" not in body

    @pytest.mark.parametrize(
        ("wire", "keys"),
        [
            ("gemini", ("contents", 0, "parts", 0, "text")),
            ("groq", ("messages", 1, "content")),
            ("openai_compatible", ("messages", 1, "content")),
        ],
    )
    async def test_any_text_arrives_as_it_is(self, provider, wire, keys):
        text = 'ünï 🏳️‍🌈 "quoted" \\u0041 \u2028 <b>&amp; {{x}}\r\n\t\x00'
        value = (await asked(provider, wire, user=text)).body
        for key in keys:
            value = value[key]
        assert value == text


class TestAddress:
    @pytest.mark.parametrize(
        ("wire", "path", "whole"),
        [
            ("gemini", "", "/v1/models/fake-small:generateContent"),
            ("gemini", "/", "/v1/models/fake-small:generateContent"),
            ("gemini", "/proxy", "/proxy/v1/models/fake-small:generateContent"),
            ("gemini", "/proxy/", "/proxy/v1/models/fake-small:generateContent"),
            ("groq", "", "/openai/v1/chat/completions"),
            ("groq", "/", "/openai/v1/chat/completions"),
            ("openai_compatible", "", "/v1/chat/completions"),
            ("openai_compatible", "/", "/v1/chat/completions"),
        ],
    )
    async def test_is_the_base_url_and_the_wires_own_path(self, provider, wire, path, whole):
        came = await asked(provider, wire, path=path)
        assert (came.method, came.path, came.query) == ("POST", whole, "")

    @pytest.mark.parametrize(
        ("model", "path"),
        [
            ("fake-small", "/v1/models/fake-small:generateContent"),
            ("models/fake-small", "/v1/models/fake-small:generateContent"),
            ("tunedModels/mine", "/v1/tunedModels/mine:generateContent"),
        ],
    )
    async def test_geminis_kind_of_model_is_not_named_twice(self, provider, model, path):
        assert (await asked(provider, "gemini", model)).path == path

    @pytest.mark.parametrize("wire", ["groq", "openai_compatible"])
    @pytest.mark.parametrize("model", ["llama3.2:3b", "org/model-1", "models/x"])
    async def test_a_chat_models_name_stands_in_the_body_as_it_is(self, provider, wire, model):
        assert (await asked(provider, wire, model)).body["model"] == model

    @pytest.mark.parametrize(
        ("wire", "path"), [("gemini", "/v1/models"), ("groq", "/openai/v1/models"), ("openai_compatible", "/v1/models")]
    )
    async def test_the_list_of_models_has_one_too(self, provider, wire, path):
        async with speaking(provider, wire) as adapter:
            await adapter.models()
        assert [(each.method, each.path) for each in provider.fake.requests] == [("GET", path)]


class TestHeaders:
    OF_HTTP = frozenset({"host", "accept", "accept-encoding", "content-type", "content-length", "user-agent"})

    async def test_of_gemini(self, provider):
        headers = (await asked(provider, "gemini")).headers
        assert set(headers) == self.OF_HTTP | {"x-goog-api-key", "x-goog-api-client"}
        assert headers["x-goog-api-key"] == KEY
        assert headers["content-type"] == "application/json"
        assert headers["user-agent"].startswith("google-genai-sdk/")
        assert headers["x-goog-api-client"].startswith("google-genai-sdk/")

    @pytest.mark.parametrize("wire", ["groq", "openai_compatible"])
    async def test_of_chat_completions(self, provider, wire):
        headers = (await asked(provider, wire)).headers
        assert {name for name in headers if not name.startswith("x-stainless-")} == self.OF_HTTP | {"authorization"}
        assert headers["authorization"] == f"Bearer {KEY}"
        assert headers["content-type"] == "application/json"
        assert headers["user-agent"].startswith("AsyncGroq/Python")
        assert headers["x-stainless-retry-count"] == "0"

    @on_every_wire
    async def test_the_key_stands_in_its_header_alone(self, provider, wire):
        came = asdict(await asked(provider, wire, parameters=ALL_SET, schema=SCHEMA))
        header = came["headers"].pop("x-goog-api-key" if wire == "gemini" else "authorization")
        assert KEY in header
        assert KEY not in repr(came)

    async def test_a_local_server_without_a_key_is_shown_a_dummy(self, provider, monkeypatch):
        monkeypatch.setenv("GROQ_API_KEY", "from-the-environment")
        async with speaking(provider, "openai_compatible", key="") as adapter:
            await adapter.model(MODEL).generate(request())
        assert provider.asked[0].headers["authorization"] == "Bearer none"


NOWHERE = "http://127.0.0.1:9"
ENVIRONMENT = {
    "GOOGLE_API_KEY": "evil-google-key",
    "GEMINI_API_KEY": "evil-gemini-key",
    "GOOGLE_GENAI_USE_VERTEXAI": "true",
    "GOOGLE_GENAI_USE_ENTERPRISE": "true",
    "GOOGLE_CLOUD_PROJECT": "evil-project",
    "GOOGLE_CLOUD_LOCATION": "evil-location",
    "GOOGLE_GEMINI_BASE_URL": NOWHERE,
    "GOOGLE_VERTEX_BASE_URL": NOWHERE,
    "GOOGLE_GENAI_API_VERSION": "v1evil",
    "GOOGLE_GENAI_HTTP_CLIENT": "httpx",
    "GOOGLE_API_USE_MTLS_ENDPOINT": "always",
    "GOOGLE_API_USE_CLIENT_CERTIFICATE": "true",
    "GROQ_API_KEY": "evil-groq-key",
    "GROQ_BASE_URL": NOWHERE,
    "GROQ_CUSTOM_HEADERS": "Authorization: Bearer evil\nX-Evil: 1",
    "OPENAI_API_KEY": "evil-openai-key",
    "OPENAI_BASE_URL": NOWHERE,
    "HTTP_PROXY": NOWHERE,
    "HTTPS_PROXY": NOWHERE,
    "ALL_PROXY": NOWHERE,
    "http_proxy": NOWHERE,
    "https_proxy": NOWHERE,
    "all_proxy": NOWHERE,
}


@on_every_wire
async def test_the_environment_changes_nothing(provider, wire, monkeypatch, tmp_path: Path):
    def without_the_connection(asking: Asking) -> dict[str, Any]:
        return asdict(replace(asking, connection=0))

    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    before = await asked(provider, wire)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    netrc = tmp_path / "netrc"
    netrc.write_text("default login evil password evil\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert without_the_connection(await asked(provider, wire)) == without_the_connection(before)


@on_every_wire
@pytest.mark.parametrize(
    ("behaviour", "parameters"),
    [
        ("408", {}),
        ("409", {}),
        ("429", {"headers": {"retry-after": "0", "x-should-retry": "true"}}),
        ("500", {}),
        ("503", {"headers": {"retry-after-ms": "1"}}),
        ("drop", {}),
        ("reset", {}),
    ],
)
async def test_a_failed_call_is_one_request(provider, wire, behaviour, parameters):
    provider.fake.behaves(behaviour, **parameters)
    async with speaking(provider, wire) as adapter:
        with pytest.raises(GenerationError):
            await adapter.model(MODEL).generate(request())
    assert len(provider.fake.requests) == 1


def test_the_key_is_in_no_repr():
    assert KEY not in repr(Endpoint(KEY))
