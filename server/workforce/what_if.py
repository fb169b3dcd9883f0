"""What if: a session forked, and both branches really played.

Every run makes two branches of the session: `base`, which goes on as it is, and `modified`, which goes on changed. The
two share their random streams, so that they differ by the change and not by luck; another run has other streams.
Branches are sessions like any other, with ids that follow from the what-if's: what was broken off is found again, and
finished.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import orjson
from pydantic import BaseModel

from experiments.errors import LogError, StoreError
from experiments.store.simulations import WhatIfRow
from experiments.workforce.comparison import Branches, PlayedRound, compare
from server.errors import RequestRefused
from server.workforce.answers import Branch, BranchProgress, WhatIfAnswer, WhatIfList, WhatIfListed
from server.workforce.shapes import AgentModification, NextRequest, WhatIfRequest
from server.workforce.table import Simulator, asked_sha256, key_sha256, problem
from server.workforce.views import COMPARISON_FORMULAS, model_of
from simulation.codec import Record
from simulation.workforce.events import SessionForked, WorkforceStarted
from simulation.workforce.forking import until
from simulation.workforce.modifications import Premises, modified
from simulation.workforce.state import WorkforceState, rebuild

logger = logging.getLogger("chatroom.workforce")

KINDS = ("base", "modified")
BRANCHES_AT_ONCE = 8
CHANGED = (
    "Round {1} of the branch {0} was played by somebody else before the what-if had done so. Nothing can be compared: "
    "ask for the what-if anew, with another Idempotency-Key."
)
MAX_SCENARIO_CHARACTERS = 20_000
"""With everything that what-ifs of what-ifs have added."""


class Planned(NamedTuple):
    """A what-if as it is to be played: `request` has its `base_turn`."""

    row: WhatIfRow
    request: WhatIfRequest

    @property
    def modifications(self) -> list[dict[str, Any]]:
        return [each.as_record() for each in self.request.modifications]

    def branches(self) -> Iterator[Branch]:
        for run in range(1, self.request.runs + 1):
            for kind in KINDS:
                session_id = str(uuid.uuid5(uuid.UUID(self.row.id), f"{kind}:{run}"))
                yield Branch(kind=kind, run=run, session_id=session_id)


class WhatIfs:
    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._desk = simulator.desk
        self._simulations = simulator.desk.simulations
        self._planning = asyncio.Lock()
        self._playing: dict[str, asyncio.Future[WhatIfAnswer]] = {}
        self._places = asyncio.Semaphore(BRANCHES_AT_ONCE)

    async def play(self, request: WhatIfRequest, key: str | None) -> WhatIfAnswer:
        """Play a what-if and return what came of it; one with a known key is answered as before, or finished."""
        records, state = await self._desk.snapshot(request.session_id)  # of one moment: a round may be in progress
        async with self._planning:  # two requests with one key are to plan one what-if
            planned = await self._known(request, key) or await self._plan(request, key, state, records)
        if planned.row.answer is not None:
            return WhatIfAnswer.model_validate_json(planned.row.answer)
        if (playing := self._playing.get(planned.row.id)) is not None:
            return await asyncio.shield(playing)
        return await self._played(planned, records)

    async def _known(self, request: WhatIfRequest, key: str | None) -> Planned | None:
        hashed = key_sha256(key)
        row = None if hashed is None else await self._simulations.what_if_of_key(request.session_id, hashed)
        if row is None:
            return None
        if row.request_sha256 != asked_sha256(request):
            raise RequestRefused("idempotency_conflict", "This Idempotency-Key was used for another request.")
        return _planned(row)

    async def _plan(
        self, request: WhatIfRequest, key: str | None, state: WorkforceState, records: Sequence[Record]
    ) -> Planned:
        base_turn = state.current_turn if request.base_turn is None else request.base_turn
        _refuse_unfit(state, request, base_turn, records)
        row = WhatIfRow(
            id=self._simulator.new_id(),
            session_id=request.session_id,
            key_sha256=key_sha256(key),
            request_sha256=asked_sha256(request),
            request=orjson.dumps(_sent(request)).decode(),
            base_turn=base_turn,
            answer=None,
            created_at=self._desk.moment(),
        )
        await self._simulations.add_what_if(row)
        return _planned(row)

    async def _played(self, planned: Planned, records: Sequence[Record]) -> WhatIfAnswer:
        """Play what is not played yet; whoever asks for the same meanwhile waits for the same."""
        result: asyncio.Future[WhatIfAnswer] = asyncio.get_running_loop().create_future()
        result.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be waiting
        self._playing[planned.row.id] = result
        try:
            answer = await self._play_all(planned, records)
            result.set_result(answer)
            return answer
        except (RequestRefused, StoreError, LogError) as error:
            result.set_exception(error)
            raise
        finally:
            result.cancel()
            del self._playing[planned.row.id]

    async def _play_all(self, planned: Planned, records: Sequence[Record]) -> WhatIfAnswer:
        async with asyncio.TaskGroup() as tasks:
            playing = [tasks.create_task(self._play_branch(planned, each, records)) for each in planned.branches()]
        failures = [failure for each in playing if (failure := each.result()) is not None]
        if failures:
            raise failures[0]
        answer = await self._compared(planned)
        await self._simulations.answered(planned.row.id, answer.model_dump_json())
        return answer

    async def _play_branch(
        self, planned: Planned, branch: Branch, records: Sequence[Record]
    ) -> RequestRefused | StoreError | LogError | None:
        """Play a branch to its end; return why it could not be. The others are not to be broken off for it: what they
        are being asked is paid for.
        """
        async with self._places:
            try:
                if not await self._is_forked(planned, branch):
                    await self._fork(planned, branch, records)
                await self._play_rounds(planned, branch)
            except (RequestRefused, StoreError, LogError) as failure:
                return failure
        return None

    async def _is_forked(self, planned: Planned, branch: Branch) -> bool:
        """Whether a branch is there, as the what-if has left it. One whose first records were cut off by a power cut is
        no branch, and goes.
        """
        try:
            look = await self._desk.look(branch.session_id)
        except RequestRefused:
            self._desk.clear(branch.session_id)
            return False
        if not look.state.is_forked:
            await self._desk.delete(branch.session_id)
            return False
        _rounds(planned, look.state)  # nobody is asked for a comparison that cannot be made
        return True

    async def _fork(self, planned: Planned, branch: Branch, records: Sequence[Record]) -> None:
        parent, request, base_turn = records[0].event, planned.request, planned.row.base_turn
        assert isinstance(parent, WorkforceStarted)
        changes = planned.modifications if branch.kind == "modified" else []
        fork = {
            "parent": parent.session_id,
            "base_turn": base_turn,
            "kind": branch.kind,
            "run": branch.run,
            "what_if": planned.row.id,
            "modifications": changes,
        }
        title = f"{planned.request.name or 'What if'}: {branch.kind}, run {branch.run}"[:255]
        limit = max(parent.parameters.max_turns, base_turn + request.num_turns_to_simulate)
        start = replace(
            parent,
            parameters=replace(parent.parameters, max_turns=limit),  # or a replay would end where the parent did
            session_id=branch.session_id,
            name=title,
            description=request.description,
            created_at=planned.row.created_at,
            seed=parent.stream_seed,
            fork=fork,
        )
        forked = SessionForked(
            elapsed=0.0,
            parent=parent.session_id,
            base_turn=base_turn,
            modifications=tuple(changes),
            max_turns=limit,
        )
        await self._desk.begin_branch(records, start, forked)

    async def _play_rounds(self, planned: Planned, branch: Branch) -> None:
        """Play the rounds of a branch, all at the moment of the what-if: memories expire in both branches alike."""
        first = planned.row.base_turn + 1
        for turn in range(first, first + planned.request.num_turns_to_simulate):
            said = planned.request.user_input if turn == first else None
            asked = NextRequest(session_id=branch.session_id, user_input=said)
            await self._simulator.play_round(asked, _key_of(planned, turn), planned.row.created_at)

    async def _compared(self, planned: Planned) -> WhatIfAnswer:
        states: dict[tuple[str, int], WorkforceState] = {}
        for branch in planned.branches():
            states[branch.kind, branch.run] = (await self._desk.look(branch.session_id)).state
        request = planned.request
        runs = [
            Branches(*(_rounds(planned, states[kind, run]) for kind in KINDS)) for run in range(1, request.runs + 1)
        ]
        names = {role.role: role.name for role in states["base", 1].premises.roles}
        found = await asyncio.to_thread(compare, runs, names)
        return WhatIfAnswer(
            id=planned.row.id,
            session_id=planned.row.session_id,
            model=model_of(states["base", 1]),
            base_turn=planned.row.base_turn,
            name=request.name,
            description=request.description,
            modifications=planned.modifications,
            num_turns_to_simulate=request.num_turns_to_simulate,
            runs=request.runs,
            predicted_outcomes=[*found.predicted_outcomes],
            agent_analyses=[*found.agent_analyses],
            overall_confidence=found.overall_confidence,
            recommendation=found.recommendation,
            branches=[*planned.branches()],
            basis=dict(found.basis),
            formulas=COMPARISON_FORMULAS,
            created_at=planned.row.created_at,
        )

    # Looking

    async def listed(self, session_id: str) -> WhatIfList:
        """Return a session's what-ifs, the newest first, and how far those are that are being played."""
        await self._desk.look(session_id)
        rows = await self._simulations.what_ifs_of(session_id)
        listed = [await self._listed(_planned(row)) for row in rows]
        return WhatIfList(what_ifs=listed, total=len(listed))

    async def _listed(self, planned: Planned) -> WhatIfListed:
        request = planned.request
        branches = []
        for branch in planned.branches():
            row = await self._simulations.find(branch.session_id)
            turns = 0 if row is None else row.current_turn - planned.row.base_turn
            played = min(max(turns, 0), request.num_turns_to_simulate)
            branches.append(BranchProgress(**branch.model_dump(), turns_played=played))
        return WhatIfListed(
            id=planned.row.id,
            session_id=planned.row.session_id,
            name=request.name,
            base_turn=planned.row.base_turn,
            modifications=planned.modifications,
            num_turns_to_simulate=request.num_turns_to_simulate,
            runs=request.runs,
            is_complete=planned.row.answer is not None,
            branches=branches,
            created_at=planned.row.created_at,
        )

    async def find(self, session_id: str, what_if_id: str) -> WhatIfAnswer:
        row = await self._simulations.what_if(session_id, what_if_id)
        if row is None or row.answer is None:
            raise RequestRefused("not_found", "There is no such what-if, or it has not been played to its end.")
        return WhatIfAnswer.model_validate_json(row.answer)


def _planned(row: WhatIfRow) -> Planned:
    return Planned(row, WhatIfRequest.model_validate_json(row.request))


def _sent(request: BaseModel) -> dict[str, Any]:
    return request.model_dump(exclude_unset=True)


def _key_of(planned: Planned, turn: int) -> str:
    return f"{planned.row.id}:{turn}"


def _rounds(planned: Planned, state: WorkforceState) -> tuple[PlayedRound, ...]:
    """Return the rounds that a branch has played for the what-if; it may have gone on since.

    Raise RequestRefused if somebody else has played one of them: the branches were not compared under one condition.
    """
    first = planned.row.base_turn
    done = state.rounds[first : first + planned.request.num_turns_to_simulate]
    for turn, each in enumerate(done, start=first + 1):
        if key_sha256(_key_of(planned, turn)) not in each.keys:
            raise RequestRefused("branch_changed", CHANGED.format(state.start.session_id, turn))
    return tuple(
        PlayedRound(turn_number=each.started.turn_number, answers=each.said, completed=each.completed)
        for each in done
        if each.completed is not None
    )


def _refuse_unfit(state: WorkforceState, request: WhatIfRequest, base_turn: int, records: Sequence[Record]) -> None:
    """Raise RequestRefused for what this session does not have."""
    if base_turn > state.current_turn:
        raise problem("base_turn", f"A completed round is needed, 0 to {state.current_turn}")
    premises = _premises_at(records, base_turn)
    roles = [role.role for role in premises.roles]
    for index, each in enumerate(request.modifications):
        if isinstance(each, AgentModification) and each.target not in roles:
            raise problem(f"modifications.{index}.target", f"There is no such role here; there are {', '.join(roles)}")
    changed = modified(premises, [each.as_record() for each in request.modifications])
    if not changed.active_roles:
        raise problem("modifications", "Nobody would be left at the table")
    if len(changed.scenario) > MAX_SCENARIO_CHARACTERS:
        raise problem("modifications", f"The scenario would be longer than {MAX_SCENARIO_CHARACTERS:,} characters")


def _premises_at(records: Sequence[Record], base_turn: int) -> Premises:
    """Return scenario, context and roles at the fork: a branch's own change is in them only after its own fork."""
    return rebuild(record.event for record in until(records, base_turn)).premises
