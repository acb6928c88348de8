"""Find users by what their permissions contain.

Revision ID: 20251124_0910
Revises: 20251124_0900
"""

from alembic import op

revision = "20251124_0910"
down_revision = "20251124_0900"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute('CREATE INDEX CONCURRENTLY "users_permissions_idx" ON "users" USING GIN ("permissions")')


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute('DROP INDEX CONCURRENTLY "users_permissions_idx"')
