"""What a participant is given when it is over: an outcome, a code, an address, and the debriefing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.entry import completion_address
from experiments.experiment import Experiment
from experiments.markup import paragraphs

DEBRIEFED = ("completed", "withdrawn", "technical")
"""Who was in the room is told what it was; who was not needs no telling, and might tell others."""


def completion(experiment: Experiment, outcome: str, parameters: Mapping[str, str]) -> dict[str, str | None]:
    """Return what the wire calls `completion`."""
    chosen = getattr(experiment.completion, outcome)
    if chosen is None:
        return {"outcome": outcome, "code": None, "url": None}
    url = None if chosen.url is None else completion_address(chosen.url, chosen.code, parameters)
    return {"outcome": outcome, "code": chosen.code, "url": url}


def debriefing(experiment: Experiment, outcome: str) -> dict[str, Any] | None:
    screen = experiment.screens.debriefing
    if screen is None or outcome not in DEBRIEFED:
        return None
    return {"title": screen.title, "paragraphs": written(screen.text)}


def written(text: str) -> list[list[dict[str, str | None]]]:
    """Return a screen's text as the wire has it: paragraphs of spans."""
    return [[span._asdict() for span in paragraph] for paragraph in paragraphs(text)]
