"""Bringing a database to the tables of this version. Alembic is imported only where there is something to do."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, create_engine, inspect, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

SCHEMA_VERSION = "0003"
"""The newest migration; a test holds that it is."""
MIGRATIONS = Path(__file__).parent / "migrations"


class NewerDatabase(SQLAlchemyError):
    """The tables are not known here."""


def migrate(url: URL) -> bool:
    """Bring the database at `url` (of a synchronous driver) up to date; return whether anything was done."""
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            found = version_of(connection)
        if found == SCHEMA_VERSION:
            return False
        if found is not None and found > SCHEMA_VERSION:
            raise NewerDatabase(f"made by a newer version of this software ({found}; this one knows {SCHEMA_VERSION})")
        with engine.begin() as connection:
            _upgrade(connection)
        return True
    finally:
        engine.dispose()


def version_of(connection: Connection) -> str | None:
    """Return the migration that the database has, None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return version


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
