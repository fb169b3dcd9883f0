"""The tables. Moments are text, RFC 3339 in UTC with microseconds, so that they sort as they are and mean the same in
every database; whoever a person is for a panel stands in `panel_ids` and nowhere else.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, MetaData, String, Table, Text, UniqueConstraint

PENDING, LIVE, OVER = "pending", "live", "over"
"""States of a session: nobody has connected yet; it goes on; it has ended."""

NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMING)

experiments = Table(
    "experiments",
    metadata,
    Column("experiment_id", String(200), primary_key=True),
    Column("seed", BigInteger, nullable=False),
    Column("key_check", String(64), nullable=False),
    Column("created_at", String(32), nullable=False),
)
"""`seed` is what allocations and sessions follow from where the settings name none: drawn once. `key_check` is a hash
with the data folder's key: with another key, no token would be known any more."""

allocations = Table(
    "allocations",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("experiment_id", ForeignKey(experiments.c.experiment_id), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("spec", Text, nullable=False),
    Column("created_at", String(32), nullable=False),
    UniqueConstraint("experiment_id", "sha256"),
)
"""A list of allocations, as `assignment.Allocation.spec` writes it: another seed, weight or block is another list."""

tokens = Table(
    "tokens",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("experiment_id", ForeignKey(experiments.c.experiment_id), nullable=False),
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("condition", String(300)),
    Column("is_short", Integer, nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("expires_at", String(32)),
    Column("revoked_at", String(32)),
)

participants = Table(
    "participants",
    metadata,
    Column("participant_id", String(36), primary_key=True),
    Column("experiment_id", ForeignKey(experiments.c.experiment_id), nullable=False),
    Column("token_id", ForeignKey(tokens.c.id), unique=True),
    Column("visit_hash", String(64), unique=True),
    Column("created_at", String(32), nullable=False),
)
"""Somebody who begins or declines. A token is one participant's; `visit_hash` tells those apart who have none."""

panel_ids = Table(
    "panel_ids",
    metadata,
    Column("participant_id", ForeignKey(participants.c.participant_id), primary_key=True),
    Column("id_hash", String(64), nullable=False, unique=True),
    Column("parameters", Text, nullable=False),
)
"""The linkage: what the panel's link said, as JSON. Apart from the data, so that it can be destroyed apart."""

consents = Table(
    "consents",
    metadata,
    Column("participant_id", ForeignKey(participants.c.participant_id), primary_key=True),
    Column("version", String(100), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("decision", String(10), nullable=False),
    Column("decided_at", String(32), nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("session_id", String(36), primary_key=True),
    Column("participant_id", ForeignKey(participants.c.participant_id), nullable=False, unique=True),
    Column("experiment_id", ForeignKey(experiments.c.experiment_id), nullable=False),
    Column("experiment_sha256", String(64), nullable=False),
    Column("purpose", String(10), nullable=False),
    Column("condition", String(300), nullable=False),
    Column("state", String(10), nullable=False),
    Column("end_reason", String(40)),
    Column("outcome", String(20)),
    Column("created_at", String(32), nullable=False),
    Column("started_at", String(32)),
    Column("ended_at", String(32)),
    Column("erased_at", String(32)),
    Index("ix_sessions_experiment", "experiment_id", "purpose", "condition", "state"),
)
"""A session is one participant's, and their only. Of one that was erased (`erased_at`) the row stays, under a
participant whom nobody knows."""

assignments = Table(
    "assignments",
    metadata,
    Column("allocation_id", ForeignKey(allocations.c.id), primary_key=True),
    Column("stratum", String(600), primary_key=True),
    Column("sequence_number", Integer, primary_key=True),
    Column("condition", String(300), nullable=False),
    Column("session_id", ForeignKey(sessions.c.session_id), unique=True),
)
"""The places of a list that were given; one without a session was passed over, since its condition was full."""

simulations = Table(
    "simulations",
    metadata,
    Column("session_id", String(36), primary_key=True),
    Column("name", String(255)),
    Column("description", Text),
    Column("scenario", Text, nullable=False),
    Column("status", String(20), nullable=False),
    Column("current_turn", Integer, nullable=False),
    Column("max_turns", Integer, nullable=False),
    Column("parent", String(36)),
    Column("created_at", String(32), nullable=False),
    Column("updated_at", String(32), nullable=False),
    Index("ix_simulations_created_at", "created_at", "session_id"),
)
"""Workforce sessions, to be listed: their logs are what they are. `parent` is the session of which one is a branch."""

what_ifs = Table(
    "what_ifs",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("session_id", ForeignKey(simulations.c.session_id, ondelete="CASCADE"), nullable=False),
    Column("key_sha256", String(64)),
    Column("request_sha256", String(64), nullable=False),
    Column("request", Text, nullable=False),
    Column("base_turn", Integer, nullable=False),
    Column("answer", Text),
    Column("created_at", String(32), nullable=False),
    UniqueConstraint("session_id", "key_sha256"),
)
"""`request` and `answer` are JSON; without an answer it is being played, or was broken off."""
