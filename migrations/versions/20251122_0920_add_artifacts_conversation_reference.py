"""Let artifacts name only conversations that are there, from now on.

What stands already is looked at by the next revision, without keeping anybody from writing.

Revision ID: 20251122_0920
Revises: 20251122_0910
"""

from alembic import op

revision = "20251122_0920"
down_revision = "20251122_0910"
branch_labels = None
depends_on = None
phase = "expand"

FOREIGN_KEY = """
ALTER TABLE "artifacts" ADD CONSTRAINT "artifacts_conversationId_fkey"
  FOREIGN KEY ("conversationId") REFERENCES "conversations"("id") ON DELETE SET NULL ON UPDATE CASCADE NOT VALID
"""


def upgrade() -> None:
    op.execute(FOREIGN_KEY)


def downgrade() -> None:
    op.execute('ALTER TABLE "artifacts" DROP CONSTRAINT "artifacts_conversationId_fkey"')
