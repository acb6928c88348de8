"""Whether a downgrade would take something from users: told from the rows themselves."""

from pathlib import Path

import psycopg
import pytest

from deployments.local.postgres.provisioning import ProvisionedDatabase
from migrations.apply.migrate import upgrade
from migrations.catalog.contents import Catalog, read_catalog
from migrations.database.session import reader
from migrations.history.revisions import History
from migrations.restore.reversal import written_to_additions

BASE = "CREATE TABLE notes (id serial PRIMARY KEY, body text); INSERT INTO notes (body) VALUES (1), (2), (3), (4), (5)"
ADDED = (
    "ALTER TABLE notes ADD COLUMN kind text; ALTER TABLE notes ADD COLUMN size integer NOT NULL DEFAULT 3;"
    'CREATE TABLE "Tags" (id integer, "The name" text); INSERT INTO "Tags" VALUES (1, \'of the revision\');'
    "ALTER TABLE notes ADD COLUMN \"odd name\" text; UPDATE notes SET kind = 'backfilled' WHERE id <= 3"
)


@pytest.fixture
def before(database: ProvisionedDatabase, tmp_path: Path) -> Catalog:
    """A database whose second revision has just been applied; the catalogue before it."""
    for number, sql in enumerate((BASE, ADDED), 1):
        below = f'"r{number - 1}"' if number > 1 else None
        (tmp_path / f"r{number}.py").write_text(
            f'"""Step."""\nfrom alembic import op\nrevision = "r{number}"\ndown_revision = {below}\n\n\n'
            f'def upgrade():\n    op.execute("""{sql}""")\n\n\ndef downgrade():\n    pass\n'
        )
    history = History.load(tmp_path)
    upgrade(database.owner_dsn, history, target="r1", release_id="r")
    with reader(database.owner_dsn) as connection:
        found = read_catalog(connection)
    upgrade(database.owner_dsn, history, target="r2", release_id="r")
    return found


def written(database: ProvisionedDatabase, before: Catalog, *statements: str) -> tuple[str, ...]:
    with psycopg.connect(database.owner_dsn) as connection:
        for statement in statements:
            connection.execute(statement.encode())
    with reader(database.owner_dsn) as connection:
        return written_to_additions(connection, before)


def test_what_the_revisions_wrote_themselves_is_nobody_s_loss(database: ProvisionedDatabase, before: Catalog) -> None:
    assert written(database, before) == ()


def test_rows_that_only_have_the_defaults_lose_nothing(database: ProvisionedDatabase, before: Catalog) -> None:
    assert written(database, before, "INSERT INTO notes (body) VALUES ('new')", "UPDATE notes SET body = 'x'") == (
        # A row that a user touched is the user's, with all that the revision put into it.
        "3 rows were written to notes.kind",
    )


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("INSERT INTO notes (body, kind) VALUES ('new', 'k')", "1 rows were written to notes.kind"),
        ("UPDATE notes SET size = 4 WHERE id > 3", "2 rows were written to notes.size"),
        ("UPDATE notes SET \"odd name\" = 'o' WHERE id = 5", '1 rows were written to notes."odd name"'),
        ("INSERT INTO \"Tags\" VALUES (2, 'a user''s')", '1 rows were written to "Tags"'),
    ],
)
def test_what_users_wrote_to_what_would_be_dropped_is_named(
    statement: str, told: str, database: ProvisionedDatabase, before: Catalog
) -> None:
    assert written(database, before, statement) == (told,)


def test_what_was_rolled_back_counts_for_nothing(database: ProvisionedDatabase, before: Catalog) -> None:
    with psycopg.connect(database.owner_dsn) as connection:
        connection.execute("UPDATE notes SET size = 9")
        connection.rollback()
    assert written(database, before) == ()
