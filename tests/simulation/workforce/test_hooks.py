"""Code of a researcher's own: before a round, on an answer, after a round."""

from __future__ import annotations

from dataclasses import replace

from tables import Table

from experiments.replay import replay
from simulation.workforce.events import AgentAnswered, RoundStarted
from simulation.workforce.hooks import Hooks


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
