"""How fast a participant may write, and what becomes of what is too fast: it comes later, and is never lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from participants import ours, plain
from servers import serving

from server.allowance import MOST_IGNORED, Allowance
from simulation.events import MessagePosted
from simulation.parameters import MessageLimits


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def allowance(clock: Clock, rate: float = 1.0, burst: int = 5) -> Allowance:
    return Allowance(MessageLimits(messages_per_second=rate, message_burst=burst), clock)


def test_so_many_at_once_and_then_one_at_a_time(clock: Clock):
    allowed = allowance(clock)
    assert [allowed.take() for _ in range(7)] == [0, 0, 0, 0, 0, 1.0, 1.0]
    clock.now += 1.0
    assert [allowed.take(), allowed.take()] == [0, 1.0]


def test_whoever_waits_as_told_is_let_through(clock: Clock):
    allowed, taken = allowance(clock, rate=0.5, burst=1), 0
    began = clock.now
    while taken < 10:
        wait = allowed.take()
        clock.now += wait
        taken += wait == 0
    assert clock.now - began == pytest.approx(18.0)
    assert not allowed.is_ignored


def test_whoever_waits_as_told_is_let_through_however_long_they_write(clock: Clock):
    allowed, taken = allowance(clock, rate=20), 0
    while taken < 10 * MOST_IGNORED:
        wait = allowed.take()
        clock.now += wait
        taken += wait == 0
        assert not allowed.is_ignored


def test_whoever_goes_on_and_on_faster_than_they_are_told_is_noticed(clock: Clock):
    allowed = allowance(clock)
    for _ in range(20 * 10):
        allowed.take()
        clock.now += 0.05
    assert allowed.is_ignored


def test_whoever_does_not_is_noticed(clock: Clock):
    allowed = allowance(clock)
    for _ in range(5 + MOST_IGNORED):
        allowed.take()
    assert not allowed.is_ignored
    allowed.take()
    assert allowed.is_ignored


def test_whoever_heeds_it_at_last_begins_anew(clock: Clock):
    allowed = allowance(clock)
    for _ in range(90):
        allowed.take()
    clock.now += 5.0
    for _ in range(90):
        allowed.take()
    assert not allowed.is_ignored


def test_no_limit_is_no_limit(clock: Clock):
    allowed = allowance(clock, rate=0)
    assert {allowed.take() for _ in range(1000)} == {0}
    assert {allowed.reserve() for _ in range(1000)} == {0}


def test_places_in_a_row_are_a_second_apart(clock: Clock):
    allowed = allowance(clock, burst=2)
    assert [allowed.reserve() for _ in range(5)] == [0, 0, 1.0, 2.0, 3.0]


async def test_too_fast_is_told_when_to_come_again(tmp_path: Path):
    limits = {"messages_per_second": 10, "message_burst": 3}
    async with serving(tmp_path, limits=limits) as server, ours(server) as participant:
        for number in range(4):
            await participant.posts(f"message {number}", client_message_id=str(number))
        refused = await participant.expects("error", code="rate_limited")
        assert refused["client_message_id"] == "3"
        assert 0 < refused["retry_after"] <= 0.2
        await asyncio.sleep(refused["retry_after"])
        await participant.posts("message 3", client_message_id="3")
        await participant.expects_echo("message 3")


async def test_what_is_known_may_be_sent_as_often_as_one_likes(tmp_path: Path):
    limits = {"messages_per_second": 0.1, "message_burst": 1}
    async with serving(tmp_path, limits=limits) as server, ours(server) as participant:
        for _ in range(200):
            await participant.posts("hello", client_message_id="one")
            assert (await participant.expects_echo("hello"))["position"] == 1
        assert _contents(server.log_of(participant.session_id)) == ["hello"]


async def test_another_connection_is_no_other_allowance(tmp_path: Path):
    limits = {"messages_per_second": 0.1, "message_burst": 1}
    async with serving(tmp_path, limits=limits) as server, ours(server) as participant:
        await participant.posts("one")
        await participant.expects_echo("one")
        async with ours(server, participant.session_id) as again:
            await again.posts("two", client_message_id="two")
            await again.expects("error", code="rate_limited", client_message_id="two")


async def test_whoever_ignores_it_a_hundred_times_is_closed_and_may_come_back(tmp_path: Path):
    limits = {"messages_per_second": 1, "message_burst": 5}
    async with serving(tmp_path, limits=limits) as server, ours(server) as participant:
        for number in range(120):
            await participant.posts(f"message {number}")
        assert await participant.reads_until_closed() == 4429
        async with ours(server, participant.session_id) as back:
            await back.expects("backlog_end")


async def test_the_plain_protocol_loses_nothing_it_only_takes_a_little(tmp_path: Path):
    limits = {"messages_per_second": 20, "message_burst": 2}
    async with serving(tmp_path, limits=limits) as server, plain(server) as participant:
        for number in range(10):
            await participant.posts(f"message {number}")
        async with asyncio.timeout(10):
            while len(said := _contents(server.log_of(participant.session_id))) < 10:
                await asyncio.sleep(0.02)
    assert said == [f"message {number}" for number in range(10)]


def _contents(records) -> list[str]:
    posted = [record.event for record in records if isinstance(record.event, MessagePosted)]
    return [event.content for event in posted if event.sender == "user"]


async def test_a_sockets_address_cannot_be_knocked_at_for_ever(tmp_path: Path):
    async with serving(tmp_path, settings={"handshakes_per_minute": 3}) as server, ours(server) as participant:
        codes = []
        for _ in range(4):
            async with ours(server, participant.session_id, hello=False) as another:
                codes.append(await another.reads_until_closed() if len(codes) > 1 else await another.says_hello())
    assert codes[2:] == [4429, 4429]
