"""Let a new row of conversations need no "updatedAt", and a changed one say when it was changed.

Revision ID: 20251128_0910
Revises: 20251128_0900
"""

from alembic import op

revision = "20251128_0910"
down_revision = "20251128_0900"
branch_labels = None
depends_on = None
phase = "expand"

TOUCH = """
CREATE TRIGGER "conversations_updatedAt_touch" BEFORE UPDATE ON "conversations" FOR EACH ROW
  WHEN (NEW."updatedAt" IS NOT DISTINCT FROM OLD."updatedAt") EXECUTE FUNCTION touch_updated_at()
"""


def upgrade() -> None:
    op.execute('ALTER TABLE "conversations" ALTER COLUMN "updatedAt" SET DEFAULT CURRENT_TIMESTAMP')
    op.execute(TOUCH)


def downgrade() -> None:
    op.execute('DROP TRIGGER "conversations_updatedAt_touch" ON "conversations"')
    op.execute('ALTER TABLE "conversations" ALTER COLUMN "updatedAt" DROP DEFAULT')
