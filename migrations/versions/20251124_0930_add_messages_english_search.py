"""Find what was said in conversations by its words in English.

Revision ID: 20251124_0930
Revises: 20251124_0920
"""

from alembic import op

revision = "20251124_0930"
down_revision = "20251124_0920"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute(
            'CREATE INDEX CONCURRENTLY "messages_content_english_idx" '
            """ON "messages" USING GIN (to_tsvector('english', "content"))"""
        )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute('DROP INDEX CONCURRENTLY "messages_content_english_idx"')
