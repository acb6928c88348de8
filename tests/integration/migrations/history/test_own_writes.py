"""Rows that a revision wrote itself are told from those of users, in whatever transaction it wrote them."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from deployments.local.postgres.provisioning import ProvisionedDatabase
from migrations.apply.migrate import upgrade
from migrations.catalog.contents import Catalog, read_catalog
from migrations.database.session import reader
from migrations.history import revision_transactions
from migrations.history.revisions import History
from migrations.restore.receipt_of_writes import Receipt, receipt
from migrations.restore.restore_point import Seal, seal
from migrations.restore.reversal import written_to_additions

BASE = (
    "CREATE TABLE notes (id serial PRIMARY KEY, body text); CREATE TABLE busy (id serial PRIMARY KEY, n int);"
    "INSERT INTO notes (body) SELECT g FROM generate_series(1, 250) g;"
    "GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO PUBLIC"
)
ADDED = "ALTER TABLE notes ADD COLUMN kind text; CREATE TABLE tags (id int PRIMARY KEY); GRANT ALL ON tags TO PUBLIC"
ADD = f'op.execute("{ADDED}")'
FILL = "UPDATE notes SET kind = 'own', body = 'own' WHERE id <= 200"
TAG = "INSERT INTO tags VALUES (1)"
CAUGHT = (
    "DO $$ BEGIN FOR i IN 1..{rounds} LOOP BEGIN UPDATE notes SET kind = 'own', body = 'own' WHERE id = i;"
    " EXCEPTION WHEN unique_violation THEN NULL; END; END LOOP; INSERT INTO tags VALUES (1); END $$"
)
TRIGGER = """
CREATE FUNCTION tag() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
BEGIN INSERT INTO tags VALUES (NEW.id); EXCEPTION WHEN unique_violation THEN NULL; END; RETURN NEW; END $$;
CREATE TRIGGER tag BEFORE UPDATE ON notes FOR EACH ROW EXECUTE FUNCTION tag()
"""
OF_ITS_OWN = {
    "a savepoint": f"""
    {ADD}
    with op.get_bind().begin_nested():
        op.execute("{FILL}")
        with op.get_bind().begin_nested():
            op.execute("{TAG}")
""",
    "a savepoint by name": f"""
    {ADD}
    op.execute("SAVEPOINT one")
    op.execute("{FILL}")
    op.execute("RELEASE one")
    op.execute("SAVEPOINT two")
    op.execute("{TAG}")
""",
    "a savepoint that is taken back": f"""
    {ADD}
    op.execute("SAVEPOINT one")
    op.execute("UPDATE notes SET kind = 'never'")
    op.execute("ROLLBACK TO one")
    op.execute("{FILL}")
""",
    "a block with EXCEPTION": f"""
    {ADD}
    op.execute("{CAUGHT.format(rounds=20)}")
""",
    "more blocks with EXCEPTION than a server keeps count of": f"""
    {ADD}
    op.execute("{CAUGHT.format(rounds=200)}")
""",
    "an autocommit block": f"""
    {ADD}
    with op.get_context().autocommit_block():
        op.execute("{FILL}")
        op.execute("{TAG}")
""",
    "an autocommit block, and savepoints on both sides": f"""
    {ADD}
    op.execute("{CAUGHT.format(rounds=20)}")
    with op.get_context().autocommit_block():
        op.execute("{FILL}")
    with op.get_bind().begin_nested():
        op.execute("INSERT INTO tags VALUES (2)")
""",
    "a statement of an autocommit block with savepoints in a trigger": f"""
    {ADD}
    op.execute('''{TRIGGER}''')
    with op.get_context().autocommit_block():
        op.execute("{FILL}")
    op.execute("DROP TRIGGER tag ON notes; DROP FUNCTION tag()")
""",
    "a backfill": f"""
    {ADD}
    op.backfill("notes", {{"kind": "'own'", "body": "'own'"}}, where="kind IS NULL")
    op.execute("{TAG}")
""",
    "a backfill with savepoints in a trigger": f"""
    {ADD}
    op.execute('''{TRIGGER}''')
    op.backfill("notes", {{"kind": "'own'", "body": "'own'"}}, where="kind IS NULL")
    op.execute("DROP TRIGGER tag ON notes; DROP FUNCTION tag()")
""",
}


def run(dsn: str, *statements: str) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        found: list[tuple[object, ...]] = []
        for statement in statements:
            cursor = connection.execute(statement.encode())
            found = cursor.fetchall() if cursor.description else []
        return found


def history(folder: Path, body: str) -> History:
    (folder / "r1.py").write_text(
        '"""Base."""\nfrom alembic import op\nrevision = "r1"\ndown_revision = None\n\n\n'
        f'def upgrade():\n    op.execute("""{BASE}""")\n\n\ndef downgrade():\n    pass\n'
    )
    (folder / "r2.py").write_text(
        '"""Add."""\nfrom alembic import op\nrevision = "r2"\ndown_revision = "r1"\n\n\n'
        f"def upgrade():\n{body}\n\n\ndef downgrade():\n    pass\n"
    )
    return History.load(folder)


def catalogue(database: ProvisionedDatabase) -> Catalog:
    with reader(database.owner_dsn) as connection:
        return read_catalog(connection)


def written(database: ProvisionedDatabase, before: Catalog) -> tuple[str, ...]:
    with reader(database.owner_dsn) as connection:
        return written_to_additions(connection, before)


@contextmanager
def restored(database: ProvisionedDatabase) -> Generator[tuple[Seal, str]]:
    """The point, and a copy of the database as it is there."""
    point, name = seal(database.owner_dsn), f"{database.name}_restored"
    beside = make_conninfo(database.owner_dsn, dbname="postgres")
    copy, original = sql.Identifier(name), sql.Identifier(database.name)
    run(beside, sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(copy, original).as_string(None))
    try:
        yield point, make_conninfo(database.owner_dsn, dbname=name)
    finally:
        run(beside, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(copy).as_string(None))


def counted(made: Receipt) -> dict[str, tuple[int, int, int]]:
    """Of each table the rows of users, of revisions, and those of which it cannot be told."""
    return {
        one.table: (one.inserted + one.updated, one.by_revisions, one.unclear) for one in made.tables if not one.note
    }


def test_of_a_block_that_cannot_commit_it_is_told_outside_a_transaction_too(
    database: ProvisionedDatabase, tmp_path: Path
) -> None:
    block = "DO $$ BEGIN UPDATE notes SET kind = 'own', body = 'own' WHERE id <= 5; END $$"
    body = f'    {ADD}\n    with op.get_context().autocommit_block():\n        op.execute("{block}")'
    revisions = history(tmp_path, body)
    upgrade(database.owner_dsn, revisions, target="r1", release_id="r")
    before = catalogue(database)
    upgrade(database.owner_dsn, revisions, release_id="r")
    run(database.app_dsn, "UPDATE notes SET kind = 'theirs', body = 'theirs' WHERE id IN (6, 7)")
    assert written(database, before) == ("2 rows were written to notes.kind",)


@pytest.mark.parametrize("counts_savepoints", [True, False], ids=["counted", "not counted"])
@pytest.mark.parametrize("body", OF_ITS_OWN.values(), ids=OF_ITS_OWN.keys())
def test_what_a_revision_wrote_is_its_own_and_what_users_write_then_is_theirs(
    database: ProvisionedDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, counts_savepoints: bool
) -> None:
    if not counts_savepoints:
        # As before PostgreSQL 16.
        monkeypatch.setattr(revision_transactions, "_SAVEPOINTS", "SELECT 1 WHERE %s = 0")
    revisions = history(tmp_path, body)
    upgrade(database.owner_dsn, revisions, target="r1", release_id="r")
    before = catalogue(database)
    with restored(database) as (point, restored_dsn):
        upgrade(database.owner_dsn, revisions, release_id="r")
        ((own,),) = run(database.owner_dsn, "SELECT count(*) FROM notes WHERE kind = 'own'")
        assert written(database, before) == ()
        assert counted(receipt(restored_dsn, database.owner_dsn, point)) == {"notes": (0, own, 0)}
        run(
            database.app_dsn,
            "BEGIN",
            "SAVEPOINT s",
            "UPDATE notes SET kind = 'theirs', body = 'theirs' WHERE id <= 3",
            "COMMIT",
        )
        run(database.app_dsn, "INSERT INTO tags VALUES (1000)")
        assert written(database, before) == ("3 rows were written to notes.kind", "1 rows were written to tags")
        assert counted(receipt(restored_dsn, database.owner_dsn, point)) == {"notes": (3, int(str(own)) - 3, 0)}


def test_of_a_block_that_may_commit_by_itself_it_is_not_told_who_wrote(
    database: ProvisionedDatabase, tmp_path: Path
) -> None:
    half = "UPDATE notes SET kind = 'own', body = 'own' WHERE id"
    commits = f"DO $$ BEGIN {half} <= 5; COMMIT; {half} = 6; END $$"
    body = f'    {ADD}\n    with op.get_context().autocommit_block():\n        op.execute("{commits}")'
    revisions = history(tmp_path, body)
    upgrade(database.owner_dsn, revisions, target="r1", release_id="r")
    before = catalogue(database)
    with restored(database) as (point, restored_dsn):
        upgrade(database.owner_dsn, revisions, release_id="r")
        run(database.app_dsn, "UPDATE notes SET kind = 'theirs', body = 'theirs' WHERE id IN (6, 7)")
        assert written(database, before) == (
            "2 rows were written to notes.kind",
            "5 rows were written to notes.kind by the revisions or by users, which cannot be told",
        )
        assert counted(receipt(restored_dsn, database.owner_dsn, point)) == {"notes": (2, 0, 5)}


@pytest.mark.parametrize("counts_savepoints", [True, False], ids=["counted", "not counted"])
@pytest.mark.parametrize("begins", ["before", "meanwhile"])
def test_a_savepoint_of_a_user_that_is_open_meanwhile_stays_the_user_s(
    database: ProvisionedDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begins: str, counts_savepoints: bool
) -> None:
    if not counts_savepoints:
        monkeypatch.setattr(revision_transactions, "_SAVEPOINTS", "SELECT 1 WHERE %s = 0")
    revisions = history(tmp_path, f'    {ADD}\n    op.execute("{CAUGHT.format(rounds=20)}")')
    upgrade(database.owner_dsn, revisions, target="r1", release_id="r")
    before = catalogue(database)
    with psycopg.connect(database.app_dsn, autocommit=True) as user:

        def begin() -> None:
            for statement in (
                "BEGIN",
                "INSERT INTO busy (n) VALUES (1)",
                "SAVEPOINT s",
                "INSERT INTO busy (n) VALUES (2)",
            ):
                user.execute(statement.encode())

        if begins == "before":
            begin()
        else:
            look = revision_transactions.RevisionTransactions.record_before_commit

            def record_before_commit(
                self: revision_transactions.RevisionTransactions, *given: object, **rest: object
            ) -> bool:
                if user.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
                    begin()
                return look(self, *given, **rest)  # pyright: ignore[reportArgumentType]

            monkeypatch.setattr(
                revision_transactions.RevisionTransactions, "record_before_commit", record_before_commit
            )
        upgrade(database.owner_dsn, revisions, release_id="r")
        user.execute("UPDATE notes SET kind = 'theirs', body = 'theirs' WHERE id IN (1, 2, 250)")
        user.execute("COMMIT")
    assert written(database, before) == ("3 rows were written to notes.kind",)


def test_among_many_users_none_is_blamed_and_none_is_hidden(database: ProvisionedDatabase, tmp_path: Path) -> None:
    body = f'    {ADD}\n    op.execute("{CAUGHT.format(rounds=40)}")\n    with op.get_context().autocommit_block():\n'
    body += "        op.execute(\"UPDATE notes SET kind = 'own', body = 'own' WHERE id BETWEEN 100 AND 120\")"
    revisions = history(tmp_path, body)
    upgrade(database.owner_dsn, revisions, target="r1", release_id="r")
    before = catalogue(database)
    stop = threading.Event()

    def use(number: int) -> None:
        with psycopg.connect(database.app_dsn, autocommit=True) as user:
            while not stop.is_set():
                with user.transaction():
                    user.execute("INSERT INTO busy (n) VALUES (%s)", (number,))
                    with user.transaction():
                        user.execute("INSERT INTO busy (n) VALUES (%s)", (number,))
                        added = "SELECT FROM pg_attribute WHERE attrelid = 'notes'::regclass AND attname = 'kind'"
                        if user.execute(added).fetchone() is not None:
                            user.execute("INSERT INTO notes (body, kind) VALUES ('', 'theirs')")

    users = [threading.Thread(target=use, args=(number,)) for number in range(4)]
    for user in users:
        user.start()
    upgrade(database.owner_dsn, revisions, release_id="r")
    stop.set()
    for user in users:
        user.join()
    ((own, theirs),) = run(
        database.owner_dsn,
        "SELECT count(*) FILTER (WHERE kind = 'own'), count(*) FILTER (WHERE kind = 'theirs') FROM notes",
    )
    told = {
        text.partition(" rows were written to notes.kind")[2]: int(text.split()[0])
        for text in written(database, before)
        if "notes" in text
    }
    by_users, unclear = told.get("", 0), told.get(" by the revisions or by users, which cannot be told", 0)
    assert own == 40 + 21
    assert by_users <= int(str(theirs)) <= by_users + unclear


def test_records_can_be_deleted_where_a_publication_has_all_tables(
    database: ProvisionedDatabase, tmp_path: Path
) -> None:
    with psycopg.connect(database.superuser_dsn, autocommit=True) as superuser:
        superuser.execute("CREATE PUBLICATION everything FOR ALL TABLES")
    upgrade(database.owner_dsn, history(tmp_path, f"    {ADD}"), release_id="r")
    with psycopg.connect(database.owner_dsn, autocommit=True) as owner:
        tables = owner.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'pilotage'::regnamespace AND relkind = 'r'"
        ).fetchall()
        assert {"overwritten_rows", "revision_transactions", "applied_revisions"} <= {name for (name,) in tables}
        for (name,) in tables:
            if name != "ended_sessions":
                owner.execute(sql.SQL("DELETE FROM pilotage.{}").format(sql.Identifier(name)))
