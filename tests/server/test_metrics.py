"""What the server counts of itself."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx2
from participants import ours
from prometheus_client.parser import text_string_to_metric_families
from servers import run_command, serving

from server.metrics import METHODS, Metrics

LABELS = ("method", "endpoint", "status", "le")


async def samples(client: httpx2.AsyncClient) -> dict[tuple[str, ...], float]:
    """Return every series by its name and the values of its labels, in the order of LABELS."""
    answer = await client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = (each for family in text_string_to_metric_families(answer.text) for each in family.samples)
    return {(each.name, *(each.labels[name] for name in LABELS if name in each.labels)): each.value for each in found}


async def test_requests_are_counted_by_method_template_and_status(tmp_path: Path):
    async with serving(tmp_path) as server, httpx2.AsyncClient(base_url=server.http, trust_env=False) as client:
        for _ in range(3):
            await client.get("/health")
        await client.post("/session/start", json={"token": "wrong"})
        await client.get("/session/start")
        await client.get("/nowhere")
        await client.head("/health")
        page = await client.get("/", headers={"accept": "text/html"})
        static = page.text.partition('href="')[2].partition('"')[0]
        await client.get(static)
        found = await samples(client)
    counted = {key[1:]: value for key, value in found.items() if key[0] == "http_requests_total"}
    assert counted == {
        ("GET", "/health", "200"): 3,
        ("HEAD", "/health", "200"): 1,
        ("POST", "/session/start", "401"): 1,
        ("GET", "/session/start", "405"): 1,
        ("GET", "unmatched", "404"): 1,
        ("GET", "/", "200"): 1,
        ("GET", static.rpartition("/")[0], "200"): 1,
    }
    assert found["http_request_duration_seconds_count", "GET", "/health"] == 3
    assert 0 < found["http_request_duration_seconds_sum", "GET", "/health"] < 3


async def test_the_number_of_series_is_bounded_whatever_is_asked_for(tmp_path: Path):
    async with serving(tmp_path) as server, httpx2.AsyncClient(base_url=server.http, trust_env=False) as client:
        for number in range(1_000):
            method = f"ODD{number}" if number % 2 else sorted(METHODS)[number % len(METHODS)]
            await client.request(method, f"/odd/{number}?x={number}", headers={"x-request-id": f"r{number}"})
            if number == 100:
                before = set(await samples(client))
        after = set(await samples(client))
        assert len(after - before) < 50  # those of the first look itself
        assert {key[1] for key in after if key[0] == "http_requests_total"} == {*METHODS, "OTHER"}
        assert {key[2] for key in after if key[0] == "http_requests_total"} == {"unmatched", "/metrics"}


async def test_sessions_that_run_are_counted(tmp_path: Path):
    async with serving(tmp_path) as server, httpx2.AsyncClient(base_url=server.http, trust_env=False) as client:
        assert (await samples(client))["chatroom_live_sessions",] == 0
        async with ours(server) as participant:
            await participant.posts("hi")
            await participant.expects_echo("hi")
            assert (await samples(client))["chatroom_live_sessions",] == 1


async def test_an_answer_that_failed_is_counted_as_such(tmp_path: Path, monkeypatch):
    from server.hub import Hub

    def breaks(self):
        raise ZeroDivisionError

    monkeypatch.setattr(Hub, "refuse_if_closed", breaks)
    async with serving(tmp_path) as server, httpx2.AsyncClient(base_url=server.http, trust_env=False) as client:
        assert (await client.post("/session/start", json={"token": "1234"})).status_code == 500
        assert (await samples(client))["http_requests_total", "POST", "/session/start", "500"] == 1


def test_two_servers_in_one_process_count_for_themselves():
    one, two = Metrics(), Metrics()
    one.workforce_rounds.labels("completed").inc()
    one.workforce_calls.labels("ok").inc(8)
    assert one.registry.get_sample_value("workforce_rounds_total", {"outcome": "completed"}) == 1
    assert two.registry.get_sample_value("workforce_rounds_total", {"outcome": "completed"}) is None


def test_counting_does_not_hold_up_the_start(tmp_path: Path):
    """Beside what is imported anyway; 30 ms of the processor's time is several times what it takes."""
    code = (
        "import time, starlette.applications, uvicorn, pydantic, server.operations; began = time.process_time();"
        "import server.metrics; print(time.process_time() - began)"
    )
    tries = [run_command("-c", code, folder=tmp_path) for _ in range(5)]
    assert all(each.returncode == 0 for each in tries), tries[0].stderr
    assert min(float(each.stdout) for each in tries) < 0.03, sys.version
