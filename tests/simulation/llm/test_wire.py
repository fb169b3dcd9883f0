"""What the adapters make of whatever a provider does: through the real SDKs, over HTTP, against our fake."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import pytest
import pytest_asyncio
from providers import KEY, MODEL, WIRES, FakeProvider, fake_provider, request, speaking

from server.fakellm.app import MODELS
from simulation.errors import GenerationError
from simulation.generation import Generation, Usage, status_of
from simulation.llm.body import MOST_CHARACTERS
from simulation.llm.endpoint import Adapter, Endpoint
from simulation.llm.registry import adapters_for
from simulation.llm.transport import MAX_ANSWER_BYTES

PARALLEL = 150

on_every_wire = pytest.mark.parametrize("wire", WIRES)


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server():
    # One for all: a server takes longer to stop than most of these tests to run.
    async with fake_provider() as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def provider(server: FakeProvider):
    """A fake that has been asked nothing yet, and has no connection."""
    yield server
    fake = server.fake
    await hung_up(server)
    await server.until(lambda: fake.in_flight == 0)
    fake.behaves("ok")
    fake.queued.clear()
    fake.requests.clear()
    fake.models, fake.keys = MODELS, None


async def answer(provider: FakeProvider, wire: str, behaviour: str, **parameters: Any) -> Generation:
    """Ask for one answer of a provider that behaves like this."""
    provider.fake.behaves(behaviour, **parameters)
    async with speaking(provider, wire) as adapter:
        return await adapter.model(MODEL).generate(request())


async def failure(provider: FakeProvider, wire: str, behaviour: str, **parameters: Any) -> GenerationError:
    """Ask a provider that behaves like this, in vain."""
    provider.fake.behaves(behaviour, **parameters)
    async with speaking(provider, wire) as adapter:
        return await refused(adapter)


async def refused(adapter: Adapter) -> GenerationError:
    with pytest.raises(GenerationError) as raised:
        await adapter.model(MODEL).generate(request())
    return raised.value


async def is_answered(adapter: Adapter, provider: FakeProvider) -> bool:
    provider.fake.behaves("ok", text="here again")
    return (await adapter.model(MODEL).generate(request())).text == "here again"


async def hung_up(provider: FakeProvider) -> None:
    """Wait until nobody is connected any more."""
    await asyncio.wait_for(provider.fake.connections.all_closed.wait(), 5)


def body(**values: Any) -> dict[str, str]:
    return {"body": json.dumps(values)}


class TestStatuses:
    @on_every_wire
    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            (400, "rejected"),
            (401, "auth"),
            (402, "quota_exhausted"),
            (403, "auth"),
            (404, "rejected"),
            (408, "unavailable"),
            (409, "unavailable"),
            (413, "rejected"),
            (418, "rejected"),
            (422, "rejected"),
            (424, "unavailable"),
            (429, "rate_limited"),
            (498, "unavailable"),
            (499, "unavailable"),
            (500, "unavailable"),
            (502, "unavailable"),
            (503, "unavailable"),
            (504, "unavailable"),
            (529, "unavailable"),
        ],
    )
    async def test_a_status_is_a_kind_of_failure(self, provider, wire, code, kind):
        error = await failure(provider, wire, "status", code=code)
        assert (error.kind, error.http_status, error.retry_after) == (kind, code, None)
        assert (str(error), error.request_id) == (f"HTTP {code}: as arranged", "fake-request")

    @on_every_wire
    @pytest.mark.parametrize(
        ("behaviour", "parameters", "says"),
        [
            pytest.param("status", {"code": 503, "in_list": True}, "as arranged", id="in a JSON list"),
            pytest.param("html", {"status": 503}, "Please sign in to the network.", id="HTML"),
            pytest.param("raw", {"status": 503}, "no body", id="empty"),
            pytest.param("raw", {"status": 503, "body": '{"error": "loading model"}'}, "loading model", id="a text"),
            pytest.param("raw", {"status": 503, "body": "[1, 2]"}, "[1, 2]", id="numbers"),
        ],
    )
    async def test_an_errors_body_may_be_anything(self, provider, wire, behaviour, parameters, says):
        error = await failure(provider, wire, behaviour, **parameters)
        assert (error.kind, error.http_status) == ("unavailable", 503)
        assert says in str(error)

    @on_every_wire
    async def test_no_content_is_no_answer(self, provider, wire):
        error = await failure(provider, wire, "raw", status=204)
        assert (error.kind, error.http_status) == ("bad_response", 204)

    @pytest.mark.parametrize(
        ("wire", "how"),
        [*((wire, how) for wire in WIRES for how in ("header", "ms")), ("gemini", "details")],
    )
    async def test_the_wait_that_a_provider_names_is_told(self, provider, wire, how):
        error = await failure(provider, wire, "rate_limited", wait=17.5, how=how)
        assert (error.kind, error.retry_after) == ("rate_limited", 17.5)

    @on_every_wire
    async def test_an_overloaded_server_may_name_a_wait_too(self, provider, wire):
        error = await failure(provider, wire, "503", headers={"retry-after": "3"})
        assert (error.kind, error.retry_after) == ("unavailable", 3.0)

    @on_every_wire
    @pytest.mark.parametrize("kind", ["day", "money"])
    async def test_a_quota_that_no_wait_cures(self, provider, wire, kind):
        assert (await failure(provider, wire, "quota", kind=kind)).kind == "quota_exhausted"

    async def test_a_key_that_google_does_not_know_is_a_400(self, provider):
        details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]
        error = {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT", "details": details}
        refusal = await failure(provider, "gemini", "raw", status=400, **body(error=error))
        assert (refusal.kind, refusal.http_status) == ("auth", 400)

    @on_every_wire
    @pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
    async def test_a_redirect_is_not_followed(self, provider, wire, code):
        error = await failure(provider, wire, "status", code=code, headers={"location": f"{provider.http}/v1/models"})
        assert (error.kind, error.http_status) == ("bad_response", code)
        assert len(provider.fake.requests) == 1


class TestAnswers:
    @on_every_wire
    @pytest.mark.parametrize(
        ("behaviour", "parameters", "text", "status", "finish", "reasons"),
        [
            pytest.param("ok", {"text": "hi"}, "hi", "ok", "stop", (None, None), id="text"),
            pytest.param("length", {"text": "hi"}, "hi", "length_cut", "length", ("MAX_TOKENS", "length"), id="cut"),
            pytest.param(
                "blocked",
                {},
                None,
                "blocked",
                "content_filter",
                ("PROHIBITED_CONTENT", "content_filter"),
                id="prompt blocked",
            ),
            pytest.param(
                "candidate",
                {"finish": "SAFETY"},
                None,
                "blocked",
                "content_filter",
                ("SAFETY", "content_filter"),
                id="SAFETY",
            ),
            pytest.param(
                "candidate",
                {"finish": "RECITATION"},
                None,
                "blocked",
                "content_filter",
                ("RECITATION", "content_filter"),
                id="RECITATION",
            ),
            pytest.param("thinking_only", {}, None, "empty", "length", ("MAX_TOKENS", "length"), id="thought only"),
            pytest.param("empty_text", {}, "", "empty", "stop", (None, None), id="empty text"),
            pytest.param("null_content", {}, None, "empty", "stop", (None, None), id="no content"),
            pytest.param("function_call", {}, None, "empty", "stop", (None, None), id="function call only"),
            pytest.param(
                "candidate",
                {"finish": "A_NEW_WORD", "text": "hi"},
                "hi",
                "ok",
                "stop",
                ("A_NEW_WORD", "A_NEW_WORD"),
                id="unknown finish reason",
            ),
        ],
    )
    async def test_an_answer_has_a_text_a_finish_and_a_reason(
        self, provider, wire, behaviour, parameters, text, status, finish, reasons
    ):
        said = await answer(provider, wire, behaviour, **parameters)
        reason = reasons[0] if wire == "gemini" else reasons[1]
        assert (said.text, status_of(said), said.finish_reason, said.reason) == (text, status, finish, reason)

    @pytest.mark.parametrize(
        "word", ["LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "MODEL_ARMOR"]
    )
    async def test_each_of_geminis_refusals_is_one(self, provider, word):
        said = await answer(provider, "gemini", "candidate", finish=word)
        assert (status_of(said), said.reason) == ("blocked", word)

    @pytest.mark.parametrize(
        ("wire", "status"), [("gemini", "truncated"), ("groq", "truncated"), ("openai_compatible", "ok")]
    )
    async def test_an_answer_without_a_finish_reason_is_half_of_one_unless_the_server_is_local(
        self, provider, wire, status
    ):
        said = await answer(provider, wire, "candidate", finish=None, text="I think that")
        assert (said.text, status_of(said)) == ("I think that", status)

    @on_every_wire
    async def test_no_candidate_is_an_empty_answer(self, provider, wire):
        said = await answer(provider, wire, "empty")
        assert (said.text, status_of(said)) == (None, "empty")

    async def test_an_empty_object_is_an_empty_answer_of_geminis(self, provider):
        said = await answer(provider, "gemini", "raw", body="{}")
        assert (said.text, status_of(said), said.usage) == (None, "empty", Usage())

    @pytest.mark.parametrize("wire", ["groq", "openai_compatible"])
    async def test_an_empty_object_is_no_chat_completion(self, provider, wire):
        error = await failure(provider, wire, "raw", body="{}")
        assert (error.kind, error.http_status) == ("bad_response", 200)

    @on_every_wire
    @pytest.mark.parametrize(
        ("behaviour", "parameters"),
        [
            pytest.param("raw", {"body": ""}, id="empty body"),
            pytest.param("html", {}, id="HTML"),
            pytest.param("cut", {}, id="cut JSON"),
            pytest.param("raw", {"body": "[]"}, id="a list"),
            pytest.param("raw", {"body": "null"}, id="null"),
            pytest.param("raw", {"body": '"hi"'}, id="a text"),
            pytest.param("raw", {"body": "[" * 100_000}, id="deeper than anybody reads"),
            pytest.param("status", {"code": 200, "headers": {"content-encoding": "gzip"}}, id="not gzip as it says"),
        ],
    )
    async def test_a_200_of_another_shape_is_no_answer(self, provider, wire, behaviour, parameters):
        error = await failure(provider, wire, behaviour, **parameters)
        assert (error.kind, error.http_status) == ("bad_response", 200)

    @on_every_wire
    async def test_more_than_anybody_says_is_refused(self, provider, wire):
        error = await failure(provider, wire, "raw", body=" " * (MAX_ANSWER_BYTES - 1) + "{}")
        assert error.kind == "bad_response"

    @on_every_wire
    async def test_of_a_book_the_beginning_is_kept(self, provider, wire):
        text = (await answer(provider, wire, "huge")).text or ""
        assert len(text) == MOST_CHARACTERS
        assert text.startswith("This is a long sentence")

    async def test_geminis_thoughts_are_left_out_of_the_text(self, provider):
        parts = [{"text": "She means me.", "thought": True}, {"text": "yes "}, {"functionCall": {}}, {"text": "please"}]
        candidate = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}
        assert (await answer(provider, "gemini", "raw", **body(candidates=[candidate]))).text == "yes please"

    @pytest.mark.parametrize("wire", ["groq", "openai_compatible"])
    async def test_reasoning_is_left_out_of_the_text(self, provider, wire):
        assert (await answer(provider, wire, "ok", text="yes please", thinking_tokens=5)).text == "yes please"

    @pytest.mark.parametrize(
        ("wire", "output"),
        [
            pytest.param("gemini", 3, id="gemini counts thinking beside the output"),
            pytest.param("groq", 3 + 5, id="groq counts thinking within it"),
            pytest.param("openai_compatible", 3 + 5, id="and so do the others"),
        ],
    )
    async def test_usage_tells_thinking_and_cached_tokens(self, provider, wire, output):
        said = await answer(provider, wire, "ok", text="one two three", thinking_tokens=5, cached_tokens=2)
        assert said.usage == Usage(input_tokens=5, output_tokens=output, thinking_tokens=5, cached_tokens=2)

    async def test_what_gemini_leaves_out_of_the_usage_is_nought(self, provider):
        said = await answer(provider, "gemini", "raw", **body(usageMetadata={"promptTokenCount": 7}))
        assert said.usage == Usage(input_tokens=7, output_tokens=0, thinking_tokens=0, cached_tokens=0)

    @on_every_wire
    @pytest.mark.parametrize("count", [-1, "7", 7.5, True, None, 10**30, []], ids=repr)
    async def test_a_count_that_is_none_is_left_out(self, provider, wire, count):
        values = {
            "candidates": [],
            "usageMetadata": {"promptTokenCount": count, "candidatesTokenCount": 3},
            "choices": [],
            "usage": {"prompt_tokens": count, "completion_tokens": 3},
        }
        usage = (await answer(provider, wire, "raw", **body(**values))).usage
        assert (usage.input_tokens, usage.output_tokens) == (None, 3)

    @on_every_wire
    async def test_the_model_that_served_is_told(self, provider, wire):
        assert (await answer(provider, wire, "served", model="another-one")).served_model == "another-one"

    @pytest.mark.parametrize(
        ("wire", "request_id"), [("gemini", "fake-1"), ("groq", "req_fake1"), ("openai_compatible", "req_fake1")]
    )
    async def test_the_id_by_which_the_provider_knows_the_call_is_told(self, provider, wire, request_id):
        assert (await answer(provider, wire, "ok")).request_id == request_id

    async def test_a_local_server_has_no_other_id_than_the_completions(self, provider):
        said = await answer(provider, "openai_compatible", "raw", **body(id="chatcmpl-7", choices=[]))
        assert said.request_id == "chatcmpl-7"


class TestModels:
    @on_every_wire
    async def test_the_models_of_a_key_are_listed_by_name(self, provider, wire):
        provider.fake.models = ("zeta", "alpha")
        async with speaking(provider, wire) as adapter:
            assert await adapter.models() == ("alpha", "zeta")

    @on_every_wire
    async def test_a_refused_key_is_told(self, provider, wire):
        provider.fake.keys = {"another key"}
        async with speaking(provider, wire) as adapter:
            with pytest.raises(GenerationError) as raised:
                await adapter.models()
        assert raised.value.kind == "auth"


class TestConnections:
    @on_every_wire
    @pytest.mark.parametrize(
        ("how", "kind"),
        [
            ("drop", "unavailable"),
            ("reset", "unavailable"),
            ("drop_mid", "bad_response"),
            ("malformed", "bad_response"),
        ],
    )
    async def test_a_broken_connection_is_one_failed_call(self, provider, wire, how, kind):
        provider.fake.behaves(how)
        async with speaking(provider, wire) as adapter:
            assert (await refused(adapter)).kind == kind
            assert await is_answered(adapter, provider)

    @on_every_wire
    @pytest.mark.parametrize("how", ["drop", "reset"])
    async def test_a_server_that_said_nothing_has_no_status(self, provider, wire, how):
        assert (await failure(provider, wire, how)).http_status is None

    @on_every_wire
    async def test_a_port_where_nobody_listens(self, wire):
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            endpoint = Endpoint(KEY, f"http://127.0.0.1:{nobody.getsockname()[1]}")
            adapter = adapters_for([wire], {wire: endpoint})[wire]
            error = await refused(adapter)
            await adapter.close()
        assert (error.kind, error.http_status) == ("unavailable", None)

    @on_every_wire
    async def test_a_call_that_nobody_waits_for_hangs_up(self, provider, wire):
        async def runs_out_once_asked(deadline: asyncio.Timeout) -> None:
            await provider.until(lambda: provider.fake.in_flight == 1)
            deadline.reschedule(asyncio.get_running_loop().time())

        async def asks(adapter: Adapter) -> None:
            async with asyncio.timeout(None) as deadline, asyncio.TaskGroup() as tasks:
                tasks.create_task(runs_out_once_asked(deadline))
                await adapter.model(MODEL).generate(request())

        provider.fake.behaves("hang")
        async with speaking(provider, wire) as adapter:
            with pytest.raises(TimeoutError):
                await asks(adapter)
            await provider.until(lambda: provider.asked[0].left)
            await hung_up(provider)
            assert await is_answered(adapter, provider)

    @on_every_wire
    async def test_an_answer_in_drips_comes_whole(self, provider, wire):
        said = await answer(provider, wire, "drip", pause=0.01, chunk_bytes=40)
        assert status_of(said) == "ok"

    @on_every_wire
    async def test_the_whole_deadline_ends_an_endless_drip(self, provider, wire):
        provider.fake.behaves("drip", pause=0.1, chunk_bytes=1)
        async with speaking(provider, wire) as adapter:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await adapter.model(MODEL).generate(request())
            await hung_up(provider)
            assert await is_answered(adapter, provider)

    @on_every_wire
    async def test_many_parallel_calls_all_come_through(self, provider, wire):
        async with speaking(provider, wire) as adapter:
            async with asyncio.TaskGroup() as tasks:
                calls = [tasks.create_task(adapter.model(MODEL).generate(request())) for _ in range(PARALLEL)]
        assert [status_of(call.result()) for call in calls] == ["ok"] * PARALLEL
        assert len(provider.asked) == PARALLEL

    @on_every_wire
    async def test_no_call_waits_for_another_ones_connection(self, provider, wire):
        provider.fake.behaves("hang")
        async with speaking(provider, wire) as adapter:
            async with asyncio.TaskGroup() as tasks:
                calls = [tasks.create_task(adapter.model(MODEL).generate(request())) for _ in range(PARALLEL)]
                await provider.until(lambda: provider.fake.in_flight == PARALLEL)
                for call in calls:
                    call.cancel()
            await provider.until(lambda: all(asking.left for asking in provider.asked))
            assert await is_answered(adapter, provider)

    @on_every_wire
    async def test_a_closed_adapter_holds_no_connection_and_asks_nobody(self, provider, wire):
        async with speaking(provider, wire) as adapter:
            await adapter.model(MODEL).generate(request())
            assert provider.fake.connections.open == 1
            await adapter.close()
            await hung_up(provider)
            assert (await refused(adapter)).kind == "unavailable"
        assert len(provider.asked) == 1

    @on_every_wire
    async def test_a_call_under_way_fails_when_its_adapter_is_closed(self, provider, wire):
        provider.fake.behaves("hang")
        async with speaking(provider, wire) as adapter:
            async with asyncio.TaskGroup() as tasks:
                call = tasks.create_task(refused(adapter))
                await provider.until(lambda: provider.fake.in_flight == 1)
                await adapter.close()
        assert call.result().kind == "unavailable"
