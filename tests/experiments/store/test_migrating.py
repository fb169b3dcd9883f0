"""The database that a version finds is the database that it knows."""

from __future__ import annotations

from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.engine import URL

from experiments.store.migrating import MIGRATIONS, SCHEMA_VERSION, migrate
from experiments.store.tables import metadata


def test_migrations_come_to_the_tables(tmp_path: Path):
    url = URL.create("sqlite", database=str(tmp_path / "x.sqlite"))
    assert migrate(url)
    assert not migrate(url), "the second time there is nothing to do"
    engine = create_engine(url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata) == []
    engine.dispose()


def test_the_version_is_that_of_the_newest_migration():
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == SCHEMA_VERSION
