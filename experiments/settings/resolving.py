"""Checked settings to what a session runs on."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from experiments.settings.base import Settings
from experiments.settings.experimental import ExperimentalSettings, OnModelFailureSettings, StimulusSettings
from experiments.settings.simulation import LanguageModelSettings, PersonaSettings, SimulationSettings
from simulation.parameters import (
    MILLISECONDS,
    ActWeights,
    Budget,
    Card,
    GatewayLimits,
    MessageLimits,
    ModelChoice,
    OnModelFailure,
    Persona,
    Sampling,
    SimulationParameters,
    Stimulus,
    Timing,
)


def parameters_of(simulation: SimulationSettings, experimental: ExperimentalSettings) -> SimulationParameters:
    """Return both files' settings with every default filled in."""
    nobody = PersonaSettings()
    personas = (
        Persona(name=name, **simulation.personas.get(name, nobody).model_dump()) for name in simulation.agent_names
    )
    return SimulationParameters(
        prompt_template=experimental.prompt_template,
        agents=tuple(personas),
        messages_per_minute=simulation.messages_per_minute,
        user_response_probability=simulation.user_response_probability,
        message_window=simulation.context_window_size,
        duration_seconds=round(simulation.session_duration_minutes * 60, MILLISECONDS),
        group_name=simulation.group_name,
        participant_name=simulation.participant_name,
        reconnect_grace_seconds=round(simulation.reconnect_grace_seconds, MILLISECONDS),
        while_away=simulation.while_away,
        after_restart=simulation.after_restart,
        limits=MessageLimits(**simulation.limits.model_dump()),
        language_model=_choice(simulation.language_model),
        timing=Timing(**simulation.timing.model_dump()),
        act_weights=ActWeights(**simulation.act_weights.model_dump()),
        gateway=GatewayLimits(**_shared(simulation.language_model, GatewayLimits)),
        on_model_failure=_on_model_failure(experimental.on_model_failure, simulation.language_model),
        budget=Budget(**simulation.budget.model_dump()),
        deny_list=tuple(simulation.deny_list),
        stimuli=stimuli_of(experimental),
        gate=experimental.gate,
    )


def stimuli_of(experimental: ExperimentalSettings) -> tuple[Stimulus, ...]:
    return tuple(_stimulus(each) for each in experimental.stimuli)


def _stimulus(settings: StimulusSettings) -> Stimulus:
    values = settings.model_dump(exclude={"card", "at_seconds"})
    at = None if settings.at_seconds is None else round(settings.at_seconds, MILLISECONDS)
    return Stimulus(**values, at_seconds=at, card=Card(**settings.card.model_dump()) if settings.card else None)


def _choice(chosen: LanguageModelSettings) -> ModelChoice:
    """The choice as the file has it; the server settles on a provider where the file names none."""
    unnamed = ModelChoice()
    return ModelChoice(
        provider=chosen.provider or unnamed.provider,
        model=chosen.model or ("recorded" if chosen.provider == "recorded" else unnamed.model),
        script=chosen.script,
        log=chosen.log,
        sampling=_sampling(chosen),
    )


def _sampling(chosen: LanguageModelSettings) -> Sampling:
    return Sampling.from_record(_shared(chosen, Sampling))


def _shared(settings: Settings, cls: type[GatewayLimits | Sampling]) -> dict[str, Any]:
    """Return those settings that `cls` has a field for."""
    values = settings.model_dump()
    return {each.name: values[each.name] for each in fields(cls)}


def _on_model_failure(chosen: OnModelFailureSettings, first: LanguageModelSettings) -> OnModelFailure:
    second = None
    if chosen.mode == "second_provider" and chosen.provider is not None:
        # What one provider calls its knobs another does not know: only the length of an answer is the same.
        sampling = Sampling(max_output_tokens=first.max_output_tokens)
        second = ModelChoice(provider=chosen.provider, model=chosen.model or ModelChoice().model, sampling=sampling)
    seconds = round(chosen.after_minutes * 60, MILLISECONDS)
    return OnModelFailure(mode=chosen.mode, lines=tuple(chosen.lines), second=second, after_seconds=seconds)
