"""Let a new row of artifacts need no "updatedAt", and a changed one say when it was changed.

Revision ID: 20251128_0950
Revises: 20251128_0940
"""

from alembic import op

revision = "20251128_0950"
down_revision = "20251128_0940"
branch_labels = None
depends_on = None
phase = "expand"

TOUCH = """
CREATE TRIGGER "artifacts_updatedAt_touch" BEFORE UPDATE ON "artifacts" FOR EACH ROW
  WHEN (NEW."updatedAt" IS NOT DISTINCT FROM OLD."updatedAt") EXECUTE FUNCTION touch_updated_at()
"""


def upgrade() -> None:
    op.execute('ALTER TABLE "artifacts" ALTER COLUMN "updatedAt" SET DEFAULT CURRENT_TIMESTAMP')
    op.execute(TOUCH)


def downgrade() -> None:
    op.execute('DROP TRIGGER "artifacts_updatedAt_touch" ON "artifacts"')
    op.execute('ALTER TABLE "artifacts" ALTER COLUMN "updatedAt" DROP DEFAULT')
