"""Connections to a provider: one pool of aiohttp's, under the HTTP clients that the SDKs insist on.

Why not the SDKs' own: a call through httpx costs several times what it costs through aiohttp (benchmarks, `llm`), and
which transport google-genai takes otherwise depends on what else is installed and on the environment. Here the
environment has no say: no proxy, no redirect, no header of its own, no retry.

What goes wrong is told here, in our words, before an SDK can put it in its own: a connection that failed, a status
other than 200 (`failures`), more than anybody would say. So there is one place that knows, for both SDKs, and nothing
depends on how either reads a body that it did not expect.
"""

from __future__ import annotations

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


class Answer(NamedTuple):
    """`headers` by lower-case name."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Pool:
    """Connections that every call of an adapter shares. `secret` is kept out of whatever an error says.

    Made off the event loop (certificates take a while to read); opened on the loop of the first call.
    """

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._tls = httpx2.create_ssl_context(trust_env=False)
        self._session: aiohttp.ClientSession | None = None
        self._is_closed = False

    async def ask(self, method: str, url: str, headers: Mapping[str, str], content: bytes | None) -> Answer:
        """Return a 200's answer; raise GenerationError for everything else."""
        if self._is_closed:
            raise GenerationError("the connection was closed", kind="unavailable")
        try:
            answer = await self._exchange(method, url, headers, content)
        except GenerationError as error:
            raise self._without_secret(error) from None
        except (aiohttp.ClientPayloadError, aiohttp.ClientResponseError) as error:
            raise bad_response(f"the answer broke off or is no HTTP ({type(error).__name__})") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise GenerationError(f"no connection ({_reason(error)})", kind=_kind(error)) from error
        if answer.status != 200:
            failure = failure_of(answer.status, answer.headers, answer.body, at=datetime.now(UTC))  # noqa: TID251  a date in Retry-After is the world's
            raise self._without_secret(failure)
        return answer

    async def _exchange(self, method: str, url: str, headers: Mapping[str, str], content: bytes | None) -> Answer:
        session = self._session or self._open()
        async with session.request(method, url, headers=headers, data=content, allow_redirects=False) as response:
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    response.close()
                    raise bad_response(f"more than {MAX_ANSWER_BYTES:,} bytes", response.status)
            return Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, bytes(body))

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

    def _without_secret(self, error: GenerationError) -> GenerationError:
        """Some providers quote the key that they refuse."""
        if self._secret and self._secret in str(error):
            error.args = (str(error).replace(self._secret, "[key]"),)
        return error

    async def close(self) -> None:
        self._is_closed = True
        if self._session is not None:
            await self._session.close()


def _kind(error: Exception) -> str:
    is_late = isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ConnectionTimeoutError)
    return "timeout" if is_late else "unavailable"


def _reason(error: Exception) -> str:
    """The error's name and the system's word for it: an address has no business in a log."""
    cause = getattr(error, "os_error", error)
    said = getattr(cause, "strerror", None)
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def unpacked(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of a body that is unpacked already: for whoever builds an SDK's response."""
    return {name: value for name, value in headers.items() if name not in _OF_THE_PACKING}


_OF_THE_PACKING = ("content-encoding", "transfer-encoding", "content-length")
