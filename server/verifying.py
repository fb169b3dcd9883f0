"""`chatroom verify`: whether logs are as they were written, and which lines are to blame if not."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from experiments.errors import LogError
from experiments.eventlog.verifying import Verification, verify
from server.errors import InvalidSettings

MOST_SHOWN = 20
"""Damages of one log; `--json` has all."""


def run(given: Sequence[Path], *, as_json: bool) -> bool:
    """Verify logs, and all those in folders, and print what was found; return whether all are whole.

    Raise InvalidSettings for what is no log, if the others are whole.
    """
    problems: list[str] = []
    found = [(log, verified) for log in _logs(given, problems) if (verified := _verified(log, problems)) is not None]
    if as_json:
        print(json.dumps([_as_json(log, each) for log, each in found], ensure_ascii=False, indent=2))  # noqa: T201
    else:
        _print(found)
    is_whole = not any(each.damage for _, each in found)
    if problems and is_whole:
        raise InvalidSettings(problems)
    for problem in problems:
        print(problem, file=sys.stderr)  # noqa: T201
    return is_whole


def _logs(given: Sequence[Path], problems: list[str]) -> Iterator[Path]:
    for path in given:
        if path.is_file() or not path.exists():
            yield path
        elif not path.is_dir():
            problems.append(f"{path}: neither a file nor a folder")
        elif logs := sorted(each for each in path.glob("*.json") if each.is_file()):
            yield from logs
        else:
            problems.append(f"{path}: there is no log in this folder")


def _verified(log: Path, problems: list[str]) -> Verification | None:
    try:
        return verify(log)
    except OSError as error:
        problems.append(f"{log}: cannot be read ({error.strerror})")
    except LogError as error:
        problems.append(f"no session's log: {error}")
    return None


def _as_json(log: Path, found: Verification) -> dict[str, Any]:
    return {
        "log": str(log),
        "whole": not found.damage,
        "records": found.records,
        "erased": found.erased,
        "without_hash": found.unsealed,
        "has_end": found.has_end,
        "head": found.head,
        "damage": [each._asdict() for each in found.damage],
    }


def _print(found: Sequence[tuple[Path, Verification]]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for log, each in found:
        damage = each.damage
        places = "1 place" if len(damage) == 1 else f"{len(damage):,} places"
        state = f"damaged in {places}" if damage else "whole"
        console.print(Text(f"{log.name}: {state}: {_facts(each)}", style="red" if damage else ""))
        for one in damage[:MOST_SHOWN]:
            console.print(Text(f"  line {one.line:,}: {one.text}", style="red"))
        if len(damage) > MOST_SHOWN:
            console.print(Text(f"  and {len(damage) - MOST_SHOWN:,} more (--json has all)", style="red"))
    if len(found) > 1:
        whole = sum(not each.damage for _, each in found)
        console.print(Text(f"{whole:,} of {len(found):,} logs are whole."))


def _facts(found: Verification) -> str:
    facts = ["1 record" if found.records == 1 else f"{found.records:,} records"]
    facts.append(f"erased: {found.erased:,} of them" if found.erased else _end_of(found))
    if found.unsealed:
        facts.append(f"{found.unsealed:,} without a hash (of an earlier version: their numbers alone are checked)")
    if found.head is not None:
        facts.append(f"head {found.head}")
    return ", ".join(facts)


def _end_of(found: Verification) -> str:
    if found.has_end:
        return "with its end"
    if any(each.kind != "torn" for each in found.damage):
        return "without session_end"
    return "without session_end (the session still runs or waits for a server, or its server was killed)"
