"""Drop the text that named the message of a usage log.

The way back writes it again from the key; ids of messages that are gone are lost.

Revision ID: 20251205_0900
Revises: 20251204_0900
"""

from alembic import op

revision = "20251205_0900"
down_revision = "20251204_0900"
branch_labels = None
depends_on = None
phase = "contract"

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
    op.execute('DROP TRIGGER "usage_logs_sourceMessageId_sync" ON "usage_logs"')
    op.execute("DROP FUNCTION sync_usage_logs_message()")
    op.execute('ALTER TABLE "usage_logs" DROP COLUMN "messageId"')


def downgrade() -> None:
    op.execute('ALTER TABLE "usage_logs" ADD COLUMN "messageId" VARCHAR(255)')
    op.execute('UPDATE "usage_logs" SET "messageId" = "sourceMessageId"::text WHERE "sourceMessageId" IS NOT NULL')
    op.execute(SYNC)
    op.execute(TRIGGER)
