"""Find the active users of a role.

Revision ID: 20251124_0900
Revises: 20251123_0930
"""

from alembic import op

revision = "20251124_0900"
down_revision = "20251123_0930"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute(
            'CREATE INDEX CONCURRENTLY "users_role_isActive_idx" ON "users"("role", "isActive") WHERE "isActive"'
        )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute('DROP INDEX CONCURRENTLY "users_role_isActive_idx"')
