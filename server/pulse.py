"""What a server looks at once a second: whether its loop is late, and whether the world's clock was set."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

from simulation.runtime.clock import Clock

logger = logging.getLogger("chatroom.pulse")

PULSE_SECONDS = 1.0
LATE_SECONDS = 1.0
"""Participants notice what is later than this."""
JUMP_SECONDS = 1.0
"""A clock that is put right a little at a time has not jumped."""


class Pulse:
    """`wall` is the world's time. `on_jump` is told by how many seconds it was set, `on_beat` by how many the loop was
    late.
    """

    def __init__(
        self,
        clock: Clock,
        wall: Callable[[], datetime],
        *,
        on_jump: Callable[[float], None],
        on_beat: Callable[[float], None],
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._on_jump = on_jump
        self._on_beat = on_beat

    async def run(self) -> None:
        offset = self._offset()
        while True:
            due = self._clock.monotonic() + PULSE_SECONDS
            await asyncio.sleep(PULSE_SECONDS)
            late = max(0.0, self._clock.monotonic() - due)
            if late > LATE_SECONDS:
                logger.warning("the event loop was %.1f seconds late: something held it up", late)
            before, offset = offset, self._offset()
            jump = offset - before
            if abs(jump) > JUMP_SECONDS:
                logger.warning("the world's clock was set by %+.1f seconds; sessions go by their own", jump)
                self._on_jump(jump)
            self._on_beat(late)

    def _offset(self) -> float:
        return self._wall().timestamp() - self._clock.monotonic()
