"""Code of a researcher's own: before a round, on an answer, after a round."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tables import MOMENT, Table, table_start

from experiments.replay import replay
from simulation.errors import SimulationError
from simulation.llm.scripted_workforce import ScriptedWorkforce
from simulation.runtime.clock import VirtualClock, run_in_virtual_time
from simulation.runtime.workforce import WorkforceSession
from simulation.workforce.events import AgentAnswered, RoundStarted
from simulation.workforce.hooks import Hooks
from simulation.workforce.inputs import RoundRequested


class NamesTheBudget(Hooks):
    def before_round(self, state, asked):
        return replace(asked, context_override={**asked.context_override, "budget": f"{state.current_turn + 1}00,000"})


class Shouts(Hooks):
    def on_answer(self, state, answered):
        if answered.agent_name != "ceo":
            return answered
        return replace(answered, content=answered.content.upper(), agent_name="somebody else", turn_number=99)


class Counts(Hooks):
    def __init__(self):
        self.rounds = []

    def after_round(self, state, completed):
        self.rounds.append((completed.turn_number, state.current_turn))


def test_a_hook_changes_what_is_asked_and_the_log_has_it():
    table = Table(hooks=(NamesTheBudget(),))
    table.plays()
    table.plays()
    assert "budget: 200,000" in table.prompt_of("ceo")
    assert [each.context_override["budget"] for each in table.of(RoundStarted)] == ["100,000", "200,000"]


def test_a_hook_changes_an_answer_but_not_whose_it_is():
    table = Table(hooks=(Shouts(),))
    table.plays()
    first, second = table.of(AgentAnswered)[:2]
    assert (first.content, first.agent_name, first.turn_number, first.amended) == (
        "CEO SPEAKS IN ROUND 1",
        "ceo",
        1,
        True,
    )
    assert not second.amended
    assert "CEO SPEAKS IN ROUND 1" in table.prompt_of("pm")


def test_a_log_is_replayed_without_its_hooks():
    table = Table(hooks=(Shouts(), NamesTheBudget()))
    table.plays()
    table.plays("on")
    assert replay(table.records).difference is None


def test_a_hook_hears_of_the_end_of_every_round():
    counts = Counts()
    table = Table(hooks=(counts,))
    table.plays()
    table.plays()
    assert counts.rounds == [(1, 1), (2, 2)]


class Fails(Hooks):
    def before_round(self, state, asked):
        raise KeyError("budget")


class Log:
    """Keeps at once, as LOG_SYNC=os does."""

    def append(self, lines, kept):
        kept()

    def close(self):
        pass


async def played_with(hook):
    start = table_start()
    model = ScriptedWorkforce(start, model="workforce")
    session = WorkforceSession.begin(start, model=model, clock=VirtualClock(), log=Log(), hooks=(hook,))
    async with asyncio.timeout(100), asyncio.TaskGroup() as tasks:
        tasks.create_task(session.run())
        await asyncio.sleep(0)
        await session.round(RoundRequested(moment=MOMENT))
        if session.core.objection() is not None:
            with pytest.raises(SimulationError, match="over"):
                await session.round(RoundRequested(moment=MOMENT))
        session.lay_aside()
    return session


def test_an_error_in_a_hook_ends_the_session_and_keeps_nobody_waiting():
    session = run_in_virtual_time(played_with(Fails()))
    assert (session.core.state.end_reason, session.core.state.status) == ("error", "failed")


def test_a_round_is_over_also_where_everything_is_kept_at_once():
    assert run_in_virtual_time(played_with(Hooks())).core.state.current_turn == 1
