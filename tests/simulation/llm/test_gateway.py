"""Between a session and a provider: how long a turn may take, how often it may ask, and what is left of it.

The provider is a stub behind the Adapter protocol; everything else is what runs in a study, in virtual time.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from lines import ANSWERS, HANGS, Peer, Wired, fails, says, turn

from simulation.generation import Attempt, Generation, Usage
from simulation.llm.circuit import FAILURES_IN_A_ROW
from simulation.llm.gateway import RETRY_WAIT_SECONDS
from simulation.llm.line import HALVED_SECONDS
from simulation.llm.registry import not_taken_by, taken_by
from simulation.parameters import Budget, ModelChoice, Sampling
from simulation.runtime.clock import run_in_virtual_time

RETRIED = ("rate_limited", "unavailable", "bad_response")
NOT_RETRIED = ("auth", "rejected", "timeout", "quota_exhausted", "failed")
SCHEMA = {"type": "object"}
USAGE = Usage(input_tokens=1000, output_tokens=500)
COST = 0.002


class TestDeadlines:
    @pytest.mark.parametrize(
        ("limits", "seconds"),
        [
            pytest.param({"turn_seconds": 20, "attempt_seconds": 15}, 15, id="an attempt's"),
            pytest.param({"turn_seconds": 5, "attempt_seconds": 15}, 5, id="a turn's, where it is the shorter"),
        ],
    )
    def test_a_call_that_hangs_is_cut_and_not_made_again(self, limits, seconds):
        peer = Peer([HANGS])
        came_to = Wired(peer, limits=limits).one_turn()
        assert (came_to.status, came_to.seconds, peer.calls, peer.in_flight) == ("timeout", seconds, 1, 0)
        assert [(each.status, each.latency_ms) for each in came_to.attempts] == [("timeout", seconds * 1000)]

    def test_an_answer_at_the_last_moment_is_an_answer(self):
        came_to = Wired(Peer([says("at last", after=14.9)])).one_turn()
        assert came_to.text == "at last"
        assert came_to.seconds == pytest.approx(14.9)

    def test_a_second_try_has_what_the_first_has_left_of_the_turn(self):
        peer = Peer([fails("unavailable", after=12), HANGS])
        came_to = Wired(peer).one_turn()
        assert (came_to.seconds, came_to.statuses) == (20, ["unavailable", "timeout"])

    def test_there_is_no_second_try_where_the_turn_has_no_time_for_it(self):
        peer = Peer([fails("unavailable", after=4.5)])
        came_to = Wired(peer, limits={"turn_seconds": 5}).one_turn()
        assert (came_to.status, came_to.seconds, peer.calls) == ("unavailable", 4.5, 1)


class TestRetrying:
    @pytest.mark.parametrize("kind", RETRIED)
    def test_once_where_it_can_help(self, kind):
        peer = Peer([fails(kind), says("after all")])
        came_to = Wired(peer).one_turn()
        assert (came_to.status, came_to.text, came_to.statuses) == ("ok", "after all", [kind, "ok"])

    @pytest.mark.parametrize("kind", RETRIED)
    def test_and_not_twice(self, kind):
        peer = Peer([fails(kind)])
        came_to = Wired(peer).one_turn()
        assert (came_to.status, came_to.statuses, peer.calls) == (kind, [kind, kind], 2)

    @pytest.mark.parametrize("kind", NOT_RETRIED)
    def test_never_where_it_cannot(self, kind):
        peer = Peer([fails(kind), ANSWERS])
        came_to = Wired(peer).one_turn()
        assert (came_to.status, came_to.statuses, peer.calls) == (kind, [kind], 1)

    @pytest.mark.parametrize(
        ("answer", "status"),
        [
            pytest.param(says(""), "empty", id="no text"),
            pytest.param(says(None, finish_reason="content_filter"), "blocked", id="blocked"),
            pytest.param(says("half a", finish_reason="cut"), "truncated", id="cut"),
            pytest.param(says("too long", finish_reason="length"), "length_cut", id="too long"),
        ],
    )
    def test_an_answer_of_whatever_kind_is_an_answer(self, answer, status):
        peer = Peer([answer])
        came_to = Wired(peer).one_turn()
        assert (came_to.status, came_to.statuses, peer.calls) == (status, [status], 1)

    def test_after_a_moment_where_the_provider_names_no_wait(self):
        peer = Peer([fails("unavailable"), ANSWERS])
        Wired(peer).one_turn()
        waited = peer.asked_at[1] - peer.asked_at[0]
        assert 0.4 * RETRY_WAIT_SECONDS < waited < 2.1 * RETRY_WAIT_SECONDS

    @pytest.mark.parametrize("kind", RETRIED)
    @pytest.mark.parametrize("wait", [0.0, 0.25, 7.0, 19.0])
    def test_after_exactly_the_wait_that_the_provider_names(self, kind, wait):
        peer = Peer([fails(kind, retry_after=wait), ANSWERS])
        Wired(peer).one_turn()
        assert peer.asked_at == [0, pytest.approx(wait)]

    @pytest.mark.parametrize("wait", [19.1, 60.0, 86_400.0])
    def test_not_where_that_wait_does_not_fit_the_turn(self, wait):
        peer = Peer([fails("rate_limited", retry_after=wait), ANSWERS])
        came_to = Wired(peer).one_turn()
        assert (came_to.status, came_to.seconds, peer.calls) == ("rate_limited", 0, 1)


class TestAttempts:
    def test_each_says_what_was_asked_and_what_became_of_it(self):
        generation = Generation(text="after all", usage=USAGE, served_model="small", request_id="r-2")
        peer = Peer(
            [
                fails("unavailable", after=2, retry_after=1.0, http_status=503, request_id="r-1"),
                says("after all", after=3, usage=USAGE, served_model="small", request_id="r-2"),
            ]
        )
        came_to = Wired(peer).one_turn()
        asked: dict[str, Any] = {
            "provider": "groq",
            "requested_model": "small",
            "parameters": {"max_output_tokens": 2048},
        }
        assert came_to.attempts == (
            Attempt(
                **asked,
                number=1,
                status="unavailable",
                error="unavailable, as arranged",
                http_status=503,
                request_id="r-1",
                latency_ms=2000,
            ),
            Attempt(**asked, number=2, status="ok", generation=generation, http_status=200, latency_ms=3000, cost=COST),
        )

    def test_the_wait_for_a_slot_stands_apart_from_the_call(self):
        study = Wired(Peer([says(after=4)]), limits={"calls_in_flight": 1})
        waited = [each.attempts[0] for each in study.turns([0, 0, 1])]
        assert [each.queue_ms for each in waited] == [0, 4000, 7000]
        assert [each.latency_ms for each in waited] == [4000, 4000, 4000]

    def test_a_model_without_a_price_has_no_cost(self):
        study = Wired(Peer([says(usage=USAGE)]), first=ModelChoice(provider="groq", model="unlisted"))
        assert study.one_turn().attempts[0].cost is None

    def test_the_price_is_that_of_the_model_that_answered(self):
        study = Wired(
            Peer([says(usage=USAGE, served_model="small-001")]), first=ModelChoice(provider="groq", model="alias")
        )
        assert study.one_turn().attempts[0].cost == COST

    @pytest.mark.parametrize(
        ("provider", "taken", "in_vain"),
        [
            ("groq", {"temperature", "max_output_tokens", "reasoning_effort"}, ["thinking_level", "thinking_budget"]),
            ("gemini", {"temperature", "max_output_tokens", "thinking_level", "thinking_budget"}, ["reasoning_effort"]),
        ],
    )
    def test_only_parameters_that_the_provider_takes_are_sent(self, provider, taken, in_vain):
        sampling = Sampling(temperature=0.7, thinking_level="low", thinking_budget=0, reasoning_effort="low")
        choice = ModelChoice(provider=provider, model="small", sampling=sampling)
        peer = Peer(provider=provider)
        came_to = Wired(peer, first=choice).one_turn()
        assert set(peer.asked[0].parameters) == taken
        assert peer.asked[0].parameters == came_to.attempts[0].parameters == taken_by(choice)
        assert not_taken_by(choice) == in_vain

    def test_nothing_is_in_vain_for_a_model_that_knows_no_parameters(self):
        assert not_taken_by(ModelChoice(sampling=Sampling(temperature=1, thinking_budget=0))) == []


class TestSlots:
    @pytest.mark.parametrize("per_minute", [6, 30, 60])
    def test_calls_are_spread_evenly_over_the_minute(self, per_minute):
        peer = Peer()
        Wired(peer, limits={"requests_per_minute": per_minute, "turn_seconds": 120}).turns([0] * 6)
        gaps = [after - before for before, after in pairwise(peer.asked_at)]
        assert peer.asked_at[0] == 0
        assert gaps == pytest.approx([60 / per_minute] * 5)

    def test_no_more_calls_are_in_flight_than_may_be(self):
        peer = Peer([says(after=3)])
        came_to = Wired(peer, limits={"calls_in_flight": 2}).turns([0] * 10)
        assert peer.most_in_flight == 2
        assert sorted(each.seconds for each in came_to) == [3, 3, 6, 6, 9, 9, 12, 12, 15, 15]

    def test_a_call_that_fails_or_hangs_gives_its_slot_back(self):
        peer = Peer([fails("rejected", after=1), HANGS, says(after=1)])
        came_to = Wired(peer, limits={"calls_in_flight": 1, "attempt_seconds": 5}).turns([0, 0, 0])
        assert [each.status for each in came_to] == ["rejected", "timeout", "ok"]

    @pytest.mark.parametrize(
        ("limits", "seconds"),
        [
            pytest.param({"calls_in_flight": 1, "turn_seconds": 15}, 10, id="calls in flight: it may be freed"),
            pytest.param({"requests_per_minute": 1, "turn_seconds": 15}, 0, id="calls a minute: it is known at once"),
        ],
    )
    def test_a_turn_whose_time_passes_in_the_queue_makes_no_call(self, limits, seconds):
        peer = Peer([says(after=14)])
        _, waited = Wired(peer, limits=limits).turns([0, 0])
        assert (waited.status, waited.seconds, waited.attempts, peer.calls) == ("throttled", seconds, (), 1)

    @pytest.mark.parametrize("per_minute", [7, 45, 600])
    def test_the_pace_is_kept_at_rates_that_are_no_round_numbers(self, per_minute):
        peer = Peer()
        Wired(peer, limits={"requests_per_minute": float(per_minute), "turn_seconds": 60}).turns([0] * 6)
        gaps = [after - before for before, after in pairwise(peer.asked_at)]
        assert gaps == pytest.approx([60 / per_minute] * 5)

    def test_who_waited_for_a_slot_has_not_used_up_a_moment_of_the_pace(self):
        peer = Peer([says(after=12), says(after=12), says(after=0.01)])
        limits = {"calls_in_flight": 2, "requests_per_minute": 60, "turn_seconds": 60}
        Wired(peer, limits=limits).turns([0] * 18)
        assert min(after - before for before, after in pairwise(peer.asked_at)) >= 1 - 1e-9

    def test_what_was_tried_before_the_queue_is_not_lost(self):
        peer = Peer([fails("unavailable", retry_after=1.0), says(after=30)])
        came_to, _ = Wired(peer, limits={"calls_in_flight": 1, "attempt_seconds": 30}).turns([0, 0.5])
        assert (came_to.status, came_to.statuses, came_to.seconds) == ("throttled", ["unavailable"], 15)

    @pytest.mark.parametrize(
        ("slots", "latency", "gap", "share"), [(1, 3.0, 2.0, 0.95), (2, 4.0, 1.5, 0.95), (2, 6.0, 2.5, 0.95)]
    )
    def test_a_healthy_model_behind_too_few_slots_answers_as_many_as_it_can(self, slots, latency, gap, share):
        peer = Peer([says(after=latency)])
        came_to = Wired(peer, limits={"calls_in_flight": slots}).turns([number * gap for number in range(200)])
        possible = 200 * gap / latency * slots
        assert {each.status for each in came_to[10:]} == {"ok", "throttled"}
        assert sum(each.status == "ok" for each in came_to) >= share * possible


class TestHalved:
    TOO_MANY = fails("rate_limited", retry_after=19.5)  # no turn has the time for it

    def test_after_too_many_calls_every_second_turn_of_all_sessions_is_skipped_for_a_minute(self):
        peer = Peer([self.TOO_MANY, ANSWERS])
        first, *others = Wired(peer).turns([0, *range(10, 70, 10)])
        assert first.status == "rate_limited"
        assert [each.status for each in others] == ["throttled", "ok", "throttled", "ok", "throttled", "ok"]
        assert [each.attempts for each in others if each.status == "throttled"] == [()] * 3

    def test_the_minute_ends(self):
        peer = Peer([self.TOO_MANY, ANSWERS])
        _, *others = Wired(peer).turns([0, *(HALVED_SECONDS + second for second in range(4))])
        assert [each.status for each in others] == ["ok"] * 4

    def test_the_turn_that_met_with_it_still_has_its_second_try(self):
        peer = Peer([fails("rate_limited"), ANSWERS])
        assert Wired(peer).one_turn().statuses == ["rate_limited", "ok"]


class TestBudget:
    def test_call_101_of_100_is_never_sent(self):
        peer = Peer()
        came_to = Wired(peer, budget=Budget(calls_per_session=100)).one_after_another(102)
        assert [each.status for each in came_to] == ["ok"] * 100 + ["budget_spent"] * 2
        assert peer.calls == 100
        assert came_to[-1].attempts == ()
        assert "calls_per_session" in came_to[-1].message

    def test_nor_where_all_are_asked_for_at_the_same_moment(self):
        peer = Peer([says(after=5)])
        came_to = Wired(peer, budget=Budget(calls_per_experiment=100)).turns([0] * 150)
        assert peer.calls == 100
        assert [each.status for each in came_to].count("budget_spent") == 50

    def test_a_second_try_is_a_call_too(self):
        peer = Peer([fails("unavailable"), ANSWERS])
        came_to = Wired(peer, budget=Budget(calls_per_session=1)).one_turn()
        assert (came_to.status, came_to.statuses, peer.calls) == ("budget_spent", ["unavailable"], 1)

    def test_a_turn_that_asks_nobody_costs_nothing(self):
        study = Wired(Peer([fails("auth")]), budget=Budget(calls_per_session=5))
        study.one_after_another(10)
        assert study.ledger.experiment.calls == 1

    @pytest.mark.parametrize(
        ("limit", "calls"),
        [
            ({"tokens_per_session": 3000}, 2),
            ({"tokens_per_session": 3001}, 3),
            ({"tokens_per_experiment": 3000}, 2),
            ({"tokens_per_day": 3000}, 2),
            ({"cost_per_session": 2 * COST}, 2),
            ({"cost_per_experiment": 2 * COST}, 2),
            ({"cost_per_day": 2 * COST}, 2),
        ],
        ids=str,
    )
    def test_the_call_that_reaches_a_limit_of_tokens_or_money_is_the_last(self, limit, calls):
        peer = Peer([says(usage=USAGE)])
        came_to = Wired(peer, budget=Budget(**limit)).one_after_another(5)
        assert [each.status for each in came_to] == ["ok"] * calls + ["budget_spent"] * (5 - calls)

    @pytest.mark.parametrize(
        ("budget", "second"),
        [
            (Budget(calls_per_session=1), "ok"),
            (Budget(tokens_per_session=1), "ok"),
            (Budget(calls_per_experiment=1), "budget_spent"),
            (Budget(cost_per_experiment=COST), "budget_spent"),
            (Budget(tokens_per_day=1), "budget_spent"),
        ],
        ids=["calls, a session's", "tokens, a session's", "calls", "cost", "tokens, a day's"],
    )
    def test_a_session_s_limit_stops_no_other_and_an_experiment_s_stops_all(self, budget, second):
        came_to = Wired(Peer([says(usage=USAGE)]), budget=budget).turns([0, 1])
        assert [each.status for each in came_to] == ["ok", second]

    def test_the_next_day_there_is_a_budget_again(self):
        study = Wired(Peer(), budget=Budget(calls_per_day=1))

        async def main() -> list[str]:
            model = study.session()
            today = [(await turn(model)).status for _ in range(2)]
            study.date = "2026-11-25"
            return [*today, (await turn(model)).status]

        assert run_in_virtual_time(main()) == ["ok", "budget_spent", "ok"]

    def test_a_spent_budget_says_nothing_of_the_provider(self):
        study = Wired(Peer(), budget=Budget(calls_per_session=1))
        study.one_after_another(20)
        assert study.states == {"groq:small": "ok"}


class TestParsed:
    NO_OBJECT = {  # noqa: RUF012
        "prose": "Sure! Here you are.",
        "an array": "[1, 2]",
        "a string": '"hello"',
        "a number": "3",
        "nothing": "null",
        "cut": '{"a": 1',
        "fenced": '```json\n{"a": 1}\n```',
        "no JSON number": '{"a": NaN}',
        "a key twice": '{"a": 1, "a": 2}',
    }

    @pytest.mark.parametrize("name", NO_OBJECT)
    def test_what_is_no_object_is_asked_for_once_more_at_once(self, name):
        peer = Peer([says(self.NO_OBJECT[name])])
        came_to = Wired(peer).one_turn(schema=SCHEMA)
        assert (came_to.status, came_to.text) == ("unparsable", None)
        assert came_to.statuses == ["unparsable", "unparsable"]
        assert peer.asked_at == [0, 0]

    def test_the_second_answer_may_be_one(self):
        came_to = Wired(Peer([says("Sure!"), says('{"a": 1}')])).one_turn(schema=SCHEMA)
        assert (came_to.text, came_to.statuses) == ('{"a": 1}', ["unparsable", "ok"])

    def test_the_schema_reaches_the_provider(self):
        peer = Peer([says("{}")])
        came_to = Wired(peer).one_turn(schema=SCHEMA)
        assert (came_to.text, peer.asked[0].schema, peer.calls) == ("{}", SCHEMA, 1)

    def test_an_attempt_that_was_no_object_keeps_what_it_said_and_cost(self):
        came_to = Wired(Peer([says("Sure!", usage=USAGE)])).one_turn(schema=SCHEMA)
        first = came_to.attempts[0]
        assert first.generation is not None
        assert (first.generation.text, first.cost, first.error) == ("Sure!", COST, "not the JSON that was asked for")

    @pytest.mark.parametrize("answer", [says(""), says(None, finish_reason="content_filter")], ids=["empty", "blocked"])
    def test_an_answer_without_text_is_what_it_is_elsewhere(self, answer):
        peer = Peer([answer])
        assert Wired(peer).one_turn(schema=SCHEMA).status in ("empty", "blocked")
        assert peer.calls == 1

    @pytest.mark.parametrize("name", NO_OBJECT)
    def test_without_a_schema_nothing_is_looked_at(self, name):
        came_to = Wired(Peer([says(self.NO_OBJECT[name])])).one_turn()
        assert came_to.text == self.NO_OBJECT[name]

    def test_it_says_nothing_of_the_line(self):
        study = Wired(Peer([says("Sure!")]))
        study.one_after_another(2 * FAILURES_IN_A_ROW, schema=SCHEMA)
        assert study.states == {"groq:small": "ok"}
