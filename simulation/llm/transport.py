"""Connections to a provider: one pool of aiohttp's, under the HTTP clients that the SDKs insist on.

Not the SDKs' own: a call through httpx costs several times what it costs through aiohttp (benchmarks, `models`), and
which transport google-genai takes otherwise depends on what else is installed and on the environment. Here the
environment has no say: no proxy, no redirect, no header of its own, no retry.

What goes wrong is told here, in our words, before an SDK can put it in its own: a connection that failed, a status
other than 200 (`failures`), more than anybody would say. So there is one place that knows, for both SDKs, and nothing
depends on how either reads a body that it did not expect.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

import aiohttp
import httpx2

from simulation.errors import GenerationError
from simulation.llm.failures import bad_response, failure_of

MAX_ANSWER_BYTES = 4 * 1024 * 1024
CONNECT_SECONDS = 10.0
BACKSTOP_SECONDS = 900.0
"""No deadline of the settings is later; this one is for a call that has none."""
IDLE_SECONDS = 30.0
SHORTEST_SECRET = 8
"""A key of fewer characters is a placeholder, and may be part of any word."""

JSON_HEADERS = {"content-type": "application/json"}
"""What an SDK is shown of an answer's headers: it needs no more, and a server's own may be no ASCII."""


class Answer(NamedTuple):
    """`headers` by lower-case name; `is_cut`: the connection ended before the body did."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_cut: bool


class Pool:
    """Connections that every call of an adapter shares. `secret` is kept out of whatever an error says.

    Made off the event loop (certificates take a while to read); opened on the loop of the first call.
    """

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._tls = httpx2.create_ssl_context(trust_env=False)
        self._session: aiohttp.ClientSession | None = None
        self._is_closed = False

    async def ask(self, method: str, url: str, headers: Mapping[str, str], content: bytes | None) -> bytes:
        """Return the body of a 200; raise GenerationError for everything else."""
        if self._is_closed:
            raise GenerationError("the connection was closed", kind="unavailable")
        try:
            answer = await self._exchange(method, url, headers, content)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            failure = _failure(error)
        else:
            return self._body(answer)
        raise failure  # out here, where the error is not its context: what that holds of the request has the key in it

    def _body(self, answer: Answer) -> bytes:
        if answer.status != 200:
            now = datetime.now(UTC)  # noqa: TID251  a date in Retry-After is the world's
            raise failure_of(answer.status, answer.headers, answer.body, at=now, hide=self._without_secret)
        if answer.is_cut:
            raise bad_response("the answer broke off")
        return answer.body

    async def _exchange(self, method: str, url: str, headers: Mapping[str, str], content: bytes | None) -> Answer:
        session = self._session or self._open()
        async with session.request(method, url, headers=headers, data=content, allow_redirects=False) as response:
            body, is_cut = bytearray(), False
            try:
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > MAX_ANSWER_BYTES:
                        response.close()
                        raise bad_response(f"more than {MAX_ANSWER_BYTES:,} bytes", response.status)
            except aiohttp.ClientPayloadError:
                is_cut = True
            lower = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status, lower, bytes(body), is_cut)

    def _open(self) -> aiohttp.ClientSession:
        # How many calls are under way is the gateway's to limit; a second queue would hide the wait from the log.
        connector = aiohttp.TCPConnector(limit=0, ssl=self._tls, keepalive_timeout=IDLE_SECONDS)
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=BACKSTOP_SECONDS, sock_connect=CONNECT_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Content-Type"),
            trust_env=False,
        )
        return self._session

    def _without_secret(self, text: str) -> str:
        """Some providers quote the key that they refuse."""
        return text.replace(self._secret, "[key]") if len(self._secret) >= SHORTEST_SECRET else text

    async def close(self) -> None:
        self._is_closed = True
        if self._session is not None:
            await self._session.close()


def _failure(error: Exception) -> GenerationError:
    if isinstance(error, aiohttp.ClientResponseError):
        return bad_response(f"no HTTP came back ({type(error).__name__})", None)
    return GenerationError(f"no connection ({_reason(error)})", kind=_kind(error))


def _kind(error: Exception) -> str:
    is_late = isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ConnectionTimeoutError)
    return "timeout" if is_late else "unavailable"


def _reason(error: Exception) -> str:
    """The error's name and the system's words for its number: its own have the address in them."""
    number = getattr(getattr(error, "os_error", error), "errno", None)
    name = type(error).__name__
    return f"{name}: {os.strerror(number)}" if isinstance(number, int) and number > 0 else name
