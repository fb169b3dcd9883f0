"""How often an address may bring a token that lets nobody in.

Starts that succeed never count: a classroom sits behind one address. Attempts of one address are looked at one after
the other, or a thousand at once would all be looked at before the first has failed.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from experiments.errors import UnknownCredential
from server.errors import RequestRefused

WINDOW_SECONDS = 60
IPV6_PREFIX = 64
"""Whoever has one IPv6 address has as many as they like; the network is theirs."""


class FailedStarts:
    """`per_minute`: failed starts of one address in a minute; 0: no limit."""

    def __init__(self, per_minute: int) -> None:
        self._limit = RateLimitItemPerMinute(per_minute) if per_minute else None
        self._failures = MovingWindowRateLimiter(MemoryStorage())
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def attempt(self, address: str) -> AsyncIterator[None]:
        """Let an attempt be made in the block; raise RequestRefused if there were too many that failed."""
        if self._limit is None:
            yield
            return
        source = _source(address)
        turn = self._turns.setdefault(source, asyncio.Lock())
        async with turn:
            if not self._failures.test(self._limit, source):
                raise RequestRefused(
                    "too_many_failures",
                    "Too many codes were wrong. Please wait a minute and try again.",
                    headers={"Retry-After": str(WINDOW_SECONDS)},
                )
            try:
                yield
            except UnknownCredential:
                self._failures.hit(self._limit, source)
                raise


def _source(address: str) -> str:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    mapped = getattr(ip, "ipv4_mapped", None) or ip
    return str(mapped) if mapped.version == 4 else str(ipaddress.ip_network((mapped, IPV6_PREFIX), strict=False))
