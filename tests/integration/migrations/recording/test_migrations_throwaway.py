"""A throwaway database: what revisions promise, built where nobody works."""

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from deployments.local.postgres.provisioning import ProvisionedDatabase
from migrations.apply.migrate import upgrade
from migrations.catalog.contents import difference, read_catalog
from migrations.checks.integrity import run_checks
from migrations.database.session import reader
from migrations.drift.comparison import drift_digest, find_drift
from migrations.errors import DatabaseRefused
from migrations.history.revisions import History, history_state
from migrations.recording.throwaway import PREFIX, expected_catalog, throwaway_database
from migrations.restore.restore_point import seal

CORE, HEAD = "20250122_1030", "20251101_0900"


def throwaways(database: ProvisionedDatabase) -> list[str]:
    with psycopg.connect(database.superuser_dsn) as connection:
        rows = connection.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", (PREFIX,))
        return [str(row[0]) for row in rows]


def test_what_revisions_promise_is_what_they_build(database: ProvisionedDatabase) -> None:
    history = History.load()
    upgrade(database.owner_dsn, history, target=HEAD, release_id="r")
    with reader(database.owner_dsn) as connection:
        live = read_catalog(connection)
    promised = expected_catalog(database.owner_dsn, history, (HEAD,))
    # Who may use a table is no part of a revision: default privileges of the database give it.
    assert difference(promised.without("grant"), live.without("grant")) == ()
    before = expected_catalog(database.owner_dsn, history, (CORE,))
    assert [str(one) for one in difference(before, promised)] == [
        'column audit_logs."targetType" added (character varying(100))'
    ]
    assert expected_catalog(database.owner_dsn, history, ()).of_kind("table") == ()


def test_the_core_schema_passes_every_check_and_drift_names_what_was_done_by_hand(
    database: ProvisionedDatabase,
) -> None:
    history = History.load()
    upgrade(database.owner_dsn, history, target=CORE, release_id="r")
    with reader(database.owner_dsn) as connection:
        released = read_catalog(connection)
    point = seal(database.owner_dsn)
    results = run_checks(database.owner_dsn, promised=released, row_counts=point.row_counts)
    assert {one.check: one.violations for one in results if one.violations} == {}
    assert {one.check for one in results} >= {"foreign keys", "indexes", "orphans", "row counts", "duplicate users"}
    with psycopg.connect(database.owner_dsn) as connection:
        connection.execute('ALTER TABLE users ADD COLUMN "byHand" text')
    with reader(database.owner_dsn) as connection:
        state, live = history_state(connection, history, target=HEAD), read_catalog(connection)
    drift = find_drift(live, released, state)
    assert [(one.kind, one.subject) for one in drift] == [("catalogue", 'column users."byHand"'), ("pending", HEAD)]
    assert drift_digest(drift) == drift_digest(reversed(drift))


def test_a_throwaway_database_is_dropped_even_after_a_failure(database: ProvisionedDatabase) -> None:
    def fail() -> None:
        with throwaway_database(database.owner_dsn) as empty:
            name = conninfo_to_dict(empty)["dbname"]
            assert name in throwaways(database)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert throwaways(database) == []


def test_a_leftover_of_a_dead_run_is_named(database: ProvisionedDatabase, caplog: pytest.LogCaptureFixture) -> None:
    old = f"{PREFIX}20250101000000_dead"
    with psycopg.connect(database.superuser_dsn, autocommit=True) as superuser:
        superuser.execute(f'CREATE DATABASE "{old}"'.encode())
        try:
            with throwaway_database(database.owner_dsn):
                pass
        finally:
            superuser.execute(f'DROP DATABASE "{old}"'.encode())
    assert old in caplog.text


def test_a_role_that_may_not_create_databases_is_refused(database: ProvisionedDatabase) -> None:
    with pytest.raises(DatabaseRefused, match="42501"), throwaway_database(database.app_dsn):
        pass
