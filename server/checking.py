"""`chatroom check`: what is wrong with an experiment, or else what a reviewer wants to know of it."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from experiments.differences import ABSENT, Contrast, contrasts
from experiments.errors import InvalidExperiment
from experiments.expectations import Expectation
from experiments.experiment import Experiment, load_experiment
from experiments.review import Limit, review, review_warnings
from server import models
from server.errors import InvalidSettings
from server.facts import assignment_in_words, entry_in_words
from server.reviewing import Checked, show
from server.settings import load_settings
from server.showing import console
from server.workforce.setup import workforce_roles
from simulation.llm.pricing import PriceList
from simulation.llm.registry import is_on_the_wire

REFUSED = "serve will refuse: "


def check(folder: Path, *, as_json: bool) -> bool:
    """Check the experiment in `folder` and print what it is. Return False if it cannot be read, for machines; for
    people raise InvalidExperiment."""
    try:
        experiment = load_experiment(folder)
        workforce_roles(folder)
    except InvalidExperiment as error:
        if not as_json:
            raise
        problems = [{**each._asdict(), "file": str(each.file)} for each in error.problems]
        _print_json({"folder": str(folder), "problems": problems})
        return False
    found = _checked(folder, experiment)
    if as_json:
        _print_json(_as_json(found))
    else:
        show(console(), found)
    return True


def _checked(folder: Path, experiment: Experiment) -> Checked:
    chosen, why, refused = _with_models(folder, experiment)
    prices, unpriced = _prices(folder)
    found = review(chosen, prices)
    warnings = dict.fromkeys((*refused, *unpriced, *chosen.warnings, *review_warnings(chosen, found)))
    return Checked(chosen, prices, found, contrasts(experiment), why, tuple(warnings))


def _with_models(folder: Path, experiment: Experiment) -> tuple[Experiment, str, list[str]]:
    """Return the experiment with the models that serve would settle on, why, and what serve would say against it."""
    try:
        settings = load_settings(experiment_dir=folder)
    except InvalidSettings as error:
        return experiment, "as the files name it", [f"{REFUSED}{each}" for each in error.problems]
    try:
        settled = models.settled(settings, experiment)
        if not is_on_the_wire(*settled.experiment.every):
            models.provider(settings, settled.experiment)  # reads a script, or a log to answer from
        return settled.experiment, settled.why, []
    except InvalidSettings as error:
        refused = [f"{REFUSED}{each}" for each in error.problems]
    with contextlib.suppress(InvalidSettings):
        settled = models.settled(settings, experiment, strictly=False)
        return settled.experiment, settled.why, refused
    return experiment, "as the files name it", refused


def _prices(folder: Path) -> tuple[PriceList | None, list[str]]:
    try:
        return models.prices(folder), []
    except InvalidSettings as error:
        return None, [*error.problems]


# For machines


def _print_json(data: object) -> None:
    print(json.dumps(data, ensure_ascii=False, indent=2))  # noqa: T201


def _as_json(found: Checked) -> dict[str, Any]:
    experiment, total = found.experiment, found.review.total
    return {
        "folder": str(experiment.folder),
        "experiment_id": experiment.experiment_id,
        "content_sha256": experiment.content_sha256,
        "sha256": dict(experiment.sha256),
        "assignment": {"in_words": assignment_in_words(experiment), **_settings(experiment.settings.assignment)},
        "entry": {"in_words": entry_in_words(experiment), **_settings(experiment.settings.entry)},
        "retain_days": experiment.retain_days,
        "model_chosen": found.why,
        "differences": [_contrast(each) for each in found.contrasts],
        "conditions": {name: _figures(each) for name, each in found.review.expectations.items()},
        "experiment": {
            "sessions": dict(total.sessions),
            "by_quota": total.by_quota,
            "calls": round(total.calls, 1),
            "tokens": _rounded(total.tokens, 0),
            "cost": _rounded(total.cost, 6),
            "currency": found.prices.currency if found.prices else None,
        },
        "limits": [_limit(each) for each in found.review.limits],
        "sessions_at_once": _rounded(found.review.sessions_at_once, 2),
        "problems": [],
        "warnings": list(found.warnings),
    }


def _settings(settings: Any) -> dict[str, Any]:
    dumped: dict[str, Any] = settings.model_dump(mode="json")
    return dumped


def _contrast(contrast: Contrast) -> dict[str, Any]:
    """A value that a condition does not have at all is left out."""
    rows = [
        {
            "key": setting.key,
            "values": {k: v for k, v in zip(contrast.labels, setting.values, strict=True) if v is not ABSENT},
        }
        for setting in contrast.settings
    ]
    conditions = {label: list(names) for label, names in zip(contrast.labels, contrast.conditions, strict=True)}
    return {"by": list(contrast.by), "conditions": conditions, "settings": rows}


def _figures(each: Expectation) -> dict[str, Any]:
    return {
        "levels": dict(each.condition.levels),
        "model": each.model,
        "minutes": each.minutes,
        "gate": each.condition.parameters.gate,
        "per_session": {
            "participant_messages": round(each.participant_messages, 2),
            "agent_messages": round(each.agent_messages, 2),
            "background_messages": round(each.background_messages, 2),
            "reactions": round(each.reactions, 2),
            "stimuli": each.stimuli,
            "calls": round(each.calls, 2),
            "prompt_tokens_mean": _rounded(each.prompt_tokens, 1),
            "prompt_tokens_longest": each.longest_prompt_tokens,
            "tokens": _rounded(each.tokens, 0),
            "cost": _rounded(each.cost, 6),
        },
    }


def _limit(limit: Limit) -> dict[str, Any]:
    return {
        "key": limit.key,
        "limit": limit.limit,
        "expected": _rounded(limit.expected, 6),
        "condition": limit.condition,
        "enough_for_sessions": _rounded(limit.sessions, 2),
        "reached": limit.is_reached,
    }


def _rounded(amount: float | None, decimals: int) -> float | None:
    return None if amount is None else round(amount, decimals)
