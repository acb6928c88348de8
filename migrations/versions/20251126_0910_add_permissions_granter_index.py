"""Find permissions by who granted them.

Revision ID: 20251126_0910
Revises: 20251126_0900
"""

from alembic import op

revision = "20251126_0910"
down_revision = "20251126_0900"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute(
            'CREATE INDEX CONCURRENTLY "user_agent_permissions_granterId_idx" ON "user_agent_permissions"("granterId")'
        )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute('DROP INDEX CONCURRENTLY "user_agent_permissions_granterId_idx"')
