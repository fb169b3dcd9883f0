"""Reading a settings file: bytes to a model, and what is wrong with it by line, key, value and what is allowed."""

from __future__ import annotations

import copy
import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from experiments.problems import Problem, allowed_by, key_path, not_allowed, unknown_key
from experiments.settings.base import Settings
from experiments.settings.experimental import ExperimentalSettings, SimulationOverrides
from experiments.settings.positions import line_of, lines_of
from experiments.settings.simulation import SimulationSettings
from simulation.errors import InvalidJson
from simulation.strict_json import UTF8_BOM, parse

MAX_FILE_BYTES = 1024 * 1024
PRUNINGS = 5
"""What is taken out may leave something around it that lacks a key."""

Model = TypeVar("Model", bound=Settings)
Path_ = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class SettingsFile(Generic[Model]):
    """A file as it was read. `sound` is what stands in it but for values that are wrong, so that the rest can be looked
    at, too; `model` is made of that, None where something needed is wrong.
    """

    path: Path
    raw: dict[str, Any]
    sound: dict[str, Any]
    sha256: str
    model: Model | None
    lines: Mapping[str, int] = field(repr=False)

    def problem(self, key: str, message: str) -> Problem:
        return Problem(self.path, key, message, line_of(key, self.lines))


def read_settings(path: Path, cls: type[Model], problems: list[Problem]) -> SettingsFile[Model] | None:
    """Return the file, None if it is not even JSON; add to `problems` whatever is wrong with it."""
    try:
        data = _bytes(path)
        raw = parse(data.removeprefix(UTF8_BOM))
    except InvalidJson as error:
        column = "" if error.column is None else f"column {error.column}"
        problems.append(Problem(path, column, error.reason, error.line))
        return None
    if not isinstance(raw, dict):
        problems.append(Problem(path, "", "the file must hold one object: {...}"))
        return None
    lines = lines_of(data.removeprefix(UTF8_BOM).decode())
    digest = hashlib.sha256(data).hexdigest()
    try:
        return SettingsFile(path, raw, raw, digest, cls.model_validate(raw), lines)
    except ValidationError as error:
        sound, model = _sound_part(raw, cls)
        file = SettingsFile(path, raw, sound, digest, model, lines)
        problems += _problems_of(file, cls, error)
        return file


def _sound_part(raw: dict[str, Any], cls: type[Model]) -> tuple[dict[str, Any], Model | None]:
    """Return `raw` without what is wrong in it, and its model if there can be one."""
    sound = copy.deepcopy(raw)
    for _ in range(PRUNINGS):
        try:
            return sound, cls.model_validate(sound)
        except ValidationError as error:
            for each in error.errors(include_url=False):
                _prune(sound, _parts(each["loc"], sound, each["type"]), each["type"])
    return sound, None


def _prune(sound: dict[str, Any], parts: Path_, kind: str) -> None:
    """Take out a wrong value; a list as a whole, or others in it would have other numbers, and what lacks a key."""
    path = parts[:-1] if kind == "missing" else parts
    path = tuple(itertools.takewhile(lambda part: isinstance(part, str), path))
    here: Any = sound
    for part in path[:-1]:
        here = here.get(part, {})
    if path:
        here.pop(path[-1], None)


def _bytes(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise InvalidJson("is a folder; a file is needed")
        if path.exists() and not path.is_file():
            raise InvalidJson("is no regular file")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InvalidJson(f"larger than {MAX_FILE_BYTES:,} bytes")
        data = path.read_bytes()
    except FileNotFoundError:
        raise InvalidJson("the file is missing") from None
    except OSError as error:
        raise InvalidJson(f"cannot be read: {error.strerror}") from error
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data[:100]:
        raise InvalidJson('UTF-16 text; save the file as "UTF-8"')
    return data


# What pydantic says, in words


def _problems_of(file: SettingsFile[Model], cls: type[Settings], error: ValidationError) -> Iterator[Problem]:
    schema = cls.model_json_schema()
    for each in error.errors(include_url=False):
        parts = _parts(each["loc"], file.raw, each["type"])
        yield file.problem(key_path(parts), _message(each, parts, schema, cls))


def _parts(loc: Path_, raw: Any, kind: str) -> Path_:
    """Return the path as it stands in the file: pydantic also names the branch of a choice that it took."""
    parts: list[str | int] = []
    here = raw
    for index, part in enumerate(loc):
        is_last = index == len(loc) - 1
        if isinstance(part, int) if isinstance(here, list) else isinstance(here, dict) and part in here:
            here = here[part]
        elif not (is_last and kind == "missing"):
            continue
        parts.append(part)
    return tuple(parts)


def _message(each: Any, parts: Path_, schema: Mapping[str, Any], cls: type[Settings]) -> str:
    at = schema_at(schema, parts)
    if each["loc"][-1:] == ("[key]",):
        return not_allowed(parts[-1], "a name of letters, digits, _ . and -, up to 64 of them")
    if each["type"] == "extra_forbidden":
        parent = _resolve(schema, schema_at(schema, parts[:-1]) or schema)
        return _belongs(parts, cls) or unknown_key(str(parts[-1]), parent.get("properties", {}))
    if each["type"] == "missing":
        return f"missing: {allowed_by(at or {}, schema)} is needed"
    allowed = allowed_by(at, schema) if at else each["msg"]
    return not_allowed(each["input"], _with_length(each, allowed))


def _belongs(parts: Path_, cls: type[Settings]) -> str | None:
    """Say where a key belongs that stands in the wrong place."""
    key = str(parts[-1])
    if len(parts) == 1:
        others: tuple[type[Settings], ...] = (SimulationSettings, ExperimentalSettings)
        where = next((each.model_config.get("title") for each in others if each is not cls and _has(each, key)), None)
        return f"belongs in {where}" if where else None
    if parts[0] not in ("conditions", "factors"):
        return None
    if parts[-2] == "simulation":
        if key == "personas":
            return "belongs beside simulation, not in it"
        return "is the same in all conditions; leave it in simulation_settings.json" if _is_shared(key) else None
    return 'belongs in "simulation": {...}, here' if _has(SimulationOverrides, key) else None


def _has(cls: type[Settings], key: str) -> bool:
    return key in cls.model_fields


def _is_shared(key: str) -> bool:
    return _has(SimulationSettings, key) and not _has(SimulationOverrides, key)


def _with_length(error: Any, allowed: str) -> str:
    longest = error.get("ctx", {}).get("max_length")
    return f"{allowed}, at most {longest} long" if longest else allowed


def schema_at(schema: Mapping[str, Any], parts: Sequence[str | int]) -> Mapping[str, Any] | None:
    here: Mapping[str, Any] = schema
    for part in parts:
        here = _resolve(schema, here)
        here = next((each for each in _options(schema, here) if each.get("type") in ("object", "array")), here)
        following = here.get("items") if isinstance(part, int) else _member(here, part)
        if not isinstance(following, Mapping):
            return None
        here = following
    return here


def _options(root: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield what a choice is between, also where choices are among it."""
    for option in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        resolved = _resolve(root, option)
        yield resolved
        yield from _options(root, resolved)


def _member(schema: Mapping[str, Any], key: str) -> Any:
    """What an object may have under a key: named, by the pattern of its names, or any."""
    by_pattern = next(iter(schema.get("patternProperties", {}).values()), None)
    return schema.get("properties", {}).get(key, by_pattern or schema.get("additionalProperties"))


def _resolve(root: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in schema:
        return schema
    found: Mapping[str, Any] = root["$defs"][schema["$ref"].rsplit("/", 1)[-1]]
    return found
