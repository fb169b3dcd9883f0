"""`chatroom new`: a folder to begin with, and what to do next."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.text import Text

from experiments.errors import NotMade, UnknownExample
from experiments.experiment import Experiment, load_experiment
from experiments.folders import make_folder
from server.errors import InvalidSettings
from server.settings import CHECKOUT_CONFIG, PACKAGED_CONFIG

DEFAULT_EXAMPLE = "civility"

_PLACEHOLDER = re.compile(r"\[[^\[\]\n]+\](?!\()")


def make(name: Path, like: str) -> None:
    """Make the folder, and print what it has; raise InvalidSettings if there can be none."""
    config = _config()
    try:
        files = make_folder(name, like, config / "examples", config / "schema")
    except UnknownExample as error:
        raise InvalidSettings([f"--like: {error}"]) from error
    except NotMade as error:
        raise InvalidSettings([str(error)]) from error
    _show(name, like, files, load_experiment(name))


def _config() -> Path:
    """Return the folder that we come with: in an installed package, or in a checkout."""
    return PACKAGED_CONFIG if PACKAGED_CONFIG.is_dir() else CHECKOUT_CONFIG


def _show(name: Path, like: str, files: list[Path], experiment: Experiment) -> None:
    console = Console(highlight=False)
    for line in (
        f"Made {name}, an experiment like {like}:",
        *(f"  {path}" for path in files),
        "",
        *_remarks(experiment),
        "",
        "Next:",
        *(f"  {command}" for command in _next_commands(name)),
    ):
        console.print(Text(line), soft_wrap=True)  # whole lines, to be copied


def _remarks(experiment: Experiment) -> Iterator[str]:
    names = [*experiment.conditions]
    yield f"{'Condition' if len(names) == 1 else 'Conditions'}: {', '.join(names)}"
    if count := sum(len(_PLACEHOLDER.findall(text)) for text in _screen_texts(experiment)):
        yield f"Replace what stands in [square brackets] in its screens, {count} times, before anybody reads them."


def _screen_texts(experiment: Experiment) -> Iterator[str]:
    screens = experiment.screens
    yield from (each.text for each in (screens.consent, screens.welcome, screens.debriefing) if each is not None)


def _next_commands(name: Path) -> tuple[str, ...]:
    folder = shlex.quote(str(name))
    return f"chatroom check {folder}", f"chatroom rehearse {folder}", f"chatroom serve --experiment {folder}"
