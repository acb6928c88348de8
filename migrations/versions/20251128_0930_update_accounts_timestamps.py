"""Let a new row of accounts need no "updatedAt", and a changed one say when it was changed.

Revision ID: 20251128_0930
Revises: 20251128_0920
"""

from alembic import op

revision = "20251128_0930"
down_revision = "20251128_0920"
branch_labels = None
depends_on = None
phase = "expand"

TOUCH = """
CREATE TRIGGER "accounts_updatedAt_touch" BEFORE UPDATE ON "accounts" FOR EACH ROW
  WHEN (NEW."updatedAt" IS NOT DISTINCT FROM OLD."updatedAt") EXECUTE FUNCTION touch_updated_at()
"""


def upgrade() -> None:
    op.execute('ALTER TABLE "accounts" ALTER COLUMN "updatedAt" SET DEFAULT CURRENT_TIMESTAMP')
    op.execute(TOUCH)


def downgrade() -> None:
    op.execute('DROP TRIGGER "accounts_updatedAt_touch" ON "accounts"')
    op.execute('ALTER TABLE "accounts" ALTER COLUMN "updatedAt" DROP DEFAULT')
