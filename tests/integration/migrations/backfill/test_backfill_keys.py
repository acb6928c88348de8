"""Keys of backfills: every row exactly once, whatever the type of the key and however sessions write it."""

from pathlib import Path

import psycopg
import pytest
from alembic import command

from deployments.local.postgres.provisioning import ProvisionedDatabase
from migrations.apply.migrate import upgrade
from migrations.backfill.errors import BackfillLost, BackfillRefused
from migrations.errors import RevisionFailed
from migrations.history.revisions import History

ROWS = 450


def history(folder: Path, call: str) -> History:
    (folder / "r1.py").write_text(
        '"""Count once more."""\nfrom alembic import op\nrevision = "r1"\ndown_revision = None\n\n\n'
        f"def upgrade():\n    {call}\n\n\ndef downgrade():\n    pass\n"
    )
    return History.load(folder)


def run(dsn: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def goes_through_each_row_once(
    database: ProvisionedDatabase, folder: Path, key: str, values: str, *, rows: int = ROWS, columns: str = "k"
) -> None:
    run(database.owner_dsn, f"CREATE TABLE t ({key}, n int DEFAULT 0)")
    run(database.owner_dsn, f"INSERT INTO t SELECT {values} FROM generate_series(1, {rows}) g; ANALYZE t")
    named = tuple(columns.split())
    upgrade(database.owner_dsn, history(folder, f'op.backfill("t", {{"n": "n + 1"}}, key={named!r})'), release_id="r")
    assert run(database.owner_dsn, "SELECT n, count(*) FROM t GROUP BY n") == [(1, rows)]
    assert run(database.owner_dsn, "SELECT passed, changed FROM pilotage.backfills") == [(rows, rows)]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("char(4)", "lpad(g::text, 4, 'A')"),
        ("char(26)", "upper(left(md5(g::text), 26))"),
        ("char(6)", "g::text"),
        ("bit(9)", "g::bit(9)"),
        ("bit varying(40)", "('1' || g::bit(12)::text)::varbit"),
        ("varchar(5)", "repeat(' ', g % 3) || g"),
        ("varchar", "g || repeat(' ', g % 3)"),
        ("text", "g || E'\\t\\'\\\\ '"),
        ("name", "'x' || g"),
        ("uuid", "md5(g::text)::uuid"),
        ("bytea", "decode(md5(g::text), 'hex') || '\\x00'::bytea"),
        ("numeric(12, 5)", "CASE g WHEN 1 THEN 'NaN' ELSE g / 7.0 END"),
        ("numeric", "CASE g WHEN 1 THEN 'Infinity' WHEN 2 THEN '-Infinity' WHEN 3 THEN 'NaN' ELSE 1.0 / g END"),
        ("double precision", "CASE g WHEN 1 THEN 'Infinity' WHEN 2 THEN 'NaN' WHEN 3 THEN '-0' ELSE 1.0 / g END"),
        ("real", "1 + g * 1e-6::float8"),
        ("date", "CASE g WHEN 1 THEN 'infinity' ELSE '0044-03-15 BC'::date + g * 5000 END"),
        ("timestamp(3)", "'-infinity'::timestamp + CASE g WHEN 1 THEN '0' END::interval"),
        ("timestamp(2)", "timestamp '2024-01-01' + g * interval '10 ms'"),
        ("timestamptz(0)", "timestamptz '1890-01-01 00:00:00+00' + g * interval '97 days'"),
        ("timestamptz", "timestamptz '2024-10-27 00:50:00+00' + g * interval '1 microsecond'"),
        ("time(2)", "time '00:00' + g * interval '10 ms'"),
        ("timetz", "timetz '12:00:00+01:30' + g * interval '1 s'"),
        ("interval", "g * interval '-1 mon +1 day' + g * interval '-00:00:00.000001'"),
        ("interval day to second(2)", "g * interval '-10 ms'"),
        ('"char"', 'chr(32 + g)::"char"'),
        ("bigint[]", "ARRAY[g, NULL, 3]"),
        ("char(3)[]", "ARRAY[g::text, 'x']"),
        ("int4range", "int4range(g, g + 5)"),
        ("inet", "inet '10.0.0.0' + g"),
        ("jsonb", "jsonb_build_object('a', g)"),
        ("money", "g * 1.01::numeric"),
    ],
)
def test_each_row_goes_through_it_once_by_a_key_of_any_type(
    database: ProvisionedDatabase, tmp_path: Path, kind: str, value: str
) -> None:
    rows = 90 if kind == '"char"' else ROWS
    if "-infinity" in value:
        value, rows = "CASE g WHEN 1 THEN '-infinity' ELSE timestamp '2024-01-01' + g * interval '1 ms' END", ROWS
    goes_through_each_row_once(database, tmp_path, f"k {kind} PRIMARY KEY", f"({value})::{kind}, 0", rows=rows)


@pytest.mark.parametrize(
    ("made", "kind", "value"),
    [
        ("CREATE DOMAIN apart.code AS char(8) CHECK (value <> '')", "apart.code", "lpad(g::text, 8, 'x')"),
        (
            "CREATE DOMAIN apart.plain AS numeric(9, 3); CREATE DOMAIN apart.price AS apart.plain CHECK (value > 0)",
            "apart.price",
            "g / 8.0",
        ),
        ('CREATE DOMAIN apart."A name" AS bit(12)', 'apart."A name"', "g::bit(12)"),
        ('CREATE TYPE apart."Pair" AS (a int, b char(3))', 'apart."Pair"', "ROW(g % 5, g::text)"),
        (
            "CREATE TYPE apart.many AS ENUM ('v " + "', 'v ".join(map(str, range(1, ROWS + 1))) + "')",
            "apart.many",
            "('v ' || g)::apart.many",
        ),
    ],
)
def test_types_of_a_schema_that_is_not_looked_in_are_named_with_it(
    database: ProvisionedDatabase, tmp_path: Path, made: str, kind: str, value: str
) -> None:
    run(database.owner_dsn, f"CREATE SCHEMA apart; {made}")
    goes_through_each_row_once(database, tmp_path, f"k {kind} PRIMARY KEY", f"({value})::{kind}, 0")


@pytest.mark.parametrize(
    "collation",
    [
        "(provider = icu, locale = 'und', deterministic = false)",
        "(provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
        "(provider = icu, locale = 'de-u-kn')",
        "(provider = libc, locale = 'C')",
    ],
)
@pytest.mark.parametrize("columns", ["k", "k tenant"])
def test_it_goes_by_the_column_s_own_collation(
    database: ProvisionedDatabase, tmp_path: Path, collation: str, columns: str
) -> None:
    run(database.owner_dsn, "CREATE SCHEMA apart")
    try:
        run(database.owner_dsn, f'CREATE COLLATION apart."An order" {collation}')
    except psycopg.errors.FeatureNotSupported as error:
        pytest.skip(str(error))
    run(database.owner_dsn, 'CREATE DOMAIN words AS varchar(30) COLLATE "C"')
    goes_through_each_row_once(
        database,
        tmp_path,
        f'k words COLLATE apart."An order", tenant int, PRIMARY KEY ({", ".join(columns.split())})',
        "chr(97 + 32 * -(g % 2) + g % 26) || 'ä' || g, g, 0",
        columns=columns,
    )


@pytest.mark.parametrize("columns", ["k", "tenant k", "k tenant"])
def test_operators_of_a_schema_that_is_not_looked_in_order_the_key_too(
    database: ProvisionedDatabase, tmp_path: Path, columns: str
) -> None:
    run(database.superuser_dsn, "CREATE SCHEMA extensions; CREATE EXTENSION citext SCHEMA extensions")
    run(database.superuser_dsn, f"GRANT USAGE ON SCHEMA extensions TO {database.owner}")
    goes_through_each_row_once(
        database,
        tmp_path,
        f"tenant char(3), k extensions.citext, PRIMARY KEY ({', '.join(columns.split())})",
        "lpad((g % (CASE WHEN g < 200 THEN 7 ELSE 2 END))::text, 3, 'x'), chr(65 + 32 * (g % 2) + g % 26) || g, 0",
        columns=columns,
    )


@pytest.mark.parametrize(
    ("kind", "value", "settings"),
    [
        (
            "timestamptz",
            "timestamptz '2024-01-02' + g * interval '1 day'",
            {"DateStyle": "'SQL, DMY'", "TimeZone": "'Europe/Berlin'"},
        ),
        ("date", "date '2024-01-02' + g", {"DateStyle": "'German'"}),
        ("interval", "g * interval '-1 day +2 hours'", {"IntervalStyle": "'sql_standard'"}),
        ("interval", "g * interval '1 mon -2 days'", {"IntervalStyle": "'postgres_verbose'"}),
        ("double precision", "1 + g * 1e-15::float8", {"extra_float_digits": "'-3'"}),
        ("bytea", "decode(md5(g::text), 'hex')", {"bytea_output": "'escape'"}),
        ("text", "g || '\\'", {"standard_conforming_strings": "off", "escape_string_warning": "off"}),
        (
            "char(4)",
            "lpad(g::text, 4, 'A')",
            {"quote_all_identifiers": "on", "default_transaction_isolation": "serializable"},
        ),
    ],
)
def test_values_are_kept_alike_whatever_a_session_of_plain_alembic_writes_like(
    database: ProvisionedDatabase,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    value: str,
    settings: dict[str, str],
) -> None:
    run(database.owner_dsn, f"CREATE TABLE t (k {kind} PRIMARY KEY, n int, shown text)")
    run(database.owner_dsn, f"INSERT INTO t SELECT {value}, 0 FROM generate_series(1, {ROWS}) g")
    for name, given in settings.items():
        run(database.superuser_dsn, f'ALTER DATABASE "{database.name}" SET {name} = {given}')
    monkeypatch.setenv("DATABASE_URL", database.owner_dsn)
    call = 'op.backfill("t", {"n": "n + 1", "shown": "k::text"}, key="k", schema="public")'
    command.upgrade(history(tmp_path, call).alembic_config(), "head")
    # What the revision itself writes is written as the database is set to.
    assert run(database.owner_dsn, "SELECT n, shown = k::text, count(*) FROM public.t GROUP BY 1, 2") == [
        (1, True, ROWS)
    ]


def test_a_position_is_read_alike_by_a_session_that_writes_otherwise(
    database: ProvisionedDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(database.owner_dsn, "CREATE TABLE t (k date PRIMARY KEY, n int, hurdle int)")
    run(database.owner_dsn, f"INSERT INTO t SELECT date '2024-01-01' + g, 0, 1 FROM generate_series(1, {ROWS}) g")
    run(database.owner_dsn, "UPDATE t SET hurdle = 0 WHERE k = date '2024-01-01' + 400")
    monkeypatch.setenv("DATABASE_URL", database.owner_dsn)
    config = history(tmp_path, 'op.backfill("t", {"n": "n + 1 / hurdle"}, key="k")').alembic_config()
    run(database.superuser_dsn, f"ALTER DATABASE \"{database.name}\" SET DateStyle = 'SQL, DMY'")
    with pytest.raises(RevisionFailed, match="division by zero"):
        command.upgrade(config, "head")
    ((done,),) = run(database.owner_dsn, "SELECT count(*) FROM t WHERE n = 1")
    assert 0 < int(str(done)) < ROWS
    run(database.owner_dsn, "UPDATE t SET hurdle = 1")
    run(database.superuser_dsn, f"ALTER DATABASE \"{database.name}\" SET DateStyle = 'SQL, MDY'")
    command.upgrade(config, "head")
    assert run(database.owner_dsn, "SELECT n, count(*) FROM t GROUP BY n") == [(1, ROWS)]


def test_an_order_that_does_not_go_forward_ends_it(database: ProvisionedDatabase, tmp_path: Path) -> None:
    # The text of this type keeps the first digit only, as a cast that is too short would.
    run(
        database.superuser_dsn,
        """
        CREATE TYPE public.short AS (v int, w int);
        CREATE FUNCTION public.cut(public.short) RETURNS text IMMUTABLE STRICT LANGUAGE sql
            RETURN '(' || left(($1).v::text, 1) || ',0)';
        CREATE CAST (public.short AS text) WITH FUNCTION public.cut(public.short) AS ASSIGNMENT;
        """,
    )
    run(database.owner_dsn, "CREATE TABLE t (k short PRIMARY KEY, n int)")
    run(database.owner_dsn, f"INSERT INTO t SELECT ROW(g, 0)::short, 0 FROM generate_series(1, {ROWS}) g")
    with pytest.raises(BackfillLost, match=r"public\.t in revision r1 stopped after \d+ rows.*another unique key"):
        upgrade(database.owner_dsn, history(tmp_path, 'op.backfill("t", {"n": "n + 1"}, key="k")'), release_id="r")
    assert run(database.owner_dsn, "SELECT max(n) <= 1, to_regclass('alembic_version') IS NULL FROM t") == [
        (True, False)
    ]
    assert run(database.owner_dsn, "SELECT * FROM alembic_version") == []


def test_a_backfill_does_not_move_the_key_that_it_goes_by(database: ProvisionedDatabase, tmp_path: Path) -> None:
    run(database.owner_dsn, "CREATE TABLE t (k int PRIMARY KEY, other int UNIQUE NOT NULL)")
    run(database.owner_dsn, "INSERT INTO t SELECT g, g FROM generate_series(1, 300) g")
    with pytest.raises(BackfillRefused, match=r"sets k of the key that it goes by.*another unique key"):
        upgrade(database.owner_dsn, history(tmp_path, 'op.backfill("t", {"k": "k + 1000"}, key="k")'), release_id="r")
    by_another = history(tmp_path, 'op.backfill("t", {"k": "k + 1000"}, key="other")')
    upgrade(database.owner_dsn, by_another, release_id="r")
    assert run(database.owner_dsn, "SELECT min(k), max(k) FROM t") == [(1001, 1300)]
