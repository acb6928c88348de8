"""How long a statement may wait and run: whatever the revision before it has set for itself."""

import threading
from pathlib import Path

import psycopg
import pytest

from deployments.local.postgres.provisioning import ProvisionedDatabase
from migrations.apply.migrate import upgrade
from migrations.history.revisions import History

NOTE = "INSERT INTO seen SELECT current_setting('lock_timeout') || ' ' || current_setting('statement_timeout')"
STOPS = "ALTER TABLE a ADD COLUMN ran_for text DEFAULT current_setting('statement_timeout')"
ROW = "INSERT INTO a (id) VALUES (1)"


def written(folder: Path, *revisions: tuple[str, ...]) -> History:
    """A line of revisions, each of which sends some statements."""
    for number, statements in enumerate(revisions, 1):
        below = f'"r{number - 1}"' if number > 1 else None
        body = "\n    ".join(f"op.execute({one!r})" for one in statements)
        (folder / f"r{number}.py").write_text(
            f'from alembic import op\nrevision = "r{number}"\ndown_revision = {below}\n\n'
            f"def upgrade():\n    {body}\n\ndef downgrade():\n    pass\n"
        )
    return History.load(folder)


def values(database: ProvisionedDatabase, query: bytes) -> list[str]:
    """The first column of what a query finds."""
    with psycopg.connect(database.owner_dsn) as connection:
        return [str(row[0]) for row in connection.execute(query)]


@pytest.mark.parametrize(
    "own",
    [
        "ALTER TABLE a ADD COLUMN n int",
        "SET lock_timeout = '9s'",
        "SET LOCAL lock_timeout = '9s'",
        "SET statement_timeout = '9s'",
        "SET LOCAL statement_timeout = '3s'",
        "RESET ALL",
        "SELECT set_config('lock_timeout', '9s', false), set_config('statement_timeout', '9s', false)",
        "DO $$ BEGIN PERFORM set_config('lock_timeout', '9s', false); END $$",
        "INSERT INTO seen VALUES ('x'); SET lock_timeout = 0; DELETE FROM seen",
    ],
)
def test_what_a_revision_sets_for_itself_does_not_hold_for_the_next(
    database: ProvisionedDatabase, tmp_path: Path, own: str
) -> None:
    history = written(
        tmp_path,
        ("CREATE TABLE a (id int)", "CREATE TABLE seen (t text)", ROW),
        ("ALTER TABLE a ADD COLUMN before int", own),
        (NOTE, STOPS, NOTE),
    )
    upgrade(database.owner_dsn, history, release_id="r", lock_timeout_ms=70, statement_timeout_s=3)
    assert values(database, b"SELECT t FROM seen") == ["70ms 0", "70ms 0"]
    assert values(database, b"SELECT ran_for FROM a") == ["3s"]


def test_limits_hold_again_after_a_try_was_taken_back(database: ProvisionedDatabase, tmp_path: Path) -> None:
    history = written(
        tmp_path, ("CREATE TABLE a (id int)", "CREATE TABLE seen (t text)"), (NOTE, "ALTER TABLE a ADD COLUMN n int")
    )
    upgrade(database.owner_dsn, history, target="r1", release_id="r")
    with psycopg.connect(database.owner_dsn) as holder:
        holder.execute("SELECT FROM a")
        free = threading.Timer(0.4, holder.rollback)
        free.start()
        done = upgrade(database.owner_dsn, history, release_id="r", lock_timeout_ms=70)
        free.join()
    assert [one.attempts > 1 for one in done] == [True]
    assert values(database, b"SELECT t FROM seen") == ["70ms 0"]
