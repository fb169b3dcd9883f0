"""What a session does while its model is away, and how it gets it back."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import httpx2
import pytest
from folders import write_settings
from participants import ours, start
from providers import KEY, MODEL, WIRES, FakeProvider, fake_provider
from servers import QUICK, Process, Server, serving

from experiments.eventlog.reader import read_records
from simulation.events import ModelCalled, ModelDegraded, ModelRecovered, SessionEnded

EAGER = {"user_response_probability": 1}
BUSY = {"messages_per_minute": 600, **EAGER}


async def get(server: Server | str, path: str) -> httpx2.Response:
    base = server if isinstance(server, str) else server.http
    async with httpx2.AsyncClient(trust_env=False) as client:
        return await client.get(base + path)


async def post_start(server: Server | str) -> httpx2.Response:
    base = server if isinstance(server, str) else server.http
    async with httpx2.AsyncClient(trust_env=False) as client:
        return await client.post(f"{base}/session/start", json={"token": "1234"})


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not await condition():
            await asyncio.sleep(0.02)


class TestAHang:
    async def test_the_participant_notices_nothing_and_the_session_ends_on_time(self, tmp_path: Path):
        changes = {**BUSY, "session_duration_minutes": 0.05}
        async with fake_provider() as provider:
            provider.fake.behaves("hang")
            settings = provider.settings("gemini")
            async with serving(tmp_path, settings=settings, **changes) as server, ours(server) as participant:
                for number in range(5):
                    await participant.posts(f"message {number}")
                    await participant.expects_echo(f"message {number}")
                await provider.until(lambda: provider.fake.in_flight > 0)
                await participant.expects("session_end")
            await provider.until(lambda: provider.fake.in_flight == 0)
            assert all(asking.left for asking in provider.asked), "every call was given up"
        assert {frame["type"] for frame in participant.frames} <= {"welcome", "backlog_end", "message", "session_end"}
        end = await server.end_of(participant.session_id)
        assert end.reason == "duration_expired"
        assert end.elapsed < 3 + 2

    async def test_a_saturated_provider_has_no_more_calls_than_the_settings_allow(self, tmp_path: Path):
        changes = {**BUSY, "language_model": {"calls_in_flight": 2}}
        async with fake_provider() as provider:
            provider.fake.behaves("hang")
            settings = provider.settings("groq")
            async with serving(tmp_path, settings=settings, **changes) as server, ours(server) as participant:
                await participant.posts("anybody?")
                await provider.until(lambda: provider.fake.in_flight == 2)
                await participant.posts("hello?")
                await participant.expects_echo("hello?")
            assert provider.fake.most_in_flight == 2


class TestARefusedKey:
    @pytest.mark.parametrize("wire", WIRES)
    async def test_nobody_asks_again_and_nobody_new_is_let_in(self, tmp_path: Path, wire: str):
        async with fake_provider() as provider:
            settings = provider.settings(wire)
            async with serving(tmp_path, settings=settings, **BUSY) as server, ours(server) as participant:
                await participant.hears_an_agent()
                asked_before = len(provider.asked)
                provider.fake.behaves("401")

                async def refuses() -> bool:
                    return (await get(server, "/health/ready")).status_code == 503

                await until(refuses)
                for number in range(10):
                    await participant.posts(f"message {number}")
                    await participant.expects_echo(f"message {number}")
                assert (await get(server, "/health/ready")).json()["reason"] == "model: auth"
                assert (await get(server, "/health/live")).status_code == 200
                refused = await post_start(server)
                records = server.log_of(participant.session_id)
        calls = [r.event for r in records if isinstance(r.event, ModelCalled)]
        assert sum(call.status == "auth" for call in calls) <= 1 + 3
        assert len(provider.asked) - asked_before <= 1 + 3 + 1, "the one on its way when the switch was thrown counts"
        assert (refused.status_code, refused.json()["error"]) == (503, "study_paused")
        assert int(refused.headers["retry-after"]) > 0
        assert [r.event.reason for r in records if isinstance(r.event, ModelDegraded)] == ["auth"]
        assert not [r for r in records if isinstance(r.event, SessionEnded)]

    async def test_a_new_key_and_a_hangup_signal_cure_it_without_ending_sessions(self, tmp_path: Path):
        async with fake_provider() as provider:
            provider.fake.keys = {"good-key"}
            write_settings(tmp_path / "config", **(QUICK | EAGER))
            write_env(tmp_path, provider, "bad-key")
            with Process("-m", "server", "--port", "0", folder=tmp_path) as server:
                page = server.read_until("page").rpartition("http://")[2].split()[0].rstrip("/")
                await self.is_cured(tmp_path, provider, server, page)

    async def is_cured(self, folder: Path, provider: FakeProvider, process: Process, page: str) -> None:
        server = Server(int(page.rpartition(":")[2]), folder / "logs")
        async with ours(server) as participant:
            await participant.posts("hello?")

            async def refuses() -> bool:
                return (await post_start(server)).status_code == 503

            await until(refuses)
            write_env(folder, provider, "good-key")
            process.process.send_signal(signal.SIGHUP)

            async def admits() -> bool:
                return (await post_start(server)).status_code == 200

            await until(admits)
            await participant.posts("and now?")
            assert (await participant.hears_an_agent())["content"]
        process.stop()
        log = (folder / "logs" / f"{participant.session_id}.json").read_text()
        assert '"llm_recovered"' in log
        for text in (log, process.output):
            assert "good-key" not in text
            assert "bad-key" not in text
        assert "SIGHUP: gemini: another key or address is used from now on" in process.output


def write_env(folder: Path, provider: FakeProvider, key: str) -> None:
    lines = {
        "LLM_PROVIDER": "gemini",
        "LLM_MODEL": MODEL,
        "GEMINI_API_KEY": key,
        "GEMINI_BASE_URL": provider.http,
    }
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in lines.items()))


class TestTheServerLog:
    async def test_it_has_no_word_of_a_provider_or_a_participant(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ):
        caplog.set_level("INFO")
        async with fake_provider() as provider:
            provider.fake.behaves("401", message="your prompt was: my phone number is 07700 900123\nERROR forged")
            settings = provider.settings("groq")
            async with serving(tmp_path, settings=settings, **EAGER) as server, ours(server) as participant:
                await participant.posts("my phone number is 07700 900123")

                async def refuses() -> bool:
                    return (await post_start(server)).status_code == 503

                await until(refuses)
        assert "auth (HTTP 401). The key was refused" in caplog.text
        for word in ("07700", "forged", KEY):
            assert word not in caplog.text


class TestABudget:
    async def test_call_101_is_never_sent(self, tmp_path: Path):
        changes = {**BUSY, "budget": {"calls_per_experiment": 100}, "agent_names": ["A", "B"], "num_agents": 2}
        async with fake_provider() as provider:
            settings = provider.settings("groq")
            async with serving(tmp_path, settings=settings, **changes) as server:
                async with ours(server) as first, ours(server) as second:

                    async def is_spent() -> bool:
                        return (await get(server, "/health/ready")).status_code == 503

                    await until(is_spent)
                    for participant in (first, second):
                        await participant.posts("one more?")
                        await participant.expects_echo("one more?")
                    assert (await get(server, "/health/ready")).json()["reason"] == "budget: calls_per_experiment"
                    assert (await post_start(server)).json()["error"] == "study_paused"
        assert len(provider.asked) == 100

    async def test_a_restarted_server_remembers_what_was_spent(self, tmp_path: Path):
        changes = {**EAGER, "budget": {"calls_per_day": 2}}
        async with fake_provider() as provider:
            settings = provider.settings("groq")
            for _ in range(2):
                async with serving(tmp_path, settings=settings, **changes) as server, ours(server) as participant:
                    await participant.posts("hello?")
                    await participant.hears_an_agent()
            async with serving(tmp_path, settings=settings, **changes) as server:
                assert (await get(server, "/health/ready")).json()["reason"] == "budget: calls_per_day"
        assert len(provider.asked) == 2


class TestInstead:
    async def test_canned_lines(self, tmp_path: Path):
        failure = {"mode": "canned", "lines": ["hm", "brb"]}
        async with fake_provider() as provider:
            provider.fake.behaves("403")
            settings = provider.settings("gemini")
            async with serving(
                tmp_path, settings=settings, experimental={"on_model_failure": failure}, **EAGER
            ) as server:
                async with ours(server) as participant:
                    await participant.posts("hello?")
                    frame = await participant.hears_an_agent()
                    log = server.log_of(participant.session_id)
        assert frame["content"] in ("hm", "brb")
        assert "canned" not in str(participant.frames)
        assert [r.event.status for r in log if isinstance(r.event, ModelCalled)] == ["auth", "ok"]
        assert [r.event.source for r in log if isinstance(r.event, ModelCalled)] == ["model", "canned"]

    async def test_a_second_provider(self, tmp_path: Path):
        failure = {"mode": "second_provider", "provider": "groq", "model": "fake-large"}
        async with fake_provider() as provider, fake_provider() as other:
            provider.fake.behaves("403")
            settings = provider.settings("gemini") | {"groq_api_key": "k", "groq_base_url": other.http}
            async with serving(
                tmp_path, settings=settings, experimental={"on_model_failure": failure}, **EAGER
            ) as server:
                async with ours(server) as participant:
                    await participant.posts("hello?")
                    await participant.hears_an_agent()
                    assert (await get(server, "/health/ready")).status_code == 200, "there is somebody to speak"
                    log = server.log_of(participant.session_id)
        calls = [r.event for r in log if isinstance(r.event, ModelCalled)]
        assert [(call.provider, call.status) for call in calls] == [("gemini", "auth"), ("groq", "ok")]
        assert len(other.asked) == 1

    async def test_an_early_end(self, tmp_path: Path):
        failure = {"mode": "end_early", "after_minutes": 0.02}
        async with fake_provider() as provider:
            provider.fake.behaves("403")
            settings = provider.settings("gemini")
            async with serving(
                tmp_path, settings=settings, experimental={"on_model_failure": failure}, **EAGER
            ) as server:
                async with ours(server) as participant:
                    await participant.posts("hello?")
                    await participant.expects("session_end")
                assert (await server.end_of(participant.session_id)).reason == "technical"


class TestAnotherModelAnswers:
    @pytest.mark.parametrize(("what", "ends"), [("warn", False), ("stop", True)])
    async def test_it_is_told_once_and_ends_the_session_if_the_settings_say_so(
        self, tmp_path: Path, what: str, ends: bool
    ):
        changes = {**EAGER, "language_model": {"on_model_mismatch": what}}
        async with fake_provider() as provider:
            provider.fake.behaves("served", model="another-model")
            settings = provider.settings("groq")
            async with serving(tmp_path, settings=settings, **changes) as server, ours(server) as participant:
                await participant.posts("hello?")
                if ends:
                    await participant.expects("session_end")
                    await server.end_of(participant.session_id)
                else:
                    await participant.hears_an_agent()
                    await participant.posts("and you?")
                    await participant.hears_an_agent()
                log = list(read_records(server.log_dir / f"{participant.session_id}.json"))
        told = [r.event for r in log if r.event.event_type == "llm_mismatch"]
        assert [(each.requested_model, each.served_model) for each in told] == [(MODEL, "another-model")]
        assert not [r for r in log if isinstance(r.event, ModelRecovered)]


async def test_a_start_while_the_model_is_away_costs_no_token(tmp_path: Path):
    async with fake_provider() as provider:
        provider.fake.behaves("401")
        settings = provider.settings("groq")
        async with serving(tmp_path, settings=settings, **EAGER) as server, ours(server) as participant:
            pending = await start(server)
            await participant.posts("hello?")

            async def refuses() -> bool:
                return (await post_start(server)).status_code == 503

            await until(refuses)
            async with ours(server, pending) as other:
                await other.posts("I was let in before")
                await other.expects_echo("I was let in before")
