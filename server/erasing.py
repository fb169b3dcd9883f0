"""`chatroom participant delete`: somebody's data erased, and looked for afterwards wherever it stood."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from rich.console import Console
from rich.text import Text

from experiments.erasing import Erased, Reason, Search, Traces, erase_participant, search, traces_of
from experiments.errors import LogError, SessionGoesOn, StoreError
from experiments.experiment import Experiment
from experiments.store.erasing import KnownParticipant, due, find
from experiments.store.study import Study
from experiments.store.tables import OVER
from server.data import in_study
from server.errors import InvalidSettings
from server.folders import is_served
from server.indexing import SHOWN_OF_ID
from server.settings import ServerSettings
from simulation.runtime.clock import wall_time

NOT_REACHED = (
    "backups and copies of these folders",
    "exports and lists that you made (participant export, sessions --panel-ids, tokens create)",
    "what the provider of the language model keeps of the prompts",
    "free blocks of the disk, where the old log stood",
    "what your terminal remembers of the codes that you typed",
)


HOW_NAMED = "Session ids are shown short: give them whole (chatroom sessions --json). Another experiment: --experiment."


class Chosen(NamedTuple):
    """Somebody to erase, and the code by which they were found (None: their time is over)."""

    participant: KnownParticipant
    code: str | None


class Receipt(NamedTuple):
    """What was erased of whom, what was not and why, and what a search for all of it came to."""

    erased: list[Erased]
    refused: list[str]
    searched: Search

    @property
    def is_clean(self) -> bool:
        return not self.refused and self.searched.is_clean


def code_of(given: str) -> str:
    """Return what somebody is found by: a token's link has the token in it. Bytes that are no text are nobody's."""
    code = parse_qs(urlsplit(given).query).get("token", [given])[0].strip()
    return code.encode(errors="replace").decode()


def delete(
    settings: ServerSettings,
    experiment: Experiment,
    codes: Sequence[str],
    *,
    confirm: Callable[[str], bool],
    as_json: bool,
) -> bool:
    """Erase whoever the codes are of, if `confirm` says so; return whether nothing of theirs is left."""
    chosen, unknown = in_study(settings, experiment, lambda study: _named(study, codes))
    if unknown:
        problems = [f"{each!r} is nobody's here: no participant, session, token or panel id" for each in unknown]
        print("\n".join([*problems, HOW_NAMED]))  # noqa: T201
        return False
    if not confirm(_what_will_go(chosen)):
        print("Nothing was erased.")  # noqa: T201
        return False
    return _erase(settings, experiment, chosen, "request", as_json=as_json)


def delete_expired(
    settings: ServerSettings,
    experiment: Experiment,
    now: datetime,
    *,
    is_dry_run: bool,
    confirm: Callable[[str], bool],
    as_json: bool,
) -> bool:
    """Erase, or show, whose time is over by `retain_days`; return whether nothing of theirs is left."""
    days = experiment.retain_days
    if days is None:
        raise InvalidSettings(["--expired: retain_days is not set in experimental_settings.json: nothing expires"])
    chosen = [Chosen(each, None) for each in in_study(settings, experiment, lambda study: due(study, days, now))]
    if is_dry_run:
        _show_due(chosen, as_json=as_json)
        return True
    if chosen and not confirm(_what_will_go(chosen)):
        print("Nothing was erased.")  # noqa: T201
        return False
    if not chosen and not as_json:
        print("0 due.")  # noqa: T201
    return _erase(settings, experiment, chosen, "retention", as_json=as_json)


async def _named(study: Study, codes: Sequence[str]) -> tuple[list[Chosen], list[str]]:
    """Return whose the codes are, each once, and the codes that are nobody's."""
    found: dict[str, Chosen] = {}
    unknown = []
    for given in codes:
        participant = await find(study, code_of(given))
        if participant is None:
            unknown.append(given)
        else:
            found.setdefault(participant.participant_id, Chosen(participant, code_of(given)))
    return list(found.values()), unknown


def _what_will_go(chosen: Sequence[Chosen]) -> str:
    lines = [f"  {_described(each.participant)}" for each in chosen]
    return "\n".join(
        ("To be erased, for good: what the logs say, consent, panel ids, the token's use", *lines, "Erase it?")
    )


def _described(participant: KnownParticipant) -> str:
    began = participant.began_at[:16].replace("T", " ")
    if participant.session_id is None:
        return f"somebody who took no part, {began} UTC"
    state = participant.outcome if participant.state == OVER else participant.state
    done = ", erased before" if participant.erased_at else ""
    return f"session {participant.session_id[:SHOWN_OF_ID]}, {participant.condition}, {began} UTC, {state}{done}"


def _show_due(chosen: Sequence[Chosen], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([{"session_id": each.participant.session_id} for each in chosen], indent=2))  # noqa: T201
        return
    print("\n".join((f"{len(chosen):,} due.", *(f"  {_described(each.participant)}" for each in chosen))))  # noqa: T201


def _erase(
    settings: ServerSettings, experiment: Experiment, chosen: Sequence[Chosen], reason: Reason, *, as_json: bool
) -> bool:
    receipt = in_study(settings, experiment, lambda study: _erased(study, settings, chosen, reason))
    if as_json:
        print(json.dumps(_as_json(receipt), indent=2))  # noqa: T201
    else:
        Console(highlight=False, soft_wrap=True).print(Text("\n".join(_lines(receipt))))
    return receipt.is_clean


async def _erased(study: Study, settings: ServerSettings, chosen: Sequence[Chosen], reason: Reason) -> Receipt:
    ids: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()
    erased, refused = [], []
    for participant, code in chosen:
        traces = await traces_of(study, settings.log_dir, participant, code)
        try:
            done = await erase_participant(
                study,
                settings.log_dir,
                participant,
                reason=reason,
                now=wall_time(),
                nobodys_id=str(uuid.uuid4()),
                is_served=is_served(settings.data_dir),
            )
        except (SessionGoesOn, LogError) as error:
            refused.append(str(error))
            continue
        erased.append(done)
        ids, texts = ids | traces.ids, texts | traces.texts
    try:
        await study.database.compact()
    except StoreError as error:
        refused.append(f"{error}: its files may hold what was deleted; delete them once more, by the session's id")
    searched = search((settings.log_dir, settings.data_dir), Traces(ids, texts))
    return Receipt(erased, refused, searched)


# The receipt


def _lines(receipt: Receipt) -> Iterator[str]:
    yield from (_line(each) for each in receipt.erased)
    yield from (f"Not erased: {each}." for each in receipt.refused)
    if not any(_is_new(each) for each in receipt.erased):
        return
    searched = receipt.searched
    yield f"Searched: {_counted(searched.files, 'file')} byte by byte. {_outcome(searched)}"
    yield from (f"  {each.what} stands in {_shown(each.path)}{_why(each.what)}" for each in searched.found)
    yield from (f"  could not be read: {_shown(each)}" for each in searched.unread)
    yield f"Not in reach of this command: {'; '.join(NOT_REACHED)}."


def _is_new(erased: Erased) -> bool:
    return bool(erased.records or erased.rows)


def _line(erased: Erased) -> str:
    rows = _counted(erased.rows, "row")
    if erased.session_id is None:
        return f"Erased: somebody who took no part, {rows} of the database."
    name = f"session {erased.session_id[:SHOWN_OF_ID]}"
    if not _is_new(erased):
        return f"Erased before: {name}. Nothing is left to search by."
    head = f"\n  head of the log now: {erased.head}" if erased.head else ""
    return f"Erased: {name}: {_records(erased)}, {rows} of the database.{head}"


def _records(erased: Erased) -> str:
    if erased.head and not erased.records:  # a deletion before this one was broken off
        return "no record of the log, which was empty or erased before: its texts cannot be searched for"
    return f"{_counted(erased.records, 'record')} of the log"


def _counted(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"


def _outcome(searched: Search) -> str:
    return "Nothing of theirs was found." if searched.is_clean else "Not all is gone, or not all could be seen:"


def _why(what: str) -> str:
    if what == "a message":
        return ": others may have written the same"
    return ": a copy, or they are in another experiment of this folder, too (--experiment)"


def _shown(path: Path) -> str:
    """Return a path from here, if it lies here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _as_json(receipt: Receipt) -> dict[str, Any]:
    searched = receipt.searched
    return {
        "erased": [each._asdict() for each in receipt.erased],
        "refused": receipt.refused,
        "files_searched": searched.files,
        "files_unread": [str(each) for each in searched.unread],
        "found": [{"file": str(each.path), "what": each.what} for each in searched.found],
        "not_in_reach": list(NOT_REACHED),
    }
