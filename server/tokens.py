"""`chatroom tokens`: links for participants, made, listed and revoked."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

from rich.console import Console
from rich.table import Table

from experiments.experiment import Experiment
from experiments.store.tokens import ListedToken, create_tokens, list_tokens, revoke_tokens
from server.data import in_study
from server.errors import InvalidSettings
from server.folders import new_private_file
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
    _refuse_nonsense(experiment, condition, expires_at, address, are_short=are_short)
    folder = _codes_folder(out) if with_codes else None
    with new_private_file("-o", out) as file:  # before there are tokens: nobody would know them
        made = in_study(
            settings,
            experiment,
            lambda study: create_tokens(
                study, number, now=wall_time(), condition=condition, expires_at=expires_at, are_short=are_short
            ),
        )
        links = [_link(address, token) for token in made]
        rows = csv.writer(file)
        rows.writerow(("token", "link"))
        rows.writerows(zip(made, links, strict=True))
    tokens = "1 token" if number == 1 else f"{number:,} tokens"
    print(f"{tokens} for {experiment.experiment_id}: {out}. They stand nowhere else: keep the file.")  # noqa: T201
    if folder is not None:
        _draw(folder, links)
        print(f"QR codes, numbered as the lines of the file: {folder}/")  # noqa: T201
    if experiment.entry.mode != "tokens":
        print(f'Nobody can use them yet: entry.mode is "{experiment.entry.mode}", and "tokens" is needed.')  # noqa: T201


def _moment(text: str) -> datetime:
    """Return the moment after which it is too late: a date alone counts whole, in this machine's time."""
    try:
        moment = datetime.fromisoformat(text)
        end = moment if "T" in text.upper() or " " in text.strip() else moment + timedelta(days=1)
        return (end if end.tzinfo else end.astimezone()).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        problem = f"--expires: {text!r} is not allowed: a date, such as 2026-12-31 or 2026-12-31T18:00:00+01:00"
        raise InvalidSettings([problem]) from None


def _refuse_nonsense(
    experiment: Experiment, condition: str | None, expires_at: datetime | None, address: str, *, are_short: bool
) -> None:
    if condition is not None:
        condition_of(experiment, condition)
    if expires_at is not None and expires_at <= wall_time():
        raise InvalidSettings([f"--expires: {expires_at.isoformat()} is past"])
    if are_short and expires_at is None:
        raise InvalidSettings(["--short: codes that can be typed can be guessed in the long run; --expires is needed"])
    if not re.fullmatch(r"https?://[!-~]{1,500}", address) or "#" in address:
        raise InvalidSettings([f"--url: {address!r} is not allowed: an address such as https://chat.example.org"])


def _link(address: str, token: str) -> str:
    """Return the page's address with the token; other parameters of it, such as those of strata, stay."""
    parts = urlsplit(address)
    query = "&".join(part for part in (parts.query, f"token={quote(token)}") if part)
    return urlunsplit((parts.scheme, parts.netloc, f"{parts.path.rstrip('/')}/", query, ""))


def _codes_folder(out: Path) -> Path:
    folder = out.with_suffix(".qr")
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise InvalidSettings([f"--qr: {folder} cannot be made ({error.strerror})"]) from error
    return folder


def _draw(folder: Path, links: Sequence[str]) -> None:
    """Draw a picture a link, numbered as the lines of the file."""
    import segno

    digits = len(str(len(links)))
    for number, link in enumerate(links, start=1):
        segno.make(link, micro=False).save(str(folder / f"{number:0{digits}d}.png"), scale=QR_SCALE)


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
    texts = [parse_qs(urlsplit(each).query).get("token", [each])[0] for each in given]
    revoked = in_study(settings, experiment, lambda study: revoke_tokens(study, texts, numbers, wall_time()))
    print(f"{revoked} revoked." if revoked else "None revoked: unknown, or revoked before.")  # noqa: T201
    return revoked
