"""What a researcher types, and what it prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from folders import write_settings
from servers import run_command

from server import __version__

CHATROOM = ("-c", "from server.cli import main; main()")


def test_help_and_version(tmp_path: Path):
    shown = run_command(*CHATROOM, "--help", folder=tmp_path)
    assert shown.returncode == 0
    for command in ("serve", "rehearse"):
        assert command in shown.stdout
    assert run_command(*CHATROOM, "--version", folder=tmp_path).stdout.strip() == f"chatroom {__version__}"


def test_a_rehearsal_prints_a_table_and_writes_logs(tmp_path: Path):
    write_settings(tmp_path / "config")
    shown = run_command(
        *CHATROOM, "rehearse", "config", "--sessions", "5", "--out", "out", "--seed", "2", folder=tmp_path
    )
    assert shown.returncode == 0, shown.stderr
    for part in (
        "messages a minute",
        "reaction share",
        "messages by Alice",
        "from draw to appearance",
        "5 files, seed 2",
    ):
        assert part in shown.stdout
    assert len(list((tmp_path / "out").glob("*.json"))) == 5


def test_a_rehearsal_for_machines(tmp_path: Path):
    write_settings(tmp_path / "config")
    command = ("rehearse", "config", "--sessions", "3", "--out", "out", "--model-latency", "2.5", "--json")
    summary = json.loads(run_command(*CHATROOM, *command, folder=tmp_path).stdout)
    assert summary["sessions"] == 3
    only = summary["conditions"]["default"]
    assert only["messages_per_minute"]["configured"] == 6
    assert 5 < only["messages_per_minute"]["delivered"] < 7
    assert set(only["share_by_agent"]) == {"Alice", "Bob", "Charlie", "Diana", "Eve"}


def test_a_rehearsal_warns_of_a_rate_that_cannot_be_kept(tmp_path: Path):
    write_settings(tmp_path / "config", messages_per_minute=60, timing={"scale": 0})
    command = ("rehearse", "config", "--sessions", "1", "--out", "out", "--model-latency", "8")
    assert "60 is more than 5 agents can keep up with" in " ".join(
        run_command(*CHATROOM, *command, folder=tmp_path).stderr.split()
    )


def test_a_rehearsal_of_a_bad_folder_says_what_is_wrong(tmp_path: Path):
    write_settings(tmp_path / "config", num_agents=3)
    done = run_command(*CHATROOM, "rehearse", "config", "--sessions", "1", folder=tmp_path)
    assert done.returncode == 2
    assert "num_agents: 3 is not allowed: agent_names has 5 names" in done.stderr


@pytest.mark.parametrize(
    ("settings", "arguments", "message"),
    [
        ({"language_model": {"script": "bad.json"}}, (), "bad.json: there is nothing to say"),
        ({}, ("--out", "bad.json"), "--out: bad.json cannot be written"),
        ({}, ("--model-latency", "inf"), "--model-latency"),
    ],
)
def test_a_rehearsal_that_cannot_be_says_why(tmp_path: Path, settings, arguments, message):
    (write_settings(tmp_path / "config", **settings) / "bad.json").write_text("{}")
    (tmp_path / "bad.json").write_text("{}")
    done = run_command(*CHATROOM, "rehearse", "config", "--sessions", "1", *arguments, folder=tmp_path)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_names_are_shown_as_they_are(tmp_path: Path):
    names = ["[bold]", "[/red]", "日本", "Diana", "Eve"]
    write_settings(tmp_path / "config", agent_names=names)
    command = ("rehearse", "config", "--sessions", "1", "--out", "o[/a]")
    done = run_command(*CHATROOM, *command, folder=tmp_path, environment={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr
    for shown in ("messages by [bold]", "messages by [/red]", "\\u65e5\\u672c", "Logs: o[/a]/ (1 file,"):
        assert shown in done.stdout
