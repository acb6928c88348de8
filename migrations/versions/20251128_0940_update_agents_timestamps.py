"""Let a new row of agents need no "updatedAt", and a changed one say when it was changed.

Revision ID: 20251128_0940
Revises: 20251128_0930
"""

from alembic import op

revision = "20251128_0940"
down_revision = "20251128_0930"
branch_labels = None
depends_on = None
phase = "expand"

TOUCH = """
CREATE TRIGGER "agents_updatedAt_touch" BEFORE UPDATE ON "agents" FOR EACH ROW
  WHEN (NEW."updatedAt" IS NOT DISTINCT FROM OLD."updatedAt") EXECUTE FUNCTION touch_updated_at()
"""


def upgrade() -> None:
    op.execute('ALTER TABLE "agents" ALTER COLUMN "updatedAt" SET DEFAULT CURRENT_TIMESTAMP')
    op.execute(TOUCH)


def downgrade() -> None:
    op.execute('DROP TRIGGER "agents_updatedAt_touch" ON "agents"')
    op.execute('ALTER TABLE "agents" ALTER COLUMN "updatedAt" DROP DEFAULT')
