"""`chatroom replay`: whether a log follows from its first record, its inputs and its answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from experiments.errors import ErasedLog, LogError
from experiments.eventlog.reader import read_records
from experiments.replay import Difference, Replay, replay
from server.errors import InvalidSettings
from simulation.codec import Record, encode


def run(logs: Sequence[Path], *, as_json: bool) -> bool:
    """Replay `logs` and print what came of them; return whether every record was the same.

    Raise InvalidSettings for files that are no logs, when the others have been replayed.
    """
    outcomes, problems = _outcomes(logs)
    if as_json:
        print(json.dumps([_as_json(log, each) for log, each in outcomes], ensure_ascii=False, indent=2))  # noqa: T201
    else:
        for log, outcome in outcomes:
            _print(log, outcome)
    if problems:
        raise InvalidSettings(problems)
    return all(outcome is None or outcome.difference is None for _, outcome in outcomes)


Outcome = tuple[Path, Replay | None]
"""A log and what came of it; None: its content was erased, and there is nothing to replay."""


def _outcomes(logs: Sequence[Path]) -> tuple[list[Outcome], list[str]]:
    outcomes: list[Outcome] = []
    problems: list[str] = []
    for log in logs:
        try:
            outcomes.append((log, _outcome(log)))
        except InvalidSettings as error:
            problems += error.problems
    return outcomes, problems


def _outcome(log: Path) -> Replay | None:
    try:
        return replay(list(read_records(log)))
    except ErasedLog:
        return None
    except OSError as error:
        raise InvalidSettings([f"{log}: cannot be read ({error.strerror})"]) from None
    except LogError as error:
        raise InvalidSettings([f"no session's log: {error}"]) from None
    except ValueError as error:
        raise InvalidSettings([f"no session's log: {log}: {error}"]) from None


def _as_json(log: Path, outcome: Replay | None) -> dict[str, Any]:
    if outcome is None:
        return {"log": str(log), "erased": True}
    found = outcome.difference
    return {
        "log": str(log),
        "same": found is None,
        "records": outcome.records,
        "messages": outcome.messages,
        "model_calls": outcome.calls,
        "has_end": outcome.has_end,
        "difference": None if found is None else dict(zip(("seq", "log", "replay"), _lines(found), strict=True)),
    }


def _print(log: Path, outcome: Replay | None) -> None:
    console = Console(highlight=False, soft_wrap=True)
    if outcome is None:
        console.print(Text(f"{log.name}: its content was erased: there is nothing to replay."))
        return
    counts = f"{outcome.records:,} records, {outcome.messages:,} messages, {outcome.calls:,} calls of the model"
    if outcome.difference is None:
        console.print(Text(f"{log.name}: re-executed offline: {counts}, all the same."))
        if not outcome.has_end:
            console.print(Text("The log has no session_end: the session still runs, or its server was killed."))
        return
    seq, theirs, ours = _lines(outcome.difference)
    console.print(Text(f"{log.name}: the same up to record {seq - 1} ({counts}). Then:", style="red"))
    console.print(Text(f"  log:    {theirs}\n  replay: {ours or 'nothing'}"))


def _lines(found: Difference) -> tuple[int, str, str | None]:
    record, instead = found
    ours = None if instead is None else _shown(record._replace(event=instead))
    return record.seq, _shown(record), ours


def _shown(record: Record) -> str:
    return encode(record).decode().strip()
