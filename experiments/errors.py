"""Everything that experiments raises on purpose.

ExperimentsError
├── InvalidExperiment   the settings files cannot be used; carries every problem found
└── LogError            an event log could not be written or read
    ├── LogExists       a session's log is never written over
    └── DamagedLog      a line that is no record, with its number
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from experiments.problems import Problem


class ExperimentsError(Exception):
    """Root of this package's errors."""


class InvalidExperiment(ExperimentsError):
    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class LogError(ExperimentsError):
    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        super().__init__(f"{path}: {reason}")


class LogExists(LogError):
    pass


class DamagedLog(LogError):
    def __init__(self, path: Path, line: int, reason: str) -> None:
        self.line = line
        super().__init__(path, f"line {line}: {reason}")
