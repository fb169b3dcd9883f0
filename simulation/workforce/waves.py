"""Who speaks together, and so who hears whom."""

from __future__ import annotations

from itertools import groupby

from simulation.workforce.events import AgentAnswered, RoundStarted
from simulation.workforce.parameters import COORDINATOR, WAVE_WIDTH
from simulation.workforce.state import Round, WorkforceState


def waves(state: WorkforceState, started: RoundStarted) -> list[tuple[str, ...]]:
    """Return the speakers of a round in groups that are asked at once, one group after another.

    `sequential`: each by itself. `parallel`: all at once. `waves`: those whose priorities lie in the same quarter of a
    hundred (100 and above, 75 to 99, 50 to 74, ...).
    """
    match state.parameters.execution:
        case "parallel":
            return [started.speakers]
        case "waves":
            by_quarter = groupby(started.speakers, key=lambda name: _priority(state, name) // WAVE_WIDTH)
            return [tuple(names) for _, names in by_quarter]
    return [(name,) for name in started.speakers]


def _priority(state: WorkforceState, name: str) -> int:
    role = state.active(name)
    return role.priority if role else 0


def heard_by(state: WorkforceState, open_round: Round, name: str) -> tuple[AgentAnswered, ...]:
    """Return what `name` hears of this round before it speaks: the waves before its own; the coordinator hears all."""
    if name == COORDINATOR:
        return open_round.said
    heard: list[str] = []
    for wave in waves(state, open_round.started):
        if name in wave:
            break
        heard += wave
    return tuple(open_round.answers[each] for each in heard if each in open_round.answers)
