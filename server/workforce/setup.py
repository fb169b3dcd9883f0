"""The simulator put together: roles, who speaks for them, and the desk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.eventlog.folder import LogFolder
from experiments.store.simulations import Simulations
from experiments.store.study import Study
from experiments.workforce.roles import ROLES_FOLDER, load_roles
from server.metrics import Metrics
from server.settings import CHECKOUT_CONFIG, PACKAGED_CONFIG, ServerSettings
from server.workforce.desk import Desk, ModelFor
from server.workforce.table import Simulator
from simulation.generation import LanguageModel
from simulation.llm.budget import Spent
from simulation.llm.registry import LOCAL, Provider
from simulation.parameters import ModelChoice, SimulationParameters
from simulation.runtime.clock import WallClock, wall_time
from simulation.workforce.events import WorkforceStarted
from simulation.workforce.parameters import Role

if TYPE_CHECKING:
    from simulation.llm.cache import Answers

SCRIPTED = ModelChoice(provider="scripted", model="workforce")
"""Who speaks where chats have a script, or a recorded log: neither knows of roles."""


def roles_folder(experiment_folder: Path) -> Path:
    """Return the experiment's own roles, or else those that we come with."""
    candidates = [each / ROLES_FOLDER for each in (experiment_folder, PACKAGED_CONFIG, CHECKOUT_CONFIG)]
    return next((folder for folder in candidates if folder.is_dir()), candidates[-1])


def workforce_roles(experiment_folder: Path) -> tuple[Role, ...]:
    """Return the roles that there are; raise InvalidExperiment with everything that is wrong with their files."""
    return load_roles(roles_folder(experiment_folder))


async def open_simulator(
    settings: ServerSettings,
    study: Study,
    provider: Provider,
    logs: LogFolder,
    roles: Sequence[Role],
    metrics: Metrics,
    *,
    new_id: Callable[[], str],
) -> Simulator:
    desk = Desk(
        simulations=Simulations(study.database),
        logs=logs,
        model_for=model_for(provider, settings.llm_cache_entries),
        clock=WallClock(),
        now=wall_time,
        metrics=metrics,
    )
    await desk.reconcile()
    return Simulator(
        desk,
        experiment=study.experiment,
        experiment_seed=study.seed,
        roles=roles,
        choice=choice_of(study.experiment.parameters),
        log_sync=settings.log_sync,
        new_id=new_id,
    )


def choice_of(parameters: SimulationParameters) -> ModelChoice:
    """Return who speaks at tables: the chat's own model, if it is one that can be asked anything."""
    return SCRIPTED if parameters.language_model.provider in LOCAL else parameters.language_model


def model_for(provider: Provider, cache_entries: int) -> ModelFor:
    """Return who speaks in a session; up to `cache_entries` answers need not be asked for again."""
    from simulation.llm.cache import AnswersInMemory

    answers: Answers | None = AnswersInMemory(cache_entries) if cache_entries else None

    def chosen(start: WorkforceStarted, spent: Spent) -> LanguageModel | None:
        if start.parameters.language_model.provider == SCRIPTED.provider:
            from simulation.llm.scripted_workforce import ScriptedWorkforce

            return ScriptedWorkforce(start, model=SCRIPTED.model)
        from simulation.llm.gateway import Gateway

        return provider.for_workforce(start, spent, answers) if isinstance(provider, Gateway) else None

    return chosen
