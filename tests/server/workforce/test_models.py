"""The simulator on the wire: the real SDKs against our fake provider, its failures, a killed server, the cache."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter
from pathlib import Path

import httpx2
import pytest
from folders import write_settings
from providers import MODEL, WIRES, fake_provider
from servers import Process, serving
from simulations import FOUR, SCENARIO, SEVEN, researching, visiting

from experiments.eventlog.reader import read_records
from experiments.replay import replay
from simulation.events import ModelCalled
from simulation.workforce.events import AgentAnswered, RoundCompleted, RoundResumed, RoundStarted


def answered(log):
    return [record.event.agent_name for record in log if isinstance(record.event, AgentAnswered)]


@pytest.mark.parametrize("wire", WIRES)
async def test_a_round_is_played_through_every_provider(tmp_path, wire):
    async with fake_provider() as provider:
        async with researching(tmp_path, provider.settings(wire)) as (researcher, server):
            session_id = await researcher.begins(temperature=1.5, agents=SEVEN)
            played = await researcher.plays(session_id, user_input="Feasibility first")
            assert [each["agent_role"] for each in played["agent_responses"]] == SEVEN
            assert all(each["is_structured"] for each in played["agent_responses"])
            assert all(each["token_usage"]["prompt"] > 0 for each in played["agent_responses"])
            assert played["total_tokens"] > 0
            bodies = [json.dumps(asking.body) for asking in provider.asked]
            assert len(bodies) == 8
            assert all("Feasibility first" in body for body in bodies)
            assert all("confidence" in body and '"temperature": 1.5' in body for body in bodies[:7])
            log = server.log_of(session_id)
            assert replay(log).difference is None
            calls = [record.event for record in log if isinstance(record.event, ModelCalled)]
            assert {(call.provider, call.requested_model, call.status) for call in calls} == {(wire, MODEL, "ok")}


async def test_answers_that_are_no_json_are_repaired_once_and_then_kept(tmp_path):
    async with fake_provider() as provider:
        async with researching(tmp_path, provider.settings("groq")) as (researcher, _):
            provider.fake.behaves("ok", text="I would wait, and/or ask https://a.example/b_c")
            session_id = await researcher.begins(agents=["ceo"])
            played = await researcher.plays(session_id)
            only = played["agent_responses"][0]
            assert only["response"] == "I would wait, and/or ask https://a.example/b_c"
            assert (only["is_structured"], only["confidence"]) == (False, None)
            assert len(provider.asked) == 4


@pytest.mark.parametrize(
    ("behaviour", "status", "error"),
    [("400", 502, "model_failed"), ("500", 503, "model_unavailable"), ("blocked", 502, "model_failed")],
)
async def test_a_failed_model_is_502_or_503_and_the_round_goes_on_later(tmp_path, behaviour, status, error):
    async with fake_provider() as provider:
        async with researching(tmp_path, provider.settings("groq")) as (researcher, server):
            session_id = await researcher.begins()
            provider.fake.queue("ok", times=2)
            provider.fake.behaves(behaviour)
            failed = await researcher.asks_for_a_round(session_id, "key", user_input="go")
            assert (failed.status_code, failed.json()["error"]) == (status, error), failed.text
            assert failed.json()["details"][0]["field"] == "engineering_lead"
            state = await researcher.state(session_id)
            assert (state["status"], state["round"]["status"], state["current_turn"]) == ("active", "failed", 0)
            assert [each["agent_role"] for each in state["round"]["agent_responses"]] == ["ceo", "pm"]
            assert state["round"]["awaited"] == ["engineering_lead", "designer", "coordinator"]
            assert "no answer to Engineering Lead" in state["round"]["basis"]["coordinator_summary"]
            provider.fake.behaves("ok")
            played = await researcher.plays(session_id, "another-key", user_input="go")
            for key in ("key", "another-key"):  # both were used for this round
                assert await researcher.plays(session_id, key, user_input="go") == played
            assert [each["agent_role"] for each in played["agent_responses"]] == FOUR
            log = server.log_of(session_id)
            assert answered(log) == FOUR
            assert Counter(type(record.event) for record in log)[RoundStarted] == 1
            assert replay(log).difference is None


async def test_the_round_in_progress_can_be_watched(tmp_path):
    async with fake_provider() as provider:
        async with researching(tmp_path, provider.settings("groq")) as (researcher, _):
            session_id = await researcher.begins()
            provider.fake.queue("ok", times=2)
            provider.fake.behaves("ok", latency=1.5)
            async with asyncio.TaskGroup() as tasks:
                asking = tasks.create_task(researcher.asks_for_a_round(session_id))
                await provider.until(lambda: len(provider.asked) == 3)
                state = await researcher.state(session_id)
                assert state["round"]["status"] == "in_progress"
                assert [each["agent_role"] for each in state["round"]["agent_responses"]] == ["ceo", "pm"]
                assert (await researcher.rounds(session_id))[-1]["awaited"][0] == "engineering_lead"
                for path in (f"/simulate/{session_id}", f"/memory/{session_id}"):
                    answer = await researcher.asks("DELETE", path)
                    if path.startswith("/simulate"):
                        assert (answer.status_code, answer.json()["error"]) == (409, "round_in_progress")
                asking.cancel()


@pytest.mark.parametrize("execution", ["sequential", "parallel"])
async def test_a_server_killed_in_the_middle_of_a_round_completes_it(tmp_path: Path, execution):
    """No role that has answered is asked again, and there is one round in the log."""
    write_settings(tmp_path / "config")
    async with fake_provider() as provider:
        settings = {key.upper(): value for key, value in provider.settings("openai_compatible").items()}
        command = ("-m", "server", "--port", "0")
        provider.fake.queue("ok", times=3)
        provider.fake.behaves("hang")
        with Process(*command, folder=tmp_path, environment=settings) as first:
            async with visiting(await url_of(first)) as researcher:
                session_id = await researcher.begins(agents=SEVEN, execution=execution)
                asking = asyncio.ensure_future(researcher.asks_for_a_round(session_id, "key", user_input="go"))
                await three_have_answered(tmp_path, session_id)
                first.process.send_signal(signal.SIGKILL)
                with pytest.raises(httpx2.HTTPError):
                    await asking
        before = answered(read_records(tmp_path / "logs" / f"{session_id}.json"))
        assert len(before) == 3
        provider.fake.behaves("ok")
        provider.fake.requests.clear()
        with Process(*command, folder=tmp_path, environment=settings) as second:
            async with visiting(await url_of(second)) as researcher:
                stopped = (await researcher.state(session_id))["round"]
                assert stopped["basis"]["duration_ms"] == "the server was stopped while the round was played"
                played = await researcher.plays(session_id, "key", user_input="go")
                assert [each["agent_role"] for each in played["agent_responses"]] == SEVEN
                assert await researcher.plays(session_id, "key", user_input="go") == played
        assert len(provider.asked) == 5  # the four that had not answered, and the summary
        log = list(read_records(tmp_path / "logs" / f"{session_id}.json"))
        kinds = Counter(type(record.event) for record in log)
        assert (kinds[RoundStarted], kinds[RoundResumed], kinds[RoundCompleted]) == (1, 1, 1)
        assert sorted(answered(log)) == sorted(SEVEN)
        assert replay(log).difference is None


async def url_of(process: Process) -> str:
    output = await asyncio.to_thread(process.read_until, "page ")
    return next(word for word in output.split() if word.startswith("http://")).rstrip("/")


async def three_have_answered(folder: Path, session_id: str) -> None:
    path = folder / "logs" / f"{session_id}.json"
    async with asyncio.timeout(20):
        while not path.exists() or len(answered(read_records(path))) < 3:
            await asyncio.sleep(0.02)


async def test_a_what_if_that_failed_is_finished_with_its_key(tmp_path):
    async with fake_provider() as provider:
        async with researching(tmp_path, provider.settings("groq")) as (researcher, _):
            session_id = await researcher.begins(agents=["ceo"])
            body = {"session_id": session_id, "num_turns_to_simulate": 2}
            provider.fake.queue("ok", times=5)
            provider.fake.behaves("400")
            failed = await researcher.asks("POST", "/simulate/what-if", body, "key")
            assert (failed.status_code, failed.json()["error"]) == (502, "model_failed")
            assert not (await researcher.gets(f"/simulate/{session_id}/what-ifs"))["what_ifs"][0]["is_complete"]
            calls = len(provider.asked)
            provider.fake.behaves("ok")
            found = await researcher.asks("POST", "/simulate/what-if", body, "key")
            assert found.status_code == 200
            assert len(provider.asked) - calls == 2 * 2 * 2 - 5
            assert (await researcher.gets("/simulations?branches=true"))["total"] == 3


async def test_the_same_request_is_answered_from_the_cache(tmp_path):
    async with fake_provider() as provider:
        settings = provider.settings("groq") | {"llm_cache_entries": 100}
        async with researching(tmp_path, settings) as (researcher, server):
            first, second = await researcher.begins(), await researcher.begins()
            one = await researcher.plays(first, user_input="go")
            asked = len(provider.asked)
            another = await researcher.plays(second, user_input="go")
            assert len(provider.asked) == asked
            assert [each["response"] for each in one["agent_responses"]] == [
                each["response"] for each in another["agent_responses"]
            ]
            assert another["total_tokens"] == 0
            calls = [r.event for r in server.log_of(second) if isinstance(r.event, ModelCalled)]
            assert {(call.source, call.cost, call.latency_ms) for call in calls} == {("cache", 0.0, 0)}
            await researcher.plays(await researcher.begins(temperature=0.1), user_input="go")
            assert len(provider.asked) > asked


async def test_without_the_setting_nothing_is_cached(tmp_path):
    async with fake_provider() as provider:
        async with researching(tmp_path, provider.settings("groq")) as (researcher, _):
            for _ in range(2):
                await researcher.plays(await researcher.begins(), user_input="go")
            assert len(provider.asked) == 10


async def test_a_budget_holds_over_a_restart(tmp_path):
    budget = {"budget": {"calls_per_session": 7}}
    async with fake_provider() as provider:
        settings = provider.settings("groq")
        async with serving(tmp_path, settings=settings, **budget) as server, visiting(server.http) as researcher:
            session_id = await researcher.begins()
            await researcher.plays(session_id)
        async with serving(tmp_path, settings=settings, **budget) as server, visiting(server.http) as researcher:
            failed = await researcher.asks_for_a_round(session_id)
            assert (failed.status_code, failed.json()["error"]) == (503, "model_unavailable")
            assert "budget_spent" in failed.json()["message"]
            assert len(provider.asked) == 7


async def test_a_session_whose_model_is_not_there_any_more_says_so(tmp_path):
    async with fake_provider() as provider:
        async with researching(tmp_path, provider.settings("groq")) as (researcher, _):
            session_id = await researcher.begins(SCENARIO)
    async with researching(tmp_path) as (researcher, _):
        answer = await researcher.asks_for_a_round(session_id)
        assert (answer.status_code, answer.json()["error"]) == (503, "model_unavailable")
        assert "groq" in answer.json()["message"]
        assert (await researcher.state(session_id))["current_turn"] == 0


async def test_two_sessions_that_the_schema_is_refused_to_do_not_stop_the_line(tmp_path):
    async with fake_provider() as provider:
        async with researching(tmp_path, provider.settings("groq")) as (researcher, _):
            for _ in range(3):
                provider.fake.queue("400")
                session_id = await researcher.begins(agents=["ceo"])
                assert (await researcher.plays(session_id))["status"] == "completed"


async def test_a_model_that_was_away_for_a_moment_keeps_its_schema(tmp_path):
    async with fake_provider() as provider:
        async with researching(tmp_path, provider.settings("groq")) as (researcher, _):
            provider.fake.queue("400", times=2)
            session_id = await researcher.begins(agents=["ceo"])
            assert (await researcher.asks_for_a_round(session_id)).status_code == 502
            provider.fake.requests.clear()
            await researcher.plays(session_id)
            assert all("response_format" in asking.body for asking in provider.asked)


async def test_the_response_time_has_the_repair_in_it(tmp_path):
    async with fake_provider() as provider:
        async with researching(tmp_path, provider.settings("groq")) as (researcher, _):
            provider.fake.queue("ok", text="no json", latency=0.4)
            provider.fake.behaves("ok", latency=0.3)
            played = await researcher.plays(await researcher.begins(agents=["ceo"]))
            assert played["agent_responses"][0]["metrics"]["response_time_ms"] >= 700
