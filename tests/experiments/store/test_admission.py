"""Who gets a session, which one and in which condition: one transaction, whatever happens around it."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from itertools import islice

import pytest
from sqlalchemy import select
from studies import FOUR, NOON, studying

from experiments.errors import (
    ConsentNeeded,
    NoRoom,
    NotOpen,
    NotStarted,
    SessionOver,
    StoreError,
    StudyFull,
    UnknownCredential,
)
from experiments.store.admission import Applicant
from experiments.store.tables import metadata, panel_ids, participants, tokens
from experiments.store.tokens import list_tokens, revoke_tokens
from experiments.store.verifying import verify

TOKENS = {"entry": {"mode": "tokens"}}
CONSENT = {"consent": {"version": "1", "text": "Do you agree?"}}
PANEL = {"entry": {"mode": "panel", "panel": "prolific"}}
ANN = {"PROLIFIC_PID": "ann", "STUDY_ID": "s"}


async def all_at_once(*starts):
    async with asyncio.TaskGroup() as tasks:
        made = [tasks.create_task(each) for each in starts]
    return [task.result() for task in made]


class TestTokens:
    async def test_a_token_is_good_for_one_session_however_often_it_is_brought(self, tmp_path):
        async with studying(tmp_path, **TOKENS) as desk:
            (token,) = await desk.tokens()
            started = set(await all_at_once(*(desk.starts(token) for _ in range(200))))
            assert len(started) == 1
            assert len(await desk.sessions.listed()) == 1
            assert await desk.starts(f" {token} ") in started, "as people paste it"

    async def test_unknown_revoked_and_expired_ones_are_the_same_to_whoever_brings_them(self, tmp_path):
        async with studying(tmp_path, **TOKENS) as desk:
            revoked, expired = await desk.tokens(1), await desk.tokens(1, expires_at=NOON + timedelta(hours=1))
            await revoke_tokens(desk.study, revoked, [], NOON)
            desk.later(hours=2)
            for token in ("nonsense", "1234", "", *revoked, *expired):
                with pytest.raises(UnknownCredential) as refused:
                    await desk.starts(token)
                assert str(refused.value) == ""
            assert await desk.sessions.listed() == []

    async def test_who_has_begun_goes_on_and_is_given_what_is_due_after_a_revocation(self, tmp_path):
        async with studying(tmp_path, **TOKENS) as desk:
            (token,) = await desk.tokens()
            session_id = await desk.starts(token)
            await revoke_tokens(desk.study, [token], [], NOON)
            assert await desk.starts(token) == session_id
            await desk.runs_whole(session_id)
            with pytest.raises(SessionOver):
                await desk.starts(token)

    async def test_expiry_ends_no_session_and_withholds_no_completion(self, tmp_path):
        async with studying(tmp_path, **TOKENS) as desk:
            (token,) = await desk.tokens(1, expires_at=NOON + timedelta(hours=1))
            session_id = await desk.starts(token)
            desk.later(hours=2)
            assert await desk.starts(token) == session_id
            await desk.runs_whole(session_id)
            with pytest.raises(SessionOver):
                await desk.starts(token)

    async def test_a_token_may_fix_the_condition_and_takes_no_place_of_the_list(self, tmp_path):
        async with studying(tmp_path, **TOKENS, conditions=FOUR) as desk:
            for token in await desk.tokens(5, condition="c"):
                await desk.starts(token)
            listed = await desk.sessions.listed()
            assert {(each.condition, each.sequence_number) for each in listed} == {("c", None)}
            (token,) = await desk.tokens()
            await desk.starts(token)
            assert (await desk.sessions.listed())[-1].sequence_number == 1

    async def test_a_condition_that_is_gone_lets_nobody_in(self, tmp_path):
        async with studying(tmp_path, **TOKENS, conditions=FOUR) as desk:
            (token,) = await desk.tokens(1, condition="c")
        async with studying(tmp_path, **TOKENS, conditions={"a": FOUR["a"], "b": FOUR["b"]}) as desk:
            with pytest.raises(UnknownCredential):
                await desk.starts(token)

    async def test_short_codes_are_read_as_people_type_them(self, tmp_path):
        async with studying(tmp_path, **TOKENS) as desk:
            (code,) = await desk.tokens(1, are_short=True, expires_at=NOON + timedelta(days=1))
            assert len(code) == 9
            session_id = await desk.starts(code)
            typed = code.lower().replace("-", " ").replace("0", "o").replace("1", "l")
            assert await desk.starts(typed) == session_id

    async def test_the_database_does_not_hold_them(self, tmp_path):
        async with studying(tmp_path, **TOKENS) as desk:
            made = await desk.tokens(3)
            await desk.starts(made[0])
            async with desk.study.database.transaction() as connection:
                hashes = set((await connection.execute(select(tokens.c.token_hash))).scalars())
        data = b"".join(path.read_bytes() for path in (tmp_path / "data").iterdir())
        assert len(hashes) == 3
        assert not any(token.encode() in data for token in made)

    async def test_what_became_of_each_is_listed(self, tmp_path):
        async with studying(tmp_path, **TOKENS, screens=CONSENT) as desk:
            used, declined, *_ = await desk.tokens(5)
            await desk.runs_whole(await desk.starts(used, consent="1"))
            await desk.admissions.decline(Applicant(token=declined), "1")
            await revoke_tokens(desk.study, [], [3], NOON)
            listed = await list_tokens(desk.study, NOON)
        assert [(each.number, each.state) for each in listed] == [
            (1, "over"),
            (2, "declined"),
            (3, "revoked"),
            (4, "unused"),
            (5, "unused"),
        ]
        assert listed[0].outcome == "completed"

    async def test_tokens_of_one_experiment_are_nothing_to_another(self, tmp_path):
        async with studying(tmp_path, **TOKENS) as desk:
            (token,) = await desk.tokens()
        async with studying(tmp_path, **TOKENS, experiment_id="another") as desk:
            with pytest.raises(UnknownCredential):
                await desk.starts(token)


class TestPanel:
    async def test_the_same_id_resumes_and_never_restarts(self, tmp_path):
        async with studying(tmp_path, **PANEL) as desk:
            first = await desk.starts(parameters=ANN)
            assert await desk.starts(parameters=ANN | {"SESSION_ID": "another"}) == first
            assert await desk.starts(parameters={"PROLIFIC_PID": "bob"}) != first
            await desk.runs_whole(first)
            with pytest.raises(SessionOver) as over:
                await desk.starts(parameters=ANN)
            assert (over.value.outcome, over.value.parameters) == ("completed", ANN)

    async def test_ids_lie_in_a_table_of_their_own(self, tmp_path):
        async with studying(tmp_path, **PANEL) as desk:
            await desk.starts(parameters=ANN)
            async with desk.study.database.transaction() as connection:
                for table in metadata.sorted_tables:
                    rows = (await connection.execute(select(table))).all()
                    assert ("ann" in str(rows)) == (table is panel_ids), table.name

    async def test_200_starts_of_one_id_at_once_are_one_session(self, tmp_path):
        async with studying(tmp_path, **PANEL) as desk:
            assert len(set(await all_at_once(*(desk.starts(parameters=ANN) for _ in range(200))))) == 1


class TestOpen:
    async def test_every_start_is_another_participant_but_for_the_page_that_asks_again(self, tmp_path):
        async with studying(tmp_path) as desk:
            assert await desk.starts() != await desk.starts()
            tab = await desk.starts(visit="a" * 32)
            assert await desk.starts(visit="a" * 32) == tab != await desk.starts(visit="b" * 32)

    async def test_nothing_is_begun_for_whoever_only_asks(self, tmp_path):
        async with studying(tmp_path) as desk:
            for visit in (None, "a" * 32):
                with pytest.raises(NotStarted):
                    await desk.resumes(visit=visit)
            assert await desk.sessions.listed() == []


class TestWhatKeepsThemOut:
    async def test_the_window(self, tmp_path):
        window = {"opens_at": "2026-12-01T13:00:00+00:00", "closes_at": "2026-12-01T15:00:00+01:00"}
        async with studying(tmp_path, entry={"mode": "open", **window}) as desk:
            with pytest.raises(NotOpen) as early:
                await desk.starts()
            assert early.value.opens_at is not None
            desk.later(hours=1)
            session_id = await desk.starts(visit="a" * 32)
            desk.later(hours=1)
            with pytest.raises(NotOpen) as late:
                await desk.starts()
            assert late.value.opens_at is None
            assert await desk.starts(visit="a" * 32) == session_id, "who is in stays in"

    async def test_a_consent_that_was_not_given_or_to_another_text(self, tmp_path):
        consent = {"screens": {"consent": {"version": "2", "text": "Do you agree?"}}}
        async with studying(tmp_path, **consent) as desk:
            for version in (None, "1"):
                with pytest.raises(ConsentNeeded):
                    await desk.starts(consent=version)
            reserved = await desk.sessions.reserved(await desk.starts(consent="2"))
        assert reserved is not None
        assert reserved.consent is not None
        assert set(reserved.consent) == {"version", "sha256", "given_at"}
        assert (reserved.consent["version"], reserved.consent["given_at"]) == ("2", "2026-12-01T12:00:00.000000+00:00")

    async def test_declining_is_final_and_leaves_no_session(self, tmp_path):
        consent = {"screens": {"consent": {"version": "2", "text": "Do you agree?"}}}
        async with studying(tmp_path, **PANEL, **consent) as desk:
            declined = await desk.admissions.decline(Applicant(parameters=ANN), "2")
            assert (declined.outcome, declined.parameters) == ("declined", ANN)
            with pytest.raises(SessionOver) as over:
                await desk.starts(parameters=ANN, consent="2")
            assert (over.value.outcome, over.value.parameters) == ("declined", ANN)
            with pytest.raises(SessionOver):
                await desk.admissions.decline(Applicant(parameters=ANN), "2")
            with pytest.raises(ConsentNeeded):
                await desk.admissions.decline(Applicant(parameters={"PROLIFIC_PID": "bob"}), "another text")
            assert await desk.sessions.listed() == []

    async def test_too_many_sessions(self, tmp_path):
        async with studying(tmp_path, entry={"mode": "open", "max_live_sessions": 2}) as desk:
            first, _ = await desk.starts(), await desk.starts()
            with pytest.raises(NoRoom):
                await desk.starts()
            await desk.runs_whole(first)
            await desk.starts()

    async def test_a_place_is_not_kept_for_ever_for_whoever_does_not_come(self, tmp_path):
        async with studying(tmp_path, entry={"mode": "open", "max_live_sessions": 1}) as desk:
            gone = await desk.starts(visit="a" * 32)
            desk.later(minutes=16)
            await desk.starts()
            assert await desk.starts(visit="a" * 32) == gone, "their session is still theirs"

    async def test_a_refusal_at_the_last_moment_spends_nothing(self, tmp_path):
        def closed() -> None:
            raise NoRoom

        async with studying(tmp_path, **TOKENS) as desk:
            (token,) = await desk.tokens()
            with pytest.raises(NoRoom):
                await desk.admissions.admit(Applicant(token=token), before_new=closed)
            assert (await list_tokens(desk.study, NOON))[0].state == "unused"
            async with desk.study.database.transaction() as connection:
                assert (await connection.execute(select(participants))).all() == []
            assert await desk.starts(token)


class TestAssignment:
    async def test_400_starts_at_once_are_the_list_that_the_seed_gives(self, tmp_path):
        async with studying(tmp_path, conditions=FOUR, assignment={"seed": 7, "block_size": 8}) as desk:
            await all_at_once(*(desk.starts() for _ in range(400)))
            given = await desk.conditions()
            assert given == list(islice(desk.study.allocation.places(), 400))
            assert Counter(given) == dict.fromkeys("abcd", 100)
            for start in range(0, 400, 8):
                assert set(Counter(given[start : start + 8]).values()) == {2}

    async def test_a_start_that_breaks_off_leaves_no_gap(self, tmp_path):
        async with studying(tmp_path, conditions=FOUR, assignment={"seed": 7}) as desk:
            tasks = [asyncio.ensure_future(desk.starts()) for _ in range(200)]
            for step, task in enumerate(tasks):
                await asyncio.sleep(0)
                if step % 10 == 0:
                    task.cancel()
            await asyncio.wait(tasks)
            given = await desk.conditions()
            assert 180 <= len(given) <= 200
            assert given == list(islice(desk.study.allocation.places(), len(given)))

    async def test_strata_come_from_the_link(self, tmp_path):
        design = {"assignment": {"seed": 7, "strata": ["cohort"]}, "conditions": FOUR}
        async with studying(tmp_path, **design) as desk:
            for number in range(80):
                await desk.starts(parameters={"cohort": "young" if number % 2 else "old"})
            for cohort in ("young", "old"):
                listed = [each for each in await desk.sessions.listed() if each.stratum == f"cohort={cohort}"]
                listed.sort(key=lambda each: each.sequence_number)
                expected = list(islice(desk.study.allocation.places(f"cohort={cohort}"), 40))
                assert [each.condition for each in listed] == expected

    async def test_the_list_goes_on_where_it_was_after_a_restart(self, tmp_path):
        for _ in range(3):
            async with studying(tmp_path, conditions=FOUR) as desk:
                for _ in range(7):
                    await desk.starts()
                given = await desk.conditions()
        assert given == list(islice(desk.study.allocation.places(), 21))

    async def test_a_list_of_another_design_is_another_list(self, tmp_path):
        async with studying(tmp_path, conditions=FOUR, assignment={"seed": 7}) as desk:
            await desk.starts()
        async with studying(tmp_path, conditions=FOUR, assignment={"seed": 8}) as desk:
            await desk.starts()
            assert [each.sequence_number for each in await desk.sessions.listed()] == [1, 1]

    async def test_demonstrations_use_up_a_list_of_their_own(self, tmp_path):
        async with studying(tmp_path, conditions=FOUR, entry={"mode": "demo"}) as desk:
            for _ in range(3):
                await desk.starts("1234")
        async with studying(tmp_path, conditions=FOUR) as desk:
            await desk.starts()
            assert (await desk.sessions.listed())[-1].sequence_number == 1


FIVE_OF_EACH = {"conditions": FOUR, "assignment": {"seed": 7, "quotas": dict.fromkeys("abcd", 5)}}


class TestQuotas:
    async def test_are_reached_exactly_and_drop_outs_are_refilled(self, tmp_path):
        async with studying(tmp_path, **FIVE_OF_EACH) as desk:
            ends = ["duration_expired", "websocket_disconnect", "duration_expired", "withdrawn"]
            for number in range(200):
                try:
                    session_id = await desk.starts()
                except StudyFull:
                    break
                await desk.runs_whole(session_id, ends[number % 4])
            listed = await desk.sessions.listed()
            completed = Counter(each.condition for each in listed if each.outcome == "completed")
            assert completed == dict.fromkeys("abcd", 5)
            assert len(listed) > 25

    async def test_a_full_condition_is_passed_over_and_the_list_says_so(self, tmp_path):
        async with studying(tmp_path, **FIVE_OF_EACH) as desk:
            for _ in range(60):
                try:
                    session_id = await desk.starts()
                except StudyFull:
                    break
                listed = {each.session_id: each.condition for each in await desk.sessions.listed()}
                dropped_out = listed[session_id] == "d" and len(listed) < 20
                await desk.runs_whole(session_id, "withdrawn" if dropped_out else "duration_expired")
            (verified,) = (await verify(desk.study, tmp_path)).lists
            assert all("is not there" in each for each in verified.contradictions), "no logs were written here"
            assert verified.passed_over > 0

    async def test_while_the_last_ones_are_in_the_chat_others_are_asked_to_wait(self, tmp_path):
        async with studying(tmp_path, **FIVE_OF_EACH) as desk:
            chatting = [await desk.starts() for _ in range(20)]
            with pytest.raises(NoRoom):
                await desk.starts()
            for session_id in chatting:
                await desk.runs_whole(session_id)
            with pytest.raises(StudyFull):
                await desk.starts()


async def test_a_session_keeps_its_place_in_the_list_by_which_it_was_given(tmp_path):
    async with studying(tmp_path, conditions=FOUR, assignment={"seed": 7}) as desk:
        session_id = await desk.starts()
        given_by = desk.study.allocation.sha256
    async with studying(tmp_path, conditions=FOUR, assignment={"seed": 8, "method": "weighted"}) as desk:
        reserved = await desk.sessions.begin(session_id)
    assert reserved is not None
    assert reserved.assignment["allocation_sha256"] == given_by
    assert reserved.assignment["method"] == "permuted_blocks"


async def test_another_key_is_noticed_before_every_token_is_unknown(tmp_path):
    async with studying(tmp_path) as desk:
        await desk.starts()
    for damage, told in ((b"", "does not hold 32 bytes"), (b"x" * 32, "is not the one with which this was begun")):
        (tmp_path / "data" / "secret.key").write_bytes(damage)
        with pytest.raises(StoreError, match=told):
            async with studying(tmp_path):
                pass


class TestVerifying:
    async def test_what_happened_is_what_the_seed_gives(self, tmp_path):
        async with studying(tmp_path, conditions=FOUR, assignment={"strata": ["cohort"]}) as desk:
            for number in range(30):
                await desk.starts(parameters={"cohort": str(number % 3)})
            verified = await verify(desk.study, tmp_path)
            lists = verified.lists
        assert (verified.strays, verified.is_current) == ([], True)
        assert [(each.stratum, each.given, each.contradictions) for each in lists] == [
            (f"cohort={n}", 10, ()) for n in range(3)
        ]

    @pytest.mark.parametrize(
        ("tampering", "told"),
        [
            ("UPDATE sessions SET condition = 'z' WHERE session_id IN (SELECT session_id FROM assignments "
             "WHERE sequence_number = 3)", "had z"),
            ("UPDATE assignments SET condition = 'z' WHERE sequence_number = 3", "place 3: the list says"),
            ("DELETE FROM assignments WHERE sequence_number = 3", "place 3 was never given"),
            ("DELETE FROM assignments WHERE sequence_number > 6", "has no place in a list"),
            ("UPDATE assignments SET session_id = NULL WHERE sequence_number = 3", "place 3 is empty, and there"),
            ("UPDATE allocations SET spec = replace(spec, '\"block_size\":4', '\"block_size\":8')", "was changed"),
        ],
    )  # fmt: skip
    async def test_what_was_changed_afterwards_shows(self, tmp_path, tampering, told):
        async with studying(tmp_path, conditions=FOUR) as desk:
            for _ in range(8):
                await desk.starts()
            async with desk.study.database.transaction() as connection:
                await connection.exec_driver_sql(tampering)
            verified = await verify(desk.study, tmp_path)
        assert not verified.agrees
        assert any(told in each for each in (*verified.strays, *verified.lists[0].contradictions))
