"""Hold what stands already to it: an artifact's owner be a user, with whom it goes.

Revision ID: 20251125_0940
Revises: 20251125_0930
"""

from alembic import op

revision = "20251125_0940"
down_revision = "20251125_0930"
branch_labels = None
depends_on = None
phase = "expand"

FOREIGN_KEY = """
ALTER TABLE "artifacts" ADD CONSTRAINT "artifacts_ownerId_fkey"
  FOREIGN KEY ("ownerId") REFERENCES "users"("id") ON DELETE CASCADE ON UPDATE CASCADE NOT VALID
"""


def upgrade() -> None:
    op.execute('ALTER TABLE "artifacts" VALIDATE CONSTRAINT "artifacts_ownerId_fkey"')


def downgrade() -> None:
    op.execute('ALTER TABLE "artifacts" DROP CONSTRAINT "artifacts_ownerId_fkey"')
    op.execute(FOREIGN_KEY)
