"""A session whose log cannot be written waits; one that is laid aside is taken up: neither loses a thing."""

from __future__ import annotations

import asyncio

from chatrooms import started
from sessions import ListLog, Model, Watcher, session

from experiments.replay import replay
from simulation.events import LogStalled, MessagePosted, SessionEnded, SessionResumed, TurnPlanned
from simulation.inputs import ParticipantConnected, ParticipantPosted
from simulation.runtime.clock import VirtualClock, run_in_virtual_time
from simulation.runtime.session import STALLED_AFTER_SECONDS, SimulationSession

LIVELY = {"messages_per_minute": 60, "duration_seconds": 120, "user_response_probability": 1}


class RefusingLog(ListLog):
    """A disk that takes nothing for a while."""

    async def refuses_for(self, seconds: float) -> None:
        self.holds = True
        await asyncio.sleep(seconds)
        self.release()


def with_a_refusing_disk(script, **changes) -> tuple[RefusingLog, Watcher]:
    log, watcher = RefusingLog(), Watcher()

    async def main() -> None:
        subject = session(Model(), log, **(LIVELY | changes))
        subject.observe(watcher)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(subject.run())
            subject.receive(ParticipantConnected(1, resumable=True))
            await script(subject, log)

    run_in_virtual_time(main())
    return log, watcher


def said(log: ListLog, since: float, until: float) -> list[float]:
    return [r.elapsed for r in log.records if isinstance(r.event, MessagePosted) and since < r.elapsed < until]


def test_nothing_is_done_while_the_log_cannot_be_written_and_nothing_comes_in_a_heap():
    async def script(subject, log: RefusingLog) -> None:
        await asyncio.sleep(20)
        await log.refuses_for(60)

    log, _ = with_a_refusing_disk(script)
    (stalled,) = [record for record in log.records if isinstance(record.event, LogStalled)]
    assert 50 < stalled.event.seconds < 60
    assert said(log, 20 + STALLED_AFTER_SECONDS + 5, 80) == []
    assert len(said(log, 79.9, 80.1)) <= 2
    assert len(said(log, 80, 120)) > 20
    assert replay(log.records).difference is None


def test_the_end_comes_as_soon_as_it_can_be_written():
    async def script(subject, log: RefusingLog) -> None:
        await asyncio.sleep(100)
        await log.refuses_for(50)

    log, _ = with_a_refusing_disk(script)
    end = log.records[-1]
    assert isinstance(end.event, SessionEnded)
    assert end.elapsed == 150


def test_what_the_participant_writes_meanwhile_waits_and_is_shown_once_it_is_kept():
    async def script(subject, log: RefusingLog) -> None:
        await asyncio.sleep(20)
        refusing = asyncio.ensure_future(log.refuses_for(30))
        await asyncio.sleep(10)
        assert subject.is_stalled
        shown = len(subject.transcript)
        subject.receive(ParticipantPosted(content="are you there?", client_message_id="one"))
        subject.receive(ParticipantPosted(content="are you there?", client_message_id="one"))
        await asyncio.sleep(10)
        assert len(subject.transcript) == shown
        await refusing
        assert not subject.is_stalled

    log, watcher = with_a_refusing_disk(script)
    asked = [r for r in watcher.records if isinstance(r.event, MessagePosted) and r.event.sender == "user"]
    assert [record.elapsed for record in asked] == [50]
    assert replay(log.records).difference is None


def test_a_disk_that_is_slow_is_no_disk_that_refuses():
    async def script(subject, log: RefusingLog) -> None:
        for _ in range(60):
            await asyncio.sleep(0.5)
            await log.refuses_for(1.0)

    log, _ = with_a_refusing_disk(script)
    assert not [record for record in log.records if isinstance(record.event, LogStalled)]
    assert log.records[-1].elapsed == 120


def test_laid_aside_and_taken_up_again_it_has_one_log_without_a_seam():
    first, second, model = ListLog(), ListLog(), Model(latency=3)

    async def main() -> None:
        subject = session(model, first, **LIVELY)
        running = asyncio.ensure_future(subject.run())
        subject.receive(ParticipantConnected(1, resumable=True))
        await asyncio.sleep(30)
        age = subject.elapsed
        subject.lay_aside()
        await running
        assert first.is_closed
        await asyncio.sleep(1000)
        again = SimulationSession.resume(
            first.records, elapsed=age, gap_seconds=1000, model=model, clock=VirtualClock(), log=second
        )
        assert [record.seq for record in again.transcript] == [
            record.seq for record in first.records if isinstance(record.event, MessagePosted)
        ]
        again.receive(ParticipantConnected(2, resumable=True))
        await again.run()

    run_in_virtual_time(main())
    records = first.records + second.records
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    assert isinstance(second.records[0].event, SessionResumed)
    assert second.records[0].elapsed == 30
    assert records[-1].elapsed == 120
    planned = [record.event.turn_id for record in records if isinstance(record.event, TurnPlanned)]
    assert len(planned) == len(set(planned)) > 80
    assert replay(records).difference is None


def test_what_comes_to_a_session_that_was_laid_aside_is_nobodys():
    log = ListLog()

    async def main() -> None:
        subject = session(Model(), log, start=started(**LIVELY))
        running = asyncio.ensure_future(subject.run())
        await subject.begun()
        subject.lay_aside()
        await running
        known = len(log.lines)
        subject.receive(ParticipantPosted(content="too late"))
        assert len(log.lines) == known

    run_in_virtual_time(main())
