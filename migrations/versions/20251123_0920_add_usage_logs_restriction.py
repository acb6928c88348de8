"""Prepare that a user's usage cannot be deleted with the user.

The foreign key that stands still deletes it: it goes in a later revision, after this one was held against every row.

Revision ID: 20251123_0920
Revises: 20251123_0910
"""

from alembic import op

revision = "20251123_0920"
down_revision = "20251123_0910"
branch_labels = None
depends_on = None
phase = "expand"

RESTRICT = """
ALTER TABLE "usage_logs" ADD CONSTRAINT "usage_logs_userId_restrict_fkey"
  FOREIGN KEY ("userId") REFERENCES "users"("id") ON DELETE RESTRICT ON UPDATE CASCADE NOT VALID
"""


def upgrade() -> None:
    op.execute(RESTRICT)


def downgrade() -> None:
    op.execute('ALTER TABLE "usage_logs" DROP CONSTRAINT "usage_logs_userId_restrict_fkey"')
