"""`chatroom ask`, `models`, `prompt`, `replay` and `fake-llm`, as a researcher types them."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path

import httpx2
import pytest
from folders import write_settings
from providers import KEY, MODEL, WIRES, FakeProvider, fake_provider
from servers import Process, run_command

CHATROOM = ("-c", "from server.cli import main; main()")


async def chatroom(*command: str, folder: Path, provider: FakeProvider | None = None, wire: str = "groq"):
    """Run a command; with a provider, its settings are in the environment."""
    values = provider.settings(wire) if provider else {}
    environment = {name.upper(): str(value) for name, value in values.items()}
    shown: subprocess.CompletedProcess[str] = await asyncio.to_thread(
        run_command, *CHATROOM, *command, folder=folder, environment=environment
    )
    assert "Traceback" not in shown.stderr
    assert KEY not in shown.stdout + shown.stderr
    return shown


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_settings(tmp_path / "config")
    return tmp_path


class TestAsk:
    @pytest.mark.parametrize("wire", WIRES)
    async def test_a_key_that_works(self, folder: Path, wire: str):
        async with fake_provider() as provider:
            provider.fake.behaves("ok", text="Hello to you, too!", thinking_tokens=7)
            shown = await chatroom("ask", "Hello?", folder=folder, provider=provider, wire=wire)
        assert shown.returncode == 0
        for part in (f"{wire}: {MODEL}", "Hello?", "Hello to you, too!", "ok (HTTP 200)", "7 thinking", "no price for"):
            assert part in shown.stdout

    async def test_a_model_with_a_price(self, folder: Path):
        async with fake_provider() as provider:
            command = ("ask", "Hello?", "--provider", "gemini", "--model", "gemini-2.5-flash")
            shown = await chatroom(*command, folder=folder, provider=provider, wire="gemini")
        assert "USD (price as of 2026-10-07)" in shown.stdout

    @pytest.mark.parametrize(
        ("behaviour", "status", "advice"),
        [
            ("401", "auth (HTTP 401)", "GROQ_API_KEY"),
            ("404", "rejected (HTTP 404)", "chatroom models"),
            ("quota", "quota_exhausted (HTTP 429)", "quota"),
            ("drop", "unavailable", "address"),
            ("html", "bad_response (HTTP 200)", "sign-in page"),
            ("thinking_only", "empty", "max_output_tokens"),
        ],
    )
    async def test_what_is_wrong_is_said_with_its_cure(self, folder: Path, behaviour: str, status: str, advice: str):
        async with fake_provider() as provider:
            provider.fake.behaves(behaviour)
            shown = await chatroom("ask", folder=folder, provider=provider)
        assert shown.returncode == 1
        assert status in shown.stdout
        assert advice in shown.stdout

    async def test_for_machines(self, folder: Path):
        async with fake_provider() as provider:
            shown = await chatroom("ask", "Hello?", "--json", folder=folder, provider=provider)
        answer = json.loads(shown.stdout)
        assert answer["prompt"] == "Hello?"
        assert answer["generation"]["served_model"] == MODEL

    async def test_without_a_key_it_says_what_is_missing(self, folder: Path):
        shown = await chatroom("ask", folder=folder)
        assert shown.returncode == 2
        assert "GEMINI_API_KEY, GROQ_API_KEY, OPENAI_COMPATIBLE_BASE_URL" in shown.stderr
        shown = await chatroom("ask", "--provider", "gemini", folder=folder)
        assert "GEMINI_API_KEY: missing" in shown.stderr


class TestModels:
    async def test_every_key_is_asked_for_its_models(self, folder: Path):
        async with fake_provider() as provider:
            shown = await chatroom("models", folder=folder, provider=provider)
        assert shown.returncode == 0
        for part in ("groq", "fake-large", "the settings' model"):
            assert part in shown.stdout

    async def test_a_model_that_is_gone_is_warned_of(self, folder: Path):
        async with fake_provider() as provider:
            provider.fake.models = ("another",)
            shown = await chatroom("models", folder=folder, provider=provider)
        assert shown.returncode == 1
        assert f"groq does not offer {MODEL}" in shown.stdout

    async def test_a_provider_that_refuses_is_named_and_the_others_are_listed(self, folder: Path):
        async with fake_provider() as provider, fake_provider() as other:
            provider.fake.keys = {"another key"}
            values = {**provider.settings("groq"), **other.settings("gemini")}
            environment = {name.upper(): str(value) for name, value in values.items()}
            shown = await asyncio.to_thread(
                run_command, *CHATROOM, "models", "--json", folder=folder, environment=environment
            )
        assert shown.returncode == 1
        usable = {each["provider"]: each["usable"] for each in json.loads(shown.stdout)["providers"]}
        assert usable == {"groq": False, "gemini": True}
        assert KEY not in shown.stdout

    async def test_without_a_key_it_says_which_to_set(self, folder: Path):
        shown = await chatroom("models", folder=folder)
        assert shown.returncode == 2
        assert "GEMINI_API_KEY, GROQ_API_KEY, OPENAI_COMPATIBLE_BASE_URL" in shown.stderr

    async def test_a_key_is_enough_no_model_need_be_named(self, folder: Path):
        async with fake_provider() as provider:
            environment = {"GROQ_API_KEY": KEY, "GROQ_BASE_URL": provider.http, "LLM_PROVIDER": "groq"}
            shown = await asyncio.to_thread(run_command, *CHATROOM, "models", folder=folder, environment=environment)
        assert (shown.returncode, "fake-large" in shown.stdout) == (1, True)
        assert "no model is named" in shown.stdout

    async def test_with_several_keys_no_provider_need_be_named(self, folder: Path):
        async with fake_provider() as provider:
            settings = {**provider.settings("groq"), **provider.settings("gemini"), "llm_provider": ""}
            environment = {name.upper(): str(value) for name, value in settings.items()}
            shown = await asyncio.to_thread(run_command, *CHATROOM, "models", folder=folder, environment=environment)
        assert shown.returncode == 0
        assert all(part in shown.stdout for part in ("groq", "gemini"))

    async def test_a_provider_that_we_do_not_know_is_named(self, folder: Path):
        environment = {"GROQ_API_KEY": KEY, "LLM_PROVIDER": "grok"}
        shown = await asyncio.to_thread(run_command, *CHATROOM, "models", folder=folder, environment=environment)
        assert shown.returncode == 2
        assert "did you mean groq?" in shown.stderr


class TestPrompt:
    async def test_it_shows_who_the_agent_is_and_what_it_is_asked(self, folder: Path):
        write_settings(folder / "config", personas={"Bob": {"description": "A retired bus driver."}})
        shown = await chatroom("prompt", "--agent", "Bob", folder=folder)
        assert shown.returncode == 0
        for part in ("You are Bob", "A retired bus driver.", "<messages>", "Write the next message that Bob sends"):
            assert part in shown.stdout

    async def test_all_of_them_for_machines(self, folder: Path):
        shown = await chatroom("prompt", "--agent", "Bob", "--all", "--json", folder=folder)
        prompts = json.loads(shown.stdout)
        assert len(prompts) > 10
        assert len({prompt["messages"][0]["content"] for prompt in prompts}) == 1, "the system part is the same"

    async def test_an_unknown_agent_is_refused_with_those_there_are(self, folder: Path):
        shown = await chatroom("prompt", "--agent", "Bo", folder=folder)
        assert shown.returncode == 2
        assert "one of Alice, Bob" in shown.stderr


class TestReplay:
    @pytest.fixture
    async def log(self, folder: Path) -> Path:
        await chatroom("rehearse", "config", "--sessions", "1", "--out", "out", folder=folder)
        return next((folder / "out").glob("*.json"))

    async def test_a_log_that_follows_from_its_inputs(self, folder: Path, log: Path):
        shown = await chatroom("replay", str(log), folder=folder)
        assert shown.returncode == 0
        assert "all the same" in shown.stdout

    async def test_a_log_that_was_changed(self, folder: Path, log: Path):
        forge(log)
        shown = await chatroom("replay", str(log), "--json", folder=folder)
        (outcome,) = json.loads(shown.stdout)
        assert shown.returncode == 1
        assert outcome["same"] is False
        assert outcome["difference"]["seq"] == outcome["records"] + 1

    @pytest.mark.parametrize("content", [b"", b"nonsense\n", b"{}\n"])
    async def test_what_is_no_log_is_refused(self, folder: Path, content: bytes):
        (folder / "x.json").write_bytes(content)
        shown = await chatroom("replay", "x.json", folder=folder)
        assert shown.returncode == 2
        assert shown.stderr.count("x.json") == 1

    async def test_what_is_no_log_keeps_no_other_from_being_replayed(self, folder: Path, log: Path):
        (folder / "x.json").touch()
        shown = await chatroom("replay", "x.json", str(log), folder=folder)
        assert shown.returncode == 2
        assert "all the same" in shown.stdout
        assert "x.json" in shown.stderr


def forge(log: Path) -> None:
    log.write_text(log.read_text().replace('"sender":"Alice"', '"sender":"Bob"', 1))


async def test_the_fake_serves_and_is_switched_while_it_runs(tmp_path: Path):
    with Process(*CHATROOM, "fake-llm", "--port", "0", "--latency", "0", folder=tmp_path) as fake:
        address = fake.read_until("GROQ_BASE_URL").rpartition("GROQ_BASE_URL=")[2].strip()
        async with httpx2.AsyncClient(trust_env=False, base_url=address) as client:
            ask = {"model": "fake-small", "messages": [{"role": "user", "content": "hello"}]}
            assert (await client.post("/openai/v1/chat/completions", json=ask)).status_code == 200
            unknown = {**ask, "model": "nosuch"}
            assert (await client.post("/openai/v1/chat/completions", json=unknown)).status_code == 404
            await client.put("/fake/behaviour", json={"name": "503"})
            assert (await client.post("/openai/v1/chat/completions", json=ask)).status_code == 503


async def test_the_fake_refuses_a_behaviour_that_it_does_not_know(tmp_path: Path):
    shown = await chatroom("fake-llm", "--port", "0", "--behaviour", "explode", folder=tmp_path)
    assert shown.returncode == 2
    assert "known are ok" in shown.stderr
