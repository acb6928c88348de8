"""What rehearsals measured, under its digest.

Revision ID: 20261123_2300
Revises: 20261123_1500
"""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "20261123_2300"
down_revision = "20261123_1500"
branch_labels = None
depends_on = None


def upgrade(op: Operations) -> None:
    """Make the table of evidence; the same digest is the same evidence, whoever measured it."""
    op.create_table(
        "evidence",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("plan_digest", sa.String(64), nullable=False),
        sa.Column("release_id", sa.String(40)),
        sa.Column("evidence", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="evidence_pkey"),
        sa.ForeignKeyConstraint(["release_id"], ["releases.id"], name="evidence_release_id_fkey", ondelete="RESTRICT"),
    )
    op.create_index("evidence_by_plan", "evidence", ["plan_digest", "at"])


def downgrade(op: Operations) -> None:
    """Drop the table with all that it holds."""
    op.drop_table("evidence")
