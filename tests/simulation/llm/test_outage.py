"""Five minutes without the model, in virtual time: whole sessions, with the gateway's own deadlines and probes."""

from __future__ import annotations

import statistics
import uuid
from typing import NamedTuple

import pytest
from chatrooms import started
from lines import FIRST, Said, says
from lines import Peer as ScriptedPeer
from sessions import ListLog

from simulation.events import MessagePosted, ModelDegraded, ModelRecovered, SessionEnded
from simulation.inputs import ParticipantConnected
from simulation.llm.budget import Ledger
from simulation.llm.gateway import Gateway
from simulation.llm.line import Line
from simulation.llm.pricing import PriceList
from simulation.parameters import ActWeights, Budget, GatewayLimits, Timing
from simulation.runtime.clock import VirtualClock, run_in_virtual_time
from simulation.runtime.session import SimulationSession

AWAY, BACK = 100.0, 400.0
SESSIONS = 100
SOON_SECONDS = 35.0


class AwayForAWhile(ScriptedPeer):
    """A provider that hangs from AWAY to BACK; what it was asked then, it never answers."""

    def _said(self, number: int) -> Said:
        is_away = AWAY <= self.asked_at[-1] < BACK
        return Said(says().what, None) if is_away else says(f"that is what I think as well, number {number}", after=1.0)


class Outage(NamedTuple):
    spoke_at: list[float]
    health: list[str]
    ended_at: float
    calls_in_vain: int


async def session_through_an_outage(number: int) -> Outage:
    peer = AwayForAWhile()
    gateway = Gateway(
        {(FIRST.provider, FIRST.model): Line(peer, FIRST.model, GatewayLimits())},
        {},
        PriceList("USD", "2026-11-24", {}),
        Ledger(Budget(), lambda: "2026-11-24"),
    )
    start = started(
        seed=number,
        session_id=str(uuid.UUID(int=number, version=4)),
        messages_per_minute=6.0,
        timing=Timing(),
        act_weights=ActWeights(),
        language_model=FIRST,
    )
    log = ListLog()
    session = SimulationSession.begin(start, model=gateway.for_session(start), clock=VirtualClock(), log=log)
    session.receive(ParticipantConnected(1, True))
    await session.run()
    events = [record.event for record in log.records]
    return Outage(
        spoke_at=[event.elapsed for event in events if isinstance(event, MessagePosted)],
        health=[event.event_type for event in events if isinstance(event, ModelDegraded | ModelRecovered)],
        ended_at=next(event.elapsed for event in events if isinstance(event, SessionEnded)),
        calls_in_vain=sum(AWAY <= at < BACK for at in peer.asked_at),
    )


@pytest.fixture(scope="module")
def outages() -> list[Outage]:
    return [run_in_virtual_time(session_through_an_outage(number)) for number in range(SESSIONS)]


@pytest.mark.statistics
class TestFiveMinutesWithoutTheModel:
    def test_agents_are_quiet_from_soon_after_its_beginning_to_its_end(self, outages):
        for outage in outages:
            assert not [at for at in outage.spoke_at if AWAY + 30 < at < BACK]

    def test_the_session_ends_on_time(self, outages):
        assert {outage.ended_at for outage in outages} == {900.0}

    def test_an_agent_speaks_soon_after_it(self, outages):
        """As soon as a room of six messages a minute speaks at all: one in thirty gaps is longer than 35 s anyway."""
        waits = [min(at for at in outage.spoke_at if at > BACK) - BACK for outage in outages]
        assert statistics.median(waits) < 12
        assert sum(wait <= SOON_SECONDS for wait in waits) >= 0.95 * SESSIONS

    def test_the_log_says_so_once(self, outages):
        for outage in outages:
            assert outage.health == ["llm_degraded", "llm_recovered"]

    def test_the_provider_is_left_alone_but_for_a_probe_now_and_then(self, outages):
        assert max(outage.calls_in_vain for outage in outages) <= 40
