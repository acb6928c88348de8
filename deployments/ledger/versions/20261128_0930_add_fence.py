"""The fence of a release's lease: a number that rises whenever another process takes the release over.

Revision ID: 20261128_0930
Revises: 20261123_2300
"""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "20261128_0930"
down_revision = "20261123_2300"
branch_labels = None
depends_on = None


def upgrade(op: Operations) -> None:
    """Number the leases; a release that nobody has taken over is under its first."""
    op.add_column("releases", sa.Column("fence", sa.Integer, nullable=False, server_default=sa.text("1")))


def downgrade(op: Operations) -> None:
    """Drop the numbers."""
    op.drop_column("releases", "fence")
