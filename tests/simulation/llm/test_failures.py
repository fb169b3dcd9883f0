"""What a refusal means: which kind of failure, how long to wait, and what may be said of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from providers import KEY, MODEL, WIRES, fake_provider, request, speaking

from simulation.errors import GenerationError
from simulation.llm.failures import LONGEST_WAIT_SECONDS, MESSAGE_CHARACTERS, failure_of

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
KINDS = {"auth", "quota_exhausted", "rate_limited", "rejected", "unavailable", "bad_response"}

names = st.sampled_from(
    ["error", "code", "type", "message", "details", "reason", "violations", "quotaId", "retryDelay", "x"]
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
)


def failure(status: int = 429, body: bytes = b"", **headers: str) -> GenerationError:
    return failure_of(status, {name.replace("_", "-"): value for name, value in headers.items()}, body, at=NOW)


def refusal(status: int = 429, **error: Any) -> GenerationError:
    return failure(status, json.dumps({"error": error}).encode())


def quota(*names: str, message: str = "") -> GenerationError:
    """A 429 in Google's way, of these quotas."""
    violations = [{"quotaId": name} for name in names]
    detail = {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": violations}
    return refusal(details=[detail], message=message)


def delayed(delay: Any) -> GenerationError:
    """A 429 that names a wait in Google's way."""
    return refusal(
        details=[{"reason": "x"}, {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}]
    )


class TestWait:
    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("0", 0.0),
            ("7", 7.0),
            ("1.5", 1.5),
            ("Tue, 24 Nov 2026 12:00:30 GMT", 30.0),
            ("Tue, 24 Nov 2026 12:00:30 -0000", 30.0),
            ("Tue, 24 Nov 2026 13:00:30 +0100", 30.0),
            ("Tuesday, 24-Nov-26 12:00:30 GMT", 30.0),
            pytest.param("Tue, 24 Nov 2026 11:00:00 GMT", 0.0, id="a date that is over"),
        ],
    )
    def test_is_retry_afters_seconds_or_date(self, value, seconds):
        assert failure(retry_after=value).retry_after == seconds

    @pytest.mark.parametrize("value", ["999999999999", "Fri, 24 Nov 9999 12:00:00 GMT"])
    def test_is_never_longer_than_anybody_waits(self, value):
        assert failure(retry_after=value).retry_after == LONGEST_WAIT_SECONDS

    @pytest.mark.parametrize(
        "value",
        ["", "nan", "inf", "-1", "1e9", "9" * 400, "soon", "\x00", "Tue, 99 Nov 2026 12:00:00 GMT", "Mon, 01 Jan 0000"],
    )
    def test_that_is_no_time_is_none(self, value):
        assert failure(retry_after=value).retry_after is None

    @pytest.mark.parametrize(
        ("value", "seconds"), [("1500", 1.5), ("0", 0.0), ("-1", None), ("nan", None), ("9" * 400, None)]
    )
    def test_may_be_told_in_milliseconds(self, value, seconds):
        assert failure(retry_after_ms=value).retry_after == seconds

    def test_in_milliseconds_is_the_more_exact(self):
        assert failure(retry_after_ms="1500", retry_after="2").retry_after == 1.5

    def test_in_seconds_stands_in_for_milliseconds_that_are_nonsense(self):
        assert failure(retry_after_ms="soon", retry_after="2").retry_after == 2.0

    @pytest.mark.parametrize(
        ("delay", "seconds"),
        [("17s", 17.0), ("0.25s", 0.25), ("0s", 0.0)]
        + [(nonsense, None) for nonsense in ("17", "-1s", "nans", "1e5s", "9" * 400 + "s", 17, None, [], {})],
    )
    def test_may_be_told_in_googles_way(self, delay, seconds):
        assert delayed(delay).retry_after == seconds


class TestKind:
    def test_a_key_that_google_does_not_know_is_a_400_with_a_reason(self):
        assert refusal(400, details=[{"reason": "OTHER"}, {"reason": "API_KEY_INVALID"}]).kind == "auth"

    @pytest.mark.parametrize("details", [[], [{"reason": "OTHER"}], "API_KEY_INVALID", [["API_KEY_INVALID"]], None])
    def test_any_other_400_is_about_the_request(self, details):
        assert refusal(400, details=details, message="API_KEY_INVALID").kind == "rejected"

    @pytest.mark.parametrize(
        ("quotas", "kind"),
        [
            (("GenerateRequestsPerDayPerProjectPerModel-FreeTier",), "quota_exhausted"),
            (("GenerateContentInputTokensPerModelPerMinute", "GenerateRequestsPerDay"), "quota_exhausted"),
            (("GenerateRequestsPerMinutePerProjectPerModel",), "rate_limited"),
        ],
    )
    def test_googles_quota_says_by_its_id_whether_it_is_a_days(self, quotas, kind):
        assert quota(*quotas).kind == kind

    def test_the_id_of_a_quota_counts_for_more_than_the_message(self):
        assert quota("GenerateRequestsPerMinute", message="See your daily usage.").kind == "rate_limited"

    @pytest.mark.parametrize(
        ("message", "kind"),
        [
            ("Rate limit reached for model in organization on requests per day (RPD): Limit 1000", "quota_exhausted"),
            ("Rate limit reached for model in organization on tokens per day (TPD): Limit 100000", "quota_exhausted"),
            ("Daily limit reached.", "quota_exhausted"),
            ("Your prepayment credits are depleted.", "quota_exhausted"),
            ("Insufficient balance", "quota_exhausted"),
            ("Rate limit reached for model in organization on tokens per minute (TPM): Limit 6000", "rate_limited"),
            ("Too many requests.", "rate_limited"),
            ("Model OTPDX is busy", "rate_limited"),
            ("", "rate_limited"),
        ],
    )
    def test_others_say_so_in_words(self, message, kind):
        assert refusal(message=message).kind == kind

    @pytest.mark.parametrize("key", ["code", "type"])
    @pytest.mark.parametrize("word", ["insufficient_quota", "billing_hard_limit_reached"])
    def test_want_of_money_has_a_word_of_its_own(self, key, word):
        assert refusal(**{key: word}).kind == "quota_exhausted"

    @pytest.mark.parametrize("status", [500, 503])
    def test_a_server_in_trouble_is_just_that_whatever_it_says(self, status):
        assert refusal(status, message="tokens per day", code="insufficient_quota").kind == "unavailable"


class TestMessage:
    @pytest.mark.parametrize(
        ("body", "message"),
        [
            pytest.param(b'{"error": {"message": "no such model"}}', "no such model", id="object"),
            pytest.param(b'[{"error": {"message": "no such model"}}]', "no such model", id="in a list"),
            pytest.param(b'{"error": "no such model"}', "no such model", id="a text"),
            pytest.param(b"<html>\n  <b>Bad   gateway</b>\r\n</html>", "<html> <b>Bad gateway</b> </html>", id="HTML"),
            pytest.param(b"", "no body", id="empty"),
            pytest.param(b" \n ", "no body", id="white space"),
            pytest.param(b"123", "123", id="a number"),
            pytest.param(b'"x"', '"x"', id="a string"),
            pytest.param(b"[]", "[]", id="an empty list"),
            pytest.param(b"null", "null", id="null"),
            pytest.param(b'{"error": {"message": 5}}', '{"error": {"message": 5}}', id="a message that is no text"),
            pytest.param(b"\xff\xfe\x80", "\ufffd\ufffd\ufffd", id="no UTF-8"),
        ],
    )
    def test_is_what_the_body_says(self, body, message):
        assert str(failure(503, body)) == f"HTTP 503: {message}"

    @pytest.mark.parametrize(
        "body",
        [
            pytest.param(b"[" * 100_000, id="deep lists"),
            pytest.param(b'{"error":' * 50_000, id="deep objects"),
            pytest.param(b"9" * 10_000, id="a number without end"),
            pytest.param(b'{"error": {"message": "' + b"x" * 10_000 + b'"}}', id="a message without end"),
            pytest.param(b"<p>" * 10_000, id="a page without end"),
        ],
    )
    def test_is_short_whatever_the_body_is(self, body):
        error = failure(503, body)
        assert len(str(error)) <= len("HTTP 503: ") + MESSAGE_CHARACTERS
        assert error.kind == "unavailable"

    @pytest.mark.parametrize("wire", WIRES)
    @pytest.mark.parametrize(
        ("behaviour", "parameters"),
        [
            ("401", {"message": f"Incorrect API key provided: {KEY}. See the documentation."}),
            ("429", {"message": f"{KEY} and {KEY} again"}),
            ("raw", {"status": 502, "body": f"<p>Authorization: Bearer {KEY}</p>"}),
        ],
    )
    async def test_does_not_quote_the_key_even_if_the_provider_does(self, wire, behaviour, parameters):
        async with fake_provider() as provider, speaking(provider, wire) as adapter:
            provider.fake.behaves(behaviour, **parameters)
            with pytest.raises(GenerationError) as raised:
                await adapter.model(MODEL).generate(request())
        assert KEY not in str(raised.value)
        assert "[key]" in str(raised.value)


def test_the_failure_tells_the_status_and_the_request():
    error = failure(503, x_request_id="req-7")
    assert (error.http_status, error.request_id) == (503, "req-7")


def test_a_failure_without_a_request_id_has_none():
    assert failure(503).request_id is None


@given(st.integers(100, 999), st.binary())
def test_any_bytes_are_a_failure_of_a_known_kind(status, body):
    assert failure(status, body).kind in KINDS


@given(st.sampled_from([400, 429, 503]), anything)
def test_any_json_is_a_failure_with_a_wait_that_a_clock_can_hold(status, value):
    error = failure(status, json.dumps({"error": value}).encode())
    assert error.kind in KINDS
    assert error.retry_after is None or 0 <= error.retry_after <= LONGEST_WAIT_SECONDS
