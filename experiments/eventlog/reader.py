"""Reading event logs: linear in time, flat in memory, whatever the size.

Lines end at newline bytes and nowhere else. A last line without one is torn: it was cut off while being written, nobody
was told of it, and readers pass over it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from experiments.errors import DamagedLog, ErasedLog
from experiments.eventlog.chain import BEFORE_THE_FIRST, Seal, linked, seal_of
from simulation.codec import Record, decode
from simulation.errors import InvalidJson, InvalidRecord

CHUNK_BYTES = 64 * 1024
_SEAL_END = re.compile(rb'"hash":"[0-9a-f]{64}"\}')
"""Stands nowhere else in a line: what somebody wrote has its quotation marks escaped."""


def record_in(line: bytes) -> Record | None:
    """Return the record of a line, None if it holds none."""
    try:
        return decode(line)
    except (InvalidJson, InvalidRecord):
        return None


def last_line(path: Path) -> bytes:
    """Return the last line that has its end; empty if there is none."""
    with path.open("rb") as log:
        return line_before(log, end_of_last_line(log, log.seek(0, os.SEEK_END)))


def line_before(log: BinaryIO, end: int) -> bytes:
    """Return the line that ends at `end`; empty if there is none."""
    if end == 0:
        return b""
    start = end_of_last_line(log, end - 1)
    log.seek(start)
    return log.read(end - start)


def end_of_last_line(log: BinaryIO, size: int) -> int:
    """Return the position after the last newline before `size`; 0 if there is none."""
    start = size
    while start > 0:
        length = min(CHUNK_BYTES, start)
        start -= length
        log.seek(start)
        newline = log.read(length).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
    return 0


def read_records(path: Path) -> Iterator[Record]:
    """Yield the records of a log one by one; raise DamagedLog at the first line that is none, ErasedLog if it was."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith(b"\n"):
                return
            yield _record(path, number, line)


def read_as_written(path: Path) -> Iterator[Record]:
    """Yield the records of a log as `read_records` does, and a last one that lacks its newline alone; raise DamagedLog
    also where it is not as it was written.
    """
    chained = _Chained(path)
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith(b"\n"):
                if chained.is_whole(number, line):
                    yield _record(path, number, line)
                return
            record = _record(path, number, line)
            chained.check(number, line, record)
            yield record


def _record(path: Path, number: int, line: bytes) -> Record:
    try:
        return decode(line)
    except (InvalidJson, InvalidRecord) as error:
        seal = seal_of(line)
        if seal is not None and seal.is_erased:
            raise ErasedLog(path) from None
        raise DamagedLog(path, number, str(error)) from error


class _Chained:
    """Holds lines against those before them. The first ones of a log that an earlier version began have no hash."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._hash: bytes | None = None

    def check(self, number: int, line: bytes, record: Record) -> None:
        if record.seq != number:
            raise DamagedLog(self._path, number, f"record {record.seq:,} stands here")
        seal = seal_of(line)
        if seal is not None:
            self._check_seal(number, seal)
        elif self._hash is not None:
            raise DamagedLog(self._path, number, "it has no hash, and those before it have")

    def is_whole(self, number: int, tail: bytes) -> bool:
        """What a crash leaves without a line's end is the beginning of one record, or that record and no more."""
        found = _SEAL_END.search(tail)
        if found is None:
            return False
        seal = seal_of(tail)
        if seal is None or found.end() < len(tail):
            raise DamagedLog(self._path, number, "it does not end where its record does, and no crash leaves that")
        self._check_seal(number, seal)
        return True

    def _check_seal(self, number: int, seal: Seal) -> None:
        if seal.hash != linked(self._hash or BEFORE_THE_FIRST, seal.digest):
            raise DamagedLog(self._path, number, "it is not what was written there: its hash does not follow")
        self._hash = seal.hash
