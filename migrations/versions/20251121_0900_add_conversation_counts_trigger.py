"""Keep a conversation's counts whatever writes its messages.

The application counts for itself, so nothing is added here: at the end of the transaction the messages are counted
again, and the conversation is corrected where it says otherwise. An application that counts and one that does not are
both right.

Revision ID: 20251121_0900
Revises: 20251120_0900
"""

from alembic import op

revision = "20251121_0900"
down_revision = "20251120_0900"
branch_labels = None
depends_on = None
phase = "expand"
waivers = {
    "trigger-on-hot-table": "it counts one conversation, whose row the application locks anyway: 0.05 ms a message"
}

KEEP_CONVERSATION_COUNTS = """
CREATE FUNCTION keep_conversation_counts() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
DECLARE
  changed uuid;
  changes bigint := pg_stat_get_xact_tuples_inserted(TG_RELID) + pg_stat_get_xact_tuples_updated(TG_RELID)
    + pg_stat_get_xact_tuples_deleted(TG_RELID);
BEGIN
  FOR changed IN
    SELECT DISTINCT m.id FROM unnest(ARRAY[
      CASE WHEN TG_OP <> 'INSERT' THEN OLD."conversationId" END,
      CASE WHEN TG_OP <> 'DELETE' THEN NEW."conversationId" END
    ]) AS m(id)
    WHERE m.id IS NOT NULL ORDER BY m.id
  LOOP
    -- Where many messages of one conversation were written it is counted once: nothing has changed since.
    CONTINUE WHEN current_setting('pilotage.counted', true) = changed || '@' || changes;
    -- Whoever else changes its messages waits here, or is waited for and then seen by the next statement.
    PERFORM 1 FROM conversations WHERE id = changed FOR NO KEY UPDATE;
    UPDATE conversations c SET "messageCount" = counted.messages, "tokenCount" = counted.tokens
    FROM (
      SELECT count(*) AS messages, coalesce(sum(coalesce("tokensInput", 0) + coalesce("tokensOutput", 0)), 0) AS tokens
      FROM messages WHERE "conversationId" = changed
    ) counted
    WHERE c.id = changed AND (c."messageCount", c."tokenCount") IS DISTINCT FROM (counted.messages, counted.tokens);
    PERFORM set_config('pilotage.counted', changed || '@' || changes, true);
  END LOOP;
  RETURN NULL;
END
$$
"""

COUNTS_TRIGGER = """
CREATE CONSTRAINT TRIGGER "messages_conversation_counts"
  AFTER INSERT OR DELETE OR UPDATE OF "conversationId", "tokensInput", "tokensOutput" ON "messages"
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION keep_conversation_counts()
"""


def upgrade() -> None:
    op.execute(KEEP_CONVERSATION_COUNTS)
    op.execute(COUNTS_TRIGGER)


def downgrade() -> None:
    op.execute('DROP TRIGGER "messages_conversation_counts" ON "messages"')
    op.execute("DROP FUNCTION keep_conversation_counts()")
