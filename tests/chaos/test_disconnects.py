"""Lines that break, in every way that lines break: nothing is lost, nothing comes twice."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

from checker import assert_all_holds
from deployment import Deployment, settle
from history import Client, staying, writing
from participants import Participant, ours, plain, start
from proxy import Line, Proxy
from servers import Server
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from simulation.events import ParticipantArrived, ParticipantLost

FLOOD = {"messages_per_minute": 600, "user_response_probability": 1, "num_agents": 8}
NAMES = ["Alice", "Bob", "Charlie", "Diana", "Eve", "Frank", "Grace", "Heidi"]
WRITES_EVERY_SECONDS = 0.05
SILENCE_SECONDS = 0.7
"""In a flood, so long a silence says enough."""
MOMENT_SECONDS = (0.05, 0.4)
STALL_SECONDS = 0.3
LATE_SECONDS = 0.3
"""What the server has to hear of a death."""


async def stall_and_cut(line: Line) -> None:
    line.stall(*random.choice([(), ("client",), ("server",)]))
    await asyncio.sleep(STALL_SECONDS)
    line.cut(reset=True)


async def cut_politely(line: Line) -> None:
    line.cut()


async def reset(line: Line) -> None:
    line.cut(reset=True)


async def client_is_dead(line: Line) -> None:
    line.half_open("client")


async def server_is_dead(line: Line) -> None:
    line.half_open("server")


WAYS = (cut_politely, reset, stall_and_cut, client_is_dead, server_is_dead)


async def test_nothing_is_lost_or_doubled_over_a_line_that_breaks_again_and_again(tmp_path: Path, extent, report):
    breaks, sessions = extent(5, 50), extent(2, 4)
    settle(tmp_path, agent_names=NAMES, **FLOOD)
    async with Deployment(tmp_path) as deployed, Proxy(deployed.server.port, delay=0.002) as proxy:
        clients = [
            await deployed.joined(address=proxy.ws, in_flight=20, silence_seconds=SILENCE_SECONDS)
            for _ in range(sessions)
        ]
        began = time.monotonic()
        async with staying(*clients):
            async with writing(clients, WRITES_EVERY_SECONDS):
                await breaks_down(proxy, clients, breaks * sessions)
            seconds = time.monotonic() - began
            for client in clients:
                await client.leaves()
        for client in clients:
            assert_all_holds(deployed.log(client), client.history)
            assert client.history.acknowledged.keys() == client.history.sent_ids
    shown = sum(len(client.history.transcript) for client in clients)
    lost = sum(len(client.history.all("closes")) + len(client.history.all("gives up")) for client in clients)
    report(sessions=sessions, disconnects=lost, messages_a_second_of_each_session=shown / seconds / sessions)
    assert lost >= breaks * sessions


async def breaks_down(proxy: Proxy, clients: list[Client], times: int) -> None:
    """Break one of the lines that are in use, so many times, in all ways by turns."""
    for way, _ in zip(cycle(WAYS), range(times), strict=False):
        client = random.choice(clients)
        await asyncio.sleep(random.uniform(*MOMENT_SECONDS))
        await client.until(lambda client=client: client.port)
        opened = len(client.history.all("opens"))
        await way(proxy.line_from(client.port))
        await client.until(lambda client=client, opened=opened: len(client.history.all("opens")) > opened)


async def test_one_id_sent_a_hundred_times_over_five_sockets_at_once_is_one_message(tmp_path: Path, extent, report):
    settle(tmp_path)
    echoes = 0
    async with Deployment(tmp_path) as deployed:
        for _ in range(extent(3, 100)):
            session_id = await start(deployed.server)
            echoes += await sent_a_hundred_times(deployed, session_id)
    report(echoes_in_all=echoes)


async def sent_a_hundred_times(deployed: Deployment, session_id: str) -> int:
    """Send one message 20 times over each of 5 sockets; return how many echoes came, all of them the same."""
    frames = [{"type": "hello"}] + 20 * [{"type": "user_message", "content": "once", "client_message_id": "the id"}]
    got: list[str] = []

    async def sends() -> None:
        async with connect(f"{deployed.server.ws}/ws/{session_id}", subprotocols=["chatroom.v1"], proxy=None) as socket:
            await all_open.wait()
            try:
                for frame in frames:
                    await socket.send(json.dumps(frame))
                    await asyncio.sleep(random.uniform(0, 0.01))
                async with asyncio.timeout(0.4):
                    while True:
                        got.append(await socket.recv())
            except (ConnectionClosed, TimeoutError):
                return

    all_open = asyncio.Barrier(5)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(5):
            tasks.create_task(sends())
    echoes = [frame for frame in got if json.loads(frame)["type"] == "message"]
    assert len(set(echoes)) == 1, "every echo is the same"
    async with ours(deployed.server, session_id) as participant:
        echo = await participant.expects_echo("once")
        assert echo == json.loads(echoes[0])
        assert (await participant.expects("backlog_end"))["position"] == 1
        assert echo["position"] == 1
    return len(echoes)


async def test_the_newest_connection_wins_and_the_late_death_of_the_older_changes_nothing(tmp_path: Path):
    settle(tmp_path)
    async with Deployment(tmp_path) as deployed, Proxy(deployed.server.port) as proxy:
        for older_speaks in (ours, plain):
            await is_replaced(deployed, proxy, older_speaks)


async def is_replaced(deployed: Deployment, proxy: Proxy, older_speaks: Callable[..., Any]) -> None:
    session_id = await start(deployed.server)
    newer = Client(deployed.server.ws, session_id)
    behind_the_proxy = Server(proxy.port, deployed.server.log_dir)
    async with older_speaks(behind_the_proxy, session_id) as older:
        line = proxy.lines[-1]
        line.stall("client")  # whatever the older says from here on, its goodbye too, comes late
        async with staying(newer):
            assert await told_code(older) == 4409
            newer.says("it is me now")
            await newer.all_acknowledged()
            line.flow()
            line.cut(reset=True)
            newer.says("and now")
            await newer.all_acknowledged()
            await asyncio.sleep(LATE_SECONDS)
            events = [record.event for record in deployed.server.log_of(session_id)]
            assert [e.connection for e in events if isinstance(e, ParticipantArrived)] == [1, 2]
            assert not [e for e in events if isinstance(e, ParticipantLost)]
            await newer.leaves()
    assert newer.history.close_codes.keys() <= {1000}
    assert_all_holds(deployed.log(newer), newer.history)


async def told_code(participant: Participant) -> int:
    """Return the code that came with the server's goodbye, without waiting for the line's end."""
    async with asyncio.timeout(10):
        while (goodbye := participant.socket.protocol.close_rcvd) is None:
            await asyncio.sleep(0.01)
    return goodbye.code
