"""What a session's log says of its model: every call, and when it fell silent and spoke again."""

from __future__ import annotations

from collections.abc import Iterator, Set

from simulation.events import AnyEvent, ModelCalled, ModelDegraded, ModelMismatch, ModelRecovered
from simulation.generation import MOST_NAMES, USABLE, Attempt, Usage, is_another_model
from simulation.inputs import GenerationArrived
from simulation.parameters import FALLBACKS, MILLISECONDS
from simulation.state import SessionState

MANY_FAILURES = 5
"""So many turns without a message, and answers that cannot be used are silence too."""


def health_events(state: SessionState, arrived: GenerationArrived, status: str, now: float) -> Iterator[AnyEvent]:
    """Say when the model falls silent and when it speaks again, so that the time between can be left out; then, once
    for each, that another model answered than was asked. Each event is to be applied before the next is taken.

    `status` is what became of the answer: one that cannot be used is none, once there were many.
    """
    generation = arrived.generation
    if arrived.status == "throttled":
        return  # skipped by us, so that the model is asked less: it says nothing of it
    provider = state.parameters.language_model.provider
    was_refused = arrived.status == "blocked"  # the prompt was, not the request: whoever says so is well
    if (generation is None and not was_refused) or (generation is not None and generation.source in FALLBACKS):
        reason = arrived.status if generation is None else generation.reason or arrived.status
        if state.degraded_at is None and not _is_old_news(state, arrived):
            yield ModelDegraded(elapsed=now, provider=provider, reason=reason)
        return
    if status not in USABLE:
        if state.degraded_at is None and state.failures >= MANY_FAILURES:
            yield ModelDegraded(elapsed=now, provider=provider, reason=status)
        return
    if state.degraded_at is not None:
        seconds = round(now - state.degraded_at, MILLISECONDS)
        yield ModelRecovered(elapsed=now, provider=provider, seconds=seconds)
    for attempt in arrived.attempts:
        yield from mismatches(state.served_models, attempt, now)


def _is_old_news(state: SessionState, arrived: GenerationArrived) -> bool:
    """Whether the model has answered since the turn was planned that it now failed to answer in time."""
    turn = state.turns.get(arrived.turn_id)
    return arrived.status == "timeout" and turn is not None and turn.planned.elapsed < state.model_answered_at


def mismatches(known: Set[tuple[str, str]], attempt: Attempt, now: float) -> Iterator[ModelMismatch]:
    """Say that another model answered than was asked, unless that pair is among the `known` ones."""
    served = attempt.generation.served_model if attempt.generation else None
    requested = attempt.requested_model
    if is_another_model(requested, served) and (requested, served) not in known and len(known) < MOST_NAMES:
        assert served is not None
        yield ModelMismatch(elapsed=now, provider=attempt.provider, requested_model=requested, served_model=served)


def model_called(arrived: GenerationArrived, attempt: Attempt, now: float) -> ModelCalled:
    """Return the record of one attempt."""
    generation = attempt.generation
    usage = generation.usage if generation else Usage()
    return ModelCalled(
        elapsed=now,
        agent_name=arrived.agent_name,
        prompt=arrived.prompt,
        response=generation.text if generation else None,
        error=attempt.error,
        turn_id=arrived.turn_id,
        provider=attempt.provider,
        requested_model=attempt.requested_model,
        served_model=generation.served_model if generation else None,
        parameters=attempt.parameters,
        attempt=attempt.number,
        status=attempt.status,
        finish_reason=generation.finish_reason if generation else None,
        latency_ms=attempt.latency_ms,
        queue_ms=attempt.queue_ms,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        thinking_tokens=usage.thinking_tokens,
        cached_tokens=usage.cached_tokens,
        cost=attempt.cost,
        request_id=generation.request_id if generation else attempt.request_id,
        http_status=attempt.http_status,
        reason=generation.reason if generation else None,
        source=generation.source if generation else "model",
    )
