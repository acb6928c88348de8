"""Find artifacts by their owner.

Revision ID: 20251125_0910
Revises: 20251125_0900
"""

from alembic import op

revision = "20251125_0910"
down_revision = "20251125_0900"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute('CREATE INDEX CONCURRENTLY "artifacts_ownerId_idx" ON "artifacts"("ownerId")')


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute('DROP INDEX CONCURRENTLY "artifacts_ownerId_idx"')
