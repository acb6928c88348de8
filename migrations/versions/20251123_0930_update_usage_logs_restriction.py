"""Hold every row of usage_logs to the user that it names.

Revision ID: 20251123_0930
Revises: 20251123_0920
"""

from alembic import op

revision = "20251123_0930"
down_revision = "20251123_0920"
branch_labels = None
depends_on = None
phase = "expand"

RESTRICT = """
ALTER TABLE "usage_logs" ADD CONSTRAINT "usage_logs_userId_restrict_fkey"
  FOREIGN KEY ("userId") REFERENCES "users"("id") ON DELETE RESTRICT ON UPDATE CASCADE NOT VALID
"""


def upgrade() -> None:
    op.execute('ALTER TABLE "usage_logs" VALIDATE CONSTRAINT "usage_logs_userId_restrict_fkey"')


def downgrade() -> None:
    op.execute('ALTER TABLE "usage_logs" DROP CONSTRAINT "usage_logs_userId_restrict_fkey"')
    op.execute(RESTRICT)
