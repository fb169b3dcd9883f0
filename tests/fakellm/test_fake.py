"""The fake provider itself: it answers on three wires, behaves as it is told, and remembers what it was asked."""

from __future__ import annotations

import json

import httpx2
import pytest
from providers import fake_provider

from server.fakellm.behaviours import BEHAVIOURS

GEMINI = "/v1/models/fake-small:generateContent"
GROQ = "/openai/v1/chat/completions"
LOCAL = "/v1/chat/completions"
GEMINI_KEY, CHAT_KEY = {"x-goog-api-key": "k"}, {"authorization": "Bearer k"}
GEMINI_ASKS = {
    "contents": [{"role": "user", "parts": [{"text": "What now?"}]}],
    "systemInstruction": {"parts": [{"text": "You are Alice."}]},
}
CHAT_ASKS = {
    "model": "fake-small",
    "messages": [{"role": "system", "content": "You are Alice."}, {"role": "user", "content": "What now?"}],
}


@pytest.fixture
async def client():
    async with fake_provider() as provider, httpx2.AsyncClient(base_url=provider.http, trust_env=False) as client:
        yield client


async def statuses(client: httpx2.AsyncClient, count: int) -> list[int]:
    return [(await client.post(LOCAL, json=CHAT_ASKS)).status_code for _ in range(count)]


class TestSwitch:
    async def test_tells_how_the_fake_behaves_and_how_it_could(self, client):
        told = (await client.get("/fake/behaviour")).json()
        assert (told["name"], told["queued"]) == ("ok", 0)
        assert list(told["known"]) == [*BEHAVIOURS]
        assert all(told["known"].values()), "each says what it does"

    async def test_the_list_of_models_fails_as_everything_else_does(self, client):
        await client.put("/fake/behaviour", json={"name": "401"})
        assert (await client.get("/openai/v1/models")).status_code == 401

    @pytest.mark.parametrize("times", [0, -1, 10**9])
    async def test_no_queue_is_without_end(self, client, times):
        assert (await client.post("/fake/queue", json=[{"name": "ok", "times": times}])).status_code == 422

    @pytest.mark.parametrize("content", [b"[" * 100_000, b'{"name": "\\ud800"}', b'"hang"'])
    async def test_a_switch_that_is_turned_wrongly_says_so(self, client, content):
        assert (await client.put("/fake/behaviour", content=content)).status_code == 422

    async def test_sets_the_behaviour_from_now_on(self, client):
        told = await client.put("/fake/behaviour", json={"name": "503", "message": "busy"})
        assert (told.status_code, told.json()["name"], told.json()["message"]) == (200, "503", "busy")
        assert await statuses(client, 3) == [503, 503, 503]
        await client.put("/fake/behaviour", json={"name": "ok"})
        assert await statuses(client, 1) == [200]

    async def test_queues_behaviours_that_go_before_it_one_a_request(self, client):
        told = await client.post("/fake/queue", json=[{"name": "429"}, {"name": "503", "times": 2}])
        assert told.json()["queued"] == 3
        assert await statuses(client, 5) == [429, 503, 503, 200, 200]

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            pytest.param({"name": "sulk"}, "there is no behaviour 'sulk'; known are ok, ", id="unknown name"),
            pytest.param({"name": "ok", "mood": "bad"}, "mood", id="unknown parameter"),
            pytest.param({"name": "status"}, "code", id="missing parameter"),
            pytest.param({}, "name", id="no name"),
            pytest.param(["ok"], "", id="a list"),
        ],
    )
    async def test_refuses_what_the_fake_cannot_do_and_changes_nothing(self, client, content, says):
        refused = await client.put("/fake/behaviour", json=content)
        assert refused.status_code == 422
        assert says in refused.json()["error"]
        assert (await client.get("/fake/behaviour")).json()["name"] == "ok"

    async def test_names_every_known_behaviour_when_it_knows_one_not(self, client):
        refused = await client.post("/fake/queue", json=[{"name": "sulk"}])
        assert refused.status_code == 422
        assert refused.json()["error"].endswith(f"known are {', '.join(BEHAVIOURS)}")

    async def test_refuses_what_is_no_json(self, client):
        assert (await client.put("/fake/behaviour", content=b"{name: ok}")).status_code == 422


class TestMemory:
    async def test_tells_what_was_asked_in_its_order(self, client):
        await client.post(GEMINI + "?alt=json", json=GEMINI_ASKS, headers=GEMINI_KEY)
        await client.post(LOCAL, json=CHAT_ASKS, headers=CHAT_KEY)
        first, second = (await client.get("/fake/requests")).json()
        assert (first["method"], first["path"], first["query"]) == ("POST", GEMINI, "alt=json")
        assert (first["body"], second["body"]) == (GEMINI_ASKS, CHAT_ASKS)
        assert (first["headers"]["x-goog-api-key"], second["headers"]["authorization"]) == ("k", "Bearer k")
        assert (first["left"], second["left"]) == (False, False)

    async def test_keeps_a_body_that_is_no_json_as_text(self, client):
        await client.post(LOCAL, content=b"{cut")
        assert (await client.get("/fake/requests")).json()[0]["body"] == "{cut"

    async def test_can_be_emptied(self, client):
        await statuses(client, 2)
        assert (await client.delete("/fake/requests")).json() == []
        assert (await client.get("/fake/requests")).json() == []

    async def test_numbers_the_connections(self, client):
        await statuses(client, 2)
        async with httpx2.AsyncClient(base_url=client.base_url, trust_env=False) as another:
            await statuses(another, 1)
        numbers = [each["connection"] for each in (await client.get("/fake/requests")).json()]
        assert numbers == [1, 1, 2]


class TestWires:
    async def test_gemini(self, client):
        said = (await client.post(GEMINI, json=GEMINI_ASKS)).json()
        (candidate,) = said["candidates"]
        assert candidate["finishReason"] == "STOP"
        assert candidate["content"]["parts"][0]["text"]
        assert (said["modelVersion"], said["responseId"]) == ("fake-small", "fake-1")
        assert said["usageMetadata"]["promptTokenCount"] == 5

    @pytest.mark.parametrize("path", [GROQ, LOCAL])
    async def test_chat_completions(self, client, path):
        said = (await client.post(path, json=CHAT_ASKS)).json()
        (choice,) = said["choices"]
        assert choice["finish_reason"] == "stop"
        assert choice["message"]["content"]
        assert said["model"] == "fake-small"
        assert said["usage"]["prompt_tokens"] == 5

    @pytest.mark.parametrize("version", ["v1", "v1beta", "proxy/v1"])
    async def test_geminis_version_may_be_any(self, client, version):
        answer = await client.post(f"/{version}/models/fake-small:generateContent", json=GEMINI_ASKS)
        assert answer.json()["modelVersion"] == "fake-small"

    @pytest.mark.parametrize("system", ["systemInstruction", "system_instruction"])
    async def test_gemini_may_be_asked_in_either_casing(self, client, system):
        await client.put("/fake/behaviour", json={"name": "echo"})
        asked = {"contents": GEMINI_ASKS["contents"], system: GEMINI_ASKS["systemInstruction"]}
        said = (await client.post(GEMINI, json=asked)).json()
        assert said["candidates"][0]["content"]["parts"] == [{"text": "You are Alice.\n\nWhat now?"}]

    async def test_gemini_streams_whole_answers_as_events(self, client):
        await client.put("/fake/behaviour", json={"name": "ok", "text": "hi"})
        path = GEMINI.replace("generateContent", "streamGenerateContent?alt=sse")
        answer = await client.post(path, json=GEMINI_ASKS)
        assert answer.headers["content-type"] == "text/event-stream"
        field, _, value = answer.text.partition(": ")
        assert field == "data"
        assert answer.text.endswith("\r\n\r\n")
        assert json.loads(value)["candidates"][0]["content"]["parts"] == [{"text": "hi"}]

    async def test_a_stream_that_is_refused_is_a_status(self, client):
        await client.put("/fake/behaviour", json={"name": "503"})
        answer = await client.post(GEMINI.replace("generate", "streamGenerate"), json=GEMINI_ASKS)
        assert (answer.status_code, answer.json()["error"]["status"]) == (503, "UNAVAILABLE")

    @pytest.mark.parametrize("version", ["v1", "v1beta"])
    async def test_lists_its_models_in_geminis_way_for_geminis_header(self, client, version):
        listed = (await client.get(f"/{version}/models", headers=GEMINI_KEY)).json()
        assert [model["name"] for model in listed["models"]] == ["models/fake-small", "models/fake-large"]

    @pytest.mark.parametrize("path", ["/openai/v1/models", "/v1/models"])
    async def test_lists_its_models_in_openais_way_for_others(self, client, path):
        listed = (await client.get(path, headers=CHAT_KEY)).json()
        assert [model["id"] for model in listed["data"]] == ["fake-small", "fake-large"]

    async def test_says_something_else_to_the_next_one(self, client):
        said = [(await client.post(LOCAL, json=CHAT_ASKS)).json() for _ in range(2)]
        assert said[0]["choices"][0]["message"]["content"] != said[1]["choices"][0]["message"]["content"]


class TestKeys:
    @pytest.mark.parametrize(
        ("method", "path", "header"),
        [
            ("POST", GEMINI, "x-goog-api-key: {}"),
            ("POST", GROQ, "authorization: Bearer {}"),
            ("POST", LOCAL, "authorization: Bearer {}"),
            ("GET", "/v1/models", "x-goog-api-key: {}"),
            ("GET", "/openai/v1/models", "authorization: Bearer {}"),
        ],
    )
    async def test_only_a_known_key_is_served(self, method, path, header):
        async with fake_provider() as provider:
            provider.fake.keys = {"known"}
            async with httpx2.AsyncClient(base_url=provider.http, trust_env=False) as client:

                async def status(key: str) -> int:
                    name, _, value = header.format(key).partition(": ")
                    return (await client.request(method, path, headers={name: value})).status_code

                assert (await status("known"), await status("unknown")) == (200, 401)

    async def test_a_refused_key_uses_up_nothing_that_is_queued(self):
        async with fake_provider() as provider:
            provider.fake.keys = {"known"}
            provider.fake.queue("503")
            async with httpx2.AsyncClient(base_url=provider.http, trust_env=False) as client:
                await client.post(LOCAL, json=CHAT_ASKS)
                assert len(provider.fake.queued) == 1
