"""What the README and .env.example say is what the code has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from servers import run_command

from experiments.settings.experimental import ExperimentalSettings
from experiments.settings.simulation import SimulationSettings
from server.cli import app
from server.settings import ServerSettings
from simulation.events import KnownEvent
from simulation.workforce.events import WorkforceEvent

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = README + "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md")))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
ENV = (ROOT / ".env.example").read_text(encoding="utf-8")


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 200


def test_every_make_target_of_the_readme_is_there():
    targets = set(re.findall(r"^([a-z]+):.*## ", MAKEFILE, re.MULTILINE))
    for target in re.findall(r"\bmake (run|test|check|bench|help|[a-z]+)\b(?=\s|`|$)", README):
        if target not in ("git", "and"):
            assert target in targets, target
    assert {"run", "test", "check", "bench", "help"} <= targets


def test_every_setting_of_the_files_is_explained():
    for model in (SimulationSettings, ExperimentalSettings):
        for name in model.model_fields:
            if name != "schema_":
                assert f"`{name}`" in DOCS, name


def test_every_event_type_is_explained():
    for event in (*get_args(KnownEvent), *get_args(WorkforceEvent)):
        assert f"`{event.event_type}`" in DOCS


def test_the_environment_example_names_every_variable_and_no_other():
    named = set(re.findall(r"^#([A-Z_]+)=", ENV, re.MULTILINE))
    assert named == {name.upper() for name in ServerSettings.model_fields}


def test_defaults_in_the_environment_example_are_the_defaults(monkeypatch):
    for name in ServerSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    examples = {"RESEARCHER_KEY", "ALLOWED_ORIGINS", "ALLOWED_HOSTS", "TRUSTED_PROXIES", "LLM_PROVIDER", "LLM_MODEL"}
    examples |= {
        f"{name}_{what}" for name in ("GEMINI", "GROQ", "OPENAI_COMPATIBLE") for what in ("API_KEY", "BASE_URL")
    }
    settings = ServerSettings(_env_file=None)
    for name, value in re.findall(r"^#([A-Z_]+)=(.*)$", ENV, re.MULTILINE):
        if name not in examples:
            default = getattr(settings, name.lower())
            assert value == (str(default).lower() if isinstance(default, bool) else str(default)), name


def test_commands_of_the_readme_are_there():
    commands = {command.name or command.callback.__name__ for command in app.registered_commands}
    commands |= {group.name for group in app.registered_groups}
    assert set(re.findall(r"chatroom (serve|rehearse|[a-z]+)\b(?= )", README)) - {"experiments"} <= commands | {"for"}


def test_the_check_in_the_readme_is_what_the_command_prints():
    shown = README[README.index("$ chatroom check config/examples/factorial\n") :].partition("```")[0]
    command = ("-c", "from server.cli import main; main()", "check", "config/examples/factorial")
    printed = run_command(*command, folder=ROOT, environment={"COLUMNS": "120"}).stdout
    assert shown.partition("\n")[2].rstrip() == printed.rstrip()


def test_the_example_with_hooks_plays_and_its_log_is_replayed(tmp_path):
    played = run_command(str(ROOT / "docs" / "hooks_example.py"), folder=tmp_path)
    assert played.returncode == 0, played.stderr
    assert "Round 2: " in played.stdout
    (log,) = tmp_path.glob("*.json")
    assert "(I am not sure of this.)" in log.read_text(encoding="utf-8")
    assert '"time":"week 2 of 12"' in log.read_text(encoding="utf-8")
    replayed = run_command("-c", "from server.cli import main; main()", "replay", log.name, folder=tmp_path)
    assert "all the same" in replayed.stdout


def test_every_file_that_the_readme_links_to_is_there():
    for target in re.findall(r"\]\(([^)#]+)\)|src=\"([^\"]+)\"", README):
        path = "".join(target)
        assert (ROOT / path).exists(), path


def test_every_link_between_documents_leads_somewhere():
    for document in (ROOT / "docs").glob("*.md"):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document}: {target}"


def test_lock_and_constraint_files_hold_no_address():
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.+!-]+", line), line
