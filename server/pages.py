"""The participant page as it is sent, and the files that it is made of."""

from __future__ import annotations

import hashlib
import json
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from experiments.experiment import Experiment
from server.completion import written

HERE = Path(__file__).parent
STATIC = HERE / "static"
TEMPLATES = HERE / "templates"


class HashedFiles(StaticFiles):
    """Static files under an address that changes with their content, so that browsers may keep them."""

    def file_response(self, full_path: Any, stat_result: Any, scope: Scope, status_code: int = 200) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


def content_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(folder).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def participant_page(experiment: Experiment, version: str) -> str:
    """Fill in the participant page: three texts, which one engine less to import does as well."""
    template = Template((TEMPLATES / "participant.html").read_text(encoding="utf-8"))
    return template.substitute(
        group_name=escape(experiment.group_name),
        static=f"/static/{version}",
        page_data=escape(json.dumps(page_data(experiment), ensure_ascii=False), quote=False),
    )


def page_data(experiment: Experiment) -> dict[str, Any]:
    """Return what the page knows of the experiment before anybody has begun: the same in all conditions."""
    withdrawal = experiment.withdrawal
    return {
        "mode": experiment.entry.mode,
        "parameters": experiment.entry.parameters,
        "consent": _consent(experiment),
        "welcome": _welcome(experiment),
        "withdrawal": withdrawal.model_dump(exclude={"offered"}) if withdrawal.offered else None,
    }


def _consent(experiment: Experiment) -> dict[str, Any] | None:
    screen = experiment.screens.consent
    if screen is None:
        return None
    return {**screen.model_dump(exclude={"text"}), "paragraphs": written(screen.text)}


def _welcome(experiment: Experiment) -> dict[str, Any] | None:
    screen = experiment.screens.welcome
    if screen is None:
        return None
    return {**screen.model_dump(exclude={"text"}), "paragraphs": written(screen.text)}
