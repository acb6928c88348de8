"""Drop an index that the unique one on user and agent begins with.

Revision ID: 20251202_0900
Revises: 20251201_0910
"""

from alembic import op

revision = "20251202_0900"
down_revision = "20251201_0910"
branch_labels = None
depends_on = None
phase = "contract"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute('DROP INDEX CONCURRENTLY "user_agent_permissions_userId_idx"')


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute(
            'CREATE INDEX CONCURRENTLY "user_agent_permissions_userId_idx" ON "user_agent_permissions"("userId")'
        )
