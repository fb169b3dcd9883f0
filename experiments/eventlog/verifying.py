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

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

from experiments.errors import NoLog
from experiments.eventlog.chain import BEFORE_THE_FIRST, linked, seal_of
from experiments.eventlog.chain import digest as digest_of
from simulation.errors import InvalidJson
from simulation.strict_json import parse

Kind = Literal["torn", "changed", "missing", "doubled", "moved", "foreign"]
UNNUMBERED = -1
BEYOND = 1 << 62
"""Greater than any number that a line may have."""
NO_SEAL = bytes(31) + b"\x01"
"""In place of the hash of a record that never had one, as earlier versions wrote it. No hash follows from it."""
BROKEN_SEAL = bytes(31) + b"\x02"
"""In place of a hash that cannot be read, and of that of a line that is no record."""
_BEGINNING = b'{"seq":'
_NUMBER = re.compile(rb'\{"seq":(\d{1,18}),')
_SECOND_FIELD = b'"timestamp":'
_ORDINARY = re.compile(rb'\{"seq":\d{1,18},"timestamp":')
_PART_OF_SEAL = re.compile(rb'"(?:salt|hash)":"')
_SEAL_BYTES = 140
_END = b'"event_type":"session_end"'
_LONGEST_HEAD = 200
"""Bytes of a line in which its number and its type stand."""


class Damage(NamedTuple):
    """`line` counts from 1: the first of the lines concerned; where lines are missing, the one before which they stood.
    `seq` is the number of the (first) record concerned, None if that is none of this log's.
    """

    line: int
    seq: int | None
    kind: Kind
    text: str


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
    lines = _Lines()
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
    inquiry = _Inquiry(lines, last_line)
    damage = sorted([*inquiry.findings(), *_torn(lines, torn)], key=lambda each: each.line)
    return Verification(len(lines), lines.erased, lines.unsealed, inquiry.has_end, lines.head, tuple(damage))


def _may_begin_a_log(lines: _Lines, torn: bytes) -> bool:
    """A session's file is empty until its first record is kept, and a crash may tear that one."""
    return not lines and torn[: len(_BEGINNING)] == _BEGINNING[: len(torn)]


def _torn(lines: _Lines, torn: bytes) -> Iterator[Damage]:
    if not torn:
        return
    line = len(lines) + 1
    number, before = (lines.numbers[-1] + 1, lines.hash(len(lines) - 1)) if lines else (1, BEFORE_THE_FIRST)
    seal = seal_of(torn[:-1])
    if seal is not None and seal.hash == linked(before, seal.digest):
        text = f"changed: the line's end of record {number:,} is another byte; the record is what was written"
        yield Damage(line, number, "changed", text)
    else:
        text = f"torn: {len(torn):,} bytes without a line's end; the next start of the server moves them aside"
        yield Damage(line, None, "torn", f"{text}, and nobody was shown them")


# Reading


class _Stretch(NamedTuple):
    """Lines that follow one another: `length` of them, from line `start` (from 0) and from record `first` on."""

    start: int
    first: int
    length: int

    @property
    def stop(self) -> int:
        return self.start + self.length

    @property
    def last(self) -> int:
        return self.first + self.length - 1

    def part(self, first: int, stop: int) -> _Stretch:
        return _Stretch(self.start + first - self.first, first, stop - first)


class _Lines:
    """What is kept of each line: its number, the digest of its content and its hash; and where stretches start."""

    def __init__(self) -> None:
        self.numbers = array("q")
        self.starts = array("q")
        self.joined: dict[int, int] = {}  # the last number in a line that seems to hold several
        self.ends: set[int] = set()
        self.erased = self.unsealed = 0
        self._digests = bytearray()
        self._hashes = bytearray()

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, line: bytes) -> None:
        number, seal = _number(line), seal_of(line)
        if seal is not None:
            digest, hash, is_erased = seal
            self.erased += is_erased
        else:
            digest, hash = digest_of(b"", line), _instead_of_hash(line)
            self.unsealed += hash == NO_SEAL
        if not self._goes_on(number, digest, hash):
            self.starts.append(len(self))
            self._look_for_others(line, number)
        if _END in line[:_LONGEST_HEAD]:
            self.ends.add(len(self))
        self.numbers.append(number)
        self._digests += digest
        self._hashes += hash

    def _goes_on(self, number: int, digest: bytes, hash: bytes) -> bool:
        """Whether a line follows from the one that was taken last."""
        if not self.numbers or number < 1 or number != self.numbers[-1] + 1:
            return False
        before = bytes(self._hashes[-32:])
        return linked(before, digest) == hash or hash == before == NO_SEAL

    def _look_for_others(self, line: bytes, number: int) -> None:
        """Look for records that have run into a line; inside of a text their quotes would be escaped."""
        last = number
        for other in _NUMBER.findall(line, 1):
            last += int(other) == last + 1
        if last > number > 0:
            self.joined[len(self)] = last

    @property
    def has_records(self) -> bool:
        return any(number > 0 or self.is_sealed(index) for index, number in enumerate(self.numbers))

    @property
    def head(self) -> str | None:
        last = len(self) - 1
        return self.hash(last).hex() if self and self.is_sealed(last) else None

    def stretches(self) -> Iterator[_Stretch]:
        for start, stop in pairwise([*self.starts, len(self)]):
            yield _Stretch(start, self.numbers[start], stop - start)

    def above(self, index: int) -> int:
        """Return the number of the line above, 0 above the first."""
        return self.numbers[index - 1] if index > 0 else 0

    def below(self, index: int) -> int:
        return self.numbers[index + 1] if index + 1 < len(self) else BEYOND

    def hash(self, index: int) -> bytes:
        return bytes(self._hashes[32 * index : 32 * index + 32])

    def is_sealed(self, index: int) -> bool:
        return self.hash(index) not in (NO_SEAL, BROKEN_SEAL)

    def is_unsealed(self, index: int) -> bool:
        return self.hash(index) == NO_SEAL

    def hash_after(self, before: bytes, index: int) -> bytes:
        """Return the hash that a line should have after `before`."""
        return linked(before, bytes(self._digests[32 * index : 32 * index + 32]))

    def follows(self, index: int, before: bytes) -> bool:
        """Whether a line's hash follows from `before` and its content."""
        return self.hash_after(before, index) == self.hash(index)

    def are_same(self, one: _Stretch, other: _Stretch) -> bool:
        one_part, other_part = (slice(32 * each.start, 32 * each.stop) for each in (one, other))
        return all(kept[one_part] == kept[other_part] for kept in (self._digests, self._hashes))


def _number(line: bytes) -> int:
    number = _NUMBER.match(line)
    return int(number[1]) or UNNUMBERED if number else UNNUMBERED


def _instead_of_hash(line: bytes) -> bytes:
    """Tell a record that never had a seal from one whose seal or whose end was changed."""
    if _ORDINARY.match(line) is None or _PART_OF_SEAL.search(line, max(0, len(line) - _SEAL_BYTES)):
        return BROKEN_SEAL
    try:
        parse(line)
    except InvalidJson:
        return BROKEN_SEAL
    return NO_SEAL


# Judging


class _Inquiry:
    """Who is to blame: stretches in the order of their numbers, each held against the one before."""

    def __init__(self, lines: _Lines, last_line: bytes) -> None:
        self.has_end = False
        self._lines = lines
        self._renumbered: set[int] = set()
        self._halves: set[int] = set()  # lines that go on in the next
        self._strays: set[int] = set()  # lines that hold no record of this log, or one that cannot be read
        self._records: list[_Stretch] = []  # each record once, in the order of numbers
        self._left: dict[int, bytes | None] = {}  # hashes that records once had, where it is not theirs; None: unknown
        self._renumber(last_line)
        stretches = [*self._numbered()]
        self._chain_begins = _first_of_chain(lines, stretches)
        self._candidates = _cut(stretches, {lines.numbers[index] + 1 for index in lines.ends})

    def findings(self) -> Iterator[Damage]:
        yield from self._doubled()
        yield from self._after_the_end()
        self._pass_over_strangers()
        yield from self._changed()
        yield from self._missing()
        yield from self._moved()
        yield from self._foreign()

    # What a line is, whatever it says

    def _renumber(self, last_line: bytes) -> None:
        """The line from whose hash the next one follows is the record before that, whatever its number."""
        lines = self._lines
        for index in reversed(lines.starts):
            if index == len(lines) - 1:
                number = _proven_number(lines, last_line)
            elif index not in lines.joined and lines.follows(index + 1, lines.hash(index)):
                number = lines.numbers[index + 1] - 1
            else:
                continue
            if number > 0 and number != lines.numbers[index]:
                self._renumbered.add(index)
                if self._is_second_half_of(index, number):
                    self._halves.add(index - 1)
                lines.numbers[index] = number

    def _is_second_half_of(self, index: int, number: int) -> bool:
        """Whether a line without a number is what was broken off the line above."""
        lines, above = self._lines, index - 1
        if index == 0 or lines.numbers[index] != UNNUMBERED or lines.is_sealed(above):
            return False
        return lines.numbers[above] in (number, UNNUMBERED) and lines.above(above) == number - 1

    def _numbered(self) -> Iterator[_Stretch]:
        """Yield the lines that hold a record, and set the others aside."""
        for each in self._lines.stretches():
            above = each.start - 1
            if each.start in self._halves:
                continue  # the next line is the record
            if each.first != UNNUMBERED:
                yield each
            elif above >= 0 and self._lines.hash(above) == BROKEN_SEAL and self._lines.numbers[above] != UNNUMBERED:
                self._halves.add(above)
            else:
                self._strays.add(each.start)

    # Which lines hold which records

    def _doubled(self) -> Iterator[Damage]:
        """Choose the lines of each record, and yield those that hold it again."""
        for first in sorted(self._candidates):
            candidates = self._candidates[first]
            before = self._hash_before(first, self._records[-1] if self._records else None)
            chosen = candidates[0] if len(candidates) == 1 else self._chosen(candidates, before)
            self._settle(chosen, before)
            self._records.append(chosen)
            for each in candidates:
                if each is not chosen and self._lines.are_same(each, chosen):
                    text = f"doubled: {_records(each)} once more, as in {_lines(chosen)}"
                    yield Damage(each.start + 1, first, "doubled", text)
                elif each is not chosen:
                    self._strays.update(range(each.start, each.stop))

    def _chosen(self, candidates: Sequence[_Stretch], before: bytes | None) -> _Stretch:
        """Of several that hold the same numbers, take the one that fits its neighbours and stands beside them."""
        lines, following = self._lines, self._following(candidates[0].last)
        should_be_sealed = candidates[0].first >= self._chain_begins

        def fit(each: _Stretch) -> tuple[bool, int, int]:
            last = each.stop - 1
            follows = before is not None and lines.follows(each.start, before)
            is_followed = any(lines.follows(index, lines.hash(last)) for index in following)
            beside = (lines.above(each.start) == each.first - 1) + (lines.below(last) == each.last + 1)
            return lines.is_sealed(each.start) == should_be_sealed, follows + is_followed, beside

        return max(candidates, key=fit)

    def _following(self, number: int) -> list[int]:
        """Return the lines that may hold the record after `number`, one of each hash."""
        return [*{self._lines.hash(each.start): each.start for each in self._candidates.get(number + 1, ())}.values()]

    def _settle(self, chosen: _Stretch, before: bytes | None) -> None:
        """Find out what hash the next record was chained to, if a record does not follow from `before`."""
        lines, index = self._lines, chosen.start
        if chosen.length > 1 or (before is not None and lines.follows(index, before)):
            lines.joined.pop(index, None)
            return
        if before is None or not lines.is_sealed(index):
            return
        computed, following = lines.hash_after(before, index), self._following(self._reach(chosen))
        if any(lines.follows(each, computed) for each in following):
            self._left[chosen.last] = computed
        elif following and not any(lines.follows(each, lines.hash(index)) for each in following):
            self._left[chosen.last] = None

    def _reach(self, stretch: _Stretch) -> int:
        return self._lines.joined.get(stretch.start, stretch.last)

    def _hash_before(self, number: int, previous: _Stretch | None) -> bytes | None:
        """Return the hash from which a record's should follow, None if that is not known."""
        if number <= self._chain_begins:
            return BEFORE_THE_FIRST
        if previous is None or self._reach(previous) != number - 1:
            return None
        last = previous.stop - 1
        return self._left.get(previous.last, self._lines.hash(last) if self._lines.is_sealed(last) else None)

    def _follows(self, stretch: _Stretch, previous: _Stretch | None) -> bool:
        """Whether a record is proven to be the one after `previous`."""
        before = self._hash_before(stretch.first, previous)
        if stretch.first < self._chain_begins:
            reached = self._reach(previous) if previous else 0
            return self._lines.is_unsealed(stretch.start) and reached == stretch.first - 1
        return before is not None and self._lines.follows(stretch.start, before)

    # What does not belong to them

    def _after_the_end(self) -> Iterator[Damage]:
        place = self._place_of_end()
        if place is None:
            return
        self.has_end = True
        beyond, self._records = self._records[place + 1 :], self._records[: place + 1]
        for each in beyond:
            if each.start < self._records[-1].start:
                self._strays.update(range(each.start, each.stop))
            else:
                text = f"foreign: {_records(each)} after session_end, which is the last"
                yield Damage(each.start + 1, each.first, "foreign", text)

    def _place_of_end(self) -> int | None:
        """Return which of the records ends the session, None if there is none; one that was forged ends nothing."""
        for place, each in enumerate(self._records):
            if each.stop - 1 in self._lines.ends:
                is_last = place == len(self._records) - 1
                if is_last or each.length > 1 or self._follows(each, self._records[place - 1] if place else None):
                    return place
        return None

    def _pass_over_strangers(self) -> None:
        """A single line out of order that nothing links to its neighbours was not moved: it is none of this log's."""
        linked = {each for pair in self._pairs() if self._follows(pair[1], pair[0]) for each in pair}
        above = 0
        for each in sorted(self._records):
            if each.length > 1 or each in linked or self._is_in_order(each, above):
                above = each.last
            else:
                self._strays.add(each.start)
        self._records = [each for each in self._records if each.start not in self._strays]

    def _is_in_order(self, stretch: _Stretch, above: int) -> bool:
        lines, index, number = self._lines, stretch.start, stretch.first
        below = lines.below(index)
        if min(above, lines.above(index)) >= number or (below <= number and below != UNNUMBERED):
            return False
        is_beside = number - 1 in (above, lines.above(index)) or below == number + 1
        return is_beside or lines.is_sealed(index) == (number >= self._chain_begins)

    def _pairs(self) -> Iterator[tuple[_Stretch | None, _Stretch]]:
        """Yield each record with the one before it."""
        yield from zip([None, *self._records], self._records, strict=False)

    def _foreign(self) -> Iterator[Damage]:
        """Yield the strays that nothing else explains, those that stand together as one."""
        start = None
        for index in sorted(self._strays):
            start = index if start is None else start
            if index + 1 not in self._strays:
                which = _Stretch(start, 0, index + 1 - start)
                text = "this is no record" if which.length == 1 else f"{_lines(which)} are no records"
                text = f"foreign: {text} of this log, or can no longer be read as one"
                yield Damage(start + 1, None, "foreign", text)
                start = None

    # What is wrong with them

    def _changed(self) -> Iterator[Damage]:
        """Yield the records whose content or hash is not what was written."""
        for previous, each in self._pairs():
            if not self._is_as_written(each, previous):
                line = each.start - 1 if each.start - 1 in self._halves else each.start
                yield Damage(line + 1, each.first, "changed", f"changed: {self._what_was_changed(each)}")

    def _is_as_written(self, stretch: _Stretch, previous: _Stretch | None) -> bool:
        """A record whose predecessor is lost can be held against nothing."""
        index, before = stretch.start, self._hash_before(stretch.first, previous)
        if index in self._renumbered or index in self._halves or index in self._lines.joined:
            return False
        if stretch.first < self._chain_begins:
            return self._lines.is_unsealed(index)
        return self._lines.is_sealed(index) if before is None else self._lines.follows(index, before)

    def _what_was_changed(self, stretch: _Stretch) -> str:
        lines, index, number = self._lines, stretch.start, stretch.first
        if index in lines.joined:
            return f"records {number:,} and {lines.joined[index]:,} have run into one line"
        if index in self._halves or index - 1 in self._halves:
            return f"record {number:,} was broken in two, and goes on in the next line"
        if index in self._renumbered:
            return f"record {number:,} by its hash; its number, or what stands around that, is another"
        if lines.is_unsealed(index):
            return f"{_records(stretch)} without salt and hash, in a log that has them"
        if not lines.is_sealed(index):
            return f"record {number:,} does not end as it should; nothing shows that the rest is what was written"
        if number < self._chain_begins:
            return f"{_records(stretch)} with salt and hash, where the others have none"
        return self._content_or_hash(stretch)

    def _content_or_hash(self, stretch: _Stretch) -> str:
        number = stretch.first
        if number in self._left:
            if self._left[number] is None:
                return f"record {number:,} is not what was written, and nothing shows that the next one is"
            return f"the hash of record {number:,} is another; what the record says is what was written"
        if 1 < number == self._chain_begins:
            return f"record {number:,} is not what was written, or those before it have lost salt and hash"
        if stretch.length == 1 and stretch == self._records[-1]:
            return f"record {number:,}, the last, is not what was written: its content, its salt or its hash"
        return f"record {number:,} is not what was written: its content or its salt"

    def _missing(self) -> Iterator[Damage]:
        """Yield the records that no line holds; a stray line where one should stand may be what is left of it."""
        reached = stop = 0
        for each in self._records:
            lost = range(reached + 1, each.first)
            if len(lost) == 1 and each.start == stop + 2 and {stop, stop + 1} <= self._strays:
                self._strays.remove(stop + 1)  # as when one byte became a line's end
            remains = sorted(self._strays_between(stop, each.start, len(lost)))
            for number, index in zip(lost, remains, strict=False):
                self._strays.remove(index)
                text = f"changed: here record {number:,} should stand; this is something else, or what is left of it"
                yield Damage(index + 1, number, "changed", text)
            if left := lost[len(remains) :]:
                yield Damage(each.start + 1, left[0], "missing", self._what_is_missing(left, each))
            reached, stop = self._reach(each), each.stop

    def _strays_between(self, start: int, stop: int, most: int) -> Iterator[int]:
        """Yield up to `most` strays: those that come right after one record, or right before the next."""
        index, end = start, stop
        while most > 0 and index in self._strays:
            yield index
            index, most = index + 1, most - 1
        while most > 0 and end > index and end - 1 in self._strays:
            yield end - 1
            end, most = end - 1, most - 1

    def _what_is_missing(self, lost: range, following: _Stretch) -> str:
        which = f"record {lost[0]:,}" if len(lost) == 1 else f"records {lost[0]:,} to {lost[-1]:,}"
        is_proven = following.length > 1 or following.stop < len(self._lines)
        doubt = "" if is_proven else "; or the number of this line, the last, is another, or it is none of this log's"
        return f"missing: {which}, before this line{doubt}"

    def _moved(self) -> Iterator[Damage]:
        """Yield the lines that stand out of their order."""
        there = {each: other for each, other in zip(self._records, sorted(self._records), strict=True) if each != other}
        if all(there[other] == each and each.length == other.length for each, other in there.items()):
            for each, other in there.items():
                if each.start < other.start:
                    text = f"swapped: {_lines(each)} and {_lines(other)} stand in each other's place"
                    yield Damage(each.start + 1, each.first, "moved", text)
            return
        in_order = {*_heaviest_rising(self._records)}
        for each in self._records:
            if each not in in_order:
                yield Damage(each.start + 1, each.first, "moved", f"moved: {_records(each)} out of place")


def _proven_number(lines: _Lines, last_line: bytes) -> int:
    """Return the number that the last line must have had if its hash fits with that one; UNNUMBERED if it does not."""
    index = len(lines) - 1
    if index > 0 and lines.numbers[index - 1] == UNNUMBERED:
        index -= 1  # half of the line, perhaps
    number, before = lines.above(index) + 1, lines.hash(index - 1) if index else BEFORE_THE_FIRST
    _, _, rest = last_line.partition(_SECOND_FIELD)
    seal = seal_of(b'{"seq":%d,%s%s' % (number, _SECOND_FIELD, rest))
    return number if seal is not None and seal.hash == linked(before, seal.digest) else UNNUMBERED


def _first_of_chain(lines: _Lines, stretches: Sequence[_Stretch]) -> int:
    """Return the first record that should have a hash: where this version went on with the log of an earlier one, it is
    not the first of all. BEYOND if none should.
    """
    sealed = [each for each in stretches if lines.is_sealed(each.start)]
    unsealed = [each for each in stretches if lines.is_unsealed(each.start)]
    if not sealed:
        return BEYOND
    if begun := [each for each in sealed if lines.follows(each.start, BEFORE_THE_FIRST)]:
        first = max(begun, key=lambda each: each.length).first
    else:
        first = min(each.first for each in sealed)
        first = max((each.last for each in unsealed if each.last < first), default=0) + 1
    against = sum(each.length for each in unsealed if each.last >= first)
    return first if against < sum(each.length for each in sealed) else BEYOND


def _cut(stretches: Sequence[_Stretch], at: Iterable[int]) -> dict[int, list[_Stretch]]:
    """Return stretches by their first number, cut so that any two hold the same numbers or none in common."""
    cuts = sorted({*at, *(each.first for each in stretches), *(each.last + 1 for each in stretches)})
    parts: dict[int, list[_Stretch]] = {}
    for each in stretches:
        inside = cuts[bisect_right(cuts, each.first) : bisect_left(cuts, each.last + 1)]
        for first, stop in pairwise([each.first, *inside, each.last + 1]):
            parts.setdefault(first, []).append(each.part(first, stop))
    return parts


def _heaviest_rising(stretches: Sequence[_Stretch]) -> list[_Stretch]:
    """Return those in whose order nothing has to be changed, so that of all lines the fewest have to be moved."""
    starts: list[int] = []  # where the heaviest parts end that rise so far
    parts: list[tuple[int, int]] = []  # their weights, ever higher as the starts are, and their last members
    before: list[int] = []
    for place, each in enumerate(stretches):
        at = end = bisect_left(starts, each.start)
        weight, last = parts[at - 1] if at else (0, -1)
        before.append(last)
        while end < len(parts) and parts[end][0] <= weight + each.length:
            end += 1
        starts[at:end], parts[at:end] = [each.start], [(weight + each.length, place)]
    rising = []
    place = parts[-1][1] if parts else -1
    while place >= 0:
        rising.append(stretches[place])
        place = before[place]
    return rising


def _records(stretch: _Stretch) -> str:
    return f"record {stretch.first:,}" if stretch.length == 1 else f"records {stretch.first:,} to {stretch.last:,}"


def _lines(stretch: _Stretch) -> str:
    return f"line {stretch.start + 1:,}" if stretch.length == 1 else f"lines {stretch.start + 1:,} to {stretch.stop:,}"
