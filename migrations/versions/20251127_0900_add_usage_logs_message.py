"""The message that was charged for as a key of messages, beside the text that says it so far.

A trigger keeps the two in step while applications write the one or the other. A text that names nothing stays alone.

Revision ID: 20251127_0900
Revises: 20251126_0940
"""

from alembic import op

revision = "20251127_0900"
down_revision = "20251126_0940"
branch_labels = None
depends_on = None
phase = "expand"
waivers = {"trigger-on-hot-table": "it looks for one key, and goes with the text"}

SYNC = """
CREATE FUNCTION sync_usage_logs_message() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
  IF TG_OP = 'INSERT' AND NEW."sourceMessageId" IS NOT NULL THEN
    NEW."messageId" := NEW."sourceMessageId"::text;
  ELSIF TG_OP = 'UPDATE' AND NEW."sourceMessageId" IS DISTINCT FROM OLD."sourceMessageId" THEN
    NEW."messageId" := NEW."sourceMessageId"::text;
  ELSIF TG_OP = 'INSERT' OR NEW."messageId" IS DISTINCT FROM OLD."messageId" THEN
    NEW."sourceMessageId" := (
      SELECT id FROM messages
      WHERE id = CASE
        WHEN NEW."messageId" ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN NEW."messageId"::uuid
      END
    );
  END IF;
  RETURN NEW;
END
$$
"""
TRIGGER = """
CREATE TRIGGER "usage_logs_sourceMessageId_sync" BEFORE INSERT OR UPDATE OF "messageId", "sourceMessageId"
  ON "usage_logs" FOR EACH ROW EXECUTE FUNCTION sync_usage_logs_message()
"""


def upgrade() -> None:
    op.execute('ALTER TABLE "usage_logs" ADD COLUMN "sourceMessageId" UUID')
    op.execute(SYNC)
    op.execute(TRIGGER)


def downgrade() -> None:
    op.execute('DROP TRIGGER "usage_logs_sourceMessageId_sync" ON "usage_logs"')
    op.execute("DROP FUNCTION sync_usage_logs_message()")
    op.execute('ALTER TABLE "usage_logs" DROP COLUMN "sourceMessageId"')
