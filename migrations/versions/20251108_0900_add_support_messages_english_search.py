"""Find what was said in tickets by its words in English.

Revision ID: 20251108_0900
Revises: 20251107_1000
"""

from alembic import op

revision = "20251108_0900"
down_revision = "20251107_1000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute(
            'CREATE INDEX CONCURRENTLY "support_messages_content_english_idx" '
            """ON "support_messages" USING GIN (to_tsvector('english', "content"))"""
        )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute('DROP INDEX CONCURRENTLY "support_messages_content_english_idx"')
