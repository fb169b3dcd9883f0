"""Our fake provider on a real socket, and the adapters that speak with it through the real SDKs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from servers import STARTED_SECONDS, no_signals

from server.fakellm.app import Asking, Fake
from server.fakellm.serving import config_for
from server.listening import listening_socket
from simulation.generation import ChatMessage, GenerateRequest, Scene
from simulation.llm.endpoint import Adapter, Endpoint
from simulation.llm.registry import adapters_for

KEY = "secret-key-0123456789"
MODEL = "fake-small"
WIRES = ("gemini", "groq", "openai_compatible")


@dataclass
class FakeProvider:
    """`fake` is the switch and the memory of the server that listens on `port`."""

    fake: Fake
    port: int

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def endpoint(self, provider: str, key: str = KEY) -> Endpoint:
        return Endpoint(key, self.http + ("/v1" if provider == "openai_compatible" else ""))

    def settings(self, provider: str, key: str = KEY, model: str = MODEL) -> dict[str, Any]:
        """The server's settings under which its agents speak through this fake."""
        return {
            "llm_provider": provider,
            "llm_model": model,
            f"{provider}_api_key": key,
            f"{provider}_base_url": self.endpoint(provider).base_url,
        }

    @property
    def asked(self) -> list[Asking]:
        """What it was asked to generate."""
        return [asking for asking in self.fake.requests if asking.method == "POST"]

    async def until(self, condition: Any) -> None:
        """Wait until something has come or gone such that `condition()` holds."""
        async with asyncio.timeout(15), self.fake.changed:
            await self.fake.changed.wait_for(condition)


@asynccontextmanager
async def fake_provider() -> AsyncIterator[FakeProvider]:
    """Serve the fake on a free port while the block runs."""
    fake = Fake()
    listener = listening_socket("127.0.0.1", 0)
    server = uvicorn.Server(config_for(fake))
    server.capture_signals = no_signals  # type: ignore[method-assign]
    with listener:
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(server.serve(sockets=[listener]))
            async with asyncio.timeout(STARTED_SECONDS):
                while not server.started:
                    await asyncio.sleep(0.005)
            try:
                yield FakeProvider(fake, listener.getsockname()[1])
            finally:
                server.should_exit = True
                await serving


@asynccontextmanager
async def speaking(provider: FakeProvider, name: str, key: str = KEY) -> AsyncIterator[Adapter]:
    """Yield the real adapter of `name`, pointed at the fake."""
    made = await asyncio.to_thread(adapters_for, [name], {name: provider.endpoint(name, key)})
    try:
        yield made[name]
    finally:
        await made[name].close()


def request(user: str = "What now?", system: str = "You are Alice.", **details: Any) -> GenerateRequest:
    values: dict[str, Any] = {
        "session_id": "s",
        "turn_id": "turn-1",
        "messages": (ChatMessage("system", system), ChatMessage("user", user)),
        "scene": Scene(agent_name="Alice", members=("Alice", "Bob"), act="message", cause="background"),
    }
    return GenerateRequest(**(values | details))
