"""The design of an experiment in words: assignment, quotas, entry, screens, completion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from experiments.entry import DEMO_TOKEN
from experiments.experiment import Experiment
from experiments.settings.experimental import OUTCOMES


def facts(experiment: Experiment) -> Iterator[tuple[str, str]]:
    """Yield what a reviewer asks first, by name."""
    most = experiment.entry.max_live_sessions
    yield "content hash", experiment.content_sha256
    yield "conditions", ", ".join(experiment.conditions) if len(experiment.conditions) > 1 else "one"
    yield "assignment", assignment_in_words(experiment)
    yield "quotas", _quotas(experiment)
    yield "entry", entry_in_words(experiment)
    yield "open", _window(experiment)
    yield "at once", f"at most {most:,} sessions" if most else "as many sessions as the machine carries"
    yield "screens", _screens(experiment)
    yield "completion", _completion(experiment)
    yield "kept", kept_in_words(experiment)


def assignment_in_words(experiment: Experiment) -> str:
    chosen, allocation = experiment.settings.assignment, experiment.allocation(seed=0)
    if len(experiment.conditions) == 1:
        return "none: there is one condition"
    parts = [_blocks(experiment) if chosen.method == "permuted_blocks" else _weighted(allocation.weights)]
    if chosen.strata:
        of = f"value of {chosen.strata[0]}" if len(chosen.strata) == 1 else f"combination of {listed(chosen.strata)}"
        parts.append(f"one list for each {of}")
    seed = experiment.random_seed if chosen.seed is None else chosen.seed
    parts.append("seed drawn once and kept" if seed is None else f"seed {seed}")
    return ", ".join(parts)


def _blocks(experiment: Experiment) -> str:
    allocation = experiment.allocation(seed=0)
    total = sum(weight for _, weight in allocation.weights)
    places = {name: int(weight * allocation.block_size / total) for name, weight in allocation.weights}
    if len({*places.values()}) == 1:
        return f"permuted blocks of {allocation.block_size} ({next(iter(places.values()))} of each)"
    return f"permuted blocks of {allocation.block_size} ({', '.join(f'{n} {name}' for name, n in places.items())})"


def _weighted(weights: Sequence[tuple[str, float]]) -> str:
    return f"weighted draws ({', '.join(f'{name} {weight:g}' for name, weight in weights)})"


def _quotas(experiment: Experiment) -> str:
    quotas = experiment.settings.assignment.quotas
    if not quotas:
        return "none"
    is_even = len({*quotas.values()}) == 1 and set(quotas) == set(experiment.conditions)
    each = f"{next(iter(quotas.values())):,} each" if is_even else ", ".join(f"{k} {n:,}" for k, n in quotas.items())
    return f"{each}: {sum(quotas.values()):,} completed sessions"


def entry_in_words(experiment: Experiment) -> str:
    entry, panel = experiment.entry, experiment.settings.entry.panel
    name = panel if isinstance(panel, str) else "panel"
    return {
        "demo": f"demo: everybody, with the token {DEMO_TOKEN}",
        "tokens": "tokens: whoever has one of yours",
        "open": "open: whoever has the address",
        "panel": f"panel: whom {name} sends, told apart by {entry.panel.participant if entry.panel else ''}",
    }[entry.mode]


def _window(experiment: Experiment) -> str:
    moments = (("from", experiment.entry.opens_at), ("until", experiment.entry.closes_at))
    return " ".join(f"{word} {at.isoformat(' ', 'minutes')}" for word, at in moments if at) or "at any time"


def _screens(experiment: Experiment) -> str:
    screens = experiment.screens
    consent = f"consent (version {screens.consent.version})" if screens.consent else ""
    others = [name for name in ("welcome", "debriefing") if getattr(screens, name)]
    return ", ".join(each for each in (consent, *others) if each) or "none"


def _completion(experiment: Experiment) -> str:
    outcomes = ((name, getattr(experiment.completion, name)) for name in OUTCOMES)
    given = [f"{name} {each.code or 'without a code'}" for name, each in outcomes if each is not None]
    return ", ".join(given) or "no codes, no addresses"


def kept_in_words(experiment: Experiment) -> str:
    days = experiment.retain_days
    if days is None:
        return "until somebody deletes it (retain_days)"
    return f"{days:,} {'day' if days == 1 else 'days'} after a session's end, then erased"


def listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)
