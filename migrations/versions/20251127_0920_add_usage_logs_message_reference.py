"""Let a usage log's message be one that is there, or none once it is gone, from now on.

Revision ID: 20251127_0920
Revises: 20251127_0910
"""

from alembic import op

revision = "20251127_0920"
down_revision = "20251127_0910"
branch_labels = None
depends_on = None
phase = "expand"

FOREIGN_KEY = """
ALTER TABLE "usage_logs" ADD CONSTRAINT "usage_logs_sourceMessageId_fkey"
  FOREIGN KEY ("sourceMessageId") REFERENCES "messages"("id") ON DELETE SET NULL ON UPDATE CASCADE NOT VALID
"""


def upgrade() -> None:
    op.execute(FOREIGN_KEY)


def downgrade() -> None:
    op.execute('ALTER TABLE "usage_logs" DROP CONSTRAINT "usage_logs_sourceMessageId_fkey"')
