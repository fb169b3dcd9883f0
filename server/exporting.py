"""`chatroom participant export`: all that is kept of somebody, for them: as JSON, and to be read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from experiments.erasing import log_of
from experiments.eventlog.erasing import left_over
from experiments.eventlog.reader import record_in
from experiments.experiment import Experiment
from experiments.store.erasing import KnownParticipant, find, rows_of
from experiments.store.study import Study, moment
from server.data import in_study
from server.erasing import HOW_NAMED, code_of
from server.errors import InvalidSettings
from server.folders import new_private_file
from server.indexing import SHOWN_OF_ID
from server.settings import ServerSettings
from simulation.codec import Record
from simulation.events import MessagePosted, ReactionAdded, SessionEnded, SessionStarted
from simulation.parameters import PARTICIPANT
from simulation.runtime.clock import wall_time

IN_JSON = """\
What stands in the JSON file beside this one: `rows`, all that the database has, table by table; `linkage`, what the
panel's link said; `consent`, what was decided, when, and the hash of the text; `log`, every record of the session with
what the model was asked and answered (docs/log.md says what each is); `torn`, ends of the log that a crash cut off."""


class Kept(NamedTuple):
    """All that is kept: rows by table, the lines of the log, and torn ends that lie beside it."""

    participant: KnownParticipant
    rows: dict[str, list[dict[str, Any]]]
    lines: list[bytes]
    torn: list[bytes]


def export(settings: ServerSettings, experiment: Experiment, code: str, out: Path) -> bool:
    """Write what is kept of whoever `code` is of into the folder `out`; return False if it is nobody's.

    Raises InvalidSettings if a file is there already or cannot be written.
    """
    kept = in_study(settings, experiment, lambda study: _kept(study, settings.log_dir, code_of(code)))
    if kept is None:
        print(f"{code!r} is nobody's here: no participant, session, token or panel id\n{HOW_NAMED}")  # noqa: T201
        return False
    name = f"participant-{(kept.participant.session_id or kept.participant.participant_id)[:SHOWN_OF_ID]}"
    now = wall_time()
    _make_folder(out)
    with (
        new_private_file("-o", out / f"{name}.json") as as_json,
        new_private_file("-o", out / f"{name}.txt") as as_text,
    ):
        json.dump(_as_json(experiment, kept, now), as_json, ensure_ascii=False, indent=2)
        as_text.writelines(f"{line}\n" for line in _readable(experiment, kept, now))
    print(f"{out / name}.json and .txt: all that is kept of this participant. Guard them.")  # noqa: T201
    return True


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidSettings([f"-o: {out} cannot be made ({error.strerror})"]) from error


async def _kept(study: Study, log_dir: Path, code: str) -> Kept | None:
    participant = await find(study, code)
    if participant is None:
        return None
    log = log_of(log_dir, participant)
    lines = log.read_bytes().splitlines(keepends=True) if log is not None and log.exists() else []
    torn = [each.read_bytes() for each in sorted(left_over(log))] if log is not None else []
    return Kept(participant, await rows_of(study, participant), lines, torn)


def _as_json(experiment: Experiment, kept: Kept, now: datetime) -> dict[str, Any]:
    rows = kept.rows
    linkage = [json.loads(row["parameters"]) for row in rows["panel_ids"]]
    return {
        "experiment_id": experiment.experiment_id,
        "exported_at": moment(now),
        "participant_id": kept.participant.participant_id,
        "session_id": kept.participant.session_id,
        "consent": kept.participant.consent,
        "linkage": linkage[0] if linkage else None,
        "rows": rows,
        "log": [_line_as_json(line) for line in kept.lines],
        "torn": [each.decode("utf-8", "replace") for each in kept.torn],
    }


def _line_as_json(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return {"unreadable": line.decode("utf-8", "replace")}


# To be read


def _readable(experiment: Experiment, kept: Kept, now: datetime) -> Iterator[str]:
    participant = kept.participant
    yield f"What {experiment.experiment_id} keeps of a participant, {_minute(moment(now))} UTC"
    yield ""
    yield f"participant   {participant.participant_id} (a random id: the log's name for them)"
    yield f"session       {participant.session_id or 'none: they took no part'}"
    yield f"came          {_minute(participant.began_at)} UTC"
    if participant.session_id is not None:
        yield f"condition     {participant.condition}"
        yield f"state         {participant.outcome or participant.state}"
    if participant.ended_at is not None:
        yield f"ended         {_minute(participant.ended_at)} UTC"
    if participant.token_number is not None:
        yield f"token         number {participant.token_number}"
    for name, value in participant.panel.items():
        yield f"{name:<13} {value}"
    yield f"consent       {_consent(participant)}"
    if participant.erased_at is not None:
        yield f"erased        {_minute(participant.erased_at)} UTC: of the log only hashes are left"
    yield ""
    yield "The chat: when (UTC), minutes and seconds since it began, who, what"
    yield ""
    yield from _transcript(kept)
    yield ""
    yield IN_JSON


def _consent(participant: KnownParticipant) -> str:
    consent = participant.consent
    if consent is None:
        return "none asked or kept"
    return f"{consent['decision']}, version {consent['version']}, {_minute(consent['decided_at'])} UTC"


def _transcript(kept: Kept) -> Iterator[str]:
    for record in filter(None, map(record_in, kept.lines)):
        line = _spoken(record)
        if line is not None:
            minutes, seconds = divmod(int(record.elapsed), 60)
            yield f"{record.timestamp[:19].replace('T', ' ')}  {minutes:02}:{seconds:02}  {line}"


def _spoken(record: Record) -> str | None:
    match record.event:
        case SessionStarted():
            return "(the session begins)"
        case MessagePosted(sender=sender, content=content):
            return f"{_name(sender)}: {content}"
        case ReactionAdded(sender=sender, emoji=emoji):
            return f"{_name(sender)} reacts with {emoji}"
        case SessionEnded(reason=reason):
            return f"(the session ends: {reason})"
    return None


def _name(sender: str) -> str:
    return "THE PARTICIPANT" if sender == PARTICIPANT else sender


def _minute(at: str) -> str:
    return at[:16].replace("T", " ")
