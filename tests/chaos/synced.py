"""Starts the server as `python -m server` does, on a disk that keeps a diary.

After each fsync or fdatasync that has returned, SYNCED_FILE gets a line: how large the file was when it was called, and
its name. That is what a power cut would leave of it. SYNC_SECONDS is how long this disk takes over each.
"""

from __future__ import annotations

import os
import runpy
import sys
import time
from collections.abc import Callable


def kept_in_diary(sync: Callable[[int], None], diary: int, seconds: float) -> Callable[[int], None]:
    def call(descriptor: int) -> None:
        name, size = os.readlink(f"/proc/self/fd/{descriptor}"), os.fstat(descriptor).st_size
        if seconds and name.endswith(".json"):
            time.sleep(seconds)
        sync(descriptor)
        os.write(diary, f"{size} {name}\n".encode())

    return call


if __name__ == "__main__":
    diary = os.open(os.environ["SYNCED_FILE"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    seconds = float(os.environ.get("SYNC_SECONDS", "0"))
    os.fsync = kept_in_diary(os.fsync, diary, seconds)
    os.fdatasync = kept_in_diary(os.fdatasync, diary, seconds)
    sys.argv[0] = "server"
    runpy.run_module("server", run_name="__main__", alter_sys=True)
