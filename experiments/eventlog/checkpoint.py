"""How old the sessions that go on are: what a log cannot say of a time in which nothing happened.

A log ends with the last thing that happened. If nothing did for a while, and then the server is killed, the session
would be that much younger afterwards. So the server writes down every other second how old each of its sessions is.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import orjson

logger = logging.getLogger("chatroom.eventlog")

CHECKPOINT_FILE = "checkpoint.json"


class Age(NamedTuple):
    """A session was `elapsed` seconds old at `moment` (wall time, RFC 3339 in UTC)."""

    elapsed: float
    moment: str


class Checkpoint:
    """`ages` are those that the last server wrote down, by session id."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / CHECKPOINT_FILE
        self.ages = _read(self._path)

    def write(self, ages: Mapping[str, Age]) -> None:
        """Replace what stands there, all at once; raise OSError if the disk refuses."""
        draft = self._path.with_suffix(".new")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(orjson.dumps({session_id: tuple(age) for session_id, age in ages.items()}))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)


def _read(path: Path) -> dict[str, Age]:
    """Read a checkpoint; one that cannot be read tells nothing, and the logs alone count."""
    try:
        found: dict[str, Any] = orjson.loads(path.read_bytes())
        return {session_id: _age(*each) for session_id, each in found.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        logger.warning("%s cannot be read (%s): sessions go on from their last records", path, error)
        return {}


def _age(elapsed: float, moment: str) -> Age:
    """Return an age as it was written; raise ValueError or TypeError for anything else."""
    if datetime.fromisoformat(moment).tzinfo is None:
        raise ValueError(f"{moment} is no moment in UTC")
    return Age(float(elapsed), moment)
