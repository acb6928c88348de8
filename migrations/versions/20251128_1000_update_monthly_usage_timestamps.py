"""Let a new row of monthly_usage need no "updatedAt", and a changed one say when it was changed.

Revision ID: 20251128_1000
Revises: 20251128_0950
"""

from alembic import op

revision = "20251128_1000"
down_revision = "20251128_0950"
branch_labels = None
depends_on = None
phase = "expand"

TOUCH = """
CREATE TRIGGER "monthly_usage_updatedAt_touch" BEFORE UPDATE ON "monthly_usage" FOR EACH ROW
  WHEN (NEW."updatedAt" IS NOT DISTINCT FROM OLD."updatedAt") EXECUTE FUNCTION touch_updated_at()
"""


def upgrade() -> None:
    op.execute('ALTER TABLE "monthly_usage" ALTER COLUMN "updatedAt" SET DEFAULT CURRENT_TIMESTAMP')
    op.execute(TOUCH)


def downgrade() -> None:
    op.execute('DROP TRIGGER "monthly_usage_updatedAt_touch" ON "monthly_usage"')
    op.execute('ALTER TABLE "monthly_usage" ALTER COLUMN "updatedAt" DROP DEFAULT')
