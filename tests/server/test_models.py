"""Which model speaks, and why: settled from settings and files before anything starts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from chatrooms import started
from folders import experiment
from providers import KEY, fake_provider
from servers import Process, run_command, serving

from server import models
from server.errors import InvalidSettings
from server.settings import ServerSettings, load_settings
from simulation.codec import Record, encode
from simulation.events import TurnPlanned
from simulation.parameters import ModelChoice

NO_KEY = "no API key is set"


def settled(folder: Path, settings: dict[str, Any], **changes: Any) -> tuple[str, str, str]:
    """Return provider, model and why."""
    chosen, why = models.settled(ServerSettings(_env_file=None, **settings), experiment(folder, **changes))
    choice = chosen.parameters.language_model
    return choice.provider, choice.model, why


def problems(folder: Path, settings: dict[str, Any], **changes: Any) -> str:
    with pytest.raises(InvalidSettings) as raised:
        settled(folder, settings, **changes)
    return str(raised.value)


def warnings(folder: Path, settings: dict[str, Any], **changes: Any) -> str:
    chosen, _ = models.settled(ServerSettings(_env_file=None, **settings), experiment(folder, **changes))
    return "\n".join(chosen.warnings)


CALL = TurnPlanned(
    elapsed=1.0,
    turn_id="turn-1",
    agent_name="Alice",
    cause="background",
    act="message",
    target=None,
    drawn_at=1.0,
    pace=1.0,
    reading_seconds=1.0,
)
GEMINI = {"gemini_api_key": KEY}
GROQ = {"groq_api_key": KEY}
IN_FILE = {"language_model": {"provider": "gemini", "model": "in-file"}}


@pytest.mark.parametrize(
    ("settings", "changes", "expected"),
    [
        ({}, {}, ("scripted", "neighbourhood", NO_KEY)),
        ({"llm_model": "m"}, {}, ("scripted", "neighbourhood", f"m is named, but {NO_KEY}")),
        ({"llm_model": "m", "llm_provider": "scripted"}, {}, ("scripted", "m", "chosen by LLM_PROVIDER")),
        (GEMINI, {}, ("scripted", "neighbourhood", "GEMINI_API_KEY is set, but no model is named: set LLM_MODEL")),
        ({**GEMINI, "llm_model": "m"}, {}, ("gemini", "m", "GEMINI_API_KEY is set")),
        (GEMINI, {"language_model": {"model": "named"}}, ("gemini", "named", "GEMINI_API_KEY is set")),
        (GEMINI, IN_FILE, ("gemini", "in-file", "chosen by language_model.provider")),
        ({**GEMINI, "llm_model": "m"}, IN_FILE, ("gemini", "m", "chosen by language_model.provider")),
        ({**GROQ, "llm_provider": "groq", "llm_model": "m"}, IN_FILE, ("groq", "m", "chosen by LLM_PROVIDER")),
        ({"llm_provider": "scripted"}, IN_FILE, ("scripted", "neighbourhood", "chosen by LLM_PROVIDER")),
        (
            {"openai_compatible_base_url": "http://127.0.0.1:11434/v1", "llm_model": "m"},
            {},
            ("openai_compatible", "m", "OPENAI_COMPATIBLE_BASE_URL is set"),
        ),
    ],
)
def test_the_model_that_is_settled_on(tmp_path: Path, settings, changes, expected):
    assert settled(tmp_path, settings, **changes) == expected


@pytest.mark.parametrize(
    ("settings", "changes", "words"),
    [
        ({**GEMINI, **GROQ, "llm_model": "m"}, {}, ("LLM_PROVIDER", "GEMINI_API_KEY and GROQ_API_KEY")),
        ({"llm_provider": "gemini", "llm_model": "m"}, {}, ("GEMINI_API_KEY", "missing")),
        ({}, IN_FILE, ("GEMINI_API_KEY", "missing")),
        ({**GROQ, "llm_provider": "groq"}, {}, ("LLM_MODEL", "chatroom models")),
        ({**GROQ, "llm_provider": "groq"}, IN_FILE, ("LLM_MODEL", "which model of groq")),
        ({"llm_provider": "chatgpt"}, {}, ("LLM_PROVIDER", "one of scripted")),
        ({**GROQ, "llm_provider": "groq", "llm_model": "m"}, {"budget": {"cost_per_day": 5}}, ("budget", "no price")),
    ],
)
def test_what_cannot_speak_is_named_with_its_cure(tmp_path: Path, settings, changes, words):
    text = problems(tmp_path, settings, **changes)
    for word in words:
        assert word in text
    assert KEY not in text


def test_a_setting_that_the_provider_does_not_know_is_told_of(tmp_path: Path):
    groq = {**GROQ, "llm_provider": "groq", "llm_model": "llama-3.1-8b-instant"}
    text = warnings(tmp_path, groq, language_model={"thinking_level": "low", "temperature": 0.5})
    assert text == "language_model.thinking_level: groq has no such setting, so it is not sent"


def test_a_model_without_a_price_is_told_of(tmp_path: Path):
    text = warnings(tmp_path, {**GROQ, "llm_provider": "groq", "llm_model": "unheard-of"})
    assert "no price for groq:unheard-of" in text


def test_a_researchers_own_prices_come_first(tmp_path: Path):
    groq = {**GROQ, "llm_provider": "groq", "llm_model": "mine"}
    own = {"date": "2026-11-01", "currency": "EUR", "models": {"groq": {"mine": {"input": 1, "output": 2}}}}
    (tmp_path / "prices.json").write_text(json.dumps(own))
    assert warnings(tmp_path, groq, budget={"cost_per_day": 5}) == ""


def test_prices_that_cannot_be_read_keep_the_server_from_starting(tmp_path: Path):
    experiment(tmp_path / "config")
    (tmp_path / "config" / "prices.json").write_text('{"date": "2026"}')
    environment = {"LLM_PROVIDER": "groq", "LLM_MODEL": "m", "GROQ_API_KEY": KEY}
    shown = run_command("-m", "server", "--port", "0", folder=tmp_path, environment=environment)
    assert shown.returncode == 2
    assert "prices.json" in shown.stderr
    assert "Traceback" not in shown.stderr


WHAT_IS_IMPORTED = """
import asyncio, sys
from pathlib import Path
from experiments.experiment import load_experiment
from server.app import create_app
from server.models import settled
from server.settings import ServerSettings, load_settings

async def main():
    settings = ServerSettings(_env_file=None, log_dir=Path("logs"))
    app = create_app(settings, settled(settings, load_experiment(Path("config"))).experiment)
    async with app.router.lifespan_context(app):
        pass

asyncio.run(main())
print([name for name in ("google.genai", "groq", "aiohttp", "httpx", "httpx2", "stamina") if name in sys.modules])
"""


def test_without_a_key_no_sdk_is_imported(tmp_path: Path):
    experiment(tmp_path / "config")
    shown = run_command("-c", WHAT_IS_IMPORTED, folder=tmp_path)
    assert shown.stdout.strip() == "[]", shown.stderr


async def test_the_sdk_is_imported_where_it_is_used_and_no_other(tmp_path: Path):
    experiment(tmp_path / "config")
    code = WHAT_IS_IMPORTED.replace(
        "ServerSettings(_env_file=None, ",
        f'ServerSettings(_env_file=None, llm_provider="groq", llm_model="m", groq_api_key="{KEY}", ',
    )
    shown = run_command("-c", code, folder=tmp_path)
    assert "'groq'" in shown.stdout, shown.stderr
    assert "google.genai" not in shown.stdout


async def test_the_banner_says_which_model_and_why(tmp_path: Path):
    experiment(tmp_path / "config")
    with Process("-m", "server", "--port", "0", folder=tmp_path) as server:
        assert f"scripted: demo replies (neighbourhood); {NO_KEY}" in server.read_until("page")
    async with fake_provider() as provider:
        values = {name.upper(): str(value) for name, value in provider.settings("groq").items()}
        with Process("-m", "server", "--port", "0", folder=tmp_path, environment=values) as server:
            assert "groq: fake-small; chosen by LLM_PROVIDER" in server.read_until("page")


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("GROQ_API_KEY", "“gsk_curly”", "no key has"),
        ("GEMINI_API_KEY", "two words", "no key has"),
        ("GROQ_BASE_URL", "https://api.groq.com/openai/v1", "leave out the path"),
        ("GEMINI_BASE_URL", "http://127.0.0.1:9000/v1beta/", "leave out the path"),
        ("OPENAI_COMPATIBLE_BASE_URL", "127.0.0.1:11434/v1", "http://"),
    ],
)
def test_a_key_or_an_address_that_cannot_be_right_is_refused(tmp_path: Path, monkeypatch, name, value, advice):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings) as raised:
        load_settings()
    assert str(raised.value).startswith(name)
    assert advice in str(raised.value)
    assert "gsk_" not in str(raised.value)


async def test_a_key_with_space_around_it_works(tmp_path: Path):
    async with fake_provider() as provider:
        provider.fake.keys = {KEY}
        settings = provider.settings("groq", key=f" {KEY}\n")
        async with serving(tmp_path, settings=settings):
            found = models.endpoints(ServerSettings(_env_file=None, **settings))
            assert found["groq"].api_key == KEY


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("LLM_PROVDER", "LLM_PROVIDER"),
        ("LLM_MODELL", "LLM_MODEL"),
        ("GEMINI_KEY", "GEMINI_API_KEY"),
        ("llm_mdoel", "LLM_MODEL"),
    ],
)
def test_a_misspelt_name_in_the_env_file_keeps_a_study_from_running_on_the_demo(
    tmp_path: Path, monkeypatch, name: str, meant: str
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(f"{name}=x\nPATH_TO_SOMETHING_ELSE=1\nMY_OWN=2\n")
    with pytest.raises(InvalidSettings) as raised:
        load_settings()
    assert str(raised.value) == f".env: {name}: unknown; did you mean {meant}?"


def test_a_misspelt_provider_is_told_what_was_meant(tmp_path: Path):
    assert "did you mean gemini?" in problems(tmp_path, {"llm_provider": "gemni"})


def test_a_budget_that_is_spent_already_is_told_of_before_anybody_is_turned_away(tmp_path: Path, caplog):
    loaded = experiment(tmp_path / "config", budget={"calls_per_experiment": 1}, experimental={"experiment_id": "s"})
    start = replace(started(language_model=ModelChoice(provider="groq", model="m")), experiment_id="s")
    lines = [
        encode(Record(1, "2026-11-24T00:00:00+00:00", start)),
        encode(Record(2, "2026-11-24T00:00:01+00:00", CALL)),
    ]
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.json").write_bytes(b"".join(lines))
    models.means(ServerSettings(_env_file=None, log_dir=tmp_path / "logs"), loaded)
    assert "calls_per_experiment is spent already" in caplog.text
    assert "experiment_id" in caplog.text
