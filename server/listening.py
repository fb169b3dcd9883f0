"""The listening socket, made by us: what uvicorn's own would not set."""

from __future__ import annotations

import errno
import socket

from server.errors import InvalidSettings

BACKLOG = 2048
UNACKNOWLEDGED_MILLISECONDS = 15_000
"""How long the system keeps a connection whose peer does not take what it is sent."""


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a bound socket; raise InvalidSettings if the address cannot be had."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InvalidSettings([f"HOST: {host!r} is no address of this machine ({reason})"]) from error
    # The protocol is named because asyncio sets TCP_NODELAY only where it is: without, every echo waits 40 ms.
    listener = socket.socket(family, kind, socket.IPPROTO_TCP)
    try:
        if hasattr(socket, "SO_REUSEADDR") and hasattr(socket, "AF_UNIX"):  # on Windows it means something else
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MILLISECONDS)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise InvalidSettings([_advice(host, port, error)]) from error
    return listener


def _advice(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"PORT: {port} is in use by another program. Try --port {port + 1}."
    if error.errno == errno.EACCES:
        return f"PORT: {port} needs rights that you do not have; take one above 1023."
    return f"HOST: cannot listen on {host} port {port} ({error.strerror})"
