"""The roles of the workforce: one JSON file each, in `roles/` of the experiment folder, else those that we come with.

A researcher adds a role by adding a file. Whatever is wrong with the files is told at once, by file, line and key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from experiments.errors import InvalidExperiment
from experiments.problems import Problem, not_allowed
from experiments.settings.base import MAX_TEXT_CHARACTERS, Settings
from experiments.settings.files import SettingsFile, read_settings
from simulation.parameters import PARTICIPANT, folded
from simulation.workforce.modifications import in_order
from simulation.workforce.parameters import COORDINATOR, Role

ROLES_FOLDER = "roles"
MAX_ROLES = 50
RESERVED = (COORDINATOR, PARTICIPANT, "list")

Key = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


class RoleSettings(Settings):
    schema_: str | None = Field(default=None, alias="$schema")
    """Where the description of this file lies, for editors."""
    note: str | None = None
    """For whoever reads the file; nobody else sees it."""
    role: Key
    """The role's name in requests, answers and logs: small letters, digits and _. The file is called like it."""
    name: str = Field(min_length=1, max_length=100)
    """The role's name for people."""
    description: str = Field(default="", max_length=1000)
    """What this role does, in a sentence: shown where roles are chosen."""
    capabilities: list[Annotated[str, Field(min_length=1, max_length=100)]] = Field(default=[], max_length=20)
    """What it answers for. Goes into its prompt."""
    personality_traits: dict[Key, Annotated[float, Field(ge=0, le=1)]] = Field(default={}, max_length=20)
    """Numbers from 0 to 1 by name. Go into its prompt."""
    priority: int = Field(default=50, ge=0, le=1000)
    """Who has the higher one speaks first."""
    system_prompt: str = Field(min_length=1, max_length=MAX_TEXT_CHARACTERS)
    """Who this colleague is: what it cares for, asks about, distrusts; how it talks."""
    is_active: bool = True
    """false: it sits at no table unless a request names it."""

    def as_role(self) -> Role:
        return Role(
            role=self.role,
            name=self.name,
            description=self.description,
            capabilities=tuple(self.capabilities),
            personality_traits=self.personality_traits,
            priority=self.priority,
            system_prompt=self.system_prompt,
            is_active=self.is_active,
        )


def load_roles(folder: Path) -> tuple[Role, ...]:
    """Return the roles whose files lie in `folder`, in the order in which they speak; raise InvalidExperiment."""
    problems: list[Problem] = []
    files = [read_settings(path, RoleSettings, problems) for path in sorted(folder.glob("*.json"))]
    read = [(file, file.model) for file in files if file is not None and file.model is not None]
    problems += _problems(folder, read)
    if problems:
        raise InvalidExperiment(problems)
    return in_order(model.as_role() for _, model in read)


def _problems(folder: Path, read: Sequence[tuple[SettingsFile[RoleSettings], RoleSettings]]) -> Iterator[Problem]:
    if not any(folder.glob("*.json")):
        yield Problem(folder, "", "there is no role here: at least one file such as ceo.json is needed")
    if read and not any(model.is_active for _, model in read):
        yield Problem(folder, "", "no role is active: nobody would sit at a table")
    if len(read) > MAX_ROLES:
        yield Problem(folder, "", f"more than {MAX_ROLES} roles")
    for file, model in read:
        if file.path.stem != model.role:
            yield file.problem("role", not_allowed(model.role, f'"{file.path.stem}", as the file is called'))
        if model.role in RESERVED:
            yield file.problem("role", not_allowed(model.role, "a name that has no other meaning here"))
    yield from _same_names(read)


def _same_names(read: Iterable[tuple[SettingsFile[RoleSettings], RoleSettings]]) -> Iterator[Problem]:
    taken: dict[str, Path] = {}
    for file, model in read:
        first = taken.setdefault(folded(model.name), file.path)
        if first != file.path:
            yield file.problem("name", not_allowed(model.name, f"a name of its own; {first.name} has this one"))
