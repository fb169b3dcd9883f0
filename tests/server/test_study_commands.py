"""`chatroom tokens`, `sessions` and `assignment`, as a researcher types them, also beside a running server."""

from __future__ import annotations

import csv
import json
import stat
from pathlib import Path
from typing import Any

import httpx2
import pytest
from folders import write_settings
from servers import Process, run_command
from studies import FOUR

CHATROOM = ("-c", "from server.cli import main; main()")
DESIGN: dict[str, Any] = {"entry": {"mode": "tokens"}, "conditions": FOUR, "experiment_id": "study"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_settings(tmp_path / "config", experimental=DESIGN)
    return tmp_path


def says(folder: Path, *command: str, code: int = 0) -> str:
    done = run_command(*CHATROOM, *command, folder=folder)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stdout + done.stderr


def made(folder: Path, *options: str, number: int = 3) -> list[dict[str, str]]:
    says(folder, "tokens", "create", "--n", str(number), "-o", "tokens.csv", *options)
    with (folder / "tokens.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_tokens_come_with_links_in_a_file_of_their_owners(folder: Path):
    rows = made(folder, "--url", "https://chat.example.org/", "--qr")
    assert len({row["token"] for row in rows}) == 3
    for row in rows:
        assert row["link"] == f"https://chat.example.org/?token={row['token']}"
        assert len(row["token"]) >= 22
        assert not row["token"].startswith("-")
    assert stat.S_IMODE((folder / "tokens.csv").stat().st_mode) == 0o600
    pictures = sorted((folder / "tokens.qr").iterdir())
    assert [path.name for path in pictures] == ["1.png", "2.png", "3.png"]
    assert pictures[0].read_bytes().startswith(b"\x89PNG")


def test_a_file_that_is_there_is_never_written_over(folder: Path):
    (folder / "tokens.csv").write_text("mine")
    told = says(folder, "tokens", "create", "--n", "1", "-o", "tokens.csv", code=2)
    assert "-o: tokens.csv is there already" in told
    assert (folder / "tokens.csv").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--condition", "z"), "--condition: 'z' is not allowed: one of a, b, c, d"),
        (("--short",), "--short: codes that can be typed can be guessed in the long run; --expires is needed"),
        (("--expires", "2020-01-01"), "is past"),
        (("--expires", "soon"), "--expires: 'soon' is not allowed: a date"),
    ],
)
def test_nonsense_is_told_and_makes_nothing(folder: Path, options, told):
    assert told in says(folder, "tokens", "create", "--n", "1", "-o", "t.csv", *options, code=2)
    assert not (folder / "t.csv").exists()


@pytest.mark.parametrize(
    ("address", "link"),
    [
        ("https://chat.example.org", "https://chat.example.org/?token="),
        ("https://chat.example.org/study/", "https://chat.example.org/study/?token="),
        ("https://chat.example.org/?cohort=a", "https://chat.example.org/?cohort=a&token="),
    ],
)
def test_links_keep_what_else_the_address_says_and_are_known_when_revoked(folder: Path, address, link):
    (row,) = made(folder, "--url", address, number=1)
    assert row["link"].startswith(link)
    assert "1 revoked." in says(folder, "tokens", "revoke", f"{row['link']}&utm=x")


@pytest.mark.parametrize("address", ["chat.example.org", "ftp://x", "https://x/#y", "https://x y/"])
def test_an_address_that_is_none_makes_no_links(folder: Path, address):
    assert "--url: " in says(folder, "tokens", "create", "--n", "1", "-o", "t.csv", "--url", address, code=2)


def test_a_file_that_cannot_be_written_makes_no_tokens(folder: Path):
    assert "-o: none/t.csv cannot be written" in says(
        folder, "tokens", "create", "--n", "1", "-o", "none/t.csv", code=2
    )
    assert json.loads(says(folder, "tokens", "list", "--json")) == []


def test_a_stratum_has_a_list_of_its_own(folder: Path):
    design = DESIGN | {"assignment": {"strata": ["cohort"]}}
    write_settings(folder / "config", experimental=design)
    young, old = (
        json.loads(says(folder, "assignment", "--n", "20", "--stratum", f"cohort={name}", "--json"))["places"]
        for name in ("young", "old")
    )
    assert young != old
    assert "--stratum: 'age' is not allowed: assignment.strata has cohort" in says(
        folder, "assignment", "--stratum", "age=1", code=2
    )


def test_a_date_counts_whole(folder: Path):
    made(folder, "--expires", "2099-12-31")
    (expires,) = {each["expires_at"] for each in json.loads(says(folder, "tokens", "list", "--json"))}
    assert expires > "2099-12-31T10"


def test_tokens_are_listed_by_number_and_revoked_by_text_link_or_number(folder: Path):
    rows = made(folder, number=4)
    assert "1 revoked." in says(folder, "tokens", "revoke", rows[0]["token"])
    assert "1 revoked." in says(folder, "tokens", "revoke", rows[1]["link"])
    assert "1 revoked." in says(folder, "tokens", "revoke", "--number", "3")
    assert "None revoked" in says(folder, "tokens", "revoke", "nonsense", code=1)
    listed = json.loads(says(folder, "tokens", "list", "--json"))
    assert [(each["number"], each["state"]) for each in listed] == [
        (1, "revoked"),
        (2, "revoked"),
        (3, "revoked"),
        (4, "unused"),
    ]
    table = says(folder, "tokens", "list")
    assert "unused" in table
    assert not any(row["token"] in table for row in rows)


def test_beside_a_running_server(folder: Path):
    with Process("-m", "server", "--port", "0", folder=folder) as process:
        banner = process.read_until("Stop with Ctrl+C")
        address = next(word for word in banner.split() if word.startswith("http://"))
        assert "by token" in banner
        assert "4: a, b, c, d" in banner
        for row in made(folder, number=6):
            answer = httpx2.post(f"{address}session/start", json={"token": row["token"]}, trust_env=False)
            assert answer.status_code == 200
        listed = json.loads(says(folder, "sessions", "--json"))
        assert [each["sequence_number"] for each in listed] == [1, 2, 3, 4, 5, 6]
        assert {each["state"] for each in listed} == {"pending"}
        assert {"session_id", "condition", "sequence_number", "state", "started_at", "ended_at"} <= set(listed[0])
        assert "6 in all: 6 pending" in says(folder, "sessions")
        places = json.loads(says(folder, "assignment", "--n", "6", "--json"))["places"]
        assert places == [each["condition"] for each in listed]
        assert "as the seed gives it" in says(folder, "assignment", "--verify")
        second = says(folder, "serve", "--port", "0", code=2)
        assert "DATA_DIR: data is in use by another server" in second


def test_what_was_tampered_with_shows_in_the_exit_code(folder: Path):
    import sqlite3

    with Process("-m", "server", "--port", "0", folder=folder) as process:
        address = next(word for word in process.read_until("Stop with").split() if word.startswith("http://"))
        for row in made(folder):
            httpx2.post(f"{address}session/start", json={"token": row["token"]}, trust_env=False)
    database = sqlite3.connect(folder / "data" / "chatroom.sqlite")
    database.execute("UPDATE assignments SET condition = 'z' WHERE sequence_number = 2")
    database.commit()
    database.close()
    assert "place 2: the list says" in says(folder, "assignment", "--verify", code=1)
    verified = json.loads(run_command(*CHATROOM, "assignment", "--verify", "--json", folder=folder).stdout)
    assert verified["lists"][0]["contradictions"]
    assert not verified["agrees"]


def test_which_session_is_whose_leaves_by_a_file_of_its_own_and_by_nothing_else(folder: Path):
    write_settings(folder / "config", experimental={"entry": {"mode": "panel", "panel": "prolific"}})
    ann = {"PROLIFIC_PID": "pid-5f3a", "STUDY_ID": "s1"}
    with Process("-m", "server", "--port", "0", folder=folder) as process:
        address = next(word for word in process.read_until("Stop with").split() if word.startswith("http://"))
        answer = httpx2.post(f"{address}session/start", json={"parameters": ann}, trust_env=False)
    says(folder, "sessions", "--panel-ids", "linkage.csv")
    with (folder / "linkage.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == [{"session_id": answer.json()["session_id"], **ann}]
    assert stat.S_IMODE((folder / "linkage.csv").stat().st_mode) == 0o600
    assert "pid-5f3a" not in says(folder, "sessions", "--json") + says(folder, "sessions")
    assert "--panel-ids: linkage.csv is there already" in says(folder, "sessions", "--panel-ids", "linkage.csv", code=2)


def test_a_database_that_is_none_is_told_of(folder: Path):
    (folder / "data").mkdir()
    (folder / "data" / "chatroom.sqlite").write_text("not a database, whatever its name says" * 100)
    assert "chatroom.sqlite: file is not a database" in says(folder, "sessions", code=2)
    assert "chatroom.sqlite: file is not a database" in says(folder, "serve", "--port", "0", code=2)
