"""How a role of the scripted workforce puts an answer together.

An answer opens with the input, a colleague's question or a colleague's proposal; says what the role thinks of the
round's topic, and of what else presses; reports on its work; and sometimes ends with a question to a colleague, which
that one answers when it next has the word. Lines that the role used lately, or a colleague in this round, are passed
over while there are others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any, NamedTuple

from simulation.llm.script import SLOT
from simulation.llm.workforce_backlog import TaskLine, functions, task_lines
from simulation.llm.workforce_facts import as_text, quoted
from simulation.llm.workforce_hearing import FIRST_CHOICE, Hearing, hear
from simulation.llm.workforce_naming import KINDS, QUOTED_CHARACTERS, Kind, called, deed_of, lines_of, slots_of
from simulation.llm.workforce_script import OPEN, Ask, capital, filled, load_workforce_script
from simulation.pacing import draws
from simulation.workforce.parameters import Role
from simulation.workforce.scene import TableScene

RECENT_ANSWERS = 8
"""So many of its own answers a role does not repeat a line from."""
TRIES = 6
"""How often an answer is put together anew to find one that was not given before."""

LAST_ROUND_SHARE = 0.5
ASK_SHARE = 0.4
REPORT_SHARE = 0.6
NOTE_SHARE = 0.15
MEMORY_SHARE = 0.4
SHARED_SHARE = 0.4
"""How often a role names the risk, or the opportunity, that the whole table sees."""

CONFIDENCE = 0.72
LEAST_CONFIDENCE, MOST_CONFIDENCE = 0.55, 0.9

NEWSWORTHY = ("dropped", "completed", "blocked", "started", "in_progress", "waiting")


class _Unit(NamedTuple):
    """A part of an answer: what is said, and whom it is for."""

    text: str | None
    directed_to: str | None = None


def answer_of(scene: TableScene, role: Role, seed: int) -> dict[str, Any]:
    """Return the answer of `role` to its turn: an object of `answers.ANSWER_SCHEMA`."""
    hearing = hear(scene, seed)
    random = draws(seed, f"workforce:{role.role}", scene.turn_number)
    work = task_lines(scene, hearing, seed, random)
    said_before = {each.content for each in scene.earlier if each.agent_name == role.role}
    for _ in range(TRIES):
        speech = _Speech(scene, role, hearing, random, work)
        answer = speech.answer()
        if answer["response"] not in said_before:
            return answer
    return answer | {"response": f"{answer['response']} {speech.again()}"}


class _Speech:
    """One try at an answer."""

    def __init__(
        self, scene: TableScene, role: Role, hearing: Hearing, random: Random, work: Sequence[TaskLine]
    ) -> None:
        self._scene, self._role, self._hearing, self._random, self._work = scene, role, hearing, random, work
        self._script = load_workforce_script()
        self._voice = self._script.voice(role.role)
        self._slots = slots_of(role, hearing, scene.turn_number)
        self._colleagues = {each.role: each for each in scene.colleagues}
        own = [each.content for each in scene.earlier[-400:] if each.agent_name == role.role]
        self._recent = "\n".join(own[-RECENT_ANSWERS:])
        self._table = "\n".join(each.content for each in scene.said)
        self._is_first = all(role.priority >= each.priority for each in scene.colleagues)
        self._topic, self._origin = self._choose_topic()

    def answer(self) -> dict[str, Any]:
        units = [unit for unit in self._units() if unit.text]
        if not units:
            units = [_Unit(self._choose(self._voice.topics[self._topic].say))]
        named = _functions(self._scene, self._hearing)
        return {
            "response": " ".join(unit.text or "" for unit in units),
            "reasoning": self._reasoning(),
            "actions": self._actions(),
            "directed_to": list(dict.fromkeys(unit.directed_to for unit in units if unit.directed_to)),
            "confidence": self._confidence(),
            "risks": self._risks(),
            "opportunities": self._opportunities(),
            "tasks": [line.record for line in self._work],
            "functions": named,
        }

    def again(self) -> str:
        """What to add to an answer that was given before, word for word."""
        return self._choose(self._script.again, {"round": str(self._scene.turn_number)}) or ""

    def _choose_topic(self) -> tuple[str, str]:
        """What the input asks; else, for one half of the table and then the other, what presses; else what is due."""
        hearing = self._hearing
        if hearing.asked:
            sure = self._is_first or len(hearing.asked) == 1 or self._random.random() < FIRST_CHOICE
            return (hearing.asked[0] if sure else self._random.choice(hearing.asked[1:])), "user_input"
        place = sum(each.priority > self._role.priority for each in self._scene.colleagues)
        if hearing.standing and (self._scene.turn_number + place) % 2:
            topic = self._random.choice(list(hearing.standing))
            return topic, hearing.standing[topic]
        return hearing.due

    # The parts, in the order in which they are said

    def _units(self) -> Iterator[_Unit]:
        yield self._opening()
        yield _Unit(self._say(self._topic))
        beside = [topic for topic in self._hearing.standing if topic != self._topic]
        if beside:
            yield _Unit(self._say(self._random.choice(beside)))
        yield _Unit(self._given())
        yield self._report() if self._random.random() < REPORT_SHARE else _Unit(self._of_phase())
        yield self._question()

    def _opening(self) -> _Unit:
        question = self._open_question()
        if self._scene.user_input and self._scene.user_input.strip() and (self._is_first or not self._scene.said):
            quote = quoted(self._scene.user_input, QUOTED_CHARACTERS)
            if self._is_first or not self._hearing.asked or self._random.random() < FIRST_CHOICE:
                return _Unit(self._choose(self._voice.quote, {"input": quote}))
        if question is not None:
            who = called(self._colleagues[question.asker])
            extra = {"who": who, "question": question.ask, "answer": question.answer}
            return _Unit(self._choose(self._script.to_question, extra), question.asker)
        if self._scene.said:
            return self._reference()
        return _Unit(self._of_last_round())

    def _reference(self) -> _Unit:
        speakers = [each for each in self._scene.said if each.actions and each.agent_name in self._colleagues]
        if not speakers:
            return _Unit(None)
        spoken = self._random.choice([speakers[-1], *speakers])
        kind = self._kind(spoken.agent_name)
        deed = deed_of(spoken.actions[0], spoken.source)
        extra = {"who": called(self._colleagues[spoken.agent_name]), "deed": deed}
        return _Unit(self._choose(lines_of(self._voice, kind), extra), spoken.agent_name)

    def _kind(self, colleague: str) -> Kind:
        traits = self._role.personality_traits
        against = 0.2 + 2 * traits.get("assertive", 0.5)
        if colleague not in self._voice.objects_to or self._script.topics[self._topic].is_undisputed:
            against = 0.0
        return self._random.choices(KINDS, (0.5 + traits.get("collaborative", 0.5), 0.9, against))[0]

    def _open_question(self) -> Ask | None:
        """The newest question to this role in this round or the last that it has not answered."""
        last = [each for each in self._scene.earlier[-50:] if each.turn_number == self._scene.turn_number - 1]
        own = "\n".join(each.content for each in last if each.agent_name == self._role.role)
        asks = [ask for ask in self._script.asks if ask.asked == self._role.role and ask.asker in self._colleagues]
        for answer in (*reversed(self._scene.said), *reversed(last)):
            for ask in asks:
                if answer.agent_name == ask.asker and ask.ask in answer.content and ask.answer not in own:
                    return ask
        return None

    def _of_last_round(self) -> str | None:
        summaries = self._scene.summaries
        if not self._is_first or not summaries or self._random.random() >= LAST_ROUND_SHARE:
            return None
        agreed = summaries[-1].next_action
        if not agreed or called(self._role) in agreed:
            return None  # nobody speaks of themselves by their title
        return self._choose(self._script.last_round, {"next": quoted(agreed, QUOTED_CHARACTERS)})

    def _say(self, topic: str) -> str | None:
        """What the role thinks of a topic; that it stands by it, if it was asked again and has said all it has."""
        say = self._voice.topics[topic].say
        if fresh := self._choose(say, only_fresh=True):
            return fresh
        texts = filter(None, (filled(line, self._slots) for line in say))
        if topic not in self._hearing.pressing or not any(text in self._recent for text in texts):
            return None
        return self._choose(self._script.stands, {"title": self._script.topics[topic].title})

    def _given(self) -> str | None:
        """What the notes, a what-if or the memory give the role to think of."""
        if self._role.instruction:
            extra = {"instruction": quoted(self._role.instruction, QUOTED_CHARACTERS)}
            return self._choose(self._script.instruction, extra)
        notes = [f"{key}: {quoted(as_text(value), QUOTED_CHARACTERS)}" for key, value in self._scene.context.items()]
        notes = [note for note in notes if note not in self._recent]
        if notes and (self._is_first or self._random.random() < NOTE_SHARE):
            return self._choose(self._script.note, {"note": self._random.choice(notes)})
        return self._remembered() if self._random.random() < MEMORY_SHARE else None

    def _remembered(self) -> str | None:
        """A memory that somebody has entered; what was said in earlier rounds the role knows anyhow."""
        for memory in self._scene.recalled:
            value = quoted("; ".join(as_text(each) for each in memory.content.values()), QUOTED_CHARACTERS)
            if value and not memory.key.startswith("turn_") and value not in self._recent:
                return self._choose(self._script.memory, {"key": memory.key, "value": value})
        return None

    def _report(self) -> _Unit:
        """What there is to tell of the role's work, the greatest news first."""
        news = sorted(self._work, key=lambda line: NEWSWORTHY.index(line.news))
        for line in news:
            owner = self._colleagues.get(line.owner or "")
            extra = {"task_name": line.task.task_name, "task": deed_of(line.task.task_name)}
            if owner is not None and line.waits_for:
                extra |= {"owner": called(owner), "dependency": line.waits_for}
            if line.news == "waiting" and owner is None:
                continue  # the role waits for itself
            text = self._choose(self._script.progress[line.news], extra, only_fresh=True)
            if text:
                return _Unit(text, line.owner if line.news == "waiting" else None)
        return _Unit(self._of_phase())

    def _of_phase(self) -> str | None:
        lines = self._voice.phases[self._hearing.phase.name] if self._hearing.is_launch else self._voice.general
        return self._choose(lines, only_fresh=True)

    def _question(self) -> _Unit:
        if not self._hearing.is_launch or self._random.random() >= ASK_SHARE:
            return _Unit(None)
        open_to = {ask.asked for ask in self._script.asks if ask.ask in self._table}
        asks = [
            ask
            for ask in self._script.asks
            if ask.asker == self._role.role
            and ask.stage == self._hearing.phase.stage
            and ask.asked in self._colleagues.keys() - open_to
            and ask.ask not in self._recent
        ]
        if not asks:
            return _Unit(None)
        ask = self._random.choice(asks)
        return _Unit(ask.ask, ask.asked)

    # What stands beside the words

    def _pressing(self) -> list[str]:
        """The role's topic, and what else presses on the plan."""
        return [self._topic, *(topic for topic in self._hearing.standing if topic != self._topic)]

    def _reasoning(self) -> str:
        title = self._script.topics[self._topic].title
        of = OPEN if self._topic == OPEN else self._origin
        origin = self._choose(self._script.origins[of], {"title": title}) or ""
        reason = self._choose(self._voice.reasons) or ""
        return f"{origin} {reason}".strip()

    def _actions(self) -> list[str]:
        proposed = [self._choose(self._voice.topics[topic].do) for topic in self._pressing()[:2]]
        in_hand = next((line.task.task_name for line in self._work if line.status == "in_progress"), None)
        return [capital(each) for each in dict.fromkeys((*proposed, in_hand)) if each]

    def _risks(self) -> list[str]:
        pressing = self._pressing()[:2]
        risks = [filled(self._voice.topics[topic].risk, self._slots) for topic in pressing]
        shared = self._script.topics[pressing[-1]].risk if self._random.random() < SHARED_SHARE else None
        return [each for each in dict.fromkeys((*risks, shared)) if each]

    def _opportunities(self) -> list[str]:
        topic = self._script.topics[self._pressing()[-1]]
        of_topic = topic.opportunity if self._random.random() < SHARED_SHARE else None
        own = self._choose(self._voice.opportunities)
        return [each for each in dict.fromkeys((of_topic, own)) if each]

    def _confidence(self) -> float:
        value = CONFIDENCE + self._hearing.phase.confidence + self._random.uniform(-0.04, 0.04)
        value += 0.1 * (self._role.personality_traits.get("assertive", 0.5) - 0.5)
        value += sum(self._script.topics[topic].confidence for topic in self._pressing())
        return round(min(max(value, LEAST_CONFIDENCE), MOST_CONFIDENCE), 2)

    def _choose(
        self, lines: Sequence[str], extra: Mapping[str, str] | None = None, *, only_fresh: bool = False
    ) -> str | None:
        """Return one of the lines, filled; one that was not heard lately if there is one."""
        slots = self._slots | dict(extra or {})
        possible = [(line, text) for line in lines if (text := filled(line, slots)) is not None]
        fresh = [text for line, text in possible if text not in self._recent and not _sounds_like(line, self._table)]
        if fresh:
            return self._random.choice(fresh)
        return None if only_fresh or not possible else self._random.choice(possible)[1]


def _sounds_like(line: str, table: str) -> bool:
    """Whether somebody in this round has used the words of `line` (its longest stretch without a slot)."""
    longest = max(SLOT.split(line)[::2], key=len)
    return longest in table


def _functions(scene: TableScene, hearing: Hearing) -> list[dict[str, Any]]:
    keys = {"function_name", "function_type", "complexity", "description"}
    return [each.model_dump(include=keys) for each in functions(scene, hearing)]
