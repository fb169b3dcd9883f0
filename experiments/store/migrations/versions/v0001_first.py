"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "experiments",
        sa.Column("experiment_id", sa.String(200), nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("key_check", sa.String(64), nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("experiment_id", name="pk_experiments"),
    )
    op.create_table(
        "allocations",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("experiment_id", sa.String(200), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_allocations"),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.experiment_id"], name="fk_allocations_experiment_id_experiments"
        ),
        sa.UniqueConstraint("experiment_id", "sha256", name="uq_allocations_experiment_id"),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("experiment_id", sa.String(200), nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("condition", sa.String(300)),
        sa.Column("is_short", sa.Integer, nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.Column("expires_at", sa.String(32)),
        sa.Column("revoked_at", sa.String(32)),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.experiment_id"], name="fk_tokens_experiment_id_experiments"
        ),
        sa.UniqueConstraint("token_hash", name="uq_tokens_token_hash"),
    )
    op.create_table(
        "participants",
        sa.Column("participant_id", sa.String(36), nullable=False),
        sa.Column("experiment_id", sa.String(200), nullable=False),
        sa.Column("token_id", sa.Integer),
        sa.Column("visit_hash", sa.String(64)),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("participant_id", name="pk_participants"),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.experiment_id"], name="fk_participants_experiment_id_experiments"
        ),
        sa.ForeignKeyConstraint(["token_id"], ["tokens.id"], name="fk_participants_token_id_tokens"),
        sa.UniqueConstraint("token_id", name="uq_participants_token_id"),
        sa.UniqueConstraint("visit_hash", name="uq_participants_visit_hash"),
    )
    op.create_table(
        "panel_ids",
        sa.Column("participant_id", sa.String(36), nullable=False),
        sa.Column("id_hash", sa.String(64), nullable=False),
        sa.Column("parameters", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("participant_id", name="pk_panel_ids"),
        sa.ForeignKeyConstraint(
            ["participant_id"], ["participants.participant_id"], name="fk_panel_ids_participant_id_participants"
        ),
        sa.UniqueConstraint("id_hash", name="uq_panel_ids_id_hash"),
    )
    op.create_table(
        "consents",
        sa.Column("participant_id", sa.String(36), nullable=False),
        sa.Column("version", sa.String(100), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("decision", sa.String(10), nullable=False),
        sa.Column("decided_at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("participant_id", name="pk_consents"),
        sa.ForeignKeyConstraint(
            ["participant_id"], ["participants.participant_id"], name="fk_consents_participant_id_participants"
        ),
    )
    op.create_table(
        "sessions",
        sa.Column("session_id", sa.String(36), nullable=False),
        sa.Column("participant_id", sa.String(36), nullable=False),
        sa.Column("experiment_id", sa.String(200), nullable=False),
        sa.Column("experiment_sha256", sa.String(64), nullable=False),
        sa.Column("purpose", sa.String(10), nullable=False),
        sa.Column("condition", sa.String(300), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("end_reason", sa.String(40)),
        sa.Column("outcome", sa.String(20)),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.Column("started_at", sa.String(32)),
        sa.Column("ended_at", sa.String(32)),
        sa.PrimaryKeyConstraint("session_id", name="pk_sessions"),
        sa.ForeignKeyConstraint(
            ["participant_id"], ["participants.participant_id"], name="fk_sessions_participant_id_participants"
        ),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.experiment_id"], name="fk_sessions_experiment_id_experiments"
        ),
        sa.UniqueConstraint("participant_id", name="uq_sessions_participant_id"),
    )
    op.create_index("ix_sessions_experiment", "sessions", ["experiment_id", "purpose", "condition", "state"])
    op.create_table(
        "assignments",
        sa.Column("allocation_id", sa.Integer, nullable=False),
        sa.Column("stratum", sa.String(600), nullable=False),
        sa.Column("sequence_number", sa.Integer, nullable=False),
        sa.Column("condition", sa.String(300), nullable=False),
        sa.Column("session_id", sa.String(36)),
        sa.PrimaryKeyConstraint("allocation_id", "stratum", "sequence_number", name="pk_assignments"),
        sa.ForeignKeyConstraint(["allocation_id"], ["allocations.id"], name="fk_assignments_allocation_id_allocations"),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.session_id"], name="fk_assignments_session_id_sessions"),
        sa.UniqueConstraint("session_id", name="uq_assignments_session_id"),
    )
