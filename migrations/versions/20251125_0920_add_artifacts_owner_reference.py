"""Let an artifact's owner be a user, with whom it goes, from now on.

Revision ID: 20251125_0920
Revises: 20251125_0910
"""

from alembic import op

revision = "20251125_0920"
down_revision = "20251125_0910"
branch_labels = None
depends_on = None
phase = "expand"

FOREIGN_KEY = """
ALTER TABLE "artifacts" ADD CONSTRAINT "artifacts_ownerId_fkey"
  FOREIGN KEY ("ownerId") REFERENCES "users"("id") ON DELETE CASCADE ON UPDATE CASCADE NOT VALID
"""


def upgrade() -> None:
    op.execute(FOREIGN_KEY)


def downgrade() -> None:
    op.execute('ALTER TABLE "artifacts" DROP CONSTRAINT "artifacts_ownerId_fkey"')
