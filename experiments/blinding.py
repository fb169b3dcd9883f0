"""What a participant must never be sent, and whether it is in what they were sent.

Names of conditions, factors, levels and models are looked for as whole words; prompts, personas and notes by runs of
words, since nobody says eight of them in a row by chance; and whatever is JSON by the names of its keys. What is looked
for is also looked for escaped, as JSON, HTML and addresses write it.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

from experiments.experiment import Experiment

RUN_WORDS = 8
TELLING_KEYS = (
    "condition", "levels", "factors", "assignment", "stratum", "sequence_number", "prompt", "prompt_template",
    "persona", "personas", "stimulus", "stimuli", "source", "cause", "act", "turn_id", "model", "provider", "seed",
    "parameters_sha256", "experiment_sha256", "content_sha256", "experiment_id", "participant_id", "agent_name",
)  # fmt: skip
"""Keys of the log and the files: a key of that name tells, whatever its value."""
EXCERPT_CHARACTERS = 40
_WORD = re.compile(r"\w+(?:['’]\w+)*")


class Secret(NamedTuple):
    """`what` says what kind of thing it is; a long `text` is looked for by its runs of words."""

    what: str
    text: str


class Sent(NamedTuple):
    """Something that a participant got: where from, and all of it; `body` is the part that may be JSON, `said` what
    members wrote in it.
    """

    where: str
    content: str
    body: str = ""
    said: str = ""


class Leak(NamedTuple):
    where: str
    what: str
    excerpt: str


def secrets_of(experiment: Experiment) -> Iterator[Secret]:
    """Yield what of an experiment nobody in the room may learn; what is shown to them at some moment is none."""
    if len(experiment.conditions) > 1:
        yield from (Secret("the name of a condition", name) for name in experiment.conditions)
    for factor, levels in experiment.settings.factors.items():
        yield Secret("the name of a factor", factor)
        yield from (Secret("the name of a level", level) for level in levels)
    for name in dict.fromkeys(each.language_model.model for each in experiment.every):
        yield Secret("the name of a model", name)
    yield Secret("the experiment's hash", experiment.content_sha256)
    for parameters in experiment.every:
        yield Secret("a prompt", parameters.prompt_template)
        yield from (Secret(f"the persona of {agent.name}", agent.description) for agent in parameters.agents)
    yield from (Secret("a note", note) for note in _notes(experiment.experimental_config))


def _notes(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key == "note" and isinstance(item, str):
                yield item
            else:
                yield from _notes(item)


def leaks(sent: Iterable[Sent], secrets: Iterable[Secret], innocent: str = "") -> list[Leak]:
    """Return what of `secrets` is in what was sent. What also stands in `innocent` text gives nothing away."""
    wanted = [*dict.fromkeys(each for each in secrets if each.text.strip())]
    harmless = _folded(innocent)
    found: dict[Leak, None] = {}
    for each in sent:
        found.update(dict.fromkeys(_keys(each)))
        for text in _readings(each.content):
            found.update(dict.fromkeys(_in_text(each, text, wanted, harmless)))
    return [*found]


def _keys(sent: Sent) -> Iterator[Leak]:
    try:
        value = json.loads(sent.body)
    except ValueError:
        return
    for key in _every_key(value):
        if key in TELLING_KEYS:
            yield Leak(sent.where, "a key that tells", f'"{key}"')


def _every_key(value: Any) -> Iterator[str]:
    """Yield the keys of a value; a news card's are about the news."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield key
            yield from _every_key(item) if key != "card" else ()
    elif isinstance(value, list):
        for item in value:
            yield from _every_key(item)


def _readings(content: str) -> list[str]:
    """Return the text as it stands, and without what escapes it."""
    plain = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), content)
    return list(dict.fromkeys((content, plain, html.unescape(content), unquote(content))))


def _in_text(sent: Sent, text: str, secrets: Iterable[Secret], harmless: str) -> Iterator[Leak]:
    folded, harmless = _folded(text), harmless + _folded(sent.said)
    for secret in secrets:
        for part in _parts(secret.text):
            if f" {part} " in folded and f" {part} " not in harmless:
                yield Leak(sent.where, secret.what, part[:EXCERPT_CHARACTERS])
                break


def _parts(text: str) -> Iterator[str]:
    """Yield what a secret is recognised by: all its words, or every run of so many of them."""
    words = _words(text)
    if len(words) <= RUN_WORDS:
        yield " ".join(words)
        return
    for start in range(len(words) - RUN_WORDS + 1):
        yield " ".join(words[start : start + RUN_WORDS])


def _folded(text: str) -> str:
    return f" {' '.join(_words(text))} "


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())
