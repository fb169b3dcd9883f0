"""The circuit decides by what failed and by the time it is told; it asks nobody."""

from __future__ import annotations

from math import inf

import pytest

from simulation.llm.circuit import (
    COUNTED,
    FAILURES_IN_A_ROW,
    PROBE_SECONDS,
    QUOTA_PROBE_SECONDS,
    Circuit,
)

HOUR = 3600.0
SAY_NOTHING_OF_THE_NEXT_CALL = ("rate_limited", "unparsable", "throttled", "budget_spent", "failed")


def circuit(*kinds: str, at: float = 0.0, retry_after: float | None = None) -> Circuit:
    """A circuit to which these failures have happened."""
    subject = Circuit("groq (small)")
    for kind in kinds:
        subject.failed(kind, "as arranged", at, retry_after)
    return subject


def admits(subject: Circuit, now: float) -> bool:
    """Whether a call may be made at once."""
    return subject.admitted_at(now, now) == now


def test_a_fresh_circuit_lets_every_call_through():
    subject = circuit()
    assert [admits(subject, 0.0) for _ in range(100)] == [True] * 100
    assert (subject.open_because, subject.keeps_out(0.0), subject.is_final) == (None, False, False)


@pytest.mark.parametrize("kind", COUNTED)
def test_five_failures_in_a_row_open_it(kind):
    assert circuit(*[kind] * (FAILURES_IN_A_ROW - 1)).open_because is None
    assert circuit(*[kind] * FAILURES_IN_A_ROW).open_because == kind


def test_failures_of_several_kinds_make_one_row():
    assert circuit("timeout", "unavailable", "bad_response", "rejected", "timeout").open_because == "timeout"


def test_an_answer_breaks_the_row():
    subject = circuit(*["timeout"] * (FAILURES_IN_A_ROW - 1))
    subject.succeeded(inf)
    for _ in range(FAILURES_IN_A_ROW - 1):
        subject.failed("timeout", "as arranged", 0.0)
    assert subject.open_because is None


@pytest.mark.parametrize("kind", SAY_NOTHING_OF_THE_NEXT_CALL)
def test_what_says_nothing_of_the_next_call_does_not_open_it(kind):
    assert circuit(*[kind] * 50).open_because is None


def test_what_is_not_counted_does_not_break_the_row_either():
    row = ["timeout"] * (FAILURES_IN_A_ROW - 1)
    assert circuit(*row, "rate_limited", "timeout").open_because == "timeout"


def test_it_is_told_once_however_the_failures_take_turns(caplog: pytest.LogCaptureFixture):
    subject = circuit(*["timeout"] * FAILURES_IN_A_ROW, *["unavailable", "timeout"] * 10)
    assert len(caplog.records) == 1
    subject.failed("auth", "HTTP 401", 0.0)
    assert len(caplog.records) == 2


class TestProbes:
    def test_one_call_each_ten_seconds_whether_or_not_the_one_before_has_come_back(self):
        subject = circuit(*["timeout"] * FAILURES_IN_A_ROW)
        admitted = [second for second in range(41) if admits(subject, float(second))]
        assert admitted == [PROBE_SECONDS, 2 * PROBE_SECONDS, 3 * PROBE_SECONDS, 4 * PROBE_SECONDS]

    def test_whoever_has_the_time_is_given_the_next_moment_and_the_one_after_is_given_another(self):
        subject = circuit(*["timeout"] * FAILURES_IN_A_ROW)
        assert [subject.admitted_at(1.0, latest=25.0) for _ in range(3)] == [10.0, 20.0, None]

    def test_a_moment_that_is_not_taken_is_still_there(self):
        subject = circuit(*["timeout"] * FAILURES_IN_A_ROW)
        assert subject.admitted_at(1.0, latest=5.0) is None
        assert subject.admitted_at(1.0, latest=10.0) == 10.0

    def test_a_probe_that_fails_puts_off_the_next(self):
        subject = circuit(*["unavailable"] * FAILURES_IN_A_ROW)
        assert admits(subject, PROBE_SECONDS)
        subject.failed("unavailable", "as arranged", PROBE_SECONDS)
        assert not admits(subject, 2 * PROBE_SECONDS - 0.1)
        assert admits(subject, 2 * PROBE_SECONDS)

    def test_a_probe_that_is_answered_closes_it(self):
        subject = circuit(*["unavailable"] * FAILURES_IN_A_ROW)
        assert admits(subject, PROBE_SECONDS)
        subject.succeeded(inf)
        assert subject.open_because is None
        assert [admits(subject, PROBE_SECONDS) for _ in range(10)] == [True] * 10

    def test_once_closed_it_takes_a_whole_row_to_open_it_again(self):
        subject = circuit(*["unavailable"] * FAILURES_IN_A_ROW)
        subject.succeeded(inf)
        subject.failed("unavailable", "as arranged", 20.0)
        assert subject.open_because is None


class TestWhatNoSecondTryCures:
    def test_a_refused_key_opens_it_at_once_and_for_good(self):
        subject = circuit("auth")
        assert (subject.open_because, subject.is_final, subject.keeps_out(HOUR)) == ("auth", True, True)
        assert subject.admitted_at(24 * HOUR, latest=1000 * HOUR) is None

    def test_failures_that_come_in_late_do_not_soften_a_refused_key(self):
        subject = circuit("auth", *["timeout"] * FAILURES_IN_A_ROW)
        assert subject.open_because == "auth"
        assert subject.admitted_at(HOUR, latest=1000 * HOUR) is None

    @pytest.mark.parametrize(
        ("retry_after", "probe_at"),
        [
            pytest.param(None, QUOTA_PROBE_SECONDS, id="no wait named"),
            pytest.param(60.0, QUOTA_PROBE_SECONDS, id="a shorter wait than ours"),
            pytest.param(HOUR, HOUR, id="a longer wait than ours"),
        ],
    )
    def test_a_spent_quota_is_asked_after_now_and_then(self, retry_after, probe_at):
        subject = circuit("quota_exhausted", retry_after=retry_after)
        assert subject.is_final
        assert not admits(subject, probe_at - 0.1)
        assert admits(subject, probe_at)
        assert not admits(subject, probe_at + QUOTA_PROBE_SECONDS - 0.1)

    @pytest.mark.parametrize(
        ("kinds", "keeps_out"),
        [
            (["auth"], True),
            (["quota_exhausted"], True),
            (["rejected"] * FAILURES_IN_A_ROW, True),
            (["unavailable"] * FAILURES_IN_A_ROW, False),
            (["timeout"] * FAILURES_IN_A_ROW, False),
            (["bad_response"] * FAILURES_IN_A_ROW, False),
            (["rate_limited"] * FAILURES_IN_A_ROW, False),
        ],
        ids=lambda value: value[0] if isinstance(value, list) else None,
    )
    def test_new_sessions_are_kept_out_by_what_takes_longer_than_minutes(self, kinds, keeps_out):
        assert circuit(*kinds).keeps_out(1.0) is keeps_out

    @pytest.mark.parametrize(
        ("kinds", "due_at"), [(["quota_exhausted"], QUOTA_PROBE_SECONDS), (["rejected"] * 5, PROBE_SECONDS)]
    )
    def test_once_a_probe_is_due_they_are_let_in_since_nobody_else_may_be_there_to_make_it(self, kinds, due_at):
        subject = circuit(*kinds)
        assert subject.keeps_out(due_at - 0.1)
        assert not subject.keeps_out(due_at)
        assert admits(subject, due_at), "the first turn is the probe"
        assert subject.keeps_out(due_at)


def test_no_wait_is_without_end_while_it_is_not_final():
    subject = circuit(*["rejected"] * FAILURES_IN_A_ROW)
    assert subject.admitted_at(0.0, latest=inf) == PROBE_SECONDS
