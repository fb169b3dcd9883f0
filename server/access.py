"""Who may see the researcher's side: whoever has the key; without one, whoever sits at this machine.

Browsers ask for the key by themselves where it is missing (HTTP Basic, any user name); scripts send it as a bearer.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import re

from pydantic import SecretStr
from starlette.requests import HTTPConnection, Request

from server.attempts import Failures, source_of
from server.errors import RequestRefused
from server.security import origin_is_allowed

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::[0-9]{1,5})?")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
PROXY_HEADERS = frozenset({"cf-connecting-ip", "forwarded", "true-client-ip", "via", "x-client-ip", "x-real-ip"})
FORWARDED_PREFIX = "x-forwarded-"
BASIC = 'Basic realm="researcher", charset="UTF-8"'
BEARER = "Bearer"


def require_researcher(request: Request) -> None:
    """Raise RequestRefused unless whoever asks is a researcher: 401, 403 for another site's page, 429 for guessing.

    A right key opens always, so that nobody can lock researchers out of their study from a shared address.
    """
    if request.method not in SAFE_METHODS and not origin_is_allowed(request):
        raise RequestRefused("origin_not_allowed", "Another site's page may change nothing here (ALLOWED_ORIGINS).")
    key: SecretStr | None = request.state.settings.researcher_key
    if key is None:
        _refuse_other_machines(request)
    else:
        _refuse_other_keys(request, key.get_secret_value())


def _refuse_other_machines(request: Request) -> None:
    """Without a key the system's own accounts are the only guard there is."""
    if not _comes_from_this_machine(request):
        raise RequestRefused(
            "unauthorized",
            "Without a key this opens on the server's own machine alone. Set RESEARCHER_KEY to open it from others.",
            headers={"WWW-Authenticate": BEARER},  # no prompt for a key that does not exist
        )


def _refuse_other_keys(request: Request, key: str) -> None:
    given = request.headers.get("authorization")
    if given is not None and hmac.compare_digest(_key_in(given), key.encode()):
        return
    if given is not None:
        failures: Failures = request.state.failed_keys
        source = source_of(request.client.host if request.client else "")
        failures.refuse_if_too_many(source, "Too many keys were wrong. Please wait a minute and try again.")
        failures.count(source)
    is_browser = "text/html" in request.headers.get("accept", "")
    raise RequestRefused(
        "unauthorized",
        "The researcher's key is needed: as bearer, or as the password of any user.",
        headers={"WWW-Authenticate": BASIC if is_browser else BEARER},
    )


def _key_in(authorization: str) -> bytes:
    """Return the key that a header carries, as it was sent; nothing if it carries none."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip().encode("latin-1")  # as headers are read: any byte
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(value.strip(), validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):  # ValueError: no ASCII
        return b""


def _comes_from_this_machine(connection: HTTPConnection) -> bool:
    """Whether both ends are here, and nobody stands between who speaks for the world."""
    if any(name in PROXY_HEADERS or name.startswith(FORWARDED_PREFIX) for name in connection.headers):
        return False
    server, client = connection.scope.get("server"), connection.client
    host = connection.headers.get("host", "")
    return (
        server is not None
        and client is not None
        and _is_loopback(server[0])
        and _is_loopback(client.host)
        and _is_loopback_name(host)  # else a page elsewhere whose name leads here (DNS rebinding)
    )


def _is_loopback_name(host: str) -> bool:
    written = _HOST.fullmatch(host)
    if written is None:
        return False
    name = written[1]
    return name.lower() == "localhost" or _is_loopback(name)


def _is_loopback(address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address.strip("[]"))
    except ValueError:
        return False
    return (getattr(ip, "ipv4_mapped", None) or ip).is_loopback
