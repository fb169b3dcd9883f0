"""A new key while sessions run: on SIGHUP the settings are read again, and the models asked with what they say."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Iterator

from server import models
from server.errors import InvalidSettings
from server.settings import ServerSettings, load_settings
from simulation.errors import GenerationError
from simulation.llm.endpoint import Endpoint
from simulation.llm.registry import NEEDED, Provider, adapters_for

logger = logging.getLogger("chatroom.model")


async def follow_keys(settings: ServerSettings, provider: Provider) -> None:
    """Take over other keys and addresses whenever SIGHUP comes, until cancelled."""
    asked, known = asyncio.Event(), models.endpoints(settings)
    with _on_hangup(asked):
        while True:
            await asked.wait()
            asked.clear()
            known = await take_keys(provider, known)


async def take_keys(provider: Provider, known: dict[str, Endpoint]) -> dict[str, Endpoint]:
    """Read the keys again and return them. What cannot be used is logged, and all stays as it was."""
    from simulation.llm.gateway import Gateway

    if not isinstance(provider, Gateway):
        logger.info("SIGHUP: the model needs no key")
        return known
    try:
        endpoints = models.endpoints(load_settings())
        names = provider.providers
        adapters = await asyncio.to_thread(adapters_for, names, endpoints)
    except (InvalidSettings, GenerationError) as error:
        logger.error("SIGHUP: the keys stay as they were: %s", error)
        return known
    await provider.use(adapters)
    for name in sorted(names):
        logger.warning("SIGHUP: %s: %s", name, _what_is_new(name, known.get(name), endpoints[name]))
    return endpoints


def _what_is_new(name: str, before: Endpoint | None, after: Endpoint) -> str:
    if before != after:
        return "another key or address is used from now on"
    overruled = NEEDED[name] in os.environ
    return "the same key as before" + (f": {NEEDED[name]} is set in the environment, which wins over .env" * overruled)


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
