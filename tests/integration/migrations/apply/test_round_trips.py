"""What a revision costs beside its own statements, in round trips: a server may be an ocean away."""

import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest

from deployments.local.postgres.provisioning import ProvisionedDatabase
from migrations.apply.migrate import Progress, upgrade
from migrations.history.revisions import History

# What these do is done by psycopg alone.
LOCAL = ("_set_autocommit_gen", "_set_isolation_level_gen")
CREATED = "op.execute('CREATE TABLE a (id int)')"
ALTERED = "ALTER TABLE a ADD COLUMN c{number}_{part} int"


def written(folder: Path, *bodies: str) -> History:
    """A line of revisions."""
    for number, body in enumerate(bodies, 1):
        below = f'"r{number - 1}"' if number > 1 else None
        (folder / f"r{number}.py").write_text(
            f"import time\nimport psycopg\nfrom alembic import op\nrevision = 'r{number}'\ndown_revision = {below}\n"
            f"HOLDERS = []\n\ndef upgrade():\n    {body}\n\ndef downgrade():\n    pass\n"
        )
    return History.load(folder)


def altering(number: int, statements: int) -> str:
    """The body of a revision that changes the same table by as many statements."""
    return "\n    ".join(f"op.execute({ALTERED.format(number=number, part=part)!r})" for part in range(statements))


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What this thread sends; the one that watches meanwhile sends as often as time lets it."""
    sent: list[str] = []
    wait = psycopg.Connection.wait

    def counted(connection: Any, sending: Any, *rest: Any, **options: Any) -> Any:
        if threading.current_thread() is threading.main_thread() and sending.__name__ not in LOCAL:
            sent.append(sending.__name__)
        return wait(connection, sending, *rest, **options)

    monkeypatch.setattr(psycopg.Connection, "wait", counted)
    return sent


def counted_to(database: ProvisionedDatabase, history: History, target: str, trips: list[str]) -> int:
    """How often something is sent up to a revision."""
    trips.clear()
    upgrade(database.owner_dsn, history, target=target, release_id="r")
    return len(trips)


def test_a_revision_costs_few_round_trips_beside_its_own_statements(
    database: ProvisionedDatabase, tmp_path: Path, trips: list[str]
) -> None:
    history = written(tmp_path, CREATED, *(altering(number, 1) for number in range(30)))
    _, few, many = (counted_to(database, history, target, trips) for target in ("r1", "r11", "r31"))
    # Limits, the look at locks, the statement, Alembic's mark, our record, three looks at what was done, COMMIT.
    assert many - few <= 10 * 9


def test_another_statement_on_the_same_table_costs_no_more_than_itself(
    database: ProvisionedDatabase, tmp_path: Path, trips: list[str]
) -> None:
    history = written(tmp_path, CREATED, altering(1, 1), altering(2, 10), altering(3, 20))
    _, few, many = (counted_to(database, history, target, trips) for target in ("r2", "r3", "r4"))
    assert many - few == 10


def test_who_has_taken_the_table_since_a_savepoint_was_taken_back_is_waited_for_outside_the_queue(
    database: ProvisionedDatabase, tmp_path: Path
) -> None:
    body = f"""op.execute("SELECT 1")
    with op.get_bind().connection.dbapi_connection.transaction(force_rollback=True):
        op.execute("ALTER TABLE a ADD COLUMN gone int")
    if not HOLDERS:
        HOLDERS.append(psycopg.connect({database.owner_dsn!r}))
        HOLDERS[0].execute("SELECT FROM a")
        time.sleep(0.3)
    op.execute("ALTER TABLE a ADD COLUMN n int")"""
    history = written(tmp_path, CREATED, body)
    seen: list[str] = []

    def told(progress: Progress) -> None:
        seen.append(progress.kind)
        if progress.kind == "waiting":
            history.directory.get_revision("r2").module.HOLDERS[0].close()

    upgrade(database.owner_dsn, history, release_id="r", lock_timeout_ms=100, on_event=told)
    assert seen == ["applied", "waiting", "applied"]
