"""Servers that say what no framework would: headers, lists and endings that are not as they should be."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from providers import KEY, MODEL, WIRES, fake_provider, request, speaking

from simulation.errors import GenerationError
from simulation.llm.endpoint import Adapter, Endpoint
from simulation.llm.registry import adapters_for


@asynccontextmanager
async def saying(raw: bytes, wire: str) -> AsyncIterator[Adapter]:
    """Yield an adapter whose provider answers every request with these bytes, and closes."""

    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answers, "127.0.0.1", 0)
    endpoint = Endpoint(KEY, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    adapter = adapters_for([wire], {wire: endpoint})[wire]
    try:
        yield adapter
    finally:
        await adapter.close()
        server.close()


def http(body: bytes, header: bytes = b"x-a: b") -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n%s\r\n\r\n%s" % (len(body), header, body)


async def refused(adapter: Adapter) -> GenerationError:
    with pytest.raises(GenerationError) as raised:
        await adapter.model(MODEL).generate(request())
    return raised.value


@pytest.mark.parametrize("wire", WIRES)
async def test_a_header_that_is_not_ascii_does_no_harm(wire: str):
    async with saying(http(b'{"candidates":[],"choices":[]}', b"x-served-by: M\xfcnchen"), wire) as adapter:
        assert (await adapter.model(MODEL).generate(request())).text is None


@pytest.mark.parametrize("wire", WIRES)
async def test_a_date_beyond_any_calendar_is_no_wait(wire: str):
    async with fake_provider() as provider, speaking(provider, wire) as adapter:
        provider.fake.behaves("429", headers={"retry-after": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"})
        error = await refused(adapter)
    assert (error.kind, error.retry_after, error.http_status) == ("rate_limited", None, 429)


@pytest.mark.parametrize("wire", ["groq", "openai_compatible"])
async def test_a_refusal_whose_body_breaks_off_is_one(wire: str):
    async with saying(b"HTTP/1.1 503 X\r\ncontent-length: 500\r\n\r\nhalf", wire) as adapter:
        error = await refused(adapter)
    assert (error.kind, error.http_status) == ("unavailable", 503)


@pytest.mark.parametrize("wire", WIRES)
async def test_what_is_no_http_has_no_status(wire: str):
    async with fake_provider() as provider, speaking(provider, wire) as adapter:
        provider.fake.behaves("malformed")
        error = await refused(adapter)
    assert (error.kind, error.http_status) == ("bad_response", None)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b'{"models":[',
        b'{"models":5}',
        b'{"models":[{"name":5}]}',
        b'{"models":[5]}',
        b"[" * 100_000,
        b"",
        b"[]",
    ],
    ids=lambda body: body[:24].decode(),
)
@pytest.mark.parametrize("wire", WIRES)
async def test_what_is_no_list_of_models_is_a_bad_response(wire: str, body: bytes):
    async with saying(http(body), wire) as adapter:
        with pytest.raises(GenerationError) as raised:
            await adapter.models()
    assert raised.value.kind == "bad_response"


@pytest.mark.parametrize("wire", WIRES)
async def test_where_nobody_listens_the_error_has_no_address(wire: str):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    adapter = adapters_for([wire], {wire: Endpoint(KEY, f"http://127.0.0.1:{port}")})[wire]
    error = await refused(adapter)
    await adapter.close()
    assert error.kind == "unavailable"
    assert "127.0.0.1" not in str(error)
    assert str(port) not in str(error)


@pytest.mark.parametrize("wire", ["groq", "openai_compatible"])
async def test_a_prompt_that_is_refused_in_azures_way_is_blocked(wire: str):
    async with fake_provider() as provider, speaking(provider, wire) as adapter:
        body = '{"error":{"code":"content_filter","message":"no","status":400}}'
        provider.fake.behaves("raw", status=400, body=body)
        assert (await refused(adapter)).kind == "blocked"


class TestTheKey:
    @pytest.mark.parametrize("wire", WIRES)
    @pytest.mark.parametrize("before", [0, 290, 299])
    async def test_no_part_of_it_is_quoted_wherever_the_message_is_cut(self, wire: str, before: int):
        async with fake_provider() as provider, speaking(provider, wire) as adapter:
            provider.fake.behaves("401", message="x" * before + KEY)
            error = await refused(adapter)
        assert KEY[0] not in str(error).partition("x" * max(before, 1))[2]
        assert KEY not in str(error)

    @pytest.mark.parametrize("wire", WIRES)
    @pytest.mark.parametrize("escape", ["plain", "unicode"])
    async def test_it_is_quoted_in_no_spelling_of_json_and_in_no_header(self, wire: str, escape: str):
        said = KEY if escape == "plain" else "".join(f"\\u{ord(each):04x}" for each in KEY)
        async with fake_provider() as provider, speaking(provider, wire) as adapter:
            provider.fake.behaves("raw", status=401, body=f'{{"error":{{"message":"bad key {said}"}}}}')
            error = await refused(adapter)
            assert str(error) == "HTTP 401: bad key [key]"
            provider.fake.behaves("401", headers={"x-request-id": KEY})
            assert (await refused(adapter)).request_id == "[key]"

    @pytest.mark.parametrize("wire", WIRES)
    @pytest.mark.parametrize("behaviour", ["malformed", "drop", "reset"])
    async def test_no_cause_of_an_error_holds_it(self, wire: str, behaviour: str):
        async with fake_provider() as provider, speaking(provider, wire) as adapter:
            provider.fake.behaves(behaviour)
            error: BaseException | None = await refused(adapter)
        chain: list[BaseException] = []
        while error is not None:
            assert error not in chain, "the chain of causes has an end"
            chain.append(error)
            error = error.__cause__ or error.__context__
        assert KEY not in "".join(map(repr, chain))


@pytest.mark.parametrize("wire", WIRES)
async def test_certificates_that_the_environment_names_and_that_are_not_there_stop_nobody(wire: str, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent/x.pem")
    async with fake_provider() as provider, speaking(provider, wire) as adapter:
        assert (await adapter.model(MODEL).generate(request())).text


async def test_the_dummy_key_of_a_local_server_is_a_word_like_any_other():
    async with fake_provider() as provider, speaking(provider, "openai_compatible", key="") as adapter:
        provider.fake.behaves("503", message="none of the models is loaded")
        error = await refused(adapter)
    assert str(error) == "HTTP 503: none of the models is loaded"
