"""The functions of triggers, and the tables that call them: what tables made from the models get as well.

Read migrations/versions for how each came to be; both say the same, and a test holds them together.
"""

from typing import Final

from sqlalchemy import DDL, MetaData, Table, event

TOUCH_UPDATED_AT: Final = """
CREATE FUNCTION touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW."updatedAt" := CURRENT_TIMESTAMP;
  RETURN NEW;
END
$$
"""

KEEP_STORAGE_USAGE: Final = """
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

KEEP_CONVERSATION_COUNTS: Final = """
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

FUNCTIONS: Final = (TOUCH_UPDATED_AT, KEEP_STORAGE_USAGE, KEEP_CONVERSATION_COUNTS)

_COUNTS: Final = """
CREATE CONSTRAINT TRIGGER "messages_conversation_counts"
  AFTER INSERT OR DELETE OR UPDATE OF "conversationId", "tokensInput", "tokensOutput" ON "messages"
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION keep_conversation_counts()
"""

_STORAGE: Final = (
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


def add_triggers(metadata: MetaData) -> None:
    """Let each table of the models be made with its triggers, and the functions before all tables."""
    for function in FUNCTIONS:
        event.listen(metadata, "before_create", _ddl(function.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")))
    for table in metadata.tables.values():
        if "updatedAt" in table.columns:
            event.listen(table, "after_create", _ddl(_touch(table)))
    for trigger in _STORAGE:
        name = "storage_quotas" if "storage_quotas_usage" in trigger else "storage_files"
        event.listen(metadata.tables[name], "after_create", _ddl(trigger))
    event.listen(metadata.tables["messages"], "after_create", _ddl(_COUNTS))


def _touch(table: Table) -> str:
    return (
        f'CREATE TRIGGER "{table.name}_updatedAt_touch" BEFORE UPDATE ON "{table.name}" FOR EACH ROW '
        'WHEN (NEW."updatedAt" IS NOT DISTINCT FROM OLD."updatedAt") EXECUTE FUNCTION touch_updated_at()'
    )


def _ddl(statement: str) -> DDL:
    return DDL(statement.replace("%", "%%"))
