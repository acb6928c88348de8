"""Fill in the owner of every artifact.

Rows that name no user are told before anything is changed: nothing else says whose they are.
A thousand rows are a transaction of their own: what stops half-way goes on where it was.

Revision ID: 20251125_0930
Revises: 20251125_0920
"""

from alembic import op

revision = "20251125_0930"
down_revision = "20251125_0920"
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
  SELECT count(*) INTO lost FROM artifacts t
  WHERE NOT EXISTS (SELECT FROM users r WHERE r.id::text = lower(t."userId"));
  IF lost > 0 THEN
    RAISE EXCEPTION USING MESSAGE = lost
      || ' rows of artifacts name no user in "userId": give each its user, or delete it. They are: '
      || 'SELECT id, "userId" FROM artifacts WHERE lower("userId") NOT IN (SELECT id::text FROM users)';
  END IF;
  LOOP
    batch := ARRAY(SELECT id FROM artifacts WHERE id > last ORDER BY id LIMIT 1000);
    EXIT WHEN batch = '{}';
    UPDATE artifacts t SET "ownerId" = r.id FROM users r
    WHERE t.id = ANY (batch) AND t."ownerId" IS NULL
      AND r.id = CASE WHEN t."userId" ~* pattern THEN t."userId"::uuid END;
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
