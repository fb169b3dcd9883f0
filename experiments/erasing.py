"""Erasing a participant: the log of their session, what the index knows of them, and the proof that it is gone.

The log goes first: if this is broken off, the index still knows whose it was, and doing it again finishes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple

from experiments.eventlog.erasing import Account, ErasedContent, erase
from experiments.eventlog.reader import record_in
from experiments.spending import spent_in
from experiments.store.erasing import (
    KnownParticipant,
    close_for_erasure,
    erase_rows,
    panel_id,
    panel_values_of_others,
)
from experiments.store.study import Study, moment
from simulation.codec import without_line_ends
from simulation.events import MessagePosted, MessageReported
from simulation.llm.budget import Spent
from simulation.parameters import PARTICIPANT

Reason = Literal["request", "retention"]
SHORTEST_ID = 6
SHORTEST_TEXT = 12
"""Characters: shorter texts are everybody's, and would be found everywhere."""


@dataclass(frozen=True, slots=True)
class Traces:
    """What is theirs alone and could be found of somebody: what tells who they are, and what they wrote."""

    ids: frozenset[str]
    texts: frozenset[str]


class Erased(NamedTuple):
    """What was erased: `records` of the log, whose last hash is now `head` (None without a log), and `rows`."""

    session_id: str | None
    records: int
    rows: int
    head: str | None


class Found(NamedTuple):
    """`what` still stands in the file at `path`."""

    path: Path
    what: Literal["an identifier", "a message"]


class Search(NamedTuple):
    """How many files were read, which could not be, and where something was found."""

    files: int
    unread: tuple[Path, ...]
    found: tuple[Found, ...]

    @property
    def is_clean(self) -> bool:
        return not self.unread and not self.found


def log_of(log_dir: Path, participant: KnownParticipant) -> Path | None:
    return None if participant.session_id is None else log_dir / f"{participant.session_id}.json"


async def traces_of(study: Study, log_dir: Path, participant: KnownParticipant, code: str | None = None) -> Traces:
    """Return what to look for once they are erased: to be asked before. `code` is what they were found by."""
    panel = {name: value for name, value in participant.panel.items() if name not in study.allocation.strata}
    own = {*panel.values()} - await panel_values_of_others(study, participant)
    long = {each for each in (*own, panel_id(study, participant), code) if each and len(each) >= SHORTEST_ID}
    ids = {participant.participant_id, *participant.hashes, *long} - {participant.session_id}
    log = log_of(log_dir, participant)
    texts = set() if log is None else await asyncio.to_thread(lambda: {*_texts(log)})
    # Of somebody erased before, the index has an id that is nobody's, and keeps it.
    return Traces(frozenset() if participant.erased_at else frozenset(ids), frozenset(texts))


def _texts(log: Path) -> Iterator[str]:
    """Yield what the participant wrote, from every line that can be read."""
    if not log.exists():
        return
    with log.open("rb") as lines:
        for line in lines:
            record = record_in(line)
            match record and record.event:
                case MessagePosted(sender=sender, content=text) if sender == PARTICIPANT and len(text) >= SHORTEST_TEXT:
                    yield text
                case MessageReported(reason=str(text)) if len(text) >= SHORTEST_TEXT:
                    yield text


async def erase_participant(
    study: Study,
    log_dir: Path,
    participant: KnownParticipant,
    *,
    reason: Reason,
    now: datetime,
    nobodys_id: str,
    is_served: bool,
) -> Erased:
    """Erase a participant; what is gone already is passed over. Raises SessionGoesOn, LogError or StoreError."""
    await close_for_erasure(study, participant, now, is_served=is_served)
    log, content = log_of(log_dir, participant), ErasedContent(0, None)
    if log is not None:
        content = await asyncio.to_thread(erase_log, log, study.experiment_id, reason, now)
    rows = 0 if participant.erased_at else await erase_rows(study, participant, now, nobodys_id)
    return Erased(participant.session_id, content.records, rows, content.head.hex() if content.head else None)


def erase_log(log: Path, experiment_id: str, reason: Reason, now: datetime) -> ErasedContent:
    """Erase the content of a session's log, if there is one, but for what it spent; raise LogError."""
    days = spent_in(log, experiment_id) if log.exists() else {}
    return erase(log, _account(reason, experiment_id, days), moment(now))


def _account(reason: Reason, experiment_id: str, days: dict[str, Spent]) -> Account:
    return Account(
        reason=reason,
        experiment_id=experiment_id,
        calls=sum(each.calls for each in days.values()),
        tokens=sum(each.tokens for each in days.values()),
        cost=sum(each.cost for each in days.values()),
        by_day={day: asdict(spent) for day, spent in days.items()},
    )


def search(folders: Sequence[Path], traces: Traces) -> Search:
    """Look for traces in the bytes of every file in the folders."""
    wanted: dict[bytes, Literal["an identifier", "a message"]] = {
        **{form: "a message" for text in traces.texts for form in _forms(text)},
        **{form: "an identifier" for text in traces.ids for form in _forms(text)},
    }
    files = {path.resolve() for folder in folders for path in folder.rglob("*") if path.is_file()}
    unread: list[Path] = []
    found: dict[Found, None] = {}
    for path in sorted(files):
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            continue  # a running server's, gone meanwhile
        except OSError:
            unread.append(path)
            continue
        found |= dict.fromkeys(Found(path, what) for form, what in wanted.items() if form in content)
    return Search(len(files) - len(unread), tuple(unread), tuple(found))


def _forms(text: str) -> set[bytes]:
    """Return a text as files may have it: plain, as JSON in both of its ways, and as the log has it."""
    escaped = (json.dumps(text, ensure_ascii=is_ascii)[1:-1] for is_ascii in (True, False))
    forms = {each.encode("utf-8", "surrogatepass") for each in (text, *escaped)}
    return forms | {*map(without_line_ends, forms)}
