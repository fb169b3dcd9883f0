"""`chatroom participant`, as a researcher types it, beside a running server and without one."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from folders import write_settings
from servers import QUICK, Process, run_command
from studies import tokens_for
from websockets.sync.client import connect

from experiments.errors import InvalidExperiment
from experiments.eventlog.erasing import is_erased
from experiments.experiment import load_experiment
from server.facts import facts

CHATROOM = ("-c", "from server.cli import main; main()")
CONSENT = {"consent": {"version": "1", "text": "We keep what you write."}}
DESIGN: dict[str, Any] = {"entry": {"mode": "panel", "panel": "prolific"}, "experiment_id": "study", "screens": CONSENT}
ANN, BEN = "5f3a9c0d00000000000000aa", "5f3a9c0d00000000000000bb"
SECRET = "I am Ann from Überlingen, and I am not at all well"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    configure(tmp_path)
    return tmp_path


def configure(folder: Path, **design: Any) -> None:
    write_settings(folder / "config", experimental=DESIGN | design, **QUICK, reconnect_grace_seconds=0)


def says(folder: Path, *command: str, code: int = 0) -> str:
    done = run_command(*CHATROOM, *command, folder=folder)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stdout + done.stderr


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Yield the address of a running server."""
    with Process("-m", "server", "--port", "0", folder=folder) as process:
        banner = process.read_until("Stop with")
        yield next(word for word in banner.split() if word.startswith("http://"))
        process.stop()


def comes(address: str, pid: str) -> str:
    """Return the session that the panel's participant gets."""
    parameters = {"PROLIFIC_PID": pid, "STUDY_ID": "s-of-all", "SESSION_ID": f"sess-{pid[-2:]}"}
    body = {"parameters": parameters, "consent": {"version": "1"}}
    answer = httpx2.post(f"{address}session/start", json=body, trust_env=False)
    assert answer.status_code == 200, answer.text
    return answer.json()["session_id"]


@contextmanager
def chatting(folder: Path, address: str, session_id: str, text: str) -> Iterator[None]:
    """Be in the chat, having written something, while the block runs."""
    with connect(f"{address.replace('http', 'ws')}ws/{session_id}", proxy=None) as socket:
        socket.send(json.dumps({"type": "user_message", "content": text}))
        log = folder / "logs" / f"{session_id}.json"
        wait_for(lambda: log.exists() and text.encode() in log.read_bytes())
        yield


def row_of(folder: Path, session_id: str) -> dict[str, Any]:
    database = sqlite3.connect(folder / "data" / "chatroom.sqlite")
    database.row_factory = sqlite3.Row
    row = database.execute("SELECT * FROM sessions WHERE session_id = ?", (session_id,)).fetchone()
    database.close()
    return dict(row)


def is_over(folder: Path, session_id: str) -> bool:
    return bool(row_of(folder, session_id)["state"] == "over")


def wait_for(condition) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def every_byte(folder: Path) -> bytes:
    files = [path for name in ("logs", "data") for path in (folder / name).rglob("*") if path.is_file()]
    return b"\n".join(path.read_bytes() for path in files)


@pytest.fixture(scope="module")
def chat_of_two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A folder and two sessions, now over, in which Ann and Ben have written SECRET with their id; no server runs."""
    folder = tmp_path_factory.mktemp("two")
    configure(folder)
    sessions = []
    with served(folder) as address:
        for pid in (ANN, BEN):
            sessions.append(comes(address, pid))
            with chatting(folder, address, sessions[-1], f"{SECRET} {pid[-2:]}"):
                pass
            wait_for(lambda: is_over(folder, sessions[-1]))
    return folder, sessions[0], sessions[1]


@pytest.fixture
def two(chat_of_two: tuple[Path, str, str], tmp_path: Path) -> tuple[Path, str, str]:
    folder, ann, ben = chat_of_two
    return Path(shutil.copytree(folder, tmp_path / "two")), ann, ben


def test_somebody_is_exported_and_erased_beside_a_running_server(folder: Path):
    with served(folder) as address:
        ann = comes(address, ANN)
        ben = comes(address, BEN)
        with chatting(folder, address, ann, SECRET):
            assert f"session {ann[:8]} goes on in a running server: it must end first" in says(
                folder, "participant", "delete", ANN, "--yes", code=1
            )
        wait_for(lambda: is_over(folder, ann))
        log = folder / "logs" / f"{ann}.json"
        participant_id = row_of(folder, ann)["participant_id"]
        before = log.read_bytes()
        assert participant_id.encode() in before
        says(folder, "participant", "export", participant_id, "-o", "for-ann")
        assert not is_erased(log)

        receipt = says(folder, "participant", "delete", ANN, "--yes")
        assert f"Erased: session {ann[:8]}: {len(before.splitlines())} records of the log, 3 rows" in receipt
        assert "Nothing of theirs was found." in receipt
        assert "Not in reach of this command: backups and copies" in receipt
        left = every_byte(folder)
        for text in (SECRET, json.dumps(SECRET)[1:-1], ANN, "sess-aa", participant_id):
            assert text.encode() not in left
        assert BEN.encode() in left
        listed = {each["session_id"]: each for each in json.loads(says(folder, "sessions", "--json"))}
        assert listed[ben]["state"] == "pending"
        assert listed[ann]["erased_at"] is not None
        assert listed[ann]["participant_id"] not in (None, participant_id)

        assert comes(address, BEN) == ben
        assert comes(address, ANN) != ann  # nobody remembers
    assert ", erased" in says(folder, "sessions")
    assert "1 erased" in says(folder, "assignment", "--verify")
    assert "its content was erased" in says(folder, "replay", str(log))

    exported = json.loads((folder / "for-ann" / f"participant-{ann[:8]}.json").read_text())
    assert exported["log"] == [json.loads(line) for line in before.splitlines()]
    assert exported["linkage"]["PROLIFIC_PID"] == ANN
    assert exported["consent"]["decision"] == "given"
    assert set(exported["rows"]) == {"participants", "tokens", "panel_ids", "consents", "sessions", "assignments"}
    readable = (folder / "for-ann" / f"participant-{ann[:8]}.txt").read_text()
    assert f"THE PARTICIPANT: {SECRET}" in readable
    assert f"PROLIFIC_PID  {ANN}" in readable
    assert "consent       given, version 1" in readable
    assert "The chat: when (UTC)" in readable
    assert "What stands in the JSON file" in readable
    for path in (folder / "for-ann").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_it_asks_says_what_is_left_and_knows_nobody_else(two: tuple[Path, str, str]):
    folder, ann, ben = two
    assert "'nobody' is nobody's here" in says(folder, "participant", "delete", ANN, "nobody", "--yes", code=1)
    assert "'nobody' is nobody's here" in says(folder, "participant", "export", "nobody", code=1)
    assert "is nobody's here" in says(folder, "participant", "delete", os.fsdecode(b"\xff"), "--yes", code=1)
    assert f"session {ann[:8]}" in says(folder, "participant", "delete", ANN, code=1)  # nobody answers
    assert not is_erased(folder / "logs" / f"{ann}.json")
    (folder / f"participant-{ann[:8]}.json").touch()
    assert "is there already" in says(folder, "participant", "export", ANN, code=2)
    copy = folder / "logs" / "copy.txt"
    copy.write_bytes((folder / "logs" / f"{ann}.json").read_bytes())
    told = says(folder, "participant", "delete", ANN, ben, "--yes", code=1)
    assert "an identifier stands in logs/copy.txt: a copy, or" in told
    assert "a message stands in logs/copy.txt: others may have written the same" in told
    copy.unlink()
    again = json.loads(says(folder, "participant", "delete", ann, ben, "--yes", "--json"))
    assert [(each["session_id"], each["records"], each["rows"]) for each in again["erased"]] == [
        (ann, 0, 0),
        (ben, 0, 0),
    ]
    assert again["found"] == []
    assert SECRET.encode() not in every_byte(folder)


def test_whose_time_is_over_goes_by_hand_or_when_a_server_starts(two: tuple[Path, str, str]):
    folder, ann, ben = two
    assert "retain_days is not set" in says(folder, "participant", "delete", "--expired", code=2)
    assert "name whom to erase" in says(folder, "participant", "delete", code=2)
    configure(folder, retain_days=30)
    ended(folder, ann, "2020-01-01T00:00:00.000000+00:00")
    assert f"1 due.\n  session {ann[:8]}" in says(folder, "participant", "delete", "--expired", "--dry-run")
    assert not is_erased(folder / "logs" / f"{ann}.json")
    assert f"Erased: session {ann[:8]}" in says(folder, "participant", "delete", "--expired", "--yes")
    assert is_erased(folder / "logs" / f"{ann}.json")
    ended(folder, ben, "2020-01-01T00:00:00.000000+00:00")
    with served(folder):
        wait_for(lambda: is_erased(folder / "logs" / f"{ben}.json"))
        wait_for(lambda: BEN.encode() not in every_byte(folder))


def ended(folder: Path, session_id: str, at: str) -> None:
    database = sqlite3.connect(folder / "data" / "chatroom.sqlite")
    database.execute("UPDATE sessions SET ended_at = ? WHERE session_id = ?", (at, session_id))
    database.commit()
    database.close()


@pytest.mark.parametrize(
    ("days", "words"),
    [
        (None, "until somebody deletes it (retain_days)"),
        (1, "1 day after a session's end, then erased"),
        (90, "90 days after a session's end, then erased"),
    ],
)
def test_a_reviewer_reads_how_long_it_is_kept(folder: Path, days, words):
    configure(folder, retain_days=days)
    assert dict(facts(load_experiment(folder / "config")))["kept"] == words


def test_a_time_that_is_none_is_refused(folder: Path):
    configure(folder, retain_days=0)
    with pytest.raises(InvalidExperiment, match="retain_days"):
        load_experiment(folder / "config")


def test_a_token_is_known_by_its_link_and_lets_nobody_in_again(folder: Path):
    configure(folder, entry={"mode": "tokens"})
    (folder / "data").mkdir()
    (token,) = asyncio.run(tokens_for(folder))
    body = {"token": token, "consent": {"version": "1"}}
    with served(folder) as address:
        started = httpx2.post(f"{address}session/start", json=body, trust_env=False)
        assert started.status_code == 200
        asked = ask(folder, "y", "participant", "delete", f"https://chat.example.org/?token={token}")
        assert asked.returncode == 0, asked.stdout + asked.stderr
        assert "0 records of the log, 2 rows" in asked.stdout
        assert httpx2.post(f"{address}session/start", json=body, trust_env=False).status_code == 401
    row = row_of(folder, started.json()["session_id"])
    assert (row["state"], row["end_reason"], row["outcome"]) == ("over", "erased", "withdrawn")


def ask(folder: Path, answer: str, *command: str) -> subprocess.CompletedProcess:
    return run_command(*CHATROOM, *command, folder=folder, typed=f"{answer}\n")
