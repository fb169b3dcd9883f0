from __future__ import annotations

from pathlib import Path

import pytest
from simulations import researching


@pytest.fixture
async def researcher(tmp_path: Path):
    async with researching(tmp_path) as (found, _):
        yield found


@pytest.fixture
async def desk(tmp_path: Path):
    """A researcher, and the server that they speak with."""
    async with researching(tmp_path) as both:
        yield both
