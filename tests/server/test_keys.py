"""SIGHUP: keys and addresses are read again, and what cannot be used changes nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from chatrooms import started
from providers import MODEL, FakeProvider, fake_provider
from providers import request as asked_for

from server.keys import take_keys
from simulation.errors import GenerationError
from simulation.llm.budget import Ledger
from simulation.llm.pricing import PriceList
from simulation.llm.registry import LocalProvider, Means, Provider, wire_provider
from simulation.parameters import Budget, ModelChoice

NAMES = ("GEMINI_API_KEY", "GROQ_API_KEY", "GROQ_BASE_URL", "OPENAI_COMPATIBLE_BASE_URL", "LLM_PROVIDER", "LLM_MODEL")


@pytest.fixture(autouse=True)
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to read .env from, and nothing in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    return tmp_path / ".env"


def write(path: Path, provider: FakeProvider, key: str, **changes: str) -> None:
    lines = {"GROQ_API_KEY": key, "GROQ_BASE_URL": provider.http} | changes
    path.write_text("".join(f"{name}={value}\n" for name, value in lines.items()), encoding="utf-8")


async def gateway(provider: FakeProvider, key: str) -> Provider:
    start = started(language_model=ModelChoice(provider="groq", model=MODEL))
    ledger = Ledger(Budget(), lambda: "2026-11-24")
    means = Means(PriceList("USD", "2026-11-24", {}), ledger, {"groq": provider.endpoint("groq", key)})
    return await asyncio.to_thread(wire_provider, [start.parameters], Path(), means)


async def status(subject: Provider) -> str:
    model = subject.for_session(started(language_model=ModelChoice(provider="groq", model=MODEL)))
    try:
        return (await model.generate(asked_for())).attempts[-1].status
    except GenerationError as error:
        return error.kind


async def test_a_new_key_is_asked_with_at_once(env_file: Path):
    async with fake_provider() as provider:
        provider.fake.keys = {"new"}
        subject = await gateway(provider, "old")
        assert await status(subject) == "auth"
        write(env_file, provider, "new")
        await take_keys(subject, {})
        assert await status(subject) == "ok"
        await subject.close()


@pytest.mark.parametrize(
    "changes",
    [
        {"GROQ_BASE_URL": "http://localhost:90x0"},
        {"GROQ_BASE_URL": "http://[::1"},
        {"GROQ_BASE_URL": "localhost:9000"},
        {"GROQ_API_KEY": ""},
        {"GROQ_API_KEY": "two words"},
        {"LOG_SYNC": "perhaps"},
    ],
    ids=str,
)
async def test_what_cannot_be_used_changes_nothing(env_file: Path, caplog: pytest.LogCaptureFixture, changes):
    async with fake_provider() as provider:
        provider.fake.keys = {"old"}
        subject = await gateway(provider, "old")
        write(env_file, provider, "new", **changes)
        await take_keys(subject, {})
        assert "the keys stay as they were" in caplog.text
        assert await status(subject) == "ok"
        await subject.close()


@pytest.fixture(params=[None, b"\xff\xfe\x00", b"GROQ_API_KEY"], ids=["gone", "UTF-16", "half written"])
def broken_env_file(request: pytest.FixtureRequest, env_file: Path) -> None:
    if request.param is not None:
        env_file.write_bytes(request.param)


@pytest.mark.usefixtures("broken_env_file")
async def test_an_env_file_that_is_gone_or_half_written_changes_nothing():
    async with fake_provider() as provider:
        subject = await gateway(provider, "old")
        await take_keys(subject, {})
        assert await status(subject) == "ok"
        await subject.close()


async def test_a_call_that_is_under_way_on_the_old_key_is_made_again_on_the_new(env_file: Path):
    async with fake_provider() as provider:
        subject = await gateway(provider, "old")
        provider.fake.queue("hang")
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(status(subject))
            await provider.until(lambda: provider.fake.in_flight == 1)
            write(env_file, provider, "new")
            await take_keys(subject, {})
        assert asking.result() == "ok"
        assert [asking.headers["authorization"] for asking in provider.asked] == ["Bearer old", "Bearer new"]
        await subject.close()


async def test_a_model_without_a_key_has_nothing_to_take(caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO")

    class Local(LocalProvider):
        def for_session(self, start):
            """Nobody asks."""

    await take_keys(Local(), {})
    assert "needs no key" in caplog.text


@pytest.mark.parametrize(("key", "words"), [("old", "the same key as before"), ("new", "another key or address")])
async def test_the_server_log_says_whether_it_is_another_key(env_file: Path, caplog, key: str, words: str):
    async with fake_provider() as provider:
        subject = await gateway(provider, "old")
        write(env_file, provider, key)
        await take_keys(subject, {"groq": provider.endpoint("groq", "old")})
        await subject.close()
    assert words in caplog.text


async def test_a_key_in_the_environment_wins_and_the_server_log_says_so(env_file: Path, caplog, monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", "old")
    async with fake_provider() as provider:
        subject = await gateway(provider, "old")
        write(env_file, provider, "new")
        await take_keys(subject, {"groq": provider.endpoint("groq", "old")})
        await subject.close()
    assert "GROQ_API_KEY is set in the environment" in caplog.text
