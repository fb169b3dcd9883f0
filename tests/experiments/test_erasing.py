"""One of fifty is erased: nothing of theirs is left in any byte, and nothing of the others is touched."""

from __future__ import annotations

import asyncio
import itertools
import json
import stat
from collections.abc import Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from chatrooms import started
from studies import NOON, StudyDesk, studying

from experiments.erasing import Erased, erase_participant, search, traces_of
from experiments.errors import ErasedLog, SessionGoesOn, UnknownCredential
from experiments.eventlog import erasing
from experiments.eventlog.chain import BEFORE_THE_FIRST, Chain, linked, seal_of
from experiments.eventlog.erasing import Account, erase, is_erased
from experiments.eventlog.folder import LogFolder
from experiments.eventlog.reader import last_line, read_records, record_in
from experiments.eventlog.verifying import verify as verify_log
from experiments.opening import session_started
from experiments.rehearsal import RehearsalProvider, Tally, run_session
from experiments.store.admission import Applicant
from experiments.store.erasing import KnownParticipant, due, find
from experiments.store.verifying import verify
from server.retention import erase_due
from simulation.codec import Record, encode
from simulation.events import ParticipantErased
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


async def test_twice_is_as_good_as_once(tmp_path):
    async with fifty(tmp_path, 2) as study:
        await study.erases(await study.known(pid(0)))
        once = study.log(0).read_bytes()
        again = await study.erases(await study.known(study.sessions[0]))
        assert (again.records, again.rows) == (0, 0)
        assert study.log(0).read_bytes() == once
        assert await find(study.desk.study, pid(0)) is None


@pytest.mark.parametrize("crash_at", ["replace", "_sync_folder", "erase_rows"])
async def test_a_crash_leaves_the_old_log_or_the_new_one_and_again_finishes(tmp_path, monkeypatch, crash_at):
    class Crash(BaseException):
        pass

    def crash(*_: Any) -> None:
        raise Crash

    async with fifty(tmp_path, 1) as study:
        participant = await study.known(pid(0))
        old = study.log(0).read_bytes()
        target = {"replace": Path, "_sync_folder": erasing}.get(crash_at, "experiments.erasing.erase_rows")
        with monkeypatch.context() as broken:
            broken.setattr(target, crash) if isinstance(target, str) else broken.setattr(target, crash_at, crash)
            with pytest.raises(Crash):
                await study.erases(participant)
        assert is_erased(study.log(0)) == (crash_at != "replace")
        assert crash_at != "replace" or study.log(0).read_bytes() == old
        await study.erases(await study.known(pid(0)))
        assert is_erased(study.log(0))
        assert list(study.logs.iterdir()) == [study.log(0)]
        assert verify_log(study.log(0)).damage == ()
        assert await find(study.desk.study, pid(0)) is None


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
        for token in (listed, fixed):
            session_id = await desk.starts(token)
            await Fifty(desk, tmp_path, [session_id]).erases(await find(desk.study, token))  # type: ignore[arg-type]
            assert await find(desk.study, token) is None
            with pytest.raises(UnknownCredential):
                await desk.starts(token)
        assert (await verify(desk.study, tmp_path)).agrees


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


def test_lines_of_versions_before_the_chain_get_one_that_holds(tmp_path):
    path = tmp_path / "log.json"
    events = [started()] * 4
    lines = [encode(Record(seq, "2026-11-24T00:00:00+00:00", event)) for seq, event in enumerate(events, start=1)]
    chain = Chain()
    path.write_bytes(b"".join([*lines[:2], *map(chain.sealed, lines[2:])]))
    assert erase(path, Account("request", None, 0, 0, 0.0, {}), "2026-11-25T00:00:00+00:00").records == 4
    found = verify_log(path)
    assert (found.damage, found.records, found.erased, found.unsealed) == ((), 5, 4, 0)
