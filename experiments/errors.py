"""Everything that experiments raises on purpose.

ExperimentsError
├── InvalidExperiment   the settings files cannot be used; carries every problem found
├── NotMade             a new experiment's folder could not be made
│   └── FolderExists    something is there already, and stays as it is
├── UnknownExample      there is no example of that name
├── LogError            an event log could not be written or read
│   ├── LogExists       a session's log is never written over
│   ├── LogMissing      there is none
│   ├── NoLog           a file in which nothing is a record
│   ├── DamagedLog      a line that is no record, with its number
│   └── ErasedLog       what it said was erased: nothing is wrong with it
├── SessionGoesOn       what a session wrote cannot be erased before its end
├── StoreError          the database could not be opened, read or written
└── NotAdmitted         somebody gets no session, for a reason that they may be told
    ├── UnknownCredential   a token or code that is unknown, revoked or expired: which of them is not told
    ├── NotStarted          nobody has begun with it, and nobody was to begin now
    ├── NotOpen             before or after the time in which one may begin
    ├── AlreadyBegun        the consent cannot be declined any more: the session goes on, and may be left
    ├── ConsentNeeded       the consent that belongs to this experiment was not given
    ├── SessionOver         the session has ended, or was declined; carries what is due to the participant
    ├── StudyFull           every quota is reached
    └── NoRoom              not now: too many sessions, or every place that is left is taken for the moment
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from experiments.problems import Problem


class ExperimentsError(Exception):
    """Root of this package's errors."""


class InvalidExperiment(ExperimentsError):
    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class NotMade(ExperimentsError):
    """A folder could not be made."""

    def __init__(self, folder: Path, reason: str) -> None:
        self.folder = folder
        self.reason = reason
        super().__init__(f"{folder}: {reason}")


class FolderExists(NotMade):
    """Something is there already, and stays as it is."""


class UnknownExample(ExperimentsError):
    def __init__(self, example: str, known: list[str]) -> None:
        self.example = example
        self.known = known
        super().__init__(f"{example!r} is not allowed: one of {', '.join(known)}")


class LogError(ExperimentsError):
    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        super().__init__(f"{path}: {reason}")


class LogExists(LogError):
    pass


class LogMissing(LogError):
    pass


class NoLog(LogError):
    pass


class ErasedLog(LogError):
    def __init__(self, path: Path) -> None:
        super().__init__(path, "its content was erased")


class SessionGoesOn(ExperimentsError):
    """A server runs, and this session is not over: its log may be written."""

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        super().__init__(f"session {session_id[:8]} goes on in a running server: it must end first, or that be stopped")


class StoreError(ExperimentsError):
    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        super().__init__(f"{path}: {reason}")


class NotAdmitted(ExperimentsError):
    """Root of the reasons for which somebody gets no session."""


class UnknownCredential(NotAdmitted):
    pass


class NotStarted(NotAdmitted):
    pass


class NotOpen(NotAdmitted):
    """`opens_at` is when it opens, None if it has been open before."""

    def __init__(self, opens_at: datetime | None) -> None:
        self.opens_at = opens_at
        super().__init__("not open")


class AlreadyBegun(NotAdmitted):
    pass


class ConsentNeeded(NotAdmitted):
    pass


class SessionOver(NotAdmitted):
    """`parameters` are those of the link that the participant came by."""

    def __init__(self, outcome: str, parameters: Mapping[str, str]) -> None:
        self.outcome = outcome
        self.parameters = parameters
        super().__init__(f"over: {outcome}")


class StudyFull(NotAdmitted):
    pass


class NoRoom(NotAdmitted):
    pass


class DamagedLog(LogError):
    def __init__(self, path: Path, line: int, reason: str) -> None:
        self.line = line
        super().__init__(path, f"line {line}: {reason}")
