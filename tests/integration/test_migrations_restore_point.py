"""The restore point: a place in the WAL and a snapshot that speak of the same commits."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict

import psycopg
import pytest
from pydantic import TypeAdapter

from deployments.local.provision import ProvisionedDatabase
from migrations.errors import NoQuietMoment
from migrations.restore_point import Seal, seal
from migrations.snapshot import Snapshot

COMMITS = """
SELECT xid::text::bigint, start_lsn < %(lsn)s::pg_lsn
FROM pg_get_wal_records_info(%(start)s::pg_lsn, pg_current_wal_flush_lsn())
WHERE resource_manager = 'Transaction' AND record_type LIKE 'COMMIT%%'
"""


@contextmanager
def writers(dsn: str, count: int, *, pause_s: float = 0.0) -> Generator[None]:
    """Write small transactions, each with a savepoint; without a pause one is always in flight."""
    stop = threading.Event()

    def work() -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            while not stop.wait(pause_s):
                with connection.transaction():
                    connection.execute("INSERT INTO t DEFAULT VALUES")
                    with connection.transaction():
                        connection.execute("INSERT INTO t DEFAULT VALUES")

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.fixture
def table(database: ProvisionedDatabase) -> Generator[psycopg.Connection]:
    with psycopg.connect(database.superuser_dsn, autocommit=True) as superuser:
        superuser.execute("CREATE EXTENSION pg_walinspect")
        with psycopg.connect(database.owner_dsn) as owner:
            owner.execute("CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY)")
        yield superuser


def now(connection: psycopg.Connection) -> str:
    row = connection.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone()
    assert row is not None
    return str(row[0])


@pytest.mark.parametrize(("pause_s", "quiet_s"), [(0.005, 30), (0.0, 0.0)], ids=["quiet", "in flight"])
def test_every_commit_before_the_place_is_in_the_snapshot_and_none_after(
    database: ProvisionedDatabase, table: psycopg.Connection, pause_s: float, quiet_s: float
) -> None:
    start = now(table)
    with writers(database.owner_dsn, 3, pause_s=pause_s):
        seals = [seal(database.owner_dsn, quiet_s=quiet_s) for _ in range(5)]
    for one in seals:
        snapshot = Snapshot.parse(one.snapshot)
        commits = table.execute(COMMITS, {"lsn": one.lsn, "start": start}).fetchall()
        assert len(commits) > 20
        surely = [(xid, before) for xid, before in commits if xid not in one.in_flight_xids]
        assert [(xid, before) for xid, before in surely if snapshot.sees(xid) is not before] == []
        assert quiet_s == 0 or one.in_flight_xids == ()


def test_rows_are_counted_as_of_the_place(database: ProvisionedDatabase, table: psycopg.Connection) -> None:
    with writers(database.owner_dsn, 2, pause_s=0.005):
        one = seal(database.owner_dsn)
    snapshot = Snapshot.parse(one.snapshot)
    rows = table.execute("SELECT xmin::text::bigint FROM t").fetchall()
    # A savepoint's rows carry an id of their own, which had ended with its transaction.
    assert one.row_counts == {"t": sum(snapshot.sees(xid) for (xid,) in rows)}
    assert one.timeline == 1


def test_a_transaction_that_stays_open_is_listed(database: ProvisionedDatabase, table: psycopg.Connection) -> None:
    with psycopg.connect(database.app_dsn) as idle:
        idle.execute("INSERT INTO t DEFAULT VALUES")
        (xid,) = idle.execute("SELECT pg_current_xact_id()::text::bigint").fetchone() or (0,)
        with writers(database.owner_dsn, 2, pause_s=0.005):
            one = seal(database.owner_dsn, quiet_s=0.05)
        idle.rollback()
    assert one.in_flight_xids == (xid,)
    assert not Snapshot.parse(one.snapshot).sees(xid)


def test_no_quiet_moment_is_an_error_that_may_pass(database: ProvisionedDatabase, table: psycopg.Connection) -> None:
    with psycopg.connect(database.app_dsn) as idle:
        idle.execute("INSERT INTO t DEFAULT VALUES")
        with pytest.raises(NoQuietMoment) as caught:
            seal(database.owner_dsn, quiet_s=10, budget_s=0.05)
    assert caught.value.transient
    assert len(caught.value.running) == 1


def test_a_record_follows_the_place(database: ProvisionedDatabase, table: psycopg.Connection) -> None:
    one = seal(database.owner_dsn)
    found = table.execute(
        "SELECT count(*) FROM pg_get_wal_records_info(%(lsn)s::pg_lsn, pg_current_wal_flush_lsn())"
        " WHERE start_lsn >= %(lsn)s::pg_lsn",
        {"lsn": one.lsn},
    ).fetchone()
    assert found is not None
    assert found[0] >= 1


def test_large_tables_are_estimated_and_the_seal_survives_json(
    database: ProvisionedDatabase, table: psycopg.Connection
) -> None:
    table.execute("INSERT INTO t SELECT FROM generate_series(1, 1000)")
    table.execute("ANALYZE t")
    one = seal(database.owner_dsn, exact_bytes=8192)
    assert (one.row_counts, one.estimated_counts) == ({}, {"t": 1000})
    adapter = TypeAdapter(Seal)
    assert adapter.validate_json(adapter.dump_json(one)) == one
    assert asdict(one)["lsn"] == one.lsn
