"""The coordinator of the scripted workforce: what the table has come to, put together from what was really said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from random import Random

from simulation.llm.workforce_facts import quoted
from simulation.llm.workforce_hearing import Hearing, hear
from simulation.llm.workforce_naming import (
    QUOTED_CHARACTERS,
    Kind,
    Reference,
    called,
    deed_of,
    reference_in,
    slots_of,
)
from simulation.llm.workforce_script import OPEN, Ask, capital, filled, load_workforce_script
from simulation.pacing import draws
from simulation.workforce.events import AgentAnswered
from simulation.workforce.parameters import COORDINATOR, Role
from simulation.workforce.scene import TableScene

USUAL_SHARE = 0.6
"""How often what presses most is named as the next action."""
TELLING_SPREAD = 0.1
"""Confidences that lie closer together than this are not worth a sentence."""


def summary_of(scene: TableScene, seed: int) -> dict[str, str]:
    """Return the coordinator's answer: an object of `answers.SUMMARY_SCHEMA`."""
    table = _Table(scene, hear(scene, seed), draws(seed, f"workforce:{COORDINATOR}", scene.turn_number))
    return {"summary": " ".join(filter(None, table.sentences())), "next_action": table.next_action()}


class _Table:
    def __init__(self, scene: TableScene, hearing: Hearing, random: Random) -> None:
        self._scene, self._hearing, self._random = scene, hearing, random
        self._script = load_workforce_script()
        self._roles = {each.role: each for each in scene.colleagues}
        self._said = [each for each in scene.said if each.content]
        self._references = dict(self._find_references())
        self._title = self._script.topics[(*hearing.asked, *hearing.standing, hearing.due[0])[0]].title

    def sentences(self) -> Iterator[str | None]:
        if not self._said:
            yield from self._of_nobody()
            return
        yield self._about()
        yield self._proposals()
        yield self._agreement()
        yield self._objection()
        yield self._risk()
        yield self._tasks() or self._confidence()

    def next_action(self) -> str:
        """What follows from the round: a dispute, a task that stands still, an open question or a proposal."""
        possible = list(filter(None, self._next_steps()))
        usual = len(possible) == 1 or self._random.random() < USUAL_SHARE
        return possible[0] if usual else self._random.choice(possible[1:])

    def _next_steps(self) -> Iterator[str | None]:
        """What could be next, what presses most first."""
        lines = self._script.next
        if objection := self._first("object"):
            yield self._filled(lines["objection"], self._names(*objection))
        if blocked := self._task_names("blocked"):
            yield self._filled(lines["blocked"], {"task_name": blocked[0]})
        if question := self._unanswered():
            names = {"who": self._name(question.asked), "other": self._name(question.asker), "question": question.ask}
            yield self._filled(lines["question"], names)
        for each in self._weighed()[:1]:
            deed = deed_of(each.actions[0], each.source)
            yield self._filled(lines["deed"], {"who": self._name(each.agent_name), "deed": deed})
        if not self._weighed():
            yield self._filled(lines["nothing"], {"title": self._title})

    # What was said to what

    def _find_references(self) -> Iterator[tuple[str, Reference]]:
        for number, answer in enumerate(self._said):
            role = self._roles.get(answer.agent_name)
            slots = slots_of(role, self._hearing, self._scene.turn_number)
            found = reference_in(answer, self._said[:number], self._roles, slots)
            if found is not None:
                yield answer.agent_name, found

    def _first(self, kind: Kind) -> tuple[str, Reference] | None:
        return next((each for each in self._references.items() if each[1].kind == kind), None)

    def _weighed(self) -> list[AgentAnswered]:
        """The answers with proposals, those first that most colleagues took up."""
        heard = Counter(each.colleague for each in self._references.values())
        proposing = [each for each in self._said if each.actions]
        return sorted(proposing, key=lambda each: -heard[each.agent_name])

    def _unanswered(self) -> Ask | None:
        said = "\n".join(each.content for each in self._said)
        return next((ask for ask in self._script.asks if ask.ask in said and ask.answer not in said), None)

    def _task_names(self, status: str) -> list[str]:
        tasks = (task for answer in self._said for task in answer.tasks)
        return [task["task_name"] for task in tasks if task.get("status") == status]

    # The sentences

    def _of_nobody(self) -> Iterator[str | None]:
        lines = self._script.summary
        yield self._filled(lines["nothing"], {})
        agreed = self._scene.summaries[-1].next_action if self._scene.summaries else None
        if agreed:
            yield self._filled(lines["earlier"], {"next": quoted(agreed, QUOTED_CHARACTERS)})
        yield self._filled(lines["start"], {})

    def _about(self) -> str | None:
        lines = self._script.summary
        if self._scene.user_input and self._scene.user_input.strip():
            quote = quoted(self._scene.user_input, QUOTED_CHARACTERS)
            asked = "open_asked" if self._hearing.asked == (OPEN,) else "topic_asked"
            return self._filled(lines[asked], {"input": quote, "title": self._title})
        return self._filled(lines["topic"], {"title": self._title})

    def _proposals(self) -> str | None:
        """The first two proposals, apart from those whose fate the summary tells anyhow."""
        told = {found[1].colleague for found in (self._first("agree"), self._first("object")) if found}
        lines, proposals = self._script.summary, [each for each in self._weighed() if each.agent_name not in told][:2]
        slots: dict[str, str] = {}
        for who, deed, each in zip(("who", "other"), ("deed", "other_deed"), proposals, strict=False):
            slots |= {who: self._name(each.agent_name), deed: deed_of(each.actions[0], each.source)}
        if not slots:
            return None
        return self._filled(lines["proposals" if len(proposals) > 1 else "one_proposal"], slots)

    def _agreement(self) -> str | None:
        first = self._first("agree")
        if first is None:
            return None
        _, reference = first
        agreeing = [
            self._name(role)
            for role, each in self._references.items()
            if each.kind == "agree" and each.colleague == reference.colleague
        ]
        slots = {
            "agreeing": together(agreeing),
            "s": "s" if len(agreeing) == 1 else "",
            "who": self._name(reference.colleague),
            "deed": reference.deed,
        }
        return self._filled(self._script.summary["agreement"], slots)

    def _objection(self) -> str | None:
        found = self._first("object")
        return self._filled(self._script.summary["objection"], self._names(*found)) if found else None

    def _risk(self) -> str | None:
        """The risk that most roles name; where none is named twice, one of them."""
        named: dict[str, list[str]] = {}
        for answer in self._said:
            for risk in answer.risks:
                named.setdefault(risk, []).append(self._name(answer.agent_name))
        if not named:
            return None
        risk, names = max(named.items(), key=lambda each: len(each[1]))
        words = risk[:1].lower() + risk[1:].rstrip(".")
        if len(names) > 1:
            return self._filled(self._script.summary["shared_risk"], {"naming": together(names), "risk": words})
        return self._filled(self._script.summary["risk"], {"who": names[0], "risk": words})

    def _tasks(self) -> str | None:
        done, blocked = self._task_names("completed"), self._task_names("blocked")
        under_way = len(self._task_names("in_progress"))
        parts = [
            f"{under_way} {'task is' if under_way == 1 else 'tasks are'} under way" if under_way else "",
            f"done: {together([f'“{name}”' for name in done])}" if done else "",
            f"at a stand: {together([f'“{name}”' for name in blocked])}" if blocked else "",
        ]
        words = "; ".join(filter(None, parts))
        return self._filled(self._script.summary["tasks"], {"tasks": words}) if words else None

    def _confidence(self) -> str | None:
        ranked = sorted(
            (each.confidence, self._name(each.agent_name)) for each in self._said if each.confidence is not None
        )
        if not ranked or ranked[-1][0] - ranked[0][0] < TELLING_SPREAD:
            return None
        slots = {
            "who": ranked[0][1],
            "low": f"{ranked[0][0]:.2f}",
            "other": ranked[-1][1],
            "high": f"{ranked[-1][0]:.2f}",
        }
        return self._filled(self._script.summary["confidence"], slots)

    # Words

    def _names(self, role: str, reference: Reference) -> Mapping[str, str]:
        return {"who": self._name(role), "other": self._name(reference.colleague), "deed": reference.deed}

    def _name(self, role: str) -> str:
        known: Role | None = self._roles.get(role)
        return called(known) if known else role

    def _filled(self, lines: Sequence[str], slots: Mapping[str, str]) -> str | None:
        return filled(self._random.choice(lines), {**self._hearing.facts.slots, **slots})


def together(names: Sequence[str]) -> str:
    """Return names as a sentence has them: A, B and C."""
    if len(names) < 2:
        return capital(names[0]) if names else ""
    return f"{', '.join(names[:-1])} and {names[-1]}"
