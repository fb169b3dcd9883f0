"""The runtime writes before it shows, asks models without waiting for them, and ends on time."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from chatrooms import started
from sessions import Answering, ListLog, Model, Watcher, session

from simulation.codec import encode
from simulation.effects import Generate, ShowTyping
from simulation.errors import GenerationError
from simulation.events import ErrorRaised, MessagePosted, ModelCalled, SessionEnded
from simulation.generation import Generation, Usage
from simulation.inputs import EndRequested, ParticipantConnected, ParticipantDisconnected, ParticipantPosted
from simulation.parameters import Timing
from simulation.room import Room
from simulation.runtime.clock import VirtualClock, run_in_virtual_time


async def running(model: Model, log: ListLog, script, **changes) -> None:
    """Run a session while `script(session)` takes part in it; return when it is over."""
    subject = session(model, log, **changes)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(subject.run())
        await script(subject)


def run(script=None, *, model: Model | None = None, log: ListLog | None = None, **changes) -> ListLog:
    async def nothing(subject) -> None: ...

    log = log or ListLog()
    run_in_virtual_time(running(model or Model(), log, script or nothing, **changes))
    return log


def test_the_log_begins_with_its_start_and_ends_with_its_end():
    log = run(messages_per_minute=6)
    assert log.kinds[0] == "session_start"
    assert log.kinds[-1] == "session_end"
    assert [record.seq for record in log.records] == list(range(1, len(log.records) + 1))
    assert log.is_closed


def test_the_clock_does_not_wait_for_the_model():
    model = Model(latency=8)
    log = run(model=model, messages_per_minute=20)
    drawn = [record.elapsed for record in log.records if record.event.event_type in ("turn_planned", "turn_waiting")]
    assert model.asked > 200
    assert any(second - first < 8 for first, second in pairwise(drawn))


def test_a_session_ends_on_time_with_a_model_that_never_answers_and_lets_go_of_it():
    model = Model(latency=10**9)
    log = run(model=model, messages_per_minute=20, duration_seconds=120)
    assert log.records[-1].elapsed == 120
    assert model.cancelled == model.asked == 5
    assert log.kinds.count("session_end") == 1


def test_no_model_is_asked_once_the_participant_is_gone_for_good():
    model = Model()

    async def drops_out(subject) -> None:
        subject.receive(ParticipantConnected(1, resumable=False))
        await asyncio.sleep(30)
        subject.receive(ParticipantDisconnected(1))

    log = run(drops_out, model=model, messages_per_minute=60, user_response_probability=1)
    asked = model.asked
    assert 20 < asked < 40
    assert log.records[-1].event == SessionEnded(
        elapsed=30.0, session_id=started().session_id, reason="websocket_disconnect"
    )


def test_nothing_is_shown_before_it_is_kept():
    log, watcher = ListLog(holds=True), Watcher()

    async def posts(subject) -> None:
        subject.observe(watcher)
        subject.receive(ParticipantPosted(content="hi"))
        await asyncio.sleep(10)
        assert log.kinds == ["session_start", "message"]
        assert (watcher.records, subject.transcript) == ([], [])
        log.release()
        assert [record.event.event_type for record in watcher.records] == ["session_start", "message"]
        assert [record.event.content for record in subject.transcript] == ["hi"]

    run(posts, log=log)


def test_the_transcript_is_what_the_participant_may_see_by_position():
    seen = []

    async def watches(subject) -> None:
        await asyncio.sleep(899)
        seen.extend(subject.transcript)

    run(watches, messages_per_minute=20)
    assert [record.event.position for record in seen] == list(range(1, len(seen) + 1))


class Speechless(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError("as arranged")


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (lambda: GenerationError("busy", kind="rate_limited"), "rate_limited", "GenerationError: busy"),
        (lambda: KeyError("surprise"), "failed", "KeyError: 'surprise'"),
        (lambda: asyncio.CancelledError("by itself"), "failed", "CancelledError: by itself"),
        (lambda: GeneratorExit("odd"), "failed", "GeneratorExit: odd"),
        (lambda: Speechless(), "failed", "Speechless: <exception str() failed>"),
    ],
)
def test_a_model_that_fails_is_logged_and_costs_its_turn_alone(error, status, text):
    log = run(model=Model(error=error()), messages_per_minute=6)
    calls = [record.event for record in log.records if isinstance(record.event, ModelCalled)]
    assert calls
    assert {(call.status, call.error, call.response) for call in calls} == {(status, text, None)}
    assert log.records[-1].event.reason == "duration_expired"


NONSENSE = {
    "nothing": None,
    "a string": "hello",
    "a number for text": Generation(text=5),
    "bytes for text": Generation(text=b"hello"),
    "no usage": Generation(text="hi", usage=None),
    "too many tokens": Generation(text="hi", usage=Usage(input_tokens=2**64)),
    "an object for a model": Generation(text="hi", served_model=object()),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_an_answer_that_is_none_costs_its_turn_alone(name):
    log = run(model=Answering(NONSENSE[name]), messages_per_minute=6)
    calls = [record.event for record in log.records if isinstance(record.event, ModelCalled)]
    assert {(call.status, call.response) for call in calls} == {("failed", None)}
    assert log.records[-1].event.reason == "duration_expired"


def test_a_record_that_cannot_be_written_ends_the_session_and_leaves_no_gap(monkeypatch):
    def breaks(record) -> bytes:
        if isinstance(record.event, ModelCalled):
            raise ZeroDivisionError("as arranged")
        return encode(record)

    monkeypatch.setattr("simulation.runtime.session.encode", breaks)
    log = run(messages_per_minute=6)
    assert [record.seq for record in log.records] == list(range(1, len(log.records) + 1))
    assert log.kinds[-2:] == ["error", "session_end"]


def test_a_session_that_is_over_takes_nothing():
    async def posts_afterwards() -> None:
        subject = session(Model(), log, duration_seconds=3.0)
        await subject.run()
        length = len(log.lines)
        subject.receive(ParticipantPosted(content="too late"))
        assert len(log.lines) == length

    log = ListLog()
    run_in_virtual_time(posts_afterwards())


def test_a_call_is_logged_with_what_was_asked_and_how_long_it_took():
    log = run(model=Model(latency=2.5), messages_per_minute=6)
    call = next(record.event for record in log.records if isinstance(record.event, ModelCalled))
    assert (call.provider, call.requested_model, call.latency_ms, call.status) == ("fake", "fake-1", 2500, "ok")
    assert call.prompt.startswith("You are ")
    assert call.response.startswith("hello")


def test_an_error_of_ours_ends_this_session_and_stands_in_its_log(monkeypatch):
    def breaks(self, *args, **kwargs):
        raise ZeroDivisionError("as arranged")

    monkeypatch.setattr(Room, "_participant_posted", breaks)

    async def posts(subject) -> None:
        await asyncio.sleep(5)
        subject.receive(ParticipantPosted(content="hi"))

    log = run(posts)
    error, end = (record.event for record in log.records[-2:])
    assert isinstance(error, ErrorRaised)
    assert (error.error_type, error.context) == ("ZeroDivisionError", {"where": "handling ParticipantPosted"})
    assert end.reason == "error"


def test_inputs_from_within_an_observer_wait_their_turn():
    class Chatty(Watcher):
        def record_kept(self, record) -> None:
            super().record_kept(record)
            if isinstance(record.event, MessagePosted) and record.event.content == "ping":
                self.subject.receive(ParticipantPosted(content="pong"))

    watcher = Chatty()

    async def posts(subject) -> None:
        watcher.subject = subject
        subject.observe(watcher)
        subject.receive(ParticipantPosted(content="ping"))

    log = run(posts)
    contents = [record.event.content for record in log.records if isinstance(record.event, MessagePosted)]
    assert contents == ["ping", "pong"]


def test_observers_are_told_of_typing_and_may_leave():
    watcher, left = Watcher(), Watcher()

    async def watches(subject) -> None:
        subject.observe(watcher)
        subject.observe(left)
        subject.forget(left)
        subject.forget(left)

    run(watches, messages_per_minute=6, timing=Timing())
    assert any(isinstance(effect, ShowTyping) for effect in watcher.effects)
    assert not any(isinstance(effect, Generate) for effect in watcher.effects)
    assert left.records == left.effects == []


def test_an_end_from_outside_is_an_end():
    async def ends(subject) -> None:
        await asyncio.sleep(10)
        assert subject.seconds_left == 890
        subject.receive(EndRequested("researcher"))
        subject.receive(ParticipantPosted(content="too late"))

    log = run(ends, messages_per_minute=6)
    assert log.records[-1].event.reason == "researcher"


def test_same_seed_and_same_inputs_give_the_same_bytes_through_the_runtime():
    async def posts(subject) -> None:
        for second in range(10):
            await asyncio.sleep(7.3)
            subject.receive(ParticipantPosted(content=f"message {second}"))

    first, second = (
        run(posts, model=Model(latency=3), messages_per_minute=20, user_response_probability=0.5) for _ in range(2)
    )
    assert first.lines == second.lines


def test_sessions_side_by_side_share_nothing():
    logs = [ListLog(), ListLog()]

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            for number, log in enumerate(logs):
                start = started(seed=number, session_id=f"00000000-0000-4000-8000-00000000000{number}")
                subject = session(Model(text=f"only in {number}"), log, start)
                subject.receive(ParticipantPosted(content=f"said in {number}"))
                tasks.create_task(subject.run())

    run_in_virtual_time(main())
    for number, log in enumerate(logs):
        assert f"in {1 - number}".encode() not in b"".join(log.lines)


def test_a_moment_of_the_session_can_be_waited_for():
    moments = []

    async def main() -> None:
        await asyncio.sleep(1000)
        await running(Model(), ListLog(), waits)

    async def waits(subject) -> None:
        subject.call_at(12.5, lambda: moments.append(VirtualClock().monotonic()))

    run_in_virtual_time(main())
    assert moments == [1012.5]
