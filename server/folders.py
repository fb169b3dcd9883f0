"""Folders that the server writes into."""

from __future__ import annotations

import secrets
from pathlib import Path


def prepare_folder(path: Path) -> None:
    """Make a folder if need be, for its owner alone; raise OSError if it cannot be written."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    probe = path / f".writable-{secrets.token_hex(8)}"
    probe.touch()
    probe.unlink()
