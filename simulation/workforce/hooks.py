"""Where code of a researcher's own comes in: before a round, on an answer, after a round.

    class NamesTheBudget(Hooks):
        def before_round(self, state, asked):
            return replace(asked, context_override={**asked.context_override, "budget": "600,000"})

    core = Workforce(start, hooks=(NamesTheBudget(),))

What a hook returns is what happens, and what the log says: a changed request stands in `round_started`, a changed
answer in `agent_answered` (`amended`; the model's own words stay in `llm_call`). So a log is replayed without them. A
hook must not wait or do I/O: it is part of the core. An error in it ends the session, and stands in its log.
"""

from __future__ import annotations

from simulation.workforce.events import AgentAnswered, RoundCompleted
from simulation.workforce.inputs import RoundRequested
from simulation.workforce.state import WorkforceState


class Hooks:
    """Override what is needed. The state is there to be read."""

    def before_round(self, state: WorkforceState, asked: RoundRequested) -> RoundRequested:
        """Return what is asked of the table: `asked`, or another. `focus_agents` must be active roles."""
        return asked

    def on_answer(self, state: WorkforceState, answered: AgentAnswered) -> AgentAnswered:
        """Return what the role has said: `answered`, or another. Whose it is (turn, role, round) cannot be changed."""
        return answered

    def after_round(self, state: WorkforceState, completed: RoundCompleted) -> None:
        """Take note that a round is over; it is in the state already, and will be in the log."""
