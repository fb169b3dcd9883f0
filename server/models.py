"""Which model speaks, and with which key: settled from the settings file and the environment before anything starts."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from pydantic import SecretStr

from experiments.experiment import Condition, Experiment
from experiments.spending import ledger_for
from server.errors import InvalidSettings
from server.settings import CHECKOUT_CONFIG, PACKAGED_CONFIG, ServerSettings
from simulation.errors import SimulationError
from simulation.llm.endpoint import Endpoint
from simulation.llm.pricing import InvalidPrices, Price, PriceList
from simulation.llm.registry import (
    LOCAL,
    NEEDED,
    PROVIDERS,
    WIRE,
    Means,
    Provider,
    choices_of,
    is_on_the_wire,
    local_providers,
    not_taken_by,
    wire_provider,
)
from simulation.parameters import ModelChoice

logger = logging.getLogger("chatroom.model")

PRICES_FILE = "prices.json"


class Settled(NamedTuple):
    """An experiment whose model is settled, and why it is this one."""

    experiment: Experiment
    why: str


def settled(settings: ServerSettings, experiment: Experiment, *, strictly: bool = True) -> Settled:
    """Settle which model speaks. Raise InvalidSettings if it could not; unless `strictly`, only for a provider
    that we do not know: whoever asks which models there are need not have settled on one."""
    _, why = _provider(settings, experiment.first, strictly=strictly)

    def settle(condition: Condition) -> Condition:
        provider, _ = _provider(settings, condition, strictly=strictly)
        return condition.with_model(provider, _model(settings, condition, provider))

    chosen = experiment.with_models(settle)
    problems = [*_unknown(chosen), *(_missing(settings, chosen) if strictly else ())]
    if problems:
        raise InvalidSettings(problems)
    warnings = (*experiment.warnings, *_overruled(settings, experiment), *_model_warnings(chosen))
    return Settled(replace(chosen, warnings=warnings), why)


def _overruled(settings: ServerSettings, experiment: Experiment) -> Iterator[str]:
    """Conditions may differ in their models; the environment makes them all the same."""
    named = {(each.named_provider, each.named_model) for each in experiment.conditions.values()}
    if len(named) > 1 and (settings.llm_provider or settings.llm_model):
        yield "LLM_PROVIDER or LLM_MODEL is set: it replaces the language models in which conditions differ"


def _model_warnings(experiment: Experiment) -> Iterator[str]:
    scripted = any(each.language_model.provider == "scripted" for each in experiment.every)
    if scripted and experiment.entry.mode != "demo":
        yield "the agents speak from a script, whatever their prompts say: name a language model before you recruit"
    for choice in choices_of(*experiment.every):
        for name in not_taken_by(choice):
            yield f"language_model.{name}: {choice.provider} has no such setting, so it is not sent"
        if choice.provider in WIRE and _price(experiment, choice) is None:
            file = prices_path(experiment.folder)
            yield f"{file}: no price for {choice.provider}:{choice.model}, so the log's costs will be null"


def _price(experiment: Experiment, choice: ModelChoice) -> Price | None:
    return prices(experiment.folder).price(choice.provider, choice.model)


def _provider(settings: ServerSettings, condition: Condition, *, strictly: bool) -> tuple[str, str]:
    if settings.llm_provider is not None:
        return settings.llm_provider, "chosen by LLM_PROVIDER"
    if condition.named_provider is not None:
        return condition.named_provider, "chosen by language_model.provider"
    usable = [name for name in WIRE if name in endpoints(settings)]
    named = settings.llm_model or condition.named_model
    if not usable:
        unused = f"{named} is named, but " if named else ""
        return "scripted", f"{unused}no API key is set"
    keys = " and ".join(NEEDED[name] for name in usable)
    if named is None:
        return "scripted", f"{keys} is set, but no model is named: set LLM_MODEL"
    if len(usable) > 1:
        if strictly:
            raise InvalidSettings([f"LLM_PROVIDER: missing: {keys} are set; name the provider of {named}"])
        return "scripted", f"{keys} are set, and none is named"
    return usable[0], f"{keys} is set"


def _model(settings: ServerSettings, condition: Condition, provider: str) -> str:
    """The model's name; empty where none is named. A name that was meant for another provider is none."""
    of_the_file = condition.named_model if condition.named_provider in (None, provider) else None
    if provider == "scripted":
        is_meant = provider in (settings.llm_provider, condition.named_provider)
        return ((settings.llm_model or of_the_file) if is_meant else None) or ModelChoice().model
    return provider if provider in LOCAL else settings.llm_model or of_the_file or ""


def endpoints(settings: ServerSettings) -> dict[str, Endpoint]:
    """Return the providers that can be asked, with where and with what key."""
    gemini, groq = _key(settings.gemini_api_key), _key(settings.groq_api_key)
    found: dict[str, Endpoint] = {}
    if gemini:
        found["gemini"] = Endpoint(gemini, settings.gemini_base_url)
    if groq:
        found["groq"] = Endpoint(groq, settings.groq_base_url)
    if settings.openai_compatible_base_url:
        key = _key(settings.openai_compatible_api_key)
        found["openai_compatible"] = Endpoint(key, settings.openai_compatible_base_url)
    return found


def _key(secret: SecretStr | None) -> str:
    """The key without what was copied along with it."""
    return secret.get_secret_value().strip() if secret else ""


def _unknown(experiment: Experiment) -> Iterator[str]:
    for choice in choices_of(*experiment.every):
        if choice.provider not in PROVIDERS:
            near = difflib.get_close_matches(choice.provider, PROVIDERS, n=1)
            meant = f"; did you mean {near[0]}?" if near else ""
            yield f"LLM_PROVIDER: {choice.provider!r} is not allowed: one of {', '.join(PROVIDERS)}{meant}"


def _missing(settings: ServerSettings, experiment: Experiment) -> Iterator[str]:
    for choice in choices_of(*experiment.every):
        if choice.provider in WIRE:
            yield from _missing_on_the_wire(settings, experiment, choice)


def _missing_on_the_wire(settings: ServerSettings, experiment: Experiment, choice: ModelChoice) -> Iterator[str]:
    provider, model = choice.provider, choice.model
    if provider not in endpoints(settings):
        yield (
            f"{NEEDED[provider]}: missing: the agents speak through {provider}. "
            "Put it into .env, or choose another provider."
        )
    if not model:
        yield (
            f"LLM_MODEL: missing: which model of {provider}? Name it here or as language_model.model; "
            "`chatroom models` lists what your key may use."
        )
    elif _has_cost_limit(experiment) and _price(experiment, choice) is None:
        yield (
            f"budget: a limit on cost cannot hold: {prices_path(experiment.folder)} has no price for "
            f"{provider}:{model}. Add it, or limit calls or tokens instead."
        )


def _has_cost_limit(experiment: Experiment) -> bool:
    budgets = [each.budget for each in experiment.every]
    costs = ((each.cost_per_session, each.cost_per_experiment, each.cost_per_day) for each in budgets)
    return any(cost is not None for three in costs for cost in three)


def provider(settings: ServerSettings, experiment: Experiment) -> Provider:
    """Return who answers. On the wire: imports an SDK and builds clients, which takes a second; not on the loop."""
    try:
        if not is_on_the_wire(*experiment.every):
            return local_providers(experiment.every, experiment.folder)
        return wire_provider(experiment.every, experiment.folder, means(settings, experiment))
    except SimulationError as error:
        raise InvalidSettings([f"language model: {error}"]) from error


def means(settings: ServerSettings, experiment: Experiment) -> Means:
    ledger = ledger_for(experiment, settings.log_dir, _today)
    if reached := ledger.spent_up():
        logger.error(
            "budget.%s is spent already, as the logs in %s count it: no session will begin. Raise it, or give the "
            "experiment another experiment_id.",
            reached,
            settings.log_dir,
        )
    return Means(prices=prices(experiment.folder), ledger=ledger, endpoints=endpoints(settings))


def prices(folder: Path) -> PriceList:
    """Return the list of prices; raise InvalidSettings if it cannot be used."""
    try:
        return PriceList.load(prices_path(folder))
    except InvalidPrices as error:
        raise InvalidSettings([str(error)]) from error


def prices_path(folder: Path) -> Path:
    """Return the experiment's own list of prices, or else the one that we come with."""
    candidates = [each / PRICES_FILE for each in (folder, PACKAGED_CONFIG, CHECKOUT_CONFIG)]
    return next((path for path in candidates if path.is_file()), candidates[-1])


def _today() -> str:
    return datetime.now(UTC).date().isoformat()  # noqa: TID251  a day of the budget is a day of the world
