"""Which line of a log is to blame for what: how the stretches of its lines fit, and what explains where they do not."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from experiments.eventlog.chain import BEFORE_THE_FIRST, linked, seal_of
from experiments.eventlog.lines import BEYOND, BROKEN_SEAL, UNNUMBERED, Lines, Stretch

Kind = Literal["torn", "changed", "missing", "doubled", "moved", "foreign"]
_SECOND_FIELD = b'"timestamp":'


class Damage(NamedTuple):
    """`line` counts from 1: the first of the lines concerned; where lines are missing, the one before which they stood.
    `seq` is the number of the (first) record concerned, None if that is none of this log's.
    """

    line: int
    seq: int | None
    kind: Kind
    text: str


class Inquiry:
    """Who is to blame: stretches in the order of their numbers, each held against the one before."""

    def __init__(self, lines: Lines, last_line: bytes) -> None:
        self.has_end = False
        self._lines = lines
        self._renumbered: set[int] = set()
        self._halves: set[int] = set()  # lines that go on in the next
        self._strays: set[int] = set()  # lines that hold no record of this log, or one that cannot be read
        self._records: list[Stretch] = []  # each record once, in the order of numbers
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

    def _numbered(self) -> Iterator[Stretch]:
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

    def _chosen(self, candidates: Sequence[Stretch], before: bytes | None) -> Stretch:
        """Of several that hold the same numbers, take the one that fits its neighbours and stands beside them."""
        lines, following = self._lines, self._following(candidates[0].last)
        should_be_sealed = candidates[0].first >= self._chain_begins

        def fit(each: Stretch) -> tuple[bool, int, int]:
            last = each.stop - 1
            follows = before is not None and lines.follows(each.start, before)
            is_followed = any(lines.follows(index, lines.hash(last)) for index in following)
            beside = (lines.above(each.start) == each.first - 1) + (lines.below(last) == each.last + 1)
            return lines.is_sealed(each.start) == should_be_sealed, follows + is_followed, beside

        return max(candidates, key=fit)

    def _following(self, number: int) -> list[int]:
        """Return the lines that may hold the record after `number`, one of each hash."""
        return [*{self._lines.hash(each.start): each.start for each in self._candidates.get(number + 1, ())}.values()]

    def _settle(self, chosen: Stretch, before: bytes | None) -> None:
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

    def _reach(self, stretch: Stretch) -> int:
        return self._lines.joined.get(stretch.start, stretch.last)

    def _hash_before(self, number: int, previous: Stretch | None) -> bytes | None:
        """Return the hash from which a record's should follow, None if that is not known."""
        if number <= self._chain_begins:
            return BEFORE_THE_FIRST
        if previous is None or self._reach(previous) != number - 1:
            return None
        last = previous.stop - 1
        return self._left.get(previous.last, self._lines.hash(last) if self._lines.is_sealed(last) else None)

    def _follows(self, stretch: Stretch, previous: Stretch | None) -> bool:
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

    def _is_in_order(self, stretch: Stretch, above: int) -> bool:
        lines, index, number = self._lines, stretch.start, stretch.first
        below = lines.below(index)
        if min(above, lines.above(index)) >= number or (below <= number and below != UNNUMBERED):
            return False
        is_beside = number - 1 in (above, lines.above(index)) or below == number + 1
        return is_beside or lines.is_sealed(index) == (number >= self._chain_begins)

    def _pairs(self) -> Iterator[tuple[Stretch | None, Stretch]]:
        """Yield each record with the one before it."""
        yield from zip([None, *self._records], self._records, strict=False)

    def _foreign(self) -> Iterator[Damage]:
        """Yield the strays that nothing else explains, those that stand together as one."""
        start = None
        for index in sorted(self._strays):
            start = index if start is None else start
            if index + 1 not in self._strays:
                which = Stretch(start, 0, index + 1 - start)
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

    def _is_as_written(self, stretch: Stretch, previous: Stretch | None) -> bool:
        """A record whose predecessor is lost can be held against nothing."""
        index, before = stretch.start, self._hash_before(stretch.first, previous)
        if index in self._renumbered or index in self._halves or index in self._lines.joined:
            return False
        if stretch.first < self._chain_begins:
            return self._lines.is_unsealed(index)
        return self._lines.is_sealed(index) if before is None else self._lines.follows(index, before)

    def _what_was_changed(self, stretch: Stretch) -> str:
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

    def _content_or_hash(self, stretch: Stretch) -> str:
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

    def _what_is_missing(self, lost: range, following: Stretch) -> str:
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


def _proven_number(lines: Lines, last_line: bytes) -> int:
    """Return the number that the last line must have had if its hash fits with that one; UNNUMBERED if it does not."""
    index = len(lines) - 1
    if index > 0 and lines.numbers[index - 1] == UNNUMBERED:
        index -= 1  # half of the line, perhaps
    number, before = lines.above(index) + 1, lines.hash(index - 1) if index else BEFORE_THE_FIRST
    _, _, rest = last_line.partition(_SECOND_FIELD)
    seal = seal_of(b'{"seq":%d,%s%s' % (number, _SECOND_FIELD, rest))
    return number if seal is not None and seal.hash == linked(before, seal.digest) else UNNUMBERED


def _first_of_chain(lines: Lines, stretches: Sequence[Stretch]) -> int:
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


def _cut(stretches: Sequence[Stretch], at: Iterable[int]) -> dict[int, list[Stretch]]:
    """Return stretches by their first number, cut so that any two hold the same numbers or none in common."""
    cuts = sorted({*at, *(each.first for each in stretches), *(each.last + 1 for each in stretches)})
    parts: dict[int, list[Stretch]] = {}
    for each in stretches:
        inside = cuts[bisect_right(cuts, each.first) : bisect_left(cuts, each.last + 1)]
        for first, stop in pairwise([each.first, *inside, each.last + 1]):
            parts.setdefault(first, []).append(each.part(first, stop))
    return parts


def _heaviest_rising(stretches: Sequence[Stretch]) -> list[Stretch]:
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


def _records(stretch: Stretch) -> str:
    return f"record {stretch.first:,}" if stretch.length == 1 else f"records {stretch.first:,} to {stretch.last:,}"


def _lines(stretch: Stretch) -> str:
    return f"line {stretch.start + 1:,}" if stretch.length == 1 else f"lines {stretch.start + 1:,} to {stretch.stop:,}"
