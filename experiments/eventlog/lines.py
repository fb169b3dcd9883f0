"""What is remembered of a log's lines in one reading: where stretches of them follow one another, and where not."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from experiments.eventlog.chain import digest as digest_of
from experiments.eventlog.chain import linked, seal_of
from simulation.errors import InvalidJson
from simulation.strict_json import parse

UNNUMBERED = -1
BEYOND = 1 << 62
"""Greater than any number that a line may have."""
NO_SEAL = bytes(31) + b"\x01"
"""In place of the hash of a record that never had one, as earlier versions wrote it. No hash follows from it."""
BROKEN_SEAL = bytes(31) + b"\x02"
"""In place of a hash that cannot be read, and of that of a line that is no record."""
_NUMBER = re.compile(rb'\{"seq":(\d{1,18}),')
_ORDINARY = re.compile(rb'\{"seq":\d{1,18},"timestamp":')
_PART_OF_SEAL = re.compile(rb'"(?:salt|hash)":"')
_SEAL_BYTES = 140
_END = b'"event_type":"session_end"'
LONGEST_HEAD = 200
"""Bytes of a line in which its number and its type stand."""


class Stretch(NamedTuple):
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

    def part(self, first: int, stop: int) -> Stretch:
        return Stretch(self.start + first - self.first, first, stop - first)


class Lines:
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
        if _END in line[:LONGEST_HEAD]:
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

    def stretches(self) -> Iterator[Stretch]:
        for start, stop in pairwise([*self.starts, len(self)]):
            yield Stretch(start, self.numbers[start], stop - start)

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

    def are_same(self, one: Stretch, other: Stretch) -> bool:
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
