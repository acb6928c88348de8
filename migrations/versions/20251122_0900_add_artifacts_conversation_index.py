"""Find artifacts by their conversation.

Revision ID: 20251122_0900
Revises: 20251121_0910
"""

from alembic import op

revision = "20251122_0900"
down_revision = "20251121_0910"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute('CREATE INDEX CONCURRENTLY "artifacts_conversationId_idx" ON "artifacts"("conversationId")')


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute('DROP INDEX CONCURRENTLY "artifacts_conversationId_idx"')
