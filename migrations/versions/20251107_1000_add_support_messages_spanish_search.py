"""Find what was said in tickets by its words in Spanish.

Revision ID: 20251107_1000
Revises: 20251104_0900
"""

from alembic import op

revision = "20251107_1000"
down_revision = "20251104_0900"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute(
            'CREATE INDEX CONCURRENTLY "support_messages_content_spanish_idx" '
            """ON "support_messages" USING GIN (to_tsvector('spanish', "content"))"""
        )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute('DROP INDEX CONCURRENTLY "support_messages_content_spanish_idx"')
