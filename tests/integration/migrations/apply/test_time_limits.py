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


def test_deferred_triggers_are_not_cut_off_by_the_limit_of_the_statement_before_them(
    database: ProvisionedDatabase, tmp_path: Path
) -> None:
    slow = f"BEGIN PERFORM pg_sleep(0.4); {NOTE}; RETURN NULL; END"
    history = written(
        tmp_path,
        (
            "CREATE TABLE a (id int)",
            "CREATE TABLE b (id int)",
            "CREATE TABLE seen (t text)",
            f"CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ {slow} $$",
            "CREATE CONSTRAINT TRIGGER t AFTER INSERT ON a INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note()",
        ),
        (ROW, "ALTER TABLE b ADD COLUMN n int"),
    )
    upgrade(database.owner_dsn, history, release_id="r", lock_timeout_ms=70, statement_timeout_s=0.2)
    assert values(database, b"SELECT t FROM seen") == ["70ms 0"]


def test_the_mark_of_a_revision_does_not_change_what_limits_the_statements_before_it(
    database: ProvisionedDatabase, tmp_path: Path
) -> None:
    history = written(tmp_path, ("CREATE TABLE a (id int)",), ("ALTER TABLE a ADD COLUMN n int",))
    upgrade(database.owner_dsn, history, target="r1", release_id="r")
    with psycopg.connect(database.owner_dsn) as owner:
        owner.execute(
            "CREATE TABLE seen (t text); CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN {NOTE}; RETURN NULL; END $$; CREATE TRIGGER t AFTER UPDATE ON alembic_version"
            " EXECUTE FUNCTION note()".encode()
        )
    upgrade(database.owner_dsn, history, release_id="r", lock_timeout_ms=70, statement_timeout_s=3)
    assert values(database, b"SELECT t FROM seen") == ["70ms 3s"]


@pytest.mark.parametrize("back", ["raise psycopg.Rollback", "pass"])
def test_limits_hold_again_after_a_savepoint_of_the_driver_was_taken_back(
    database: ProvisionedDatabase, tmp_path: Path, back: str
) -> None:
    written(tmp_path, ("CREATE TABLE a (id int)", ROW))
    (tmp_path / "r2.py").write_text(
        'import psycopg\nfrom alembic import op\nrevision = "r2"\ndown_revision = "r1"\n\ndef upgrade():\n'
        '    op.execute("SELECT 1")\n'
        f"    with op.get_bind().connection.dbapi_connection.transaction(force_rollback={back == 'pass'}):\n"
        f'        op.execute("ALTER TABLE a ADD COLUMN gone int")\n        {back}\n'
        f"    op.execute({STOPS!r})\n\ndef downgrade():\n    pass\n"
    )
    upgrade(database.owner_dsn, History.load(tmp_path), release_id="r", statement_timeout_s=3)
    assert values(database, b"SELECT ran_for FROM a") == ["3s"]
