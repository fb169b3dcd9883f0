"""The participant cannot tell: every byte that one can get, searched for canaries in everything that is secret."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from chatrooms import Chat
from folders import experiment
from servers import Server, serving

from experiments.blinding import Sent, leaks, secrets_of
from experiments.experiment import load_experiment
from server import blinding, protocol, starting
from server.errors import InvalidSettings
from simulation.codec import Record
from simulation.events import MessagePosted
from simulation.llm import script

KEY = "canarykey-0123456789"
LATE = {"at_seconds": 800, "agent": "Bob", "content": "canarystimulus comes late"}
CANARIES: dict[str, Any] = {
    "experiment_id": "canaryexperiment",
    "note": "canarynote of the researcher",
    "prompt_template": "canaryprompt: keep to your part and say nothing of it to anybody at all.",
    "stimuli": [{"at_seconds": 1, "agent": "Eve", "content": "A word of mine."}, LATE],
    "conditions": {"canarycondition": {"note": "canaryhint", "personas": {"Bob": {"description": "canarycalm"}}}},
    "factors": {"canaryfactor": {"canarylow": {}, "canaryhigh": {"gate": True}}},
    "screens": {
        "consent": {"version": "v1", "text": "May we?"},
        "debriefing": {"title": "canarytitle", "text": "canarydebriefing"},
    },
    "completion": {"completed": {"code": "canarycode"}},
}
PERSONAS = {"Alice": {"description": "canarypersona, a baker of fifty who likes long walks along the river."}}
ROOM = {
    "personas": PERSONAS,
    "language_model": {"provider": "scripted", "model": "canarymodel", "script": "script.json"},
}


async def visited(folder: Path, **changes: Any) -> blinding.Visit:
    """Let a participant go everywhere in an experiment of canaries."""
    write_script(folder / "config")
    settings = {"researcher_key": KEY, "gemini_api_key": KEY}
    lively = {"user_response_probability": 1, "messages_per_minute": 120, "timing": {"scale": 0}}
    async with serving(folder, settings=settings, experimental=CANARIES, **(ROOM | lively | changes)) as server:
        return await asyncio.to_thread(blinding.visit, server.http, {"token": "1234"}, "v1", 3)


def write_script(folder: Path) -> None:
    folder.mkdir(parents=True)
    source = Path(script.__file__).with_name("neighbourhood.json")
    (folder / "script.json").write_bytes(source.read_bytes())


async def test_no_canary_is_in_any_byte_that_a_participant_can_get(tmp_path: Path):
    gathered = await visited(tmp_path)
    everything = "\n".join(each.content for each in gathered.sent)
    assert "canary" not in everything.casefold()
    for where in (
        "GET / (text/html)",
        "HEAD /",
        "GET /health (",
        "GET /openapi.json",
        "POST /session/start",
        "the socket",
    ):
        assert any(each.where.startswith(where) for each in gathered.sent), where
    kinds = {each.where for each in gathered.sent if each.where.startswith("the socket: ")}
    assert {f"the socket: {kind}" for kind in ("welcome", "message", "error", "backlog_end", "typing")} <= kinds
    assert sum(each.where.startswith("GET /static") for each in gathered.sent) >= 8


async def test_messages_look_the_same_wherever_they_come_from(tmp_path: Path):
    gathered = await visited(tmp_path)
    assert len(gathered.messages) > 3
    assert "A word of mine." in {frame["content"] for frame in gathered.messages}
    assert len(gathered.shapes) == 1


def test_a_frame_is_the_same_byte_for_byte_whatever_the_source():
    chat = Chat(user_response_probability=1)
    chat.connects()
    chat.participant_posts("hello")
    (message,) = (each for each in chat.messages if each.sender != "user")
    frames = set()
    for source in ("model", "scripted", "canned", "second_provider", "stimulus", "researcher"):
        posted = replace(message, source=source, turn_id=f"{source}-1", sanitized=("quotes",))
        record = Record(7, "2026-11-25T00:00:00.000000+00:00", posted)
        frames.add((protocol.visible_frame(record), protocol.plain_message(record)))
    assert len(frames) == 1
    assert isinstance(message, MessagePosted)


async def test_the_guard_finds_a_condition_in_the_start_answer(tmp_path: Path, monkeypatch):
    honest = starting.json_answer
    monkeypatch.setattr(starting, "json_answer", lambda body: honest({**body, "group": "canarycondition"}))
    gathered = await visited(tmp_path)
    found = leaks(gathered.sent, secrets_of(load_experiment(tmp_path / "config")))
    assert {(each.where, each.what) for each in found} == {
        ("POST /session/start", "the name of a condition"),
        ("POST /session/start, again", "the name of a condition"),
    }


async def test_the_command_passes_an_honest_server_and_names_what_leaks(tmp_path: Path, monkeypatch, capsys):
    def looks(server: Server) -> bool:
        loaded = load_experiment(tmp_path / "config")
        return blinding.run(server.http, loaded, [KEY], {"token": "1234"}, 2, as_json=False)

    write_script(tmp_path / "config")
    async with serving(tmp_path, experimental=CANARIES, **ROOM) as server:
        assert await asyncio.to_thread(looks, server)
        assert "Nothing gives the study away." in capsys.readouterr().out
        honest = starting.json_answer
        monkeypatch.setattr(starting, "json_answer", lambda body: honest({**body, "condition": "x", "why": KEY}))
        assert not await asyncio.to_thread(looks, server)
        told = capsys.readouterr().out
        assert 'POST /session/start: a key that tells: "condition"' in told
        assert "POST /session/start: a key: canarykey" in told


async def test_a_server_of_another_experiment_is_not_passed(tmp_path: Path):
    another = experiment(tmp_path / "another", group_name="Somewhere else")
    async with serving(tmp_path) as server:
        with pytest.raises(InvalidSettings, match="does not serve"):
            await asyncio.to_thread(blinding.run, server.http, another, [], {"token": "1234"}, 1, as_json=False)


def test_names_that_everybody_uses_give_nothing_away(tmp_path: Path):
    sent = [Sent("GET /", "cache-control: no-store"), Sent("GET /x", "the treated group")]
    loaded = experiment(tmp_path, experimental={"conditions": {"control": {}, "treated": {}}})
    found = leaks(sent, secrets_of(loaded), innocent="Cache-Control")
    assert [(each.where, each.excerpt) for each in found] == [("GET /x", "treated")]


@pytest.mark.parametrize(
    "written",
    [
        "You must keep to your part and say nothing of it to anybody at all, said Bob",
        "<p>keep to your part and say nothing of it</p>",
        "keep%20to%20your%20part%20and%20say%20nothing%20of%20it",
        r"keep to your part and say nothing \u006ff it",
    ],
)
def test_a_prompt_is_recognised_by_a_run_of_its_words_however_written(tmp_path: Path, written):
    secrets = [*secrets_of(experiment(tmp_path, experimental={"prompt_template": CANARIES["prompt_template"]}))]
    assert [each.what for each in leaks([Sent("x", written)], secrets)] == ["a prompt"]
    assert leaks([Sent("x", "keep to your part")], secrets) == []
