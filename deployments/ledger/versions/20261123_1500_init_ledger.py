"""Releases, their append-only steps, recorded catalogues and announcements.

Revision ID: 20261123_1500
Revises:
"""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "20261123_1500"
down_revision = None
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)

SQLITE_GUARDS = (
    """
    CREATE TRIGGER steps_refuse_update BEFORE UPDATE ON steps
    BEGIN SELECT RAISE(ABORT, 'steps are append-only: a step is never changed'); END
    """,
    """
    CREATE TRIGGER steps_refuse_delete BEFORE DELETE ON steps
    BEGIN SELECT RAISE(ABORT, 'steps are append-only: a step is never deleted'); END
    """,
    # INSERT OR REPLACE deletes without firing the trigger above, unless the connection asked for it.
    """
    CREATE TRIGGER steps_refuse_replace BEFORE INSERT ON steps
    WHEN EXISTS (SELECT 1 FROM steps WHERE id = NEW.id OR (release_id = NEW.release_id AND seq = NEW.seq))
    BEGIN SELECT RAISE(ABORT, 'steps are append-only: a step is never replaced'); END
    """,
)
POSTGRESQL_GUARDS = (
    """
    CREATE FUNCTION steps_are_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'steps are append-only: % refused', TG_OP USING ERRCODE = 'integrity_constraint_violation';
    END
    $$
    """,
    """
    CREATE TRIGGER steps_refuse_change BEFORE UPDATE OR DELETE ON steps
    FOR EACH ROW EXECUTE FUNCTION steps_are_append_only()
    """,
    """
    CREATE TRIGGER steps_refuse_truncate BEFORE TRUNCATE ON steps
    FOR EACH STATEMENT EXECUTE FUNCTION steps_are_append_only()
    """,
)


def upgrade(op: Operations) -> None:
    """Make the ledger."""
    create_releases(op)
    create_steps(op)
    create_catalogs(op)
    op.create_table(
        "announcements",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("first_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="announcements_pkey"),
        sa.UniqueConstraint("target", "environment", "digest", name="announcements_target_environment_digest_key"),
    )


def downgrade(op: Operations) -> None:
    """Drop the ledger with all that it holds."""
    for table in ("announcements", "catalogs", "steps", "releases"):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION steps_are_append_only()")


def create_releases(op: Operations) -> None:
    """Make the table of releases, with room for one running release a target."""
    running = sa.text("state = 'running'")
    op.create_table(
        "releases",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("ref", sa.Text, nullable=False),
        sa.Column("commit_sha", sa.Text, nullable=False),
        sa.Column("target_revision", sa.Text, nullable=False),
        sa.Column("requested_by", sa.Text, nullable=False),
        sa.Column("flow_run_id", sa.Text),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("lease_expires_at", MOMENT, nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT),
        sa.Column("summary", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="releases_pkey"),
        sa.CheckConstraint(
            "state IN ('running', 'succeeded', 'rolled_back', 'failed', 'undecided', 'abandoned')",
            name="releases_state_check",
        ),
        sa.CheckConstraint("(state = 'running') = (ended_at IS NULL)", name="releases_ended_check"),
    )
    op.create_index(
        "releases_one_running_a_target",
        "releases",
        ["target"],
        unique=True,
        sqlite_where=running,
        postgresql_where=running,
    )
    op.create_index("releases_by_target", "releases", ["target", "started_at"])


def create_steps(op: Operations) -> None:
    """Make the table of steps, which refuses every change of what is written."""
    op.create_table(
        "steps",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("release_id", sa.String(40), nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("step", sa.Text, nullable=False),
        sa.Column("event", sa.String(8), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("details", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="steps_pkey"),
        sa.ForeignKeyConstraint(["release_id"], ["releases.id"], name="steps_release_id_fkey", ondelete="RESTRICT"),
        sa.UniqueConstraint("release_id", "seq", name="steps_release_id_seq_key"),
        sa.CheckConstraint("event IN ('begun', 'done', 'failed', 'noted')", name="steps_event_check"),
    )
    for guard in SQLITE_GUARDS if op.get_bind().dialect.name == "sqlite" else POSTGRESQL_GUARDS:
        op.execute(guard)


def create_catalogs(op: Operations) -> None:
    """Make the table of recorded catalogues; the highest number of an environment is the newest."""
    op.create_table(
        "catalogs",
        sa.Column("number", sa.Integer, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("release_id", sa.String(40)),
        sa.Column("revision", sa.Text),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("catalog", sa.Text, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("number", name="catalogs_pkey"),
        sa.UniqueConstraint("id", name="catalogs_id_key"),
        sa.ForeignKeyConstraint(["release_id"], ["releases.id"], name="catalogs_release_id_fkey", ondelete="RESTRICT"),
    )
    op.create_index("catalogs_newest", "catalogs", ["target", "environment", "number"])
