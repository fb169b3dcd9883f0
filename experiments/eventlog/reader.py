"""Reading event logs: linear in time, flat in memory, whatever the size.

Lines end at newline bytes and nowhere else. A last line without one is torn: it was cut off while being written, nobody
was told of it, and readers pass over it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from experiments.errors import DamagedLog
from simulation.codec import Record, decode
from simulation.errors import InvalidJson, InvalidRecord


def read_records(path: Path) -> Iterator[Record]:
    """Yield the records of a log one by one; raise DamagedLog at the first line that is none."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                yield decode(line)
            except (InvalidJson, InvalidRecord) as error:
                raise DamagedLog(path, number, str(error)) from error
