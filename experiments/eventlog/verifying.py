"""Whether a log is as it was written: its lines, their numbers and their hash chain, and which line is to blame if not.

Theory of operation
===================

One pass reads a number, a digest and a hash from each line and keeps nothing else, 72 bytes a line. The lines whose
hash follows from the one before are what was written; their JSON is not even looked at. Only if one does not is asked
why: the records are put in the order of their numbers, each is held against the record before it, wherever that stands,
and what remains is a line that was changed, lost, doubled, moved or added.

The hash that a line should have is computed from its content. So a changed hash is told from changed content, and one
changed byte is one damaged line, not two.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Literal, NamedTuple

from experiments.errors import NoLog
from experiments.eventlog.chain import BEFORE_THE_FIRST, linked, seal_of

Kind = Literal["torn", "changed", "missing", "doubled", "moved", "foreign"]
UNNUMBERED = -1
NO_SEAL = bytes(32)
_NUMBER = re.compile(rb'\{"seq":(\d{1,18}),')
_END = b'"event_type":"session_end"'
_LONGEST_HEAD = 200
"""Bytes of a line in which its number and its type stand."""


class Damage(NamedTuple):
    """`line` counts from 1; where lines are missing it is the one before which they stood."""

    line: int
    kind: Kind
    text: str


class Verification(NamedTuple):
    """`records` are all lines but a torn one; `erased` of them have no content any more; `unsealed` have no hash, as
    versions before the chain wrote them. `head` is the last line's hash: whoever noted it can tell if the chain was
    written anew.
    """

    records: int
    erased: int
    unsealed: int
    has_end: bool
    head: str | None
    damage: tuple[Damage, ...]


def verify(path: Path) -> Verification:
    """Read a log once, and say what is wrong with it; raise OSError, or NoLog if nothing in it is a record."""
    lines = _Lines()
    torn = 0
    with path.open("rb") as log:
        for line in log:
            if line.endswith(b"\n"):
                lines.take(line)
            else:
                torn = len(line)
    if not lines.is_a_log:
        raise NoLog(path, "no line in it is a record of a session")
    damage = [*_damage(lines)]
    if torn:
        text = f"torn: {torn:,} bytes without a line's end; nobody was shown them, the next start moves them aside"
        damage.append(Damage(len(lines) + 1, "torn", text))
    return Verification(len(lines), lines.erased, lines.unsealed, bool(lines.ends), lines.head, tuple(sorted(damage)))


class _Lines:
    """What is kept of each line: its number, the digest of its content and its hash."""

    def __init__(self) -> None:
        self.numbers = array("q")
        self.joined: dict[int, list[int]] = {}  # further numbers in a line
        self.erased = self.unsealed = 0
        self.ends: list[int] = []
        self._digests = bytearray()
        self._hashes = bytearray()

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, line: bytes) -> None:
        number = _NUMBER.match(line)
        seal = seal_of(line)
        self.numbers.append(int(number[1]) or UNNUMBERED if number else UNNUMBERED)
        self._digests += seal.digest if seal else NO_SEAL
        self._hashes += seal.hash if seal else NO_SEAL
        self.erased += seal is not None and seal.is_erased
        self.unsealed += seal is None and number is not None
        if line.find(b'{"seq":', 1) > 0:  # inside of a text its quotes would be escaped
            self.joined[len(self.numbers) - 1] = [int(each) for each in _NUMBER.findall(line, 1)]
        if _END in line[:_LONGEST_HEAD]:
            self.ends.append(len(self.numbers) - 1)

    @property
    def is_a_log(self) -> bool:
        return not self.numbers or any(number != UNNUMBERED for number in self.numbers)

    @property
    def head(self) -> str | None:
        last = bytes(self._hashes[-32:])
        return None if last in (b"", NO_SEAL) else last.hex()

    def digest(self, index: int) -> bytes:
        return bytes(self._digests[32 * index : 32 * index + 32])

    def hash(self, index: int) -> bytes:
        return bytes(self._hashes[32 * index : 32 * index + 32])

    def is_sealed(self, index: int) -> bool:
        return self.hash(index) != NO_SEAL

    def follows(self, index: int, before: bytes) -> bool:
        """Whether a line's hash follows from `before` and its content."""
        return linked(before, self.digest(index)) == self.hash(index)

    def is_same(self, one: int, other: int) -> bool:
        return (self.digest(one), self.hash(one)) == (self.digest(other), self.hash(other))


def _damage(lines: _Lines) -> Iterator[Damage]:
    first_doubt = _first_doubt(lines)
    if first_doubt is not None:
        yield from _Inquiry(lines).findings()
    yield from _after_the_end(lines)


def _first_doubt(lines: _Lines) -> int | None:
    """Return the first line that is not the one that should stand there, None if all are."""
    before = BEFORE_THE_FIRST
    for index, number in enumerate(lines.numbers):
        if number != index + 1:
            return index
        if not lines.is_sealed(index):
            if before != BEFORE_THE_FIRST:
                return index  # a chain that has begun goes on
            continue
        if not lines.follows(index, before):
            return index
        before = lines.hash(index)
    return None


def _after_the_end(lines: _Lines) -> Iterator[Damage]:
    if not lines.ends or lines.erased:
        return
    end = lines.numbers[lines.ends[0]]
    for index in range(lines.ends[0] + 1, len(lines)):
        if lines.numbers[index] > end:
            yield Damage(index + 1, "foreign", "foreign: stands after session_end, which is the last record")


class _Inquiry:
    """Who is to blame: every record in the order of its number, each held against the one before."""

    def __init__(self, lines: _Lines) -> None:
        self._lines = lines
        self._at: dict[int, list[int]] = {}
        self._strays: list[int] = []  # lines that hold no record of this log, or one that cannot be read
        self._line_of: dict[int, int] = {}
        self._hashes: dict[int, bytes | None] = {}  # as they were when the next record was written; None: not known
        self._sort()

    def _sort(self) -> None:
        for index, number in enumerate(self._lines.numbers):
            if number == UNNUMBERED:
                self._strays.append(index)
            else:
                for each in (number, *self._lines.joined.get(index, ())):
                    self._at.setdefault(each, []).append(index)
        for number in [each for each, at in self._at.items() if self._is_out_of_line(each, at[0])]:
            self._strays += self._at.pop(number)
        self._chain_begins = self._first_of_chain()

    def _first_of_chain(self) -> float:
        """A log that an earlier version began has a chain from where this one went on with it."""
        sealed = [number for number, at in self._at.items() if self._lines.is_sealed(at[0])]
        if not sealed:
            return inf
        first = min(sealed)
        return first if any(self._lines.follows(each, BEFORE_THE_FIRST) for each in self._at[first]) else 1

    def _is_out_of_line(self, number: int, index: int) -> bool:
        """A number without neighbours, on a line between two records that follow one another or lack one between them:
        it is none of this log's, or it was changed.
        """
        if number - 1 in self._at or number + 1 in self._at or not 0 < index < len(self._lines) - 1:
            return False
        before, after = self._lines.numbers[index - 1], self._lines.numbers[index + 1]
        return before != UNNUMBERED and 1 <= after - before <= 2 and not before < number < after

    def findings(self) -> Iterator[Damage]:
        yield from self._doubled()
        yield from self._changed()
        yield from self._missing()
        yield from self._moved()
        for index in self._strays:
            yield Damage(index + 1, "foreign", "foreign: this is no record of this log")

    # Which line holds which record

    def _doubled(self) -> Iterator[Damage]:
        """Choose the line of each record, and yield those that hold one again."""
        for number in sorted(self._at):
            candidates = self._at[number]
            chosen = self._chosen(number, candidates)
            self._line_of[number] = chosen
            self._hashes[number] = self._hash_of(number, chosen)
            for index in candidates:
                if index != chosen and self._lines.is_same(index, chosen):
                    yield Damage(index + 1, "doubled", f"doubled: record {number:,} stands in line {chosen + 1:,} too")
                elif index != chosen:
                    self._strays.append(index)

    def _chosen(self, number: int, candidates: list[int]) -> int:
        """Of several lines with one number, take the one that fits its neighbours, and stands where it belongs."""
        if len(candidates) == 1:
            return candidates[0]
        before, following = self._hash_before(number), self._at.get(number + 1, ())

        def fit(index: int) -> tuple[int, bool, int]:
            from_before = before is not None and self._lines.follows(index, before)
            to_next = any(self._lines.follows(each, self._lines.hash(index)) for each in following)
            return from_before + to_next, index > self._line_of.get(number - 1, -1), -abs(index + 1 - number)

        return max(candidates, key=fit)

    def _hash_before(self, number: int) -> bytes | None:
        return BEFORE_THE_FIRST if number <= self._chain_begins else self._hashes.get(number - 1)

    def _hash_of(self, number: int, index: int) -> bytes | None:
        """Return the hash to which the next record was chained."""
        before, written = self._hash_before(number), self._lines.hash(index)
        if before is None or self._lines.follows(index, before):
            return written if self._lines.is_sealed(index) else None
        following = self._at.get(number + 1, ())
        computed = linked(before, self._lines.digest(index))
        if not following or any(self._lines.follows(each, written) for each in following):
            return written
        return computed if any(self._lines.follows(each, computed) for each in following) else None

    # What is wrong with them

    def _changed(self) -> Iterator[Damage]:
        """Yield the lines whose content or hash is not what was written."""
        told: set[int] = set()
        for number, index in self._line_of.items():
            before = self._hash_before(number)
            if index in told or before is None or self._fits(number, index, before):
                continue
            told.add(index)
            yield Damage(index + 1, "changed", self._what_was_changed(number, index))

    def _fits(self, number: int, index: int, before: bytes) -> bool:
        if number < self._chain_begins:
            return not self._lines.is_sealed(index)
        return self._lines.follows(index, before)

    def _what_was_changed(self, number: int, index: int) -> str:
        if joined := self._lines.joined.get(index):
            return f"changed: records {number:,} and {joined[-1]:,} have run into one line"
        if not self._lines.is_sealed(index):
            if index + 1 in self._strays:
                self._strays.remove(index + 1)
                return f"changed: record {number:,} was broken in two, and goes on in the next line"
            return f"changed: record {number:,} has lost its hash"
        kept = self._hashes[number]
        if kept is None:
            return f"changed: this is not the record {number:,} that was written, nor does the next follow from it"
        if kept != self._lines.hash(index):
            return f"changed: the hash of record {number:,} is another; what the record says is as it was written"
        return f"changed: record {number:,} does not say what was written"

    def _missing(self) -> Iterator[Damage]:
        """Yield the records that no line holds; a stray line where one should stand may be what is left of it."""
        numbers = sorted(self._line_of)
        for before, after in pairwise([0, *numbers]):
            start = self._line_of[before] + 1 if before else 0
            lost = [*range(before + 1, after)]
            for index in [each for each in range(start, self._line_of[after]) if each in self._strays]:
                if lost:
                    self._strays.remove(index)
                    yield Damage(index + 1, "changed", f"changed beyond reading: this was record {lost.pop(0):,}")
            if lost:
                which = f"record {lost[0]:,} is" if len(lost) == 1 else f"records {lost[0]:,} to {lost[-1]:,} are"
                yield Damage(self._line_of[after] + 1, "missing", f"missing: {which} not there; before this line")

    def _moved(self) -> Iterator[Damage]:
        """Yield the lines that stand out of their order."""
        order = [self._line_of[number] for number in sorted(self._line_of)]
        displaced = [
            place for place, (is_at, belongs) in enumerate(zip(order, sorted(order), strict=True)) if is_at != belongs
        ]
        if len(displaced) == 2:
            one, other = sorted(order[place] + 1 for place in displaced)
            yield Damage(one, "moved", f"swapped: lines {one:,} and {other:,} stand in each other's place")
            return
        in_order = set(_longest_rising(order))
        for number in sorted(self._line_of):
            if self._line_of[number] not in in_order:
                yield Damage(self._line_of[number] + 1, "moved", f"moved: record {number:,} does not belong here")


def _longest_rising(values: list[int]) -> list[int]:
    """Return the longest part of `values` that never falls (patience sorting, Fredman 1975)."""
    ends: list[int] = []  # ends[n]: the place of the least value that a rising part of n + 1 values ends with
    before: list[int] = []
    for place, value in enumerate(values):
        pile = bisect_right(ends, value, key=values.__getitem__)
        before.append(ends[pile - 1] if pile else -1)
        ends[pile : pile + 1] = [place]
    rising: list[int] = []
    place = ends[-1] if ends else -1
    while place >= 0:
        rising.append(values[place])
        place = before[place]
    return rising
