"""Who gets at the researcher's side, and who does not."""

from __future__ import annotations

import base64
import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr
from servers import serving
from starlette.requests import Request

from server.access import require_researcher
from server.app import operations
from server.attempts import Failures
from server.errors import RequestRefused
from server.settings import ServerSettings

KEY = "schlüssel-of-the-researcher-0123456789"
RIGHT = {"authorization": f"Bearer {KEY}".encode()}
PAGES = ("/openapi.json", "/docs", "/metrics")


def basic(key: str, name: str = "anybody") -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{name}:{key}".encode()).decode()}


def asked(headers: dict[str, str] | None = None, **changes: Any) -> Request:
    """A request as the server has it, from this machine unless `changes` of its scope say otherwise."""
    settings = changes.pop("settings", {})
    given = {"host": "127.0.0.1:8000", **(headers or {})}
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/docs",
        "scheme": "http",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 50_000),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in given.items()],
        "state": {"settings": ServerSettings(_env_file=None, **settings), "failed_keys": Failures(3)},
    }
    return Request(scope | changes)


def refusal(request: Request) -> RequestRefused | None:
    try:
        require_researcher(request)
    except RequestRefused as refused:
        return refused
    return None


class TestWithoutAKey:
    @pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "LocalHost:8000", "[::1]:8000", "127.8.0.1"])
    def test_this_machine_is_let_in(self, host):
        assert refusal(asked({"host": host})) is None

    @pytest.mark.parametrize("ends", [("::1", "::1"), ("::ffff:127.0.0.1", "::ffff:127.0.0.1")])
    def test_this_machine_is_let_in_by_its_other_addresses(self, ends):
        assert refusal(asked(server=(ends[0], 8000), client=(ends[1], 1))) is None

    @pytest.mark.parametrize(
        "changes",
        [
            {"client": ("192.0.2.7", 50_000)},
            {"server": ("192.0.2.1", 8000)},
            {"client": None},
            {"server": None},
            {"server": ("/run/chatroom.sock", None), "client": None},
        ],
    )
    def test_another_machine_is_not(self, changes):
        refused = refusal(asked(**changes))
        assert refused is not None
        assert refused.code == "unauthorized"
        assert "RESEARCHER_KEY" in refused.message

    @pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "", "[::1"])
    def test_a_page_whose_name_leads_here_is_not(self, host):
        refused = refusal(asked({"host": host}))
        assert refused is not None
        assert refused.code == "unauthorized"

    @pytest.mark.parametrize(
        "name", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via", "X-Forwarded-Host", "CF-Connecting-IP"]
    )
    def test_what_comes_through_a_proxy_is_not(self, name):
        assert refusal(asked({name: "127.0.0.1"})) is not None

    async def test_the_pages_open_on_loopback(self, tmp_path: Path):
        async with serving(tmp_path) as server, httpx2.AsyncClient(base_url=server.http, trust_env=False) as client:
            for page in PAGES:
                assert (await client.get(page)).status_code == 200
                assert (await client.get(page, headers={"via": "1.1 proxy"})).status_code == 401


class TestWithAKey:
    @pytest.fixture
    async def client(self, tmp_path: Path):
        settings = {"researcher_key": KEY, "start_failures_per_minute": 3}
        async with serving(tmp_path, settings=settings) as server:
            async with httpx2.AsyncClient(base_url=server.http, trust_env=False) as client:
                yield client

    async def test_no_researchers_operation_opens_without_it(self, client):
        for operation in operations():
            if operation.researcher:
                answer = await client.request(operation.method, operation.path)
                assert (answer.status_code, answer.json()["error"]) == (401, "unauthorized"), operation.path

    async def test_it_opens_as_bearer_and_as_password(self, client):
        for page in PAGES:
            for headers in (RIGHT, basic(KEY), basic(KEY, ""), {"authorization": f"bearer  {KEY}".encode()}):
                assert (await client.get(page, headers=headers)).status_code == 200

    async def test_a_browser_is_asked_for_it_and_a_program_told(self, client):
        answer = await client.get("/docs", headers={"accept": "text/html,*/*;q=0.8"})
        assert answer.headers["www-authenticate"] == 'Basic realm="researcher", charset="UTF-8"'
        assert (await client.get("/docs")).headers["www-authenticate"] == "Bearer"

    async def test_a_proxy_does_not_matter(self, client):
        assert (await client.get("/docs", headers={**RIGHT, "x-forwarded-for": "192.0.2.1"})).status_code == 200

    async def test_who_guesses_is_stopped_and_who_knows_is_not(self, client):
        for _ in range(3):
            assert (await client.get("/docs", headers={"authorization": "Bearer guess"})).status_code == 401
        answer = await client.get("/docs", headers=basic("guess"))
        assert (answer.status_code, answer.json()["error"]) == (429, "too_many_failures")
        assert answer.headers["retry-after"] == "60"
        assert (await client.get("/docs")).status_code == 401  # nothing was guessed
        assert (await client.get("/docs", headers=RIGHT)).status_code == 200
        started = await client.post("/session/start", json={"token": "1234"})
        assert started.status_code == 200  # participants behind the same address have nothing to do with it

    async def test_it_stands_in_no_answer_and_in_no_log(self, client, caplog):
        caplog.set_level(logging.DEBUG)
        answers = [
            await client.get("/docs", headers={"authorization": f"Digest {KEY}".encode()}),
            await client.get("/docs", headers={"authorization": f"Bearer {KEY}x".encode()}),
            *[await client.get(page, headers=RIGHT) for page in PAGES],
        ]
        assert not any(KEY in answer.text for answer in answers)
        assert KEY not in caplog.text

    @pytest.mark.parametrize(
        "authorization",
        [
            "",
            "Bearer",
            "Bearer ",
            "Basic",
            "Basic !!!",
            "Basic é",
            "Basic " + base64.b64encode(KEY.encode()).decode(),
            "Bearer " + KEY.upper(),
            KEY,
        ],
    )
    def test_anything_else_does_not_open(self, authorization):
        refused = refusal(asked({"authorization": authorization}, settings={"researcher_key": KEY}))
        assert refused is not None
        assert refused.code == "unauthorized"


class TestAnotherSitesPage:
    @pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:8000", "http://127.0.0.1:1"])
    def test_it_can_change_nothing_with_and_without_a_key(self, origin):
        for settings, headers in (({}, {}), ({"researcher_key": "k" * 32}, basic("k" * 32))):
            for method in ("POST", "DELETE"):
                refused = refusal(asked({**headers, "origin": origin}, method=method, settings=settings))
                assert refused is not None
                assert refused.code == "origin_not_allowed"

    def test_our_own_can_and_so_can_one_on_the_list(self):
        settings = {"allowed_origins": "https://study.example"}
        for origin in ("http://127.0.0.1:8000", "https://study.example"):
            assert refusal(asked({"origin": origin}, method="POST", settings=settings)) is None


def test_no_limit_on_guesses_where_the_setting_says_so():
    state = SimpleNamespace(settings=SimpleNamespace(researcher_key=SecretStr("k")), failed_keys=Failures(0))
    for _ in range(50):
        refused = refusal(asked({"authorization": "Bearer guess"}, state=vars(state)))
        assert refused is not None
        assert refused.code == "unauthorized"
    assert json.dumps(refused.details) == "[]"
