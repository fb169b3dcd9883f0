"""Reading event logs: linear in time, flat in memory, whatever the size.

Lines end at newline bytes and nowhere else. A last line without one is torn: it was cut off while being written, nobody
was told of it, and readers pass over it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from experiments.errors import DamagedLog, ErasedLog
from experiments.eventlog.chain import seal_of
from simulation.codec import Record, decode
from simulation.errors import InvalidJson, InvalidRecord

CHUNK_BYTES = 64 * 1024


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
            try:
                yield decode(line)
            except (InvalidJson, InvalidRecord) as error:
                seal = seal_of(line)
                if seal is not None and seal.is_erased:
                    raise ErasedLog(path) from None
                raise DamagedLog(path, number, str(error)) from error
