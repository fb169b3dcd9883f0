"""The JSON Schemas of the settings files, so that editors complete and check while one types.

`python -m experiments.schema` writes them to `config/schema`; a test holds that what lies there is current.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pydantic import BaseModel

from experiments.settings.base import EXPERIMENTAL_FILE, SIMULATION_FILE
from experiments.settings.experimental import ExperimentalSettings
from experiments.settings.simulation import SimulationSettings
from experiments.workforce.roles import RoleSettings

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, str]:
    """Return file name -> content."""
    models: dict[str, type[BaseModel]] = {
        SIMULATION_FILE: SimulationSettings,
        EXPERIMENTAL_FILE: ExperimentalSettings,
        "role.json": RoleSettings,
    }
    return {
        name.replace(".json", ".schema.json"): _text({"$schema": DIALECT} | model.model_json_schema(by_alias=True))
        for name, model in models.items()
    }


def _text(schema: dict[str, object]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in schemas().items():
        (folder / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("config/schema"))
