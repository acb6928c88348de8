"""Keep a user's usage: who has some is deactivated, not deleted.

An application that deletes such users fails from here on, and must be gone.

Revision ID: 20251201_0910
Revises: 20251201_0900
"""

from alembic import op

revision = "20251201_0910"
down_revision = "20251201_0900"
branch_labels = None
depends_on = None
phase = "contract"

CASCADE = """
ALTER TABLE "usage_logs" ADD CONSTRAINT "usage_logs_userId_fkey"
  FOREIGN KEY ("userId") REFERENCES "users"("id") ON DELETE CASCADE ON UPDATE CASCADE
"""


def upgrade() -> None:
    op.execute('ALTER TABLE "usage_logs" DROP CONSTRAINT "usage_logs_userId_fkey"')
    op.execute(
        'ALTER TABLE "usage_logs" RENAME CONSTRAINT "usage_logs_userId_restrict_fkey" TO "usage_logs_userId_fkey"'
    )


def downgrade() -> None:
    op.execute(
        'ALTER TABLE "usage_logs" RENAME CONSTRAINT "usage_logs_userId_fkey" TO "usage_logs_userId_restrict_fkey"'
    )
    op.execute(CASCADE)
