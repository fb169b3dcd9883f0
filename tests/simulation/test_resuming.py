"""A room taken up from its log: nothing that was drawn is lost, nothing is done twice, a standstill makes no heap."""

from __future__ import annotations

from itertools import pairwise

import pytest
from chatrooms import Chat

from experiments.replay import replay
from simulation import casting
from simulation.codec import decode
from simulation.effects import Generate, ShowTyping
from simulation.events import (
    Cause,
    ClockJumped,
    LogStalled,
    MessagePosted,
    MessageReported,
    MessagesSeen,
    SessionResumed,
    StimulusBegun,
    TurnDeferred,
    TurnDropped,
    TurnPlanned,
)
from simulation.inputs import (
    LogRecovered,
    ParticipantReported,
    ParticipantSaw,
    Reopened,
    WallClockJumped,
)
from simulation.parameters import Stimulus, Timing
from simulation.room import Room
from simulation.state import SessionState, rebuild

LIVELY = {"messages_per_minute": 30.0, "user_response_probability": 1.0, "timing": Timing(), "duration_seconds": 300.0}


def lively(**changes) -> Chat:
    chat = Chat(latency=2, **(LIVELY | changes))
    chat.connects()
    for second in (10.0, 20.0, 30.0, 40.0, 50.0):
        chat.runs_until(second)
        chat.participant_posts(f"hello at {second}", client_message_id=f"id-{second}")
    return chat


def taken_up(chat: Chat, count: int, *, gap: float = 30.0, at: float | None = None) -> Chat:
    """The session as it goes on when its log held the first `count` events after its start, and nothing else."""
    events = [chat.start, *chat.events[:count]]
    again = Chat(room=Room.resume(events), latency=2)
    again.events = list(chat.events[:count])
    again.now = again.now if at is None else at
    again.takes(Reopened(gap))
    return again


def pending(chat: Chat) -> set[str]:
    return {turn.planned.turn_id for turn in chat.room.state.turns.values()}


def free_for_whoever_waits(state: SessionState) -> list[str]:
    """The agents who have nothing to do though a turn waits for them, or for anybody."""
    return [name for name in casting.free_agents(state) if state.waiting.get(name) or state.waiting.get(None)]


class TestTakenUp:
    def test_from_any_record_on_each_turn_is_done_once_or_dropped(self):
        whole = lively()
        whole.runs_until(60.0)
        for count in range(0, len(whole.events) + 1, 7):
            again = taken_up(whole, count)
            again.connects(connection=2)
            again.runs_to_its_end()
            planned = [event.turn_id for event in again.of(TurnPlanned)]
            assert len(planned) == len(set(planned))
            done = [event.turn_id for event in (*again.messages, *again.of(TurnDropped)) if event.turn_id]
            assert len(done) == len(set(done))
            assert again.end_reasons == ["duration_expired"]

    def test_a_log_cut_anywhere_and_taken_up_is_the_same_once_more(self):
        whole = lively()
        whole.runs_until(60.0)
        for count in range(0, len(whole.events) + 1, 11):
            again = taken_up(whole, count)
            again.connects(connection=2)
            again.runs_until(again.now + 40)
            records = [decode(line) for line in again.log()]
            assert replay(records).difference is None
            assert rebuild([record.event for record in records]) == again.room.state

    def test_what_was_asked_and_not_answered_is_asked_again_once(self):
        chat = Chat(model=lambda _: None, user_response_probability=1)
        chat.connects()
        chat.participant_posts("hello")
        (asked,) = chat.requests
        again = taken_up(chat, len(chat.events))
        assert [request.turn_id for request in again.requests] == [asked.turn_id]

    def test_what_was_in_hand_appears_at_its_moment(self):
        chat = lively()
        while not any(turn.answered for turn in chat.room.state.turns.values()):
            chat.runs_until(chat.now + 0.5)
        due = {turn_id: turn.appears_at for turn_id, turn in chat.room.state.turns.items() if turn.answered}
        again = taken_up(chat, len(chat.events), gap=3600, at=chat.now)
        again.connects(connection=2)
        again.runs_until(max(due.values()) + 30)
        shown = {message.turn_id: message.elapsed for message in again.messages if message.turn_id in due}
        assert shown == due

    def test_the_draw_that_a_crash_came_before_is_made(self):
        chat = Chat(user_response_probability=1)
        chat.connects()
        chat.participant_posts("hello")
        before = chat.events.index(chat.of(MessagePosted)[0]) + 1
        again = taken_up(chat, before)
        assert [turn.cause for turn in again.of(TurnPlanned)] == [Cause.REACTION]
        assert [request.turn_id for request in again.requests] == ["turn-1"]

    def test_a_draw_that_was_made_is_not_made_again(self):
        chat = Chat(user_response_probability=1, model=lambda _: None)
        chat.connects()
        chat.participant_posts("hello")
        again = taken_up(chat, len(chat.events))
        again = taken_up(again, len(again.events))
        assert len([*again.of(TurnPlanned), *again.of(TurnDeferred)]) == 1

    def test_a_stimulus_that_a_crash_came_before_comes(self):
        stimulus = Stimulus(agent="Alice", on="first_participant_message", content="Look at this")
        chat = Chat(stimuli=(stimulus,))
        chat.connects()
        chat.participant_posts("hello")
        before = chat.events.index(chat.of(MessagePosted)[0]) + 1
        again = taken_up(chat, before)
        again.connects(connection=2)
        again.runs_until(60.0)
        assert [message.content for message in again.messages].count("Look at this") == 1

    @pytest.mark.parametrize(
        "trigger", [{"at_seconds": 20.0}, {"after_messages": 2}, {"on": "first_participant_message"}]
    )
    def test_a_stimulus_in_the_middle_of_which_a_crash_came_has_its_text_and_no_other(self, trigger):
        stimulus = Stimulus(agent="Alice", content="Look at this", **trigger)
        whole = lively(stimuli=(stimulus,))
        whole.runs_until(60.0)
        begun = next(n for n, event in enumerate(whole.events) if isinstance(event, StimulusBegun))
        for count in range(begun, begun + 4):
            again = taken_up(whole, count)
            again.connects(connection=2)
            again.runs_until(again.now + 60)
            (shown,) = (message for message in again.messages if message.turn_id == "stimulus-1")
            assert (shown.content, shown.source) == ("Look at this", "stimulus")
            assert len(again.of(StimulusBegun)) == 1
            assert "stimulus-1" not in {request.turn_id for request in again.requests}
            assert replay([decode(line) for line in again.log()]).difference is None

    def test_a_turn_that_waited_for_whoever_a_crash_has_freed_is_served(self):
        whole = lively(user_response_probability=1.0, messages_per_minute=60.0)
        whole.runs_until(60.0)
        for count, event in enumerate(whole.events[:-1], start=1):
            if isinstance(event, MessagePosted) and isinstance(whole.events[count], TurnPlanned):
                again = taken_up(whole, count)
                if again.room.state.waiting:
                    assert not free_for_whoever_waits(again.room.state)

    def test_the_participant_has_time_to_come_back_and_no_more(self):
        for grace, expected in ((120, 120), (0, 60)):
            chat = Chat(reconnect_grace_seconds=grace)
            chat.connects()
            again = taken_up(chat, len(chat.events), at=100)
            again.runs_until(100 + expected - 1)
            assert again.end_reasons == []
            again.runs_until(100 + expected + 1)
            assert again.end_reasons == ["websocket_disconnect"]

    def test_one_that_cannot_come_back_by_itself_is_waited_for_as_well(self):
        chat = Chat()
        chat.connects(resumable=False)
        again = taken_up(chat, len(chat.events), at=10)
        again.runs_until(60.0)
        assert again.end_reasons == []


class TestClock:
    def test_it_stands_still_by_default(self):
        chat = lively()
        again = taken_up(chat, len(chat.events), gap=1000, at=chat.now)
        again.connects(connection=2)
        again.runs_until(299)
        assert again.end_reasons == []
        again.runs_until(301)
        assert again.end_reasons == ["duration_expired"]

    def test_it_may_run_on_and_then_nothing_comes_all_at_once(self):
        chat = lively(after_restart="wall_clock")
        known = len(chat.events)
        again = taken_up(chat, known, gap=120, at=chat.now + 120)
        again.connects(connection=2)
        again.runs_until(chat.now + 130)
        drawn = [event for event in again.events[known:] if isinstance(event, TurnPlanned | TurnDeferred)]
        assert 1 <= len({event.turn_id for event in drawn}) < 15
        assert all(event.elapsed >= chat.now + 120 for event in again.events[known:])
        again.runs_to_its_end()
        assert again.events[-1].elapsed == 300

    def test_a_session_whose_time_was_up_meanwhile_ends_properly(self):
        chat = lively(after_restart="wall_clock")
        again = taken_up(chat, len(chat.events), gap=400, at=chat.now + 400)
        assert again.end_reasons == ["duration_expired"]

    @pytest.mark.parametrize("seconds", [-3600.0, 3600.0])
    def test_the_worlds_clock_is_none_of_its_business(self, seconds: float):
        chat = lively()
        chat.takes(WallClockJumped(seconds))
        chat.runs_to_its_end()
        assert [event.seconds for event in chat.of(ClockJumped)] == [seconds]
        assert chat.events[-1].elapsed == 300
        assert all(first.elapsed <= second.elapsed for first, second in pairwise(chat.events))


class TestStandstill:
    def test_what_came_due_while_the_log_could_not_be_written_comes_one_after_another(self):
        chat = lively()
        known, now = len(chat.events), chat.now
        chat.now += 60
        chat.takes(LogRecovered(60))
        assert [event.seconds for event in chat.of(LogStalled)] == [60]
        after = [event for event in chat.events[known:] if isinstance(event, MessagePosted)]
        assert after == []
        chat.runs_until(now + 120)
        after = [event for event in chat.events[known:] if isinstance(event, MessagePosted)]
        assert 15 < len(after) < 50
        assert len({event.elapsed for event in after}) > 10

    def test_agents_wait_for_who_is_away_if_they_are_to(self):
        chat = lively(while_away="pause", reconnect_grace_seconds=200)
        chat.disconnects()
        known, lost_at = len(chat.events), chat.now
        chat.runs_until(lost_at + 100)
        assert not any(isinstance(event, MessagePosted | TurnDeferred) for event in chat.events[known:])
        chat.connects(connection=2)
        at_once = [event for event in chat.events[known:] if isinstance(event, MessagePosted)]
        assert at_once == []
        chat.runs_until(lost_at + 160)
        after = [event for event in chat.events[known:] if isinstance(event, MessagePosted)]
        assert 15 < len(after) < 45

    def test_or_write_on(self):
        chat = lively(reconnect_grace_seconds=200)
        chat.disconnects()
        known = len(chat.events)
        chat.runs_until(chat.now + 100)
        assert len([event for event in chat.events[known:] if isinstance(event, MessagePosted)]) > 30

    def test_who_is_away_for_good_ends_it_all_the_same(self):
        chat = lively(while_away="pause", reconnect_grace_seconds=30)
        chat.disconnects()
        chat.runs_until(100)
        assert chat.end_reasons == ["websocket_disconnect"]

    def test_the_time_goes_on_while_somebody_is_away(self):
        chat = lively(while_away="pause", reconnect_grace_seconds=1000)
        chat.disconnects()
        chat.runs_until(301)
        assert chat.end_reasons == ["duration_expired"]

    def test_paused_taken_up_and_paused_again_is_the_same_once_more(self):
        chat = lively(while_away="pause", after_restart="wall_clock", reconnect_grace_seconds=250)
        chat.disconnects()
        chat.runs_until(chat.now + 20)
        again = taken_up(chat, len(chat.events), gap=50.0, at=chat.now + 50)
        again.runs_until(again.now + 20)
        known = len(again.events)
        again.connects(connection=2)
        assert not any(isinstance(event, MessagePosted) for event in again.events[known:])
        back_at = again.now
        again.runs_to_its_end()
        drawn = [event.drawn_at for event in again.of(TurnPlanned) if event.drawn_at > back_at]
        assert min(drawn) < back_at + 10
        assert replay([decode(line) for line in again.log()]).difference is None


class TestConnection:
    def test_whoever_comes_back_sees_who_is_about_to_speak(self):
        chat = lively()
        while not any(turn.answered for turn in chat.room.state.turns.values()):
            chat.runs_until(chat.now + 0.5)
        chat.disconnects()
        before = len(chat.told(ShowTyping))
        chat.connects(connection=2)
        assert len(chat.told(ShowTyping)) > before
        assert not [effect for effect in chat.effects[-1:] if isinstance(effect, Generate)]

    def test_reports_and_what_was_seen_are_kept(self):
        chat = lively()
        message = chat.messages[0]
        chat.takes(ParticipantReported(message_id=message.message_id, reason="rude"))
        chat.takes(ParticipantSaw(3))
        chat.takes(ParticipantSaw(2))
        chat.takes(ParticipantSaw(10**9))
        assert [event.reason for event in chat.of(MessageReported)] == ["rude"]
        assert [event.position for event in chat.of(MessagesSeen)] == [3, chat.room.state.position]
        assert replay([decode(line) for line in chat.log()]).difference is None

    def test_what_is_not_there_cannot_be_reported(self):
        chat = lively()
        chat.takes(ParticipantReported(message_id="none"))
        assert chat.of(MessageReported) == []

    def test_the_record_of_a_restart_says_how_long_it_was(self):
        chat = lively()
        again = taken_up(chat, len(chat.events), gap=42.5)
        assert [event.gap_seconds for event in again.of(SessionResumed)] == [42.5]
