"""The lint with a live database in hand: sizes, traffic, what stands."""

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

from deployments.local.postgres.provisioning import ProvisionedDatabase
from migrations.lint.findings import Finding
from migrations.lint.judging import lint
from migrations.lint.live import read_context
from migrations.sql.database_context import Thresholds
from migrations.sql.names import Name
from migrations.sql.source_statement import SourceStatement

SCHEMA = """
CREATE TYPE mood AS ENUM ('glad', 'sad');
CREATE DOMAIN email AS text CHECK (VALUE LIKE '%@%');
CREATE TABLE large (id serial PRIMARY KEY, note varchar(40), "Total" numeric(10,2), seen int, mood mood);
CREATE TABLE small (id bigint PRIMARY KEY, note text);
INSERT INTO large (note, seen) SELECT 'n', 1 FROM generate_series(1, 20000);
INSERT INTO small VALUES (1, 'one');
ALTER TABLE large ADD CONSTRAINT large_seen CHECK (seen IS NOT NULL);
ALTER TABLE large ADD CONSTRAINT large_total CHECK ("Total" IS NOT NULL) NOT VALID;
CREATE INDEX large_note_idx ON large (note);
CREATE TABLE parts (id bigint, year int) PARTITION BY RANGE (year);
CREATE TABLE parts_2025 PARTITION OF parts FOR VALUES FROM (2025) TO (2026);
CREATE FUNCTION widen() RETURNS void LANGUAGE plpgsql AS $$ BEGIN ALTER TABLE large ALTER seen TYPE bigint; END $$;
SELECT setval('large_id_seq', 2000000000);
"""


@pytest.fixture
def live(database: ProvisionedDatabase) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database.owner_dsn, autocommit=True) as owner:
        for statement in SCHEMA.split(";\n"):
            owner.execute(statement.encode())
        owner.execute("ANALYZE")
        yield owner


def found(database: ProvisionedDatabase, sql: str, limits: Thresholds | None = None) -> set[tuple[str, str]]:
    return {(one.hazard, one.table) for one in judged(database, sql, limits)}


def judged(database: ProvisionedDatabase, sql: str, limits: Thresholds | None = None) -> tuple[Finding, ...]:
    context = read_context(database.owner_dsn, limits)
    return lint(
        [SourceStatement("SET lock_timeout = '2s'", transaction=1), SourceStatement(sql, transaction=1)], context
    )


@pytest.mark.usefixtures("live")
def test_a_hazard_of_size_falls_silent_on_ten_rows_and_not_on_ten_thousand(database: ProvisionedDatabase) -> None:
    assert ("index-not-concurrent", "large") in found(database, "CREATE INDEX ON large (seen)")
    assert found(database, "CREATE INDEX ON small (note)") == set()


@pytest.mark.usefixtures("live")
def test_the_thresholds_are_settings(database: ProvisionedDatabase) -> None:
    assert found(database, "CREATE INDEX ON small (note)", Thresholds(rows=1)) == {("index-not-concurrent", "small")}
    huge = Thresholds(rows=10**9, size_bytes=10**12, key_used=1.0)
    assert found(database, "CREATE INDEX ON large (note)", huge) == set()


@pytest.mark.usefixtures("live")
def test_a_validated_check_of_the_database_proves_not_null_and_one_that_is_not_valid_does_not(
    database: ProvisionedDatabase,
) -> None:
    limits = Thresholds(key_used=1.0)
    assert found(database, "ALTER TABLE large ALTER seen SET NOT NULL", limits) == set()
    assert found(database, 'ALTER TABLE large ALTER "Total" SET NOT NULL', limits) == {("not-null-scans", "large")}


@pytest.mark.usefixtures("live")
def test_the_old_type_is_known_from_the_database(database: ProvisionedDatabase) -> None:
    limits = Thresholds(key_used=1.0)
    assert found(database, "ALTER TABLE large ALTER note TYPE varchar(80)", limits) == set()
    assert found(database, 'ALTER TABLE large ALTER "Total" TYPE numeric(12,2)', limits) == set()
    narrowed = found(database, "ALTER TABLE large ALTER note TYPE varchar(20)", limits)
    assert narrowed == {("type-change-rewrites", "large"), ("type-narrowed", "large")}


@pytest.mark.usefixtures("live")
def test_a_key_that_runs_out_is_told_of_the_table_that_is_touched(database: ProvisionedDatabase) -> None:
    said = [
        one.message for one in judged(database, "ALTER TABLE large ADD COLUMN x text") if one.hazard == "key-runs-out"
    ]
    assert len(said) == 1
    assert "`large.id` has used 2,000,000,000 of 2,147,483,647" in said[0]
    assert found(database, "ALTER TABLE small ADD COLUMN x text") == set()


def test_an_index_that_is_invalid_is_seen_behind_if_not_exists(
    database: ProvisionedDatabase, live: psycopg.Connection
) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation):
        live.execute("CREATE UNIQUE INDEX CONCURRENTLY large_seen_idx ON large (seen)")
    again = "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS large_seen_idx ON large (seen)"
    alone = lint([SourceStatement(again)], read_context(database.owner_dsn, Thresholds(key_used=1.0)))
    assert [one.hazard for one in alone] == ["invalid-index-hidden"]
    live.execute("DROP INDEX large_seen_idx")
    assert lint([SourceStatement(again)], read_context(database.owner_dsn, Thresholds(key_used=1.0))) == ()


@pytest.mark.usefixtures("live")
def test_a_default_is_volatile_where_the_database_says_so(database: ProvisionedDatabase) -> None:
    limits = Thresholds(key_used=1.0)
    assert found(database, "ALTER TABLE large ADD COLUMN at point DEFAULT point(0, 0)", limits) == set()
    random = found(database, "ALTER TABLE large ADD COLUMN r float DEFAULT random()", limits)
    assert random == {("volatile-default", "large")}


@pytest.mark.usefixtures("live")
def test_a_function_of_the_database_that_is_called_is_looked_into(database: ProvisionedDatabase) -> None:
    assert ("type-change-rewrites", "large") in found(database, "SELECT widen()")


@pytest.mark.usefixtures("live")
def test_a_partitioned_table_is_known_for_one(database: ProvisionedDatabase) -> None:
    context = read_context(database.owner_dsn)
    assert context.tables[Name("parts")].kind == "partitioned"
    assert context.enums[Name("mood")] == ("glad", "sad")
    assert context.domains[Name("email")]


def test_what_the_application_runs_is_known_from_pg_stat_statements(
    database: ProvisionedDatabase, live: psycopg.Connection
) -> None:
    with psycopg.connect(database.superuser_dsn, autocommit=True) as superuser:
        superuser.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        # After thousands of other tests on this server it is full, and what was sent once is the first to go.
        superuser.execute("SELECT pg_stat_statements_reset()")
        superuser.execute(f"GRANT pg_read_all_stats TO {database.owner}".encode())
    live.execute(f"GRANT SELECT ON small TO {database.app}".encode())
    with psycopg.connect(database.app_dsn) as application:
        application.execute("SELECT note FROM small WHERE id = 1")
    drop = SourceStatement("ALTER TABLE small DROP COLUMN note", phase="contract")
    context = replace(read_context(database.owner_dsn), lock_timeout_set=True)
    assert [one.hazard for one in lint([drop], context)] == ["column-dropped"]
    unused = SourceStatement("ALTER TABLE large DROP COLUMN seen", phase="contract")
    assert "column-dropped" not in {one.hazard for one in lint([unused], context)}
