"""The restore point: a place in the WAL and a snapshot that speak of the same commits."""

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict

import psycopg
import pytest
from psycopg import sql
from pydantic import TypeAdapter

from deployments.local.postgres.provisioning import ProvisionedDatabase
from migrations.errors import NoQuietMoment
from migrations.restore import restore_point
from migrations.restore.restore_point import Seal, seal
from migrations.restore.transaction_snapshot import Snapshot

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
    # One of the writers may have been in flight with it.
    assert xid in one.in_flight_xids
    assert not any(Snapshot.parse(one.snapshot).sees(each) for each in one.in_flight_xids)


def test_no_quiet_moment_is_an_error_that_may_pass(database: ProvisionedDatabase, table: psycopg.Connection) -> None:
    with psycopg.connect(database.app_dsn) as idle:
        idle.execute("INSERT INTO t DEFAULT VALUES")
        with pytest.raises(NoQuietMoment) as caught:
            seal(database.owner_dsn, quiet_s=10, budget_s=0.05)
    assert caught.value.transient
    assert len(caught.value.running) == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"default_transaction_isolation": "repeatable read"},
        {"default_transaction_isolation": "serializable", "default_transaction_deferrable": "on"},
        {"default_transaction_isolation": "serializable", "default_transaction_read_only": "on"},
    ],
)
@pytest.mark.parametrize("whose", ["DATABASE", "ROLE"])
def test_a_commit_between_snapshot_and_place_is_seen_whatever_a_session_is_set_to(
    database: ProvisionedDatabase,
    table: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, str],
    whose: str,
) -> None:
    writer = psycopg.connect(database.owner_dsn, autocommit=True)
    for name, value in settings.items():
        named = database.name if whose == "DATABASE" else database.owner
        table.execute(f"ALTER {whose} {named} SET {name} = '{value}'".encode())
    # The place is read a while after its statement has begun, as long as it sees no row.
    slow = "SELECT pg_current_wal_insert_lsn()::text, 1 FROM pg_sleep((SELECT 2 * (count(*) = 0)::int FROM public.t))"
    monkeypatch.setattr(restore_point, "_PLACE", slow)
    xids: list[int] = []

    def commit_meanwhile() -> None:
        sleeps = (
            "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
        )
        while writer.execute(sleeps).fetchone() != (True,):
            time.sleep(0.01)
        row = writer.execute("INSERT INTO t DEFAULT VALUES RETURNING xmin::text::bigint").fetchone()
        xids.append(row[0] if row else 0)

    thread = threading.Thread(target=commit_meanwhile)
    thread.start()
    one = seal(database.owner_dsn)
    thread.join()
    writer.close()
    assert one.attempts > 1
    assert Snapshot.parse(one.snapshot).sees(xids[0])
    assert one.row_counts == {"t": 1}


@pytest.mark.parametrize(
    ("change", "stands"),
    [
        ("DROP TABLE changing", ()),
        ("ALTER TABLE changing RENAME TO other", ()),
        ("ALTER TABLE changing RENAME TO other; CREATE TABLE changing (id int)", ()),
        ("ALTER TABLE changing SET SCHEMA apart", ()),
        ("DROP TABLE changing; CREATE VIEW changing AS SELECT 1 AS id", ()),
        ("TRUNCATE changing", ()),
        ("ALTER TABLE changing ALTER COLUMN id TYPE bigint", ()),
        ("CREATE TABLE later (id int)", ("changing",)),
        ("INSERT INTO changing VALUES (4)", ("changing",)),
    ],
)
def test_a_table_that_changes_while_rows_are_counted_is_estimated(
    database: ProvisionedDatabase,
    table: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
    stands: tuple[str, ...],
) -> None:
    with psycopg.connect(database.owner_dsn, autocommit=True) as owner:
        owner.execute("CREATE SCHEMA apart; CREATE TABLE changing (id int); INSERT INTO changing VALUES (1), (2), (3)")
        owner.execute("ANALYZE changing")
        count = restore_point._count  # pyright: ignore[reportPrivateUsage]

        def meanwhile(counting: psycopg.Connection, exact_bytes: int) -> tuple[dict[str, int], dict[str, int]]:
            owner.execute(change.encode())
            return count(counting, exact_bytes)

        monkeypatch.setattr(restore_point, "_count", meanwhile)
        one = seal(database.owner_dsn)
    assert one.row_counts == {"t": 0, **dict.fromkeys(stands, 3)}
    assert one.estimated_counts == ({} if stands else {"changing": 3})


def test_a_table_that_goes_between_the_list_and_its_count_is_estimated(
    database: ProvisionedDatabase, table: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(database.owner_dsn, autocommit=True) as owner:
        owner.execute("CREATE TABLE going (id int); INSERT INTO going VALUES (1); CREATE TABLE zoo (id int)")
        counted = restore_point._counted  # pyright: ignore[reportPrivateUsage]

        def meanwhile(counting: psycopg.Connection, named: sql.Identifier, oid: int, file: int) -> int | None:
            owner.execute("DROP TABLE IF EXISTS going")
            return counted(counting, named, oid, file)

        monkeypatch.setattr(restore_point, "_counted", meanwhile)
        one = seal(database.owner_dsn)
    assert (one.row_counts, list(one.estimated_counts)) == ({"t": 0, "zoo": 0}, ["going"])


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
