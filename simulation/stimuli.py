"""What the researcher lets happen at a moment of the session, in the name of an agent: a message, or a news card.

A stimulus is a turn whose text is in hand. It comes when its file says, whatever else its agent is doing, and looks
like any other message: typed first, by the same clock. Its turn has an id of its own (`stimulus-1`), apart from the
numbers of drawn turns, so that rooms with and without it make the same draws.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from simulation import pacing
from simulation.events import Act, AnyEvent, Cause, StimulusBegun, TurnAnswered, TurnPlanned
from simulation.parameters import MILLISECONDS, Stimulus, Timing
from simulation.state import SessionState

USUAL_PACE = 1.0
SOURCE = "stimulus"


def begins_at(stimulus: Stimulus, timing: Timing) -> float | None:
    """Return when its turn begins (seconds), so that it appears at `at_seconds`; None if an event begins it."""
    if stimulus.at_seconds is None:
        return None
    return round(max(0.0, stimulus.at_seconds - _typing_seconds(stimulus, timing)), MILLISECONDS)


def is_triggered(stimulus: Stimulus, state: SessionState) -> bool:
    """Whether what has been posted is what it waits for."""
    if stimulus.after_messages is not None:
        return len(state.messages) >= stimulus.after_messages
    return stimulus.on is not None and state.participant_message_count > 0


def turn_of(state: SessionState, number: int, now: float) -> Iterator[AnyEvent]:
    """Yield what happens when stimulus `number` (from 1) begins: its turn, planned and answered at once. Of one that a
    crash has cut short in between, yield what is missing.
    """
    stimulus, timing = state.parameters.stimuli[number - 1], state.parameters.timing
    turn_id = f"stimulus-{number}"
    last = state.messages[-1] if state.messages else None
    quoted = last.message_id if last and stimulus.reply_to_last else None
    reads = 0.0
    if stimulus.at_seconds is None and last is not None:
        reads = pacing.reading_seconds(timing, USUAL_PACE, len(last.content))
    types_at = round(now + reads, MILLISECONDS)
    appears_at = round(types_at + _typing_seconds(stimulus, timing), MILLISECONDS)
    if number not in state.stimuli_begun:
        yield StimulusBegun(elapsed=now, number=number, turn_id=turn_id, trigger=stimulus.trigger)
    if turn_id not in state.turns:
        yield TurnPlanned(
            elapsed=now,
            turn_id=turn_id,
            agent_name=stimulus.agent,
            cause=Cause.STIMULUS,
            act=Act.REPLY if quoted else Act.MESSAGE,
            target=quoted,
            drawn_at=now,
            pace=USUAL_PACE,
            reading_seconds=reads,
        )
    yield TurnAnswered(
        elapsed=now,
        turn_id=turn_id,
        agent_name=stimulus.agent,
        content=stimulus.text,
        sanitized=(),
        source=SOURCE,
        typing_at=types_at,
        appears_at=appears_at if stimulus.at_seconds is None else max(round(stimulus.at_seconds, MILLISECONDS), now),
        card=asdict(stimulus.card) if stimulus.card else None,
    )


def _typing_seconds(stimulus: Stimulus, timing: Timing) -> float:
    """How long its agent is seen typing; a card is shared with a tap, which takes the least."""
    return pacing.typing_seconds(timing, USUAL_PACE, 0 if stimulus.card else len(stimulus.text))
