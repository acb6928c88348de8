"""What triggers keep: when a row was changed, and how much room a user's files take."""

import secrets
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import psycopg
import pytest

from deployments.local.postgres import Cluster, dsn
from deployments.local.provision import Login, provision
from migrations.apply import upgrade
from migrations.history import History


@pytest.fixture(scope="module")
def app(server: Cluster) -> str:
    """The application's connection string to a database at the head."""
    name = f"triggers_{secrets.token_hex(4)}"
    owner, app = Login(f"{name}_owner", secrets.token_urlsafe(12)), Login(f"{name}_app", secrets.token_urlsafe(12))
    with server.connect() as superuser:
        provision(superuser, database=name, owner=owner, app=app)
    history = History.load()
    upgrade(dsn(server.port, user=owner.name, password=owner.password, database=name), history, release_id="r")
    return dsn(server.port, user=app.name, password=app.password, database=name)


@pytest.fixture
def connection(app: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(app, autocommit=True) as opened:
        yield opened


@pytest.fixture
def user(connection: psycopg.Connection) -> UUID:
    return add_user(connection)


def add_user(connection: psycopg.Connection) -> UUID:
    return one(
        connection,
        """INSERT INTO users (email, "updatedAt") VALUES (gen_random_uuid() || '@example.org', now()) RETURNING id""",
    )


def one(connection: psycopg.Connection, query: str, *values: object) -> UUID:
    row = connection.execute(query.encode(), values).fetchone()
    assert row is not None
    return row[0]


def add_file(connection: psycopg.Connection, user: UUID, size: int) -> UUID:
    return one(
        connection,
        """INSERT INTO storage_files ("userId", name, "mimeType", "sizeBytes", checksum, "storageKey")
           VALUES (%s, 'a', 'text/plain', %s, repeat('0', 64), gen_random_uuid()::text) RETURNING id""",
        user,
        size,
    )


def add_quota(connection: psycopg.Connection, user: UUID) -> None:
    connection.execute(
        """INSERT INTO storage_quotas ("userId", "maxStorage", "maxFileSize", "maxFiles", "usedFiles")
           VALUES (%s, 1000, 100, 10, 7)""",
        (user,),
    )


def used(connection: psycopg.Connection, user: UUID) -> tuple[object, ...] | None:
    return connection.execute(
        'SELECT "usedStorage", "usedFiles" FROM storage_quotas WHERE "userId" = %s', (user,)
    ).fetchone()


def test_a_changed_row_says_when_unless_the_statement_does(connection: psycopg.Connection, user: UUID) -> None:
    folder = one(
        connection,
        """INSERT INTO storage_folders ("userId", name, "updatedAt") VALUES (%s, 'a', '2020-01-01') RETURNING id""",
        user,
    )

    def changed(how: str) -> str:
        query = f'UPDATE storage_folders SET {how} WHERE id = %s RETURNING "updatedAt"'
        return str(one(connection, query, folder))

    assert changed("name = 'b'") > "2026"
    assert changed("""name = 'c', "updatedAt" = '2021-01-01'""") == "2021-01-01 00:00:00"


def test_a_quota_follows_the_files_of_its_user(connection: psycopg.Connection, user: UUID) -> None:
    before = add_file(connection, user, 5)
    add_quota(connection, user)
    assert used(connection, user) == (5, 1)
    after = add_file(connection, user, 10)
    assert used(connection, user) == (15, 2)
    connection.execute('UPDATE storage_files SET "sizeBytes" = 30 WHERE id = %s', (after,))
    assert used(connection, user) == (35, 2)
    connection.execute('UPDATE storage_files SET "deletedAt" = now() WHERE id = %s', (before,))
    assert used(connection, user) == (30, 1)
    connection.execute("DELETE FROM storage_files WHERE id = %s", (before,))
    assert used(connection, user) == (30, 1)
    heir = add_user(connection)
    add_quota(connection, heir)
    connection.execute('UPDATE storage_files SET "userId" = %s WHERE id = %s', (heir, after))
    assert (used(connection, user), used(connection, heir)) == ((0, 0), (30, 1))
    connection.execute('DELETE FROM storage_files WHERE "userId" = %s', (heir,))
    assert used(connection, heir) == (0, 0)


def test_a_file_copied_in_counts_and_a_user_can_be_deleted_with_files(
    connection: psycopg.Connection, user: UUID
) -> None:
    add_quota(connection, user)
    with connection.cursor().copy(
        'COPY storage_files ("userId", name, "mimeType", "sizeBytes", checksum, "storageKey") FROM STDIN'
    ) as copy:
        for _ in range(100):
            copy.write_row((user, "a", "text/plain", 2, "0" * 64, secrets.token_hex(8)))
    assert used(connection, user) == (200, 100)
    connection.execute("DELETE FROM users WHERE id = %s", (user,))
    assert used(connection, user) is None


def test_uploads_at_the_same_time_are_all_counted(app: str, connection: psycopg.Connection, user: UUID) -> None:
    other = add_user(connection)
    add_quota(connection, user)
    begin = threading.Barrier(4)

    def upload(number: int) -> None:
        with psycopg.connect(app, autocommit=True) as mine:
            begin.wait(10)
            for _ in range(25):
                mine.execute(
                    """INSERT INTO storage_files ("userId", name, "mimeType", "sizeBytes", checksum, "storageKey")
                       SELECT u, 'a', 'text/plain', 3, repeat('0', 64), gen_random_uuid()::text FROM unnest(%s) u""",
                    ([user, other] if number % 2 else [other, user],),
                )
                if number == 0 and used(mine, other) is None:
                    add_quota(mine, other)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(upload, range(4)))
    assert (used(connection, user), used(connection, other)) == ((300, 100), (300, 100))


def test_a_quota_made_while_a_file_is_added_waits_for_it(app: str, connection: psycopg.Connection, user: UUID) -> None:
    with psycopg.connect(app) as adding, ThreadPoolExecutor(1) as threads:
        add_file(adding, user, 9)
        made = threads.submit(add_quota, connection, user)
        with psycopg.connect(app, autocommit=True) as watching:
            while (
                not made.done()
                and not watching.execute(
                    "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'",
                    (connection.info.backend_pid,),
                ).fetchone()
            ):
                time.sleep(0.01)
        adding.commit()
        made.result(10)
    assert used(connection, user) == (9, 1)
