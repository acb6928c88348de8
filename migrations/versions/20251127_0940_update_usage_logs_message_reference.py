"""Hold what stands already to it: a usage log's message be one that is there, or none once it is gone.

Revision ID: 20251127_0940
Revises: 20251127_0930
"""

from alembic import op

revision = "20251127_0940"
down_revision = "20251127_0930"
branch_labels = None
depends_on = None
phase = "expand"

FOREIGN_KEY = """
ALTER TABLE "usage_logs" ADD CONSTRAINT "usage_logs_sourceMessageId_fkey"
  FOREIGN KEY ("sourceMessageId") REFERENCES "messages"("id") ON DELETE SET NULL ON UPDATE CASCADE NOT VALID
"""


def upgrade() -> None:
    op.execute('ALTER TABLE "usage_logs" VALIDATE CONSTRAINT "usage_logs_sourceMessageId_fkey"')


def downgrade() -> None:
    op.execute('ALTER TABLE "usage_logs" DROP CONSTRAINT "usage_logs_sourceMessageId_fkey"')
    op.execute(FOREIGN_KEY)
