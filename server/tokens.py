"""`chatroom tokens`: links for participants, made, listed and revoked."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Awaitable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from rich.console import Console
from rich.table import Table

from experiments.experiment import Experiment
from experiments.store.study import Study
from experiments.store.tokens import ListedToken, create_tokens, list_tokens, revoke_tokens
from server.data import in_study
from server.errors import InvalidSettings
from server.prompting import condition_of
from server.settings import ServerSettings
from simulation.runtime.clock import wall_time

MAX_AT_ONCE = 100_000
QR_SCALE = 8
"""Pixels a module: a card of 3 cm at the printer's 300 dots an inch."""


def create(
    settings: ServerSettings,
    experiment: Experiment,
    *,
    number: int,
    condition: str | None,
    expires: str | None,
    are_short: bool,
    out: Path,
    address: str,
    with_codes: bool,
) -> None:
    """Make tokens and write them, with their links, to `out`; raise InvalidSettings if that is not to be."""
    expires_at = None if expires is None else _moment(expires)
    _refuse_nonsense(experiment, condition, expires_at, out, are_short=are_short)

    def work(study: Study) -> Awaitable[list[str]]:
        return create_tokens(
            study, number, now=wall_time(), condition=condition, expires_at=expires_at, are_short=are_short
        )

    made = in_study(settings, experiment, work)
    links = [f"{address.rstrip('/')}/?token={quote(token)}" for token in made]
    _write(out, made, links)
    print(f"{len(made):,} tokens for {experiment.experiment_id}: {out}. They stand nowhere else: keep the file.")  # noqa: T201
    if with_codes:
        print(f"QR codes: {_draw(out, links)}/")  # noqa: T201
    if experiment.entry.mode != "tokens":
        print(f'Nobody can use them yet: entry.mode is "{experiment.entry.mode}", and "tokens" is needed.')  # noqa: T201


def _moment(text: str) -> datetime:
    """Return the moment after which it is too late: a date alone counts whole, in this machine's time."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        problem = f"--expires: {text!r} is not allowed: a date, such as 2026-12-31 or 2026-12-31T18:00:00+01:00"
        raise InvalidSettings([problem]) from None
    end = moment + timedelta(days=1) if len(text) == len("2026-12-31") else moment
    return end if end.tzinfo else end.astimezone()


def _refuse_nonsense(
    experiment: Experiment, condition: str | None, expires_at: datetime | None, out: Path, *, are_short: bool
) -> None:
    if condition is not None:
        condition_of(experiment, condition)
    if expires_at is not None and expires_at <= wall_time():
        raise InvalidSettings([f"--expires: {expires_at.isoformat()} is past"])
    if are_short and expires_at is None:
        raise InvalidSettings(["--short: codes that can be typed can be guessed in the long run; --expires is needed"])
    if out.exists():
        raise InvalidSettings([f"-o: {out} is there already, and may hold tokens; choose another name"])


def _write(out: Path, made: Sequence[str], links: Sequence[str]) -> None:
    """Write the file for its owner alone; raise InvalidSettings if it cannot be written."""
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise InvalidSettings([f"-o: {out} cannot be written ({error.strerror})"]) from error
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("token", "link"))
        rows.writerows(zip(made, links, strict=True))


def _draw(out: Path, links: Sequence[str]) -> Path:
    """Draw a picture a link, numbered as the lines of the file."""
    import segno

    folder = out.with_suffix(".qr")
    folder.mkdir(mode=0o700, exist_ok=True)
    digits = len(str(len(links)))
    for number, link in enumerate(links, start=1):
        segno.make(link, micro=False).save(str(folder / f"{number:0{digits}d}.png"), scale=QR_SCALE)
    return folder


def show(settings: ServerSettings, experiment: Experiment, *, as_json: bool) -> None:
    listed = in_study(settings, experiment, lambda study: list_tokens(study, wall_time()))
    if as_json:
        print(json.dumps([each._asdict() for each in listed], indent=2))  # noqa: T201
        return
    table = Table(title=f"{len(listed):,} tokens of {experiment.experiment_id}", title_justify="left")
    for column in ("number", "state", "outcome", "condition", "made", "expires"):
        table.add_column(column, justify="right" if column == "number" else "left")
    for each in listed:
        table.add_row(*_row(each))
    Console(highlight=False).print(table)


def _row(token: ListedToken) -> tuple[str, ...]:
    cells = (token.state, token.outcome, token.condition, _minute(token.created_at), _minute(token.expires_at))
    return (str(token.number), *(cell or "" for cell in cells))


def _minute(moment: str | None) -> str | None:
    return moment and moment[:16].replace("T", " ")


def revoke(settings: ServerSettings, experiment: Experiment, given: Sequence[str], numbers: Sequence[int]) -> int:
    """Revoke tokens by their text, link or number; print and return how many were let in until now."""
    if not given and not numbers:
        raise InvalidSettings(["nothing to revoke: name tokens, or their --number as `chatroom tokens list` has it"])
    texts = [each.rpartition("?token=")[2] for each in given]
    revoked = in_study(settings, experiment, lambda study: revoke_tokens(study, texts, numbers, wall_time()))
    print(f"{revoked} revoked." if revoked else "None revoked: unknown, or revoked before.")  # noqa: T201
    return revoked
