"""What a what-if's answer says of its branches: told from what was played, and nothing where nothing differs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.workforce.comparison import Branches, Comparison, PlayedRound, ProposedAction, compare
from simulation.workforce.events import AgentAnswered, RoundCompleted

NAMES = {"ceo": "Chief Executive Officer", "pm": "Product Manager", "engineering_lead": "Engineering Lead"}


def answer(role: str, content: str = "Yes.", elapsed: float = 1.0, **said) -> AgentAnswered:
    said = {key: tuple(value) if isinstance(value, list) else value for key, value in said.items()}
    return AgentAnswered(
        elapsed=elapsed, turn_id=f"{role}-{elapsed}", agent_name=role, turn_number=1, content=content, **said
    )


def played(
    turn: int, *answers: AgentAnswered, summary: str = "So it is.", next_action: str | None = "Go on"
) -> PlayedRound:
    completed = RoundCompleted(elapsed=9.0, turn_number=turn, turn_id="sum", summary=summary, next_action=next_action)
    return PlayedRound(turn_number=turn, answers=answers, completed=completed)


def compared(*runs: tuple[PlayedRound, PlayedRound]) -> Comparison:
    """Runs of a single turn."""
    return compare([Branches([base], [modified]) for base, modified in runs], NAMES)


def changes(base: AgentAnswered, modified: AgentAnswered) -> tuple[str, ...]:
    return compared((played(1, base), played(1, modified))).predicted_outcomes[0].key_changes


def test_equal_branches_show_no_difference_whenever_they_were_played():
    base = played(1, answer("pm", actions=["Ask"], confidence=0.8, risks=["Time"]), next_action="Ask the users")
    later = replace(base, answers=(replace(base.answers[0], elapsed=99.0, turn_id="other", source="cache"),))
    found = compared((base, later))
    (outcome,) = found.predicted_outcomes
    assert (outcome.changed, outcome.key_changes, outcome.actions_added, outcome.actions_dropped) == (False, (), (), ())
    assert outcome.confidence.difference == 0
    assert found.agent_analyses[0].impact_assessment == "Answers as in the base branch."
    assert found.recommendation == (
        "No difference: at every turn the modified branch went as its base branch. "
        "Next, by the coordinator of the modified branch: Ask the users."
    )


def test_changes_are_told_in_sentences_with_their_numbers():
    before = answer("engineering_lead", confidence=0.82, actions=["Build it all", "Hire two"])
    after = answer("engineering_lead", confidence=0.7, actions=["hire  TWO", "Cut the search"])
    assert changes(before, after) == (
        "Engineering Lead is less confident: 0.70 instead of 0.82",
        "Engineering Lead now proposes: Cut the search",
        "Engineering Lead no longer proposes: Build it all",
    )


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ({}, {"confidence": 0.5}, "Product Manager now says how confident it is"),
        ({"confidence": 0.5}, {}, "Product Manager no longer says how confident it is"),
        ({"confidence": 0.5}, {"confidence": 0.75}, "Product Manager is more confident: 0.75 instead of 0.50"),
        ({}, {"content": "No."}, "Product Manager answers differently, with the same actions and confidence"),
        (
            {},
            {"tasks": [{"task_name": "A"}]},
            "Product Manager answers differently, with the same actions and confidence",
        ),
    ],
)
def test_each_kind_of_change_has_its_sentence(before, after, sentence):
    assert changes(answer("pm", **before), answer("pm", **after)) == (sentence,)


def test_who_speaks_on_one_branch_alone_is_named():
    base, modified = played(1, answer("pm")), played(1, answer("ceo", actions=["Stop"]))
    found = compared((base, modified))
    assert found.predicted_outcomes[0].key_changes == (
        "Chief Executive Officer speaks only in the modified branch",
        "Chief Executive Officer now proposes: Stop",
        "Product Manager speaks only in the base branch",
    )
    assert [each.agent_role for each in found.agent_analyses] == ["ceo", "pm"]
    assert found.agent_analyses[1].impact_assessment == "Does not speak in the modified branch."


@pytest.mark.parametrize(
    ("modified", "sentence"),
    [
        ({"next_action": "Find money"}, "The coordinator's next action is now: Find money"),
        ({"next_action": None}, "The coordinator no longer names a next action"),
        ({"summary": "Otherwise."}, "The coordinator sums up differently"),
    ],
)
def test_the_coordinators_words_count_too(modified, sentence):
    (outcome,) = compared((played(1, answer("pm")), played(1, answer("pm"), **modified))).predicted_outcomes
    assert outcome.key_changes == (sentence,)
    assert outcome.changed


def test_risks_have_their_namers_and_new_ones_come_first():
    base = played(1, answer("pm", risks=["We are late"]), answer("ceo"))
    modified = played(1, answer("pm", risks=["we are late", "No money"]), answer("ceo", risks=["no  money"]))
    (outcome,) = compared((base, modified)).predicted_outcomes
    assert outcome.risk_factors == (
        "No money (Product Manager, Chief Executive Officer)",
        "we are late (Product Manager)",
    )


def test_a_risk_that_the_base_branch_names_at_another_turn_is_not_new():
    base = [played(1, answer("pm", risks=["Old"])), played(2, answer("pm"))]
    modified = [played(1, answer("pm")), played(2, answer("pm", risks=["Old", "New"], opportunities=["Luck"]))]
    outcome = compare([Branches(base, modified)], NAMES).predicted_outcomes[1]
    assert outcome.risk_factors == ("New (Product Manager)", "Old (Product Manager)")
    assert outcome.opportunities == ("Luck (Product Manager)",)


def test_a_single_run_has_no_probability_and_no_spread_and_says_why():
    found = compared((played(1, answer("pm", confidence=0.5)), played(1, answer("pm", confidence=0.6))))
    (outcome,) = found.predicted_outcomes
    assert (outcome.probability, outcome.confidence.spread) == (None, None)
    assert "single run" in outcome.basis["probability"]
    assert "single run" in outcome.confidence.basis["spread"]
    assert (outcome.confidence.base, outcome.confidence.modified, outcome.confidence.difference) == (0.5, 0.6, 0.1)


def test_over_runs_shares_means_and_spread_are_counted():
    same = played(1, answer("pm", confidence=0.8))
    cut = played(1, answer("pm", confidence=0.6, actions=["Cut"], risks=["Haste"]))
    lower = played(1, answer("pm", confidence=0.5))
    (outcome,) = compared((same, same), (same, cut), (same, lower), (same, same)).predicted_outcomes
    assert outcome.probability == 0.5
    assert outcome.key_changes == (
        "Product Manager is less confident: 0.55 instead of 0.80 (in 2 of 4 runs)",
        "Product Manager now proposes: Cut (in 1 of 4 runs)",
    )
    assert outcome.risk_factors == ("Haste (Product Manager; in 1 of 4 runs)",)
    assert outcome.actions_added == (ProposedAction(agent_role="pm", action="Cut", runs=1),)
    assert outcome.confidence.difference == -0.125
    assert outcome.confidence.spread == 0.15  # of 0, -0.2, -0.3 and 0


def test_runs_without_a_confidence_have_no_spread():
    silent = played(1, answer("pm"))
    found = compared((silent, silent), (silent, silent))
    confidence = found.predicted_outcomes[0].confidence
    assert (confidence.base, confidence.modified, confidence.difference, confidence.spread) == (None,) * 4
    assert set(confidence.basis) == {"base", "modified", "difference", "spread"}
    assert (found.overall_confidence, found.basis) == (None, {"overall_confidence": "no agent gave a confidence"})
    assert found.agent_analyses[0].basis == {"confidence": "the role gave none in the modified branch"}


def test_each_role_is_analysed_from_its_own_answers():
    base = [played(1, answer("pm", confidence=0.9)), played(2, answer("pm", confidence=0.9, actions=["Ship"]))]
    modified = [
        played(1, answer("pm", confidence=0.9, risks=["Late"])),
        played(2, answer("pm", confidence=0.5, actions=["Wait", "Ask"], risks=["late", "Dear"])),
    ]
    (analysis,) = compare([Branches(base, modified)], NAMES).agent_analyses
    assert analysis.recommended_actions == ("Wait", "Ask")
    assert analysis.concerns == ("Late", "Dear")
    assert analysis.confidence == 0.7
    assert analysis.impact_assessment == (
        "Differs from the base branch in 2 of 2 answers. Actions added: 2, dropped: 1. "
        "Confidence is lower on average: 0.70 instead of 0.90."
    )


def test_the_recommendation_is_the_coordinators_with_what_changed():
    base = played(1, answer("pm", confidence=0.8, actions=["Ship"]))
    modified = played(1, answer("pm", confidence=0.6, actions=["Wait"]), next_action="Find money!")
    found = compared((base, modified))
    assert found.recommendation == (
        "Next, by the coordinator of the modified branch: Find money! "
        "Confidence is lower on average: 0.60 instead of 0.80. Actions added: 1, dropped: 1."
    )
    assert found.overall_confidence == 0.6


def test_a_coordinator_without_advice_gets_none_put_into_its_mouth():
    found = compared((played(1, answer("pm")), played(1, answer("pm", "No."), next_action=None)))
    assert found.recommendation.startswith("The coordinator of the modified branch named no next action")
    assert "cannot be said" in found.recommendation


@pytest.mark.parametrize(
    "runs",
    [
        [],
        [Branches([], [])],
        [Branches([played(1)], [played(1), played(2)])],
        [Branches([played(1)], [played(2)])],
        [Branches([played(1)], [played(1)]), Branches([played(2)], [played(2)])],
    ],
)
def test_branches_of_unequal_turns_are_refused(runs):
    with pytest.raises(ValueError, match="the same turns"):
        compare(runs, NAMES)


ANSWERS = st.builds(
    answer,
    st.just("pm"),
    st.sampled_from(["Yes.", "No."]),
    actions=st.lists(st.sampled_from(["Ask", "ask", "Wait", "Ship"]), max_size=3),
    confidence=st.none() | st.floats(0, 1),
    risks=st.lists(st.sampled_from(["Late", "Dear"]), max_size=2),
)
PAIRS = st.lists(
    st.tuples(st.builds(played, st.just(1), ANSWERS), st.builds(played, st.just(1), ANSWERS)), min_size=1, max_size=5
)


@given(PAIRS)
def test_key_changes_are_told_if_and_only_if_something_changed(pairs):
    (outcome,) = compared(*pairs).predicted_outcomes
    assert outcome.changed == bool(outcome.key_changes)
    if outcome.probability is not None:
        assert (outcome.probability > 0) == outcome.changed
        assert 0 <= outcome.probability <= 1


@given(PAIRS)
def test_the_other_way_round_what_was_added_is_dropped(pairs):
    there = compared(*pairs).predicted_outcomes[0]
    back = compared(*((modified, base) for base, modified in pairs)).predicted_outcomes[0]
    assert (there.actions_added, there.actions_dropped) == (back.actions_dropped, back.actions_added)
    assert there.probability == back.probability
