"""Drop an index that the unique one on user, year and month begins with.

Revision ID: 20251202_0910
Revises: 20251202_0900
"""

from alembic import op

revision = "20251202_0910"
down_revision = "20251202_0900"
branch_labels = None
depends_on = None
phase = "contract"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute('DROP INDEX CONCURRENTLY "monthly_usage_userId_idx"')


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute('CREATE INDEX CONCURRENTLY "monthly_usage_userId_idx" ON "monthly_usage"("userId")')
