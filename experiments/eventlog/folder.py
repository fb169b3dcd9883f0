"""Where session logs lie: one file a session, `{session_id}.json`, which only its session writes.

The session id becomes a file name, so it must be a UUID in its usual form; nothing else ever names a file. Logs hold
what participants wrote: files are made readable for their owner alone.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Literal, NamedTuple

from experiments.errors import LogError, LogExists, LogMissing
from experiments.eventlog.append import BufferedLog, Committer, DirectLog, SealedLog, sync_folder
from experiments.eventlog.chain import BEFORE_THE_FIRST, Chain, no_salt
from experiments.eventlog.reader import read_as_written, read_records
from experiments.eventlog.repair import last_hash, repair
from simulation.codec import Record
from simulation.runtime.session import LogSink

LogSync = Literal["fsync", "os"]
LEAST_FREE_BYTES = 16 * 1024 * 1024
"""Room for the sessions that run: with less, no new one begins."""


class Reopened(NamedTuple):
    records: list[Record]
    log: LogSink


class LogFolder:
    """`sync`: `fsync` for records that survive a power cut, `os` for records that survive the process."""

    def __init__(self, path: Path, sync: LogSync, committer: Committer | None = None) -> None:
        self.path = path
        self.sync = sync
        self._committer = committer
        self._refused = committer.refused if committer is not None else set[object]()

    @property
    def problem(self) -> str | None:
        """Why no session should begin, if the disk would not take its log."""
        if self._refused:
            return "the disk refuses the logs"
        if not os.access(self.path, os.W_OK):
            return "log folder not writable"
        try:
            is_full = shutil.disk_usage(self.path).free < LEAST_FREE_BYTES
        except OSError:
            return "log folder not writable"
        return "the disk is full" if is_full else None

    def create(self, session_id: str) -> LogSink:
        """Return the sink of a new session; raise LogError if its file cannot be made."""
        path = self.file(session_id)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        try:
            return self._sink(os.open(path, flags, 0o600), Chain(), is_new=True)
        except FileExistsError:
            raise LogExists(path, "this session has a log already") from None
        except OSError as error:
            raise LogError(path, f"cannot be created: {error.strerror}") from error

    def reopen(self, session_id: str, timestamp: Callable[[], str]) -> Reopened:
        """Repair a log if its end is torn and return its records, with the sink to go on writing; raise LogError, and
        of its kinds DamagedLog if it is not as it was written.
        """
        path = self.file(session_id)
        try:
            records = list(read_as_written(path))  # before it is repaired: what was changed stays as it is
            if repair(path, timestamp) is not None:
                records = list(read_records(path))
            chain = Chain(last_hash(path) or BEFORE_THE_FIRST)
            return Reopened(records, self._sink(self._opened(path), chain, is_new=False))
        except FileNotFoundError:
            raise LogMissing(path, "this session's log is not there") from None
        except OSError as error:
            raise LogError(path, f"cannot be opened: {error.strerror}") from error

    def _opened(self, path: Path) -> int:
        """Open a log to go on with it. What a killed server has written may be in the system's memory alone: that is
        made durable before anybody is shown it.
        """
        with ExitStack() as if_it_fails:
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
            if_it_fails.callback(os.close, descriptor)
            if self.sync == "fsync":
                os.fsync(descriptor)
                sync_folder(self.path)
            if_it_fails.pop_all()
        return descriptor

    def delete(self, session_id: str) -> None:
        """Delete a session's log, and what was moved out of it when it was repaired."""
        path = self.file(session_id)
        try:
            for each in (path, *path.parent.glob(f"{path.name}.torn-*")):
                each.unlink(missing_ok=True)
        except OSError as error:
            raise LogError(path, f"cannot be deleted: {error.strerror}") from error

    def file(self, session_id: str) -> Path:
        if str(uuid.UUID(session_id)) != session_id:
            raise ValueError("a session id is a UUID in its usual form")
        return self.path / f"{session_id}.json"

    def _sink(self, descriptor: int, chain: Chain, *, is_new: bool) -> LogSink:
        if self.sync == "fsync" and self._committer is not None:
            return SealedLog(self._committer.open(descriptor, self.path if is_new else None), chain)
        return SealedLog(DirectLog(descriptor, self._refused), chain)


class RehearsalFolder:
    """A folder for logs that can be made again at any time: written whole when their session ends."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self, session_id: str) -> LogSink:
        return SealedLog(BufferedLog(self.path / f"{session_id}.json"), Chain(salt=no_salt))
