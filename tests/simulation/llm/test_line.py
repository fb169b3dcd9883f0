"""What a line's sessions share: how fast, how often, and how long a call usually takes."""

from __future__ import annotations

import pytest
from lines import FIRST, Peer

from simulation.llm.line import FIRST_GUESS_SECONDS, HALVED_SECONDS, Halving, Line, Rejections
from simulation.parameters import GatewayLimits


def line(**limits) -> Line:
    return Line(Peer(), FIRST.model, GatewayLimits(**limits))


class TestHalving:
    def test_nothing_is_skipped_before_there_were_too_many(self):
        subject = Halving()
        assert not any(subject.skips(float(second), "a") for second in range(100))

    def test_every_second_turn_is_skipped_for_a_minute(self):
        subject = Halving()
        subject.begin(100.0)
        assert [subject.skips(100.0, "a") for _ in range(5)] == [True, False, True, False, True]
        assert not any(subject.skips(100.0 + HALVED_SECONDS, "a") for _ in range(5))

    def test_each_session_gives_up_its_own_half(self):
        subject = Halving()
        subject.begin(0.0)
        skipped = [(name, subject.skips(1.0, name)) for name in ("a", "b") * 10]
        assert sum(is_skipped for name, is_skipped in skipped if name == "a") == 5
        assert sum(is_skipped for name, is_skipped in skipped if name == "b") == 5

    @pytest.mark.parametrize(("named", "quiet_until"), [(600.0, 300.0), (100.0, 100.0)])
    def test_a_wait_that_no_turn_could_sit_out_is_kept_by_all(self, named, quiet_until):
        subject = Halving()
        subject.begin(0.0, retry_after=named)
        assert all(subject.skips(quiet_until - 1, name) for name in "abcdef")
        assert not subject.skips(quiet_until, "a")

    def test_the_minute_begins_anew_with_each_time(self):
        subject = Halving()
        subject.begin(0.0)
        subject.begin(50.0)
        assert sum(subject.skips(100.0, "a") for _ in range(10)) == 5


class TestRejections:
    def test_one_sessions_words_may_be_the_reason(self):
        subject = Rejections()
        assert not any(subject.are_general("a") for _ in range(50))

    def test_two_sessions_are_not(self):
        subject = Rejections()
        assert [subject.are_general(name) for name in "aab"] == [False, False, True]
        subject.end()
        assert not subject.are_general("b")


class TestWhatACallNeeds:
    def test_is_guessed_until_one_was_answered(self):
        assert line().needs_seconds == FIRST_GUESS_SECONDS

    def test_is_never_more_than_a_call_may_take(self):
        assert line(attempt_seconds=2.0).needs_seconds == 2.0

    def test_follows_a_slow_answer_at_once_and_a_fast_one_by_and_by(self):
        subject = line()
        subject.took(9.0)
        assert subject.needs_seconds == 9.0
        for _ in range(50):
            subject.took(0.5)
        assert subject.needs_seconds == 0.5
