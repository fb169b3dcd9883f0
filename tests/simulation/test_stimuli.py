"""What the researcher lets happen at a moment of the session: when it comes, how it looks, what it leaves alone."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from chatrooms import Chat, parameters

from experiments.replay import replay
from simulation.codec import decode
from simulation.effects import ShowTyping
from simulation.errors import InvalidParameters
from simulation.events import MessagePosted, StimulusBegun, TurnAnswered, TurnPlanned
from simulation.parameters import Card, SimulationParameters, Stimulus, Timing
from simulation.room import Room

AT_FIFTY = Stimulus(agent="Bob", at_seconds=50, content="Have you all seen this?")
CARD = Card(headline="Bridge closes", source="The Echo", text="For two years, says the council.")
PEOPLES = Timing(spread=0)


def shown(chat: Chat) -> list[tuple[float, str]]:
    return [(message.elapsed, message.content) for message in chat.messages if message.source == "stimulus"]


def test_comes_at_its_second_whatever_its_length_and_is_typed_first():
    chat = Chat(stimuli=(AT_FIFTY,), timing=PEOPLES)
    chat.connects()
    chat.runs_until(60)
    assert shown(chat) == [(50.0, AT_FIFTY.content)]
    (typing,) = chat.told(ShowTyping)
    assert (typing.sender, typing.at) == ("Bob", pytest.approx(50 - len(AT_FIFTY.text) / 8, abs=0.001))


def test_comes_on_time_also_where_typing_would_take_longer_than_there_is():
    chat = Chat(stimuli=(Stimulus(agent="Bob", at_seconds=1, content="x" * 500),), timing=PEOPLES)
    chat.connects()
    chat.runs_until(5)
    assert [at for at, _ in shown(chat)] == [1.0]


def test_comes_also_at_a_second_that_no_clock_of_milliseconds_has():
    chat = Chat(stimuli=(Stimulus(agent="Bob", at_seconds=1.00049, content="Now"),))
    chat.connects()
    chat.runs_until(5)
    assert [at for at, _ in shown(chat)] == [1.0]


def test_comes_after_so_many_messages_of_anybody_read_and_typed():
    chat = Chat(stimuli=(Stimulus(agent="Bob", after_messages=2, content="Third!"),), timing=PEOPLES)
    chat.connects()
    chat.participant_posts("one")
    chat.runs_until(30)
    assert shown(chat) == []
    chat.participant_posts("two")
    chat.runs_until(60)
    ((at, content),) = shown(chat)
    assert content == "Third!"
    assert at == pytest.approx(30 + 1 + 3 / 25 + 1.5)


def test_comes_when_the_participant_first_posts_and_once():
    chat = Chat(stimuli=(Stimulus(agent="Bob", on="first_participant_message", content="Welcome!"),))
    chat.connects()
    chat.runs_until(100)
    assert shown(chat) == []
    chat.participant_posts("hello")
    chat.participant_posts("hello?")
    chat.runs_to_its_end()
    assert shown(chat) == [(100.0, "Welcome!")]


def test_a_message_of_an_agent_counts_too():
    def of_agents(changes):
        chat = Chat(messages_per_minute=20, **changes)
        chat.connects()
        chat.runs_until(300)
        return chat

    stimulus = Stimulus(agent="Bob", after_messages=7, content="Eighth")
    assert of_agents({"stimuli": (stimulus,)}).messages[7].content == "Eighth"


def test_may_quote_the_newest_message():
    chat = Chat(stimuli=(Stimulus(agent="Bob", on="first_participant_message", content="No!", reply_to_last=True),))
    chat.connects()
    chat.participant_posts("Is the bridge open?")
    question, answer = chat.messages
    assert answer.reply_to == question.message_id


def test_without_a_message_to_quote_it_quotes_none():
    chat = Chat(stimuli=(Stimulus(agent="Bob", at_seconds=5, content="Hi", reply_to_last=True),))
    chat.connects()
    chat.runs_until(6)
    assert [message.reply_to for message in chat.messages] == [None]


def test_a_card_is_a_message_with_its_text_as_content():
    chat = Chat(stimuli=(Stimulus(agent="Bob", at_seconds=5, card=CARD),))
    chat.connects()
    chat.runs_until(6)
    (message,) = chat.messages
    assert message.card == {"headline": "Bridge closes", "source": "The Echo", "text": CARD.text}
    assert message.content == "Bridge closes\nFor two years, says the council.\nThe Echo"


def test_agents_read_a_card_as_news_that_somebody_shared():
    chat = Chat(stimuli=(Stimulus(agent="Bob", at_seconds=5, card=CARD),), user_response_probability=1)
    chat.connects()
    chat.runs_until(6)
    chat.participant_posts("Really?")
    assert "Bob: (shares some news) Bridge closes / For two years" in chat.requests[-1].prompt


def test_a_stimulus_is_a_turn_in_the_log_with_its_cause_and_number():
    chat = Chat(stimuli=(AT_FIFTY,))
    chat.connects()
    chat.runs_until(60)
    begun, planned, answered, posted = chat.events[-4:]
    assert isinstance(begun, StimulusBegun)
    assert (begun.number, begun.trigger, begun.turn_id) == (1, "at_seconds", "stimulus-1")
    assert isinstance(planned, TurnPlanned)
    assert (planned.cause, planned.turn_id, planned.agent_name) == ("stimulus", "stimulus-1", "Bob")
    assert isinstance(answered, TurnAnswered)
    assert isinstance(posted, MessagePosted)
    assert (posted.source, posted.turn_id, posted.sender) == ("stimulus", "stimulus-1", "Bob")


def test_a_room_with_it_makes_the_draws_of_one_without_it_up_to_its_moment_and_after():
    def room(*stimuli: Stimulus) -> Chat:
        chat = Chat(seed=7, messages_per_minute=12, stimuli=stimuli)
        chat.connects()
        chat.runs_to_its_end()
        return chat

    def drawn(chat: Chat) -> list[tuple[str, float]]:
        return [(plan.turn_id, plan.drawn_at) for plan in chat.plans if plan.cause != "stimulus"]

    bare, with_one = room(), room(Stimulus(agent="Eve", at_seconds=300, content="Look"))
    before = [line for line in bare.log()[1:] if decode(line).elapsed < 300]
    assert [line for line in with_one.log()[1:] if decode(line).elapsed < 300] == before
    assert len(before) > 100
    assert drawn(bare) == drawn(with_one)


def test_its_agent_may_have_a_turn_of_its_own_meanwhile():
    chat = Chat(
        agents=("Alice", "Bob"),
        stimuli=(Stimulus(agent="Bob", at_seconds=3, content="Now"),),
        user_response_probability=1,
        latency=100,
    )
    chat.connects()
    chat.participant_posts("Bob?")
    chat.participant_posts("Bob!")
    chat.runs_until(300)
    assert shown(chat) == [(3.0, "Now")]
    assert [message.sender for message in chat.messages][2:] == ["Bob", "Bob", "Bob"]


def test_an_unanswered_model_is_not_excused_by_a_stimulus():
    chat = Chat(stimuli=(AT_FIFTY,), user_response_probability=1, model=lambda request: "")
    chat.connects()
    chat.participant_posts("hi")
    chat.runs_until(60)
    assert chat.room.state.failing_since == 0.0


def test_a_log_with_stimuli_replays_and_resumes():
    stimuli = (AT_FIFTY, Stimulus(agent="Eve", after_messages=3, card=CARD, reply_to_last=True))
    chat = Chat(stimuli=stimuli, timing=PEOPLES, gate=True, messages_per_minute=10)
    chat.connects()
    chat.runs_until(20)
    chat.participant_posts("hello")
    chat.runs_until(200)
    records = [decode(line) for line in chat.log()]
    assert replay(records).difference is None
    for cut in range(1, len(records)):
        state = Room.resume(record.event for record in records[:cut]).state
        assert state.stimuli_begun == {r.event.number for r in records[:cut] if isinstance(r.event, StimulusBegun)}
    assert Room.resume(record.event for record in records).state == chat.room.state


def test_parameters_with_stimuli_read_back():
    chosen = parameters(stimuli=(AT_FIFTY, Stimulus(agent="Eve", after_messages=3, card=CARD)), gate=True)
    assert SimulationParameters.from_record(json.loads(json.dumps(asdict(chosen)))) == chosen


def test_behind_a_gate_agents_wait_until_the_participant_has_posted():
    chat = Chat(gate=True, messages_per_minute=30, stimuli=(Stimulus(agent="Bob", at_seconds=5, content="Hm"),))
    chat.connects()
    chat.runs_until(400)
    assert [message.content for message in chat.messages] == ["Hm"], "a stimulus is scheduled, not of their own accord"
    chat.participant_posts("hello")
    chat.runs_to_its_end()
    assert len(chat.messages) == pytest.approx(2 + 250, rel=0.2)
    assert min(plan.drawn_at for plan in chat.plans if plan.cause == "background") > 400


@pytest.mark.parametrize(
    "stimulus",
    [
        Stimulus(agent="Zoe", at_seconds=5, content="x"),
        Stimulus(agent="Bob", at_seconds=900, content="x"),
        Stimulus(agent="Bob", content="x"),
        Stimulus(agent="Bob", at_seconds=5, after_messages=3, content="x"),
        Stimulus(agent="Bob", at_seconds=5),
        Stimulus(agent="Bob", at_seconds=5, content="x", card=CARD),
    ],
)
def test_the_core_takes_no_stimulus_that_could_never_be_seen(stimulus):
    with pytest.raises(InvalidParameters):
        parameters(stimuli=(stimulus,))
