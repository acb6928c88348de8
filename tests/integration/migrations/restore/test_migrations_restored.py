"""Seal, recovery and receipt on real clusters: the three agree on every row, while several sessions write."""

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from deployments.local.hosting.processes import Spawner
from deployments.local.postgres.backup import parse_lsn, recover, take_base
from deployments.local.postgres.cluster import Cluster, data_root, free_port, remove_data_root
from migrations.restore.receipt_of_writes import receipt
from migrations.restore.restore_point import Seal, seal


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, spawner: Spawner) -> Generator[Cluster]:
    """A cluster with a base, and a table that is written to."""
    state: Path = tmp_path_factory.mktemp("sealed")
    cluster = Cluster.create(data_root(state) / "source", spawner=spawner)
    cluster.start(free_port())
    with psycopg.connect(cluster.superuser_dsn(), autocommit=True) as connection:
        connection.execute("CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int DEFAULT 0)")
        connection.execute("INSERT INTO t (n) SELECT 0 FROM generate_series(1, 300)")
    take_base(cluster)
    yield cluster
    cluster.stop("immediate")
    remove_data_root(state)


@contextmanager
def writers(dsn: str, count: int) -> Generator[None]:
    stop = threading.Event()

    def work(own: int) -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            round_ = 0
            while not stop.wait(0.004):
                round_ += 1
                # Each writer keeps to rows of its own among the first 300.
                mine = own * 100 + round_ % 99 + 1
                with connection.transaction():
                    connection.execute("INSERT INTO t (n) VALUES (%s)", (own,))
                    with connection.transaction():
                        connection.execute("UPDATE t SET n = n + 1 WHERE id = %s", (mine,))
                if round_ % 7 == 0:
                    connection.execute(
                        "DELETE FROM t WHERE id = (SELECT min(id) FROM t WHERE n = %s AND id > 300)", (own,)
                    )

    threads = [threading.Thread(target=work, args=(own,)) for own in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def rows(dsn: str) -> dict[int, int]:
    with psycopg.connect(dsn) as connection:
        return dict(connection.execute("SELECT id, n FROM t").fetchall())


def let_write(dsn: str, more: int) -> None:
    """Wait until the writers have inserted so many rows more."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        wanted = _newest(connection) + more
        while _newest(connection) < wanted:
            pass


def _newest(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT max(id) FROM t").fetchone()
    return int(row[0]) if row else 0


def agree(source: Cluster, spawner: Spawner, point: Seal, folder: Path) -> dict[int, int]:
    """Recover the source to a seal, and hold the receipt against a comparison of all rows."""
    restored = recover(source, parse_lsn(point.lsn), source.folder.parent / folder.name)
    try:
        before, after = rows(restored.superuser_dsn()), rows(source.superuser_dsn())
        listed = folder / "receipt.jsonl"
        made = receipt(restored.superuser_dsn(), source.superuser_dsn(), point, to=listed)
    finally:
        restored.stop("immediate")
    found: dict[str, set[int]] = {"inserted": set(), "updated": set(), "deleted": set()}
    for line in listed.read_text().splitlines():
        row = json.loads(line)
        found[row["change"]].add(int(row["key"]["id"]))
    assert found == {
        "inserted": after.keys() - before.keys(),
        "updated": {key for key in before.keys() & after.keys() if before[key] != after[key]},
        "deleted": before.keys() - after.keys(),
    }
    assert all(found.values())
    assert (made.inserted, made.updated, made.deleted) == tuple(len(found[k]) for k in found)
    return before


def test_recovery_has_the_rows_that_the_seal_counted_and_the_receipt_has_the_rest(
    source: Cluster, spawner: Spawner, tmp_path: Path
) -> None:
    dsn = source.superuser_dsn()
    with writers(dsn, 3):
        points: list[Seal] = []
        for _ in range(3):
            let_write(dsn, 60)
            points.append(seal(dsn))
        let_write(dsn, 60)
    for place, point in enumerate(points):
        folder = tmp_path / f"restored-{place}"
        folder.mkdir()
        before = agree(source, spawner, point, folder)
        assert point.in_flight_xids == ()
        assert point.row_counts == {"t": len(before)}


def test_what_was_in_flight_at_the_seal_is_on_the_receipt_and_not_in_the_recovery(
    source: Cluster, spawner: Spawner, tmp_path: Path
) -> None:
    dsn = source.superuser_dsn()
    with psycopg.connect(dsn) as slow:
        with slow.transaction():
            row = slow.execute("UPDATE t SET n = -1 WHERE id = 100 RETURNING pg_current_xact_id()::text").fetchone()
            assert row is not None
            with slow.transaction():
                # A savepoint that has ended keeps no lock on its id: nothing lists it.
                slow.execute("UPDATE t SET n = -2 WHERE id = 200")
            with writers(dsn, 2):
                let_write(dsn, 30)
                point = seal(dsn, quiet_s=0.1)
                let_write(dsn, 30)
        # One of the writers may have been under way too: beside the slow one no moment is quiet.
        assert int(row[0]) in point.in_flight_xids
    folder = tmp_path / "in-flight"
    folder.mkdir()
    before = agree(source, spawner, point, folder)
    assert before[100] != -1
    assert before[200] != -2
    assert rows(dsn)[200] == -2
