"""A state is the fold of its events: rebuilt from any prefix of a log it is what it was live."""

from __future__ import annotations

import copy

import pytest
from chatrooms import Chat, canned, failed
from hypothesis import given, settings
from hypothesis import strategies as st

from simulation.codec import decode
from simulation.errors import SimulationError
from simulation.inputs import ParticipantReacted, Tick
from simulation.parameters import ActWeights, Timing
from simulation.room import Room
from simulation.state import rebuild

WEIGHTS = ActWeights(message=1, reply=0.4, mention=0.3, reaction=0.4)

actions = st.lists(
    st.tuples(
        st.sampled_from(["posts", "mentions", "repeats", "reacts", "connects", "disconnects", "waits"]),
        st.floats(0.001, 20, allow_nan=False),
    ),
    max_size=25,
)


def lively(seed: int, latency: float, script: list[tuple[str, float]], then: str = "keep") -> Chat:
    """A chat with everything in it: waits, failures, deferrals, emoji, repeats, lost connections."""
    timing = Timing(stale_after_messages=2, stale_answers=then)
    model = lambda request: failed() if request.turn_id.endswith("3") else canned(request)  # noqa: E731
    chat = Chat(
        seed,
        agents=["Alice", "Bob", "Eve"],
        messages_per_minute=30,
        user_response_probability=0.7,
        latency=latency,
        timing=timing,
        act_weights=WEIGHTS,
        duration_seconds=240,
        model=model,
    )
    chat.connects()
    for number, (action, seconds) in enumerate(script):
        chat.runs_until(chat.now + seconds)
        _act(chat, action, number)
    return chat


def _act(chat: Chat, action: str, number: int) -> None:
    match action:
        case "posts":
            chat.participant_posts(f"message {number}", client_message_id=f"c{number}")
        case "mentions":
            chat.participant_posts("@Bob, you?")
        case "repeats":
            chat.participant_posts("again", client_message_id="same")
        case "reacts" if chat.messages:
            chat.takes(ParticipantReacted(message_id=chat.messages[0].message_id, emoji="👍"))
        case "connects":
            chat.connects(connection=number + 2)
        case "disconnects":
            chat.disconnects(connection=1)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**53), st.sampled_from([0.0, 2.5, 8.0]), actions, st.sampled_from(["keep", "drop", "redraw"]))
def test_the_rebuilt_state_equals_the_live_one_after_every_event(seed, latency, script, then):
    chat = lively(seed, latency, script, then)
    chat.runs_until(chat.now + 60)
    assert rebuild([chat.start, *chat.events]) == chat.room.state


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**53), actions)
def test_every_prefix_of_a_log_resumes(seed, script):
    chat = lively(seed, 2.5, script)
    chat.runs_until(chat.now + 40)
    events = [decode(line).event for line in chat.log()]
    for length in range(1, len(events) + 1):
        room = Room.resume(events[:length])
        assert room.state.elapsed == events[length - 1].elapsed
        if room.state.end_reason is None:
            room.handle(Tick(), 10_000)
            assert room.state.end_reason is not None


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**53), actions)
def test_same_seed_and_same_inputs_give_the_same_bytes(seed, script):
    assert lively(seed, 2.5, script).log() == lively(seed, 2.5, script).log()


def test_another_seed_gives_another_session():
    script = [("posts", 10.0)] * 5
    assert lively(1, 2.5, script).log()[1:] != lively(2, 2.5, script).log()[1:]


def test_a_room_resumed_where_nothing_was_under_way_goes_on_as_if_it_had_not_been():
    """No generator is saved: every draw follows from the seed, its stream and a number."""
    whole = Chat(7, messages_per_minute=30, duration_seconds=300)
    whole.runs_to_its_end()
    cut = Chat(7, messages_per_minute=30, duration_seconds=300)
    cut.runs_until(100)
    assert not cut.room.state.turns
    resumed = Chat(room=Room.resume([decode(line).event for line in cut.log()]))
    resumed.runs_to_its_end()
    assert [*cut.events, *resumed.events] == whole.events


def test_nothing_but_apply_changes_a_state():
    chat = lively(3, 2.5, [("posts", 5.0)] * 4)
    before = copy.deepcopy(chat.room.state)
    chat.participant_posts("again", client_message_id="same")
    events = len(chat.events)
    chat.participant_posts("again", client_message_id="same")  # acknowledged: an effect, and no event
    assert len(chat.events) == events
    assert rebuild([chat.start, *chat.events]) == chat.room.state
    assert before != chat.room.state


def test_a_log_begins_with_its_start():
    chat = lively(3, 2.5, [("posts", 5.0)])
    with pytest.raises(SimulationError):
        rebuild(chat.events)
    with pytest.raises(SimulationError):
        rebuild([])
    with pytest.raises(SimulationError):
        rebuild([chat.start, chat.start])
