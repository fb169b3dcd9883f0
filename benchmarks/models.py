"""What asking a model costs, and what a server that asks can hold: `python -m benchmarks models`.

The provider answers from another process with fixed words, at once or after half a second; the SDKs, our adapters and
the gateway are the real ones.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import statistics
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import groq
import httpx2
import uvloop
from google import genai
from google.genai import types

from benchmarks.load import join_many, leave, pace
from benchmarks.processes import LOAD_CORE, ROOT, SERVER_CORE, Measured, ours, provider, resident_kib, write_settings
from benchmarks.provider import MODELS
from benchmarks.report import Report, percentile
from experiments.experiment import Experiment, load_experiment
from experiments.rehearsal import rehearsal_start
from server import models as server_models
from server.serving import calm_garbage_collector
from server.settings import ServerSettings
from simulation.generation import ChatMessage, GenerateRequest, LanguageModel, Scene
from simulation.llm.registry import adapters_for
from simulation.llm.transport import Pool

ROUNDS = 3
CALLS = 300
IN_FLIGHT = (1, 20)
CALLS_REMEMBERED = (500, 5000)
MODEL_SECONDS = 0.5
MESSAGE_EVERY_SECONDS = 10.0
HELD = {100: ("gemini",), 500: ("gemini",), 1000: ("gemini", "groq"), 2000: ("gemini",)}
HOLD_SECONDS = 10.0
HANG_SECONDS = 18.0
"""Longer than an attempt may take: what happens when hundreds of calls run out of time at once is within it."""
MAX_OUTPUT_TOKENS = 2048
KEY = "a-key-that-opens-nothing"

TEMPLATE = str(json.loads((ROOT / "config/experimental_settings.json").read_text())["prompt_template"])
SYSTEM = f"You are Alice, one of the members of a group chat. The others are Bob, Charlie, Diana and Eve.\n\n{TEMPLATE}"
LINES = "\n".join(f"Bob: Is it me or have the bins not been emptied for {weeks} weeks?" for weeks in range(10))
USER = f"The latest messages in the group:\n\n<messages>\n{LINES}\n</messages>\n\nWrite the next message of Alice's."
REQUEST = GenerateRequest(
    session_id="s",
    turn_id="turn-1",
    messages=(ChatMessage("system", SYSTEM), ChatMessage("user", USER)),
    scene=Scene(agent_name="Alice", members=("Alice", "Bob"), act="message", cause="background"),
    parameters={"max_output_tokens": MAX_OUTPUT_TOKENS},
)

Ask = Callable[[], Awaitable[object]]


def models(report: Report) -> None:
    cost(report)
    memory(report)
    held(report)
    saturated(report)


def settings_for(name: str, port: int) -> dict[str, str]:
    """The server's settings under which its agents speak through our provider."""
    path = "/v1" if name == "openai_compatible" else ""
    return {
        "llm_provider": name,
        "llm_model": MODELS[name],
        f"{name}_api_key": KEY,
        f"{name}_base_url": f"http://127.0.0.1:{port}{path}",
    }


# What a call costs


class Asked(NamedTuple):
    """The ways to ask the same thing."""

    bare: Ask
    adapter: Ask
    gateway: Ask
    sdk: Ask | None


def cost(report: Report) -> None:
    calm_garbage_collector()
    with provider(core=SERVER_CORE) as peer:
        for name in MODELS:
            costs = uvloop.run(_costs(name, peer.port))
            for in_flight, (bare, adapter, gateway, sdk) in zip(IN_FLIGHT, costs, strict=True):
                what = f"CPU of a call through {name}, {in_flight} in flight"
                report.add(f"{what}, against bare aiohttp", bare, adapter, "ms", "-")
                if sdk:
                    report.add(f"{what}, against the SDK as it comes", sdk, adapter, "ms", "0.5x")
                report.add(f"{what}, with the gateway, against without", adapter, gateway, "ms", "1.25x")


async def _costs(name: str, port: int) -> list[list[float]]:
    """Milliseconds of this process's CPU for a call, in each way of `Asked`, for each number in flight."""
    async with _ways_to_ask(name, port) as ways:
        for ask in filter(None, ways):
            await _repeat(ask, 100, 20)
        return [
            [statistics.median(each) for each in zip(*[await _round(ways, n) for _ in range(ROUNDS)], strict=True)]
            for n in IN_FLIGHT
        ]


async def _round(ways: Asked, in_flight: int) -> list[float]:
    return [await _cost(ask, in_flight) if ask else 0.0 for ask in ways]


async def _cost(ask: Ask, in_flight: int) -> float:
    before = time.process_time()
    await _repeat(ask, CALLS, in_flight)
    return (time.process_time() - before) / CALLS * 1000


async def _repeat(ask: Ask, times: int, in_flight: int) -> None:
    async def some() -> None:
        for _ in range(times // in_flight):
            await ask()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(in_flight):
            tasks.create_task(some())


@asynccontextmanager
async def _ways_to_ask(name: str, port: int) -> AsyncIterator[Asked]:
    async with AsyncExitStack() as closing:
        settings = ServerSettings(_env_file=None, **settings_for(name, port))  # type: ignore[arg-type]
        adapter = adapters_for([name], server_models.endpoints(settings))[name]
        closing.push_async_callback(adapter.close)
        pool = Pool(KEY)
        closing.push_async_callback(pool.close)
        alone = adapter.model(MODELS[name])
        gateway = await closing.enter_async_context(_gateway(settings))
        yield Asked(
            bare=_bare_gemini(pool, port) if name == "gemini" else _bare_chat(pool, port),
            adapter=lambda: alone.generate(REQUEST),
            gateway=lambda: gateway.generate(REQUEST),
            sdk={"gemini": _gemini_sdk, "groq": _groq_sdk}[name](closing, port) if name in ("gemini", "groq") else None,
        )


@asynccontextmanager
async def _gateway(settings: ServerSettings) -> AsyncIterator[LanguageModel]:
    """The model that a session of our server would be given."""
    with tempfile.TemporaryDirectory() as folder:
        experiment = _experiment(Path(folder), settings)
        gateway = server_models.provider(settings, experiment)
        yield gateway.for_session(rehearsal_start(experiment, experiment.first, 1, 0))
        await gateway.close()


def _experiment(folder: Path, settings: ServerSettings) -> Experiment:
    write_settings(folder)
    return server_models.settled(settings, load_experiment(folder)).experiment


def _bare_gemini(pool: Pool, port: int) -> Ask:
    body = {
        "contents": [{"role": "user", "parts": [{"text": USER}]}],
        "systemInstruction": {"parts": [{"text": SYSTEM}]},
        "generationConfig": {"maxOutputTokens": MAX_OUTPUT_TOKENS},
    }
    url = f"http://127.0.0.1:{port}/v1/models/{MODELS['gemini']}:generateContent"
    return _bare(pool, url, {"x-goog-api-key": KEY}, body)


def _bare_chat(pool: Pool, port: int) -> Ask:
    body = {"model": MODELS["groq"], "messages": _messages(), "max_completion_tokens": MAX_OUTPUT_TOKENS}
    url = f"http://127.0.0.1:{port}/openai/v1/chat/completions"
    return _bare(pool, url, {"authorization": f"Bearer {KEY}"}, body)


def _bare(pool: Pool, url: str, headers: Mapping[str, str], body: object) -> Ask:
    async def ask() -> object:
        content = json.dumps(body).encode()
        answer = await pool.ask("POST", url, {**headers, "content-type": "application/json"}, content)
        return json.loads(answer)

    return ask


def _gemini_sdk(closing: AsyncExitStack, port: int) -> Ask:
    client = genai.Client(
        api_key=KEY,
        http_options=types.HttpOptions(
            base_url=f"http://127.0.0.1:{port}",
            api_version="v1",
            httpx_async_client=httpx2.AsyncClient(),  # its own choice, where aiohttp is not installed
        ),
    )
    closing.push_async_callback(client.aio.aclose)
    config = types.GenerateContentConfig(system_instruction=SYSTEM, max_output_tokens=MAX_OUTPUT_TOKENS)

    async def ask() -> object:
        answer = await client.aio.models.generate_content(model=MODELS["gemini"], contents=USER, config=config)
        return answer.text

    return ask


def _groq_sdk(closing: AsyncExitStack, port: int) -> Ask:
    client = groq.AsyncGroq(api_key=KEY, base_url=f"http://127.0.0.1:{port}")
    closing.push_async_callback(client.close)

    async def ask() -> object:
        answer = await client.chat.completions.create(
            model=MODELS["groq"],
            messages=_messages(),  # type: ignore[arg-type]
            max_completion_tokens=MAX_OUTPUT_TOKENS,
        )
        return answer.choices[0].message.content

    return ask


def _messages() -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in REQUEST.messages]


# What is left of a call


def memory(report: Report) -> None:
    with provider(core=SERVER_CORE) as peer:
        for name in MODELS:
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
                before, some, many = process.submit(memory_after_calls, name, peer.port).result()
            report.add(f"memory after 500 calls through {name}, against before", before, some, "MiB", "-")
            report.add(f"memory after 5,000 calls through {name}, against after 500", some, many, "MiB", "1.05x")


def memory_after_calls(name: str, port: int) -> list[float]:
    """MiB that this process takes before its first call, and after each number of them."""
    calm_garbage_collector()
    settings = ServerSettings(_env_file=None, **settings_for(name, port))  # type: ignore[arg-type]

    async def run() -> list[float]:
        async with _gateway(settings) as model:
            taken, made = [_own_mib()], 0
            for calls in CALLS_REMEMBERED:
                await _repeat(lambda: model.generate(REQUEST), calls - made, 20)
                made = calls
                taken.append(_own_mib())
            return taken

    return uvloop.run(run())


def _own_mib() -> float:
    return resident_kib(os.getpid()) / 1024


# What a server holds


class Held(NamedTuple):
    """Echoes in milliseconds, the server's CPU and its wait for its core in percent, calls a second."""

    p50: float
    p99: float
    cpu: float
    waited: float
    calls: float


def held(report: Report) -> None:
    for count, names in HELD.items():
        scripted = hold("scripted", count)
        for name in names:
            asking = hold(name, count)
            what = f"{count:,} sessions asking {name}, against the scripted model"
            report.add(f"echo p50, {what}", scripted.p50, asking.p50, "ms", "-")
            report.add(f"echo p99, {what}", scripted.p99, asking.p99, "ms", "100 ms" if count <= 1000 else "-")
            report.add(f"the server's CPU, {what}", scripted.cpu, asking.cpu, "%", "-")
            report.add(f"calls, {count:,} sessions asking {name}", 0, asking.calls, "/s", "-")
            report.add(f"core taken by others, {what}", scripted.waited, asking.waited, "%", "5 %, else read no p99")


def saturated(report: Report) -> None:
    usual = hold("gemini", 500, HANG_SECONDS)
    hangs = hold("gemini", 500, HANG_SECONDS, model_seconds=float("inf"))
    queue = hold("gemini", 500, HANG_SECONDS, language_model={"calls_in_flight": 4})
    what = "echo p99 of 500 sessions while"
    report.add(f"{what} the provider hangs, against one that answers", usual.p99, hangs.p99, "ms", "2x or 10 ms")
    report.add(f"{what} all but 4 calls wait, against no wait", usual.p99, queue.p99, "ms", "2x or 10 ms")


def hold(
    name: str, count: int, seconds: float = HOLD_SECONDS, *, model_seconds: float = MODEL_SECONDS, **changes: Any
) -> Held:
    """The echo of `count` participants who write every ten seconds to agents who post six times a minute."""
    with provider(core=LOAD_CORE, seconds=model_seconds) as peer:
        settings = {"llm_provider": name} if name == "scripted" else settings_for(name, peer.port)
        room: dict[str, Any] = {"prompt_template": TEMPLATE, "messages_per_minute": 6, "user_response_probability": 0.7}
        variables = {key.upper(): value for key, value in settings.items()}
        with ours(sync="fsync", environment=variables, **room, **changes) as server:
            return asyncio.run(_hold(server, peer, count, seconds))


async def _hold(server: Measured, peer: Measured, count: int, seconds: float) -> Held:
    def used() -> list[float]:
        return [time.perf_counter(), server.cpu_seconds(), server.waiting_seconds(), _calls(peer)]

    clients = await join_many(server.port, count, speaks_ours=True)
    before = used()
    round_trips = await pace(clients, seconds, every=MESSAGE_EVERY_SECONDS)
    passed, cpu, waited, calls = (after - then for after, then in zip(used(), before, strict=True))
    await leave(clients)
    p50, p99 = (percentile(round_trips, share) * 1000 for share in (0.5, 0.99))
    return Held(p50, p99, cpu / passed * 100, waited / passed * 100, calls / passed)


def _calls(peer: Measured) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{peer.port}/") as answer:
        return int(json.load(answer)["calls"])
