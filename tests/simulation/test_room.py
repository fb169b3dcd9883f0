"""A room decides; these tests hand it inputs and times, and read what happened."""

from __future__ import annotations

import uuid
from collections import Counter
from itertools import pairwise

import pytest
from chatrooms import FIVE_AGENTS, SESSION_ID, Chat, answered, arrival, failed

from simulation.effects import Acknowledge, End, Generate, HideTyping, Refuse, ShowTyping
from simulation.events import (
    ErrorRaised,
    ModelCalled,
    ParticipantArrived,
    ParticipantLost,
    ReactionAdded,
    SessionEnded,
    TurnAnswered,
    TurnDeferred,
    TurnDropped,
)
from simulation.inputs import Crashed, ParticipantLeft, ParticipantReacted, Tick
from simulation.parameters import ActWeights, Persona, Timing
from simulation.room import message_id


def never(request):
    return None


class TestParticipant:
    def test_message_is_posted_with_position_and_id(self):
        chat = Chat()
        chat.connects()
        chat.participant_posts("hi", client_message_id="c1")
        (message,) = chat.messages
        assert (message.sender, message.content, message.position) == ("user", "hi", 1)
        assert message.client_message_id == "c1"
        assert message.message_id == message_id(chat.start.session_id, 1)

    def test_repeated_id_is_acknowledged_and_not_posted_twice(self):
        chat = Chat()
        chat.participant_posts("hi", client_message_id="c1")
        assert chat.participant_posts("hi", client_message_id="c1") == []
        assert chat.told(Acknowledge) == [Acknowledge(1)]

    def test_repeated_id_with_other_content_is_a_conflict(self):
        chat = Chat()
        chat.participant_posts("hi", client_message_id="c1")
        assert chat.participant_posts("ho", client_message_id="c1") == []
        (refused,) = chat.told(Refuse)
        assert (refused.code, refused.client_message_id) == ("conflict", "c1")

    def test_reply_to_an_unknown_message_is_refused(self):
        chat = Chat()
        assert chat.participant_posts("hi", reply_to="nothing") == []
        assert [refused.code for refused in chat.told(Refuse)] == ["unknown_message"]

    def test_reaction_goes_under_a_message_and_an_unknown_one_is_refused(self):
        chat = Chat()
        chat.participant_posts("hi")
        chat.takes(ParticipantReacted(message_id=chat.messages[0].message_id, emoji="👍"))
        chat.takes(ParticipantReacted(message_id="nothing", emoji="👍"))
        (reaction,) = chat.of(ReactionAdded)
        assert (reaction.sender, reaction.emoji, reaction.position) == ("user", "👍", 2)
        assert [refused.code for refused in chat.told(Refuse)] == ["unknown_message"]

    def test_leaving_is_a_withdrawal(self):
        chat = Chat()
        chat.takes(ParticipantLeft())
        assert chat.end_reasons == ["withdrawn"]


def test_message_ids_are_what_any_library_makes_of_session_and_position():
    for position in (1, 2, 99, 10_000):
        assert message_id(SESSION_ID, position) == str(uuid.uuid5(uuid.UUID(SESSION_ID), str(position)))


class TestReaction:
    def test_each_message_has_its_own_draw_also_two_at_the_same_moment(self):
        chat = Chat(user_response_probability=1)
        chat.participant_posts("one")
        chat.participant_posts("two")
        assert [plan.cause for plan in chat.plans] == ["reaction", "reaction"]
        assert [plan.target for plan in chat.plans] == [m.message_id for m in chat.messages if m.sender == "user"]

    def test_nobody_reacts_at_probability_0(self):
        chat = Chat(user_response_probability=0)
        for _ in range(50):
            chat.participant_posts("hello?")
        assert chat.plans == []

    @pytest.mark.parametrize("content", ["@Diana you there?", "@diana?", "Diana, what do you think?", "what, Diana?"])
    def test_the_mentioned_agent_answers(self, content):
        for seed in range(20):
            chat = Chat(seed, user_response_probability=1)
            chat.participant_posts(content)
            assert [plan.agent_name for plan in chat.plans] == ["Diana"]
            assert chat.messages[0].mentions == ("Diana",)

    def test_the_first_of_two_mentioned_agents_answers(self):
        chat = Chat(user_response_probability=1)
        chat.participant_posts("@Eve and @Bob, hello")
        assert [plan.agent_name for plan in chat.plans] == ["Eve"]

    def test_the_quoted_agent_answers(self):
        chat = Chat(messages_per_minute=600, user_response_probability=1)
        chat.runs_until(0.2)
        quoted = chat.messages[0]
        plans = len(chat.plans)
        chat.participant_posts("really?", reply_to=quoted.message_id)
        assert chat.plans[plans].agent_name == quoted.sender

    def test_a_mentioned_agent_that_is_busy_answers_when_it_is_free(self):
        chat = Chat(user_response_probability=1, latency=5)
        chat.participant_posts("@Bob one")
        chat.participant_posts("@Bob two")
        assert [deferred.agent_name for deferred in chat.of(TurnDeferred)] == ["Bob"]
        chat.runs_until(20)
        assert [message.sender for message in chat.messages] == ["user", "user", "Bob", "Bob"]

    def test_an_answer_is_always_in_words(self):
        weights = ActWeights(message=1, reply=0, mention=0, reaction=20)
        chat = Chat(user_response_probability=1, act_weights=weights)
        for number in range(30):
            chat.participant_posts(f"message {number}")
        assert {plan.act for plan in chat.plans} == {"message"}

    def test_a_name_in_another_spelling_of_i_is_nobody(self):
        chat = Chat(agents=["Diana", "Kim"], user_response_probability=1)
        chat.participant_posts("@Dİana @Kım")  # letters that fold oddly must not break anything
        assert len(chat.messages) == 2


class TestTurn:
    def test_goes_from_plan_to_call_to_answer_to_message(self):
        chat = Chat(user_response_probability=1, timing=Timing(spread=0), latency=1)
        chat.participant_posts("hello")
        chat.runs_until(60)
        kinds = [event.event_type for event in chat.events]
        assert kinds == ["message", "turn_planned", "llm_call", "turn_answered", "message"]
        assert len({event.turn_id for event in chat.events[1:]}) == 1

    def test_reading_and_typing_take_time_and_the_models_latency_lies_inside(self):
        timing = Timing(noticing_seconds=1, reading_characters_per_second=10, typing_characters_per_second=10, spread=0)
        quick, slow = (
            Chat(user_response_probability=1, timing=timing, latency=latency, model=lambda _: "x" * 30)
            for latency in (0.0, 3.0)
        )
        for chat in (quick, slow):
            chat.participant_posts("y" * 20)  # read: 1 + 20/10 s; typed: 30/10 s
            chat.runs_until(60)
            assert chat.messages[-1].elapsed == pytest.approx(6.0)
            (answered_turn,) = chat.of(TurnAnswered)
            assert (answered_turn.typing_at, answered_turn.appears_at) == pytest.approx((3.0, 6.0))

    def test_a_late_answer_still_shows_a_moment_of_typing(self):
        timing = Timing(typing_least_seconds=1.5, spread=0)
        chat = Chat(user_response_probability=1, timing=timing, latency=40, model=lambda _: "a long enough answer")
        chat.participant_posts("hello")
        chat.runs_until(60)
        assert chat.messages[-1].elapsed == pytest.approx(41.5)
        assert chat.told(ShowTyping) == [ShowTyping(chat.messages[-1].sender, 40.0)]

    def test_typing_is_not_announced_before_there_is_text(self):
        chat = Chat(user_response_probability=1, timing=Timing(), model=never)
        chat.participant_posts("hello")
        chat.runs_until(300)
        assert chat.told(ShowTyping) == []

    @pytest.mark.parametrize("status", ["empty", "failed", "timeout"])
    def test_without_text_is_dropped_and_the_agent_is_free_again(self, status):
        chat = Chat(user_response_probability=1, model=lambda _: failed(status))
        chat.participant_posts("hello")
        assert [dropped.reason for dropped in chat.of(TurnDropped)] == [status]
        assert chat.room.state.busy() == set()
        assert [call.status for call in chat.of(ModelCalled)] == [status]

    def test_of_nothing_but_habits_is_dropped_as_filtered(self):
        chat = Chat(agents=["Alice"], user_response_probability=1, model=lambda _: "As an AI, I cannot say.")
        chat.participant_posts("hello")
        assert [dropped.reason for dropped in chat.of(TurnDropped)] == ["filtered"]

    @pytest.mark.parametrize("answer", [failed("blocked"), "As an AI, I cannot say."], ids=["blocked", "filtered"])
    def test_that_was_blocked_or_filtered_goes_once_to_another_agent(self, answer):
        chat = Chat(user_response_probability=1, model=lambda _: answer)
        chat.participant_posts("hello")
        first, second = chat.plans
        assert second.replaces == first.turn_id
        assert second.agent_name != first.agent_name
        assert (second.cause, second.target) == (first.cause, first.target)
        assert len(chat.of(TurnDropped)) == 2

    def test_what_was_cleaned_stands_in_the_message(self):
        chat = Chat(user_response_probability=1, model=lambda request: f'{request.scene.agent_name}: "Hi **you**"')
        chat.participant_posts("hello")
        assert chat.messages[-1].content == "Hi you"
        assert set(chat.messages[-1].sanitized) == {"name_prefix", "quotes", "markdown"}

    def test_to_mention_does_so_also_where_the_model_forgot(self):
        weights = ActWeights(message=0, reply=0, mention=1, reaction=0)
        chat = Chat(messages_per_minute=60, act_weights=weights, model=lambda _: "how are you?")
        chat.runs_until(30)
        for plan, message in zip(chat.plans, chat.messages, strict=True):
            assert message.mentions == (plan.target,)
            assert message.content == f"@{plan.target} how are you?"
            assert plan.target != plan.agent_name

    def test_to_mention_may_mean_the_participant_if_they_have_a_name(self):
        weights = ActWeights(message=0, reply=0, mention=1, reaction=0)
        chat = Chat(messages_per_minute=60, act_weights=weights, participant_name="Sam", model=lambda _: "well, @sam?")
        chat.participant_posts("hello")
        chat.runs_until(30)
        spoken_to = [message for message in chat.messages if "user" in message.mentions]
        assert spoken_to
        assert all("sam" in message.content.lower() for message in spoken_to)

    def test_to_reply_quotes_another_members_message(self):
        weights = ActWeights(message=0.001, reply=1, mention=0, reaction=0)
        chat = Chat(messages_per_minute=60, act_weights=weights)
        chat.runs_until(60)
        by_id = {message.message_id: message for message in chat.messages}
        replies = [message for message in chat.messages if message.reply_to]
        assert len(replies) > 40
        assert all(by_id[reply.reply_to].sender != reply.sender for reply in replies)

    def test_to_react_gives_each_message_at_most_one_emoji_of_an_agent(self):
        weights = ActWeights(message=1, reply=0, mention=0, reaction=2)
        chat = Chat(messages_per_minute=60, act_weights=weights)
        chat.runs_until(120)
        given = Counter((reaction.message_id, reaction.sender) for reaction in chat.of(ReactionAdded))
        assert len(given) > 40
        assert set(given.values()) == {1}

    def test_answer_that_comes_after_its_turn_is_gone_is_logged_and_not_shown(self):
        chat = Chat(user_response_probability=1, model=never)
        chat.participant_posts("hello")
        (request,) = chat.requests
        chat.takes(arrival(request, failed()))
        chat.takes(arrival(request, "too late"))
        assert len(chat.of(ModelCalled)) == 2
        assert [message.sender for message in chat.messages] == ["user"]


class TestCasting:
    def test_nobody_speaks_twice_running_while_another_can(self):
        chat = Chat(messages_per_minute=60)
        chat.runs_until(300)
        senders = [message.sender for message in chat.messages]
        assert len(senders) > 250
        assert all(first != second for first, second in pairwise(senders))

    def test_an_agent_with_an_answer_pending_is_not_drawn(self):
        chat = Chat(messages_per_minute=60, latency=8)
        chat.runs_until(300)
        pending: set[str] = set()
        for event in chat.events:
            if event.event_type == "turn_planned":
                assert event.agent_name not in pending
                pending.add(event.agent_name)
            elif event.event_type == "message":
                pending.discard(event.sender)

    def test_a_draw_that_finds_all_busy_waits_and_is_not_lost(self):
        chat = Chat(agents=["Alice", "Bob"], messages_per_minute=60, latency=3)
        chat.runs_until(200)
        assert chat.of(TurnDeferred)
        waiting = sum(map(len, chat.room.state.waiting.values()))
        assert chat.room.state.background_count == len(chat.messages) + len(chat.room.state.turns) + waiting

    def test_the_only_agent_may_speak_twice_running(self):
        chat = Chat(agents=["Alice"], messages_per_minute=60)
        chat.runs_until(60)
        assert {message.sender for message in chat.messages} == {"Alice"}
        assert len(chat.messages) > 50

    def test_the_chattier_agent_speaks_more(self):
        agents = (Persona(name="Alice", chattiness=3), *FIVE_AGENTS[1:])
        chat = Chat(agents=agents, messages_per_minute=60)
        chat.runs_until(900)
        shares = Counter(message.sender for message in chat.messages)
        assert shares["Alice"] > 1.4 * max(shares[name] for name in FIVE_AGENTS[1:])

    def test_attention_goes_to_whoever_was_mentioned(self):
        answers = Counter()
        for seed in range(300):
            chat = Chat(seed, messages_per_minute=60, user_response_probability=0)
            chat.participant_posts("has anybody seen what @Eve wrote?")
            chat.runs_until(5)
            if chat.messages[1:]:
                answers[chat.messages[1].sender] += 1
        assert answers["Eve"] > 1.3 * max(answers[name] for name in FIVE_AGENTS[:4])


class TestStaleAnswers:
    def overtaken(self, then):
        timing = Timing(scale=0, stale_after_messages=2, stale_answers=then)
        chat = Chat(user_response_probability=1, latency=5, timing=timing)
        chat.participant_posts("@Alice one")
        for number in range(2):
            chat.now += 1
            chat.participant_posts(f"@Alice {number}")
        chat.runs_until(60)
        return chat

    def test_are_kept_unless_the_settings_say_otherwise(self):
        assert not self.overtaken("keep").of(TurnDropped)

    def test_are_dropped_by_setting(self):
        chat = self.overtaken("drop")
        assert [dropped.reason for dropped in chat.of(TurnDropped)] == ["stale"]
        assert chat.told(HideTyping)

    def test_are_drawn_again_once_by_setting_and_stay_with_their_agent(self):
        chat = self.overtaken("redraw")
        (dropped,) = chat.of(TurnDropped)
        (again,) = [plan for plan in chat.plans if plan.replaces]
        assert (again.replaces, again.agent_name) == (dropped.turn_id, dropped.agent_name)
        assert [message.sender for message in chat.messages].count("Alice") == 3


class TestEnd:
    def test_comes_at_the_duration_with_a_model_that_never_answers(self):
        chat = Chat(messages_per_minute=60, model=never, duration_seconds=60)
        chat.runs_to_its_end()
        (end,) = chat.of(SessionEnded)
        assert (end.reason, end.elapsed, chat.events[-1]) == ("duration_expired", 60.0, end)

    def test_is_said_once_and_nothing_follows(self):
        chat = Chat(messages_per_minute=60, latency=10, duration_seconds=30, user_response_probability=1)
        chat.runs_to_its_end()
        request = chat.requests[-1]
        chat.participant_posts("anybody?")
        chat.takes(arrival(request, "late"))
        chat.ends()
        chat.disconnects()
        assert chat.end_reasons == ["duration_expired"]
        assert isinstance(chat.events[-1], SessionEnded)
        assert chat.told(End) == [End("duration_expired")]
        assert chat.room.wake_at is None

    def test_late_wake_up_still_shows_what_was_due_before(self):
        chat = Chat(user_response_probability=1, timing=Timing(spread=0), duration_seconds=20)
        chat.participant_posts("hello")
        chat.now = 25.0
        chat.takes(Tick())
        assert [event.event_type for event in chat.events[-2:]] == ["message", "session_end"]

    def test_asks_no_model_afterwards(self):
        chat = Chat(messages_per_minute=600, duration_seconds=10)
        chat.runs_to_its_end()
        asked = len(chat.requests)
        chat.now = 500
        chat.takes(Tick())
        assert len(chat.requests) == asked
        assert not [e for e in chat.room.handle(Tick(), 1000).effects if isinstance(e, Generate)]

    def test_a_crash_is_logged_before_it(self):
        chat = Chat()
        chat.takes(Crashed("KeyError", "'x'", "handling Tick"))
        (error,) = chat.of(ErrorRaised)
        assert (error.error_type, error.context) == ("KeyError", {"where": "handling Tick"})
        assert chat.end_reasons == ["error"]


class TestConnection:
    def test_lost_without_way_back_ends_the_session(self):
        chat = Chat()
        chat.connects(resumable=False)
        chat.disconnects()
        assert chat.end_reasons == ["websocket_disconnect"]

    def test_lost_with_a_way_back_ends_it_after_the_grace(self):
        chat = Chat(reconnect_grace_seconds=120)
        chat.connects()
        chat.now = 10.0
        chat.disconnects()
        chat.runs_until(129.9)
        assert chat.end_reasons == []
        chat.runs_until(131)
        assert chat.end_reasons == ["websocket_disconnect"]
        assert chat.events[-1].elapsed == 130.0

    def test_back_in_time_goes_on(self):
        chat = Chat(reconnect_grace_seconds=120)
        chat.connects()
        chat.disconnects()
        chat.now = 60.0
        chat.connects(connection=2)
        chat.runs_until(899)
        assert chat.end_reasons == []
        assert len(chat.of(ParticipantArrived)) == 2

    def test_replaced_by_another_may_die_late_and_changes_nothing(self):
        chat = Chat()
        chat.connects(connection=1)
        chat.connects(connection=2)
        chat.disconnects(connection=1)
        assert chat.of(ParticipantLost) == []
        assert chat.end_reasons == []

    def test_no_grace_by_setting(self):
        chat = Chat(reconnect_grace_seconds=0)
        chat.connects()
        chat.disconnects()
        assert chat.end_reasons == ["websocket_disconnect"]


class TestTime:
    def test_elapsed_never_goes_back(self):
        chat = Chat()
        chat.now = 10.0
        chat.participant_posts("one")
        chat.now = 5.0
        chat.participant_posts("two")
        assert [message.elapsed for message in chat.messages] == [10.0, 10.0]

    def test_positions_count_what_can_be_seen_without_gap(self):
        weights = ActWeights(message=1, reply=0.2, mention=0.2, reaction=0.5)
        chat = Chat(messages_per_minute=60, user_response_probability=1, act_weights=weights)
        for second in range(0, 100, 10):
            chat.runs_until(second)
            chat.participant_posts("hello")
        visible = [event.position for event in chat.events if hasattr(event, "position")]
        assert visible == list(range(1, len(visible) + 1))

    def test_generation_without_text_at_all_is_dropped(self):
        chat = Chat(user_response_probability=1, model=lambda _: answered(None))
        chat.participant_posts("hello")
        assert [dropped.reason for dropped in chat.of(TurnDropped)] == ["empty"]
