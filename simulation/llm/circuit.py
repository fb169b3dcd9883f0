"""Whether there is any point in asking: one circuit for all sessions that share a provider, a key and a model.

    closed ──(5 failures in a row; or a refused key, or a used-up quota)──► open ──(a probe is answered)──► closed

While it is open, every PROBE_SECONDS one call is let through as a probe, whether or not the one before has come back: a
provider that hangs would else keep us from noticing that it has recovered. A turn that has the time waits for the next
probe's moment, so that there is one to be made. A refused key opens the circuit for good: a storm of refused calls can
cost the whole project its access. A new key closes it. Once a probe is due, new sessions are let in again: their first
turn is the probe, or nobody would ever make one.
"""

from __future__ import annotations

import logging
import os
from math import inf

logger = logging.getLogger("chatroom.model")

FAILURES_IN_A_ROW = 5
PROBE_SECONDS = 10.0
"""Not 30, as the rule has it: agents are to speak within 35 s of a recovery, and a turn must be drawn and typed."""
QUOTA_PROBE_SECONDS = 300.0
"""Of a used-up quota."""

COUNTED = ("unavailable", "timeout", "bad_response", "rejected")
STOPPING = {"auth": inf, "quota_exhausted": QUOTA_PROBE_SECONDS}
"""What opens the circuit at once: seconds until a probe."""
KEEPS_OUT = (*STOPPING, "rejected")
"""What keeps new sessions out: whoever came now would meet nobody, and not for minutes only."""


PROBED = f"One call every {PROBE_SECONDS:g} s tries whether it is back."
ADVICE = {
    "auth": "The key was refused: nobody is asked and no session begins until there is a new one. "
    "Put it into .env, then kill -HUP {pid} (or start the server again).",
    "quota_exhausted": f"The quota is used up: no session begins, and one call every {QUOTA_PROBE_SECONDS / 60:g} "
    "minutes tries whether there is more.",
    "rejected": "No session begins. Is the model's name right, and does it know what language_model sets? "
    "`chatroom ask` and `chatroom models` tell.",
}


class Circuit:
    """Times are seconds on the event loop's clock."""

    def __init__(self, name: str) -> None:
        self.open_because: str | None = None
        self._name = name
        self._failures = 0
        self._opened_at = 0.0
        self._probe_at = 0.0

    def keeps_out(self, now: float) -> bool:
        """Whether new sessions are to wait."""
        return self.open_because in KEEPS_OUT and now < self._probe_at

    @property
    def is_final(self) -> bool:
        """Whether a call would be in vain until a new key or another day."""
        return self.open_because in STOPPING

    def admitted_at(self, now: float, latest: float) -> float | None:
        """Return when a call may be made: now, or as the next probe if that is not after `latest`; None: not at all."""
        if self.open_because is None or now >= self._probe_at:
            self._keep_probe(now)
            return now
        at = self._probe_at
        if at > latest:
            return None
        self._keep_probe(at)
        return at

    def _keep_probe(self, at: float) -> None:
        """The probe of this moment is taken; the next one comes later."""
        if self.open_because is not None:
            self._probe_at = at + STOPPING.get(self.open_because, PROBE_SECONDS)

    def opened_since(self, moment: float) -> bool:
        """Whether what was admitted at `moment` would now be in vain."""
        return self.open_because is not None and self._opened_at >= moment

    def succeeded(self, asked_at: float) -> None:
        """The provider answered, whatever it said. What was asked before a key was refused says nothing of the key."""
        if self.is_final and asked_at <= self._opened_at:
            return
        if self.open_because is not None:
            logger.warning("%s answers again (was: %s)", self._name, self.open_because)
        self._failures = 0
        self.open_because = None

    def failed(self, kind: str, message: str, now: float, retry_after: float | None = None) -> None:
        """Take note of a failure; those that say nothing of the next call change nothing."""
        if self.open_because == "auth":
            return
        if kind in STOPPING:
            self._open(kind, message, now, now + max(STOPPING[kind], retry_after or 0.0))
        elif kind in COUNTED:
            self._failures += 1
            if self._failures >= FAILURES_IN_A_ROW and not self.is_final:
                self._open(kind, message, now, now + PROBE_SECONDS)

    def _open(self, kind: str, message: str, now: float, probe_at: float) -> None:
        if self.open_because is None:
            self._probe_at = probe_at
        if self.open_because is None or (kind in KEEPS_OUT and kind != self.open_because):
            log = logger.error if kind in KEEPS_OUT else logger.warning
            log("%s: %s (%s). %s", self._name, kind, message, ADVICE.get(kind, PROBED).format(pid=os.getpid()))
            self._opened_at = now
        self.open_because = kind
        self._probe_at = max(self._probe_at, probe_at if self.is_final else 0.0)  # probes that are given out stay so
