"""The pages and answers over HTTP: what is there, what every answer carries, who is let in."""

from __future__ import annotations

import re
import resource
from pathlib import Path

import httpx2
import pytest
from participants import ours
from servers import serving
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from server import limits


@pytest.fixture
async def client(tmp_path: Path):
    async with serving(tmp_path, group_name="Us & <them>") as server:
        async with httpx2.AsyncClient(base_url=server.http, trust_env=False) as client:
            yield client


async def test_the_root_is_a_page_for_browsers_and_information_for_others(client):
    for headers in ({}, {"accept": "*/*"}, {"accept": "application/json"}):
        client.headers.pop("accept", None)
        answer = await client.get("/", headers=headers)
        assert answer.headers["content-type"] == "application/json"
        assert set(answer.json()) == {"name", "message", "version", "endpoints"}
        assert len(answer.json()["endpoints"]) == 3
    page = await client.get("/", headers={"accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "Us &amp; &lt;them&gt;" in page.text


async def test_the_page_is_whole_without_any_other_host(client):
    page = (await client.get("/", headers={"accept": "text/html"})).text
    addresses = re.findall(r'(?:href|src)="([^"]+)"', page)
    assert addresses
    for address in addresses:
        assert address.startswith("/static/")
        answer = await client.get(address)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    modules = [address for address in set(addresses) if address.endswith(".js")]
    assert len(modules) <= 8
    for address in modules:
        for imported in re.findall(r'from "([^"]+)"', (await client.get(address)).text):
            assert f"{address.rsplit('/', 1)[0]}{imported[1:]}" in modules


async def test_the_page_has_no_inline_script_and_forbids_it(client):
    page = await client.get("/", headers={"accept": "text/html"})
    assert re.findall(r"<script(?![^>]*\bsrc=)", page.text) == []
    assert " style=" not in page.text
    policy = page.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("path", ["/", "/health", "/health/live", "/health/ready", "/none", "/session/start"])
async def test_every_answer_carries_the_headers(client, path):
    answer = await client.get(path)
    for name, value in {
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "cache-control": "no-store",
    }.items():
        assert answer.headers[name] == value
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-request-id"]
    assert "strict-transport-security" not in answer.headers


async def test_a_request_id_is_taken_over_if_it_is_one(client):
    assert (await client.get("/health", headers={"x-request-id": "abc-1"})).headers["x-request-id"] == "abc-1"
    assert (await client.get("/health", headers={"x-request-id": "a b<c>"})).headers["x-request-id"] != "a b<c>"


async def test_health(client):
    assert (await client.get("/health")).json()["status"] == "ok"
    assert (await client.get("/health/live")).json() == {"status": "ok"}
    assert (await client.get("/health/ready")).json() == {"status": "ready"}


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/none", 404, "not_found"),
        ("GET", "/static/none/x.js", 404, "not_found"),
        ("GET", "/session/start", 405, "method_not_allowed"),
        ("DELETE", "/health", 405, "method_not_allowed"),
    ],
)
async def test_errors_have_one_envelope(client, method, path, status, code):
    answer = await client.request(method, path)
    assert (answer.status_code, answer.json()["error"]) == (status, code)
    assert set(answer.json()) == {"error", "message", "details", "request_id"}


async def test_static_files_stay_in_their_folder(client):
    page = (await client.get("/", headers={"accept": "text/html"})).text
    root = re.findall(r'"(/static/\w+)/icon.svg"', page)[0]
    for path in ("/../app.py", "/..%2fapp.py", "/%2e%2e/app.py", "/participant/../../app.py"):
        answer = await client.get(root + path)
        assert answer.status_code == 404, path


async def test_an_unforeseen_error_tells_nothing(tmp_path: Path, monkeypatch):
    from server.hub import Hub

    def breaks(self):
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(Hub, "refuse_if_closed", breaks)
    async with serving(tmp_path) as server, httpx2.AsyncClient(base_url=server.http, trust_env=False) as client:
        answer = await client.post("/session/start", json={"token": "1234"})
        assert (answer.status_code, answer.json()["error"]) == (500, "internal_error")
        assert "secret" not in answer.text
        assert answer.headers["x-request-id"] == answer.json()["request_id"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert (await client.get("/health")).status_code == 200


class TestOrigin:
    async def test_another_sites_page_cannot_open_a_socket(self, tmp_path: Path):
        async with serving(tmp_path) as server:
            for origin in ("http://evil.example", "https://127.0.0.1", "null", f"http://127.0.0.1:{server.port + 1}"):
                with pytest.raises(InvalidStatus) as refused:
                    await connect(f"{server.ws}/ws/x", origin=origin, proxy=None)
                assert refused.value.response.status_code == 403

    async def test_our_own_page_can(self, tmp_path: Path):
        async with serving(tmp_path) as server, ours(server, origin=server.http) as participant:
            await participant.posts("hi")
            await participant.expects_echo("hi")

    async def test_a_page_on_the_list_can(self, tmp_path: Path):
        settings = {"allowed_origins": "https://study.example, https://other.example"}
        async with (
            serving(tmp_path, settings=settings) as server,
            ours(server, origin="https://other.example") as participant,
        ):
            await participant.posts("hi")
            await participant.expects_echo("hi")


async def test_only_hosts_on_the_list_are_answered(tmp_path: Path):
    async with serving(tmp_path, settings={"allowed_hosts": "study.example"}) as server:
        async with httpx2.AsyncClient(base_url=server.http, trust_env=False) as client:
            answer = await client.get("/health")
            assert (answer.status_code, answer.json()["error"]) == (400, "host_not_allowed")
            assert (await client.get("/health", headers={"host": "study.example:8000"})).status_code == 200
        with pytest.raises(InvalidStatus):
            await connect(f"{server.ws}/ws/x", proxy=None)


async def test_a_full_server_refuses_clearly_and_disturbs_nobody(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(limits, "session_capacity", lambda: 2)
    async with serving(tmp_path, user_response_probability=0) as server:
        async with httpx2.AsyncClient(base_url=server.http, trust_env=False) as client:
            spare = (await client.post("/session/start", json={"token": "1234"})).json()["session_id"]
            async with ours(server) as one, ours(server) as two:
                answer = await client.post("/session/start", json={"token": "1234"})
                assert (answer.status_code, answer.json()["error"]) == (503, "not_admitting")
                assert int(answer.headers["retry-after"]) > 0
                assert (await client.get("/health/ready")).json() == {"status": "not_ready", "reason": "full"}
                assert (await client.get("/health")).status_code == 200
                async with ours(server, spare, hello=False) as third:
                    await third.sends({"type": "hello"})
                    assert await third.reads_until_closed() == 1013
                for participant in (one, two):
                    await participant.posts("undisturbed")
                    await participant.expects_echo("undisturbed")
                await one.sends({"type": "leave"})
                await one.reads_until_closed()
                async with ours(server, spare):
                    pass  # what was refused was not spent


def test_capacity_follows_the_systems_limit(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    assert limits.session_capacity() == (819 - 64) // 2
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert limits.session_capacity() == limits.WITHOUT_LIMIT
    monkeypatch.setattr(resource, "getrlimit", lambda _: (10, 10))
    assert limits.session_capacity() == 1
