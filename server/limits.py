"""What this machine can carry."""

from __future__ import annotations

import contextlib
import sys

if sys.platform != "win32":
    import resource

DESCRIPTORS_PER_SESSION = 2
"""A socket and a log."""
DESCRIPTORS_RESERVED = 64
SHARE_USED = 0.8
WITHOUT_LIMIT = 10_000
"""Sessions where the system has no limit on descriptors, or does not tell."""


def raise_descriptor_limit() -> None:
    """Ask for as many open files as the system allows."""
    if sys.platform != "win32":
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with contextlib.suppress(ValueError, OSError):  # some systems name a limit that they do not grant
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def session_capacity() -> int:
    """Return how many sessions may run at once: beyond it new ones are refused, and running ones notice nothing."""
    if sys.platform == "win32":
        return WITHOUT_LIMIT
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return WITHOUT_LIMIT
    usable = int(soft * SHARE_USED) - DESCRIPTORS_RESERVED
    return max(1, min(usable // DESCRIPTORS_PER_SESSION, 100_000))
