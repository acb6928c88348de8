"""Let a new row of users need no "updatedAt", and a changed one say when it was changed.

Revision ID: 20251128_0900
Revises: 20251127_0940
"""

from alembic import op

revision = "20251128_0900"
down_revision = "20251127_0940"
branch_labels = None
depends_on = None
phase = "expand"

TOUCH = """
CREATE TRIGGER "users_updatedAt_touch" BEFORE UPDATE ON "users" FOR EACH ROW
  WHEN (NEW."updatedAt" IS NOT DISTINCT FROM OLD."updatedAt") EXECUTE FUNCTION touch_updated_at()
"""


def upgrade() -> None:
    op.execute('ALTER TABLE "users" ALTER COLUMN "updatedAt" SET DEFAULT CURRENT_TIMESTAMP')
    op.execute(TOUCH)


def downgrade() -> None:
    op.execute('DROP TRIGGER "users_updatedAt_touch" ON "users"')
    op.execute('ALTER TABLE "users" ALTER COLUMN "updatedAt" DROP DEFAULT')
