"""What can be done with a workforce session: begin it, play a round, pause it, look into its memory."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import orjson
from pydantic import BaseModel

from experiments.experiment import Experiment
from experiments.opening import session_seed
from experiments.software import software
from experiments.workforce import timeline
from server.errors import RequestRefused
from server.requests import invalid
from server.workforce.answers import (
    MemoryAnswer,
    MemoryEntry,
    RoundAnswer,
    RoundsAnswer,
    StartAnswer,
    StateAnswer,
    StatusAnswer,
)
from server.workforce.desk import Desk
from server.workforce.opened import Look, Opened
from server.workforce.shapes import MemoryRequest, NextRequest, StartRequest
from server.workforce.views import (
    memory_answer,
    memory_entry,
    played,
    round_answer,
    start_answer,
    state_answer,
    table_of,
)
from simulation.parameters import ModelChoice
from simulation.workforce.core import OBJECTIONS, later
from simulation.workforce.events import RoundFailed, WorkforceStarted
from simulation.workforce.inputs import (
    ContinueRequested,
    MemoriesForgotten,
    MemoryGiven,
    PauseRequested,
    RoundRequested,
)
from simulation.workforce.modifications import in_order
from simulation.workforce.parameters import Role, WorkforceParameters
from simulation.workforce.state import Round, WorkforceState

NOT_NOW = ("throttled", "rate_limited", "circuit_open", "unavailable", "timeout", "budget_spent")
"""What a model failed with that another time may cure; with the rest, the request or the model is the matter."""
RETRY_AFTER_SECONDS = 10


def problem(field: str, message: str) -> RequestRefused:
    """Return the refusal of one field."""
    return invalid([{"field": field, "message": message, "type": "value_error"}])


def digest(value: Mapping[str, Any]) -> str:
    """Return the same text for requests that ask for the same."""
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()


def asked_sha256(request: BaseModel) -> str:
    """Of everything but the session that is asked: the same request to two branches is the same."""
    return digest(request.model_dump(exclude={"session_id"}))


def key_sha256(key: str | None) -> str | None:
    return None if key is None else hashlib.sha256(key.encode()).hexdigest()


class Simulator:
    """`roles` are those that there are; `choice` is who speaks in sessions that begin now."""

    def __init__(
        self,
        desk: Desk,
        *,
        experiment: Experiment,
        experiment_seed: int,
        roles: Sequence[Role],
        choice: ModelChoice,
        log_sync: str,
        new_id: Callable[[], str],
    ) -> None:
        self.desk = desk
        self.roles = tuple(roles)
        self.new_id = new_id
        self._experiment = experiment
        self._seed = experiment_seed
        self._choice = choice
        self._log_sync = log_sync

    # Beginning

    async def start(self, request: StartRequest) -> StartAnswer:
        await asyncio.to_thread(timeline.prepare)
        session_id = self.new_id()
        config, agents = request.config, self._agents(request.config.agents)
        start = WorkforceStarted(
            elapsed=0.0,
            session_id=session_id,
            experimental_config={"scenario": request.scenario, "initial_context": request.initial_context},
            simulation_config=config.model_dump(exclude_unset=True),
            experiment_id=self._experiment.experiment_id,
            name=request.name,
            description=request.description,
            created_at=self.desk.moment(),
            seed=session_seed(self._seed, session_id) if config.seed is None else config.seed,
            parameters=WorkforceParameters(
                scenario=request.scenario,
                roles=agents,
                max_turns=config.max_turns,
                temperature=config.temperature,
                execution=config.execution,
                enable_memory=config.enable_memory,
                enable_analytics=config.enable_analytics,
                initial_context=request.initial_context,
                sends_seed=config.seed is not None,
                language_model=self._choice,
                budget=self._experiment.parameters.budget,
            ),
            log_sync=self._log_sync,
            software=software(),
        )
        return start_answer(await self.desk.begin(start))

    def _agents(self, wanted: Sequence[str] | None) -> tuple[Role, ...]:
        known = {role.role: role for role in self.roles}
        if wanted is None:
            return tuple(role for role in self.roles if role.is_active)
        for index, name in enumerate(wanted):
            if name not in known:
                raise problem(f"config.agents.{index}", f"There is no such role; there are {', '.join(known)}")
        return in_order(replace(known[name], is_active=True) for name in wanted)

    # A round

    async def next(self, request: NextRequest, key: str | None) -> RoundAnswer:
        """Play a round, or resume one that failed; return what the key was answered with before, if it was."""
        async with self._round(request, key, self.desk.moment()) as (opened, turn_number):
            answered = _answered(opened.look.state, turn_number)  # in a thread, while the index takes note
            await self.desk.keep(opened)
            return await answered

    async def play_round(self, request: NextRequest, key: str, moment: str) -> None:
        """Do what `next` does, at a `moment` of the world's time, for nobody who waits for an answer."""
        async with self._round(request, key, moment) as (opened, _):
            await self.desk.keep(opened)

    @asynccontextmanager
    async def _round(self, request: NextRequest, key: str | None, moment: str) -> AsyncIterator[tuple[Opened, int]]:
        """Have a round played, and yield its session and its number. To others it is in progress while the block runs:
        whoever asks at the same time is refused, however fast the model is.
        """
        asked = RoundRequested(
            moment=moment,
            user_input=request.user_input or None,
            focus_agents=tuple(request.focus_agents),
            context_override=request.context_override,
            key_sha256=key_sha256(key),
            request_sha256=asked_sha256(request),
        )
        async with self.desk.using(request.session_id) as opened:
            try:
                yield opened, await self._played(opened, asked)
            finally:
                if opened.answering is asked:
                    opened.answering = None

    async def _played(self, opened: Opened, asked: RoundRequested) -> int:
        """Return the number of the round that was asked for, once it is completed; raise RequestRefused."""
        state = opened.session.core.state
        known = _round_of(state, asked)
        if known is None or not (known.completed or known.is_in_progress):
            turn_number = state.current_turn + 1
            await self._play(opened, asked)
            return turn_number
        if known.is_in_progress:
            await opened.session.round_over()
        return known.started.turn_number

    async def _play(self, opened: Opened, asked: RoundRequested) -> None:
        core = opened.session.core
        objection = core.objection() or ("round_in_progress" if opened.answering else None)
        if objection:
            raise RequestRefused(objection, OBJECTIONS[objection])
        _refuse_strangers(core.state, asked)
        opened.answering = asked
        await opened.session.round(asked)
        failed = core.state.open.failed if core.state.open is not None else None
        if failed is not None:
            raise model_failure(failed)
        if core.state.end_reason == "error":
            raise RequestRefused("session_over", "The session broke off: its log says why.")

    # Looking

    async def state(self, session_id: str) -> StateAnswer:
        look = await self.desk.look(session_id)
        open_round = None
        if look.state.open is not None:
            open_round = await _answered(look.state, look.state.current_turn + 1, may_have_failed=True)
        return state_answer(look, open_round)

    async def rounds(self, session_id: str, limit: int, offset: int) -> RoundsAnswer:
        """Return rounds of a session, the first one after `offset` first; the open one comes last."""
        state = (await self.desk.look(session_id)).state
        total = len([*state.all_rounds()])
        table = table_of(state)
        wanted = [played(state, number) for number in range(1, total + 1)[offset : offset + limit]]
        turns = await asyncio.to_thread(lambda: [round_answer(table, one) for one in wanted])
        return RoundsAnswer(session_id=session_id, turns=turns, total=total)

    async def pause(self, session_id: str, *, pauses: bool) -> StatusAnswer:
        async with self.desk.using(session_id) as opened:
            _refuse_ended(opened.look)
            opened.session.receive(PauseRequested() if pauses else ContinueRequested())
            await self.desk.keep(opened)
            return StatusAnswer(session_id=session_id, status=start_answer(opened.look).status)

    # Memory

    async def memory(self, session_id: str, role: str | None) -> MemoryAnswer:
        state = (await self.desk.look(session_id)).state
        if role is not None and role not in {each.role for each in (*self.roles, *state.premises.roles)}:
            raise problem("agent_role", "There is no such role")
        return memory_answer(state, role, self.desk.moment())

    async def remember(self, session_id: str, request: MemoryRequest) -> MemoryEntry:
        async with self.desk.using(session_id) as opened:
            state = opened.session.core.state
            _refuse_ended(opened.look)
            if state.active(request.agent_role) is None:
                raise problem("agent_role", "There is no such role in this session")
            if not state.parameters.enable_memory:
                raise RequestRefused("memory_disabled", "This session was begun with enable_memory false.")
            opened.session.receive(_given(request, self.desk.moment()))
            entry = memory_entry(state.memories[f"memory-{state.memory_count}"])  # now: others write as well
            await self.desk.keep(opened)
            return entry

    async def forget(self, session_id: str) -> None:
        async with self.desk.using(session_id) as opened:
            _refuse_ended(opened.look)
            opened.session.receive(MemoriesForgotten())
            await self.desk.keep(opened)


def _round_of(state: WorkforceState, asked: RoundRequested) -> Round | None:
    """Return the round that the request's key was used for; raise RequestRefused if it was used for something else."""
    if asked.key_sha256 is None:
        return None
    known = next((each for each in state.all_rounds() if asked.key_sha256 in each.keys), None)
    if known is not None and known.started.request_sha256 != asked.request_sha256:
        raise RequestRefused("idempotency_conflict", "This Idempotency-Key was used for another request.")
    return known


def _refuse_strangers(state: WorkforceState, asked: RoundRequested) -> None:
    for index, name in enumerate(asked.focus_agents):
        if state.active(name) is None:
            active = ", ".join(role.role for role in state.premises.active_roles)
            raise problem(f"focus_agents.{index}", f"There is no such role at this table; there are {active}")


def _refuse_ended(look: Look) -> None:
    if look.state.end_reason is not None:
        code = "turn_limit" if look.state.end_reason == "max_turns" else "session_over"
        raise RequestRefused(code, OBJECTIONS[code])


def _answered(state: WorkforceState, turn_number: int, *, may_have_failed: bool = False) -> asyncio.Future[RoundAnswer]:
    """Return a round's answer, which is computed in a thread; raise RequestRefused if the round has failed."""
    one = played(state, turn_number)
    if one.round.failed is not None and not may_have_failed:
        raise model_failure(one.round.failed)
    return asyncio.get_running_loop().run_in_executor(None, round_answer, table_of(state), one)


def model_failure(failed: RoundFailed) -> RequestRefused:
    """Return the answer for a round that failed: what was answered is kept, and is not asked again."""
    is_passing = failed.reason in NOT_NOW
    return RequestRefused(
        "model_unavailable" if is_passing else "model_failed",
        f"The model gave no answer to {failed.agent_name} ({failed.reason}). What was answered is kept: ask for the "
        "same again, with the same Idempotency-Key if there was one, and the round goes on where it stopped.",
        details=[{"field": failed.agent_name, "message": failed.reason, "type": "model_failure"}],
        headers={"Retry-After": str(RETRY_AFTER_SECONDS)} if is_passing else None,
    )


def _given(request: MemoryRequest, moment: str) -> MemoryGiven:
    return MemoryGiven(
        agent_role=request.agent_role,
        memory_type=request.memory_type,
        key=request.key,
        content=request.content,
        importance=request.importance,
        created_at=moment,
        expires_at=None if request.ttl_hours is None else later(moment, request.ttl_hours),
    )
