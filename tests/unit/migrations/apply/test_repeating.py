"""What becomes of a statement that was cut off outside a transaction, as its text tells."""

import pytest

from migrations.apply.detached_partition import detaching
from migrations.apply.repeatability import repeatability_of
from migrations.database.requested_locks import locks_requested_by
from migrations.database.trace import Lock

REPEATABLE = (
    "VACUUM (ANALYZE) a",
    "ANALYZE",
    "REINDEX TABLE CONCURRENTLY a",
    "CHECKPOINT",
    "SET statement_timeout = 0",
    "CREATE INDEX CONCURRENTLY i ON a (n)",
    "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON a (n) WHERE t LIKE 'x%'",
    "ALTER TYPE mood ADD VALUE IF NOT EXISTS 'glad'",
    "-- nothing",
)
VERIFIABLE = (
    "DROP INDEX CONCURRENTLY i",
    "DROP INDEX CONCURRENTLY IF EXISTS i",
    "CREATE INDEX CONCURRENTLY ON a (n)",
    "ALTER TABLE p DETACH PARTITION q CONCURRENTLY",
    "ALTER TABLE p DETACH PARTITION q FINALIZE",
)
IN_A_BLOCK = (
    "UPDATE a SET n = 1",
    "EXECUTE 'UPDATE a SET n = 1'; PERFORM f()",
    "FOR i IN 1..3 LOOP INSERT INTO a VALUES (i); END LOOP; EXCEPTION WHEN unique_violation THEN NULL",
    "RAISE NOTICE 'COMMIT; ROLLBACK;'; /* COMMIT; */ NULL",
    "INSERT INTO a SELECT 1 ON CONFLICT DO NOTHING",
)
TRANSACTIONAL = (
    "UPDATE a SET n = %(n)s WHERE id = %(id_1)s::INTEGER",
    "WITH gone AS (DELETE FROM a RETURNING *) SELECT * FROM gone",
    "SELECT setval('s', %s)",
    "SELECT my_function()",
    "EXPLAIN ANALYZE INSERT INTO a VALUES (1)",
    "ALTER TYPE mood ADD VALUE 'glad'",
    "ALTER TYPE mood RENAME VALUE 'glad' TO 'sad'",
    "ALTER TABLE p DETACH PARTITION q",
    "CREATE INDEX i ON a (n)",
    "DROP INDEX i",
    "UPDATE a SET n = 1; ALTER TABLE a ADD COLUMN m int",
    *(f"DO $$ BEGIN {body}; END $$" for body in IN_A_BLOCK),
    "MERGE INTO a USING b ON a.id = b.id WHEN MATCHED THEN DELETE",
)
THAT_MAY_COMMIT = (
    "UPDATE a SET n = 1; COMMIT",
    "IF true THEN ROLLBACK AND CHAIN; END IF",
    "CALL my_procedure()",
    "BEGIN DO 'BEGIN COMMIT; END'; END",
    "no PL/pgSQL at all",
)
UNREPEATABLE = (
    *(f"DO $$ BEGIN {body}; END $$" for body in THAT_MAY_COMMIT),
    "DO LANGUAGE plpython3u 'plpy.commit()'",
    "CALL my_procedure()",
    "DO $$ BEGIN COMMIT; END $$",
    "CREATE DATABASE elsewhere",
    "ALTER SYSTEM SET work_mem = '1MB'",
    "BEGIN",
    "ANALYZE a; CALL my_procedure()",
    "no SQL at all",
)


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        (one, kind)
        for kind, of in (
            ("repeatable", REPEATABLE),
            ("verifiable", VERIFIABLE),
            ("transactional", TRANSACTIONAL),
            ("unrepeatable", UNREPEATABLE),
        )
        for one in of
    ],
)
def test_only_what_is_certain_is_sent_again(statement: str, kind: str) -> None:
    assert repeatability_of(statement).kind == kind


@pytest.mark.parametrize(
    "statement", ["COMMIT", "END", "COMMIT AND CHAIN", "PREPARE TRANSACTION 'x'", "SELECT 1; COMMIT"]
)
def test_a_commit_by_hand_is_seen(statement: str) -> None:
    assert repeatability_of(statement).commits


@pytest.mark.parametrize("statement", ["ROLLBACK", "SAVEPOINT s", "RELEASE s", "BEGIN", "SELECT 'COMMIT'"])
def test_what_commits_nothing_is_no_commit(statement: str) -> None:
    assert not repeatability_of(statement).commits


@pytest.mark.parametrize(
    "statement", ["CALL f()", "DO 'BEGIN COMMIT; END'", "BEGIN; CREATE DATABASE x", "no SQL at all"]
)
def test_a_part_may_stay_of_what_fails(statement: str) -> None:
    assert repeatability_of(statement).may_commit


def test_what_is_kept_of_a_statement_has_none_of_its_values() -> None:
    assert (
        repeatability_of("UPDATE a SET name = 'Ada' WHERE id = 7").normalized == "UPDATE a SET name = $1 WHERE id = $2"
    )
    assert "hunter2" not in repeatability_of("ALTER ROLE r PASSWORD 'hunter2'").normalized
    assert repeatability_of("THIS is 'hunter2'").normalized == "THIS"


def test_a_partition_that_is_detached_is_read_as_it_is_written() -> None:
    found = detaching('ALTER TABLE public."P" DETACH PARTITION s.q CONCURRENTLY')
    assert found is not None
    assert (found.parent, found.partition) == ('public."P"', "s.q")
    assert detaching("ALTER TABLE p DETACH PARTITION q FINALIZE") is not None
    assert detaching("ALTER TABLE p DETACH PARTITION q") is None
    assert detaching("ALTER TABLE p ADD COLUMN n int") is None
    assert detaching("no SQL at all") is None


def test_finalizing_a_partition_stops_no_writes_of_the_table() -> None:
    assert (
        Lock("p", "ShareUpdateExclusiveLock") in locks_requested_by("ALTER TABLE p DETACH PARTITION q FINALIZE").locks
    )
    assert Lock("p", "AccessExclusiveLock") in locks_requested_by("ALTER TABLE p DETACH PARTITION q").locks
    assert Lock("p", "AccessExclusiveLock") not in locks_requested_by("ALTER TABLE p DETACH PARTITION q FINALIZE").locks
