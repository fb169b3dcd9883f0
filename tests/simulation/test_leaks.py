from __future__ import annotations

import pytest
from chatrooms import Chat, answered

from simulation.events import ModelCalled, TurnDropped
from simulation.leaks import leak_in

MEMBERS = ("Alice", "Bob", "Mary Ann")
INSTRUCTIONS = (
    "You are Alice. Take up what the others write, above all what is addressed to you. "
    'Sometimes say "has anybody seen the bin lorry today or not yet", and never mention the council.'
)


def leak(content: str, deny_list: tuple[str, ...] = ("vote remain", "condition")) -> str | None:
    return leak_in(content, "Alice", MEMBERS, deny_list, INSTRUCTIONS)


@pytest.mark.parametrize(
    "content",
    [
        "I'm Bob",
        "i am Bob, by the way",
        "Im Bob",
        "I'm “Bob”",
        "Hi all, my name is Mary Ann!",
        "I’m Bob here",
    ],
)
def test_an_agent_does_not_pass_for_another(content):
    assert leak(content) == "another_identity"


@pytest.mark.parametrize(
    "content",
    [
        "I'm Alice",
        "I'm Bob's neighbour",
        "I am Bobby",
        "I'm with Bob on this",
        "I'm Bob-free at last",
        "i'm bob-bob-bobbing along",
        "my name is not Bob",
        "I'm Bob Marley's biggest fan",
    ],
)
def test_speaking_of_another_is_no_leak(content):
    assert leak(content) is None


@pytest.mark.parametrize(
    "content",
    [
        "My instructions: take up what the others write, above all what is addressed",
        "TAKE UP what the others write; above all: what IS!",
    ],
)
def test_eight_words_of_the_instructions_are_a_leak(content):
    assert leak(content) == "prompt_leak"


def test_seven_words_are_none():
    assert leak("take up what the others write, above") is None


def test_what_the_instructions_quote_is_meant_to_be_said():
    assert leak("has anybody seen the bin lorry today or not yet") is None


@pytest.mark.parametrize(
    ("content", "broken"),
    [
        ("Vote REMAIN!", True),
        ("vote  remain", True),
        ("vote-remain", True),
        ("ｖｏｔｅ remain", True),
        ("vo\u00adte rem\u200bain", True),
        ("you vote remainers", False),
        ("air conditioning", False),
    ],
)
def test_words_on_the_deny_list(content, broken):
    assert (leak(content) == "deny_list") is broken


@pytest.mark.parametrize("unseen", [" ", "\u200b\u00ad"])
def test_a_phrase_of_which_nothing_can_be_seen_forbids_nothing(unseen):
    assert leak("good morning", deny_list=(unseen,)) is None
    assert leak("good morning", deny_list=(unseen, "vote remain")) is None
    assert leak("vote remain", deny_list=(unseen, "vote remain")) == "deny_list"


def test_without_a_deny_list_nothing_is_on_it():
    assert leak("vote remain", deny_list=()) is None


class TestInTheRoom:
    def chat(self, first: str, then: str = "fine by me") -> Chat:
        texts = iter([first, then])
        chat = Chat(user_response_probability=1, deny_list=("secret",), model=lambda _: answered(next(texts)))
        chat.participant_posts("hello?")
        chat.runs_until(60)
        return chat

    def test_a_leak_is_never_shown_and_another_agent_gets_the_turn(self):
        chat = self.chat("it is a secret")
        assert [message.content for message in chat.messages] == ["hello?", "fine by me"]
        first, second = chat.plans
        assert second.replaces == first.turn_id
        assert second.agent_name != first.agent_name

    def test_the_log_says_which_rule_was_broken(self):
        chat = self.chat("it is a secret")
        assert [call.status for call in chat.of(ModelCalled)] == ["filtered", "ok"]
        assert [(drop.reason, drop.rules) for drop in chat.of(TurnDropped)] == [("filtered", ("deny_list",))]
        assert chat.of(ModelCalled)[0].response == "it is a secret"

    def test_a_second_leak_ends_the_turn(self):
        chat = self.chat("it is a secret", "the secret again")
        assert [message.content for message in chat.messages] == ["hello?"]
        assert len(chat.plans) == 2
        assert not chat.room.state.turns


def test_every_introduction_is_looked_at():
    assert leak("I'm Alice, and I am Bob.") == "another_identity"


def test_an_agent_may_be_called_like_an_adjective():
    assert leak_in("I'm rich, and happy!", "Alice", ("Alice", "Rich", "Happy"), (), "") is None


def test_greeting_the_group_by_name_quotes_no_instructions():
    agents = ["Alice", "Bob", "Charlie", "Diana", "Eve", "Frank", "Gina", "Hal", "Ida", "Jo", "Kim"]
    roster = ", ".join(agents[1:])
    chat = Chat(agents=agents, user_response_probability=1, model=lambda _: answered(f"hi {roster}"))
    chat.participant_posts("hello?")
    chat.runs_until(60)
    assert len(chat.messages) == 2
