"""What triggers keep: when a row was changed, a conversation's counts, and how much room a user's files take."""

import secrets
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from uuid import UUID

import psycopg
import pytest

from deployments.local.postgres.cluster import Cluster, dsn
from deployments.local.postgres.provisioning import Login, provision
from migrations.apply.migrate import upgrade
from migrations.history.revisions import History


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


def until_it_waits(app: str, connection: psycopg.Connection, done: Future[None]) -> None:
    """Return once a connection waits for somebody's lock, or does not have to."""
    with psycopg.connect(app, autocommit=True) as watching:
        waits = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
        while not done.done() and not watching.execute(waits, (connection.info.backend_pid,)).fetchone():
            time.sleep(0.01)


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
        until_it_waits(app, connection, made)
        adding.commit()
        made.result(10)
    assert used(connection, user) == (9, 1)


class Talk:
    """A conversation, and how applications write to it."""

    def __init__(self, connection: psycopg.Connection, user: UUID) -> None:
        self.connection = connection
        agent = one(
            connection,
            """INSERT INTO agents ("createdBy", name, slug, category, model, "endpointUrl")
               VALUES (%s, 'a', gen_random_uuid()::text, 'a', 'a', 'a') RETURNING id""",
            user,
        )
        session = one(connection, 'INSERT INTO chat_sessions ("userId") VALUES (%s) RETURNING id', user)
        self.id = one(
            connection,
            """INSERT INTO conversations ("chatSessionId", "agentId", title) VALUES (%s, %s, 'a') RETURNING id""",
            session,
            agent,
        )

    def say(self, connection: psycopg.Connection) -> UUID:
        return one(
            connection,
            """INSERT INTO messages ("conversationId", role, content, "tokensInput", "tokensOutput")
               VALUES (%s, 'user', 'a', 2, 3) RETURNING id""",
            self.id,
        )

    def count(self, connection: psycopg.Connection) -> None:
        connection.execute(
            """UPDATE conversations SET "messageCount" = "messageCount" + 1, "tokenCount" = "tokenCount" + 5
               WHERE id = %s""",
            (self.id,),
        )

    @property
    def counts(self) -> tuple[object, ...] | None:
        return self.connection.execute(
            'SELECT "messageCount", "tokenCount" FROM conversations WHERE id = %s', (self.id,)
        ).fetchone()


@pytest.fixture
def talk(connection: psycopg.Connection, user: UUID) -> Talk:
    return Talk(connection, user)


def test_a_conversation_is_counted_once_whether_the_application_counts_or_not(
    connection: psycopg.Connection, talk: Talk
) -> None:
    with connection.transaction():
        talk.count(connection)
        talk.say(connection)
    assert talk.counts == (1, 5)
    with connection.transaction():
        talk.say(connection)
        talk.count(connection)
    assert talk.counts == (2, 10)
    talk.say(connection)
    assert talk.counts == (3, 15)
    with connection.transaction():
        talk.say(connection)
        with connection.transaction(force_rollback=True):
            talk.say(connection)
        talk.say(connection)
    assert talk.counts == (5, 25)


def test_what_was_counted_within_a_transaction_is_counted_again_after_a_change(
    connection: psycopg.Connection, user: UUID, talk: Talk
) -> None:
    other = Talk(connection, user)
    with connection.transaction():
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        first = talk.say(connection)
        assert talk.counts == (1, 5)
        talk.say(connection)
        assert talk.counts == (2, 10)
        with connection.transaction(force_rollback=True):
            talk.say(connection)
            assert talk.counts == (3, 15)
        assert talk.counts == (2, 10)
        other.say(connection)
        connection.execute("DELETE FROM messages WHERE id = %s", (first,))
        assert (talk.counts, other.counts) == ((1, 5), (1, 5))
    connection.execute(
        """INSERT INTO messages ("conversationId", role, content, "tokensInput")
           SELECT c, 'user', 'a', 1 FROM generate_series(1, 20), unnest(%s) c""",
        ([talk.id, other.id],),
    )
    assert (talk.counts, other.counts) == ((21, 25), (21, 25))


def test_counts_follow_messages_that_are_changed_moved_and_deleted(
    connection: psycopg.Connection, user: UUID, talk: Talk
) -> None:
    other = Talk(connection, user)
    first, second = talk.say(connection), talk.say(connection)
    connection.execute('UPDATE messages SET "tokensOutput" = NULL WHERE id = %s', (first,))
    assert talk.counts == (2, 7)
    connection.execute('UPDATE messages SET "conversationId" = %s WHERE id = %s', (other.id, second))
    assert (talk.counts, other.counts) == ((1, 2), (1, 5))
    connection.execute("DELETE FROM messages WHERE id = %s", (first,))
    assert talk.counts == (0, 0)
    connection.execute("DELETE FROM conversations WHERE id = %s", (other.id,))
    assert other.counts is None


def test_messages_said_at_the_same_time_by_both_kinds_of_application_are_all_counted(app: str, talk: Talk) -> None:
    begin = threading.Barrier(4)

    def write(number: int) -> None:
        with psycopg.connect(app, autocommit=True) as mine:
            begin.wait(10)
            for _ in range(25):
                with mine.transaction():
                    if number % 2:
                        talk.count(mine)
                    talk.say(mine)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, range(4)))
    assert talk.counts == (100, 500)


def test_two_transactions_that_wrote_to_one_conversation_do_not_lock_each_other_out(app: str, talk: Talk) -> None:
    impatient = "-c lock_timeout=2s"
    with psycopg.connect(app, options=impatient) as one_of_them, psycopg.connect(app, options=impatient) as the_other:
        talk.say(one_of_them)
        talk.say(the_other)
        one_of_them.commit()
        the_other.commit()
    assert talk.counts == (2, 10)


def test_a_message_counts_those_of_a_transaction_that_ends_while_it_waits(app: str, talk: Talk) -> None:
    with psycopg.connect(app) as counting, psycopg.connect(app) as waiting, ThreadPoolExecutor(1) as threads:
        talk.say(counting)
        counting.execute("SET CONSTRAINTS ALL IMMEDIATE")
        talk.say(waiting)
        ended = threads.submit(waiting.commit)
        until_it_waits(app, waiting, ended)
        counting.commit()
        ended.result(10)
    assert talk.counts == (2, 10)
