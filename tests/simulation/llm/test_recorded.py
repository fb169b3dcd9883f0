"""A session that is run again from its log hears the same answers after the same time, whoever gave them then."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from chatrooms import started
from lines import HANGS, Peer, Said, Wired, canned, fails, says, turn
from sessions import ListLog

from simulation.codec import Record, encode
from simulation.errors import UnknownProvider
from simulation.events import (
    AnyEvent,
    MessagePosted,
    ModelCalled,
    ModelDegraded,
    ModelRecovered,
    SessionEnded,
    TurnAnswered,
    TurnDeferred,
    TurnDropped,
    TurnPlanned,
)
from simulation.generation import LanguageModel, Usage
from simulation.inputs import EndRequested, ParticipantPosted
from simulation.llm.recorded import RecordedModel, RecordedProvider, answers_in
from simulation.llm.registry import choices_of, is_on_the_wire
from simulation.parameters import Budget, ModelChoice, OnModelFailure, Timing
from simulation.runtime.clock import VirtualClock, run_in_virtual_time
from simulation.runtime.session import SimulationSession

POSTS = ((20.0, "hello"), (61.5, "@Bob are you there?"), (140.25, "what was that?"), (333.333, "ok then"))
LAST_SECOND = 600.0
OF_TURNS = (TurnDeferred, TurnPlanned, ModelCalled, TurnAnswered, TurnDropped, ModelDegraded, ModelRecovered)
SILENCE = OnModelFailure()


def moody(number: int) -> Said:
    """A provider that has every kind of day."""
    match number % 9:
        case 1:
            return fails("unavailable", after=0.7, retry_after=1.0, http_status=503)
        case 3:
            return fails("rate_limited", after=0.2, retry_after=2.5, http_status=429)
        case 4:
            return fails("rejected", after=1.1, http_status=400, request_id="r-4")
        case 5:
            return says("", after=1.9)
        case 6:
            return says(None, after=0.6, finish_reason="content_filter", reason="SAFETY")
        case 7:
            return HANGS
    usage = Usage(input_tokens=100, output_tokens=7)
    return says(f"answer {number}", after=0.3 + 0.4137 * (number % 5), usage=usage, served_model="small")


def study(on_model_failure: OnModelFailure = SILENCE, **changes) -> Wired:
    return Wired(
        Peer(moody),
        messages_per_minute=12.0,
        user_response_probability=1.0,
        timing=Timing(),
        on_model_failure=on_model_failure,
        limits={"attempt_seconds": 6.0, "turn_seconds": 9.0},
        **changes,
    )


def played(model: LanguageModel, of: Wired) -> list[Record]:
    """Run the session with this model and the participant's posts, to a moment at which no call is under way."""
    log = ListLog()

    async def main() -> None:
        start = started(**of.changes)
        subject = SimulationSession.begin(start, model=model, clock=VirtualClock(), log=log)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(subject.run())
            for moment, content in POSTS:
                subject.call_at(moment, partial(subject.receive, ParticipantPosted(content=content)))
            subject.call_at(LAST_SECOND, partial(subject.receive, EndRequested("researcher")))

    run_in_virtual_time(main())
    return log.records


def saved(folder: Path, records: list[Record]) -> ModelChoice:
    (folder / "session.json").write_bytes(b"".join(map(encode, records)))
    return ModelChoice(provider="recorded", model="recorded", log="session.json")


def again(folder: Path, of: Wired, records: list[Record]) -> list[Record]:
    provider = RecordedProvider(saved(folder, records), folder)
    return played(provider.for_session(started(**of.changes)), of)


def events(records: list[Record], *kinds: type) -> list[Any]:
    return [record.event for record in records if isinstance(record.event, kinds)]


SESSIONS = {
    "silence": study,
    "canned lines": lambda: study(canned("one", "two", "three")),
    "a budget that runs out": lambda: study(budget=Budget(calls_per_session=40)),
    "a budget that runs out, and canned lines": lambda: study(canned("one"), budget=Budget(calls_per_session=40)),
}


def test_the_recorded_sessions_meet_with_everything():
    first, broke = (SESSIONS[name]() for name in ("silence", "a budget that runs out"))
    records = played(first.session(), first)
    statuses = {event.status for event in events(records, ModelCalled)}
    assert statuses == {"ok", "unavailable", "rate_limited", "rejected", "empty", "blocked", "timeout"}
    reasons = {event.reason for event in events(records, TurnDropped)}
    assert reasons >= {"throttled", "timeout", "blocked"}
    assert max(event.attempt for event in events(records, ModelCalled)) == 2
    dropped = events(played(broke.session(), broke), TurnDropped)
    assert "budget_spent" in {event.reason for event in dropped}


@pytest.mark.parametrize("name", SESSIONS)
class TestASessionRunAgain:
    def test_has_the_same_messages(self, tmp_path, name):
        of = SESSIONS[name]()
        recorded = played(of.session(), of)
        heard = [
            (event.content, event.sender, event.position, event.elapsed)
            for event in events(again(tmp_path, of, recorded), MessagePosted)
        ]
        assert heard == [
            (event.content, event.sender, event.position, event.elapsed) for event in events(recorded, MessagePosted)
        ]
        assert len(heard) > len(POSTS)

    def test_has_the_same_turns_and_calls(self, tmp_path, name):
        of = SESSIONS[name]()
        recorded = played(of.session(), of)
        assert events(again(tmp_path, of, recorded), *OF_TURNS) == events(recorded, *OF_TURNS)

    def test_has_the_same_log_save_for_the_wall_time(self, tmp_path, name):
        of = SESSIONS[name]()
        recorded = played(of.session(), of)
        repeated = again(tmp_path, of, recorded)
        assert [(record.seq, record.event) for record in repeated] == [(each.seq, each.event) for each in recorded]

    def test_asks_nobody(self, tmp_path, name):
        of = SESSIONS[name]()
        recorded = played(of.session(), of)
        calls = of.ledger.experiment.calls
        again(tmp_path, of, recorded)
        assert of.ledger.experiment.calls == calls > 0


class TestATurn:
    """Of a log of one turn: planned at 10 s."""

    PLAN = TurnPlanned(
        elapsed=10.0,
        turn_id="turn-1",
        agent_name="Alice",
        cause="background",
        act="message",
        target=None,
        drawn_at=10.0,
        pace=1.0,
        reading_seconds=0.0,
    )

    def recorded(self, folder: Path, *what: AnyEvent) -> RecordedModel:
        every = (started(), self.PLAN, *what)
        records = [Record(seq, "2026-11-24T00:00:00+00:00", event) for seq, event in enumerate(every, start=1)]
        return RecordedProvider(saved(folder, records), folder).for_session(started())

    def call(self, at: float, **details) -> ModelCalled:
        values: dict[str, Any] = {
            "elapsed": at,
            "agent_name": "Alice",
            "prompt": "What now?",
            "response": None,
            "error": None,
            "turn_id": "turn-1",
            "provider": "groq",
            "requested_model": "small",
            "served_model": None,
            "parameters": {},
            "attempt": 1,
            "status": "ok",
            "finish_reason": None,
            "latency_ms": 5,
            "queue_ms": 0,
            "input_tokens": None,
            "output_tokens": None,
            "thinking_tokens": None,
            "cached_tokens": None,
            "cost": None,
            "request_id": None,
        }
        return ModelCalled(**(values | details))

    def drop(self, at: float, reason: str) -> TurnDropped:
        return TurnDropped(elapsed=at, turn_id="turn-1", agent_name="Alice", reason=reason)

    def test_that_the_log_does_not_know_gets_no_text(self, tmp_path):
        model = self.recorded(tmp_path, self.call(12.0, response="hello"))
        came_to = run_in_virtual_time(turn(model, turn_id="turn-2"))
        assert (came_to.status, came_to.text, came_to.attempts) == ("empty", None, ())

    def test_that_was_answered_is_answered_after_the_same_time(self, tmp_path):
        model = self.recorded(tmp_path, self.call(12.5, response="hello", finish_reason="length", source="canned"))
        came_to = run_in_virtual_time(turn(model))
        assert came_to.generation is not None
        assert (came_to.status, came_to.text, round(round(came_to.seconds, 3), 3)) == ("length_cut", "hello", 2.5)
        assert came_to.generation.source == "canned"
        assert [(each.provider, each.requested_model) for each in came_to.attempts] == [("groq", "small")]

    def test_that_failed_fails_with_what_was_tried(self, tmp_path):
        tried = [
            self.call(14.0, status="unavailable", error="no", http_status=503),
            self.call(14.0, status="timeout", error="no answer in time", attempt=2),
        ]
        model = self.recorded(tmp_path, *tried, self.drop(14.0, "timeout"))
        came_to = run_in_virtual_time(turn(model))
        assert (came_to.status, round(came_to.seconds, 3), came_to.statuses) == (
            "timeout",
            4.0,
            ["unavailable", "timeout"],
        )
        assert [(each.number, each.http_status) for each in came_to.attempts] == [(1, 503), (2, None)]

    def test_whose_second_try_was_not_made_comes_to_what_the_turn_came_to(self, tmp_path):
        tried = self.call(19.0, status="rate_limited", error="too many", http_status=429)
        model = self.recorded(tmp_path, tried, self.drop(19.0, "throttled"))
        came_to = run_in_virtual_time(turn(model))
        assert (came_to.status, round(came_to.seconds, 3), came_to.statuses) == ("throttled", 9.0, ["rate_limited"])

    def test_for_which_nobody_was_asked_is_not_asked_again(self, tmp_path):
        model = self.recorded(tmp_path, self.drop(11.0, "budget_spent"))
        came_to = run_in_virtual_time(turn(model))
        assert (came_to.status, round(came_to.seconds, 3), came_to.attempts) == ("budget_spent", 1.0, ())

    def test_that_was_answered_and_had_gone_stale_is_answered(self, tmp_path):
        model = self.recorded(tmp_path, self.call(12.0, response="hello"), self.drop(30.0, "stale"))
        came_to = run_in_virtual_time(turn(model))
        assert (came_to.text, round(round(came_to.seconds, 3), 3)) == ("hello", 2.0)

    def test_that_was_under_way_at_the_end_is_never_answered(self, tmp_path):
        end = SessionEnded(elapsed=11.0, session_id=started().session_id, reason="researcher")
        model = self.recorded(tmp_path, end)

        async def main() -> str:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(10_000):
                    await turn(model)
            return "still waits"

        assert run_in_virtual_time(main()) == "still waits"

    def test_whose_plan_is_missing_comes_to_what_it_came_to(self):
        records = [Record(1, "", started()), Record(2, "", self.drop(11.0, "timeout"))]
        assert answers_in(records)["turn-1"].arrived.status == "timeout"

    def test_ends_where_the_log_does(self):
        end = SessionEnded(elapsed=11.0, session_id=started().session_id, reason="researcher")
        every: tuple[AnyEvent, ...] = (started(), self.PLAN, end)
        records = [Record(seq, "", event) for seq, event in enumerate(every, start=1)]
        assert answers_in(records) == {}


class TestADamagedLog:
    @pytest.mark.parametrize(
        "content",
        [
            pytest.param(b"no log at all\n", id="text"),
            pytest.param(b"[]\n", id="an array"),
            pytest.param(b'{"seq": 1}\n', id="no record"),
            pytest.param(b"\xff\xfe\n", id="not UTF-8"),
            pytest.param(b'{"seq":1,"timestamp":"","elapsed":0,"event_type":"llm_call","data":{}}\n', id="no data"),
        ],
    )
    def test_is_named(self, tmp_path, content):
        (tmp_path / "old.json").write_bytes(content)
        with pytest.raises(UnknownProvider, match=r"language_model\.log: .*old\.json is no event log: "):
            RecordedProvider(ModelChoice(provider="recorded", log="old.json"), tmp_path)

    def test_is_named_also_where_its_beginning_is_whole(self, tmp_path):
        whole = encode(Record(1, "2026-11-24T00:00:00+00:00", started()))
        (tmp_path / "old.json").write_bytes(whole + b'{"seq": 2, "time\n' + whole)
        with pytest.raises(UnknownProvider, match=r"old\.json"):
            RecordedProvider(ModelChoice(provider="recorded", log="old.json"), tmp_path)

    def test_whose_tail_is_torn_is_read_up_to_that(self, tmp_path):
        whole = encode(Record(1, "2026-11-24T00:00:00+00:00", started()))
        (tmp_path / "old.json").write_bytes(whole + whole[:50])
        RecordedProvider(ModelChoice(provider="recorded", log="old.json"), tmp_path)

    def test_that_is_not_there_is_named(self, tmp_path):
        with pytest.raises(UnknownProvider, match=r"language_model\.log: .*old\.json cannot be read: "):
            RecordedProvider(ModelChoice(provider="recorded", log="old.json"), tmp_path)

    def test_that_the_settings_do_not_name_is_asked_for(self, tmp_path):
        with pytest.raises(UnknownProvider, match=r"needs language_model\.log"):
            RecordedProvider(ModelChoice(provider="recorded"), tmp_path)


def test_sessions_of_one_log_share_its_answers_and_nothing_else(tmp_path):
    of = study()
    provider = RecordedProvider(saved(tmp_path, played(of.session(), of)), tmp_path)
    first, second = (played(provider.for_session(started(**of.changes)), of) for _ in range(2))
    assert first == second


def test_what_was_recorded_is_not_asked_again_of_a_second_provider():
    failure = OnModelFailure(mode="second_provider", second=ModelChoice(provider="gemini", model="other"))
    choice = ModelChoice(provider="recorded", model="recorded", log="session.json")
    parameters = started(language_model=choice, on_model_failure=failure).parameters
    assert choices_of(parameters) == (choice,)
    assert not is_on_the_wire(parameters)
