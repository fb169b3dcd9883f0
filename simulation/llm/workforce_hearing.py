"""What a round is about: the topics that the scripted workforce hears in the input, the notes and the scenario.

The input counts most; after it the notes for the round (context) and what a what-if told a role; then the scenario and
what is due at this point of the work.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from simulation.llm.workforce_facts import Facts, as_text, find_facts, subject_of
from simulation.llm.workforce_script import OPEN, Phase, WorkforceScript, load_workforce_script
from simulation.pacing import draws
from simulation.workforce.events import AgentAnswered
from simulation.workforce.scene import TableScene

PATIENCE_ROUNDS = 6
"""How long a phase waits for the task before it: a table at which nobody does that task must not stand still."""
FIRST_CHOICE = 0.7
"""How often an input's first topic is chosen where it has several."""
GENERAL_TOPICS = (OPEN, "time", "budget")
"""What a table talks about where the matter is no launch and the scenario itself raises little."""

MEANS_THE_SAME = (
    ("budget_cut", "budget_raise"),
    ("budget_cut", "budget"),
    ("budget_raise", "budget"),
    ("delay", "time"),
    ("delay", "launch"),
)
"""Who says the first has named the second as well, and does not want both talked of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hearing:
    """`asked` are the topics of the input, the first first; `standing` those that the notes, an instruction or a change
    of the scenario keep up, with where each came from; `due` what is to be talked of when nothing is asked.
    """

    asked: tuple[str, ...]
    standing: Mapping[str, str]
    due: tuple[str, str]
    facts: Facts
    phase: Phase
    is_launch: bool
    is_software: bool
    subject: str

    @property
    def pressing(self) -> frozenset[str]:
        """The topics that are put before the table, not those that merely are due."""
        return frozenset((*self.asked, *self.standing))


def hear(scene: TableScene, seed: int) -> Hearing:
    """Return what this round is about for the speaker of `scene`."""
    script = load_workforce_script()
    asked = _asked(scene.user_input)
    instruction = scene.role.instruction if scene.role else ""
    standing = _standing(scene.scenario, scene.context, instruction)
    is_cut = "budget_cut" in standing or "budget_cut" in asked
    facts = find_facts(scene.scenario, scene.context, scene.user_input, is_cut=is_cut)
    standing = _weighed({**dict.fromkeys(facts.changed, "context"), **standing}, asked)
    is_launch = script.is_launch.search(scene.scenario.casefold()) is not None
    phase = _phase(scene, script, is_launch)
    return Hearing(
        asked=asked,
        standing=standing,
        due=_due(scene, seed, phase, is_launch, standing),
        facts=facts,
        phase=phase,
        is_launch=is_launch,
        is_software=script.is_software.search(scene.scenario.casefold()) is not None,
        subject=(subject_of(scene.scenario) or "the release") if is_launch else "the plan",
    )


@lru_cache(maxsize=1024)
def topics_in(text: str) -> tuple[str, ...]:
    """Return the topics that `text` speaks of: events first, then in the order of the text."""
    topics = load_workforce_script().topics
    found = {name: match.start() for name, topic in topics.items() if (match := topic.pattern.search(text))}
    for particular, plain in MEANS_THE_SAME:
        if particular in found:
            found.pop(plain, None)
    return tuple(sorted(found, key=lambda name: (not topics[name].is_event, found[name])))


def _asked(user_input: str | None) -> tuple[str, ...]:
    if not user_input or not user_input.strip():
        return ()
    return topics_in(user_input) or (OPEN,)


def _standing(scenario: str, context: Mapping[str, Any], instruction: str) -> dict[str, str]:
    topics = load_workforce_script().topics
    notes = "\n".join(f"{key.replace('_', ' ')}: {as_text(value)}." for key, value in context.items())
    found = {topic: "scenario" for topic in topics_in(scenario) if topics[topic].is_event}
    found |= dict.fromkeys(_beyond_the_key(notes, context), "context")
    return found | dict.fromkeys(topics_in(instruction), "instruction")


def _weighed(standing: Mapping[str, str], asked: Collection[str]) -> dict[str, str]:
    """Return what is standing, events first, without what is asked or has been said by a more particular topic."""
    topics = load_workforce_script().topics
    said_already = {plain for particular, plain in MEANS_THE_SAME if particular in standing}
    names = [each for each in standing if each not in asked and each not in said_already]
    return {each: standing[each] for each in sorted(names, key=lambda name: not topics[name].is_event)}


def _beyond_the_key(notes: str, context: Mapping[str, Any]) -> list[str]:
    """The topics of the notes; a figure under a key (`budget: 500000`) is a fact and no topic by itself."""
    figures = {
        topic
        for key, value in context.items()
        if isinstance(value, int | float)
        for topic in topics_in(key.replace("_", " "))
    }
    events = load_workforce_script().topics
    return [topic for topic in topics_in(notes) if events[topic].is_event or topic not in figures]


def _phase(scene: TableScene, script: WorkforceScript, is_launch: bool) -> Phase:
    """Return the phase that the round falls into; in a launch it waits for the task that it builds on."""
    roles = {each.role for each in (scene.role, *scene.colleagues) if each}
    reached = script.phases[0]
    for phase in script.phases[1:]:
        if scene.turn_number < phase.from_round:
            break
        if is_launch and phase.after and scene.turn_number < phase.from_round + PATIENCE_ROUNDS:
            owners = {task.role for task in script.backlogs["launch"] if task.task_name == phase.after}
            if owners & roles and not is_done(phase.after, scene.earlier):
                break
        reached = phase
    return reached


def is_done(task_name: str, answers: tuple[AgentAnswered, ...]) -> bool:
    """Whether `task_name` was completed when it was last named."""
    for answer in reversed(answers):
        for task in answer.tasks:
            if task.get("task_name") == task_name:
                return task.get("status") == "completed"
    return False


def _due(scene: TableScene, seed: int, phase: Phase, is_launch: bool, standing: Mapping[str, str]) -> tuple[str, str]:
    """Return the topic that is next in turn, the same for the whole table, and where it comes from."""
    script = load_workforce_script()
    raised = tuple(each for each in topics_in(scene.scenario) if not script.topics[each].is_event)
    raised = tuple(each for each in raised if each != "launch" or phase.stage == "late")
    said_already = {plain for particular, plain in MEANS_THE_SAME if particular in standing}
    due = dict.fromkeys((*raised, *(phase.topics if is_launch else GENERAL_TOPICS)))
    pool = tuple(each for each in due if each not in said_already)
    offset = draws(seed, "workforce:topics", 0).randrange(len(pool))
    topic = pool[(scene.turn_number - 1 + offset) % len(pool)]
    return topic, "scenario" if topic in raised else "phase"
