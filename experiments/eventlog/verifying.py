"""Whether a log is as it was written: its lines, their numbers and their hash chain, and which line is to blame if not.

Theory of operation
===================

One pass reads a number, a digest and a hash from each line and keeps nothing else, 72 bytes a line. Lines that follow
one another, by their numbers and their hashes, are a stretch, and a stretch is what was written: its JSON is not even
looked at. A log that nobody touched is one stretch (two, if an earlier version began it). Of any other, the stretches
are put in the order of their numbers, each is held against the one before it, wherever that stands, and what remains is
a line that was changed, lost, doubled, moved or added. So the time grows with the lines, and what is remembered of a
line beyond those 72 bytes with the damage.

The hash that a line should have is computed from its content. So a changed hash is told from changed content, and one
changed byte is one damaged line, not two. Where nothing tells causes apart, as in the last line, all are named.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from experiments.errors import NoLog
from experiments.eventlog.chain import BEFORE_THE_FIRST, linked, seal_of
from experiments.eventlog.inquiry import Damage, Inquiry
from experiments.eventlog.lines import LONGEST_HEAD, Lines

ACCOUNT = b'"event_type":"participant_erased"'
_BEGINNING = b'{"seq":'


class Verification(NamedTuple):
    """`records` are all lines but a torn one; `erased` of them have no content any more; `unsealed` have no hash, as
    versions before the chain wrote them. `head` is the last line's hash: whoever noted it can tell if the chain was
    written anew. `damage` is in the order of the lines.
    """

    records: int
    erased: int
    unsealed: int
    has_end: bool
    head: str | None
    damage: tuple[Damage, ...]


def verify(path: Path) -> Verification:
    """Read a log once, and say what is wrong with it; raise OSError, or NoLog if nothing in it is a record."""
    lines = Lines()
    last_line = torn = b""
    with path.open("rb") as log:
        for line in log:
            if line.endswith(b"\n"):
                lines.take(line)
                last_line = line
            else:
                torn = line
    if not (lines.has_records or _may_begin_a_log(lines, torn)):
        raise NoLog(path, "no line in it is a record of a session")
    inquiry = Inquiry(lines, last_line)
    damage = [*inquiry.findings(), *_torn(lines, torn)] or [*_unaccounted(lines, last_line)]
    damage.sort(key=lambda each: each.line)
    return Verification(len(lines), lines.erased, lines.unsealed, inquiry.has_end, lines.head, tuple(damage))


def _may_begin_a_log(lines: Lines, torn: bytes) -> bool:
    """A session's file is empty until its first record is kept, and a crash may tear that one."""
    return not lines and torn[: len(_BEGINNING)] == _BEGINNING[: len(torn)]


def _unaccounted(lines: Lines, last_line: bytes) -> Iterator[Damage]:
    """A log is erased whole, and its last record says so; whoever erases records by hand has no such account."""
    is_account = ACCOUNT in last_line[:LONGEST_HEAD]
    if lines.erased and not (is_account and lines.erased == len(lines) - 1):
        which = "1 record is" if lines.erased == 1 else f"{lines.erased:,} records are"
        text = f"changed: {which} erased, and the last line is no participant_erased that accounts for all before it"
        yield Damage(len(lines), lines.numbers[-1], "changed", text)


def _torn(lines: Lines, torn: bytes) -> Iterator[Damage]:
    if not torn:
        return
    line = len(lines) + 1
    number, before = (lines.numbers[-1] + 1, lines.hash(len(lines) - 1)) if lines else (1, BEFORE_THE_FIRST)
    seal = seal_of(torn[:-1])
    if seal is not None and seal.hash == linked(before, seal.digest):
        text = f"changed: the line's end of record {number:,} is another byte; the record is what was written"
        yield Damage(line, number, "changed", text)
    elif (whole := seal_of(torn)) is not None and whole.hash == linked(before, whole.digest):
        text = f"torn: {len(torn):,} bytes without a line's end: record {number:,}, whole; the next start adds the end"
        yield Damage(line, number, "torn", text)
    else:
        text = f"torn: {len(torn):,} bytes without a line's end; the next start of the server moves them aside"
        yield Damage(line, None, "torn", f"{text}; if a crash left them, nobody was shown them")
