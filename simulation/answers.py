"""From what a model answered to what its agent says, and when."""

from __future__ import annotations

from simulation import casting, pacing
from simulation.events import Act, TurnAnswered, TurnPlanned
from simulation.generation import USABLE
from simulation.inputs import GenerationArrived
from simulation.leaks import leak_in
from simulation.parameters import SimulationParameters
from simulation.sanitize import Sanitized, sanitize
from simulation.state import SessionState


def cleaned(parameters: SimulationParameters, arrived: GenerationArrived, instructions: str) -> Sanitized | None:
    """Return what may be shown of an answer (nothing, perhaps); None where there is no answer to clean.

    `instructions` are what the agent was told to be: none of it may come out of its mouth.
    """
    if arrived.status not in USABLE or arrived.generation is None:
        return None
    sender, names = arrived.agent_name, parameters.called_names
    kept = sanitize(arrived.generation.text or "", sender, names)
    leak = leak_in(kept.content, sender, names, parameters.deny_list, instructions)
    return kept if leak is None else Sanitized("", (*kept.rules, leak))


def answered(state: SessionState, planned: TurnPlanned, kept: Sanitized, source: str, now: float) -> TurnAnswered:
    """Return the answer to a turn, in hand since `now`: its text, when it is typed and when it appears."""
    content = kept.content
    if planned.act == Act.MENTION and planned.target:
        content = _with_mention(state, content, planned.target)
    moments = pacing.answer_moments(
        state.parameters.timing,
        planned.pace,
        ready_to_type_at=planned.elapsed + planned.reading_seconds,
        arrived_at=now,
        characters=len(content),
    )
    return TurnAnswered(
        elapsed=now,
        turn_id=planned.turn_id,
        agent_name=planned.agent_name,
        content=content,
        sanitized=kept.rules,
        source=source,
        typing_at=moments.typing_at,
        appears_at=moments.appears_at,
    )


def _with_mention(state: SessionState, content: str, member: str) -> str:
    """A turn that was to mention somebody does, also where the model forgot."""
    if member in casting.mentions_in(content, state):
        return content
    return f"@{casting.called(state, member)} {content}"
