from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments.schema import schemas, write

CONFIG = Path(__file__).parents[2] / "config"


@pytest.mark.parametrize(("name", "content"), schemas().items())
def test_what_lies_in_the_config_folder_is_current(name, content):
    path = CONFIG / "schema" / name
    assert path.read_text(encoding="utf-8") == content, "run: python -m experiments.schema"


@pytest.mark.parametrize("name", ["simulation_settings", "experimental_settings"])
def test_the_shipped_files_point_to_it(name):
    settings = json.loads((CONFIG / f"{name}.json").read_text(encoding="utf-8"))
    assert (CONFIG / settings["$schema"]).is_file()


def test_every_key_is_explained_to_whoever_types_it():
    for content in schemas().values():
        for name, schema in json.loads(content)["properties"].items():
            assert schema.get("description"), name


def test_can_be_written_anywhere(tmp_path: Path):
    write(tmp_path / "schema")
    assert sorted(path.name for path in (tmp_path / "schema").iterdir()) == sorted(schemas())
