"""What Slack is told: each message before it is sent, and each fact that is told once.

Revision ID: 20261128_1200
Revises: 20261128_0930
"""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "20261128_1200"
down_revision = "20261128_0930"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade(op: Operations) -> None:
    """Make the table of messages."""
    waiting = sa.text("state = 'waiting'")
    op.create_table(
        "messages",
        sa.Column("number", sa.Integer, nullable=False, autoincrement=True),
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("release_id", sa.String(40)),
        sa.Column("fact", sa.Text),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("blocks", sa.JSON, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("taken_by", sa.String(36)),
        sa.Column("taken_until", MOMENT),
        sa.Column("sent_at", MOMENT),
        sa.PrimaryKeyConstraint("number", name="messages_pkey"),
        sa.UniqueConstraint("id", name="messages_id_key"),
        sa.UniqueConstraint("target", "fact", name="messages_target_fact_key"),
        sa.ForeignKeyConstraint(["release_id"], ["releases.id"], name="messages_release_id_fkey", ondelete="RESTRICT"),
        sa.CheckConstraint("state IN ('waiting', 'sent', 'refused', 'too old')", name="messages_state_check"),
    )
    op.create_index(
        "messages_waiting", "messages", ["target", "number"], sqlite_where=waiting, postgresql_where=waiting
    )
    op.create_index("messages_by_release", "messages", ["release_id"])


def downgrade(op: Operations) -> None:
    """Drop the messages."""
    op.drop_table("messages")
