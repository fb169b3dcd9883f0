"""The scripted model is everybody's first impression: it must be coherent, and must never repeat itself."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest
from chatrooms import FIVE_AGENTS, started
from sessions import ListLog, session

from simulation.errors import UnknownProvider
from simulation.events import MessagePosted
from simulation.generation import GenerateRequest, Scene
from simulation.inputs import ParticipantPosted
from simulation.llm.registry import local_provider
from simulation.llm.script import InvalidScript, load_script
from simulation.llm.scripted import ScriptedModel, ScriptedProvider
from simulation.parameters import ModelChoice, Timing
from simulation.runtime.clock import run_in_virtual_time

SCRIPT = load_script()
SAYS_ONE_THING = {"intents": [{"name": "greeting", "patterns": ["^hello$"], "say": ["hello yourself"]}]}


def scripted(seed: int = 1) -> ScriptedModel:
    return ScriptedModel(SCRIPT, seed, model="neighbourhood")


def said(content: str, sender: str = "user", number: int = 1) -> MessagePosted:
    return MessagePosted(
        elapsed=0, sender=sender, content=content, message_id=f"m{number}", position=number, source="participant"
    )


def scene(agent: str = "Alice", *, towards: MessagePosted | None = None, cause: str = "background", **details) -> Scene:
    visible = details.pop("visible", (towards,) if towards else ())
    return Scene(
        agent_name=agent, members=FIVE_AGENTS, act="message", cause=cause, visible=visible, towards=towards, **details
    )


def speak(model: ScriptedModel, asked: Scene) -> str | None:
    request = GenerateRequest(session_id="s", turn_id="turn-1", messages=(), scene=asked)
    return asyncio.run(model.generate(request)).text


def answers(content: str, count: int = 6) -> list[str]:
    """What fresh models with different seeds answer to a participant's message."""
    return [speak(scripted(seed), scene(towards=said(content), cause="reaction")) or "" for seed in range(count)]


def conversation(rate: float = 6, seed: int = 1) -> list[MessagePosted]:
    log = ListLog()

    async def main() -> None:
        start = started(seed, messages_per_minute=rate, timing=Timing(scale=min(1, 20 / rate)))
        subject = session(scripted(start.seed), log, start)
        await subject.run()

    run_in_virtual_time(main())
    return [record.event for record in log.records if isinstance(record.event, MessagePosted)]


@pytest.mark.parametrize("rate", [6, 20, 60])
def test_no_line_comes_twice_in_a_session(rate):
    contents = [message.content for message in conversation(rate=rate)]
    assert len(contents) > rate * 12
    assert len(set(contents)) == len(contents)


def test_same_seed_same_conversation_and_another_seed_another():
    first, again, other = conversation(), conversation(), conversation(seed=2)
    assert first == again
    assert [message.content for message in first] != [message.content for message in other]


def test_threads_come_in_their_order():
    """Nobody answers what nobody has said."""
    order = {
        _plain(line): (thread.name, number)
        for thread in SCRIPT.threads
        for number, beat in enumerate(thread.beats)
        for line in beat.say
    }
    pivots = {(thread.name, n) for thread in SCRIPT.threads for n, beat in enumerate(thread.beats) if beat.pivot}
    for seed in range(5):
        spoken = [order[key] for message in conversation(seed=seed) if (key := _plain(message.content)) in order]
        assert len(spoken) > 40
        for thread in {name for name, _ in spoken}:
            beats = [number for name, number in spoken if name == thread]
            assert beats[0] == 0
            for pivot in (number for name, number in pivots if name == thread):
                later = [number for number in beats if number > pivot]
                if later:
                    assert pivot in beats
                    assert beats.index(pivot) < min(beats.index(number) for number in later)


def _plain(text: str) -> str:
    """A line without what a voice may have done to it."""
    words = text.casefold()
    for voice in SCRIPT.voices:
        for plain, own in voice.swap.items():
            words = words.replace(plain.casefold(), own.casefold().replace("yes, absolutely", "yes"))
    words = re.sub(r"^(aw!|ooh!|ha\.|well\.|honestly\?|wait\.) ", "", words)
    return re.sub(r"[^a-z0-9]", "", words)


def test_a_thread_is_opened_by_one_and_answered_by_others():
    messages = conversation()
    opening = {_plain(line): thread for thread in SCRIPT.threads for line in thread.beats[0].say}
    others = {_plain(line): t.name for t in SCRIPT.threads for b in t.beats if b.by == "other" for line in b.say}
    starters = {opening[key].name: m.sender for m in messages if (key := _plain(m.content)) in opening}
    assert len(starters) >= 4
    for message in messages:
        thread = others.get(_plain(message.content))
        if thread is not None:
            assert message.sender != starters[thread]


@pytest.mark.parametrize(
    ("content", "intent"),
    [
        ("Hello everyone!", "greeting"),
        ("good morning", "greeting"),
        ("Hi, my name is julia", "introduction"),
        ("thanks a lot", "thanks"),
        ("bye, got to go", "farewell"),
        ("are you all bots?", "suspicion"),
        ("is anyone here real?", "suspicion"),
        ("how are you?", "how are you"),
        ("I'm new here", "new here"),
        ("what do you think?", "opinion asked"),
        ("could it be true?", "question"),
        ("qwertz uiop", "anything"),
    ],
)
def test_hears_what_the_participant_means(content, intent):
    lines = {line for each in SCRIPT.intents if each.name == intent for line in each.say}
    patterns = [re.compile(re.sub(r"\\\{\w+\\\}", ".+", re.escape(_plain_keeping_slots(line)))) for line in lines]
    for answer in answers(content):
        assert any(pattern.search(_plain_keeping_slots(answer)) for pattern in patterns), answer


def _plain_keeping_slots(text: str) -> str:
    return re.sub(r"[^a-z0-9{}]", "", text.casefold())


def test_picks_up_names_and_keywords():
    assert any("Julia" in answer for answer in answers("hello, my name is julia", 12))
    about_bins = next(thread for thread in SCRIPT.threads if thread.name == "bins").answers
    for answer in answers("when are the bins collected?"):
        assert _plain(answer) in {_plain(line) for line in about_bins}


def test_words_that_only_contain_a_keyword_are_none():
    assert SCRIPT.threads_about("a robin and a carpet, categorically") == []
    assert [thread.name for thread in SCRIPT.threads_about("The CAT, again")] == ["lost cat"]


def test_speaks_to_the_member_it_is_to_mention():
    line = speak(scripted(), scene(mention="Bob")) or ""
    assert _plain(line) in {_plain(each.say) for each in SCRIPT.to_members}


def test_a_member_who_was_asked_by_name_answers():
    model = scripted()
    asked = speak(model, scene(mention="Bob")) or ""
    shown = (said(f"@Bob {asked}", "Alice"),)
    (exchange,) = (each for each in SCRIPT.to_members if _plain(each.say) == _plain(asked))
    answered = {_plain(each) for each in exchange.answers}
    assert _plain(speak(model, scene("Eve", visible=shown)) or "") not in answered
    assert _plain(speak(model, scene("Bob", visible=shown)) or "") in answered
    assert _plain(speak(model, scene("Bob", visible=shown)) or "") not in answered


def test_a_thread_that_the_talk_has_left_behind_is_left_alone():
    model = scripted()
    first = speak(model, scene()) or ""
    (thread,) = (each for each in SCRIPT.threads if _plain(first) in map(_plain, each.beats[0].say))
    speak(model, scene("Bob", visible=(said(first, "Alice"),)))
    beats = {_plain(line) for beat in thread.beats for line in beat.say}
    elsewhere = (said("something else entirely", "Diana"),)
    assert not beats & {_plain(speak(model, scene(name, visible=elsewhere)) or "") for name in FIVE_AGENTS}


def test_what_the_participant_was_told_is_no_news_afterwards():
    for seed in range(5):
        model = scripted(seed)
        assert speak(model, scene(towards=said("is there a bakery here?"), cause="reaction"))
        (bakery,) = SCRIPT.threads_about("bakery")
        openings = set(map(_plain, bakery.beats[0].say))
        assert not openings & {_plain(speak(model, scene(FIVE_AGENTS[n % 5], visible=None)) or "") for n in range(120)}


def test_agents_have_voices_of_their_own():
    by_agent: dict[str, list[str]] = {name: [] for name in FIVE_AGENTS}
    for message in conversation(rate=20):
        by_agent[message.sender].append(message.content)
    assert all(line[0].islower() or not line[0].isalpha() or line.split()[0].isupper() for line in by_agent["Charlie"])
    assert sum(line.endswith(".") for line in by_agent["Diana"]) > len(by_agent["Diana"]) / 2
    assert not any(line.endswith("w.") for line in by_agent["Bob"])


def test_what_was_said_before_a_resume_is_not_said_again():
    first = scripted()
    line = speak(first, scene()) or ""
    resumed = scripted()
    assert speak(resumed, scene("Bob", visible=(said(line, "Alice"),))) != line


def test_without_a_window_it_talks_all_the_same():
    model = scripted()
    lines = [speak(model, scene(FIVE_AGENTS[number % 5], visible=None)) for number in range(60)]
    assert len(set(lines)) == 60


def test_anybody_can_give_it_a_script_of_their_own(tmp_path: Path):
    (tmp_path / "mine.json").write_text(
        json.dumps({"small_talk": ["only {what}"], "slots": {"what": ["this", "that"]}})
    )
    provider = ScriptedProvider(ModelChoice(script="mine.json"), tmp_path)
    model = provider.for_session(started())
    lines = {speak(model, scene()) for _ in range(2)}
    assert lines <= {"only this", "only that", "only this. only that", "only that. only this"}


def test_a_line_that_speaks_of_what_was_not_named_is_passed_over(tmp_path: Path):
    intent = {"name": "x", "patterns": ["hello", r"i am (?P<name>\w+)"], "say": ["hi {name}"]}
    (tmp_path / "mine.json").write_text(json.dumps({"intents": [intent], "small_talk": ["so"]}))
    provider = ScriptedProvider(ModelChoice(script="mine.json"), tmp_path)
    for heard, answer in {"hello": "so", "i am sam": "hi Sam"}.items():
        model = provider.for_session(started())
        assert speak(model, scene(towards=said(heard), cause="reaction")) == answer


def test_a_script_with_nothing_left_to_say_is_silent(tmp_path: Path):
    (tmp_path / "short.json").write_text(json.dumps({"to_replies": ["indeed"]} | SAYS_ONE_THING))
    model = ScriptedProvider(ModelChoice(script="short.json"), tmp_path).for_session(started())
    heard = said("what a day", "Bob")
    assert speak(model, scene(towards=heard)) == "indeed"
    assert speak(model, scene(towards=heard)) is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"threads": [{"name": "x", "beats": []}]}', "threads.0.beats"),
        ('{"small": []}', "small"),
        ('{"intents": [{"name": "x", "patterns": ["("]}]}', "regular expression"),
        ('{"intents": [{"name": "x", "patterns": "abc"}]}', "intents.0.patterns: a list of regular expressions"),
        ('{"intents": [{"name": "x", "patterns": [null]}]}', "intents.0.patterns: None is no regular expression"),
        ('{"intents": [{"name": "x", "patterns": ["a{99999999999999999999}"]}]}', "is no regular expression"),
        (json.dumps({"intents": [{"name": "x", "patterns": ["(" * 3000]}]}), "is no regular expression"),
        ('{"small_talk": ["only {what}"]}', "nothing fills {what}"),
        ('{"small_talk": ["only {what}"], "slots": {"what": []}}', "slots.what"),
        ('{"small_talk": [" "]}', "small_talk.0"),
        ('{"small_talk": ["hi"], "voices": [{"swap": {"hi": ""}}]}', "voices.0.swap.hi"),
        ('{"small_talk": ["hi"], "voices": [{"lower_case": "yes"}]}', "voices.0.lower_case"),
        (json.dumps({"threads": [{"name": "x", "beats": [{"say": ["hi"]}]}] * 2}), "'x' is there twice"),
        ("{}", "there is nothing to say"),
        ("{", "breaks off"),
    ],
)
def test_a_script_that_cannot_be_used_says_where_and_why(tmp_path: Path, content: str, reason: str):
    path = tmp_path / "bad.json"
    path.write_text(content)
    with pytest.raises(InvalidScript, match=re.escape(reason)) as caught:
        load_script(path)
    assert str(path) in str(caught.value)


def test_a_script_that_is_missing_says_so(tmp_path: Path):
    with pytest.raises(InvalidScript, match="cannot be read"):
        load_script(tmp_path / "none.json")


def test_the_registry_knows_it_and_names_what_it_knows(tmp_path: Path):
    assert isinstance(local_provider(ModelChoice(), tmp_path), ScriptedProvider)
    with pytest.raises(UnknownProvider, match="known are scripted"):
        local_provider(ModelChoice(provider="oracle"), tmp_path)


def test_every_slot_and_voice_of_the_script_is_there():
    lines = [line for intent in SCRIPT.intents for line in intent.say] + list(SCRIPT.small_talk)
    named = {name for intent in SCRIPT.intents for pattern in intent.patterns for name in pattern.groupindex}
    for line in lines:
        assert set(re.findall(r"\{(\w+)\}", line)) <= set(SCRIPT.slots) | named, line
    assert len(SCRIPT.voices) >= 5


def test_participants_can_answer_the_script_in_a_session():
    log = ListLog()

    async def main() -> None:
        start = started(4, user_response_probability=1, timing=Timing())
        subject = session(scripted(4), log, start)
        subject.receive(ParticipantPosted(content="Hi, my name is Julia"))
        await subject.run()

    run_in_virtual_time(main())
    messages = [record.event for record in log.records if isinstance(record.event, MessagePosted)]
    assert [message.source for message in messages] == ["participant", "scripted"]
