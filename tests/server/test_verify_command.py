"""`chatroom verify`: what it prints, and with what it exits."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from folders import experiment
from servers import run_command

from experiments.rehearsal import rehearse


@pytest.fixture
def logs(tmp_path: Path) -> list[Path]:
    (tmp_path / "logs").mkdir()
    rehearse(experiment(tmp_path / "config", session_duration_minutes=1), sessions=3, out=tmp_path / "logs")
    return sorted((tmp_path / "logs").glob("*.json"))


CHATROOM = ("-c", "from server.cli import main; main()")


def verify(*arguments: object, folder: Path):
    return run_command(*CHATROOM, "verify", *map(str, arguments), folder=folder)


def damaged(log: Path) -> int:
    """Change a record; return its line."""
    lines = log.read_bytes().splitlines(keepends=True)
    lines[4] = lines[4].replace(b'"elapsed":', b'"elapsed":1')
    log.write_bytes(b"".join(lines))
    return 5


def test_whole_logs_are_told_with_their_heads(logs: list[Path], tmp_path: Path):
    done = verify(tmp_path / "logs", folder=tmp_path)
    assert done.returncode == 0
    assert "3 of 3 logs are whole." in done.stdout
    for log in logs:
        head = json.loads(log.read_bytes().splitlines()[-1])["hash"]
        count = log.read_bytes().count(b"\n")
        assert f"{log.name}: whole: {count:,} records, with its end, head {head}\n" in done.stdout


def test_a_damaged_log_is_named_by_line_and_is_not_touched(logs: list[Path], tmp_path: Path):
    line = damaged(logs[1])
    before = logs[1].read_bytes()
    done = verify(*logs, folder=tmp_path)
    assert done.returncode == 1
    assert f"{logs[1].name}: damaged in 1 place: " in done.stdout
    assert f"line {line}: changed: record {line} is not what was written: its content or its salt" in done.stdout
    assert "2 of 3 logs are whole." in done.stdout
    assert logs[1].read_bytes() == before


def test_a_torn_end_is_damage_too(logs: list[Path], tmp_path: Path):
    logs[0].write_bytes(logs[0].read_bytes()[:-10])
    done = verify(logs[0], folder=tmp_path)
    assert done.returncode == 1
    assert "torn: " in done.stdout
    assert "the next start of the server moves them aside" in done.stdout


def test_a_session_without_its_end_is_whole_and_says_so(logs: list[Path], tmp_path: Path):
    logs[0].write_bytes(b"".join(logs[0].read_bytes().splitlines(keepends=True)[:-1]))
    done = verify(logs[0], folder=tmp_path)
    assert done.returncode == 0
    assert "without session_end (the session still runs or waits for a server, or its server was killed)" in done.stdout


def test_of_many_damages_the_first_are_shown(logs: list[Path], tmp_path: Path):
    lines = logs[0].read_bytes().splitlines(keepends=True)
    logs[0].write_bytes(b"".join(each.replace(b'"hash":', b'"hush":') for each in lines))
    done = verify(logs[0], folder=tmp_path)
    assert done.returncode == 1
    assert done.stdout.count("  line ") == 20
    assert f"  and {len(lines) - 20} more (--json has all)" in done.stdout


def test_for_machines(logs: list[Path], tmp_path: Path):
    damaged(logs[0])
    done = verify("--json", tmp_path / "logs", folder=tmp_path)
    assert done.returncode == 1
    first, second, _ = json.loads(done.stdout)
    assert (first["whole"], second["whole"]) == (False, True)
    assert (first["damage"][0]["line"], first["damage"][0]["seq"]) == (5, 5)
    assert second["damage"] == []


def test_what_is_no_log_is_told_after_the_others(logs: list[Path], tmp_path: Path):
    (tmp_path / "notes.txt").write_text("nothing of the kind\n")
    done = verify(tmp_path / "notes.txt", tmp_path / "none.json", logs[0], folder=tmp_path)
    assert done.returncode == 2
    assert f"{logs[0].name}: whole" in done.stdout
    assert "notes.txt" in done.stderr
    assert "none.json: cannot be read" in done.stderr
    damaged(logs[0])
    assert verify(tmp_path / "notes.txt", logs[0], folder=tmp_path).returncode == 1


def test_what_is_no_file_is_not_waited_for(logs: list[Path], tmp_path: Path):
    pipe = logs[0].parent / "pipe.json"
    os.mkfifo(pipe)
    assert verify(logs[0].parent, folder=tmp_path).returncode == 0
    assert "neither a file nor a folder" in verify(pipe, folder=tmp_path).stderr
