"""What is said where the model gives no answer: a line written before, a second provider's answer, or nothing.

The provider is a stub behind the Adapter protocol; everything else is what runs in a study, in virtual time.
"""

from __future__ import annotations

import asyncio

import pytest
from lines import ANSWERS, HANGS, Peer, Wired, canned, fails, request, says, second_provider

from simulation.llm.gateway import CannedLines
from simulation.parameters import Budget, ModelChoice, OnModelFailure, Sampling


class TestCannedLines:
    LINES = ("one", "two", "three", "four", "five")

    def test_a_line_is_said_instead_and_what_was_tried_is_kept(self):
        study = Wired(Peer([fails("unavailable", http_status=503)]), on_model_failure=canned("Sorry, what?"))
        came_to = study.one_turn()
        assert came_to.generation is not None
        assert (came_to.status, came_to.text) == ("ok", "Sorry, what?")
        assert (came_to.generation.source, came_to.generation.reason) == ("canned", "unavailable")
        assert [(each.provider, each.status) for each in came_to.attempts] == [
            ("groq", "unavailable"),
            ("groq", "unavailable"),
            ("canned", "ok"),
        ]
        spoken = came_to.attempts[-1].generation
        assert spoken is not None
        assert (spoken.text, spoken.source, spoken.reason) == ("Sorry, what?", "canned", "unavailable")

    def test_a_line_is_said_where_nobody_was_asked(self):
        study = Wired(Peer(), budget=Budget(calls_per_session=0), on_model_failure=canned("Sorry, what?"))
        came_to = study.one_turn()
        assert (came_to.text, [each.provider for each in came_to.attempts]) == ("Sorry, what?", ["canned"])

    def test_each_line_comes_once_before_any_comes_again(self):
        study = Wired(Peer([fails("auth")]), on_model_failure=canned(*self.LINES))
        said = [each.text for each in study.one_after_another(3 * len(self.LINES))]
        for beginning in range(0, len(said), len(self.LINES)):
            assert sorted(map(str, said[beginning : beginning + len(self.LINES)])) == sorted(self.LINES)

    def test_sessions_take_nothing_from_each_other(self):
        study = Wired(Peer([fails("auth")]), on_model_failure=canned(*self.LINES))
        first, second = study.turns([0, 1])
        assert first.text == second.text

    def test_the_order_is_the_session_s_own(self):
        def order(seed: int) -> tuple[str | None, ...]:
            study = Wired(Peer([fails("auth")]), on_model_failure=canned(*self.LINES))
            return tuple(each.text for each in study.one_after_another(len(self.LINES), seed))

        assert order(1) == order(1)
        assert len({order(seed) for seed in range(10)}) > 5

    def test_one_line_is_enough(self):
        lines = CannedLines(("Sorry, what?",), seed=1)
        said = [asyncio.run(lines.generate(request())).text for _ in range(3)]
        assert said == ["Sorry, what?"] * 3

    @pytest.mark.parametrize(
        "answer",
        [says(), says(""), says(None, finish_reason="content_filter")],
        ids=["text", "no text", "blocked"],
    )
    def test_nothing_is_said_instead_of_an_answer(self, answer):
        came_to = Wired(Peer([answer]), on_model_failure=canned("Sorry, what?")).one_turn()
        assert [each.provider for each in came_to.attempts] == ["groq"]
        assert came_to.text == answer.what.text


class TestSecondProvider:
    def test_answers_instead_on_a_line_of_its_own(self):
        first, second = Peer([fails("rejected", after=1)]), Peer([says("from the other", after=2)], provider="gemini")
        came_to = Wired(first, second, on_model_failure=second_provider()).one_turn()
        assert came_to.generation is not None
        assert (came_to.text, came_to.seconds) == ("from the other", 3)
        assert (came_to.generation.source, came_to.generation.reason) == ("second_provider", "rejected")
        assert [(each.provider, each.requested_model, each.status, each.latency_ms) for each in came_to.attempts] == [
            ("groq", "small", "rejected", 1000),
            ("gemini", "other", "ok", 2000),
        ]
        assert second.models_asked == ["other"]

    def test_is_not_asked_while_the_first_answers(self):
        second = Peer(provider="gemini")
        Wired(Peer(), second, on_model_failure=second_provider()).one_after_another(5)
        assert second.calls == 0

    def test_is_asked_at_once_while_the_first_one_s_circuit_is_open(self):
        first, second = Peer([fails("auth")]), Peer(provider="gemini")
        came_to = Wired(first, second, on_model_failure=second_provider()).one_after_another(20)
        assert {each.status for each in came_to} == {"ok"}
        assert (first.calls, second.calls) == (1, 20)

    def test_has_a_circuit_of_its_own(self):
        first, second = Peer([fails("rejected")]), Peer([fails("auth")], provider="gemini")
        study = Wired(first, second, on_model_failure=second_provider())
        study.one_turn()
        assert study.states == {"groq:small": "ok", "gemini:other": "auth"}

    def test_is_asked_with_parameters_of_its_own(self):
        other = ModelChoice(provider="gemini", model="other", sampling=Sampling(temperature=0.2, thinking_budget=0))
        second = Peer(provider="gemini")
        Wired(Peer([fails("rejected")]), second, on_model_failure=second_provider(other)).one_turn()
        assert second.asked[0].parameters == {"temperature": 0.2, "max_output_tokens": 2048, "thinking_budget": 0}

    def test_spends_from_the_same_budget(self):
        first, second = Peer([fails("rejected")]), Peer(provider="gemini")
        study = Wired(first, second, on_model_failure=second_provider(), budget=Budget(calls_per_session=3))
        came_to = study.one_after_another(3)
        assert [each.status for each in came_to] == ["ok", "budget_spent", "budget_spent"]
        assert first.calls + second.calls == 3

    def test_that_fails_too_leaves_what_both_tried(self):
        first, second = Peer([fails("rejected")]), Peer([fails("auth")], provider="gemini")
        came_to = Wired(first, second, on_model_failure=second_provider()).one_turn()
        assert (came_to.status, came_to.statuses) == ("auth", ["rejected", "auth"])


class TestWhoeverSpeaksInstead:
    """They come at once where the model is known to be away, and in time where it is not."""

    def test_canned_lines_do_not_queue_for_a_model_that_is_not_asked(self):
        peer = Peer([fails("auth")])
        limits = {"requests_per_minute": 6.0}
        came_to = Wired(peer, limits=limits, on_model_failure=canned("hm", "brb")).turns([float(n) for n in range(30)])
        assert [each.text is not None for each in came_to] == [True] * 30
        assert max(each.seconds for each in came_to) == 0

    def test_a_second_provider_has_the_time_that_it_needs_when_the_first_hangs(self):
        first, second = Peer([HANGS]), Peer([says("here I am", after=2)], provider="gemini")
        study = Wired(first, second, on_model_failure=second_provider(), limits={"calls_in_flight": 256})
        came_to = study.turns([float(n) for n in range(100)])
        assert [each.text for each in came_to] == ["here I am"] * 100
        assert max(each.seconds for each in came_to) <= 20

    def test_a_turn_that_is_skipped_for_too_many_calls_is_nobodys(self):
        peer = Peer([fails("rate_limited", retry_after=3600.0), ANSWERS])
        _, skipped, _ = Wired(peer, on_model_failure=canned("hm")).turns([0, 1, 2])
        assert (skipped.status, skipped.text) == ("throttled", None)

    @pytest.mark.parametrize("failure", [canned("hm"), second_provider()], ids=["canned", "second provider"])
    def test_a_prompt_that_is_refused_is_for_another_agent(self, failure: OnModelFailure):
        first, second = Peer([fails("blocked", http_status=400)]), Peer([ANSWERS], provider="gemini")
        came_to = Wired(first, second, on_model_failure=failure).one_turn()
        assert (came_to.status, came_to.text, second.calls) == ("blocked", None, 0)


@pytest.mark.parametrize("mode", ["silence", "end_early"])
def test_without_anybody_to_speak_instead_the_error_is_the_outcome(mode):
    came_to = Wired(Peer([fails("rejected")]), on_model_failure=OnModelFailure(mode=mode)).one_turn()
    assert (came_to.status, came_to.text) == ("rejected", None)
