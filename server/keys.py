"""A new key while sessions run: on SIGHUP the settings are read again, and the models asked with what they say."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Iterator

from server import models
from server.errors import InvalidSettings
from server.settings import load_settings
from simulation.errors import GenerationError
from simulation.llm.registry import Provider, adapters_for

logger = logging.getLogger("chatroom.model")


async def follow_keys(provider: Provider) -> None:
    """Take over other keys and addresses whenever SIGHUP comes, until cancelled."""
    asked = asyncio.Event()
    with _on_hangup(asked):
        while True:
            await asked.wait()
            asked.clear()
            await take_keys(provider)


async def take_keys(provider: Provider) -> None:
    """Read the keys again. What cannot be used is logged, and all stays as it was."""
    from simulation.llm.gateway import Gateway

    if not isinstance(provider, Gateway):
        logger.info("SIGHUP: the model needs no key")
        return
    try:
        endpoints = models.endpoints(load_settings())
        names = provider.providers
        adapters = await asyncio.to_thread(adapters_for, names, endpoints)
    except (InvalidSettings, GenerationError) as error:
        logger.error("SIGHUP: the keys stay as they were: %s", error)
        return
    await provider.use(adapters)
    logger.warning("SIGHUP: keys read again for %s", ", ".join(sorted(names)))


@contextlib.contextmanager
def _on_hangup(asked: asyncio.Event) -> Iterator[None]:
    """Set `asked` on SIGHUP, where there is such a signal and this is the thread that gets it."""
    loop = asyncio.get_running_loop()
    hangup = getattr(signal, "SIGHUP", None)
    try:
        if hangup is not None:
            loop.add_signal_handler(hangup, asked.set)
    except (NotImplementedError, RuntimeError, ValueError):
        hangup = None
    try:
        yield
    finally:
        if hangup is not None:
            loop.remove_signal_handler(hangup)
