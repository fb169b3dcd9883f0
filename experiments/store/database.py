"""The database of a data folder: one connection, one transaction at a time.

SQLite, in WAL mode, with every commit synced (a token that was redeemed stays redeemed) and foreign keys held. Each
transaction is BEGIN IMMEDIATE: two that read before they write cannot both believe the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
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
BUSY_ATTEMPTS = 2
BUSY_PAUSE_SECONDS = 0.1
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

    async def compact(self) -> None:
        """Leave nothing of what was deleted in the database's files; raise StoreError if others keep it busy.

        Deleted text is overwritten where it stood, but pages that were moved or rewritten may be left in the file and
        in the WAL: the one is written anew, the other emptied.
        """
        try:
            async with self._engine.connect() as connection:
                driver = (await connection.get_raw_connection()).driver_connection
                assert driver is not None
                await _until_not_busy(lambda: driver.execute_fetchall("VACUUM"))
                await _until_not_busy(lambda: driver.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)"))
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise StoreError(Path(str(self._engine.url.database)), _reason(error)) from error

    async def close(self) -> None:
        await self._engine.dispose()


async def _until_not_busy(command: Callable[[], Awaitable[Any]]) -> None:
    """Run a command that others may keep from its work; raise sqlite3.OperationalError if they do again and again.

    SQLite itself waits BUSY_SECONDS for them. A checkpoint does not raise: its answer says that it was kept from it.
    """
    for _ in range(BUSY_ATTEMPTS - 1):
        with contextlib.suppress(sqlite3.OperationalError):
            if _is_done(await command()):
                return
        await asyncio.sleep(BUSY_PAUSE_SECONDS)
    if not _is_done(await command()):
        raise sqlite3.OperationalError("database is locked")


def _is_done(rows: Any) -> bool:
    answer = list(rows)
    return not answer or answer[0][0] == 0


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
