"""A table with hooks, without a server: two rounds with the scripted model, in virtual time.

    python docs/hooks_example.py

The first hook gives the table a fact before each round, the second notes who was unsure. The log that is written is
like any other: `chatroom replay` plays it again without the hooks.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from pathlib import Path

from experiments.eventlog.folder import RehearsalFolder
from experiments.workforce.roles import load_roles
from simulation.llm.scripted_workforce import ScriptedWorkforce
from simulation.runtime.clock import VirtualClock, run_in_virtual_time
from simulation.runtime.workforce import WorkforceSession
from simulation.workforce.events import AgentAnswered, RoundCompleted, WorkforceStarted
from simulation.workforce.hooks import Hooks
from simulation.workforce.inputs import RoundRequested
from simulation.workforce.parameters import WorkforceParameters
from simulation.workforce.state import WorkforceState

MOMENT = "2026-11-25T09:00:00.000000+00:00"
ROLES = Path(__file__).parents[1] / "config" / "roles"


class TellsTheWeek(Hooks):
    """Puts the week of the project into the context of each round."""

    def before_round(self, state: WorkforceState, asked: RoundRequested) -> RoundRequested:
        week = f"week {state.current_turn + 1} of 12"
        return replace(asked, context_override={**asked.context_override, "time": week})


class NotesDoubts(Hooks):
    """Marks answers with little confidence, and says how many there were in a round."""

    def __init__(self, below: float) -> None:
        self._below = below
        self.doubts = 0

    def on_answer(self, state: WorkforceState, answered: AgentAnswered) -> AgentAnswered:
        if answered.confidence is None or answered.confidence >= self._below:
            return answered
        self.doubts += 1
        return replace(answered, content=f"{answered.content} (I am not sure of this.)")

    def after_round(self, state: WorkforceState, completed: RoundCompleted) -> None:
        print(f"Round {completed.turn_number}: {self.doubts} doubts so far. {completed.summary}\n")


def first_record() -> WorkforceStarted:
    parameters = WorkforceParameters(scenario="We launch a new product in twelve weeks.", roles=load_roles(ROLES))
    return WorkforceStarted(
        elapsed=0.0,
        session_id=str(uuid.uuid4()),
        experimental_config={},
        simulation_config={},
        created_at=MOMENT,
        seed=7,
        parameters=parameters,
    )


async def play(folder: Path) -> Path:
    """Play two rounds and return the log."""
    start = first_record()
    session = WorkforceSession.begin(
        start,
        model=ScriptedWorkforce(start, model="workforce", latency_seconds=2.0),
        clock=VirtualClock(),
        log=RehearsalFolder(folder).create(start.session_id),
        hooks=(TellsTheWeek(), NotesDoubts(below=0.7)),
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(session.run())
        await asyncio.sleep(0)
        for said in ("What do we do first?", None):
            await session.round(RoundRequested(moment=MOMENT, user_input=said, request_sha256=said))
        session.lay_aside()
    return folder / f"{start.session_id}.json"


if __name__ == "__main__":
    print(run_in_virtual_time(play(Path.cwd())))
