"""Let usage logs name only conversations that are there, from now on.

What stands already is looked at by the next revision, without keeping anybody from writing.

Revision ID: 20251122_0940
Revises: 20251122_0930
"""

from alembic import op

revision = "20251122_0940"
down_revision = "20251122_0930"
branch_labels = None
depends_on = None
phase = "expand"

FOREIGN_KEY = """
ALTER TABLE "usage_logs" ADD CONSTRAINT "usage_logs_conversationId_fkey"
  FOREIGN KEY ("conversationId") REFERENCES "conversations"("id") ON DELETE SET NULL ON UPDATE CASCADE NOT VALID
"""


def upgrade() -> None:
    op.execute(FOREIGN_KEY)


def downgrade() -> None:
    op.execute('ALTER TABLE "usage_logs" DROP CONSTRAINT "usage_logs_conversationId_fkey"')
