"""The scripted model: a provider that needs no key, for demonstrations, rehearsals and tests.

One instance speaks for one session. It is deterministic from the session's seed, gives every agent a voice of its own,
follows small threads, hears greetings, names, questions and keywords in what the participant writes, and never says the
same line twice in a session. What it has said it remembers; after a resume it learns it from the messages it is shown.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import NamedTuple

from simulation.events import Cause, MessagePosted, SessionStarted
from simulation.generation import FinishReason, GenerateRequest, Generation, Scene, Usage
from simulation.llm.registry import LocalProvider
from simulation.llm.script import SLOT, Beat, Exchange, Intent, Script, Thread, Voice, load_script
from simulation.pacing import draws
from simulation.parameters import ModelChoice

ACTIVE_THREADS = 2
"""How many threads run at once: more is confusing, fewer leaves agents without a line while an answer is pending."""
SMALL_TALK_SHARE = 0.08
FILLINGS_TRIED = 12
"""How often slots are filled anew to find a line that was not said yet."""


@dataclass(slots=True, eq=False)
class _OpenThread:
    thread: Thread
    starter: str
    remaining: list[Beat]
    last_text: str = ""
    last_speaker: str = ""

    def next_beat(self, speaker: str) -> Beat | None:
        """The beat that `speaker` may say now, if there is one."""
        if speaker == self.last_speaker or not self.remaining:
            return None
        if speaker == self.starter:
            return self.remaining[0] if self.remaining[0].by == "starter" else None
        return self._next_of_others()

    def _next_of_others(self) -> Beat | None:
        for beat in self.remaining:
            if beat.by == "other":
                return beat
            if beat.pivot:
                return None
        return None

    @property
    def is_active(self) -> bool:
        return self._next_of_others() is not None


class _Candidate(NamedTuple):
    """A line that could be said; if it is, `beat` is done with and `opened` is where it belongs.

    `topic` is a thread that is no news any more, `exchange` what is being asked of somebody.
    """

    line: str
    opened: _OpenThread | None = None
    beat: Beat | None = None
    topic: Thread | None = None
    exchange: Exchange | None = None


class _Asked(NamedTuple):
    text: str
    answers: Sequence[str]


class ScriptedProvider(LocalProvider):
    """One script for all sessions; `latency_seconds` is how long each answer takes."""

    def __init__(self, choice: ModelChoice, folder: Path, latency_seconds: float = 0.0) -> None:
        self._script = load_script(folder / choice.script if choice.script else None)
        self._model = choice.model
        self._latency_seconds = latency_seconds

    def for_session(self, start: SessionStarted) -> ScriptedModel:
        return ScriptedModel(self._script, start.seed, model=self._model, latency_seconds=self._latency_seconds)


class ScriptedModel:
    """`latency_seconds` is how long it takes to answer: nothing live, whatever is asked for in a rehearsal."""

    provider = "scripted"

    def __init__(self, script: Script, seed: int, *, model: str, latency_seconds: float = 0.0) -> None:
        self.model = model
        self._script = script
        self._random = draws(seed, "script", 0)
        self._latency_seconds = latency_seconds
        self._spent: set[str] = set()
        self._said: dict[str, _OpenThread | None] = {}
        self._shown: set[str] = set()
        self._open: list[_OpenThread] = []
        self._asked: dict[str, _Asked] = {}
        self._templates: list[str] = []
        self._unopened = self._random.sample(script.threads, len(script.threads))

    async def generate(self, request: GenerateRequest) -> Generation:
        """Return the next line; a script that has nothing left to say answers with no text."""
        if self._latency_seconds:
            await asyncio.sleep(self._latency_seconds)
        text = self._speak(request.room)
        return Generation(
            text=text,
            finish_reason=FinishReason.STOP,
            usage=Usage(),
            served_model=self.model,
            source="scripted",
        )

    def _speak(self, scene: Scene) -> str | None:
        self._listen(scene.visible or ())
        for candidate in self._candidates(scene):
            text = _voiced(self._voice(scene), candidate.line, self._random)
            if text not in self._said:
                self._remember(candidate, text, scene)
                return text
        return None

    def _listen(self, visible: Sequence[MessagePosted]) -> None:
        """Take note of what stands in the room; what was said before a resume counts as said."""
        for each in visible:
            self._shown.add(each.content)
            self._said.setdefault(each.content, None)

    def _remember(self, candidate: _Candidate, text: str, scene: Scene) -> None:
        speaker, opened = scene.agent_name, candidate.opened
        self._spent.add(candidate.line)
        self._said[text] = opened
        if candidate.topic in self._unopened:
            self._unopened.remove(candidate.topic)
        if speaker in self._asked and candidate.line in self._asked[speaker].answers:
            del self._asked[speaker]
        if candidate.exchange is not None and scene.mention is not None:
            self._asked[scene.mention] = _Asked(text, candidate.exchange.answers)
        if opened is None:
            return
        if opened not in self._open:
            self._open.append(opened)
            self._unopened.remove(opened.thread)
        if candidate.beat is not None:
            opened.remaining.remove(candidate.beat)
        opened.last_text, opened.last_speaker = text, speaker

    # What could be said, best first

    def _candidates(self, scene: Scene) -> Iterator[_Candidate]:
        towards = scene.towards
        if scene.mention is not None:
            yield from self._exchanges()
        if towards is not None and towards.sender in scene.members:
            yield from self._continued(self._said.get(towards.content), scene)
            script = self._script
            yield from self._plain(script.to_questions if "?" in towards.content else script.to_replies)
        elif scene.cause == Cause.REACTION or towards is not None:
            yield from self._answers(towards.content if towards else "")
        else:
            yield from self._owed(scene)
        if self._random.random() >= SMALL_TALK_SHARE:
            yield from self._threads(scene)
        yield from self._small_talk()
        yield from self._threads(scene)

    def _exchanges(self) -> Iterator[_Candidate]:
        unspent = [each for each in self._script.to_members if each.say not in self._spent]
        for exchange in self._random.sample(unspent, len(unspent)):
            yield _Candidate(exchange.say, exchange=exchange)

    def _owed(self, scene: Scene) -> Iterator[_Candidate]:
        """What this agent was asked by name and can still be seen."""
        asked = self._asked.get(scene.agent_name)
        if asked is not None and any(asked.text in each.content for each in scene.visible or ()):
            yield from self._plain(asked.answers)

    def _threads(self, scene: Scene) -> Iterator[_Candidate]:
        self._open = [opened for opened in self._open if not self._has_faded(opened, scene)]
        for opened in self._open:
            yield from self._continued(opened, scene)
        active = [opened for opened in self._open if opened.is_active]
        if len(active) < ACTIVE_THREADS and self._unopened:
            thread = self._unopened[0]
            opened = _OpenThread(thread, scene.agent_name, list(thread.beats))
            yield from self._beat(opened, thread.beats[0])

    def _has_faded(self, opened: _OpenThread, scene: Scene) -> bool:
        """Whether the talk has moved on so far that whoever took it up again would puzzle everybody."""
        if scene.visible is None or opened.last_text not in self._shown:
            return False
        return all(each.content != opened.last_text for each in scene.visible)

    def _continued(self, opened: _OpenThread | None, scene: Scene) -> Iterator[_Candidate]:
        if opened is None or (scene.visible is not None and opened.last_text not in self._shown):
            return
        beat = opened.next_beat(scene.agent_name)
        if beat is not None:
            yield from self._beat(opened, beat)

    def _beat(self, opened: _OpenThread, beat: Beat) -> Iterator[_Candidate]:
        return (_Candidate(line, opened, beat) for line in self._unspent(beat.say))

    def _answers(self, heard: str) -> Iterator[_Candidate]:
        for intent in self._script.intents:
            found = _found(intent, heard)
            if found is None:
                continue
            if intent.thread_answers:
                yield from self._thread_answers(heard)
            else:
                yield from self._filled(intent.say, found)

    def _thread_answers(self, heard: str) -> Iterator[_Candidate]:
        """What is known of the threads that `heard` touches on: the most helpful first, as the script has them."""
        for thread in self._script.threads_about(heard):
            yield from (_Candidate(line, topic=thread) for line in thread.answers if line not in self._spent)

    def _plain(self, lines: Sequence[str]) -> Iterator[_Candidate]:
        yield from map(_Candidate, self._unspent(lines))

    def _small_talk(self) -> Iterator[_Candidate]:
        """Filled templates, each once before any comes again; when they are spent, two of them in one message."""
        templates = self._script.small_talk
        if not templates:
            return
        for _ in range(FILLINGS_TRIED):
            if not self._templates:
                self._templates = self._random.sample(templates, len(templates))
            line = self._fill(self._templates.pop(), {})
            if line not in self._spent:
                yield _Candidate(line)
        for _ in range(FILLINGS_TRIED):
            first, second = (self._fill(self._random.choice(templates), {}) for _ in range(2))
            yield _Candidate(f"{first}. {second}")

    def _filled(self, lines: Sequence[str], found: dict[str, str]) -> Iterator[_Candidate]:
        for line in self._random.sample(lines, len(lines)):
            if not found.keys() | self._script.slots.keys() >= set(SLOT.findall(line)):
                continue  # another pattern names what this line speaks of
            filled = self._fill(line, found)
            if filled not in self._spent:
                yield _Candidate(filled)

    def _unspent(self, lines: Sequence[str]) -> list[str]:
        unspent = [line for line in lines if line not in self._spent]
        return self._random.sample(unspent, len(unspent))

    def _fill(self, template: str, found: dict[str, str]) -> str:
        def filling(match: re.Match[str]) -> str:
            name = match[1]
            if name in found:
                return found[name]
            return self._random.choice(self._script.slots[name])

        return SLOT.sub(filling, template) if "{" in template else template

    def _voice(self, scene: Scene) -> Voice:
        voices = self._script.voices
        if not voices:
            return Voice()
        index = scene.members.index(scene.agent_name) if scene.agent_name in scene.members else 0
        return voices[index % len(voices)]


def _found(intent: Intent, heard: str) -> dict[str, str] | None:
    """Return what the intent's patterns name in `heard`; None if it is not meant."""
    if intent.thread_answers:
        return {}
    for pattern in intent.patterns:
        if match := pattern.search(heard):
            return {name: _name(name, value) for name, value in match.groupdict().items() if value}
    return None


def _name(group: str, value: str) -> str:
    return value[:1].upper() + value[1:] if group == "name" else value.lower()


def _voiced(voice: Voice, line: str, random: Random) -> str:
    if voice.swap_pattern is not None:
        line = voice.swap_pattern.sub(lambda match: voice.swap[match[0]], line)
    if voice.lower_case:
        line = _lowered(line)
    if voice.full_stop and line[-1].isalnum():
        line += "."
    elif voice.drop_full_stop and line.endswith(".") and not line.endswith(".."):
        line = line[:-1]
    if voice.emoji and random.random() < voice.emoji_share and line[-1].isascii() and "?" not in line:
        line = f"{line} {random.choice(voice.emoji)}"
    return line


def _lowered(line: str) -> str:
    """Lower the first letter, as people do who never press shift, unless it is an I or a shout."""
    first, _, _ = line.partition(" ")
    if first.isupper() or not line:
        return line
    return line[0].lower() + line[1:]
