"""Erasing what a log says, so that its chain still holds.

Each line becomes what `chain.erased` leaves of it, and one sealed record says that this was done. The log is written
anew beside the old one and takes its place at once: a crash leaves the one or the other, and doing it again finishes.
The blocks of the old file are free then, and not overwritten: what a disk does with those is not ours to say.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from experiments.errors import LogError
from experiments.eventlog.append import sync_folder
from experiments.eventlog.chain import (
    BEFORE_THE_FIRST,
    Chain,
    Seal,
    digest,
    erased,
    linked,
    random_salt,
    seal_of,
)
from experiments.eventlog.reader import record_in
from experiments.eventlog.repair import last_hash
from simulation.codec import Record, encode
from simulation.events import ParticipantErased

_SEQ = re.compile(rb'\{"seq":(\d{1,18}),')


@dataclass(frozen=True, slots=True)
class Account:
    """What the erased log's last record says beside their number: see `ParticipantErased`."""

    reason: str
    experiment_id: str | None
    calls: int
    tokens: int
    cost: float
    by_day: dict[str, dict[str, float]]


def is_erased(path: Path) -> bool:
    """Whether a log's content is gone; it goes whole or not at all. Raises OSError."""
    with path.open("rb") as log:
        first = log.readline()
    seal, record = seal_of(first), record_in(first)
    # Of a log in which nothing whole stood, the account of its erasure is all there is.
    return (seal is not None and seal.is_erased) or (record is not None and isinstance(record.event, ParticipantErased))


class ErasedContent(NamedTuple):
    """`records` were erased, none if there were none any more; `head` is the last line's hash, None without a log."""

    records: int
    head: bytes | None


def erase(path: Path, account: Account, timestamp: str) -> ErasedContent:
    """Erase the content of a log that nobody writes any more, and what was left beside it; raise LogError."""
    try:
        records = 0 if not path.exists() or is_erased(path) else _rewrite(path, account, timestamp)
        for left in left_over(path):
            left.unlink(missing_ok=True)
        return ErasedContent(records, last_hash(path) if path.exists() else None)
    except OSError as error:
        raise LogError(path, f"cannot be erased: {error.strerror}") from error


def left_over(path: Path) -> list[Path]:
    """Return what lies beside a log: ends that a crash had torn, and drafts of an erasure that was broken off."""
    return [each for kind in ("torn", "erasing") for each in path.parent.glob(f"{path.name}.{kind}-*")]


def _rewrite(path: Path, account: Account, timestamp: str) -> int:
    draft = path.with_name(f"{path.name}.erasing-{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with path.open("rb") as log, os.fdopen(descriptor, "wb") as file:
        rest = _Rest()
        file.writelines(rest.of(log))
        event = ParticipantErased(
            elapsed=rest.elapsed,
            records=rest.records,
            reason=account.reason,
            experiment_id=account.experiment_id,
            calls=account.calls,
            tokens=account.tokens,
            cost=account.cost,
            by_day=account.by_day,
        )
        file.write(Chain(rest.hash).sealed(encode(Record(rest.seq + 1, timestamp, event))))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)
    return rest.records


class _Rest:
    """What stays of lines, one after another; `seq`, `hash` and `elapsed` are the last one's."""

    def __init__(self) -> None:
        self.records = 0
        self.seq = 0
        self.hash = BEFORE_THE_FIRST
        self.elapsed = 0.0
        self._has_sealed = self._is_chained_anew = False

    def of(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        for line in lines:
            if not line.endswith(b"\n"):
                return  # torn: nobody was told of it
            number = _SEQ.match(line)
            self.seq = int(number[1]) if number else self.seq + 1
            self.records += 1
            record = record_in(line)
            self.elapsed = record.elapsed if record else self.elapsed
            seal = self._seal(line)
            self.hash = seal.hash
            yield erased(self.seq, seal)

    def _seal(self, line: bytes) -> Seal:
        """Versions before the chain sealed no lines. Theirs are sealed here, with a salt that is thrown away, from the
        32 zero bytes before the first: the chain shows no more than that nobody touched what is left. Lines that were
        sealed after such lines keep their digests and are chained to them anew. A line without a seal between others
        that have theirs is damage, and stays to be seen as such: the next one does not follow from it.
        """
        seal = seal_of(line)
        self._has_sealed |= seal is not None
        if seal is None:
            self._is_chained_anew |= not self._has_sealed
            seal = Seal(digest(random_salt(), line[:-1]), b"", is_erased=True)
        if seal.hash and not self._is_chained_anew:
            return seal
        return seal._replace(hash=linked(self.hash, seal.digest))
