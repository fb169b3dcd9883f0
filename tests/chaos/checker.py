"""What must hold whatever has happened: clients' histories, the log and its replay tell the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from history import History

from experiments.eventlog.reader import read_records
from experiments.eventlog.verifying import verify
from experiments.replay import replay
from simulation.codec import Record
from simulation.events import MessagePosted, ReactionAdded, SessionEnded

SHOWN_FIELDS = ("position", "message_id", "sender", "content", "emoji", "reply_to", "client_message_id")


def assert_all_holds(log: Path, history: History) -> list[Record]:
    """Hold a client's history against its session's log once everything is over; return the log's records."""
    records = assert_log_is_whole(log)
    assert_acknowledged_is_stored(records, history)
    assert history.transcript, "the client has seen nothing at all"
    assert [shown(frame) for frame in history.transcript] == visible(records), "the client has not seen what happened"
    return records


def assert_log_is_whole(log: Path) -> list[Record]:
    """Nothing missing, nothing twice, sealed, ended at most once, and the same once more when it is played again."""
    records = list(read_records(log))
    assert_counted(records)
    assert_untouched(log)
    ends = [record.seq for record in records if isinstance(record.event, SessionEnded)]
    assert ends in ([], [len(records)]), "a session ends once, and nothing comes after"
    difference = replay(records).difference
    assert difference is None, f"played again, it is another session: {difference}"
    return records


def assert_counted(records: list[Record]) -> None:
    """`seq` and `position` count 1, 2, 3, and no id is there twice."""
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    positions = [each["position"] for each in visible(records)]
    assert positions == list(range(1, len(positions) + 1))
    ids = [each["client_message_id"] for each in visible(records) if each.get("client_message_id")]
    assert len(ids) == len(set(ids)), "a message was stored twice"


def assert_untouched(log: Path) -> None:
    """No line was changed, lost, doubled or moved since it was written."""
    verified = verify(log)
    assert (verified.damage, verified.unsealed) == ((), 0)


def assert_acknowledged_is_stored(records: list[Record], history: History) -> None:
    """Whatever was acknowledged is in the log as it was echoed, each time."""
    stored = {each["client_message_id"]: each for each in visible(records) if each.get("client_message_id")}
    for echo in history.echoes:
        assert stored.get(echo["client_message_id"]) == shown(echo), "acknowledged, and not in the log"


def assert_shown_is_stored(records: list[Record], history: History) -> None:
    """Whatever a client has seen so far is in the log, in that order."""
    seen = [shown(frame) for frame in history.transcript]
    assert visible(records)[: len(seen)] == seen


def visible(records: list[Record]) -> list[dict[str, Any]]:
    """What the log says that a participant sees."""
    events = [record.event for record in records if isinstance(record.event, MessagePosted | ReactionAdded)]
    return [{name: getattr(event, name) for name in SHOWN_FIELDS if getattr(event, name, None)} for event in events]


def shown(frame: dict[str, Any]) -> dict[str, Any]:
    """What a client was shown, in the same form."""
    return {name: frame[name] for name in SHOWN_FIELDS if frame.get(name)}
