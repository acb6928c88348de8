"""Find usage logs by their message.

Revision ID: 20251127_0910
Revises: 20251127_0900
"""

from alembic import op

revision = "20251127_0910"
down_revision = "20251127_0900"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute('CREATE INDEX CONCURRENTLY "usage_logs_sourceMessageId_idx" ON "usage_logs"("sourceMessageId")')


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute('DROP INDEX CONCURRENTLY "usage_logs_sourceMessageId_idx"')
