"""What an experiment has spent, read off its session logs: a restarted server does not start to count anew.

A call that a session's end broke off has no record, only its turn: it counts as one call, of no known size.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import dropwhile
from pathlib import Path

from experiments.errors import ErasedLog, LogError
from experiments.eventlog.reader import last_line, read_records, record_in
from experiments.experiment import Experiment
from simulation.codec import Record
from simulation.contract import LoggedEvent
from simulation.events import Act, ModelCalled, ParticipantErased, SessionStarted, TurnDropped, TurnPlanned
from simulation.generation import CACHE, Usage
from simulation.llm.budget import Ledger, Spent
from simulation.llm.pricing import total_tokens
from simulation.llm.registry import WIRE
from simulation.workforce.events import SessionForked, TurnStarted, WorkforceStarted

logger = logging.getLogger("chatroom.model")

DATE_CHARACTERS = len("2026-12-31")
LOCAL_SOURCES = ("scripted", "canned")

Asked = TurnPlanned | TurnStarted
"""A turn for which a call was due, in either kind of session."""


def ledger_for(experiment: Experiment, log_dir: Path, today: Callable[[], str]) -> Ledger:
    """Return the experiment's ledger, with what the logs in `log_dir` say was spent where that has a limit."""
    budget = experiment.parameters.budget
    ledger = Ledger(budget, today, date=today())
    names = [each.name for each in fields(budget) if not each.name.endswith("_session")]
    if any(getattr(budget, name) is not None for name in names):
        for path in sorted(log_dir.glob("*.json")):
            for day, spent in spent_in(path, experiment.experiment_id).items():
                _add(ledger.experiment, spent)
                if day == ledger.date:
                    _add(ledger.day, spent)
    return ledger


def spent_by(records: Sequence[Record]) -> Spent:
    """Return what a session has spent, as its records say."""
    spent = Spent()
    for _, call in _calls_of(_own(records[0].event, iter(records))):
        _count(spent, call)
    return spent


def spent_in(path: Path, experiment_id: str) -> dict[str, Spent]:
    """Return what a log says was spent of an experiment's budget, by day (UTC); an erased one says it as well."""
    records = _readable(path)
    first = next(records, None)
    event = first.event if first is not None else None
    if not isinstance(event, SessionStarted | WorkforceStarted | ParticipantErased):
        return {}
    if event.experiment_id != experiment_id:
        return {}
    if isinstance(event, ParticipantErased):
        return {day: _spent(amounts) for day, amounts in event.by_day.items()}
    days: dict[str, Spent] = {}
    for timestamp, call in _calls_of(_own(event, records)) if _is_paid_for(event) else ():
        _count(days.setdefault(timestamp[:DATE_CHARACTERS], Spent()), call)
    return days


def _spent(amounts: Mapping[str, float]) -> Spent:
    return Spent(calls=int(amounts["calls"]), tokens=int(amounts["tokens"]), cost=amounts["cost"])


def _add(spent: Spent, more: Spent) -> None:
    spent.calls += more.calls
    spent.add(more.tokens, more.cost)


def _count(spent: Spent, call: ModelCalled | Asked) -> None:
    spent.calls += 1
    if not isinstance(call, ModelCalled):
        return
    usage = Usage(
        input_tokens=call.input_tokens, output_tokens=call.output_tokens, thinking_tokens=call.thinking_tokens
    )
    spent.add(total_tokens(call.provider, usage), call.cost)


def _own(start: LoggedEvent, records: Iterator[Record]) -> Iterator[Record]:
    """Yield the records of a session without those that a branch has of its parent: they were paid for there."""
    if isinstance(start, WorkforceStarted) and start.fork is not None:
        records = dropwhile(lambda record: not isinstance(record.event, SessionForked), records)
    return records


def _calls_of(records: Iterator[Record]) -> Iterator[tuple[str, ModelCalled | Asked]]:
    """Yield the calls, and the turns whose call was broken off by the end: it may have been made."""
    under_way: dict[str, tuple[str, Asked]] = {}
    for record in records:
        match record.event:
            case TurnPlanned() as planned if planned.act != Act.REACTION:
                under_way[planned.turn_id] = (record.timestamp, planned)
            case TurnStarted() as asked:
                under_way[asked.turn_id] = (record.timestamp, asked)
            case TurnDropped() as dropped:
                under_way.pop(dropped.turn_id, None)
            case ModelCalled() as call:
                under_way.pop(call.turn_id, None)
                if call.provider not in LOCAL_SOURCES and call.source != CACHE:
                    yield record.timestamp, call
    yield from under_way.values()


def _is_paid_for(start: SessionStarted | WorkforceStarted) -> bool:
    """Whether a session spoke through somebody who is paid."""
    return start.parameters.language_model.provider in WIRE


def _readable(path: Path) -> Iterator[Record]:
    """Yield a log's records as far as it can be read: what a damaged one hides cannot be counted. Of an
    erased one, its last."""
    try:
        yield from read_records(path)
    except ErasedLog:
        last = record_in(last_line(path))
        if last is not None:
            yield last
    except LogError as error:
        logger.warning("what this log has spent is counted up to its damage: %s", error)
    except OSError as error:
        logger.warning("what this log has spent is not counted: %s: %s", path, error.strerror)
