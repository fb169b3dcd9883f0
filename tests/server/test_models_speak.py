"""A session chats through the real SDKs; what becomes of it when the provider does not answer as it should."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from participants import OurParticipant, ours
from providers import KEY, MODEL, WIRES, FakeProvider, fake_provider
from servers import Server, serving
from sessions import ListLog

from experiments.replay import replay
from simulation.codec import Record, encode
from simulation.events import MessagePosted, ModelCalled, SessionStarted, TurnDropped
from simulation.inputs import ParticipantLeft, ParticipantPosted
from simulation.llm.recorded import RecordedProvider
from simulation.parameters import ModelChoice
from simulation.runtime.clock import VirtualClock, run_in_virtual_time
from simulation.runtime.session import SimulationSession

EAGER = {"user_response_probability": 1}
"""Every message of the participant is answered, and nobody speaks unasked."""
IMPATIENT = {"attempt_seconds": 0.5, "turn_seconds": 3}
PATIENT = {"attempt_seconds": 8, "turn_seconds": 20}
"""However slow the machine, what comes at all comes in time."""


def model_calls(records: list[Record]) -> list[ModelCalled]:
    return [record.event for record in records if isinstance(record.event, ModelCalled)]


def spoken(records: list[Record]) -> list[MessagePosted]:
    return [r.event for r in records if isinstance(r.event, MessagePosted) and r.event.sender != "user"]


@pytest.mark.parametrize("wire", WIRES)
async def test_a_session_chats_through_each_provider_by_a_change_of_settings_alone(tmp_path: Path, wire: str):
    async with fake_provider() as provider:
        provider.fake.behaves("ok", text="That sounds good to me")
        async with serving(tmp_path, settings=provider.settings(wire), **EAGER) as server, ours(server) as participant:
            await participant.posts("shall we have a street party?")
            frame = await participant.hears_an_agent()
            await participant.sends({"type": "leave"})
            await server.end_of(participant.session_id)
    assert frame["content"] == "That sounds good to me"
    (call,) = model_calls(server.log_of(participant.session_id))
    assert (call.provider, call.requested_model, call.served_model) == (wire, MODEL, MODEL)
    assert (call.status, call.attempt, call.http_status, call.finish_reason) == ("ok", 1, 200, "stop")
    assert "shall we have a street party?" in call.prompt
    assert call.response == frame["content"]
    assert call.request_id
    assert call.input_tokens
    assert call.cost is None, "the fake's model is in no price list"
    holds_no_secret(server, participant, provider)


def holds_no_secret(server: Server, participant: OurParticipant, provider: FakeProvider) -> None:
    log = (server.log_dir / f"{participant.session_id}.json").read_text()
    frames = json.dumps(participant.frames)
    for word in (KEY, str(provider.port)):
        assert word not in log
    for word in (KEY, MODEL, *WIRES, "llm", "model", "prompt"):
        assert word not in frames


# Every row of the table of failures (docs: reliability, 2): what the log calls it, and how many calls it takes.

LEAK = "My instructions: take up what the others write, above all what is addressed to you"
FAILURES: dict[str, tuple[dict[str, Any], str, int]] = {
    "429 for a minute": ({"name": "rate_limited", "wait": 0.2}, "rate_limited", 2),
    "429 for longer than the turn": ({"name": "rate_limited", "wait": 60}, "rate_limited", 1),
    "429 for a day": ({"name": "quota"}, "quota_exhausted", 1),
    "429 for want of money": ({"name": "quota", "kind": "money"}, "quota_exhausted", 1),
    "500": ({"name": "500"}, "unavailable", 2),
    "503 with a page": ({"name": "html", "status": 503}, "unavailable", 2),
    "connection dropped": ({"name": "drop"}, "unavailable", 2),
    "connection reset": ({"name": "reset"}, "unavailable", 2),
    "hang": ({"name": "hang"}, "timeout", 1),
    "drip": ({"name": "drip", "pause": 0.2, "chunk_bytes": 20}, "timeout", 1),
    "cut by the connection": ({"name": "drop_mid"}, "bad_response", 2),
    "cut JSON": ({"name": "cut"}, "bad_response", 2),
    "blocked prompt": ({"name": "blocked"}, "blocked", 1),
    "blocked answer": ({"name": "candidate", "finish": "SAFETY", "text": "Half an ans"}, "blocked", 1),
    "empty": ({"name": "empty_text"}, "empty", 1),
    "whitespace": ({"name": "ok", "text": " \n "}, "empty", 1),
    "thinking only": ({"name": "thinking_only"}, "empty", 1),
    "no candidate": ({"name": "empty"}, "empty", 1),
    "401": ({"name": "401"}, "auth", 1),
    "403": ({"name": "403"}, "auth", 1),
    "404, the model is gone": ({"name": "404"}, "rejected", 1),
    "400": ({"name": "400"}, "rejected", 1),
    "a page with 200": ({"name": "html"}, "bad_response", 2),
    "not HTTP": ({"name": "malformed"}, "bad_response", 2),
    "redirect": ({"name": "redirect"}, "bad_response", 2),
    "an AI": ({"name": "ok", "text": "As an AI language model I cannot do that."}, "filtered", 1),
    "quotes its prompt": ({"name": "ok", "text": LEAK}, "filtered", 1),
    "denied word": ({"name": "ok", "text": "It is the treatment group."}, "filtered", 1),
}
ANOTHER_AGENT_TRIES = ("blocked", "filtered")


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("row", FAILURES)
async def test_no_failure_reaches_the_participant(tmp_path: Path, wire: str, row: str):
    behaviour, status, attempts = FAILURES[row]
    changes: dict[str, Any] = {
        **EAGER,
        "language_model": IMPATIENT if status == "timeout" else PATIENT,
        "deny_list": ["treatment group"],
        "prompt_template": "Take up what the others write, above all what is addressed to you. Be brief.",
    }
    async with fake_provider() as provider:
        provider.fake.behaves(**behaviour)
        settings = provider.settings(wire)
        async with serving(tmp_path, settings=settings, **changes) as server, ours(server) as participant:
            await participant.posts("hello?")
            await participant.expects_echo("hello?")
            records = await came_to_nothing(server, participant)
            await participant.posts("still there?")
            await participant.expects_echo("still there?")
            await participant.sends({"type": "leave"})
            await participant.expects("session_end")
        assert provider.fake.connections.open == 0, "no socket is left"
    first_turn = [call for call in model_calls(records) if call.turn_id == "turn-1"]
    assert [call.status for call in first_turn] == [status] * attempts
    assert [call.attempt for call in first_turn] == list(range(1, attempts + 1))
    assert spoken(records) == []
    assert {frame["type"] for frame in participant.frames} <= {"welcome", "backlog_end", "message", "session_end"}
    assert {frame["sender"] for frame in participant.frames if frame["type"] == "message"} == {"user"}


async def came_to_nothing(server: Server, participant: OurParticipant) -> list[Record]:
    """Wait until every turn that was planned was dropped; return the log so far."""
    async with asyncio.timeout(20):
        while True:
            records = server.log_of(participant.session_id)
            dropped = [r.event for r in records if isinstance(r.event, TurnDropped)]
            expected = 2 if dropped and dropped[0].reason in ANOTHER_AGENT_TRIES else 1
            if len(dropped) == expected:
                return records
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("behaviour", "content", "status", "rules"),
    [
        ({"name": "huge"}, "This is a long sentence that goes on about nothing.", "ok", ("length_cut",)),
        ({"name": "length"}, "This sentence is whole. This one is cut in the mid", "length_cut", ()),
        ({"name": "served"}, "", "ok", ()),
        ({"name": "latency", "latency": 0.4}, "", "ok", ()),
        ({"name": "candidate", "finish": "SOMETHING_NEW", "text": "hello"}, "hello", "ok", ()),
    ],
    ids=["huge", "cut at the token limit", "another model", "slow but fine", "unknown finish reason"],
)
async def test_what_is_odd_but_usable_is_shown(
    tmp_path: Path, wire: str, behaviour: dict[str, Any], content: str, status: str, rules: tuple[str, ...]
):
    async with fake_provider() as provider:
        provider.fake.behaves(**behaviour)
        async with serving(tmp_path, settings=provider.settings(wire), **EAGER) as server, ours(server) as participant:
            await participant.posts("hello?")
            frame = await participant.hears_an_agent()
            records = server.log_of(participant.session_id)
    assert frame["content"].startswith(content)
    assert len(frame["content"]) <= 1000
    assert model_calls(records)[0].status == status
    assert spoken(records)[0].sanitized == rules


async def test_a_retry_that_helps_is_an_attempt_in_the_log_and_nothing_else(tmp_path: Path):
    async with fake_provider() as provider:
        provider.fake.queue("rate_limited", wait=0.3)
        settings = provider.settings("groq")
        async with serving(tmp_path, settings=settings, **EAGER) as server, ours(server) as participant:
            await participant.posts("hello?")
            await participant.hears_an_agent()
            calls = model_calls(server.log_of(participant.session_id))
    assert [(call.attempt, call.status, call.http_status) for call in calls] == [
        (1, "rate_limited", 429),
        (2, "ok", 200),
    ]
    assert {call.turn_id for call in calls} == {"turn-1"}


@pytest.mark.parametrize("wire", ["gemini", "groq"])
async def test_a_log_replays_offline_and_gives_the_same_messages(tmp_path: Path, wire: str):
    changes = {"messages_per_minute": 600, "user_response_probability": 1, "language_model": IMPATIENT}
    async with fake_provider() as provider:
        for name in ("500", "blocked", "rate_limited", "html", "empty_text"):
            provider.fake.queue("ok")
            provider.fake.queue(name)
        provider.fake.queue("ok", text="half \ud83d of an emoji\0, as models do")
        provider.fake.queue("ok", text=LEAK)
        async with (
            serving(tmp_path, settings=provider.settings(wire), **changes) as server,
            ours(server) as participant,
        ):
            for number in range(4):
                await participant.posts(f"message {number}")
                await participant.hears_an_agent()
            await provider.until(lambda: not provider.fake.queued)
            while len(model_calls(server.log_of(participant.session_id))) <= 10:
                await participant.hears_an_agent()
            await participant.sends({"type": "leave"})
            await server.end_of(participant.session_id)
    records = server.log_of(participant.session_id)
    outcome = replay(records)
    assert outcome.difference is None
    assert outcome.messages == len(spoken(records)) + 4
    assert outcome.calls == len(model_calls(records)) > 10


@pytest.mark.parametrize("wire", ["gemini", "groq"])
async def test_the_recorded_provider_answers_as_the_log_has_it_without_any_network(tmp_path: Path, wire: str):
    async with fake_provider() as provider:
        provider.fake.queue("ok")
        provider.fake.queue("blocked")
        async with serving(tmp_path, settings=provider.settings(wire), **EAGER) as server, ours(server) as participant:
            for number in range(3):
                await participant.posts(f"message {number}")
                await participant.hears_an_agent()
            await participant.sends({"type": "leave"})
            await server.end_of(participant.session_id)
        asked = len(provider.asked)
    records = server.log_of(participant.session_id)
    (tmp_path / "session.json").write_bytes(b"".join(map(encode, records)))
    recorded = RecordedProvider(ModelChoice(provider="recorded", log="session.json"), tmp_path)
    again = await asyncio.to_thread(run_in_virtual_time, run_again(recorded, records))
    assert [(m.sender, m.content) for m in messages(again)] == [(m.sender, m.content) for m in messages(records)]
    assert [(c.status, c.response) for c in model_calls(again)] == [
        (c.status, c.response) for c in model_calls(records)
    ]
    assert asked == len(model_calls(records)) == 4


def messages(records: list[Record]) -> list[MessagePosted]:
    return [record.event for record in records if isinstance(record.event, MessagePosted)]


async def run_again(provider: RecordedProvider, records: list[Record]) -> list[Record]:
    """Run a session with the recorded one's start and its participant's messages, at their times."""
    start, log = records[0].event, ListLog()
    assert isinstance(start, SessionStarted)
    session = SimulationSession.begin(start, model=provider.for_session(start), clock=VirtualClock(), log=log)
    for record in records:
        posted = record.event
        if isinstance(posted, MessagePosted) and posted.sender == "user":
            post = ParticipantPosted(content=posted.content, client_message_id=posted.client_message_id)
            in_its_place = record.seq * 1e-5  # among what the log has in the same millisecond
            session.call_at(posted.elapsed + in_its_place, partial(session.receive, post))
    session.call_at(records[-1].elapsed + 0.01, partial(session.receive, ParticipantLeft()))
    await session.run()
    return log.records
