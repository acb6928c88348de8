"""The catalogue and the checks on a real server: what is changed by hand is named, what is wrong is counted."""

from dataclasses import replace

import psycopg
import pytest

from deployments.local.postgres.provisioning import ProvisionedDatabase
from migrations.catalog.contents import Catalog, difference, read_catalog
from migrations.checks.integrity import run_checks
from migrations.checks.result import CheckResult
from migrations.database.session import reader
from migrations.errors import CatalogUnreadable, DatabaseUnreachable

TABLES = """
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE SEQUENCE numbers;
CREATE TABLE parent (id int PRIMARY KEY, name text NOT NULL DEFAULT 'x', "mixedCase" mood);
CREATE TABLE child (id int PRIMARY KEY, parent_id int REFERENCES parent (id), CONSTRAINT small CHECK (id < 1000));
CREATE INDEX child_parent_id ON child (parent_id);
CREATE VIEW names AS SELECT name FROM parent;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER touched BEFORE UPDATE ON parent FOR EACH ROW EXECUTE FUNCTION touch();
CREATE POLICY own ON parent USING (id > 0);
COMMENT ON TABLE parent IS 'a table';
"""

BY_HAND = [
    ("ALTER TABLE parent ADD COLUMN added text", "column parent.added added"),
    ("ALTER TABLE parent ALTER COLUMN name DROP NOT NULL", "column parent.name changed"),
    ("ALTER TABLE parent ALTER COLUMN name SET DEFAULT 'y'", "column parent.name changed"),
    ("ALTER TABLE child DROP CONSTRAINT small", "constraint child.small removed"),
    ("ALTER TABLE child ADD CONSTRAINT s CHECK (id > 0) NOT VALID", "constraint child.s added"),
    ("DROP INDEX child_parent_id", "index child_parent_id removed"),
    ("ALTER TYPE mood ADD VALUE 'fine'", "enum mood changed"),
    ("ALTER DOMAIN positive SET NOT NULL", "domain positive changed"),
    ("ALTER SEQUENCE numbers INCREMENT 2", "sequence numbers changed"),
    ("CREATE OR REPLACE VIEW names AS SELECT name, id FROM parent", "view names changed"),
    (
        "CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'",
        "function touch() changed",
    ),
    ("ALTER TABLE parent DISABLE TRIGGER touched", "trigger parent.touched changed"),
    ("ALTER POLICY own ON parent USING (true)", "policy parent.own changed"),
    ("ALTER TABLE parent ENABLE ROW LEVEL SECURITY", "table parent changed"),
    ("COMMENT ON TABLE parent IS 'another'", "comment parent changed"),
    ("GRANT SELECT ON parent TO PUBLIC", "grant parent to public added"),
    ("CREATE SCHEMA other CREATE TABLE t (id int)", "schema other added (schema) | table other.t added"),
]


def run(dsn: str, statements: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(statements.encode())


def catalog(dsn: str) -> Catalog:
    with reader(dsn) as connection:
        return read_catalog(connection)


def found(results: tuple[CheckResult, ...], check: str) -> CheckResult:
    return next(result for result in results if result.check == check)


def test_every_kind_of_change_by_hand_is_named(database: ProvisionedDatabase) -> None:
    run(database.owner_dsn, TABLES)
    for statement, expected in BY_HAND:
        before = catalog(database.owner_dsn)
        run(database.owner_dsn, statement)
        assert expected in " | ".join(str(one) for one in difference(before, catalog(database.owner_dsn))), statement


def test_a_kept_catalogue_is_equal_to_the_one_that_was_read(database: ProvisionedDatabase) -> None:
    run(database.owner_dsn, TABLES)
    read = catalog(database.owner_dsn)
    kept = Catalog.from_json(read.to_json())
    assert (kept, kept.digest, difference(kept, read)) == (read, read.digest, ())


def test_the_order_of_columns_and_what_is_not_ours_are_no_difference(database: ProvisionedDatabase) -> None:
    run(database.owner_dsn, "CREATE TABLE t (a int, b int)")
    before = catalog(database.owner_dsn)
    run(database.owner_dsn, "DROP TABLE t; CREATE TABLE t (b int, a int)")
    run(database.owner_dsn, "CREATE SCHEMA pilotage CREATE TABLE ours (id int); CREATE TABLE alembic_version (v text)")
    assert difference(before, catalog(database.owner_dsn)) == ()


def test_what_is_no_catalogue_is_refused() -> None:
    with pytest.raises(CatalogUnreadable, match="keep a new one"):
        Catalog.from_json('[{"kind": 1}]')


def test_a_reader_can_change_nothing_and_names_a_server_that_does_not_answer(database: ProvisionedDatabase) -> None:
    with reader(database.owner_dsn) as connection, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        connection.execute("CREATE TABLE t (id int)")
    with pytest.raises(DatabaseUnreachable) as caught, reader("postgresql://u:hidden@127.0.0.1:9/db"):
        pass
    assert "hidden" not in str(caught.value)


def test_a_reader_raises_where_row_level_security_would_hide_rows(database: ProvisionedDatabase) -> None:
    run(database.owner_dsn, "CREATE TABLE t (id int); INSERT INTO t VALUES (1)")
    run(database.owner_dsn, "ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY")
    # An owner as Neon makes it sees every row; whoever would not see some gets an error, not a wrong count.
    with reader(database.owner_dsn) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (1,)
    run(database.superuser_dsn, f"ALTER ROLE {database.owner} NOBYPASSRLS")
    with reader(database.owner_dsn) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("SELECT count(*) FROM t")


def test_checks_name_a_missing_key_an_unvalidated_one_and_rows_that_violate_it(database: ProvisionedDatabase) -> None:
    run(database.owner_dsn, TABLES)
    promised = catalog(database.owner_dsn)
    assert found(run_checks(database.owner_dsn, promised=promised), "foreign keys").violations == 0
    run(database.owner_dsn, "ALTER TABLE child DROP CONSTRAINT child_parent_id_fkey; INSERT INTO child VALUES (1, 7)")
    missing = found(run_checks(database.owner_dsn, promised=promised), "foreign keys")
    assert missing.sample == ("child.child_parent_id_fkey is missing",)
    run(
        database.owner_dsn,
        "ALTER TABLE child ADD CONSTRAINT child_parent_id_fkey FOREIGN KEY (parent_id) REFERENCES parent NOT VALID",
    )
    broken = found(run_checks(database.owner_dsn, promised=promised), "foreign keys")
    assert broken.sample == (
        "child.child_parent_id_fkey is not validated",
        "1 rows of child violate child_parent_id_fkey",
    )


def test_a_key_that_is_promised_not_valid_is_a_step_on_its_way(database: ProvisionedDatabase) -> None:
    run(
        database.owner_dsn,
        """CREATE TABLE people (id integer PRIMARY KEY); CREATE TABLE "Pets" (owner integer);
           INSERT INTO "Pets" VALUES (1);
           ALTER TABLE "Pets" ADD CONSTRAINT "Pets_owner_fkey" FOREIGN KEY (owner) REFERENCES people NOT VALID""",
    )
    passed = found(run_checks(database.owner_dsn, promised=catalog(database.owner_dsn)), "foreign keys")
    assert (passed.violations, passed.detail) == (0, "1 foreign keys, 1 NOT VALID as promised")
    validated = Catalog.of(
        replace(one, definition=one.definition.removesuffix(" NOT VALID"))
        for one in catalog(database.owner_dsn).objects
    )
    assert found(run_checks(database.owner_dsn, promised=validated), "foreign keys").violations == 2


def test_checks_name_an_index_that_is_missing_and_one_that_is_invalid(database: ProvisionedDatabase) -> None:
    run(database.owner_dsn, TABLES)
    promised = catalog(database.owner_dsn)
    run(database.owner_dsn, "DROP INDEX child_parent_id; INSERT INTO parent VALUES (1, 'a'), (2, 'a')")
    with pytest.raises(psycopg.errors.UniqueViolation):
        run(database.owner_dsn, "CREATE UNIQUE INDEX CONCURRENTLY twice ON parent (name)")
    indexes = found(run_checks(database.owner_dsn, promised=promised), "indexes")
    assert indexes.sample == ("index child_parent_id is missing", "index twice is invalid")


def test_a_table_that_lost_rows_is_counted_and_one_that_lost_few_is_not(database: ProvisionedDatabase) -> None:
    run(
        database.owner_dsn,
        TABLES + "INSERT INTO parent SELECT n, 'x' FROM generate_series(1, 1000) n;"
        " INSERT INTO child VALUES (1, 900), (2, 900); CREATE TABLE verification_tokens (token text)",
    )
    counts = {"public.parent": 1000, "child": 2, "gone": 3, "verification_tokens": 1}
    promised = catalog(database.owner_dsn)

    def lost() -> tuple[str, ...]:
        return found(run_checks(database.owner_dsn, promised=promised, row_counts=counts), "row counts").sample

    run(database.owner_dsn, "DELETE FROM parent WHERE id <= 20; DELETE FROM child WHERE id = 1")
    assert lost() == ("gone is gone (3 rows)",)
    run(database.owner_dsn, "DELETE FROM parent WHERE id <= 21; DELETE FROM child")
    assert lost() == ("child had 2 rows and has 0", "gone is gone (3 rows)", "public.parent had 1000 rows and has 979")


def test_a_check_that_errs_cannot_tell_and_the_others_go_on(database: ProvisionedDatabase) -> None:
    run(database.owner_dsn, "CREATE TABLE users (id int); CREATE TABLE agents (id int)")
    results = run_checks(database.owner_dsn, promised=catalog(database.owner_dsn))
    told = found(results, "duplicate users")
    assert told.violations is None
    assert "cannot tell" in told.detail
    assert found(results, "users and agents").violations == 0


def test_reading_a_catalogue_leaves_the_session_as_it_was(database: ProvisionedDatabase) -> None:
    run(database.owner_dsn, "CREATE TABLE t (id int)")
    with reader(database.owner_dsn) as connection:
        read_catalog(connection)
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)
