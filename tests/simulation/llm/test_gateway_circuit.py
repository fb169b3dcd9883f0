"""Between a session and a provider that fails: when nobody is asked, who is let in, and what a new key changes.

The provider is a stub behind the Adapter protocol; everything else is what runs in a study, in virtual time.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest
from lines import ANSWERS, HANGS, Peer, Wired, fails, request, says, second_provider, turn

from simulation.llm.circuit import FAILURES_IN_A_ROW, PROBE_SECONDS, QUOTA_PROBE_SECONDS
from simulation.llm.line import MISMATCH_SECONDS
from simulation.llm.registry import local_provider
from simulation.parameters import Budget, ModelChoice, OnModelFailure
from simulation.runtime.clock import run_in_virtual_time

GONE = fails("rejected", http_status=404)
"""The model is not there: no session's own words are the reason."""
OPENING = [GONE] * FAILURES_IN_A_ROW
"""Failures of which each is one call, and which open the circuit."""


async def until(moment: float) -> None:
    await asyncio.sleep(moment - asyncio.get_running_loop().time())


async def opened(study: Wired) -> None:
    """Let the first failures of the script happen, one after another."""
    for _ in range(FAILURES_IN_A_ROW):
        await turn(study.session())


class TestCircuit:
    BRIEF = {"turn_seconds": 5}  # noqa: RUF012  too short to wait for a probe

    @pytest.mark.parametrize("kind", ["unavailable", "timeout", "bad_response", "rejected"])
    def test_after_five_failures_in_a_row_nobody_is_asked(self, kind):
        peer = Peer([fails(kind, retry_after=60.0, http_status=404)])
        came_to = Wired(peer, limits=self.BRIEF).one_after_another(8)
        assert [each.status for each in came_to] == [kind] * 5 + ["circuit_open"] * 3
        assert [each.attempts for each in came_to[5:]] == [()] * 3
        assert peer.calls == 5

    def test_the_row_is_one_for_all_sessions(self):
        peer = Peer([GONE])
        came_to = Wired(peer, limits=self.BRIEF).turns(range(7))
        assert [each.status for each in came_to] == ["rejected"] * 5 + ["circuit_open"] * 2

    def test_what_one_session_wrote_may_be_rejected_for_ever_and_closes_no_door(self):
        study = Wired(Peer([fails("rejected", http_status=400)]), limits=self.BRIEF)
        assert {each.status for each in study.one_after_another(30)} == {"rejected"}
        assert study.problem is None

    def test_what_two_sessions_wrote_is_another_matter(self):
        study = Wired(Peer([fails("rejected", http_status=400)]), limits=self.BRIEF)

        async def main() -> None:
            for number in range(12):
                await turn(study.session(), session_id="ab"[number % 2])

        run_in_virtual_time(main())
        assert study.states == {"groq:small": "rejected"}

    @pytest.mark.parametrize(
        "cured",
        [
            pytest.param(says(), id="an answer"),
            pytest.param(says(None, finish_reason="content_filter"), id="a blocked answer"),
            pytest.param(says(""), id="no text"),
        ],
    )
    def test_an_answer_of_whatever_kind_breaks_the_row(self, cured):
        peer = Peer(lambda number: cured if number % FAILURES_IN_A_ROW == 0 else fails("rejected"))
        came_to = Wired(peer, limits=self.BRIEF).one_after_another(20)
        assert "circuit_open" not in [each.status for each in came_to]
        assert peer.calls == 20

    def test_rate_limits_do_not_open_it(self):
        peer = Peer([fails("rate_limited", retry_after=60.0)])
        came_to = Wired(peer, limits=self.BRIEF).one_after_another(20)
        assert {each.status for each in came_to} == {"rate_limited", "throttled"}

    def test_a_second_try_that_finds_it_open_is_not_made(self):
        peer = Peer([fails("unavailable", retry_after=0.0)])
        came_to = Wired(peer, limits=self.BRIEF).one_after_another(3)
        assert [each.statuses for each in came_to] == [["unavailable"] * 2, ["unavailable"] * 2, ["unavailable"]]
        assert came_to[-1].status == "circuit_open"

    def test_a_refused_key_opens_it_at_once_and_for_good(self):
        peer = Peer([fails("auth"), ANSWERS])
        came_to = Wired(peer).turns([0, 1, 3600, 86_400])
        assert [each.status for each in came_to] == ["auth"] + ["circuit_open"] * 3
        assert [each.seconds for each in came_to] == [0] * 4
        assert peer.calls == 1

    def test_a_spent_quota_opens_it_at_once_and_is_asked_after_now_and_then(self):
        peer = Peer([fails("quota_exhausted"), ANSWERS])
        came_to = Wired(peer, limits=self.BRIEF).turns([0, 10, QUOTA_PROBE_SECONDS - 10, QUOTA_PROBE_SECONDS + 1])
        assert [each.status for each in came_to] == ["quota_exhausted", "circuit_open", "circuit_open", "ok"]

    def test_a_turn_with_the_time_for_it_waits_to_be_the_probe(self):
        peer = Peer([*OPENING, says("back again")])
        *_, came_to = Wired(peer).one_after_another(FAILURES_IN_A_ROW + 1)
        assert (came_to.text, came_to.seconds) == ("back again", PROBE_SECONDS)

    def test_probes_go_out_while_the_ones_before_still_hang(self):
        peer = Peer([*OPENING, HANGS])
        came_to = Wired(peer).turns([0] * FAILURES_IN_A_ROW + [1, 6, 16])
        first = came_to[FAILURES_IN_A_ROW].attempts[0]
        assert first.latency_ms > PROBE_SECONDS * 1000
        assert peer.asked_at[FAILURES_IN_A_ROW:] == [PROBE_SECONDS, 2 * PROBE_SECONDS, 3 * PROBE_SECONDS]

    def test_there_is_never_more_than_one_probe_in_its_time_however_many_fail(self):
        peer = Peer([*OPENING, HANGS])
        Wired(peer).turns([0] * FAILURES_IN_A_ROW + [float(second) for second in range(1, 200)])
        gaps = [after - before for before, after in pairwise(peer.asked_at[FAILURES_IN_A_ROW:])]
        assert len(gaps) > 10
        assert min(gaps) >= PROBE_SECONDS - 1e-9

    def test_a_call_from_before_a_refusal_does_not_make_the_key_good_again(self):
        peer = Peer([says(after=5), fails("auth"), ANSWERS])
        came_to = Wired(peer).turns([0, 1, 10, 11])
        assert [each.status for each in came_to] == ["ok", "auth", "circuit_open", "circuit_open"]

    def test_a_slow_model_has_the_time_to_answer_a_probe(self):
        peer = Peer([*OPENING, says("slowly", after=4.5)])
        came_to = Wired(peer).turns([0] * FAILURES_IN_A_ROW + [float(second) for second in range(1, 20)])
        assert "timeout" not in [each.status for each in came_to]

    def test_a_probe_that_is_answered_closes_it(self):
        peer = Peer([*OPENING, ANSWERS])
        came_to = Wired(peer, limits=self.BRIEF).turns([*range(5), 6, 15, 16, 16, 16])
        assert [each.status for each in came_to[5:]] == ["circuit_open", "ok", "ok", "ok", "ok"]

    def test_a_session_that_ends_while_its_turn_waits_to_be_the_probe_costs_that_probe_alone(self):
        peer = Peer([*OPENING, ANSWERS])
        study = Wired(peer)

        async def main() -> str:
            await opened(study)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(2):
                    await study.session().generate(request())
            await asyncio.sleep(4)
            return (await turn(study.session())).status

        assert run_in_virtual_time(main()) == "ok"
        assert peer.asked_at[FAILURES_IN_A_ROW:] == [2 * PROBE_SECONDS]


class TestWhatTheServerIsTold:
    @pytest.mark.parametrize(
        ("script", "problem", "state"),
        [
            pytest.param([ANSWERS], None, "ok", id="all is well"),
            pytest.param([fails("auth")], "model: auth", "auth", id="a refused key"),
            pytest.param([fails("quota_exhausted")], "model: quota_exhausted", "quota_exhausted", id="no quota"),
            pytest.param([GONE], "model: rejected", "rejected", id="every call is refused"),
            pytest.param([fails("timeout")], None, "timeout", id="a hang, which may pass"),
            pytest.param([fails("unavailable", retry_after=60.0)], None, "unavailable", id="an outage, which may pass"),
        ],
    )
    def test_new_sessions_are_kept_out_where_the_agents_would_not_say_a_word(self, script, problem, state):
        study = Wired(Peer(script), limits={"turn_seconds": 5})
        study.one_after_another(FAILURES_IN_A_ROW)
        assert study.problem == problem
        assert study.states == {"groq:small": state}

    def test_one_of_two_that_still_answers_is_enough(self):
        study = Wired(
            Peer([fails("auth")]),
            Peer([ANSWERS, fails("auth")], provider="gemini"),
            on_model_failure=second_provider(),
        )
        assert study.gateway.providers == {"groq", "gemini"}
        study.one_after_another(1)
        assert study.states == {"groq:small": "auth", "gemini:other": "ok"}
        assert study.problem is None

    def test_two_that_are_both_refused_are_not(self):
        study = Wired(
            Peer([fails("auth")]), Peer([fails("auth")], provider="gemini"), on_model_failure=second_provider()
        )
        study.one_after_another(1)
        assert study.problem == "model: auth"

    @pytest.mark.parametrize(
        ("budget", "problem"),
        [
            (Budget(calls_per_session=1), None),
            (Budget(calls_per_experiment=1), "budget: calls_per_experiment"),
            (Budget(calls_per_day=1), "budget: calls_per_day"),
        ],
    )
    def test_a_budget_that_is_spent_for_everybody_keeps_sessions_out(self, budget, problem):
        study = Wired(Peer(), budget=budget)
        study.one_turn()
        assert study.problem == problem


class TestANewKey:
    def test_closes_the_circuit_while_the_session_goes_on(self):
        old, new = Peer([fails("auth")]), Peer([says("with the new key")])
        study = Wired(old)

        async def main() -> list[str | None]:
            model = study.session()
            before = [(await turn(model)).status, (await turn(model)).status]
            await study.gateway.use({"groq": new})
            return [*before, (await turn(model)).text]

        assert run_in_virtual_time(main()) == ["auth", "circuit_open", "with the new key"]
        assert (study.problem, study.states) == (None, {"groq:small": "ok"})
        assert (old.is_closed, new.is_closed) == (True, False)
        assert new.models_asked == ["small"]

    def test_a_call_that_is_under_way_is_made_again_with_it(self):
        old, new = Peer([HANGS]), Peer([says("with the new key")])
        study = Wired(old)

        async def main() -> tuple[str | None, list[str]]:
            async with asyncio.TaskGroup() as tasks:
                asking = tasks.create_task(turn(study.session()))
                await until(3)
                await study.gateway.use({"groq": new})
            return asking.result().text, asking.result().statuses

        assert run_in_virtual_time(main()) == ("with the new key", ["unavailable", "ok"])

    def test_failures_of_the_old_one_that_come_in_late_do_not_count_against_it(self):
        old, new = Peer([HANGS]), Peer()
        study = Wired(old)

        async def main() -> list[str]:
            async with asyncio.TaskGroup() as tasks:
                asking = [tasks.create_task(turn(study.session())) for _ in range(FAILURES_IN_A_ROW)]
                await until(3)
                await study.gateway.use({"groq": new})
            return [task.result().status for task in asking]

        assert run_in_virtual_time(main()) == ["ok"] * FAILURES_IN_A_ROW
        assert study.states == {"groq:small": "ok"}

    def test_of_one_provider_leaves_the_other_alone(self):
        first, second, new = Peer(), Peer(provider="gemini"), Peer()
        study = Wired(first, second, on_model_failure=second_provider())
        run_in_virtual_time(study.gateway.use({"groq": new}))
        assert (first.is_closed, second.is_closed) == (True, False)

    def test_every_client_is_let_go_of_in_the_end(self):
        first, second = Peer(), Peer(provider="gemini")
        study = Wired(first, second, on_model_failure=second_provider())
        run_in_virtual_time(study.gateway.close())
        assert first.is_closed
        assert second.is_closed


def test_a_new_key_that_is_refused_while_a_turn_waits_to_be_the_probe_opens_the_new_circuit():
    old, new = Peer([*OPENING, HANGS]), Peer([fails("auth")])
    study = Wired(old)

    async def main() -> None:
        await opened(study)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(turn(study.session()))
            await asyncio.sleep(1)
            await study.gateway.use({"groq": new})

    run_in_virtual_time(main())
    assert study.states == {"groq:small": "auth"}


class TestLettingIn:
    def test_after_a_used_up_quota_new_sessions_come_in_when_a_probe_is_due(self):
        study = Wired(Peer([fails("quota_exhausted")]))
        study.one_turn()
        assert study.problem == "model: quota_exhausted"
        assert study.problem_after(QUOTA_PROBE_SECONDS) is None

    def test_where_another_model_ends_sessions_none_begins_for_a_while(self):
        peer = Peer([says(served_model="another")])
        study = Wired(peer, limits={"on_model_mismatch": "stop"})
        study.one_turn()
        assert study.problem == "model: another model answers"
        assert study.problem_after(MISMATCH_SECONDS) is None
        warned = Wired(Peer([says(served_model="another")]))
        warned.one_turn()
        assert warned.problem is None

    def test_after_a_refused_key_never(self):
        study = Wired(Peer([fails("auth")]))
        study.one_turn()
        assert study.problem_after(1e6) == "model: auth"

    def test_where_the_second_provider_is_in_this_process_there_is_always_somebody_to_speak(self):
        scripted = ModelChoice()
        failure = OnModelFailure(mode="second_provider", second=scripted)
        study = Wired(
            Peer([fails("auth")]), on_model_failure=failure, local={scripted: local_provider(scripted, Path())}
        )
        study.one_turn()
        assert study.problem is None
