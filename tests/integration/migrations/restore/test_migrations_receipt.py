"""The receipt of a restore: every row that was written since the point."""

import json
import stat
from collections.abc import Callable, Generator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from deployments.local.postgres.provisioning import ProvisionedDatabase
from migrations.history import applied_revisions
from migrations.restore import receipt_rows
from migrations.restore.receipt_of_writes import Receipt, receipt
from migrations.restore.restore_point import Seal, seal

SCHEMA = """
CREATE SCHEMA shop;
CREATE TYPE shop.kind AS ENUM ('a', 'b');
CREATE TABLE users (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text, seen int DEFAULT 0);
CREATE TABLE shop.lines (kind shop.kind, "Number" int, note text, PRIMARY KEY (kind, "Number"));
CREATE TABLE tokens (identifier text NOT NULL, token text NOT NULL, UNIQUE (identifier, token));
CREATE TABLE log (at timestamptz DEFAULT now(), what text);
INSERT INTO users (id, name) SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, 'u' || n
FROM generate_series(1, 2500) n;
INSERT INTO shop.lines SELECT 'a', n, 'old' FROM generate_series(1, 50) n;
INSERT INTO tokens VALUES ('é', '1'), ('z', '2'), ('Z', '3');
INSERT INTO log (what) VALUES ('before');
"""

Run = Callable[[str], None]


def run(dsn: str, text: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(text.encode())


def user(number: int) -> str:
    return f"00000000-0000-0000-0000-{number:012}"


@pytest.fixture
def restored(database: ProvisionedDatabase) -> Generator[tuple[Seal, str]]:
    """The point, and a copy of the database as it was there; a copy keeps each row's transaction."""
    run(database.owner_dsn, SCHEMA)
    with psycopg.connect(database.owner_dsn, autocommit=True) as connection:
        applied_revisions.ensure_tables(connection)
    point = seal(database.owner_dsn)
    name = sql.Identifier(f"{database.name}_restored")
    with psycopg.connect(make_conninfo(database.owner_dsn, dbname="postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(name, sql.Identifier(database.name)))
        yield point, make_conninfo(database.owner_dsn, dbname=f"{database.name}_restored")
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def counts(made: Receipt) -> dict[str, tuple[int, int, int, int]]:
    return {t.table: (t.inserted, t.updated, t.deleted, t.by_revisions) for t in made.tables}


@pytest.mark.parametrize("many", [receipt_rows.MANY, 0], ids=["few", "many"])
def test_every_write_since_the_point_is_listed_by_table_and_key(
    database: ProvisionedDatabase,
    restored: tuple[Seal, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    many: int,
) -> None:
    monkeypatch.setattr(receipt_rows, "MANY", many)
    point, restored_dsn = restored
    run(
        database.owner_dsn,
        f"""
        INSERT INTO users (id, name) SELECT ('10000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, 'new'
        FROM generate_series(1, 1200) n;
        UPDATE users SET seen = 1 WHERE id < '{user(31)}';
        DELETE FROM users WHERE id IN ('{user(40)}', '{user(2500)}');
        UPDATE shop.lines SET note = 'new' WHERE "Number" = 7;
        INSERT INTO shop.lines VALUES ('b', 7, 'new');
        DELETE FROM tokens WHERE token IN ('1', '3');
        """,
    )
    with psycopg.connect(database.owner_dsn) as connection:
        connection.execute("INSERT INTO users (name) VALUES ('never')")
        connection.rollback()
    run(database.owner_dsn, "VACUUM (FREEZE) users")
    file = tmp_path / "receipt.jsonl"
    file.write_text("of an earlier try")
    file.chmod(0o644)
    made = receipt(restored_dsn, database.owner_dsn, point, to=file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert counts(made) == {"shop.lines": (1, 1, 0, 0), "tokens": (0, 0, 2, 0), "users": (1200, 30, 2, 0)}
    assert (made.inserted, made.updated, made.deleted, made.by_revisions) == (1201, 31, 4, 0)
    written = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(written) == 1201 + 31 + 4
    lines = [(one["change"], one["key"]) for one in written if one["table"] == "shop.lines"]
    assert sorted(lines) == [("inserted", {"kind": "b", "Number": "7"}), ("updated", {"kind": "a", "Number": "7"})]
    deleted = {one["key"]["id"] for one in written if one["table"] == "users" and one["change"] == "deleted"}
    assert deleted == {user(40), user(2500)}
    gone = [one["key"] for one in written if one["table"] == "tokens"]
    assert gone == [{"identifier": "Z", "token": "3"}, {"identifier": "é", "token": "1"}]
    assert max(len([r for r in t.sample if r.change == "inserted"]) for t in made.tables) == 5


def test_nothing_written_is_an_empty_receipt(database: ProvisionedDatabase, restored: tuple[Seal, str]) -> None:
    point, restored_dsn = restored
    assert receipt(restored_dsn, database.owner_dsn, point).tables == ()


def test_a_rewrite_marks_rows_that_nobody_wrote_and_they_are_left_out(
    database: ProvisionedDatabase, restored: tuple[Seal, str]
) -> None:
    point, restored_dsn = restored
    run(
        database.owner_dsn,
        f"""
        BEGIN;
        ALTER TABLE users ADD COLUMN "made" uuid DEFAULT gen_random_uuid();
        INSERT INTO pilotage.applied_revisions (revision, checksum, release_id, duration_ms) VALUES ('r9', 'c', 'r', 1);
        COMMIT;
        UPDATE users SET name = 'x' WHERE id = '{user(9)}';
        """,
    )
    made = receipt(restored_dsn, database.owner_dsn, point)
    assert counts(made) == {"users": (0, 1, 0, 0)}
    assert [row.key for row in made.tables[0].sample] == [{"id": user(9)}]


def test_rows_that_a_revision_wrote_are_told_from_those_of_users(
    database: ProvisionedDatabase, restored: tuple[Seal, str]
) -> None:
    point, restored_dsn = restored
    run(
        database.owner_dsn,
        """
        BEGIN;
        UPDATE users SET seen = 5;
        INSERT INTO pilotage.applied_revisions (revision, checksum, release_id, duration_ms) VALUES ('r9', 'c', 'r', 1);
        COMMIT;
        """,
    )
    run(database.owner_dsn, f"UPDATE users SET seen = 6 WHERE id = '{user(3)}'")
    made = receipt(restored_dsn, database.owner_dsn, point)
    assert counts(made) == {"users": (0, 1, 0, 2499)}
    assert {row.revision for row in made.tables[0].sample} == {None, "r9"}


def test_tables_that_came_went_or_have_no_key_are_told_in_words(
    database: ProvisionedDatabase, restored: tuple[Seal, str]
) -> None:
    point, restored_dsn = restored
    run(
        database.owner_dsn,
        "CREATE TABLE fresh AS SELECT 1 AS one; DROP TABLE tokens; INSERT INTO log (what) VALUES ('after');"
        " UPDATE log SET what = 'changed' WHERE what = 'before'",
    )
    made = receipt(restored_dsn, database.owner_dsn, point)
    assert {t.table: t.note for t in made.tables} == {
        "fresh": "the table was made since the point, with 1 rows",
        "tokens": "the table was dropped since the point, with 3 rows as of the point; "
        "what was written to it between them cannot be told",
        "log": "the table has no key: a row that was updated counts as inserted, "
        "and 1 rows were either deleted or updated",
    }
    assert counts(made)["log"] == (2, 0, 0, 0)


def test_writes_to_the_restored_database_are_none_of_the_receipt(
    database: ProvisionedDatabase, restored: tuple[Seal, str]
) -> None:
    point, restored_dsn = restored
    run(restored_dsn, "INSERT INTO tokens VALUES ('later', '9')")
    run(database.owner_dsn, "INSERT INTO tokens VALUES ('then', '8'); DELETE FROM tokens WHERE token = '2'")
    assert counts(receipt(restored_dsn, database.owner_dsn, point)) == {"tokens": (1, 0, 1, 0)}


def test_a_deletion_is_listed_whatever_the_restored_database_has_lost_since(
    database: ProvisionedDatabase, restored: tuple[Seal, str]
) -> None:
    point, restored_dsn = restored
    run(database.owner_dsn, f"DELETE FROM tokens WHERE token = '2'; DELETE FROM users WHERE id <= '{user(2)}'")
    run(restored_dsn, "DELETE FROM tokens WHERE token = '3'; UPDATE log SET what = 'later'")
    run(restored_dsn, f"DELETE FROM users WHERE id = '{user(3)}'; UPDATE users SET seen = 2 WHERE id = '{user(2)}'")
    made = receipt(restored_dsn, database.owner_dsn, point)
    assert counts(made) == {"tokens": (0, 0, 1, 0), "users": (0, 0, 1, 0)}
    more = "up to 1 rows more may have been deleted: production has written them since the restore"
    assert {one.table: one.note for one in made.tables} == {"tokens": "", "users": more}
