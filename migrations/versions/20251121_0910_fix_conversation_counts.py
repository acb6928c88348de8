"""Correct the counts of conversations that were wrong before the trigger stood.

Only those are locked, and counted again once they are. The way back leaves them as they are, since they are right.

Revision ID: 20251121_0910
Revises: 20251121_0900
"""

from alembic import op

revision = "20251121_0910"
down_revision = "20251121_0900"
branch_labels = None
depends_on = None
phase = "expand"
waivers = {
    "downgrade-missing": "counts that were wrong are not wanted back",
    "unbatched-update": "it writes only conversations whose counts are wrong",
}

CORRECT = """
DO $$
DECLARE
  wrong uuid[];
BEGIN
  SELECT array_agg(c.id ORDER BY c.id) INTO wrong
  FROM conversations c
  LEFT JOIN (
    SELECT "conversationId", count(*) AS messages,
           sum(coalesce("tokensInput", 0) + coalesce("tokensOutput", 0)) AS tokens
    FROM messages GROUP BY "conversationId"
  ) counted ON counted."conversationId" = c.id
  WHERE (c."messageCount", c."tokenCount")
    IS DISTINCT FROM (coalesce(counted.messages, 0), coalesce(counted.tokens, 0));

  -- What is being written now waits for its conversation here, and counts again after us.
  PERFORM 1 FROM conversations WHERE id = ANY (wrong) ORDER BY id FOR NO KEY UPDATE;

  UPDATE conversations c SET "messageCount" = counted.messages, "tokenCount" = counted.tokens
  FROM (
    SELECT w.id, count(m.id) AS messages,
           coalesce(sum(coalesce(m."tokensInput", 0) + coalesce(m."tokensOutput", 0)), 0) AS tokens
    FROM unnest(wrong) AS w(id) LEFT JOIN messages m ON m."conversationId" = w.id
    GROUP BY w.id
  ) counted
  WHERE c.id = counted.id;
END
$$
"""


def upgrade() -> None:
    op.execute(CORRECT)


def downgrade() -> None:
    """Leave the counts as they are: they are right."""
