"""What the lint says of PostgreSQL, asked of PostgreSQL: lock modes, and which changes of type write a table anew."""

from collections.abc import Iterator

import postgast
import psycopg
import pytest
from postgast import nodes

from deployments.local.postgres.provisioning import ProvisionedDatabase
from migrations.lint.column_types import rewrites
from migrations.lint.non_volatile_functions import NON_VOLATILE
from migrations.sql.locking import MODES, locks
from migrations.sql.names import SqlType

SCHEMA = """
CREATE TABLE a (id bigint PRIMARY KEY, n int, t text, CONSTRAINT n_check CHECK (n > 0) NOT VALID);
CREATE TABLE b (id bigint PRIMARY KEY, a_id bigint);
CREATE INDEX a_n_idx ON a (n);
CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER old BEFORE UPDATE ON a FOR EACH ROW EXECUTE FUNCTION f();
CREATE POLICY own ON a USING (id > 0);
CREATE TABLE p (id bigint, y int) PARTITION BY LIST (y);
CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
CREATE TABLE p2 (id bigint, y int);
CREATE MATERIALIZED VIEW m AS SELECT id FROM a;
CREATE UNIQUE INDEX m_idx ON m (id);
CREATE VIEW v AS SELECT 1 AS x
"""
STATEMENTS = (
    "ALTER TABLE a ADD COLUMN x int",
    "ALTER TABLE a DROP COLUMN t",
    "ALTER TABLE a ALTER n SET NOT NULL",
    "ALTER TABLE a ALTER n SET STATISTICS 5",
    "ALTER TABLE a SET (fillfactor = 90)",
    "ALTER TABLE a VALIDATE CONSTRAINT n_check",
    "ALTER TABLE a ADD CHECK (n < 9) NOT VALID",
    "ALTER TABLE a ADD CONSTRAINT u UNIQUE (n)",
    "ALTER TABLE b ADD FOREIGN KEY (a_id) REFERENCES a NOT VALID",
    "ALTER TABLE b ADD COLUMN other bigint REFERENCES a",
    "CREATE TABLE c (id bigint, a_id bigint REFERENCES a)",
    "ALTER TABLE a DISABLE TRIGGER old",
    "ALTER TABLE a ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE a RENAME TO z",
    "ALTER TABLE a RENAME COLUMN n TO k",
    "ALTER TABLE a OWNER TO CURRENT_USER",
    "CREATE INDEX ON a (t)",
    "CREATE TRIGGER new AFTER INSERT ON a FOR EACH ROW EXECUTE FUNCTION f()",
    "CREATE POLICY other ON a USING (true)",
    "ALTER POLICY own ON a USING (id > 1)",
    "DROP POLICY own ON a",
    "DROP TRIGGER old ON a",
    "CREATE RULE r AS ON DELETE TO a DO INSTEAD NOTHING",
    "DROP TABLE b",
    "TRUNCATE b",
    "LOCK TABLE a IN SHARE MODE",
    "LOCK TABLE a IN ROW EXCLUSIVE MODE",
    "CLUSTER a USING a_pkey",
    "REINDEX TABLE a",
    "REFRESH MATERIALIZED VIEW m",
    "REFRESH MATERIALIZED VIEW CONCURRENTLY m",
    "CREATE OR REPLACE VIEW v AS SELECT 2 AS x",
    "CREATE TABLE p3 PARTITION OF p FOR VALUES IN (3)",
    "ALTER TABLE p ATTACH PARTITION p2 FOR VALUES IN (2)",
    "ALTER TABLE p DETACH PARTITION p1",
    "UPDATE a SET n = 1",
    "DELETE FROM a",
    "INSERT INTO a VALUES (1)",
    "MERGE INTO a USING b ON a.id = b.id WHEN MATCHED THEN DELETE",
)
HELD = "SELECT relation, mode FROM pg_locks WHERE pid = pg_backend_pid() AND granted AND locktype = 'relation'"
RELATIONS = """
SELECT oid, relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')
"""
TYPES = (
    ("varchar(10)", "varchar(20)"),
    ("varchar(20)", "varchar(10)"),
    ("varchar(10)", "varchar"),
    ("varchar(10)", "text"),
    ("text", "varchar"),
    ("text", "varchar(10)"),
    ("varchar", "varchar(10)"),
    ("char(5)", "char(9)"),
    ("char(5)", "text"),
    ("int", "bigint"),
    ("bigint", "int"),
    ("int", "text"),
    ("numeric(10,2)", "numeric(12,2)"),
    ("numeric(10,2)", "numeric(12,4)"),
    ("numeric(10,2)", "numeric"),
    ("numeric", "numeric(10,2)"),
    ("numeric(10,2)", "numeric(8,2)"),
    ("timestamp(3)", "timestamp(6)"),
    ("timestamp(3)", "timestamp"),
    ("timestamp", "timestamp(3)"),
    ("timestamptz(3)", "timestamptz"),
    ("time(3)", "time(6)"),
    ("interval(3)", "interval"),
    ("varbit(5)", "varbit(9)"),
    ("varbit(9)", "varbit(5)"),
    ("cidr", "inet"),
    ("json", "jsonb"),
    ("text[]", "varchar[]"),
    ("date", "timestamptz"),
)


@pytest.fixture
def owner(database: ProvisionedDatabase) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database.owner_dsn, autocommit=True) as connection:
        connection.execute(SCHEMA.encode())
        yield connection


def modes(owner: psycopg.Connection, statement: str, before: dict[int, str]) -> dict[str, str]:
    """The strongest lock on each relation that was there before, within the statement's transaction."""
    with owner.transaction(force_rollback=True):
        owner.execute(statement.encode())
        held: dict[str, str] = {}
        for relation, mode in owner.execute(HELD).fetchall():
            name = before.get(relation)
            if name is not None and MODES.index(mode) >= MODES.index(held.get(name, MODES[0])):
                held[name] = mode
        return held


def test_the_locks_that_stop_writes_are_those_that_postgresql_takes(owner: psycopg.Connection) -> None:
    before = {int(oid): str(name) for oid, name in owner.execute(RELATIONS)}
    wrong: dict[str, tuple[dict[str, str], dict[str, str]]] = {}
    for statement in STATEMENTS:
        tree = postgast.wrap(postgast.parse(statement))
        assert isinstance(tree, nodes.ParseResult)
        stmt = tree.stmts[0].stmt
        assert stmt is not None
        said = {str(one.table): one.mode for one in locks(stmt) if one.stops_writes}
        taken = {name: mode for name, mode in modes(owner, statement, before).items() if MODES.index(mode) >= 4}
        if said != taken:
            wrong[statement] = (said, taken)
    assert wrong == {}


def test_a_type_change_is_said_to_rewrite_where_postgresql_does(owner: psycopg.Connection) -> None:
    wrong: list[tuple[str, str]] = []
    for old, new in TYPES:
        with owner.transaction(force_rollback=True):
            owner.execute(f"CREATE TABLE changing (x {old})".encode())
            node = "SELECT relfilenode FROM pg_class WHERE relname = 'changing'"
            before = owner.execute(node).fetchone()
            owner.execute(f"ALTER TABLE changing ALTER x TYPE {new}".encode())
            kept = owner.execute(node).fetchone() == before
        if rewrites(SqlType.named(old), SqlType.named(new)) is kept:
            wrong.append((old, new))
    assert wrong == []


def test_a_column_of_a_new_type_has_the_name_that_the_catalogue_gives_it(owner: psycopg.Connection) -> None:
    for old, new in TYPES:
        for given in (old, new):
            row = owner.execute(f"SELECT format_type(x, y) FROM (SELECT '{given}'::regtype, -1) AS t(x, y)".encode())
            (said,) = row.fetchone() or ("",)
            bare, catalogue = SqlType.named(given), SqlType.named(said)
            assert bare is not None
            assert catalogue is not None
            assert (bare.name, bare.array) == (catalogue.name, catalogue.array)


def test_no_function_that_is_taken_for_steady_is_volatile(owner: psycopg.Connection) -> None:
    found = owner.execute(
        "SELECT proname, bool_or(provolatile = 'v') FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace "
        "AND proname = ANY (%s) GROUP BY proname",
        [sorted(NON_VOLATILE)],
    ).fetchall()
    assert {name for name, volatile in found if volatile} == set()
    if owner.info.server_version >= 180_000:
        assert NON_VOLATILE - {name for name, _ in found} == set()
