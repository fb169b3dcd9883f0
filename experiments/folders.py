"""A new experiment's folder, made after one of the examples: its files, and the schemas that editors check them by.

The text of the files is kept as it is, layout and all: whoever opens them finds what the example has.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from experiments.errors import FolderExists, NotMade, UnknownExample
from experiments.settings.base import EXPERIMENTAL_FILE, SIMULATION_FILE

SCHEMA_FOLDER = "schema"
MAX_ID_CHARACTERS = 100
"""As `experiment_id` has it in experimental_settings.json."""

_SCHEMA = re.compile(r'"\$schema":\s*"[^"]*"')
_ID = re.compile(r'"experiment_id":\s*"(?:[^"\\]|\\.)*",\s*')


def example_names(examples_folder: Path) -> list[str]:
    return sorted(path.parent.name for path in examples_folder.glob(f"*/{EXPERIMENTAL_FILE}"))


def make_folder(target: Path, example: str, examples_folder: Path, schema_folder: Path) -> list[Path]:
    """Make `target` an experiment like `example`, with its folder's name as its id; return the files that it has.

    Nothing that is there is touched: raise FolderExists if `target` is anything but new or empty, UnknownExample or
    NotMade if there can be no such folder.
    """
    known = example_names(examples_folder)
    if example not in known:
        raise UnknownExample(example, known)
    try:
        _refuse_what_is_there(target)
        contents = _contents(examples_folder / example, schema_folder, _experiment_id(target))
        return [_write(target / name, text) for name, text in contents.items()]
    except OSError as error:
        raise NotMade(target, f"cannot be made: {error.strerror or error}") from error


def _refuse_what_is_there(target: Path) -> None:
    if target.is_dir():
        if any(target.iterdir()):
            raise FolderExists(target, "there are files in it; name a new folder, or an empty one")
    elif target.exists() or target.is_symlink():
        raise FolderExists(target, "there is a file of this name; name a new folder")


def _experiment_id(target: Path) -> str:
    name = target.resolve().name
    if not name.isprintable() or len(name) > MAX_ID_CHARACTERS:
        raise NotMade(target, f"its name stands in every log; at most {MAX_ID_CHARACTERS} visible characters, please")
    return name


def _contents(example: Path, schema_folder: Path, experiment_id: str) -> Mapping[Path, str]:
    """Return the text of every file, by its path in the new folder."""
    contents = {path.relative_to(example): _read(path) for path in sorted(example.rglob("*.json"))}
    for name in (Path(EXPERIMENTAL_FILE), Path(SIMULATION_FILE)):
        contents[name] = _with_schema(contents[name], f"{SCHEMA_FOLDER}/{name.stem}.schema.json")
    contents[Path(EXPERIMENTAL_FILE)] = _with_id(contents[Path(EXPERIMENTAL_FILE)], experiment_id)
    schemas = {Path(SCHEMA_FOLDER, path.name): _read(path) for path in sorted(schema_folder.glob("*.schema.json"))}
    return contents | schemas


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _with_schema(text: str, schema: str) -> str:
    return _SCHEMA.sub(f'"$schema": "{schema}"', text, count=1)


def _with_id(text: str, experiment_id: str) -> str:
    """Put the id behind `$schema`, in place of the example's if it has one."""
    line = f'"experiment_id": {json.dumps(experiment_id, ensure_ascii=False)}'
    without = _ID.sub("", text, count=1)
    return _SCHEMA.sub(lambda schema: f"{schema[0]},\n  {line}", without, count=1)


def _write(path: Path, text: str) -> Path:
    """Write a file that is not there yet; whoever was faster keeps theirs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8", newline="\n") as file:
        file.write(text)
    return path
