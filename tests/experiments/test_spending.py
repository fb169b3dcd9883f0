"""A restarted server reads off the logs what was spent, and reads them only where that matters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from chatrooms import started
from folders import experiment

from experiments.erasing import erase_log
from experiments.eventlog.erasing import is_erased
from experiments.eventlog.reader import last_line, record_in
from experiments.experiment import Experiment
from experiments.spending import ledger_for
from simulation.codec import Record, encode
from simulation.events import AnyEvent, ModelCalled, ParticipantErased, TurnDropped, TurnPlanned
from simulation.llm.budget import Spent
from simulation.parameters import Budget, ModelChoice

TODAY, YESTERDAY = "2026-11-24", "2026-11-23"
STARTED = started(language_model=ModelChoice(provider="groq", model="small"))
EVERY_LIMIT = Budget(calls_per_experiment=100)


def today() -> str:
    return TODAY


def study(folder: Path, budget: Budget = EVERY_LIMIT, name: str = "study") -> Experiment:
    loaded = experiment(folder / "config", experimental={"experiment_id": name})
    return loaded.with_models(lambda each: replace(each, parameters=replace(each.parameters, budget=budget)))


def call(provider: str = "groq", **details) -> ModelCalled:
    values: dict[str, Any] = {
        "elapsed": 1.0,
        "agent_name": "Alice",
        "prompt": "What now?",
        "response": "hello",
        "error": None,
        "turn_id": "turn-1",
        "provider": provider,
        "requested_model": "small",
        "served_model": None,
        "parameters": {},
        "attempt": 1,
        "status": "ok",
        "finish_reason": "stop",
        "latency_ms": 5,
        "queue_ms": 0,
        "input_tokens": 100,
        "output_tokens": 20,
        "thinking_tokens": None,
        "cached_tokens": None,
        "cost": 0.25,
        "request_id": None,
    }
    return ModelCalled(**(values | details))


def lines(calls: Iterable[AnyEvent], *, of: str = "study", date: str = TODAY) -> list[bytes]:
    events: list[AnyEvent] = [replace(STARTED, experiment_id=of), *calls]
    stamp = f"{date}T23:59:59.999999+00:00"
    return [encode(Record(seq, stamp, event)) for seq, event in enumerate(events, start=1)]


def log(folder: Path, *calls: AnyEvent, name: str = "a", **details: str) -> Path:
    path = folder / f"{name}.json"
    path.write_bytes(b"".join(lines(calls, **details)))
    return path


def test_calls_of_every_log_of_the_experiment_are_counted(tmp_path):
    log(tmp_path, call(), call(), name="a")
    log(tmp_path, call(cost=0.5), name="b")
    ledger = ledger_for(study(tmp_path), tmp_path, today)
    assert ledger.experiment == Spent(calls=3, tokens=360, cost=1.0)


def test_calls_of_another_experiment_are_not(tmp_path):
    log(tmp_path, call(), name="a")
    log(tmp_path, call(), call(), name="b", of="another")
    assert ledger_for(study(tmp_path), tmp_path, today).experiment.calls == 1


def test_the_day_has_those_of_the_same_day(tmp_path):
    log(tmp_path, call(), name="a")
    log(tmp_path, call(), call(), name="b", date=YESTERDAY)
    ledger = ledger_for(study(tmp_path), tmp_path, today)
    assert (ledger.day.calls, ledger.experiment.calls, ledger.date) == (1, 3, TODAY)


def test_a_log_may_run_over_midnight(tmp_path):
    before, after = lines([call()], date=YESTERDAY), lines([call(), call()], date=TODAY)
    (tmp_path / "a.json").write_bytes(b"".join([*before, *after[1:]]))
    ledger = ledger_for(study(tmp_path), tmp_path, today)
    assert (ledger.day.calls, ledger.experiment.calls) == (2, 3)


def test_calls_that_failed_are_calls(tmp_path):
    failed = call(status="timeout", response=None, error="no answer in time", input_tokens=None, output_tokens=None)
    log(tmp_path, replace(failed, cost=None), call())
    assert ledger_for(study(tmp_path), tmp_path, today).experiment == Spent(calls=2, tokens=120, cost=0.25)


def test_what_was_only_run_again_from_a_log_costs_nothing(tmp_path):
    start = started(language_model=ModelChoice(provider="recorded", model="recorded"))
    events: list[AnyEvent] = [replace(start, experiment_id="study"), call()]
    stamp = f"{TODAY}T12:00:00+00:00"
    repeated = b"".join(encode(Record(seq, stamp, event)) for seq, event in enumerate(events, start=1))
    (tmp_path / "again.json").write_bytes(repeated)
    assert ledger_for(study(tmp_path), tmp_path, today).experiment.calls == 0


@pytest.mark.parametrize("provider", ["scripted", "canned"])
def test_what_nobody_was_asked_for_costs_nothing(tmp_path, provider):
    log(tmp_path, call(), call(provider=provider, cost=None))
    assert ledger_for(study(tmp_path), tmp_path, today).experiment.calls == 1


@pytest.mark.parametrize(
    "limit",
    [
        "calls_per_experiment",
        "calls_per_day",
        "tokens_per_experiment",
        "tokens_per_day",
        "cost_per_experiment",
        "cost_per_day",
    ],
)
def test_a_restart_does_not_give_a_spent_budget_back(tmp_path, limit):
    log(tmp_path, call(), call())
    reached: Any = {"calls": 2, "tokens": 240, "cost": 0.5}[limit.partition("_")[0]]
    ledger = ledger_for(study(tmp_path, Budget(**{limit: reached})), tmp_path, today)
    assert ledger.spent_up() == limit


class Unread:
    """A folder that must not be looked into."""

    def glob(self, pattern: str):
        raise AssertionError("the logs were read in vain")


@pytest.mark.parametrize(
    "budget",
    [Budget(), Budget(calls_per_session=5, tokens_per_session=5, cost_per_session=5)],
    ids=["no limit", "limits of a session"],
)
def test_nothing_is_read_where_no_limit_needs_it(tmp_path, budget):
    ledger = ledger_for(study(tmp_path, budget), Unread(), today)  # type: ignore[arg-type]
    assert (ledger.experiment, ledger.budget, ledger.date) == (Spent(), budget, TODAY)


class TestDamagedFiles:
    def test_are_counted_as_far_as_they_can_be_read(self, tmp_path):
        whole = lines([call(), call(), call()])
        (tmp_path / "a.json").write_bytes(b"".join([*whole[:3], b'{"seq": 4, "times\n', whole[3]]))
        assert ledger_for(study(tmp_path), tmp_path, today).experiment.calls == 2

    def test_a_torn_last_line_was_told_to_nobody(self, tmp_path):
        path = log(tmp_path, call(), call())
        path.write_bytes(path.read_bytes()[:-20])
        assert ledger_for(study(tmp_path), tmp_path, today).experiment.calls == 1

    @pytest.mark.parametrize(
        "content",
        [
            pytest.param(b"", id="empty"),
            pytest.param(b"\n\n\n", id="empty lines"),
            pytest.param(b"no log at all\n", id="text"),
            pytest.param(b"\xff\xfe\x00\n", id="not UTF-8"),
            pytest.param(b"[]\n", id="an array"),
            pytest.param(b'{"seq": 1}\n', id="no record"),
            pytest.param(encode(Record(1, f"{TODAY}T00:00:00+00:00", call())), id="a log without its start"),
        ],
    )
    def test_stop_nothing(self, tmp_path, content):
        (tmp_path / "a.json").write_bytes(content)
        log(tmp_path, call(), name="b")
        assert ledger_for(study(tmp_path), tmp_path, today).experiment.calls == 1

    def test_nor_does_a_folder_that_is_called_like_a_log(self, tmp_path):
        (tmp_path / "a.json").mkdir()
        log(tmp_path, call(), name="b")
        assert ledger_for(study(tmp_path), tmp_path, today).experiment.calls == 1

    def test_nor_a_folder_of_logs_that_is_not_there_yet(self, tmp_path):
        assert ledger_for(study(tmp_path), tmp_path / "logs", today).experiment == Spent()

    def test_files_of_another_kind_are_no_logs(self, tmp_path):
        log(tmp_path, call()).rename(tmp_path / "a.json.torn")
        assert ledger_for(study(tmp_path), tmp_path, today).experiment == Spent()


def test_a_call_that_the_end_of_a_session_broke_off_counts_as_one(tmp_path):
    plans = [
        TurnPlanned(
            elapsed=1.0,
            turn_id=f"turn-{number}",
            agent_name="Alice",
            cause="background",
            act=act,
            target=None,
            drawn_at=1.0,
            pace=1.0,
            reading_seconds=1.0,
        )
        for number, act in enumerate(["message", "message", "message", "reaction"], start=1)
    ]
    dropped = TurnDropped(elapsed=2.0, turn_id="turn-2", agent_name="Alice", reason="budget_spent")
    log(tmp_path, *plans, call(), dropped)
    assert ledger_for(study(tmp_path), tmp_path, today).experiment.calls == 2, "turn-1 was called, turn-3 broken off"


def test_an_erased_session_counts_as_before(tmp_path):
    log(tmp_path, call(), call(cost=0.5), name="a")
    log(tmp_path, call(), call(turn_id="turn-2"), name="b", date=YESTERDAY)
    log(tmp_path, call(), name="c", of="another")
    experiment = study(tmp_path)
    before = ledger_for(experiment, tmp_path, today)
    assert (before.experiment.calls, before.day.calls) == (4, 2)
    for name, of in (("a", "study"), ("b", "study"), ("c", "another")):
        erase_log(tmp_path / f"{name}.json", of, "request", datetime.fromisoformat(f"{TODAY}T12:00:00Z"))
        assert is_erased(tmp_path / f"{name}.json")
    after = ledger_for(experiment, tmp_path, today)
    assert (after.experiment, after.day) == (before.experiment, before.day)
    last = record_in(last_line(tmp_path / "a.json"))
    assert last is not None
    assert isinstance(last.event, ParticipantErased)
    assert (last.event.records, last.event.calls, last.event.tokens, last.event.cost) == (3, 2, 240, 0.75)
