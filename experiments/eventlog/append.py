"""Appending to event logs, so that what was kept stays kept.

Theory of operation
===================

`append` takes whole lines and never waits. `kept` is called, in order, once the lines are as safe as the setting asks:

* `DirectLog` (LOG_SYNC=os): one `write` to the operating system, on the spot. Survives the process, not a power cut.
* `Committer` (LOG_SYNC=fsync): one thread for all logs of the process. It takes everything that has been appended
  since it last looked, writes it, and syncs each file once: a group commit whose interval is the time that the disk
  takes. An idle server pays one sync a message; a busy one shares it among all that arrived meanwhile.

Invariants
==========

* Lines reach the file in the order of `append`, each of them once, also when the disk is full half-way through one:
  what was not written stays in memory and is tried again, and nobody is told of it until then.
* What a failed sync was to carry is written again before the next one. Linux forgets after such a failure that it was
  not written, and the next sync succeeds all the same (Rebello et al. 2020, "Can Applications Recover from fsync
  Failures?", USENIX ATC).
* A log is closed after everything appended to it is kept, and takes nothing afterwards (ValueError, as files do).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from experiments.eventlog.chain import Chain
from simulation.runtime.session import LogSink

logger = logging.getLogger("chatroom.eventlog")

RETRY_SECONDS = 0.5
"""How long to wait before writing again to a disk that refused."""
STOP_SECONDS = 5.0
"""How long a stopping server waits for its disk."""

CLOSED = "this log is closed; its descriptor may be another file's by now"

Kept = Callable[[], None]

_sync: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)  # macOS and Windows have fsync only


class _Pending:
    """Lines on their way into one file, and whom to tell."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.kept: list[Kept] = []
        self._unwritten: list[bytes] = []
        self._written: list[bytes] = []  # since it was last said that everything is safe
        self._is_doubtful = False

    def add(self, lines: bytes, kept: Kept) -> None:
        self._unwritten.append(lines)
        self.kept.append(kept)

    def write(self) -> None:
        """Hand everything to the operating system; OSError leaves what it did not take."""
        if self._is_doubtful:
            self._take_back()
        while self._unwritten:
            lines = b"".join(self._unwritten)
            self._unwritten = [lines]
            written = os.write(self.descriptor, lines)
            self._unwritten = [lines[written:]] if written < len(lines) else []
            self._written.append(lines[:written])

    def sync(self) -> None:
        self._is_doubtful = True
        _sync(self.descriptor)
        self._is_doubtful = False

    def _take_back(self) -> None:
        """Cut off what a failed sync has left in doubt, to write it again."""
        size = os.fstat(self.descriptor).st_size
        os.ftruncate(self.descriptor, size - sum(map(len, self._written)))
        self._unwritten, self._written = [*self._written, *self._unwritten], []
        self._is_doubtful = False

    def take_kept(self) -> list[Kept]:
        """Return whom to tell that everything is safe."""
        self._written.clear()
        kept, self.kept = self.kept, []
        return kept


class DirectLog:
    """A log that is as safe as the operating system's memory. `refused` holds the logs that the disk refuses now."""

    def __init__(self, descriptor: int, refused: set[object] | None = None) -> None:
        self._refused = set() if refused is None else refused
        self._pending = _Pending(descriptor)
        self._retry: asyncio.TimerHandle | None = None
        self._closing = False

    def append(self, lines: bytes, kept: Kept) -> None:
        if self._closing:
            raise ValueError(CLOSED)
        self._pending.add(lines, kept)
        if self._retry is None:
            self._flush()

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        if self._retry is None:
            _close(self._pending.descriptor)

    def _flush(self) -> None:
        try:
            self._pending.write()
        except OSError as error:
            _complain(error)
            self._refused.add(self)
            self._retry = asyncio.get_running_loop().call_later(RETRY_SECONDS, self._flush_again)
            return
        self._refused.discard(self)
        for kept in self._pending.take_kept():
            kept()

    def _flush_again(self) -> None:
        self._retry = None
        self._flush()
        if self._closing and self._retry is None:
            _close(self._pending.descriptor)


class SealedLog:
    """A log whose lines carry the hash chain; `file` is where they go."""

    def __init__(self, file: LogSink, chain: Chain) -> None:
        self._file = file
        self._chain = chain

    def append(self, lines: bytes, kept: Kept) -> None:
        sealed = self._chain.sealed
        self._file.append(b"".join([sealed(line) for line in lines.splitlines(keepends=True)]), kept)

    def close(self) -> None:
        self._file.close()


class BufferedLog:
    """A log that is written in one piece at the end. For rehearsals: whatever is lost there can be made again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: list[bytes] = []

    def append(self, lines: bytes, kept: Kept) -> None:
        self._lines.append(lines)
        kept()

    def close(self) -> None:
        self._path.write_bytes(b"".join(self._lines))


class Committer:
    """The thread that makes appended lines durable; `start` and `stop` it with the server. `refused` holds those that
    the disk refuses now.
    """

    def __init__(self) -> None:
        self.refused: set[object] = set()
        self._jobs: deque[Callable[[], None]] = deque()
        self._wake = threading.Event()
        self._dirty: dict[_DurableLog, None] = {}
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="event log", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def stop(self) -> None:
        """Wait until everything is on disk, but not for ever."""
        self._stopping = True
        self._wake.set()
        await asyncio.to_thread(self._thread.join, STOP_SECONDS)

    def open(self, descriptor: int, new_in: Path | None) -> _DurableLog:
        """`new_in`: the folder of a file just made, whose name there must be made durable too."""
        return _DurableLog(self, descriptor, new_in)

    def submit(self, job: Callable[[], None]) -> None:
        self._jobs.append(job)
        if not self._wake.is_set():
            self._wake.set()

    # In the thread

    def mark(self, log: _DurableLog) -> None:
        self._dirty[log] = None

    def _work(self) -> None:
        while not (self._stopping and not self._jobs and not self._dirty):
            self._wake.wait(RETRY_SECONDS if self._dirty else None)
            self._wake.clear()
            for _ in range(len(self._jobs)):  # what comes in meanwhile is for the next commit
                self._jobs.popleft()()
            self._commit()

    def _commit(self) -> None:
        for log in tuple(self._dirty):
            try:
                log.commit()
            except OSError as error:
                _complain(error)
                self.refused.add(log)
                continue
            self.refused.discard(log)
            del self._dirty[log]
            self._tell(log.pending.take_kept())
            if log.is_closing:
                _close(log.pending.descriptor)

    def _tell(self, kept: list[Kept]) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(_call_all, kept)


class _DurableLog:
    def __init__(self, committer: Committer, descriptor: int, new_in: Path | None) -> None:
        self.pending = _Pending(descriptor)
        self.is_closing = False
        self._is_closed = False
        self._committer = committer
        self._new_in = new_in

    def append(self, lines: bytes, kept: Kept) -> None:
        if self._is_closed:
            raise ValueError(CLOSED)

        def job() -> None:
            self.pending.add(lines, kept)
            self._committer.mark(self)

        self._committer.submit(job)

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True

        def job() -> None:
            self.is_closing = True
            self._committer.mark(self)

        self._committer.submit(job)

    # In the committer's thread

    def commit(self) -> None:
        if not self.pending.kept:
            return
        self.pending.write()
        self.pending.sync()
        if self._new_in is not None:
            sync_folder(self._new_in)
            self._new_in = None


def _close(descriptor: int) -> None:
    try:
        os.close(descriptor)
    except OSError as error:  # as network file systems do; what was in the file has been synced before
        _complain(error)


def _call_all(kept: list[Kept]) -> None:
    for each in kept:
        each()


def sync_folder(path: Path) -> None:
    if os.name == "nt":
        return  # Windows cannot open a folder; NTFS journals the name by itself
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _complain(error: OSError) -> None:
    logger.error("the event log cannot be written (%s); trying again, nothing is shown meanwhile", error.strerror)
