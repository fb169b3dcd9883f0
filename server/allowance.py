"""How fast a participant may write: the generic cell rate algorithm (ITU-T I.371), a leaky bucket without a tick."""

from __future__ import annotations

from collections.abc import Callable

from simulation.parameters import MessageLimits

MOST_IGNORED = 100
"""So often a client may write on before the time that it was told."""


class Allowance:
    """One session's, whatever connection its participant has; `now` is monotonic, in seconds."""

    def __init__(self, limits: MessageLimits, now: Callable[[], float]) -> None:
        self._interval = 1 / limits.messages_per_second if limits.messages_per_second else 0.0
        self._burst_seconds = (limits.message_burst - 1) * self._interval
        self._now = now
        self._used_until = 0.0
        self._ignored = 0

    @property
    def is_ignored(self) -> bool:
        """Whether the client goes on and on writing before the time that it was told."""
        return self._ignored > MOST_IGNORED

    def take(self) -> float:
        """Return 0 and count one message, or the seconds until it may be sent again."""
        now = self._now()
        if self._used_until <= now:
            self._ignored = 0
        wait = self._wait(now)
        if wait > 0:
            self._ignored += 1
        else:
            self._ignored -= self._ignored > 0  # it was told once, and has waited
            self._count(now)
        return wait

    def reserve(self) -> float:
        """Count one message, and return the seconds after which its turn has come."""
        now = self._now()
        wait = self._wait(now)
        self._ignored = int(wait / self._interval) if wait else 0
        self._count(now)
        return wait

    def _wait(self, now: float) -> float:
        return max(0.0, self._used_until - self._burst_seconds - now)

    def _count(self, now: float) -> None:
        self._used_until = max(now, self._used_until) + self._interval
