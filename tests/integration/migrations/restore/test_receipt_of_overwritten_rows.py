"""What users wrote after the restore point is on the receipt, also where a revision wrote to the same row later."""

import json
import secrets
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from deployments.local.postgres.cluster import Cluster, dsn
from deployments.local.postgres.provisioning import Login, provision
from migrations.apply.migrate import upgrade
from migrations.history import overwritten_rows
from migrations.history.revisions import History
from migrations.restore import receipt_rows
from migrations.restore.receipt_of_writes import Receipt, receipt
from migrations.restore.restore_point import Seal, seal

PARTS = "PARTITION BY RANGE (id); CREATE TABLE {0}_low PARTITION OF {0} FOR VALUES FROM (0) TO (100);"
HIGH = "CREATE TABLE {0}_high PARTITION OF {0} FOR VALUES FROM (100) TO (1000)"
DEFERS = (
    "CREATE TABLE {0}_source (id int PRIMARY KEY, n int); INSERT INTO {0}_source VALUES (1);"
    "CREATE FUNCTION {0}_fire() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN UPDATE {0} SET body = 'own'; RETURN NEW; END $$;"
    "CREATE CONSTRAINT TRIGGER fire AFTER UPDATE ON {0}_source DEFERRABLE INITIALLY DEFERRED"
    " FOR EACH ROW EXECUTE FUNCTION {0}_fire()"
)
UPDATES = "UPDATE {0} SET body = 'theirs' WHERE id = 2"
INSERTS = "INSERT INTO {0} VALUES (9, 'theirs', 'theirs')"
LATER = "UPDATE {0} SET body = 'own'"

# In statements of their own, so that the table is the revision's alone before it writes to it.
ALONE = (
    "ALTER TABLE watched ADD COLUMN most text",
    "ALTER TABLE relabelled RENAME COLUMN id TO number",
    "SAVEPOINT one",
    "UPDATE watched SET body = 'never'",
    "ROLLBACK TO one",
    "DO $$ BEGIN UPDATE watched SET body = 'own'; EXCEPTION WHEN others THEN NULL; END $$",
    "UPDATE relabelled SET body = 'own'",
    "ALTER TABLE relabelled RENAME COLUMN number TO id",
)

CHILDREN = "CREATE TABLE children (id int PRIMARY KEY, parent int REFERENCES parents ON DELETE CASCADE)"

Line = tuple[str, int | None, str | None, str | None]
UPDATED: Line = ("updated", 2, None, "r4")
INSERTED: Line = ("inserted", 9, None, "r4")
DELETED: Line = ("deleted", 2, None, None)
WRITTEN_AND_DELETED: Line = ("deleted", 2, None, "r4")

# By table, called {0}: what users do after the point, what a revision does to it then, and what the receipt lists of it
# that is not certainly the revision's: the change, the key, which revision it may have been, and which overwrote it.
CASES: dict[str, tuple[str, str, set[Line]]] = {
    "same": (UPDATES, LATER, {UPDATED}),
    "other": (UPDATES, "UPDATE {0} SET more = 'own'", {UPDATED}),
    "added": (INSERTS, LATER, {INSERTED}),
    "undone": (UPDATES, "UPDATE {0} SET body = id", {UPDATED}),
    "removed": (INSERTS, "DELETE FROM {0} WHERE id > 2", {INSERTED, ("deleted", 3, None, None)}),
    "emptied": (
        f"{UPDATES}; {INSERTS}",
        "DELETE FROM {0} WHERE id <> 1",
        {WRITTEN_AND_DELETED, ("deleted", 3, None, None), INSERTED},
    ),
    "gone": ("DELETE FROM {0} WHERE id = 2", LATER, {DELETED}),
    "moved": (
        UPDATES,
        "UPDATE {0} SET id = id + 20",
        {("deleted", 1, None, None), WRITTEN_AND_DELETED, ("deleted", 3, None, None)},
    ),
    "parted": (f"{UPDATES}; {INSERTS}", LATER, {UPDATED, INSERTED}),
    "saved": (UPDATES, "SAVEPOINT s; UPDATE {0} SET body = 'own'; RELEASE s", {UPDATED}),
    "caught": (UPDATES, "DO $$ BEGIN UPDATE {0} SET body = 'own'; EXCEPTION WHEN others THEN NULL; END $$", {UPDATED}),
    "deferred": (UPDATES, "UPDATE {0}_source SET n = 2", {UPDATED}),
    "Quoted": (UPDATES, LATER, {UPDATED}),
    "keyless": (INSERTS, LATER, {("inserted", None, None, "r4")}),
    "batched": (f"{UPDATES}; {INSERTS}", "", {("updated", 2, None, "r5"), ("inserted", 9, None, "r5")}),
    # A row that a user has only locked was not written.
    "parents": ("INSERT INTO children VALUES (9, 2)", "DELETE FROM {0} WHERE id = 2", {DELETED}),
    "untouched": (f"{UPDATES}; {INSERTS}", "SELECT 1", {("updated", 2, None, None), ("inserted", 9, None, None)}),
    # What they wrote stands in a column that the point does not have, or that the release takes away.
    "extended": ("UPDATE {0} SET extra = 'theirs' WHERE id = 2", "SELECT 1", {("updated", 2, None, None)}),
    "narrowed": (
        "UPDATE {0} SET more = 'theirs' WHERE id = 2",
        "ALTER TABLE {0} DROP more",
        {("updated", 2, None, None)},
    ),
    # Only the revision can look at it, and does so before its UPDATE.
    "watched": (f"{UPDATES}; {INSERTS}", "", {UPDATED, INSERTED}),
    "relabelled": (UPDATES, "", {("updated", n, "r4", None) for n in (1, 2, 3)}),
    "renamed": (UPDATES, "ALTER TABLE {0} RENAME TO renamed_now", set()),
    # Nobody but the revision can look at these.
    "altered": (
        UPDATES,
        "ALTER TABLE {0} ADD COLUMN most text; UPDATE {0} SET body = 'own'",
        {("updated", n, "r4", None) for n in (1, 2, 3)},
    ),
    "truncated": (INSERTS, "TRUNCATE {0}", {("deleted", n, None, None) for n in (1, 2, 3)}),
    "copied": (
        UPDATES,
        (
            "CREATE TABLE {0}_copy AS SELECT * FROM {0}; ALTER TABLE {0}_copy ADD PRIMARY KEY (id); DROP TABLE {0};"
            " ALTER TABLE {0}_copy RENAME TO {0}"
        ),
        {("updated", 2, "r4", None)},
    ),
    # Not told row by row.
    "again": ("DELETE FROM {0} WHERE id = 2", "INSERT INTO {0} VALUES (2, 'own')", set()),
}
UNSEEN = {"relabelled", "altered", "truncated", "copied"}


def table(name: str) -> str:
    key = "" if name == "keyless" else ", PRIMARY KEY (id)"
    parts = (PARTS + HIGH).format(name) if name == "parted" else ""
    return (
        f'CREATE TABLE "{name}" (id integer NOT NULL, body text, more text{key}) {parts};'
        f'INSERT INTO "{name}" SELECT g, g FROM generate_series(1, 3) g;'
        + (DEFERS.format(name) if name == "deferred" else "")
    )


def history(folder: Path, *bodies: str) -> History:
    for number, body in enumerate(bodies, 1):
        below = f'"r{number - 1}"' if number > 1 else None
        (folder / f"r{number}.py").write_text(
            f'"""Step."""\nfrom alembic import op\nrevision = "r{number}"\ndown_revision = {below}\n\n\n'
            f"def upgrade():\n{body}\n\ndef downgrade():\n    pass\n"
        )
    return History.load(folder)


def executed(statements: str) -> str:
    return f'    op.execute("""{statements}""")\n'


def run(owner: str, statements: str) -> None:
    with psycopg.connect(owner, autocommit=True) as user:
        user.execute(statements.encode())


Copied = Callable[[], AbstractContextManager[tuple[Seal, str]]]


@pytest.fixture(params=[18, 15])
def owner(request: pytest.FixtureRequest) -> str:
    """The owner's connection string to an empty database of the newest server, then of the oldest."""
    server: Cluster = request.getfixturevalue("server" if request.param == 18 else "oldest")
    name = f"receipt_{secrets.token_hex(4)}"
    login, app = Login(f"{name}_owner", secrets.token_urlsafe(12)), Login(f"{name}_app", secrets.token_urlsafe(12))
    with server.connect() as superuser:
        provision(superuser, database=name, owner=login, app=app)
    return dsn(server.port, user=login.name, password=login.password, database=name)


@pytest.fixture
def copied(owner: str) -> Copied:
    """Seals a point, and gives it with a copy of the database as of it; a copy keeps each row's transaction."""

    @contextmanager
    def at_point() -> Generator[tuple[Seal, str]]:
        point = seal(owner)
        name = str(conninfo_to_dict(owner)["dbname"])
        copy = sql.Identifier(f"{name}_restored")
        with psycopg.connect(make_conninfo(owner, dbname="postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(copy, sql.Identifier(name)))
            yield point, make_conninfo(owner, dbname=f"{name}_restored")
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(copy))

    return at_point


def listed(file: Path) -> dict[str, set[Line]]:
    """By table, what is on the receipt that is not certainly a revision's."""
    found: dict[str, set[Line]] = {}
    for line in file.read_text().splitlines():
        one: dict[str, Any] = json.loads(line)
        if one["revision"] is None or not one.get("certain", True):
            key = int(one["key"]["id"]) if one["key"] else None
            found.setdefault(one["table"], set()).add((one["change"], key, one["revision"], one.get("overwritten_by")))
    return found


def notes(made: Receipt) -> dict[str, str]:
    return {one.table: one.note for one in made.tables if one.note}


@pytest.mark.parametrize("many", [receipt_rows.MANY, 0], ids=["few", "many"])
@pytest.mark.parametrize("between", [True, False], ids=["between two revisions", "before the first"])
def test_a_write_of_a_user_is_on_the_receipt_whatever_a_revision_did_to_the_row_later(
    owner: str, copied: Copied, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: int, between: bool
) -> None:
    monkeypatch.setattr(receipt_rows, "MANY", many)
    cases = {name: case for name, case in CASES.items() if between or name != "extended"}
    revisions = history(
        tmp_path,
        executed(";".join([*(table(name) for name in cases), CHILDREN])),
        executed("ALTER TABLE extended ADD COLUMN extra text" if between else "SELECT 1"),
        # What the release itself has put there before, in a transaction of its own.
        executed(";".join(f"UPDATE {name} SET more = 'first' WHERE id = 3" for name in ("same", "parted", "batched"))),
        executed(
            ";".join(
                case[1].format(f'"{name}"' if name == "Quoted" else name) for name, case in cases.items() if case[1]
            )
        )
        + "".join(executed(one) for one in ALONE),
        '    op.backfill("batched", {"body": "\'own\'"})\n',
    )
    upgrade(owner, revisions, target="r1", release_id="before")
    with copied() as (point, restored):
        if between:
            upgrade(owner, revisions, target="r3", release_id="r", since_xid=point.oldest_open_xid)
        run(owner, ";".join(case[0].format(f'"{name}"' if name == "Quoted" else name) for name, case in cases.items()))
        upgrade(owner, revisions, release_id="r", since_xid=point.oldest_open_xid)
        file = tmp_path / "receipt.jsonl"
        made = receipt(restored, owner, point, to=file)
    found = listed(file)
    expected = {name: case[2] for name, case in cases.items() if case[2]}
    expected["parted_low"] = expected.pop("parted")
    expected["children"] = {INSERTED}
    expected["renamed_now"] = {("updated", 2, None, None)}
    assert found == expected
    told = notes(made)
    assert {name for name, note in told.items() if "could not be looked at" in note} == UNSEEN
    assert {name for name, note in told.items() if "inserted again" in note} == {"again"}
    assert told.keys() == UNSEEN | {"again", "keyless"}
    assert made.note == ""


def test_rows_of_users_in_a_table_that_the_release_made_are_listed_though_a_revision_wrote_to_them_later(
    owner: str, copied: Copied, tmp_path: Path
) -> None:
    revisions = history(
        tmp_path,
        executed("SELECT 1"),
        executed("CREATE TABLE tags (id int PRIMARY KEY, body text); INSERT INTO tags VALUES (1, 'own'), (2, 'own')"),
        executed("UPDATE tags SET body = 'later' WHERE id < 4; DELETE FROM tags WHERE id = 5"),
    )
    upgrade(owner, revisions, target="r1", release_id="before")
    with copied() as (point, restored):
        upgrade(owner, revisions, target="r2", release_id="r", since_xid=point.oldest_open_xid)
        run(owner, "INSERT INTO tags VALUES (3, 'theirs'), (4, 'theirs'), (5, 'theirs')")
        upgrade(owner, revisions, release_id="r", since_xid=point.oldest_open_xid)
        file = tmp_path / "receipt.jsonl"
        made = receipt(restored, owner, point, to=file)
    assert listed(file) == {
        "tags": {("inserted", 3, None, "r3"), ("inserted", 4, None, None), ("inserted", 5, None, "r3")}
    }
    assert (made.inserted, made.by_revisions) == (3, 0)
    assert notes(made) == {"tags": "the table was made since the point, with 4 rows"}


def test_a_revision_that_commits_by_itself_and_a_table_with_too_many_rows_are_told_in_words(
    owner: str, copied: Copied, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overwritten_rows, "MAX_ROWS", 1)
    alone = '    with op.get_context().autocommit_block():\n        op.execute("""DO $$ BEGIN {} END $$""")\n'
    revisions = history(
        tmp_path,
        executed(table("first") + table("second")),
        alone.format("DELETE FROM first WHERE id = 9; COMMIT; UPDATE first SET body = 'own' WHERE id = 1;"),
        executed("UPDATE second SET body = 'own'"),
    )
    upgrade(owner, revisions, target="r1", release_id="before")
    with copied() as (point, restored):
        run(owner, "INSERT INTO first VALUES (9, 'theirs'); UPDATE second SET body = 'theirs' WHERE id < 3")
        upgrade(owner, revisions, release_id="r", since_xid=point.oldest_open_xid)
        file = tmp_path / "receipt.jsonl"
        made = receipt(restored, owner, point, to=file)
    assert made.note == (
        "r2 ran statements that commit by themselves: what they overwrote or deleted of users is not listed"
    )
    assert listed(file) == {
        "first": {("updated", 1, "r2", None)},
        "second": {("updated", n, "r3", None) for n in (1, 2, 3)},
    }
    assert notes(made).keys() == {"second"}


def test_what_a_try_that_was_rolled_back_would_have_overwritten_is_not_on_the_receipt(
    owner: str, copied: Copied, tmp_path: Path
) -> None:
    upgrade(owner, history(tmp_path, executed(table("first"))), release_id="before")
    with copied() as (point, restored):
        run(owner, "UPDATE first SET body = 'theirs' WHERE id = 2")
        with psycopg.connect(owner, autocommit=True) as connection:
            connection.execute("BEGIN; UPDATE first SET body = 'never'")
            row = connection.execute("SELECT pg_current_xact_id()::text").fetchone()
            assert row is not None
            with psycopg.connect(owner, autocommit=True) as other:
                overwritten_rows.record_unseen(other, "r2", int(row[0]))
            connection.execute("ROLLBACK")
        file = tmp_path / "receipt.jsonl"
        made = receipt(restored, owner, point, to=file)
    assert (made.note, listed(file)) == ("", {"first": {("updated", 2, None, None)}})


@pytest.mark.parametrize("since", ["a later point", "no point"])
def test_of_a_revision_that_came_with_a_later_point_it_is_said_what_is_not_listed(
    owner: str, copied: Copied, tmp_path: Path, since: str
) -> None:
    revisions = history(tmp_path, executed(table("first")), executed("UPDATE first SET body = 'own'"))
    upgrade(owner, revisions, target="r1", release_id="before")
    with copied() as (point, restored):
        run(owner, "UPDATE first SET body = 'theirs' WHERE id = 2")
        later = None if since == "no point" else seal(owner).oldest_open_xid
        upgrade(owner, revisions, release_id="later", since_xid=later)
        file = tmp_path / "receipt.jsonl"
        made = receipt(restored, owner, point, to=file)
    assert listed(file) == {"first": {("updated", n, "r2", None) for n in (1, 2, 3)}}
    assert made.note == (
        "r2 came with a later restore point, or without one: what was written before that, and overwritten or deleted "
        "by them, is not listed"
    )


def test_what_is_older_than_any_point_that_can_be_restored_is_deleted(owner: str, tmp_path: Path) -> None:
    revisions = history(tmp_path, executed(table("first")), executed("SELECT 1"))
    upgrade(owner, revisions, target="r1", release_id="before")
    with psycopg.connect(owner, autocommit=True) as connection:
        for days in (59, 61):
            overwritten_rows.record_unseen(connection, f"r{days}", 1000)
            connection.execute(
                "UPDATE pilotage.overwritten_rows SET noted_at = now() - make_interval(days => %s) WHERE revision = %s",
                (days, f"r{days}"),
            )
        upgrade(owner, revisions, release_id="after")
        kept = connection.execute("SELECT revision FROM pilotage.overwritten_rows WHERE kind = 'unseen'").fetchall()
    assert kept == [("r59",)]
