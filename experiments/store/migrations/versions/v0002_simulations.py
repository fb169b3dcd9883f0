"""Workforce sessions and their what-ifs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "simulations",
        sa.Column("session_id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(255)),
        sa.Column("description", sa.Text),
        sa.Column("scenario", sa.Text, nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("current_turn", sa.Integer, nullable=False),
        sa.Column("max_turns", sa.Integer, nullable=False),
        sa.Column("parent", sa.String(36)),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.Column("updated_at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("session_id", name="pk_simulations"),
    )
    op.create_index("ix_simulations_created_at", "simulations", ["created_at", "session_id"])
    op.create_table(
        "what_ifs",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("session_id", sa.String(36), nullable=False),
        sa.Column("key_sha256", sa.String(64)),
        sa.Column("request_sha256", sa.String(64), nullable=False),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("base_turn", sa.Integer, nullable=False),
        sa.Column("answer", sa.Text),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_what_ifs"),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["simulations.session_id"],
            name="fk_what_ifs_session_id_simulations",
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint("session_id", "key_sha256", name="uq_what_ifs_session_id"),
    )
