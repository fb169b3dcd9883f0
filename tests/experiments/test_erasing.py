"""One of fifty is erased: nothing of theirs is left in any byte, and nothing of the others is touched."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from chatrooms import started
from servers import run_command
from studies import NOON, StudyDesk, studying

from experiments.erasing import Erased, Traces, erase_participant, search, traces_of
from experiments.errors import ErasedLog, SessionGoesOn, StoreError, UnknownCredential
from experiments.eventlog.chain import BEFORE_THE_FIRST, Chain, linked, seal_of
from experiments.eventlog.erasing import Account, erase, is_erased
from experiments.eventlog.folder import LogFolder
from experiments.eventlog.reader import last_line, read_records, record_in
from experiments.eventlog.verifying import verify as verify_log
from experiments.opening import session_started
from experiments.rehearsal import RehearsalProvider, Tally, run_session
from experiments.store import database
from experiments.store.admission import Applicant
from experiments.store.erasing import KnownParticipant, due, find
from experiments.store.study import moment
from experiments.store.tokens import list_tokens
from experiments.store.verifying import verify
from server.retention import erase_due
from simulation.codec import Record, encode
from simulation.events import MessagePosted, ParticipantErased
from simulation.inputs import ParticipantPosted
from simulation.runtime.clock import Clock, run_in_virtual_time
from simulation.runtime.session import SimulationSession

PANEL = {"entry": {"mode": "panel", "panel": "prolific"}, "experiment_id": "study"}
CONSENT = {"screens": {"consent": {"version": "1", "text": "We keep what you write."}}}
STUDY_ID = "6ab12c34d56e78f901234567"
LATER = NOON + timedelta(days=1)


class Confiding:
    """Says things that nobody else says, with what JSON writes in another way than it is written."""

    def __init__(self, number: int) -> None:
        self.lines = [
            f'My name is Zoë no. {number}, and "I live" in house {number * 7919}',
            f"my sister\tworks at the café in street {number * 104729} 🦊",
        ]

    def join(self, session: SimulationSession, clock: Clock) -> None:
        for seconds, line in enumerate(self.lines, start=5):
            clock.call_at(clock.monotonic() + seconds, self._posting(session, line))

    @staticmethod
    def _posting(session: SimulationSession, line: str):
        return lambda: session.receive(ParticipantPosted(content=line))


@dataclass
class Fifty:
    """`sessions` are theirs in order; the panel knows the first as pid(0), the second as pid(1) ..."""

    desk: StudyDesk
    folder: Path
    sessions: list[str]

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def folders(self) -> tuple[Path, Path]:
        return self.logs, self.folder / "data"

    def log(self, number: int) -> Path:
        return self.logs / f"{self.sessions[number]}.json"

    async def known(self, code: str) -> KnownParticipant:
        participant = await find(self.desk.study, code)
        assert participant is not None
        return participant

    async def erases(self, participant: KnownParticipant, *, is_served: bool = False, **details: Any) -> Erased:
        values = {"reason": "request", "now": LATER, "nobodys_id": str(uuid4())} | details
        erased = await erase_participant(self.desk.study, self.logs, participant, is_served=is_served, **values)
        await self.desk.study.database.compact()
        return erased


def pid(number: int) -> str:
    return f"5f3a9c0d{number:016d}"


def parameters(number: int) -> dict[str, str]:
    return {"PROLIFIC_PID": pid(number), "STUDY_ID": STUDY_ID, "SESSION_ID": f"sess-{number:08d}"}


@asynccontextmanager
async def fifty(folder: Path, number: int = 50, **changes: Any):
    """Admit so many, let each chat for a minute of virtual time, and end their sessions at noon."""
    async with studying(folder, **PANEL, **CONSENT, **changes) as desk:
        sessions = [await desk.starts(parameters=parameters(each), consent="1") for each in range(number)]
        (folder / "logs").mkdir()
        reserved = [await desk.sessions.begin(session_id) for session_id in sessions]
        await asyncio.to_thread(chats, desk, folder / "logs", reserved)
        for session_id in sessions:
            await desk.sessions.ended(session_id, "duration_expired")
        yield Fifty(desk, folder, sessions)


def chats(desk: StudyDesk, logs: Path, reserved: list[Any]) -> None:
    experiment = desk.study.experiment
    short = replace(experiment.first.parameters, duration_seconds=60.0)
    condition = replace(experiment.first, parameters=short)
    provider = RehearsalProvider(experiment.with_models(lambda each: replace(each, parameters=short)))

    async def all_of_them() -> None:
        for number, each in enumerate(reserved):
            start = session_started(
                experiment,
                condition,
                session_id=each.session_id,
                participant_id=each.participant_id,
                experiment_seed=1,
                log_sync="os",
                assignment=each.assignment,
                consent=each.consent,
            )
            sink = LogFolder(logs, "os").create(each.session_id)
            await run_session(start, provider, sink, Tally(short), Confiding(number))

    run_in_virtual_time(all_of_them())


def every_byte(*folders: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


def forms(text: str) -> Iterator[bytes]:
    yield text.encode()
    yield json.dumps(text)[1:-1].encode()
    yield json.dumps(text, ensure_ascii=False)[1:-1].encode()


async def test_nothing_of_one_of_fifty_is_left_and_nothing_of_the_others_is_touched(tmp_path):
    async with fifty(tmp_path) as study:
        participant = await study.known(pid(7))
        traces = await traces_of(study.desk.study, study.logs, participant, pid(7))
        theirs = [participant.participant_id, pid(7), "sess-00000007", *participant.hashes, *Confiding(7).lines]
        assert traces.texts == set(Confiding(7).lines)
        assert set(theirs) == traces.ids | traces.texts  # not the study's id, which all share
        before = every_byte(study.logs)
        for text in theirs:  # all of it can be found before: the search is not blind
            bytes_now = every_byte(*study.folders).values()
            assert any(form in content for content in bytes_now for form in forms(text)), text
        assert not search(study.folders, traces).is_clean

        erased = await study.erases(participant)

        assert erased.records == len(before[study.log(7)].splitlines())
        assert erased.rows == 3
        assert (study.folder / "data" / "chatroom.sqlite-wal").stat().st_size == 0
        for path, content in every_byte(*study.folders).items():
            for text in theirs:
                assert not any(form in content for form in forms(text)), (path, text)
        assert search(study.folders, traces).is_clean
        others = {path: content for path, content in every_byte(study.logs).items() if path != study.log(7)}
        assert others == {path: content for path, content in before.items() if path != study.log(7)}
        assert len(others) == 49
        for number in (0, 49):
            assert (await study.known(pid(number))).session_id == study.sessions[number]
        assert [verify_log(study.log(number)).damage for number in range(50)] == [()] * 50


async def test_the_chain_of_an_erased_log_verifies_line_by_line(tmp_path):
    async with fifty(tmp_path, 2) as study:
        before = study.log(0).read_bytes().splitlines(keepends=True)
        erased = await study.erases(await study.known(pid(0)))
        after = study.log(0).read_bytes().splitlines(keepends=True)
        assert len(after) == len(before) + 1
        previous = BEFORE_THE_FIRST
        for old, new in itertools.zip_longest(before, after):
            seal = seal_of(new)
            assert seal is not None
            assert seal.hash == linked(previous, seal.digest)
            assert seal.is_erased == (old is not None)
            if old is not None:
                assert seal._replace(is_erased=False) == seal_of(old)
            previous = seal.hash
        assert previous.hex() == erased.head
        found = verify_log(study.log(0))
        assert (found.damage, found.erased, found.head) == ((), len(before), erased.head)
        last = record_in(after[-1])
        assert last is not None
        assert isinstance(last.event, ParticipantErased)
        assert (last.event.reason, last.event.records) == ("request", len(before))
        assert last.elapsed == 60.0
        assert stat.S_IMODE(study.log(0).stat().st_mode) == 0o600
        with pytest.raises(ErasedLog, match="its content was erased"):
            list(read_records(study.log(0)))


async def test_a_session_stays_for_the_flow_of_participants_and_the_list(tmp_path):
    async with fifty(tmp_path, 4) as study:
        (before,) = [each for each in await study.desk.sessions.listed() if each.session_id == study.sessions[1]]
        await study.erases(await study.known(study.sessions[1]))
        (after,) = [each for each in await study.desk.sessions.listed() if each.session_id == study.sessions[1]]
        assert after.participant_id != before.participant_id
        assert after.erased_at is not None
        assert before == after._replace(participant_id=before.participant_id, erased_at=None)
        verified = await verify(study.desk.study, study.logs)
        assert verified.agrees
        assert [(each.given, each.logs_read, each.logs_erased) for each in verified.lists] == [(4, 3, 1)]


async def test_an_erasure_hides_no_damage_that_was_there_before(tmp_path):
    async with fifty(tmp_path, 1) as study:
        lines = study.log(0).read_bytes().splitlines(keepends=True)
        study.log(0).write_bytes(b"".join([*lines[:2], b"something else\n", *lines[3:]]))
        head = verify_log(study.log(0)).head
        await study.erases(await study.known(pid(0)))
        found = verify_log(study.log(0))
        assert found.damage
        assert head.encode() in study.log(0).read_bytes()


async def test_twice_is_as_good_as_once(tmp_path):
    async with fifty(tmp_path, 2) as study:
        await study.erases(await study.known(pid(0)))
        once = study.log(0).read_bytes()
        again = await study.erases(await study.known(study.sessions[0]))
        assert (again.records, again.rows) == (0, 0)
        assert study.log(0).read_bytes() == once
        assert await find(study.desk.study, pid(0)) is None


KILLED = """
import os, signal, sys
event, path = sys.argv.pop(1), sys.argv.pop(1)
def look(name, args):
    if name == event and str(args[0]).rpartition("/")[2].startswith(path):
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(look)
from server.cli import main
main()
"""
"""A command that is killed when it is about to do something with a file."""


@pytest.mark.parametrize(
    ("event", "path", "is_done"),
    [
        ("os.rename", "00000000-", False),  # the new log is written, and does not stand in its place yet
        ("open", "logs", True),  # it stands there, and its name may not be on the disk yet
        ("os.scandir", "logs", True),  # the log is erased, and nothing in the database
    ],
)
async def test_a_kill_leaves_the_old_log_or_the_new_one_and_again_finishes(tmp_path, event, path, is_done):
    async with fifty(tmp_path, 1) as study:
        participant, old = await study.known(pid(0)), study.log(0).read_bytes()
        traces = await traces_of(study.desk.study, study.logs, participant)
        command = ("-c", KILLED, event, path, "participant", "delete", pid(0), "--yes")
        killed = await asyncio.to_thread(run_command, *command, folder=tmp_path)
        assert killed.returncode == -signal.SIGKILL, killed.stdout + killed.stderr
        assert is_erased(study.log(0)) == is_done
        assert is_done or study.log(0).read_bytes() == old
        assert await study.known(pid(0)) == participant
        again = await study.erases(participant)
        assert (again.records, again.rows) == (0 if is_done else len(old.splitlines()), 3)
        assert list(study.logs.iterdir()) == [study.log(0)]
        assert verify_log(study.log(0)).damage == ()
        assert search(study.folders, traces).is_clean


async def test_who_is_erased_by_two_at_once_is_erased_once(tmp_path):
    async with fifty(tmp_path, 1) as study:
        participant = await study.known(pid(0))
        assert [(await study.erases(participant)).rows for _ in range(2)] == [3, 0]
        assert await due(study.desk.study, 1, NOON + timedelta(days=1000)) == []  # nobody without a session was made


async def test_what_was_deleted_before_goes_from_the_database_as_well(tmp_path):
    async with fifty(tmp_path, 1) as study:
        with closing(sqlite3.connect(tmp_path / "data" / database.FILE)) as careless:
            careless.execute("PRAGMA secure_delete = OFF")
            careless.execute("CREATE TABLE names AS SELECT 'this was somebody' AS name")
            careless.execute("DROP TABLE names")
            careless.commit()
        assert b"this was somebody" in b"".join(every_byte(tmp_path / "data").values())
        async with study.desk.study.database.transaction() as connection:
            assert (await connection.exec_driver_sql("PRAGMA secure_delete")).scalar() == 1
        await study.erases(await study.known(pid(0)))
        assert b"this was somebody" not in b"".join(every_byte(tmp_path / "data").values())


async def test_a_database_that_others_keep_busy_is_said_to_be(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)
    async with fifty(tmp_path, 1) as study:
        with closing(sqlite3.connect(tmp_path / "data" / database.FILE, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM sessions").fetchone()
            with pytest.raises(StoreError, match=r"chatroom\.sqlite: database is locked"):
                await study.erases(await study.known(pid(0)))
        await study.desk.study.database.compact()
        assert (tmp_path / "data" / f"{database.FILE}-wal").stat().st_size == 0


async def test_the_same_person_in_another_experiment_is_told_of(tmp_path):
    async with studying(tmp_path, **PANEL | {"experiment_id": "another"}) as another:
        await another.starts(parameters=parameters(0))
    async with fifty(tmp_path, 1) as study:
        participant = await study.known(study.sessions[0])
        traces = await traces_of(study.desk.study, study.logs, participant)
        assert pid(0) in traces.ids
        assert STUDY_ID not in traces.ids
        await study.erases(participant)
        assert {(each.path.suffix, each.what) for each in search(study.folders, traces).found} == {
            (".sqlite", "an identifier")
        }


@pytest.mark.parametrize(
    "text", ["Zoë wrote\u2028this in two lines", "a line\tor two\u0085of mine", '"quoted" \\ 🦊 it']
)
def test_a_text_is_found_as_a_log_has_it(tmp_path, text):
    event = MessagePosted(elapsed=1.0, sender="user", content=text, message_id="m", position=1, source="participant")
    (tmp_path / "copy.txt").write_bytes(encode(Record(1, "2026-11-24T00:00:00+00:00", event)))
    assert not search([tmp_path], Traces(frozenset(), frozenset({text}))).is_clean


async def test_torn_ends_go_and_lines_that_cannot_be_read_as_well(tmp_path):
    async with fifty(tmp_path, 1) as study:
        log = study.log(0)
        beside = log.with_name(f"{log.name}.torn-1")
        beside.write_bytes(b'{"seq":3,"content":"my secret')
        with log.open("ab") as file:
            file.write(b"what is this line, my secret\n" + b'{"seq":99,"my secret')
        await study.erases(await study.known(pid(0)))
        assert list(study.logs.iterdir()) == [log]
        assert b"my secret" not in log.read_bytes()


async def test_a_session_that_goes_on_in_a_server_is_left_alone(tmp_path):
    async with studying(tmp_path, **PANEL) as desk:
        session_id = await desk.starts(parameters=parameters(0))
        (tmp_path / "logs").mkdir()
        study = Fifty(desk, tmp_path, [session_id])
        await desk.sessions.begin(session_id)
        with pytest.raises(SessionGoesOn, match="it must end first"):
            await study.erases(await study.known(pid(0)), is_served=True)
        assert await find(desk.study, pid(0)) is not None
        await study.erases(await study.known(pid(0)), is_served=False)
        (row,) = await desk.sessions.listed()
        assert (row.state, row.end_reason, row.outcome) == ("over", "erased", "withdrawn")


async def test_who_waits_is_erased_beside_a_server_and_never_begins(tmp_path):
    async with studying(tmp_path, **PANEL) as desk:
        session_id = await desk.starts(parameters=parameters(0))
        study = Fifty(desk, tmp_path, [session_id])
        await study.erases(await study.known(session_id), is_served=True)
        begun = await desk.sessions.begin(session_id)
        assert begun is not None
        assert begun.state == "over"


async def test_a_token_lets_nobody_in_again(tmp_path):
    design = {"entry": {"mode": "tokens"}, "conditions": {"a": {}, "b": {}}}
    async with studying(tmp_path, **design) as desk:
        listed, fixed = [*await desk.tokens(), *await desk.tokens(condition="b")]
        assert [each.state for each in await list_tokens(desk.study, LATER)] == ["unused", "unused"]
        for token in (listed, fixed):
            session_id = await desk.starts(token)
            await Fifty(desk, tmp_path, [session_id]).erases(await find(desk.study, token))  # type: ignore[arg-type]
            assert await find(desk.study, token) is None
            with pytest.raises(UnknownCredential):
                await desk.starts(token)
        assert [each.state for each in await list_tokens(desk.study, LATER)] == ["revoked", "revoked"]
        assert (await verify(desk.study, tmp_path)).agrees
        database = b"".join(every_byte(tmp_path / "data").values())
        assert database.count(moment(LATER).encode()) == 4  # two sessions' ends and erasures: nothing tells whose


async def test_who_declined_is_forgotten(tmp_path):
    async with studying(tmp_path, **PANEL, **CONSENT) as desk:
        await desk.admissions.decline(Applicant(parameters=parameters(3)), "1")
        study = Fifty(desk, tmp_path, [])
        erased = await study.erases(await study.known(pid(3)))
        assert (erased.session_id, erased.records, erased.rows) == (None, 0, 3)
        assert await find(desk.study, pid(3)) is None


# Retention


async def test_what_is_due_is_erased_and_nothing_before(tmp_path):
    async with fifty(tmp_path, 3) as study:
        desk = study.desk
        desk.later(days=10)
        late = await desk.starts(parameters=parameters(3), consent="1")
        await desk.runs_whole(late)
        waits = await desk.starts(parameters=parameters(4), consent="1")

        async def erased_at(now: datetime) -> int:
            return await erase_due(desk.study, study.logs, 90, now, lambda: str(uuid4()))

        assert await erased_at(NOON + timedelta(days=90, microseconds=-1)) == 0
        assert not is_erased(study.log(0))
        assert await erased_at(NOON + timedelta(days=90)) == 3
        last = record_in(last_line(study.log(0)))
        assert last is not None
        assert isinstance(last.event, ParticipantErased)
        assert last.event.reason == "retention"
        assert await erased_at(NOON + timedelta(days=99)) == 0
        left = [each.session_id for each in await due(desk.study, 90, NOON + timedelta(days=100))]
        assert left == [late, waits]


async def test_a_session_that_goes_on_is_never_due(tmp_path):
    async with studying(tmp_path, **PANEL) as desk:
        await desk.sessions.begin(await desk.starts(parameters=parameters(0)))
        assert await due(desk.study, 1, NOON + timedelta(days=1000)) == []


@pytest.mark.parametrize("content", [b"", b'{"seq":1,"tim', b"no record, my secret\n"])
def test_a_log_in_which_no_record_stands_is_erased_once(tmp_path, content):
    path = tmp_path / "log.json"
    path.write_bytes(content)
    erase(path, Account("request", None, 0, 0, 0.0, {}), "2026-11-25T00:00:00+00:00")
    once = path.read_bytes()
    assert is_erased(path)
    assert b"secret" not in once
    assert erase(path, Account("request", None, 0, 0, 0.0, {}), "2026-11-26T00:00:00+00:00").records == 0
    assert path.read_bytes() == once


def test_lines_of_versions_before_the_chain_get_one_that_holds(tmp_path):
    path = tmp_path / "log.json"
    events = [started()] * 4
    lines = [encode(Record(seq, "2026-11-24T00:00:00+00:00", event)) for seq, event in enumerate(events, start=1)]
    chain = Chain()
    path.write_bytes(b"".join([*lines[:2], *map(chain.sealed, lines[2:])]))
    assert erase(path, Account("request", None, 0, 0, 0.0, {}), "2026-11-25T00:00:00+00:00").records == 4
    found = verify_log(path)
    assert (found.damage, found.records, found.erased, found.unsealed) == ((), 5, 4, 0)
