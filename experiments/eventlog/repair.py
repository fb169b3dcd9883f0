"""A torn tail: bytes after the last newline, left by a crash in the middle of a write.

Nobody was told of them, since a record is shown only once it is kept. They are moved to `{name}.torn-{n}` beside the
log, and the log says so itself in a `log_repaired` record. Where no more than the newline of a whole record is lacking,
that is written: with it the log is what it was to be.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from experiments.eventlog.chain import BEFORE_THE_FIRST, Chain, seal_of
from experiments.eventlog.reader import end_of_last_line, last_line, line_before, record_in
from simulation.codec import Record, encode
from simulation.events import LogRepaired, SessionEnded


def repair(path: Path, timestamp: Callable[[], str]) -> LogRepaired | None:
    """Move a torn tail out of the log at `path`; return what was moved, or None if nothing had to be."""
    with path.open("r+b") as log:
        end = end_of_last_line(log, log.seek(0, os.SEEK_END))
        log.seek(end)
        torn = log.read()
        if not torn:
            return None
        if seal_of(torn) is not None:
            log.write(b"\n")
            _sync(log)
            return None
        moved_to = _keep_beside(path, torn)
        log.truncate(end)
        line = line_before(log, end)
        last = record_in(line)
        event = LogRepaired(elapsed=last.elapsed if last else 0.0, bytes_moved=len(torn), moved_to=moved_to.name)
        if last is not None and not isinstance(last.event, SessionEnded):
            log.seek(end)
            log.write(_chain_after(line).sealed(encode(Record(last.seq + 1, timestamp(), event))))
        _sync(log)
        return event


def _sync(log: BinaryIO) -> None:
    log.flush()
    os.fsync(log.fileno())


def last_hash(path: Path) -> bytes | None:
    """Return the hash of a log's last whole line; None if there is none, or if it has none."""
    seal = seal_of(last_line(path))
    return seal and seal.hash


def _chain_after(line: bytes) -> Chain:
    seal = seal_of(line)
    return Chain(seal.hash if seal else BEFORE_THE_FIRST)


def _keep_beside(path: Path, torn: bytes) -> Path:
    for number in itertools.count(1):
        target = path.with_name(f"{path.name}.torn-{number}")
        try:
            descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(torn)
                file.flush()
                os.fsync(file.fileno())
        except FileExistsError:
            continue
        return target
    raise AssertionError("unreachable")
