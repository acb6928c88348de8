"""Functions of triggers: when a row was last changed, and how much room a user's files take.

A row's "updatedAt" is touched where the statement did not set it itself, so that an application that does is not
overruled. A quota's use follows its user's files by what each statement adds and takes away, so that uploads do not
wait to be counted; and a quota that is made later than the files begins with their count.

Revision ID: 20251107_0900
Revises: 20251104_0900
"""

from alembic import op

revision = "20251107_0900"
down_revision = "20251104_0900"
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

STORAGE_TRIGGERS = (
    """
    CREATE TRIGGER "storage_files_usage_insert" AFTER INSERT ON "storage_files"
      REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION keep_storage_usage()
    """,
    """
    CREATE TRIGGER "storage_files_usage_update" AFTER UPDATE ON "storage_files"
      REFERENCING OLD TABLE AS removed NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION keep_storage_usage()
    """,
    """
    CREATE TRIGGER "storage_files_usage_delete" AFTER DELETE ON "storage_files"
      REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION keep_storage_usage()
    """,
    """
    CREATE TRIGGER "storage_files_usage_truncate" AFTER TRUNCATE ON "storage_files"
      FOR EACH STATEMENT EXECUTE FUNCTION keep_storage_usage()
    """,
    """
    CREATE TRIGGER "storage_quotas_usage_insert" BEFORE INSERT ON "storage_quotas"
      FOR EACH ROW EXECUTE FUNCTION keep_storage_usage()
    """,
)

# What was uploaded before the triggers stood.
COUNT_WHAT_IS_THERE = """
UPDATE "storage_quotas" q SET "usedStorage" = used.bytes, "usedFiles" = used.files
FROM (
  SELECT q."userId", coalesce(sum(f."sizeBytes"), 0) AS bytes, count(f."id") AS files
  FROM "storage_quotas" q LEFT JOIN "storage_files" f ON f."userId" = q."userId" AND f."deletedAt" IS NULL
  GROUP BY q."userId"
) used
WHERE used."userId" = q."userId" AND (q."usedStorage", q."usedFiles") IS DISTINCT FROM (used.bytes, used.files)
"""

TOUCHED = (
    "support_tickets",
    "support_messages",
    "storage_folders",
    "storage_files",
    "storage_quotas",
    "file_shares",
)


def upgrade() -> None:
    op.execute(TOUCH_UPDATED_AT)
    op.execute(KEEP_STORAGE_USAGE)
    for statement in STORAGE_TRIGGERS:
        op.execute(statement)
    op.execute(COUNT_WHAT_IS_THERE)
    for table in TOUCHED:
        op.execute(
            f'CREATE TRIGGER "{table}_updatedAt_touch" BEFORE UPDATE ON "{table}" FOR EACH ROW '
            'WHEN (NEW."updatedAt" IS NOT DISTINCT FROM OLD."updatedAt") EXECUTE FUNCTION touch_updated_at()'
        )


def downgrade() -> None:
    for table in TOUCHED:
        op.execute(f'DROP TRIGGER "{table}_updatedAt_touch" ON "{table}"')
    for name in ("insert", "update", "delete", "truncate"):
        op.execute(f'DROP TRIGGER "storage_files_usage_{name}" ON "storage_files"')
    op.execute('DROP TRIGGER "storage_quotas_usage_insert" ON "storage_quotas"')
    op.execute("DROP FUNCTION keep_storage_usage()")
    op.execute("DROP FUNCTION touch_updated_at()")
