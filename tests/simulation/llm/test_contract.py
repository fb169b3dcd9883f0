"""What every provider promises, whoever it is: the same tests for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from chatrooms import Chat, answered, started
from providers import MODEL, WIRES, fake_provider, request

from simulation.errors import GenerationError
from simulation.generation import GenerateRequest, Generation, LanguageModel, checked, status_of
from simulation.llm.budget import Ledger
from simulation.llm.pricing import PriceList
from simulation.llm.registry import PROVIDERS, Means, local_provider, wire_provider
from simulation.parameters import Budget, ModelChoice

STATUSES = {"ok", "empty", "blocked", "truncated", "length_cut"}
Break = Callable[[], Awaitable[None]]


@asynccontextmanager
async def providing(name: str, folder: Path) -> AsyncIterator[tuple[LanguageModel, Break]]:
    """Yield a session's model of this provider, and what makes the provider fail if anything does."""
    if name not in WIRES:
        (folder / "session.json").write_bytes(b"".join(recorded_session()))
        log = "session.json" if name == "recorded" else None
        provider = local_provider(ModelChoice(provider=name, log=log), folder)
        yield provider.for_session(started()), _nothing
        await provider.close()
        await provider.close()
        return
    async with fake_provider() as peer:
        choice = ModelChoice(provider=name, model=MODEL)
        start = started(language_model=choice)
        prices, ledger = PriceList("USD", "2026-11-24", {}), Ledger(Budget(), lambda: "2026-11-24")
        means = Means(prices, ledger, {name: peer.endpoint(name)})
        gateway = await asyncio.to_thread(wire_provider, [start.parameters], folder, means)

        async def fails() -> None:
            peer.fake.behaves("403")

        yield gateway.for_session(start), fails
        await gateway.close()
        await gateway.close()


async def _nothing() -> None:
    """It cannot fail."""


def recorded_session() -> list[bytes]:
    chat = Chat(user_response_probability=1, model=lambda _: answered("as it was said then"))
    chat.participant_posts("hello?")
    chat.runs_until(5)
    return chat.log()


@pytest.fixture(params=PROVIDERS)
async def provided(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[LanguageModel, Break]]:
    async with providing(request.param, tmp_path) as it:
        yield it


def asks() -> GenerateRequest:
    return request("Bob: what do you think?", turn_id="turn-1")


async def test_it_answers_with_text_that_a_log_can_hold(provided):
    model, _ = provided
    generation = checked(await model.generate(asks()))
    assert status_of(generation) == "ok"
    assert generation.text
    assert all(attempt.status == "ok" for attempt in generation.attempts)


async def test_it_says_what_it_is_called(provided):
    model, _ = provided
    assert model.provider in PROVIDERS
    assert model.model


async def test_it_does_not_change_what_it_is_asked(provided):
    model, _ = provided
    asked, before = asks(), asks()
    await model.generate(asked)
    assert asked == before


async def test_it_fails_with_a_generation_error_and_nothing_else(provided):
    model, breaks = provided
    await breaks()
    outcome: Generation | GenerationError
    try:
        outcome = await model.generate(asks())
    except GenerationError as error:
        outcome = error
    if isinstance(outcome, GenerationError):
        assert outcome.kind == "auth"
        assert [attempt.status for attempt in outcome.attempts] == ["auth"]
    else:
        assert status_of(outcome) in STATUSES


async def test_it_lets_go_when_nobody_waits_any_longer(provided):
    model, _ = provided
    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(model.generate(asks()))
        await asyncio.sleep(0)
        asking.cancel()
    assert asking.cancelled() or asking.done()
    assert checked(await model.generate(replace(asks(), turn_id="turn-1"))).text


async def test_it_answers_many_at_once(provided):
    model, _ = provided
    async with asyncio.TaskGroup() as tasks:
        asking = [tasks.create_task(model.generate(asks())) for _ in range(20)]
    assert {status_of(checked(task.result())) for task in asking} <= STATUSES


@pytest.mark.parametrize("wire", WIRES)
async def test_what_is_not_the_json_that_was_asked_for_is_asked_for_once_more_and_then_given_up(
    wire: str, tmp_path: Path
):
    schema = {"type": "object", "properties": {"mood": {"type": "string"}}, "required": ["mood"]}
    async with fake_provider() as peer:
        start = started(language_model=ModelChoice(provider=wire, model=MODEL))
        prices, ledger = PriceList("USD", "2026-11-24", {}), Ledger(Budget(), lambda: "2026-11-24")
        means = Means(prices, ledger, {wire: peer.endpoint(wire)})
        gateway = await asyncio.to_thread(wire_provider, [start.parameters], tmp_path, means)
        model = gateway.for_session(start)
        peer.fake.queue("ok", text="I am fine, thanks")
        peer.fake.queue("ok", text='{"mood": "fine"}')
        cured = await model.generate(request(schema=schema))
        peer.fake.behaves("ok", text="still fine")
        with pytest.raises(GenerationError) as raised:
            await model.generate(request(schema=schema))
        await gateway.close()
    assert [attempt.status for attempt in cured.attempts] == ["unparsable", "ok"]
    assert cured.text == '{"mood": "fine"}'
    assert raised.value.kind == "unparsable"
    assert [attempt.status for attempt in raised.value.attempts] == ["unparsable", "unparsable"]
    assert len(peer.asked) == 4
