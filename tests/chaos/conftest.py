"""The chaos suite: short in `make test`, long in `make chaos` (CHAOS=long, read here and nowhere else)."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # as pyproject.toml does for tests/support

IS_LONG = os.environ.get("CHAOS") == "long"

Value = TypeVar("Value")


@pytest.fixture
def extent() -> Callable[[Value, Value], Value]:
    """How much of it: `extent(short, long)`."""
    return lambda short, long: long if IS_LONG else short


@pytest.fixture
def within() -> Callable[[float], float]:
    """How long something may take: as promised where it is measured (`make chaos`), three times that beside others."""
    return lambda seconds: seconds if IS_LONG else 3 * seconds


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Tell figures: `make chaos` shows them."""

    def tell(**figures: object) -> None:
        for name, value in figures.items():
            shown = f"{value:.3f}" if isinstance(value, float) else value
            record_property(name, shown)
            print(f"{name.replace('_', ' ')}: {shown}")

    return tell
