"""The recorded model: answers as an event log has them, offline, whoever gave them then.

A turn is known by its id, so a session with the settings, the seed and the inputs of the recorded one gets the very
same answers after the very same time. A turn that the log does not know gets no text.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Set
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from simulation.codec import Record, decode
from simulation.errors import GenerationError, InvalidJson, InvalidRecord, NotAsked, UnknownProvider
from simulation.events import ModelCalled, SessionResumed, SessionStarted, TurnDropped, TurnPlanned
from simulation.generation import Attempt, GenerateRequest, Generation, Usage, status_of
from simulation.inputs import GenerationArrived
from simulation.llm.registry import LocalProvider
from simulation.parameters import ModelChoice

ONE_AFTER_THE_OTHER = 1e-7
"""Seconds between answers that came in the same millisecond, so that they come in the same order."""


class Answer(NamedTuple):
    """What became of a turn, `seconds` from its plan to that, and its place among the log's records."""

    arrived: GenerationArrived
    seconds: float
    order: int


def answers_in(records: Iterable[Record]) -> dict[str, Answer]:
    """Return the answer that each turn of a log got, by turn_id."""
    planned_at: dict[str, float] = {}
    calls: dict[str, list[ModelCalled]] = {}
    answers: dict[str, Answer] = {}
    for record in records:
        match record.event:
            case TurnPlanned() as event:
                planned_at[event.turn_id] = event.elapsed
            case ModelCalled() as event:
                made = calls.setdefault(event.turn_id, [])
                made.append(event)
                answers[event.turn_id] = _answer(made, planned_at.get(event.turn_id, event.elapsed), record.seq)
            case SessionResumed():
                calls.clear()  # whoever was asked before, and gave no answer that counts, was asked again
            case TurnDropped() as event:
                known = answers.get(event.turn_id)
                if known is None or known.arrived.generation is None:
                    since = planned_at.get(event.turn_id, event.elapsed)
                    answers[event.turn_id] = _nothing(event, known, since, record.seq)
    return answers


def _answer(calls: list[ModelCalled], planned_at: float, order: int) -> Answer:
    last = calls[-1]
    attempts = tuple(map(attempt_of, calls))
    arrived = GenerationArrived(
        turn_id=last.turn_id,
        agent_name=last.agent_name,
        prompt=last.prompt,
        status=attempts[-1].status,
        generation=None if last.error is not None else attempts[-1].generation,
        attempts=attempts,
    )
    return Answer(arrived, last.elapsed - planned_at, order)


def _nothing(dropped: TurnDropped, known: Answer | None, planned_at: float, order: int) -> Answer:
    """A turn that ended without an answer, and perhaps without a call."""
    arrived = GenerationArrived(
        turn_id=dropped.turn_id,
        agent_name=dropped.agent_name,
        prompt=known.arrived.prompt if known else "",
        status=dropped.reason,
        attempts=known.arrived.attempts if known else (),
    )
    return Answer(arrived, dropped.elapsed - planned_at, order)


def attempt_of(call: ModelCalled) -> Attempt:
    """Return the attempt that an `llm_call` records: what the room thought of the answer is not the provider's."""
    generation = _generation(call)
    return Attempt(
        provider=call.provider,
        requested_model=call.requested_model,
        number=call.attempt,
        status=status_of(generation) if generation and call.status == "filtered" else call.status,
        generation=generation,
        error=call.error,
        http_status=call.http_status,
        request_id=call.request_id,
        parameters=call.parameters,
        latency_ms=call.latency_ms,
        queue_ms=call.queue_ms,
        cost=call.cost,
    )


def _generation(call: ModelCalled) -> Generation | None:
    if call.error is not None and call.response is None:
        return None
    return Generation(
        text=call.response,
        finish_reason=call.finish_reason or "stop",
        reason=call.reason,
        usage=Usage(
            input_tokens=call.input_tokens,
            output_tokens=call.output_tokens,
            thinking_tokens=call.thinking_tokens,
            cached_tokens=call.cached_tokens,
        ),
        served_model=call.served_model,
        request_id=call.request_id,
        source=call.source,
    )


class RecordedProvider(LocalProvider):
    """One log for all sessions."""

    def __init__(self, choice: ModelChoice, folder: Path) -> None:
        if choice.log is None:
            raise UnknownProvider("recorded needs language_model.log, the session log to answer from")
        records = _records(folder / choice.log)
        self._answers = answers_in(records)
        planned = {record.event.turn_id for record in records if isinstance(record.event, TurnPlanned)}
        self._unanswered = planned - self._answers.keys()

    def for_session(self, start: SessionStarted) -> RecordedModel:
        return RecordedModel(self._answers, self._unanswered)


class RecordedModel:
    provider = "recorded"
    model = "recorded"

    def __init__(self, answers: Mapping[str, Answer], unanswered: Set[str] = frozenset()) -> None:
        self._answers = answers
        self._unanswered = unanswered

    async def generate(self, request: GenerateRequest) -> Generation:
        """Return what the turn got; raise what it met with. One that was under way at the end gets nothing, ever."""
        if request.turn_id in self._unanswered:
            await asyncio.Event().wait()
        answer = self._answers.get(request.turn_id)
        if answer is None:
            return Generation(text=None, reason="not in the recorded log")
        await asyncio.sleep(answer.seconds + answer.order * ONE_AFTER_THE_OTHER)
        arrived = answer.arrived
        if arrived.generation is not None:
            return replace(arrived.generation, attempts=arrived.attempts)
        error = (GenerationError if arrived.attempts else NotAsked)("as recorded", kind=arrived.status)
        error.attempts = arrived.attempts
        raise error


def _records(path: Path) -> list[Record]:
    try:
        *lines, _torn = path.read_bytes().split(b"\n")
        return [decode(line) for line in lines]
    except OSError as error:
        raise UnknownProvider(f"language_model.log: {path} cannot be read: {error.strerror}") from error
    except (InvalidJson, InvalidRecord) as error:
        raise UnknownProvider(f"language_model.log: {path} is no event log: {error}") from error
