import base64
import json
import threading
import uuid
from typing import Any

import psycopg
import pytest
import typer
from typer.testing import CliRunner

from deployments.local.postgres.provisioning import ProvisionedDatabase
from flows.cli.encryption import rotate_keys as command
from migrations.apply.migrate import upgrade
from migrations.encryption.cipher import KeyRing, key_id
from migrations.errors import DatabaseRefused
from migrations.history.revisions import VERSIONS, History
from migrations.protection import key_rotation
from migrations.protection.encrypted_columns import EncryptedTable, encrypted_tables
from migrations.protection.key_rotation import Rotation, rotate_keys

KEYS = {name: base64.b64encode(name.encode() * 16).decode() for name in ("k1", "k2", "k3")}
TOKENS = ("access_token", "refresh_token")


def ring(*names: str) -> KeyRing:
    return KeyRing.parse(",".join(f"{name}:{KEYS[name]}" for name in names))


@pytest.fixture
def phase_one(database: ProvisionedDatabase) -> ProvisionedDatabase:
    upgrade(database.owner_dsn, History.load(VERSIONS), target="20250122_1030", release_id="test")
    with psycopg.connect(database.owner_dsn) as connection:
        connection.execute("""INSERT INTO users (email, "updatedAt") VALUES ('ana@example.com', now())""")
    return database


def add(database: ProvisionedDatabase, *tokens: tuple[str | None, str | None]) -> None:
    with psycopg.connect(database.owner_dsn) as connection, connection.cursor() as cursor:
        cursor.executemany(
            """INSERT INTO accounts ("userId", type, provider, "providerAccountId", access_token, refresh_token,
                                     "updatedAt")
               SELECT id, 'oauth', 'google', %s, %s, %s, now() FROM users""",
            [(str(uuid.uuid4()), *pair) for pair in tokens],
        )


def kept(database: ProvisionedDatabase, column: str) -> list[str]:
    with psycopg.connect(database.owner_dsn) as connection:
        query = f"SELECT {column} FROM accounts WHERE {column} IS NOT NULL".encode()
        return [str(row[0]) for row in connection.execute(query)]


def tallies(done: Rotation) -> dict[str, tuple[int, int]]:
    return {column.context[1]: (column.rotated, column.encrypted) for column in done.columns}


def context(column: str) -> tuple[str, str]:
    return ("accounts", column)


def test_everything_is_encrypted_with_the_first_key_and_still_says_the_same(phase_one: ProvisionedDatabase) -> None:
    old = ring("k1")
    add(
        phase_one,
        *((old.encrypt(f"access {n}", context("access_token")), None) for n in range(23)),
        ("plain access", "plain refresh"),
        (None, ring("k2").encrypt("new already", context("refresh_token"))),
    )
    before = set(kept(phase_one, "refresh_token"))
    new = ring("k2", "k1")
    done = rotate_keys(phase_one.owner_dsn, new, batch_rows=5)
    assert done.complete
    assert tallies(done) == {"access_token": (23, 1), "refresh_token": (0, 1), "id_token": (0, 0)}
    after = kept(phase_one, "access_token")
    assert {key_id(value) for value in [*after, *kept(phase_one, "refresh_token")]} == {"k2"}
    assert sorted(new.decrypt(value, context("access_token")) for value in after) == sorted(
        [*(f"access {n}" for n in range(23)), "plain access"]
    )
    # What the first key had encrypted is left as it was.
    assert len(before & set(kept(phase_one, "refresh_token"))) == 1


def test_a_second_run_changes_nothing(phase_one: ProvisionedDatabase) -> None:
    add(phase_one, ("plain", "plain too"))
    rotate_keys(phase_one.owner_dsn, ring("k1"))
    first = kept(phase_one, "access_token")
    done = rotate_keys(phase_one.owner_dsn, ring("k1"))
    assert set(tallies(done).values()) == {(0, 0)}
    assert kept(phase_one, "access_token") == first


def test_a_dry_run_counts_and_writes_nothing(phase_one: ProvisionedDatabase) -> None:
    add(phase_one, (ring("k1").encrypt("token", context("access_token")), "plain"))
    before = kept(phase_one, "access_token") + kept(phase_one, "refresh_token")
    done = rotate_keys(phase_one.owner_dsn, ring("k2", "k1"), dry_run=True)
    assert tallies(done) == {"access_token": (1, 0), "refresh_token": (0, 1), "id_token": (0, 0)}
    assert kept(phase_one, "access_token") + kept(phase_one, "refresh_token") == before


def test_values_of_an_unknown_key_are_named_and_left_and_the_rest_is_done(phase_one: ProvisionedDatabase) -> None:
    lost = ring("k3").encrypt("lost", context("access_token"))
    add(phase_one, (lost, "plain"), *(("plain", None) for _ in range(3)))
    done = rotate_keys(phase_one.owner_dsn, ring("k2", "k1"), batch_rows=2)
    assert not done.complete
    assert done.left == 0
    assert [(one.context, dict(one.unknown)) for one in done.columns if one.unknown] == [
        (context("access_token"), {"k3": 1})
    ]
    assert tallies(done) == {"access_token": (0, 3), "refresh_token": (0, 1), "id_token": (0, 0)}
    assert lost in kept(phase_one, "access_token")


@pytest.mark.parametrize("spoilt", ["aesgcm:k1:AAAA", "aesgcm:k1:" + "A" * 60, "aesgcm:"])
def test_what_looks_like_ciphertext_and_is_none_is_not_encrypted_as_if_it_were_text(
    phase_one: ProvisionedDatabase, spoilt: str
) -> None:
    add(phase_one, (spoilt, None))
    done = rotate_keys(phase_one.owner_dsn, ring("k2", "k1"))
    assert not done.complete
    assert [one.unreadable for one in done.columns if one.context == context("access_token")] == [1]
    assert kept(phase_one, "access_token") == [spoilt]


def test_tables_that_the_revision_lacks_are_told(phase_one: ProvisionedDatabase) -> None:
    absent = EncryptedTable("mcp_integrations", ("id",), ("accessToken",))
    accounts = next(table for table in encrypted_tables() if table.name == "accounts")
    partly = EncryptedTable("accounts", ("id",), (*accounts.columns, "newer_token"))
    done = rotate_keys(phase_one.owner_dsn, ring("k1"), tables=(absent, partly))
    assert done.missing == (("mcp_integrations", "accessToken"), ("accounts", "newer_token"))
    assert done.complete


def test_the_models_mark_the_tokens_of_accounts() -> None:
    accounts = next(table for table in encrypted_tables() if table.name == "accounts")
    assert set(accounts.columns) == {"access_token", "refresh_token", "id_token"}
    assert accounts.key == ("id",)


def test_a_write_while_keys_rotate_is_neither_waited_for_nor_lost(
    phase_one: ProvisionedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(phase_one, *((f"plain {n}", None) for n in range(10)))
    new = ring("k1")
    written = new.encrypt("written meanwhile", context("access_token"))
    with psycopg.connect(phase_one.owner_dsn) as writer:
        writer.execute("UPDATE accounts SET access_token = %s WHERE access_token = 'plain 4'", (written,))

        # The pass goes round the row that the writer holds; the writer commits before the next one.
        def commit(_: float) -> None:
            writer.commit()

        monkeypatch.setattr(key_rotation.time, "sleep", commit)
        done = rotate_keys(phase_one.owner_dsn, new, batch_rows=3)
    assert done.complete
    assert tallies(done)["access_token"] == (0, 9)
    texts = sorted(new.decrypt(value, context("access_token")) for value in kept(phase_one, "access_token"))
    assert texts == sorted(["written meanwhile", *(f"plain {n}" for n in range(10) if n != 4)])


def test_rows_that_stay_locked_are_counted_as_left(
    phase_one: ProvisionedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = ring("k3").encrypt("lost", context("access_token"))
    add(phase_one, *((f"plain {n}", None) for n in range(4)), (lost, None))
    monkeypatch.setattr(key_rotation, "_BETWEEN_PASSES_S", 0.0)
    with psycopg.connect(phase_one.owner_dsn) as writer:
        writer.execute("SELECT FROM accounts WHERE access_token IN ('plain 1', 'plain 2') FOR UPDATE")
        done = rotate_keys(phase_one.owner_dsn, ring("k1"))
        writer.rollback()
    assert (done.left, done.complete) == (2, False)
    # However often the table was gone through, a value is counted once.
    assert [dict(one.unknown) for one in done.columns if one.unknown] == [{"k3": 1}]
    assert rotate_keys(phase_one.owner_dsn, ring("k1")).left == 0


def test_no_write_of_a_busy_application_is_lost(
    phase_one: ProvisionedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_rotation, "_BETWEEN_PASSES_S", 0.0)
    add(phase_one, *((f"0 {n}", None) for n in range(60)))
    new = ring("k1")
    written: dict[uuid.UUID, str] = {}
    begun, stop = threading.Event(), threading.Event()

    def write() -> None:
        with psycopg.connect(phase_one.owner_dsn, autocommit=True) as connection:
            ids = [row[0] for row in connection.execute("SELECT id FROM accounts ORDER BY id")]
            turn = 0
            while not stop.is_set() or turn < 2 * len(ids):
                turn += 1
                account = ids[turn * 7 % len(ids)]
                text = f"{turn} {account}"
                value = text if turn % 2 else new.encrypt(text, context("access_token"))
                connection.execute("UPDATE accounts SET access_token = %s WHERE id = %s", (value, account))
                written[account] = text
                begun.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert begun.wait(10)
        for _ in range(3):
            rotate_keys(phase_one.owner_dsn, new, batch_rows=7)
    finally:
        stop.set()
        writer.join()
    assert rotate_keys(phase_one.owner_dsn, new).complete
    with psycopg.connect(phase_one.owner_dsn) as connection:
        rows = connection.execute("SELECT id, access_token FROM accounts").fetchall()
    assert {account: new.decrypt(value, context("access_token")) for account, value in rows} == written


def test_rows_that_row_level_security_would_hide_raise_instead(phase_one: ProvisionedDatabase) -> None:
    add(phase_one, ("plain", None))
    with psycopg.connect(phase_one.superuser_dsn) as superuser:
        superuser.execute("ALTER TABLE accounts ENABLE ROW LEVEL SECURITY")
        superuser.execute("ALTER TABLE accounts FORCE ROW LEVEL SECURITY")
        superuser.execute(f'ALTER ROLE "{phase_one.owner}" NOBYPASSRLS'.encode())
    with pytest.raises(DatabaseRefused, match="row-level security"):
        rotate_keys(phase_one.owner_dsn, ring("k1"))


def run(*arguments: str) -> tuple[int, str, str]:
    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.stdout, " ".join(result.stderr.split())


@pytest.fixture
def given(phase_one: ProvisionedDatabase, monkeypatch: pytest.MonkeyPatch) -> ProvisionedDatabase:
    monkeypatch.setenv("DATABASE_URL", phase_one.owner_dsn)
    monkeypatch.setenv("ENCRYPTION_KEYS", f"k2:{KEYS['k2']},k1:{KEYS['k1']}")
    monkeypatch.setenv("COLUMNS", "120")
    return phase_one


def test_the_command_tells_each_column_in_json(given: ProvisionedDatabase) -> None:
    add(given, ("plain", ring("k1").encrypt("token", context("refresh_token"))))
    code, said, _ = run("--environment", "development", "--json")
    told: dict[str, Any] = json.loads(said)
    assert code == 0
    assert (told["key"], told["complete"], told["rows_left"]) == ("k2", True, 0)
    columns = {one["column"]: (one["rotated"], one["encrypted"]) for one in told["columns"]}
    assert columns == {"access_token": (0, 1), "refresh_token": (1, 0), "id_token": (0, 0)}


def test_the_command_ends_with_1_where_a_key_is_unknown(given: ProvisionedDatabase) -> None:
    add(given, (ring("k3").encrypt("lost", context("access_token")), None))
    code, said, _ = run("--environment", "development")
    assert code == 1
    assert "1 of the unknown key k3" in said
    assert "Add the keys that are missing to ENCRYPTION_KEYS" in said


def test_the_command_says_that_a_dry_run_wrote_nothing(given: ProvisionedDatabase) -> None:
    add(given, ("plain", None))
    code, said, _ = run("--environment", "development", "--dry-run")
    assert (code, "Nothing was written." in said) == (0, True)
    assert kept(given, "access_token") == ["plain"]


def test_the_command_without_keys_says_what_to_set(given: ProvisionedDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENCRYPTION_KEYS", f"k2:{KEYS['k2'][:-4]}")
    code, _, said = run("--environment", "development", "--database-url", given.owner_dsn)
    assert code == 1
    assert "ENCRYPTION_KEYS" in said
    assert KEYS["k2"][:-4] not in said
