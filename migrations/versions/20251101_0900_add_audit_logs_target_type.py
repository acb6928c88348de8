"""Say what kind of thing an audited action was done to.

Revision ID: 20251101_0900
Revises: 20250122_1030
"""

from alembic import op

revision = "20251101_0900"
down_revision = "20250122_1030"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.execute('ALTER TABLE "audit_logs" ADD COLUMN "targetType" VARCHAR(100)')


def downgrade() -> None:
    op.execute('ALTER TABLE "audit_logs" DROP COLUMN "targetType"')
