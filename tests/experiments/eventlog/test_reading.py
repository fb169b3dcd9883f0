"""Reading and repairing: linear, flat, and a torn tail is nobody's loss."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest
from chatrooms import Chat

from experiments.errors import DamagedLog, LogError
from experiments.eventlog.append import Committer
from experiments.eventlog.chain import Chain
from experiments.eventlog.folder import LogFolder
from experiments.eventlog.reader import read_records
from experiments.eventlog.repair import repair
from simulation.codec import Record, decode
from simulation.events import LogRepaired
from simulation.room import Room

NOW = "2026-11-22T00:00:00.000000+00:00"


def lively_lines(until: float = 60) -> list[bytes]:
    chat = Chat(messages_per_minute=60, latency=2, duration_seconds=60)
    chat.connects()
    chat.runs_until(until)
    return chat.log()


def written(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "6f1d4c1e-4b0a-4d5e-9d7a-2f1b3c4d5e6f.json"
    path.write_bytes(data)
    return path


def test_records_are_read_in_order(tmp_path: Path):
    lines = lively_lines()
    assert list(read_records(written(tmp_path, b"".join(lines)))) == [decode(line) for line in lines]


def test_a_torn_tail_is_passed_over(tmp_path: Path):
    lines = lively_lines()
    path = written(tmp_path, b"".join(lines)[:-5])
    assert len(list(read_records(path))) == len(lines) - 1


def test_a_damaged_line_is_named(tmp_path: Path):
    lines = lively_lines()
    lines[3] = lines[3].replace(b'"seq"', b'"soq"')
    with pytest.raises(DamagedLog, match="line 4") as caught:
        list(read_records(written(tmp_path, b"".join(lines))))
    assert caught.value.line == 4


def test_reading_is_flat_in_memory(tmp_path: Path):
    lines = lively_lines()
    path = written(tmp_path, b"".join(lines) * 200)
    tracemalloc.start()
    for _ in read_records(path):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert path.stat().st_size > 10_000_000
    assert peak < 1_000_000


@pytest.mark.parametrize("cut", [1, 2, 40, 200])
def test_a_torn_tail_is_moved_out_and_the_log_says_so(tmp_path: Path, cut: int):
    lines = lively_lines(until=40)
    path = written(tmp_path, b"".join(lines)[:-cut])
    done = repair(path, lambda: NOW)
    assert done is not None
    kept = path.with_name(done.moved_to).read_bytes()
    assert len(kept) == done.bytes_moved
    records = list(read_records(path))
    assert isinstance(records[-1].event, LogRepaired)
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    assert records[-1].elapsed == records[-2].elapsed
    whole = path.read_bytes().rpartition(b'{"seq":%d' % records[-1].seq)[0]
    assert (whole + kept) == b"".join(lines)[:-cut]
    assert Room.resume(record.event for record in records).state.end_reason is None


def test_a_whole_log_is_left_alone(tmp_path: Path):
    path = written(tmp_path, b"".join(lively_lines()))
    before = path.read_bytes()
    assert repair(path, lambda: NOW) is None
    assert path.read_bytes() == before


def test_nothing_is_written_after_a_session_end(tmp_path: Path):
    chat = Chat(duration_seconds=5)
    chat.runs_to_its_end()
    path = written(tmp_path, b"".join(chat.log()) + b'{"seq":')
    assert repair(path, lambda: NOW) is not None
    assert path.read_bytes() == b"".join(chat.log())


def test_a_log_torn_in_its_first_line_is_emptied(tmp_path: Path):
    path = written(tmp_path, lively_lines()[0][:50])
    done = repair(path, lambda: NOW)
    assert done is not None
    assert path.read_bytes() == b""
    assert path.with_name(done.moved_to).read_bytes() == lively_lines()[0][:50]


def test_a_second_torn_tail_gets_a_file_of_its_own(tmp_path: Path):
    path = written(tmp_path, b"".join(lively_lines(until=30)) + b"{")
    first = repair(path, lambda: NOW)
    with path.open("ab") as log:
        log.write(b"[")
    second = repair(path, lambda: NOW)
    assert first is not None
    assert second is not None
    assert (first.moved_to, second.moved_to) == (f"{path.name}.torn-1", f"{path.name}.torn-2")


def test_a_tail_longer_than_a_chunk_is_found(tmp_path: Path):
    lines = lively_lines(until=30)
    path = written(tmp_path, b"".join(lines) + b"x" * 200_000)
    done = repair(path, lambda: NOW)
    assert done is not None
    assert done.bytes_moved == 200_000


async def test_a_log_is_repaired_when_it_is_opened_again_and_goes_on(tmp_path: Path):
    lines = lively_lines(until=30)
    path = written(tmp_path, b"".join(lines) + b'{"torn')
    committer = Committer()
    committer.start()
    folder = LogFolder(tmp_path, "fsync", committer)
    records, log = folder.reopen(path.stem, lambda: NOW)
    assert isinstance(records[-1].event, LogRepaired)
    log.append(b'{"seq":0,"timestamp":"t","elapsed":1.0,"event_type":"x","data":{}}\n', lambda: None)
    log.close()
    await committer.stop()
    assert len(list(read_records(path))) == len(lines) + 2


def sealed_lines(until: float = 30) -> list[bytes]:
    chain = Chain()
    return [chain.sealed(line) for line in lively_lines(until)]


def reopened(path: Path) -> list[Record]:
    records, log = LogFolder(path.parent, "os").reopen(path.stem, lambda: NOW)
    log.close()
    return records


@pytest.mark.parametrize("earlier", [0, 5, 1000])
def test_a_log_that_is_as_it_was_written_is_opened_again_also_one_that_an_earlier_version_began(
    tmp_path: Path, earlier: int
):
    chain, plain = Chain(), lively_lines(until=30)
    lines = [*plain[:earlier], *(chain.sealed(line) for line in plain[earlier:])]
    path = written(tmp_path, b"".join(lines))
    assert reopened(path) == [decode(line) for line in plain]
    assert path.read_bytes() == b"".join(lines)


CHANGES = {
    "a word": lambda lines: [*lines[:3], lines[3].replace(b'"elapsed":', b'"elapsed":1'), *lines[4:]],
    "a line less": lambda lines: [*lines[:3], *lines[4:]],
    "the first line less": lambda lines: lines[1:],
    "a line twice": lambda lines: [*lines[:4], *lines[3:]],
    "two lines in each other's place": lambda lines: [*lines[:3], lines[4], lines[3], *lines[5:]],
    "a line without its hash": lambda lines: [*lines[:3], lively_lines(30)[3], *lines[4:]],
    "the last line": lambda lines: [*lines[:-1], lines[-1].replace(b'"elapsed":', b'"elapsed":1')],
    "the last line and its end": lambda lines: [*lines[:-1], lines[-1].replace(b'"elapsed":', b'"elapsed":1')[:-1]],
    "another end of the last line": lambda lines: [*lines[:-1], lines[-1][:-1] + b"\r"],
    "other ends of all lines": lambda lines: [line[:-1] + b"\r" for line in lines],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_log_that_was_changed_is_not_opened_again_and_stays_as_it_is(tmp_path: Path, change):
    path = written(tmp_path, b"".join(change(sealed_lines())))
    before = path.read_bytes()
    with pytest.raises(DamagedLog):
        reopened(path)
    assert path.read_bytes() == before
    assert [*tmp_path.iterdir()] == [path]


def test_a_record_that_lacks_its_newline_alone_is_kept(tmp_path: Path):
    lines = sealed_lines()
    path = written(tmp_path, b"".join(lines)[:-1])
    assert len(reopened(path)) == len(lines)
    assert path.read_bytes() == b"".join(lines)
    assert [*tmp_path.iterdir()] == [path]


def test_a_log_that_cannot_be_synced_when_it_is_opened_again_leaves_no_descriptor_behind(tmp_path: Path, monkeypatch):
    def refuses(descriptor: int) -> None:
        raise OSError(5, "as arranged")

    path = written(tmp_path, b"".join(lively_lines()))
    monkeypatch.setattr("experiments.eventlog.folder.os.fsync", refuses)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        with pytest.raises(LogError, match="as arranged"):
            LogFolder(tmp_path, "fsync").reopen(path.stem, lambda: NOW)
    assert len(os.listdir("/proc/self/fd")) == before
