"""An experiment in its database: its seed and its list of allocations, made when it is first opened."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from experiments.assignment import Allocation
from experiments.errors import StoreError
from experiments.experiment import Experiment
from experiments.opening import SEED_BITS
from experiments.store.credentials import SECRET_FILE, Keyring, keyring
from experiments.store.database import Database
from experiments.store.tables import allocations, experiments


@dataclass(frozen=True, slots=True)
class Study:
    """`seed` is what sessions follow from; `allocation` the list by which their conditions are given."""

    database: Database
    keyring: Keyring
    experiment: Experiment
    seed: int
    allocation: Allocation
    allocation_id: int

    @property
    def experiment_id(self) -> str:
        return self.experiment.experiment_id

    @property
    def purpose(self) -> str:
        return self.allocation.purpose

    async def close(self) -> None:
        await self.database.close()


def moment(at: datetime) -> str:
    """Return a moment as the tables have it."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


@dataclass(frozen=True, slots=True)
class DataFolder:
    """What a data folder holds: the database, brought to this version, and the key of its hashes."""

    path: Path
    database: Database
    keyring: Keyring

    @classmethod
    def open(cls, path: Path) -> DataFolder:
        """Open a folder, which must be there; raise StoreError. Nothing is connected to yet, and no loop is needed."""
        try:
            return cls(path, Database.open(path), keyring(path))
        except OSError as error:
            raise StoreError(path, f"its key cannot be read: {error.strerror}") from error


async def open_study(folder: DataFolder, experiment: Experiment, now: datetime) -> Study:
    """Return an experiment in its database; raise StoreError."""
    database = folder.database
    try:
        async with database.transaction() as connection:
            seed = await _seed(connection, folder, experiment, now)
            allocation = experiment.allocation(seed)
            allocation_id = await _allocation_id(connection, experiment.experiment_id, allocation, now)
    except StoreError:
        await database.close()
        raise
    return Study(database, folder.keyring, experiment, seed, allocation, allocation_id)


async def _seed(connection: AsyncConnection, folder: DataFolder, experiment: Experiment, now: datetime) -> int:
    """Return what sessions follow from: the settings' own, or else one that is drawn once and kept."""
    table, name = experiments, experiment.experiment_id
    key_check = folder.keyring.of("check", name, "")
    row = (await connection.execute(select(table).where(table.c.experiment_id == name))).first()
    if row is not None and row.key_check != key_check:
        raise StoreError(folder.path, f"{SECRET_FILE} is not the one with which this was begun: put it back")
    drawn = secrets.randbits(SEED_BITS) if row is None else int(row.seed)
    if row is None:
        values = {"experiment_id": name, "seed": drawn, "key_check": key_check, "created_at": moment(now)}
        await connection.execute(insert(table).values(values))
    return drawn if experiment.random_seed is None else experiment.random_seed


async def _allocation_id(connection: AsyncConnection, experiment_id: str, allocation: Allocation, now: datetime) -> int:
    table = allocations
    ours = (table.c.experiment_id == experiment_id) & (table.c.sha256 == allocation.sha256)
    found = (await connection.execute(select(table.c.id).where(ours))).scalar()
    if found is not None:
        return int(found)
    values = {
        "experiment_id": experiment_id,
        "sha256": allocation.sha256,
        "spec": allocation.spec,
        "created_at": moment(now),
    }
    made = await connection.execute(insert(table).values(values))
    assert made.inserted_primary_key is not None
    return int(made.inserted_primary_key[0])
