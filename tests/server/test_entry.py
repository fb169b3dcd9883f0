"""Getting in over HTTP: tokens, panels, open doors; refusals; back again, also after a restart; what is due then."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import httpx2
import pytest
from participants import ours, plain
from servers import serving
from sqlalchemy import event
from sqlalchemy.engine import Engine
from studies import FOUR, StudyDesk, tokens_for

from experiments.experiment import load_experiment
from experiments.store import database
from experiments.store.study import DataFolder, open_study
from experiments.store.tokens import revoke_tokens
from server import hub

PROLIFIC: dict[str, Any] = {
    "entry": {"mode": "panel", "panel": "prolific"},
    "completion": {
        "completed": {"code": "C-DONE", "url": "https://app.prolific.com/submissions/complete?cc={code}"},
        "withdrawn": {"code": "C-LEFT", "url": "https://panel.example/back?id={PROLIFIC_PID}&cc={code}"},
        "declined": {"code": "C-NO"},
        "technical": {"code": "C-TECH"},
        "screened_out": {"code": "C-FULL", "url": "https://panel.example/full?id={PROLIFIC_PID}"},
    },
    "screens": {
        "consent": {"version": "3", "text": "Do you *agree*?"},
        "debriefing": {"text": "They were machines.\n\nSee [here](https://lab.example)."},
    },
}
TOKENS: dict[str, Any] = {"entry": {"mode": "tokens"}, "conditions": FOUR, "completion": {"completed": {"code": "C1"}}}
ANN = {"PROLIFIC_PID": "pid-5f3a & co", "STUDY_ID": "s1", "SESSION_ID": "x"}
AGREED = {"consent": {"version": "3"}}


class Door:
    """The server's way in, as a page or a script knocks at it."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client

    async def answers(self, **body: Any) -> httpx2.Response:
        return await self._client.post("/session/start", json=body)

    async def lets_in(self, **body: Any) -> str:
        answer = await self.answers(**body)
        assert answer.status_code == 200, answer.text
        return answer.json()["session_id"]

    async def declines(self, **body: Any) -> httpx2.Response:
        return await self._client.post("/session/decline", json=body)


@asynccontextmanager
async def door(server):
    async with httpx2.AsyncClient(base_url=server.http, trust_env=False, timeout=60) as client:
        yield Door(client)


@contextmanager
def statements():
    """Collect what is executed in any database while the block runs."""
    executed: list[str] = []

    def listen(connection, cursor, statement, *_):
        executed.append(statement)

    event.listen(Engine, "before_cursor_execute", listen)
    try:
        yield executed
    finally:
        event.remove(Engine, "before_cursor_execute", listen)


async def conditions_of(folder: Path) -> list[str]:
    study = await open_study(DataFolder.open(folder / "data"), load_experiment(folder / "config"), datetime.now(UTC))
    try:
        given = await StudyDesk(study).conditions()
        assert given == list(islice(study.allocation.places(), len(given)))
        return given
    finally:
        await study.close()


async def test_400_open_starts_at_once_some_of_them_cut_are_balanced(tmp_path: Path):
    design = {"entry": {"mode": "open"}, "conditions": FOUR, "assignment": {"block_size": 4}}
    async with serving(tmp_path, experimental=design) as server, door(server) as entrance:

        async def cut() -> None:
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"POST /session/start HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
            writer.write(b"Content-Length: 2\r\n\r\n{}")
            await writer.drain()
            writer.transport.abort()

        async with asyncio.TaskGroup() as tasks:
            for number in range(400):
                tasks.create_task(cut() if number % 10 == 0 else entrance.lets_in())
        given = await conditions_of(tmp_path)
        assert 360 <= len(given) <= 400
        counts = Counter(given)
        assert max(counts.values()) - min(counts.values()) <= 1, counts


async def test_200_starts_with_one_token_are_one_session(tmp_path: Path):
    async with serving(tmp_path, experimental=TOKENS) as server, door(server) as entrance:
        (token,) = await tokens_for(tmp_path)
        async with asyncio.TaskGroup() as tasks:
            starts = [tasks.create_task(entrance.lets_in(token=token)) for _ in range(200)]
        assert len({task.result() for task in starts}) == 1
        assert len(await conditions_of(tmp_path)) == 1


async def test_a_session_that_was_started_survives_a_restart_before_its_socket(tmp_path: Path):
    async with serving(tmp_path, experimental=TOKENS) as server, door(server) as entrance:
        (token,) = await tokens_for(tmp_path)
        session_id = await entrance.lets_in(token=token)
    async with serving(tmp_path, experimental=TOKENS) as server, door(server) as entrance:
        assert await entrance.lets_in(token=token) == session_id
        async with ours(server, session_id) as participant:
            await participant.posts("still here")
            await participant.expects_echo("still here")
        (start, *_) = server.log_of(session_id)
        assert start.event.condition in FOUR
        assert start.event.assignment["sequence_number"] == 1


async def test_whoever_was_in_a_session_of_a_stopped_server_is_let_into_it_again(tmp_path: Path):
    async with serving(tmp_path, experimental=TOKENS) as server, door(server) as entrance:
        (token,) = await tokens_for(tmp_path)
        async with ours(server, await entrance.lets_in(token=token)) as participant:
            await participant.posts("hello")
            await participant.expects_echo("hello")
    async with serving(tmp_path, experimental=TOKENS) as server, door(server) as entrance:
        assert await entrance.lets_in(token=token) == participant.session_id


async def test_a_session_whose_log_is_gone_is_over_and_due(tmp_path: Path):
    completion = {"completion": {"technical": {"code": "SORRY"}}}
    async with serving(tmp_path, experimental=TOKENS | completion) as server, door(server) as entrance:
        (token,) = await tokens_for(tmp_path)
        async with ours(server, await entrance.lets_in(token=token)) as participant:
            await participant.posts("hello")
            await participant.expects_echo("hello")
    (tmp_path / "logs" / f"{participant.session_id}.json").unlink()
    async with serving(tmp_path, experimental=TOKENS | completion) as server, door(server) as entrance:
        answer = await entrance.answers(token=token)
        assert (answer.status_code, answer.json()["error"]) == (409, "session_over")
        assert answer.json()["completion"] == {"outcome": "technical", "code": "SORRY", "url": None}


async def test_an_end_that_the_index_could_not_take_is_told_it_later(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)
    monkeypatch.setattr(hub, "INDEX_RETRY_SECONDS", 0.1)
    settings = {"experimental": TOKENS, "session_duration_minutes": 0.05}
    async with serving(tmp_path, **settings) as server, door(server) as entrance:
        (token,) = await tokens_for(tmp_path)
        session_id = await entrance.lets_in(token=token)
        async with ours(server, session_id) as participant:
            with sqlite3.connect(tmp_path / "data" / database.FILE, isolation_level=None) as somebody:
                somebody.execute("BEGIN IMMEDIATE")
                await participant.expects("session_end")
                assert (await entrance.answers(token=token)).status_code == 503
                somebody.execute("ROLLBACK")
            somebody.close()
        answer = await entrance.answers(token=token)
        assert (answer.status_code, answer.json()["completion"]["outcome"]) == (409, "completed")


async def test_a_session_whose_end_the_index_has_missed_is_over_and_never_begun_again(tmp_path: Path):
    settings = {"experimental": TOKENS, "session_duration_minutes": 0.05}
    async with serving(tmp_path, **settings) as server, door(server) as entrance:
        (token,) = await tokens_for(tmp_path)
        session_id = await entrance.lets_in(token=token)
        async with ours(server, session_id) as participant:
            await participant.reads_until_closed()
        assert (await entrance.answers(token=token)).status_code == 409
        forget_the_end(tmp_path)
        async with ours(server, session_id, hello=False) as late:
            await late.sends({"type": "hello", "after": 0})
            assert await late.reads_until_closed() == 4410
        assert (await entrance.answers(token=token)).json()["completion"]["outcome"] == "completed"
        forget_the_end(tmp_path)
    async with serving(tmp_path, **settings) as server, door(server) as entrance:
        assert (await entrance.answers(token=token)).json()["completion"]["outcome"] == "completed"


def forget_the_end(folder: Path) -> None:
    with sqlite3.connect(folder / "data" / database.FILE) as index:
        index.execute("UPDATE sessions SET state = 'pending', outcome = NULL, end_reason = NULL")
    index.close()


async def test_the_session_is_in_its_condition_and_the_log_says_all_of_it(tmp_path: Path):
    async with serving(tmp_path, experimental=PROLIFIC | {"conditions": FOUR}) as server, door(server) as entrance:
        session_id = await entrance.lets_in(parameters=ANN, **AGREED)
        async with ours(server, session_id) as participant:
            await participant.posts("hello")
            await participant.expects_echo("hello")
        start = server.log_of(session_id)[0].event
        loaded = load_experiment(tmp_path / "config")
        assert start.parameters == loaded.conditions[start.condition].parameters
        assert start.experiment_sha256 == loaded.content_sha256
        assert start.assignment["sequence_number"] == 1
        assert start.consent["version"] == "3"
        for file in (tmp_path / "logs").iterdir():
            assert "pid-5f3a" not in file.read_text()


async def test_who_comes_back_resumes_and_gets_what_is_due_for_ever(tmp_path: Path):
    settings = {"experimental": PROLIFIC, "session_duration_minutes": 0.05}
    async with serving(tmp_path, **settings) as server, door(server) as entrance:
        assert (await entrance.answers(parameters=ANN, resume=True)).status_code == 404
        refused = await entrance.answers(parameters=ANN)
        assert (refused.status_code, refused.json()["error"]) == (403, "consent_required")
        session_id = await entrance.lets_in(parameters=ANN, **AGREED)
        assert await entrance.lets_in(parameters=ANN, resume=True) == session_id
        async with ours(server, session_id) as participant:
            await participant.expects("session_end")
            answer = await entrance.answers(parameters=ANN, resume=True)  # at once, as the page does
        for _ in range(2):
            assert answer.status_code == 409
            url = "https://app.prolific.com/submissions/complete?cc=C-DONE"
            assert answer.json()["completion"] == {"outcome": "completed", "code": "C-DONE", "url": url}
            debriefing = answer.json()["debriefing"]
            assert debriefing["title"] == "Thank you"
            assert debriefing["paragraphs"][1][1] == {"text": "here", "style": "link", "href": "https://lab.example"}
            answer = await entrance.answers(parameters=ANN | {"SESSION_ID": "another day"})


async def test_withdrawal_has_an_outcome_of_its_own_and_the_address_is_escaped(tmp_path: Path):
    async with serving(tmp_path, experimental=PROLIFIC) as server, door(server) as entrance:
        async with ours(server, await entrance.lets_in(parameters=ANN, **AGREED)) as participant:
            await participant.sends({"type": "leave"})
            await participant.expects("session_end", reason="withdrawn")
        due = (await entrance.answers(parameters=ANN)).json()["completion"]
        url = "https://panel.example/back?id=pid-5f3a%20%26%20co&cc=C-LEFT"
        assert due == {"outcome": "withdrawn", "code": "C-LEFT", "url": url}


async def test_declining_is_an_outcome_and_tells_nothing_of_the_study(tmp_path: Path):
    async with serving(tmp_path, experimental=PROLIFIC) as server, door(server) as entrance:
        answer = await entrance.declines(parameters=ANN, version="3")
        assert answer.json() == {"completion": {"outcome": "declined", "code": "C-NO", "url": None}}
        again = await entrance.answers(parameters=ANN, **AGREED)
        assert (again.status_code, again.json()["completion"]["outcome"]) == (409, "declined")
        assert again.json()["debriefing"] is None


async def test_whoever_chats_has_agreed(tmp_path: Path):
    async with serving(tmp_path, experimental=PROLIFIC) as server, door(server) as entrance:
        session_id = await entrance.lets_in(parameters=ANN, **AGREED)
        answer = await entrance.declines(parameters=ANN, version="3")
        assert (answer.status_code, answer.json()["error"]) == (409, "already_begun")
        assert await entrance.lets_in(parameters=ANN) == session_id


async def test_full_quotas_screen_out(tmp_path: Path):
    design = PROLIFIC | {"assignment": {"quotas": {"default": 1}}}
    async with (
        serving(tmp_path, experimental=design, session_duration_minutes=0.05) as server,
        door(server) as entrance,
    ):
        async with ours(server, await entrance.lets_in(parameters=ANN, **AGREED)) as participant:
            waiting = await entrance.answers(parameters={"PROLIFIC_PID": "bob"}, **AGREED)
            assert (waiting.status_code, waiting.json()["error"]) == (503, "not_admitting")
            assert waiting.headers["retry-after"]
            await participant.reads_until_closed()
        await entrance.answers(parameters=ANN, resume=True)
        full = await entrance.answers(parameters={"PROLIFIC_PID": "bob"}, **AGREED)
        assert (full.status_code, full.json()["error"]) == (403, "study_full")
        url = "https://panel.example/full?id=bob"
        assert full.json()["completion"] == {"outcome": "screened_out", "code": "C-FULL", "url": url}


async def test_outside_the_window_nobody_begins(tmp_path: Path):
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    design = {"entry": {"mode": "open", "opens_at": tomorrow}}
    async with serving(tmp_path, experimental=design) as server, door(server) as entrance:
        answer = await entrance.answers()
        assert (answer.status_code, answer.json()["error"]) == (403, "not_open")


LINKS = {
    "no id": {},
    "an empty id": {"PROLIFIC_PID": " "},
    "an id that the panel has not filled in": {"PROLIFIC_PID": "{{%PROLIFIC_PID%}}"},
    "a control character": {"PROLIFIC_PID": "a\u0007b"},
    "too long": {"PROLIFIC_PID": "x" * 201},
    "a number": {"PROLIFIC_PID": 7},
    "names of its own": {"canary-key": 7},
}


@pytest.mark.parametrize("name", LINKS)
async def test_a_link_that_is_not_whole_is_told_and_nothing_is_echoed(tmp_path: Path, name):
    async with serving(tmp_path, experimental=PROLIFIC) as server, door(server) as entrance:
        answer = await entrance.answers(parameters=LINKS[name], **AGREED)
        assert (answer.status_code, answer.json()["error"]) == (422, "validation_error")
        assert answer.json()["details"]
        for sent in ("canary", "xxx", "{{", "\\u0007"):
            assert sent not in answer.text
        assert await conditions_of(tmp_path) == []


async def test_malformed_bodies_are_not_said_again(tmp_path: Path):
    async with serving(tmp_path) as server, httpx2.AsyncClient(base_url=server.http, trust_env=False) as client:
        for body in (
            b'{"canary": 1, "canary": 2}',
            b"canary",
            b'{"token": ["canary"]}',
            b'{"token":"1234","visit":"<canary>"}',
        ):
            answer = await client.post("/session/start", content=body, headers={"content-type": "application/json"})
            assert answer.status_code in (400, 422)
            assert "canary" not in answer.text


async def test_unknown_revoked_and_expired_tokens_get_one_answer_for_one_effort(tmp_path: Path, monkeypatch):
    unlimited = {"start_failures_per_minute": 0}
    async with serving(tmp_path, experimental=TOKENS, settings=unlimited) as server, door(server) as entrance:
        soon = datetime.now(UTC) + timedelta(seconds=0.2)
        (revoked,), (expired,) = await tokens_for(tmp_path), await tokens_for(tmp_path, expires_at=soon)
        study = await open_study(DataFolder.open(tmp_path / "data"), load_experiment(tmp_path / "config"), soon)
        await revoke_tokens(study, [revoked], [], soon)
        await study.close()
        await asyncio.sleep(0.3)
        answers, efforts = set(), set()
        for token in ("A" * 23, "1234", revoked, expired):
            with statements() as executed:
                answer = await entrance.answers(token=token)
            assert answer.status_code == 401
            answers.add(str(answer.json() | {"request_id": ""}))
            efforts.add(tuple(executed))
        assert len(answers) == 1
        assert len(efforts) == 1, "the time is measured in benchmarks"
        assert len(efforts.pop()) == 3


async def test_guesses_are_slowed_and_a_classroom_is_not(tmp_path: Path):
    async with serving(tmp_path, experimental=TOKENS) as server, door(server) as entrance:
        classroom = await tokens_for(tmp_path, 200)
        async with asyncio.TaskGroup() as tasks:
            starts = [tasks.create_task(entrance.lets_in(token=token)) for token in classroom]
        assert len({task.result() for task in starts}) == 200
        async with asyncio.TaskGroup() as tasks:
            guesses = [tasks.create_task(entrance.answers(token=f"guess-{n}")) for n in range(300)]
        statuses = Counter(task.result().status_code for task in guesses)
        assert statuses == {401: 10, 429: 290}
        assert guesses[-1].result().headers["retry-after"] == "60"


async def test_looking_begins_nothing(tmp_path: Path):
    async with serving(tmp_path, experimental=PROLIFIC) as server:
        async with httpx2.AsyncClient(base_url=server.http, trust_env=False) as client:
            for method in ("GET", "HEAD"):
                answer = await client.request(method, "/", params=ANN, headers={"accept": "text/html"})
                assert answer.status_code == 200
        assert await conditions_of(tmp_path) == []


async def test_a_paused_study_spends_no_token(tmp_path: Path, monkeypatch):
    from server.hub import Hub

    async with serving(tmp_path, experimental=TOKENS) as server, door(server) as entrance:
        (token,) = await tokens_for(tmp_path)
        with monkeypatch.context() as paused:
            paused.setattr(Hub, "model_problem", "the key was refused")
            answer = await entrance.answers(token=token)
            assert (answer.status_code, answer.json()["error"]) == (503, "study_paused")
        assert await conditions_of(tmp_path) == []
        assert await entrance.lets_in(token=token)


async def test_a_session_of_another_experiment_is_unknown_here(tmp_path: Path):
    open_to_all = {"entry": {"mode": "open"}}
    async with serving(tmp_path, experimental=open_to_all | {"experiment_id": "one"}) as server:
        async with door(server) as entrance:
            session_id = await entrance.lets_in()
    async with serving(tmp_path, experimental=open_to_all | {"experiment_id": "two"}) as server:
        async with plain(server, session_id) as participant:
            assert await participant.reads_until_closed() == 4404


async def test_two_sockets_at_once_begin_one_session(tmp_path: Path):
    async with serving(tmp_path, experimental=TOKENS) as server, door(server) as entrance:
        (token,) = await tokens_for(tmp_path)
        session_id = await entrance.lets_in(token=token)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(5):
                tasks.create_task(_looks_in(server, session_id))
        async with ours(server, session_id) as participant:
            await participant.posts("here")
            await participant.expects_echo("here")
        starts = [r for r in server.log_of(session_id) if r.event.event_type == "session_start"]
        assert len(starts) == 1


async def _looks_in(server, session_id: str) -> None:
    async with ours(server, session_id, hello=False) as participant:
        await participant.sends({"type": "hello", "after": 0})
        await participant.next_frame()
