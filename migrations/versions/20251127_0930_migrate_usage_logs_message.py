"""Fill in the message of every usage log.

What was deleted since is named no longer, as a foreign key would have seen to. A text that was never a key is told
before anything is changed.
A thousand rows are a transaction of their own: what stops half-way goes on where it was.

Revision ID: 20251127_0930
Revises: 20251127_0920
"""

from alembic import op

revision = "20251127_0930"
down_revision = "20251127_0920"
branch_labels = None
depends_on = None
phase = "expand"
waivers = {"downgrade-missing": "what it fills in goes with its column, some revisions below"}

FILL = """
DO $$
DECLARE
  pattern constant text := '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';
  lost bigint;
  batch uuid[];
  last uuid := '00000000-0000-0000-0000-000000000000';
BEGIN
  SELECT count(*) INTO lost FROM usage_logs WHERE "messageId" !~* pattern;
  IF lost > 0 THEN
    RAISE EXCEPTION USING MESSAGE = lost
      || ' rows of usage_logs have a "messageId" that is no UUID: correct or empty it. They are: '
      || 'SELECT id, "messageId" FROM usage_logs WHERE "messageId" !~* ' || quote_literal(pattern);
  END IF;
  LOOP
    batch := ARRAY(SELECT id FROM usage_logs WHERE id > last ORDER BY id LIMIT 1000);
    EXIT WHEN batch = '{}';
    UPDATE usage_logs t SET "sourceMessageId" = r.id FROM messages r
    WHERE t.id = ANY (batch) AND t."sourceMessageId" IS NULL
      AND r.id = CASE WHEN t."messageId" ~* pattern THEN t."messageId"::uuid END;
    COMMIT;
    last := batch[cardinality(batch)];
  END LOOP;
END
$$
"""


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute(FILL)


def downgrade() -> None:
    """Leave what was filled in: it goes with its column."""
