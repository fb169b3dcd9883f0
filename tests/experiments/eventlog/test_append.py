"""What was kept stays kept, in order, once."""

from __future__ import annotations

import asyncio
import json
import logging
import resource
import stat
from contextlib import contextmanager
from pathlib import Path

import pytest

from experiments.errors import LogError, LogExists
from experiments.eventlog import append
from experiments.eventlog.append import Committer
from experiments.eventlog.chain import linked, seal_of
from experiments.eventlog.folder import LogFolder, RehearsalFolder

SESSION = "6f1d4c1e-4b0a-4d5e-9d7a-2f1b3c4d5e6f"
OTHER = "7f1d4c1e-4b0a-4d5e-9d7a-2f1b3c4d5e6f"


@pytest.fixture
async def committer():
    committer = Committer()
    committer.start()
    yield committer
    await committer.stop()


@pytest.fixture(params=["fsync", "os"])
async def folder(request, tmp_path: Path, committer: Committer) -> LogFolder:
    return LogFolder(tmp_path, request.param, committer)


def line(content: object) -> bytes:
    return json.dumps({"content": content}).encode() + b"\n"


def contents(path: Path) -> bytes:
    """A log's lines without what seals them; they fit one another."""
    chain = bytes(32)
    lines = path.read_bytes().splitlines(keepends=True)
    for each in lines:
        seal = seal_of(each)
        assert seal is not None
        chain = linked(chain, seal.digest)
        assert seal.hash == chain
    return b"".join(each.partition(b',"salt"')[0] + b"}\n" for each in lines)


class Kept:
    """Counts what was kept, and waits for it."""

    def __init__(self) -> None:
        self.order: list[int] = []
        self._changed = asyncio.Event()

    def __call__(self, number: int):
        def kept() -> None:
            self.order.append(number)
            self._changed.set()

        return kept

    async def until(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.order) < count:
                self._changed.clear()
                await self._changed.wait()


async def test_lines_are_in_the_file_when_they_are_kept_and_in_order(folder: LogFolder):
    log, kept = folder.create(SESSION), Kept()
    for number in range(500):
        log.append(line(number), kept(number))
    await kept.until(500)
    assert kept.order == list(range(500))
    assert contents(folder.file(SESSION)) == b"".join(line(number) for number in range(500))
    log.close()


async def test_many_logs_at_once_do_not_mix(folder: LogFolder):
    ids = [f"{number:08x}-4b0a-4d5e-9d7a-2f1b3c4d5e6f" for number in range(50)]
    logs, kept = [folder.create(each) for each in ids], Kept()
    for number in range(20):
        for index, log in enumerate(logs):
            log.append(line((index, number)), kept(0))
    await kept.until(1000)
    for index, each in enumerate(ids):
        expected = b"".join(line((index, number)) for number in range(20))
        assert contents(folder.file(each)) == expected


async def test_a_flood_does_not_keep_what_came_before_it_from_the_disk(tmp_path: Path, committer: Committer):
    kept = Kept()

    def flood() -> None:  # always one more to take, however many have been taken
        if not kept.order:
            committer.submit(flood)

    committer.submit(flood)
    LogFolder(tmp_path, "fsync", committer).create(SESSION).append(line("line"), kept(0))
    try:
        await kept.until(1)
    finally:
        kept.order.append(0)


async def test_a_closed_log_takes_nothing_more(folder: LogFolder):
    log, kept = folder.create(SESSION), Kept()
    log.append(line("line"), kept(0))
    log.close()
    with pytest.raises(ValueError, match="closed"):
        log.append(line("late"), kept(1))
    await kept.until(1)
    assert contents(folder.file(SESSION)) == line("line")


async def test_a_disk_that_refuses_while_the_server_stops_is_tried_again(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(append, "RETRY_SECONDS", 0.01)
    committer = Committer()
    committer.start()
    folder = LogFolder(tmp_path, "fsync", committer)
    log, kept = folder.create(SESSION), Kept()
    with complaints() as complained, files_of_at_most(3):
        log.append(line("first"), kept(0))
        stopping = asyncio.ensure_future(committer.stop())
        await asyncio.wait_for(complained.wait(), 10)
    await stopping
    assert contents(folder.file(SESSION)) == line("first")


async def test_a_log_is_closed_once_and_a_disk_that_minds_harms_no_other(folder: LogFolder, monkeypatch):
    def refuses(descriptor: int) -> None:
        close(descriptor)
        raise OSError(5, "as arranged")

    close = append.os.close
    one, other, kept = folder.create(SESSION), folder.create(OTHER), Kept()
    one.append(line("one"), kept(0))
    await kept.until(1)
    with monkeypatch.context() as patched, complaints() as complained:
        patched.setattr(append.os, "close", refuses)
        one.close()
        one.close()
        await asyncio.wait_for(complained.wait(), 10)
    other.append(line("other"), kept(1))
    await kept.until(2)
    other.close()


async def test_a_full_disk_loses_nothing_and_tells_nobody_before_it_is_over(folder: LogFolder, monkeypatch):
    monkeypatch.setattr(append, "RETRY_SECONDS", 0.01)
    log, kept = folder.create(SESSION), Kept()
    with complaints() as complained, files_of_at_most(200):
        log.append(line("first"), kept(0))
        log.append(line("second"), kept(1))
        log.append(line("third"), kept(2))
        await asyncio.wait_for(complained.wait(), 10)
        assert 1 not in kept.order
        assert folder.file(SESSION).stat().st_size == 200  # half a line: the system took what it could
    await kept.until(3)
    assert kept.order == [0, 1, 2]
    assert contents(folder.file(SESSION)) == line("first") + line("second") + line("third")
    log.close()


async def test_what_a_failed_sync_was_to_carry_is_written_again(tmp_path: Path, committer: Committer, monkeypatch):
    """After the failure the system takes for written what the disk does not have; here that reads as zeros."""
    monkeypatch.setattr(append, "RETRY_SECONDS", 0.01)
    syncs, path = append._sync, tmp_path / f"{SESSION}.json"
    failures = [OSError(5, "as arranged"), OSError(5, "once more")]

    def loses_it(descriptor: int) -> None:
        if path.stat().st_size > safe and failures:
            path.write_bytes(path.read_bytes()[:safe] + bytes(path.stat().st_size - safe))
            raise failures.pop()
        syncs(descriptor)

    kept, log = Kept(), LogFolder(tmp_path, "fsync", committer).create(SESSION)
    log.append(line("first"), kept(1))
    await kept.until(1)
    safe = path.stat().st_size
    monkeypatch.setattr(append, "_sync", loses_it)
    log.append(line("second"), kept(2))
    await kept.until(2)
    log.append(line("third"), kept(3))
    await kept.until(3)
    log.close()
    assert not failures
    assert contents(path) == line("first") + line("second") + line("third")


async def test_a_log_closed_on_a_full_disk_is_written_once_there_is_room(folder: LogFolder, monkeypatch):
    monkeypatch.setattr(append, "RETRY_SECONDS", 0.01)
    log, kept = folder.create(SESSION), Kept()
    with complaints() as complained, files_of_at_most(3):
        log.append(line("first"), kept(0))
        log.close()
        await asyncio.wait_for(complained.wait(), 10)
    await kept.until(1)
    assert contents(folder.file(SESSION)) == line("first")


@contextmanager
def files_of_at_most(size: int):
    """A disk with no more room: the system's own limit on the size of files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def complaints():
    """An event that is set once the log complains of its disk."""
    complained, loop = asyncio.Event(), asyncio.get_running_loop()
    handler = logging.Handler()
    handler.emit = lambda record: loop.call_soon_threadsafe(complained.set)
    append.logger.addHandler(handler)
    append.logger.propagate = False
    try:
        yield complained
    finally:
        append.logger.removeHandler(handler)
        append.logger.propagate = True


async def test_closing_waits_for_what_was_appended(tmp_path: Path):
    committer = Committer()
    committer.start()
    folder = LogFolder(tmp_path, "fsync", committer)
    log, kept = folder.create(SESSION), Kept()
    for number in range(100):
        log.append(line("x" * 1000), kept(number))
    log.close()
    await committer.stop()
    assert contents(folder.file(SESSION)) == 100 * line("x" * 1000)


async def test_a_log_is_never_written_over(folder: LogFolder):
    folder.create(SESSION).close()
    with pytest.raises(LogExists):
        folder.create(SESSION)


async def test_a_log_that_cannot_be_made_says_so(tmp_path: Path, committer: Committer):
    folder = LogFolder(tmp_path / "none", "fsync", committer)
    with pytest.raises(LogError, match="cannot be created"):
        folder.create(SESSION)


async def test_logs_are_for_their_owner_alone(folder: LogFolder):
    folder.create(SESSION).close()
    assert stat.S_IMODE(folder.file(SESSION).stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["../../etc/passwd", "x", SESSION.upper(), SESSION.replace("-", ""), f"{SESSION}/.."])
async def test_nothing_but_a_session_id_names_a_file(folder: LogFolder, name: str):
    with pytest.raises(ValueError, match=r"UUID|badly formed"):
        folder.file(name)


async def test_a_rehearsals_log_is_written_whole(tmp_path: Path):
    log, kept = RehearsalFolder(tmp_path).create(SESSION), Kept()
    log.append(line("one"), kept(1))
    log.append(line("two"), kept(2))
    assert kept.order == [1, 2]
    log.close()
    assert contents(tmp_path / f"{SESSION}.json") == line("one") + line("two")


async def test_a_log_that_was_never_written_to_is_closed_all_the_same(folder: LogFolder):
    folder.create(OTHER).close()
    assert contents(folder.file(OTHER)) == b""
