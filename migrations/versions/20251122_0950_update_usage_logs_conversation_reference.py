"""Hold what stands in usage logs already to the conversation that it names.

A row whose conversation was deleted names none from here on, as it would have if the foreign key had stood then; the
way back does not name it again.

Revision ID: 20251122_0950
Revises: 20251122_0940
"""

from alembic import op

revision = "20251122_0950"
down_revision = "20251122_0940"
branch_labels = None
depends_on = None
phase = "expand"
waivers = {"unbatched-update": "it writes only rows whose conversation was deleted"}

FOREIGN_KEY = """
ALTER TABLE "usage_logs" ADD CONSTRAINT "usage_logs_conversationId_fkey"
  FOREIGN KEY ("conversationId") REFERENCES "conversations"("id") ON DELETE SET NULL ON UPDATE CASCADE NOT VALID
"""
FORGET = """
UPDATE "usage_logs" t SET "conversationId" = NULL
WHERE "conversationId" IS NOT NULL
  AND NOT EXISTS (SELECT FROM "conversations" c WHERE c."id" = t."conversationId")
"""


def upgrade() -> None:
    op.execute(FORGET)
    op.execute('ALTER TABLE "usage_logs" VALIDATE CONSTRAINT "usage_logs_conversationId_fkey"')


def downgrade() -> None:
    op.execute('ALTER TABLE "usage_logs" DROP CONSTRAINT "usage_logs_conversationId_fkey"')
    op.execute(FOREIGN_KEY)
