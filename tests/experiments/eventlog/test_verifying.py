"""Whatever is done to a log, the line that it was done to is named; and a whole log is whole."""

from __future__ import annotations

import asyncio
import os
import random
import tracemalloc
from pathlib import Path

import pytest
from chatrooms import Chat
from hypothesis import example, given, settings
from hypothesis import strategies as st

from experiments.errors import NoLog
from experiments.eventlog.append import Committer
from experiments.eventlog.chain import BEFORE_THE_FIRST, Chain, erased, seal_of
from experiments.eventlog.folder import LogFolder
from experiments.eventlog.inquiry import Damage
from experiments.eventlog.verifying import verify

SESSION = "6f1d4c1e-4b0a-4d5e-9d7a-2f1b3c4d5e6f"


def written(*, hash: bytes = BEFORE_THE_FIRST, first: int = 0) -> list[bytes]:
    chat = Chat(messages_per_minute=60, latency=2, duration_seconds=30.0)
    chat.connects()
    chat.runs_to_its_end()
    chain = Chain(hash)
    return [chain.sealed(line) for line in chat.log()[first:]]


def sealed(count: int, *, end: bool = True, before: bytes = BEFORE_THE_FIRST) -> list[bytes]:
    """Return a log of short lines, quick to go through."""
    chain = Chain(before)
    types = ["session_start", *["message"] * (count - 2), "session_end" if end else "message"]
    return [chain.sealed(SHORT % (number, name.encode())) for number, name in enumerate(types, start=1)]


UNSEALED = b'{"seq":%d,"timestamp":"","elapsed":1.0,"event_type":"error","data":{}}\n'
SHORT = b'{"seq":%d,"timestamp":"2026-11-27T00:00:00+00:00","elapsed":1.0,"event_type":"%s","data":{"content":"hey"}}\n'
LINES = written()
SHORT_LOG = sealed(12)
BYTES = b"".join(LINES)
OTHER = written()


def damage(tmp_path: Path, *lines: bytes) -> tuple[Damage, ...]:
    path = tmp_path / f"{SESSION}.json"
    path.write_bytes(b"".join(lines))
    return verify(path).damage


def only(found: tuple[Damage, ...]) -> tuple[int, str]:
    assert len(found) == 1, found
    return found[0].line, found[0].kind


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("logs")


def test_a_whole_log_is_whole(tmp_path: Path):
    path = tmp_path / f"{SESSION}.json"
    path.write_bytes(BYTES)
    found = verify(path)
    assert found.damage == ()
    assert (found.records, found.erased, found.unsealed, found.has_end) == (len(LINES), 0, 0, True)
    seal = seal_of(LINES[-1])
    assert seal is not None
    assert found.head == seal.hash.hex()


def test_a_session_that_goes_on_is_whole(tmp_path: Path):
    path = tmp_path / f"{SESSION}.json"
    path.write_bytes(b"".join(LINES[:20]))
    found = verify(path)
    assert (found.damage, found.has_end) == ((), False)


@pytest.mark.parametrize("sync", ["fsync", "os"])
async def test_what_the_folder_writes_and_goes_on_writing_is_whole(tmp_path: Path, sync):
    committer = Committer()
    committer.start()
    logs = LogFolder(tmp_path, sync, committer)
    chat = Chat(messages_per_minute=60, latency=2, duration_seconds=30.0)
    chat.runs_to_its_end()
    lines = chat.log()
    for opened, part in ((logs.create(SESSION), lines[:9]), (None, lines[9:])):
        log, kept = opened or logs.reopen(SESSION, lambda: "2026-11-27T00:00:00+00:00").log, asyncio.Event()
        log.append(b"".join(part), kept.set)
        await kept.wait()
        log.close()
    await committer.stop()
    assert verify(logs.file(SESSION)).damage == ()


@settings(deadline=None)
@given(st.integers(0, len(BYTES) - 1), st.integers(1, 255))
def test_one_changed_byte_is_one_damaged_line(folder: Path, place: int, change: int):
    line = BYTES[:place].count(b"\n") + 1
    changed = BYTES[:place] + bytes([BYTES[place] ^ change]) + BYTES[place + 1 :]
    found = damage(folder, changed)
    assert only(found) == (line, "changed")
    assert found[0].seq == line


@pytest.mark.parametrize("new", [b"\n", b"9", b'"', b"\xff"])
@pytest.mark.parametrize("line", [1, 2, 11, 12], ids=["first", "second", "last but one", "last"])
def test_whichever_byte_of_a_line_is_changed_it_is_that_line(folder: Path, line: int, new: bytes):
    log = b"".join(SHORT_LOG)
    start = sum(map(len, SHORT_LOG[: line - 1]))
    for place in range(start, start + len(SHORT_LOG[line - 1])):
        if log[place : place + 1] != new:
            assert only(damage(folder, log[:place] + new + log[place + 1 :])) == (line, "changed"), place


CHANGES = {
    "the content": (b"hey", b"hoy", "is not what was written: its content or its salt"),
    "the salt": (b'"salt":"', b'"salt":"0', "does not end as it should"),
    "the number": (b'"seq":5', b'"seq":7', "record 5 by its hash; its number"),
    "the brace before": (b'{"seq"', b'["seq"', "record 5 by its hash; its number"),
    "the brace behind": (b'"}\n', b'")\n', "does not end as it should"),
    "a line's end put in": (b'"data":', b'"da\na":', "was broken in two, and goes on in the next line"),
    "the line's end": (b"}\n", b"} ", "records 5 and 6 have run into one line"),
}


@pytest.mark.parametrize(("old", "new", "told"), CHANGES.values(), ids=CHANGES)
def test_what_was_changed_is_told(tmp_path: Path, old: bytes, new: bytes, told: str):
    found = damage(tmp_path, *SHORT_LOG[:4], SHORT_LOG[4].replace(old, new), *SHORT_LOG[5:])
    assert only(found) == (5, "changed")
    assert told in found[0].text


def test_a_changed_hash_is_told_from_changed_content(tmp_path: Path):
    line = SHORT_LOG[4]
    line = line[:-4] + (b"0" if line[-4:-3] != b"0" else b"1") + line[-3:]
    found = damage(tmp_path, *SHORT_LOG[:4], line, *SHORT_LOG[5:])
    assert only(found) == (5, "changed")
    assert "the hash of record 5 is another; what the record says is what was written" in found[0].text


def test_of_the_last_record_it_is_not_claimed_to_be_known(tmp_path: Path):
    found = damage(tmp_path, *SHORT_LOG[:-1], SHORT_LOG[-1].replace(b"hey", b"hoy"))
    assert only(found) == (12, "changed")
    assert "its content, its salt or its hash" in found[0].text


def test_one_changed_byte_is_one_damaged_line_in_every_kind_of_log(tmp_path: Path):
    plain = [SHORT % (number, b"message") for number in range(1, 4)]
    stones = [erased(number, seal_of(line)) for number, line in enumerate(SHORT_LOG, start=1)]
    chain = Chain()
    resumed = [*plain, *(chain.sealed(SHORT % (number, b"message")) for number in range(4, 8))]
    for lines, first in ((resumed, 4), (stones, 1), (sealed(6, end=False), 1)):
        log = b"".join(lines)
        for place in range(sum(map(len, lines[: first - 1])), len(log), 3):
            for new in {bytes([log[place] ^ 1]), b"\n"} - {log[place : place + 1]}:
                found = damage(tmp_path, log[:place] + new + log[place + 1 :])
                assert only(found)[0] == log[:place].count(b"\n") + 1, (place, new)


@settings(deadline=None)
@given(st.integers(0, len(LINES) - 1), st.data())
def test_a_lost_line_is_missed(folder: Path, index: int, data):
    count = data.draw(st.integers(1, len(LINES) - index))
    found = damage(folder, *LINES[:index], *LINES[index + count :])
    if index + count == len(LINES):
        assert found == ()  # nobody can know what would have come; the missing end is told
    else:
        assert only(found) == (index + 1, "missing")
        assert f"{index + 1:,}" in found[0].text
        assert count == 1 or f"{index + count:,}" in found[0].text


@settings(deadline=None)
@given(st.integers(0, len(LINES) - 1), st.integers(0, len(LINES)))
@example(1, 0)
def test_a_doubled_line_is_named_wherever_it_stands(folder: Path, index: int, at: int):
    found = damage(folder, *LINES[:at], LINES[index], *LINES[at:])
    assert only(found)[1] == "doubled"
    assert found[0].line in (at + 1, index + 1, index + 2)
    assert f"record {index + 1:,} " in found[0].text


@settings(deadline=None)
@given(st.integers(0, len(LINES) - 1), st.integers(0, len(LINES) - 1))
def test_two_lines_that_have_changed_places_are_named(folder: Path, one: int, other: int):
    lines = list(LINES)
    lines[one], lines[other] = lines[other], lines[one]
    found = damage(folder, *lines)
    if one == other:
        assert found == ()
    else:
        assert only(found) == (min(one, other) + 1, "moved")
        assert f"{max(one, other) + 1:,}" in found[0].text


@settings(deadline=None)
@given(st.integers(0, len(LINES) - 1), st.integers(0, len(LINES) - 1))
def test_a_line_that_was_moved_far_is_named(folder: Path, index: int, to: int):
    if abs(index - to) < 2:
        return
    lines = [*LINES[:index], *LINES[index + 1 :]]
    lines.insert(to, LINES[index])
    found = damage(folder, *lines)
    assert only(found) == (to + 1, "moved")
    assert f"record {index + 1:,} " in found[0].text


def test_a_doubled_or_moved_part_is_told_once(tmp_path: Path):
    log = SHORT_LOG
    assert only(damage(tmp_path, *log[:9], *log[3:6], *log[9:])) == (10, "doubled")
    assert only(damage(tmp_path, *log, *log)) == (13, "doubled")
    assert only(damage(tmp_path, *log[:3], *log[6:], *log[3:6])) == (10, "moved")


def test_a_number_far_out_costs_nothing(tmp_path: Path):
    wild = b'{"seq":%d,"timestamp":""}\n' % 10**17
    assert only(damage(tmp_path, *SHORT_LOG, wild)) == (13, "foreign")
    assert only(damage(tmp_path, *SHORT_LOG[:5], wild, *SHORT_LOG[5:])) == (6, "foreign")
    assert only(damage(tmp_path, *SHORT_LOG[:5], wild, *SHORT_LOG[6:])) == (6, "changed")
    assert only(damage(tmp_path, *SHORT_LOG[:5], wild)) == (6, "foreign")
    found = damage(tmp_path, *SHORT_LOG[:5], Chain().sealed(wild))
    assert only(found) == (6, "missing")
    assert "or the number of this line, the last, is another, or it is none of this log's" in found[0].text


FOREIGN = {
    "of another log, with the same number": lambda at: OTHER[min(at, len(OTHER) - 1)],
    "of another log, with another number": lambda at: OTHER[(at + 7) % len(OTHER)],
    "no record": lambda at: b'{"hello":"there"}\n',
    "no JSON": lambda at: b"hello there\n",
    "empty": lambda at: b"\n",
    "no text": lambda at: b"\xff\x00\xfe\n",
    "a record without a hash": lambda at: (
        b'{"seq":%d,"timestamp":"","elapsed":1.0,"event_type":"error","data":{}}\n' % at
    ),
}


def test_foreign_lines_that_stand_together_are_told_once(tmp_path: Path):
    found = damage(tmp_path, *SHORT_LOG[:5], *[b"nothing\n"] * 1000, *SHORT_LOG[5:])
    assert only(found) == (6, "foreign")
    assert "lines 6 to 1,005" in found[0].text


@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("at", [0, 1, 10, len(LINES) - 1])
def test_a_foreign_line_is_named(tmp_path: Path, make, at: int):
    assert only(damage(tmp_path, *LINES[:at], make(at), *LINES[at:])) == (at + 1, "foreign")


@pytest.mark.parametrize("at", [1, 10, len(LINES) - 2])
def test_a_line_that_was_put_in_anothers_place_is_named(tmp_path: Path, at: int):
    assert only(damage(tmp_path, *LINES[:at], OTHER[at], *LINES[at + 1 :])) == (at + 1, "changed")
    assert only(damage(tmp_path, *LINES[:at], b"nothing\n", *LINES[at + 1 :])) == (at + 1, "changed")


@pytest.mark.parametrize("end", [True, False])
@pytest.mark.parametrize("at", range(1, 11))
def test_so_is_one_with_another_number(tmp_path: Path, at: int, end: bool):
    lines, others = sealed(12, end=end), sealed(20)
    for other in (others[(at + 5) % 20], others[15]):
        assert only(damage(tmp_path, *lines[:at], other, *lines[at + 1 :])) == (at + 1, "changed")


def test_what_stands_after_the_end_is_foreign(tmp_path: Path):
    chain = Chain(seal_of(LINES[-1]).hash)
    late = chain.sealed(UNSEALED % (len(LINES) + 1))
    assert only(damage(tmp_path, *LINES, late)) == (len(LINES) + 1, "foreign")


@pytest.mark.parametrize("cut", [1, 2, 50, 200])
def test_a_torn_end_is_named_with_its_size(tmp_path: Path, cut: int):
    found = damage(tmp_path, BYTES[:-cut])
    torn = len(BYTES[:-cut]) - BYTES[:-cut].rfind(b"\n") - 1
    assert only(found) == (BYTES[:-cut].count(b"\n") + 1, "torn")
    assert f"{torn:,} bytes" in found[0].text


def test_a_whole_record_without_its_line_s_end_is_torn_too(tmp_path: Path):
    assert only(damage(tmp_path, *SHORT_LOG[:5], SHORT_LOG[5][:-1])) == (6, "torn")
    assert only(damage(tmp_path, SHORT_LOG[0][:40])) == (1, "torn")


def test_two_things_are_two(tmp_path: Path):
    lines = list(LINES)
    lines[20] = lines[20].replace(b'"elapsed":', b'"elapsed":1')
    del lines[10]
    found = damage(tmp_path, *lines, b"half a li")
    assert [(each.line, each.kind) for each in found] == [(11, "missing"), (20, "changed"), (len(LINES), "torn")]


def test_erased_records_are_counted_and_no_damage(tmp_path: Path):
    stones = [erased(number, seal_of(line)) for number, line in enumerate(LINES, start=1)]
    last = Chain(seal_of(LINES[-1]).hash).sealed(
        b'{"seq":%d,"timestamp":"","elapsed":30.0,"event_type":"participant_erased","data":{}}\n' % (len(LINES) + 1)
    )
    path = tmp_path / f"{SESSION}.json"
    path.write_bytes(b"".join((*stones, last)))
    found = verify(path)
    assert found.damage == ()
    assert (found.records, found.erased) == (len(LINES) + 1, len(LINES))
    stones[5] = stones[5].replace(b'"digest":"', b'"digest":"0')
    assert only(damage(tmp_path, *stones, last))[0] == 6


@pytest.mark.parametrize("by_hand", ["one", "all", "all, and the end is lost"])
def test_records_that_were_erased_without_an_account_are_damage(tmp_path: Path, by_hand: str):
    stones = [erased(number, seal_of(line)) for number, line in enumerate(LINES, start=1)]
    lines = {"one": [*LINES[:4], stones[4], *LINES[5:]], "all": stones, "all, and the end is lost": stones[:-3]}
    found = damage(tmp_path, *lines[by_hand])
    assert only(found) == (len(lines[by_hand]), "changed")
    assert "no participant_erased" in found[0].text


def test_a_log_of_an_earlier_version_is_looked_through_as_far_as_that_goes(tmp_path: Path):
    plain = [line.partition(b',"salt"')[0] + b"}\n" for line in LINES]
    path = tmp_path / f"{SESSION}.json"
    path.write_bytes(b"".join(plain))
    found = verify(path)
    assert (found.damage, found.unsealed, found.head) == ((), len(LINES), None)
    assert only(damage(tmp_path, *plain[:5], *plain[6:])) == (6, "missing")


def test_one_that_this_version_went_on_with_has_a_chain_from_there_on(tmp_path: Path):
    plain = [line.partition(b',"salt"')[0] + b"}\n" for line in LINES]
    chain = Chain()
    sealed = [chain.sealed(line) for line in plain[10:]]
    assert damage(tmp_path, *plain[:10], *sealed) == ()
    sealed[3] = sealed[3].replace(b'"elapsed":', b'"elapsed":1')
    assert only(damage(tmp_path, *plain[:10], *sealed)) == (14, "changed")


def test_where_the_first_records_with_a_hash_are_lost_the_older_ones_are_still_whole(tmp_path: Path):
    chain = Chain()
    plain = [SHORT % (number, b"message") for number in range(1, 6)]
    later = [chain.sealed(SHORT % (number, b"message")) for number in range(6, 13)]
    assert only(damage(tmp_path, *plain, *later[2:])) == (6, "missing")


def test_a_line_that_has_lost_its_hash_is_no_line_of_an_earlier_version(tmp_path: Path):
    bare = SHORT_LOG[4].partition(b',"salt"')[0] + b"}\n"
    found = damage(tmp_path, *SHORT_LOG[:4], bare, *SHORT_LOG[5:])
    assert only(found) == (5, "changed")
    assert "record 5 without salt and hash" in found[0].text


def test_in_an_earlier_version_s_log_a_record_with_another_s_number_is_not_that_one_doubled(tmp_path: Path):
    plain = [SHORT % (number, b"message") for number in range(1, 13)]
    assert only(damage(tmp_path, *plain[:4], plain[6].replace(b"hey", b"hoy"), *plain[5:])) == (5, "changed")


def test_an_earlier_version_s_log_with_a_foreign_record_is_still_one(tmp_path: Path):
    plain = [SHORT % (number, b"message") for number in range(1, 13)]
    for at in range(12):
        assert only(damage(tmp_path, *plain[:at], SHORT_LOG[at], *plain[at:])) == (at + 1, "foreign")


@pytest.mark.parametrize("content", ["nothing\nof the kind\n", "nothing of the kind", '{"a": 1}', "\n"])
def test_what_is_no_log_is_none(tmp_path: Path, content: str):
    path = tmp_path / "notes.json"
    path.write_text(content)
    with pytest.raises(NoLog):
        verify(path)


def test_a_log_that_has_only_just_been_made_is_one(tmp_path: Path):
    assert damage(tmp_path) == ()


@settings(deadline=None)
@given(st.randoms(use_true_random=False))
def test_several_things_at_once_are_never_whole(folder: Path, chance: random.Random):
    lines = list(SHORT_LOG)
    for _ in range(chance.randrange(1, 5)):
        at = chance.randrange(len(lines))
        match chance.randrange(4):
            case 0:
                lines.insert(chance.randrange(len(lines)), lines[at])
            case 1:
                lines[at] = lines[at].replace(b"hey", b"hoy").replace(b"timestamp", b"time")
            case 2:
                lines.insert(at, b"nothing\n")
            case 3:
                rest = lines[at][: chance.randrange(len(lines[at]))]
                lines[at] = rest or b"{"  # without its last line it is the log of a session that is not over, and whole
    found = damage(folder, *lines)
    assert found
    assert [each.line for each in found] == sorted(each.line for each in found)


@pytest.mark.parametrize("what", ["whole", "changed", "lost", "swapped", "numbered"])
def test_a_line_costs_its_72_bytes_whatever_was_done(tmp_path: Path, what: str):
    count = 10_000
    lines = sealed(count)
    match what:
        case "changed":
            lines[count // 2] = lines[count // 2].replace(b"hey", b"hoy")
        case "lost":
            del lines[count // 2]
        case "swapped":
            lines[10], lines[-10] = lines[-10], lines[10]
        case "numbered":
            lines[-1] = lines[-1].replace(b'"seq":1', b'"seq":9')
    path = tmp_path / "long.json"
    path.write_bytes(b"".join(lines))
    tracemalloc.start()
    found = verify(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found.damage) == (what != "whole")
    assert peak < 1.3 * 72 * count + 100_000  # lists grow by an eighth at a time


def test_nothing_is_written(tmp_path: Path):
    path = tmp_path / f"{SESSION}.json"
    path.write_bytes(BYTES[:-3])
    before = (path.read_bytes(), os.stat(path).st_mtime_ns, sorted(tmp_path.iterdir()))
    verify(path)
    assert (path.read_bytes(), os.stat(path).st_mtime_ns, sorted(tmp_path.iterdir())) == before


def test_the_ten_lines_of_the_documentation_say_the_same(tmp_path: Path):
    page = (Path(__file__).parents[3] / "docs" / "log.md").read_text()
    by_hand: dict = {}
    exec(page.partition("```python\n")[2].partition("```")[0], by_hand)
    path = tmp_path / f"{SESSION}.json"
    path.write_bytes(BYTES)
    assert by_hand["is_whole"](path)
    path.write_bytes(BYTES.replace(b'"elapsed":', b'"elapsed":1', 1))
    assert not by_hand["is_whole"](path)
