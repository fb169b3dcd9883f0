"""Folders that the server writes into."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TextIO

from server.errors import InvalidSettings

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK_FILE = "lock"


def prepare(variable: str, path: Path, why: str) -> None:
    """Make a folder if need be, for its owner alone; raise InvalidSettings if it cannot be written."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = path / f".writable-{secrets.token_hex(8)}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        problem = f"{variable}: {path} cannot be written ({error.strerror}). {why}: choose a folder of yours."
        raise InvalidSettings([problem]) from error


def new_private_file(option: str, out: Path) -> TextIO:
    """Return a new open file, for its owner alone; raise InvalidSettings if it is there or cannot be written."""
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise InvalidSettings([f"{option}: {out} is there already, and stays as it is; choose another name"]) from None
    except OSError as error:
        raise InvalidSettings([f"{option}: {out} cannot be written ({error.strerror})"]) from error
    return os.fdopen(descriptor, "w", encoding="utf-8", newline="")


@contextmanager
def sole_use_of(**folders: Path) -> Iterator[None]:
    """Keep other servers from the folders while the block runs: two would both go on with the same sessions.

    Raises InvalidSettings if another is there. The system lets go of a lock whatever becomes of this process.
    """
    by_path = {path.resolve(): variable for variable, path in folders.items()}
    with ExitStack() as held:
        for path, variable in by_path.items():
            file = held.enter_context((path / LOCK_FILE).open("a+b"))
            try:
                _lock(file)
            except OSError as error:
                advice = f"Stop it, or give this one a folder of its own: {variable}=..."
                problem = f"{variable}: {folders[variable]} is in use by another server. {advice}"
                raise InvalidSettings([problem]) from error
        yield


def is_served(data_dir: Path) -> bool:
    """Whether a server has the data folder in use."""
    try:
        with (data_dir / LOCK_FILE).open("r+b") as file:
            _lock(file)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _lock(file: IO[bytes]) -> None:
    if sys.platform == "win32":
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
