"""How often an address may bring a token that lets nobody in, or a key that opens nothing.

Attempts that succeed never count: a classroom sits behind one address. Starts of one address are looked at one after
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
from limits.strategies import FixedWindowRateLimiter

from experiments.errors import UnknownCredential
from server.errors import RequestRefused

WINDOW_SECONDS = 60
ID_CHARACTERS = 36
IPV6_PREFIX = 64
"""Whoever has one IPv6 address has as many as they like; the network is theirs."""


class Failures:
    """`per_minute`: failures of one source in a minute; 0: no limit. A source is what `source_of` returns."""

    def __init__(self, per_minute: int) -> None:
        self._limit = RateLimitItemPerMinute(per_minute) if per_minute else None
        self._counted = FixedWindowRateLimiter(MemoryStorage())  # the moving window never forgets a source

    @property
    def are_limited(self) -> bool:
        return self._limit is not None

    def refuse_if_too_many(self, source: str, message: str) -> None:
        """Raise RequestRefused if one more would be too many."""
        if self._limit is not None and not self._counted.test(self._limit, source):
            raise RequestRefused("too_many_failures", message, headers={"Retry-After": str(WINDOW_SECONDS)})

    def count(self, source: str) -> None:
        if self._limit is not None:
            self._counted.hit(self._limit, source)


class Handshakes:
    """`per_minute`: sockets that may be opened for one session in a minute; 0: no limit."""

    def __init__(self, per_minute: int) -> None:
        self._limit = RateLimitItemPerMinute(per_minute) if per_minute else None
        self._counted = FixedWindowRateLimiter(MemoryStorage())  # the moving window never forgets a source

    def count(self, session_id: str) -> bool:
        """Count one; return whether it is one too many. What is longer than a session's id is none."""
        return self._limit is not None and not self._counted.hit(self._limit, session_id[:ID_CHARACTERS])


class FailedStarts:
    """`per_minute`: failed starts of one address in a minute; 0: no limit."""

    def __init__(self, per_minute: int) -> None:
        self._failures = Failures(per_minute)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def attempt(self, address: str) -> AsyncIterator[None]:
        """Let an attempt be made in the block; raise RequestRefused if there were too many that failed."""
        if not self._failures.are_limited:
            yield
            return
        source = source_of(address)
        turn = self._turns.setdefault(source, asyncio.Lock())
        async with turn:
            self._failures.refuse_if_too_many(source, "Too many codes were wrong. Please wait a minute and try again.")
            try:
                yield
            except UnknownCredential:
                self._failures.count(source)
                raise


def source_of(address: str) -> str:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    mapped = getattr(ip, "ipv4_mapped", None) or ip
    return str(mapped) if mapped.version == 4 else str(ipaddress.ip_network((mapped, IPV6_PREFIX), strict=False))
