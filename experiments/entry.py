"""Who may take part, and when: panels and their parameters, the opening window, what a completion address may hold."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from urllib.parse import quote, urlsplit

Mode = Literal["demo", "tokens", "open", "panel"]
DEMO_TOKEN = "1234"
"""The seed's: anybody's, as often as they like. Each start with it is a new session."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_ADDRESS = re.compile(r"[!-~]+")
_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True, slots=True)
class PanelLink:
    """The parameters with which a panel's link comes; `participant` tells participants apart."""

    participant: str
    study: str | None = None
    session: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name in (self.participant, self.study, self.session) if name)


# As the panels document their links; a study may rename them, and then names its own.
PANELS = {
    "prolific": PanelLink("PROLIFIC_PID", "STUDY_ID", "SESSION_ID"),
    "qualtrics": PanelLink("ResponseID", "SurveyID"),
    "sona": PanelLink("survey_code"),
    "cloudresearch": PanelLink("participantId", "projectId", "assignmentId"),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """`parameters` are all names that a link may carry: the panel's and those that strata are made of."""

    mode: Mode = "demo"
    panel: PanelLink | None = None
    opens_at: datetime | None = None
    closes_at: datetime | None = None
    max_live_sessions: int | None = None
    strata: tuple[str, ...] = ()

    @property
    def parameters(self) -> tuple[str, ...]:
        panel = self.panel.names if self.panel else ()
        return tuple(dict.fromkeys((*panel, *self.strata)))

    def is_open(self, now: datetime) -> bool:
        return (self.opens_at is None or self.opens_at <= now) and (self.closes_at is None or now < self.closes_at)


def address_problem(template: str, parameters: tuple[str, ...]) -> str | None:
    """Return what keeps a completion address from being followed, if anything does.

    Its host stands in the file and nowhere else: what a request brings is filled in behind it, escaped.
    """
    known = ("code", *parameters)
    if not _ADDRESS.fullmatch(template):
        return "an address without spaces and other signs that no address has"
    try:
        parts = urlsplit(template)
        is_whole = parts.port != 0 and bool(parts.hostname)
    except ValueError:
        return "an address that begins with https:// and a host"
    if "{" in parts.netloc:
        return "no placeholder may stand in the host"
    for placeholder in re.findall(r"\{[^{}]*\}|[{}]", template):
        if placeholder.strip("{}") not in known or len(placeholder) < 3:
            return f"{placeholder} is no placeholder; known are {', '.join(f'{{{name}}}' for name in known)}"
    if not is_whole or "@" in parts.netloc:
        return "an address that begins with https:// and a host"
    if not (parts.scheme == "https" or _is_local(parts.scheme, parts.hostname or "")):
        return "an address that begins with https:// and a host"
    return None


def _is_local(scheme: str, host: str) -> bool:
    return scheme == "http" and host in LOOPBACK


def completion_address(template: str, code: str | None, parameters: Mapping[str, str]) -> str:
    """Return the address with `{code}` and the link's parameters filled in, escaped; a missing one is empty."""
    values = {**parameters, "code": code or ""}
    return _PLACEHOLDER.sub(lambda found: quote(values.get(found[1], ""), safe=""), template)


def parameter_problems(given: Mapping[str, str], entry: Entry) -> Iterator[tuple[str, str]]:
    """Yield name and message for what a link lacks: the panel's parameters where participants come from one."""
    if entry.mode != "panel" or entry.panel is None:
        return
    name = entry.panel.participant
    value = given.get(name, "").strip()
    if not value:
        yield name, "missing: the link must say who takes part"
    elif "{" in value or "%" in value or "${" in value:
        yield name, "the panel has not filled it in"
