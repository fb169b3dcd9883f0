"""The database of the data folder, for a command: also beside a running server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from experiments.experiment import Experiment
from experiments.store.study import DataFolder, Study, open_study
from server.folders import prepare
from server.settings import ServerSettings
from simulation.runtime.clock import wall_time

Result = TypeVar("Result")


def in_study(settings: ServerSettings, experiment: Experiment, work: Callable[[Study], Awaitable[Result]]) -> Result:
    """Return what `work` makes of the experiment's database; raise InvalidSettings or StoreError if there is none."""

    async def opened() -> Result:
        study = await open_study(DataFolder.open(settings.data_dir), experiment, wall_time())
        try:
            return await work(study)
        finally:
            await study.close()

    prepare("DATA_DIR", settings.data_dir, "Tokens and sessions are kept there")
    return asyncio.run(opened())
