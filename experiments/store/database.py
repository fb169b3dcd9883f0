"""The database of a data folder: one connection, one transaction at a time.

SQLite, in WAL mode, with every commit synced (a token that was redeemed stays redeemed) and foreign keys held. Each
transaction is BEGIN IMMEDIATE: two that read before they write cannot both believe the same.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from experiments.errors import StoreError
from experiments.store.migrating import migrate

FILE = "chatroom.sqlite"
BUSY_SECONDS = 5
"""How long a command waits for a server's transaction, and the other way round."""
QUEUE_SECONDS = 60.0
"""How long a transaction waits for those before it."""


class Database:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, data_dir: Path) -> Database:
        """Return the database in `data_dir`, brought to this version's tables; raise StoreError if that cannot be."""
        path = data_dir / FILE
        try:
            _make(path)
            migrate(URL.create("sqlite", database=str(path)))
        except (OSError, SQLAlchemyError) as error:
            raise StoreError(path, _reason(error)) from error
        engine = create_async_engine(
            URL.create("sqlite+aiosqlite", database=str(path)),
            connect_args={"timeout": BUSY_SECONDS},
            pool_size=1,
            max_overflow=0,
            pool_timeout=QUEUE_SECONDS,
            hide_parameters=True,  # an error's text is logged, and who somebody is for a panel is not
        )
        event.listen(engine.sync_engine, "connect", _prepare)
        event.listen(engine.sync_engine, "begin", _begin)
        return cls(engine)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection; what is done on it is kept whole when the block ends, or not at all if it raises."""
        try:
            async with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise StoreError(Path(str(self._engine.url.database)), _reason(error)) from error

    async def close(self) -> None:
        await self._engine.dispose()


def _make(path: Path) -> None:
    """Make the file, readable for its owner alone: SQLite gives its companions the same mode."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def _prepare(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun by us, below
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _reason(error: Exception) -> str:
    return str(getattr(error, "orig", None) or getattr(error, "strerror", None) or error)
