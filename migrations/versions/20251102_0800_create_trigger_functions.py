"""Functions of triggers: when a row was last changed, and how much room a user's files take.

The tables that call them come next. A trigger calls the first where the statement did not set "updatedAt" itself, so
that an application that does is not overruled. A quota's use follows its user's files by what each statement adds and
takes away, so that uploads do not wait to be counted; and a quota that is made later than the files begins with their
count.

Revision ID: 20251102_0800
Revises: 20251101_0900
"""

from alembic import op

revision = "20251102_0800"
down_revision = "20251101_0900"
branch_labels = None
depends_on = None
phase = "expand"

TOUCH_UPDATED_AT = """
CREATE FUNCTION touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW."updatedAt" := CURRENT_TIMESTAMP;
  RETURN NEW;
END
$$
"""

KEEP_STORAGE_USAGE = """
CREATE FUNCTION keep_storage_usage() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
DECLARE
  owners uuid[];
  bytes bigint[];
  files integer[];
BEGIN
  IF TG_TABLE_NAME = 'storage_quotas' THEN
    -- Whoever is adding a file holds the user's row for its foreign key: wait, and count it.
    PERFORM 1 FROM users WHERE id = NEW."userId" FOR UPDATE;
    SELECT coalesce(sum("sizeBytes"), 0), count(*) INTO NEW."usedStorage", NEW."usedFiles"
      FROM storage_files WHERE "userId" = NEW."userId" AND "deletedAt" IS NULL;
    RETURN NEW;
  END IF;
  IF TG_OP = 'TRUNCATE' THEN
    UPDATE storage_quotas SET "usedStorage" = 0, "usedFiles" = 0 WHERE "usedFiles" <> 0 OR "usedStorage" <> 0;
    RETURN NULL;
  END IF;
  IF TG_OP = 'INSERT' THEN
    SELECT array_agg(o."userId"), array_agg(o.bytes), array_agg(o.files) INTO owners, bytes, files FROM (
      SELECT "userId", sum("sizeBytes") AS bytes, count(*) AS files
      FROM added WHERE "deletedAt" IS NULL GROUP BY "userId"
    ) o;
  ELSIF TG_OP = 'DELETE' THEN
    SELECT array_agg(o."userId"), array_agg(-o.bytes), array_agg(-o.files) INTO owners, bytes, files FROM (
      SELECT "userId", sum("sizeBytes") AS bytes, count(*) AS files
      FROM removed WHERE "deletedAt" IS NULL GROUP BY "userId"
    ) o;
  ELSE
    SELECT array_agg(o."userId"), array_agg(o.bytes), array_agg(o.files) INTO owners, bytes, files FROM (
      SELECT "userId", sum(moved.bytes) AS bytes, sum(moved.files) AS files FROM (
        SELECT "userId", "sizeBytes" AS bytes, 1 AS files FROM added WHERE "deletedAt" IS NULL
        UNION ALL
        SELECT "userId", -"sizeBytes", -1 FROM removed WHERE "deletedAt" IS NULL
      ) moved
      GROUP BY "userId" HAVING sum(moved.bytes) <> 0 OR sum(moved.files) <> 0
    ) o;
  END IF;
  -- Two statements that change the files of the same users take their quotas in the same order.
  PERFORM 1 FROM storage_quotas WHERE "userId" = ANY (owners) ORDER BY "userId" FOR NO KEY UPDATE;
  UPDATE storage_quotas q SET "usedStorage" = "usedStorage" + o.bytes, "usedFiles" = "usedFiles" + o.files
    FROM unnest(owners, bytes, files) AS o("userId", bytes, files) WHERE q."userId" = o."userId";
  RETURN NULL;
END
$$
"""


def upgrade() -> None:
    op.execute(TOUCH_UPDATED_AT)
    op.execute(KEEP_STORAGE_USAGE)


def downgrade() -> None:
    op.execute("DROP FUNCTION keep_storage_usage()")
    op.execute("DROP FUNCTION touch_updated_at()")
