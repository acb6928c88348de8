"""Rows of users' health and money: who sees them, who writes them, and what is written down about it."""

import datetime as dt
import secrets
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Date, Enum, ForeignKeyConstraint, Integer, Numeric, Table
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

from deployments.local.postgres.cluster import Cluster, dsn
from deployments.local.postgres.provisioning import Login, create_login, provision
from migrations.apply.migrate import upgrade
from migrations.catalog.contents import read_catalog
from migrations.database.session import reader
from migrations.encryption.cipher import KeyRing
from migrations.history.revisions import History
from migrations.models import Base
from migrations.protection.role_grants import ensure_roles

TABLES = [table for table in Base.metadata.sorted_tables if table.info.get("protected")]
MEDICAL = [table for table in TABLES if table.info.get("medical")]
NAMES = [table.name for table in TABLES]
ANA, EVA = UUID(int=1), UUID(int=2)
RING = KeyRing([("k1", bytes(32))])

WORDS = {
    "allergies.category": "FOOD",
    "allergies.severity": "MILD",
    "financial_accounts.type": "CHECKING",
    "debts.type": "OTHER",
    "investments.type": "STOCK",
    "recurring_payments.nextDueOn": dt.date(2999, 1, 1),
}

# What must not be twice among the rows of a user.
UNLIKE: dict[str, dict[str, object]] = {
    "financial_accounts": {"name": "other"},
    "budgets": {"category": "other"},
    "medication_logs": {"scheduledFor": dt.datetime(2026, 1, 1)},  # noqa: DTZ001 - the column has no zone.
    "debt_payments": {"transactionId": None},
}

each_table = pytest.mark.parametrize("table", TABLES, ids=NAMES)


def row_id(table: str, user: UUID, nth: int = 0) -> UUID:
    return uuid5(NAMESPACE_OID, f"{table} {user} {nth}")


def parents(table: Table) -> dict[str, str]:
    """The table that each column references together with the user."""
    keys = [key for key in table.constraints if isinstance(key, ForeignKeyConstraint) and len(key.columns) == 2]
    return {key.column_keys[1]: key.elements[1].column.table.name for key in keys}


def value(table: Table, column: Any, user: UUID) -> object:
    where = f"{table.name}.{column.name}"
    if where in WORDS:
        return WORDS[where]
    if column.info.get("encrypted"):
        return RING.encrypt("secret", (table.name, column.name))
    kinds: dict[type, object] = {
        Enum: column.type.enums[0] if isinstance(column.type, Enum) else None,
        Numeric: 10,
        Integer: 1,
        Date: dt.date(2025, 1, 1),
        TIMESTAMP: dt.datetime(2025, 1, 1),  # noqa: DTZ001 - the columns have no zone.
        JSONB: "[]",
    }
    return next((one for kind, one in kinds.items() if isinstance(column.type, kind)), "word")


def row(table: Table, user: UUID, nth: int = 0) -> dict[str, object]:
    """What a row of a user needs, its encrypted columns, and references to the user's other rows."""
    above = parents(table)
    built: dict[str, object] = {"id": row_id(table.name, user, nth), "userId": user}
    for column in table.columns:
        if column.name in above and (table.name, column.name) != ("transactions", "toAccountId"):
            built[column.name] = row_id(above[column.name], user)
        elif column.name not in built and (
            column.info.get("encrypted") or not (column.nullable or column.server_default)
        ):
            built[column.name] = value(table, column, user)
    return built


def insert(connection: psycopg.Connection, table: str, values: dict[str, object]) -> None:
    connection.execute(
        sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(sql.Placeholder() for _ in values),
        ),
        list(values.values()),
    )


@dataclass(frozen=True)
class Place:
    """How each role connects to a database at the head, with a row of each table for two users.

    `app_on_audit_logs` is what the revisions alone leave to the application.
    """

    owner: str
    app: str
    peer: str
    service: str
    read_only: str
    app_on_audit_logs: set[str]


@pytest.fixture(scope="module")
def place(server: Cluster, grant_services: Callable[[str], None]) -> Place:
    name = f"rows_{secrets.token_hex(4)}"
    logins = {
        kind: Login(f"{name}_{kind}", secrets.token_urlsafe(12)) for kind in ("owner", "app", "peer", "service", "ro")
    }
    dsns = {kind: dsn(server.port, user=one.name, password=one.password, database=name) for kind, one in logins.items()}
    with server.connect() as superuser:
        provision(superuser, database=name, owner=logins["owner"], app=logins["app"])
        for kind in ("peer", "service", "ro"):
            create_login(superuser, logins[kind])
        connect = sql.SQL("GRANT CONNECT ON DATABASE {} TO {}, {}")
        superuser.execute(
            connect.format(*(sql.Identifier(one) for one in (name, logins["service"].name, logins["ro"].name)))
        )
        superuser.execute(
            sql.SQL("GRANT {} TO {}").format(sql.Identifier(logins["owner"].name), sql.Identifier(logins["peer"].name))
        )
    grant_services(logins["owner"].name)
    upgrade(dsns["owner"], History.load(), release_id="r")
    roles = {"application": logins["app"].name, "read_only": logins["ro"].name, "service": logins["service"].name}
    with psycopg.connect(dsns["owner"]) as owner:
        left = {
            one
            for one in ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE")
            if number(owner, f"SELECT has_table_privilege('{logins['app'].name}', 'audit_logs', '{one}')")
        }
        ensure_roles(owner, **roles)
        before = granted(dsns["owner"], owner)
        ensure_roles(owner, **roles)
        assert granted(dsns["owner"], owner) == before
        for user in (ANA, EVA):
            owner.execute(
                """INSERT INTO users (id, email, "updatedAt") VALUES (%s, %s, now())""", (user, f"{user}@example.org")
            )
            for table in TABLES:
                insert(owner, table.name, row(table, user))
        for table in NAMES:
            make_ways_round(owner, table)
    return Place(dsns["owner"], dsns["app"], dsns["peer"], dsns["service"], dsns["ro"], left)


def granted(owner: str, connection: psycopg.Connection) -> object:
    connection.commit()
    with reader(owner) as session:
        return read_catalog(session)


def make_ways_round(owner: psycopg.Connection, table: str) -> None:
    names = {"view": sql.Identifier(f"{table}_seen"), "function": sql.Identifier(f"{table}_counted")}
    for statement in (
        "CREATE VIEW {view} WITH (security_invoker) AS SELECT * FROM {table}",
        "CREATE FUNCTION {function}() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM {table}'",
    ):
        owner.execute(sql.SQL(statement).format(table=sql.Identifier(table), **names))


@contextmanager
def acting(dsn: str, user: UUID | None, **settings: str) -> Generator[psycopg.Connection]:
    """A session of a user, of whose transaction nothing stays."""
    with psycopg.connect(dsn) as connection:
        if user is not None:
            connection.execute("SELECT set_config('app.user_id', %s, false)", (str(user),))
        for name, to in settings.items():
            connection.execute("SELECT set_config(%s, %s, false)", (name, to))
        yield connection
        connection.rollback()


def ids(connection: psycopg.Connection, query: str, table: str) -> list[object]:
    found = connection.execute(sql.SQL(query).format(sql.Identifier(table))).fetchall()  # pyright: ignore[reportArgumentType]
    return [one[0] for one in found]


def number(connection: psycopg.Connection, query: str, table: str = "") -> object:
    (one,) = ids(connection, query, table)
    return one


def test_every_table_of_health_and_finance_is_protected(place: Place) -> None:
    assert len(TABLES) == 15
    with psycopg.connect(place.owner) as connection:
        forced = connection.execute(
            """SELECT relname FROM pg_class c WHERE relrowsecurity AND relforcerowsecurity AND ARRAY(
                 SELECT polname::text FROM pg_policy WHERE polrelid = c.oid AND polpermissive AND polcmd = '*'
                 ORDER BY polname) = ARRAY[relname || '_application', relname || '_owner', relname || '_service']"""
        ).fetchall()
    assert sorted(name for (name,) in forced) == sorted(NAMES)


WAYS = {
    "select": "SELECT id FROM {}",
    "by key": f"SELECT id FROM {{}} WHERE \"userId\" IN ('{ANA}', '{EVA}')",
    "join": 'SELECT t.id FROM users u JOIN {} t ON t."userId" = u.id',
    "lock": "SELECT id FROM {} FOR UPDATE",
    "subquery": """SELECT id FROM (
                     SELECT (SELECT max(id::text) FROM {} t WHERE t."userId" = u.id)::uuid AS id FROM users u
                   ) found WHERE id IS NOT NULL""",
}


@each_table
def test_a_user_sees_its_own_rows_only_whatever_the_way(place: Place, table: Table) -> None:
    own = row_id(table.name, ANA)
    with acting(place.app, ANA) as connection:
        for way, query in WAYS.items():
            assert ids(connection, query, table.name) == [own], way
        assert ids(connection, "SELECT id FROM {}", f"{table.name}_seen") == [own]
        assert number(connection, "SELECT {}()", f"{table.name}_counted") == 1
        with connection.cursor().copy(sql.SQL("COPY {} (id) TO STDOUT").format(sql.Identifier(table.name))) as copied:
            assert [bytes(line).decode().strip() for line in copied] == [str(own)]


@each_table
def test_a_user_changes_and_deletes_no_row_of_another(place: Place, table: Table) -> None:
    with acting(place.app, ANA) as connection:
        for change in ('UPDATE {} SET "updatedAt" = now()', "DELETE FROM {}"):
            one = sql.SQL(change + ' WHERE "userId" = {}').format(sql.Identifier(table.name), sql.Literal(EVA))
            assert connection.execute(one).rowcount == 0, change


@each_table
def test_a_user_adds_no_row_for_another(place: Place, table: Table) -> None:
    with acting(place.app, ANA) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level"):
        insert(connection, table.name, row(table, EVA, nth=1))
    with (
        acting(place.app, ANA) as connection,
        pytest.raises(psycopg.errors.FeatureNotSupported, match="COPY FROM"),
        connection.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(table.name))),
    ):
        pass


@each_table
def test_a_user_gives_no_row_to_another(place: Place, table: Table) -> None:
    moved = sql.SQL('UPDATE {} SET "userId" = {}').format(sql.Identifier(table.name), sql.Literal(EVA))
    with acting(place.app, ANA) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level"):
        connection.execute(moved)


@each_table
def test_a_user_writes_its_own_rows(place: Place, table: Table) -> None:
    with acting(place.app, ANA) as connection:
        update = sql.SQL('UPDATE {} SET "updatedAt" = now()').format(sql.Identifier(table.name))
        assert connection.execute(update).rowcount == 1
        # Of a profile there is one.
        if not table.name.endswith("_profiles"):
            insert(connection, table.name, row(table, ANA, nth=1) | UNLIKE.get(table.name, {}))
            assert number(connection, "SELECT count(*) FROM {}", table.name) == 2


def encrypted_columns(table: Table) -> set[str]:
    return {column.name for column in table.columns if column.info.get("encrypted")}


@each_table
@pytest.mark.parametrize("said", ["never", "and taken back"])
def test_nobody_sees_anything_and_nothing_fails(place: Place, table: Table, said: str) -> None:
    with acting(place.app, None) as connection:
        if said == "and taken back":
            connection.execute("SELECT set_config('app.user_id', %s, true)", (str(ANA),))
            connection.commit()
            assert number(connection, "SELECT current_setting('app.user_id', true)") == ""
        assert ids(connection, "SELECT id FROM {}", table.name) == []
        assert connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table.name))).rowcount == 0


@each_table
def test_whoever_belongs_to_the_owner_sees_all_rows(place: Place, table: Table) -> None:
    with acting(place.peer, None) as connection:
        assert number(connection, "SELECT count(*) FROM {}", table.name) == 2
        update = sql.SQL('UPDATE {} SET "userId" = "userId"').format(sql.Identifier(table.name))
        assert connection.execute(update).rowcount == 2


@each_table
def test_a_service_sees_all_rows_and_a_reader_none(place: Place, table: Table) -> None:
    with acting(place.service, ANA) as connection:
        assert number(connection, "SELECT count(*) FROM {}", table.name) == 2
    with acting(place.read_only, ANA) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table.name)))
    with acting(place.read_only, None) as connection:
        assert number(connection, "SELECT count(*) FROM {}", table.name) == 0


@each_table
def test_a_session_that_would_be_filtered_raises_where_it_asks_to(place: Place, table: Table) -> None:
    for role in (place.app, place.peer):
        with (
            acting(role, ANA, row_security="off") as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege, match="would be affected by row-level security"),
        ):
            connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table.name)))


@each_table
def test_the_policies_let_the_index_on_the_user_serve(place: Place, table: Table) -> None:
    with acting(place.app, ANA, enable_seqscan="off") as connection:
        plan = "\n".join(str(line) for line in ids(connection, "EXPLAIN SELECT * FROM {}", table.name))
    assert f"Seq Scan on {table.name}" not in plan
    assert '("userId" = ' in plan


@pytest.mark.parametrize("table", MEDICAL, ids=[table.name for table in MEDICAL])
def test_access_of_a_service_to_health_is_recorded_once_a_statement(place: Place, table: Table) -> None:
    recorded = f"SELECT count(*) FROM audit_logs WHERE action = 'health.access' AND \"targetType\" = '{table.name}'"
    with acting(place.service, EVA) as connection:
        ids(connection, "EXPLAIN SELECT id FROM {}", table.name)
        assert number(connection, recorded) == 0
        ids(connection, "SELECT id FROM {}", table.name)
        assert number(connection, recorded) == 1
        connection.execute(sql.SQL('UPDATE {} SET "updatedAt" = now()').format(sql.Identifier(table.name)))
        assert number(connection, recorded) == 2
        who = connection.execute("""SELECT "adminId", details->>'role' FROM audit_logs""").fetchall()
        assert {one for one, _ in who} == {EVA}
        assert {one for _, one in who} == {connection.info.user}
    with acting(place.service, None) as connection:
        assert ids(connection, "SELECT id FROM {}", table.name) == []
    with acting(place.app, EVA) as connection:
        ids(connection, "SELECT id FROM {}", table.name)
        assert number(connection, recorded) == 0


def test_what_cannot_be_recorded_is_not_shown(place: Place) -> None:
    with acting(place.service, EVA, transaction_read_only="on") as connection:
        assert number(connection, "SELECT count(*) FROM {}", "debts") == 2
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            ids(connection, "SELECT id FROM {}", "medications")


def test_nobody_but_the_owner_changes_what_was_recorded(place: Place) -> None:
    assert place.app_on_audit_logs == {"SELECT", "INSERT"}
    for role in (place.app, place.service):
        with acting(role, ANA) as connection:
            connection.execute("""INSERT INTO audit_logs ("adminId", action) VALUES (%s, 'x')""", (ANA,))
    for role in (place.app, place.service, place.read_only):
        for change in ("UPDATE audit_logs SET action = 'y'", "DELETE FROM audit_logs", "TRUNCATE audit_logs"):
            with acting(role, ANA) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(change.encode())


ENCRYPTED = [
    (table, column)
    for table in Base.metadata.tables.values()
    if table in TABLES or table.name == "mcp_integrations"
    for column in encrypted_columns(table)
]


def test_encrypted_columns_take_ciphertext_alone(place: Place) -> None:
    assert len(ENCRYPTED) >= 30
    with acting(place.owner, None) as connection:
        connection.execute(
            """INSERT INTO mcp_integrations ("userId", provider, account) VALUES (%s, 'notion', 'ana')""", (ANA,)
        )
        for table, column in ENCRYPTED:
            update = sql.SQL("UPDATE {} SET {} = {{}}").format(sql.Identifier(table.name), sql.Identifier(column))
            for plain in ("plain", "", "aesgcm:k1:not base64", "aesgcm::AAAA"):
                with pytest.raises(psycopg.errors.CheckViolation), connection.transaction():
                    connection.execute(sql.SQL(update.as_string()).format(sql.Literal(plain)))  # pyright: ignore[reportArgumentType]
            sealed = RING.encrypt("", (table.name, column))
            connection.execute(sql.SQL(update.as_string()).format(sql.Literal(sealed)))  # pyright: ignore[reportArgumentType]


def test_no_row_references_a_row_of_another_user(place: Place) -> None:
    references = [(table.name, column, parent) for table in TABLES for column, parent in parents(table).items()]
    assert len(references) >= 9
    with acting(place.owner, None) as connection:
        for table, column, parent in references:
            update = sql.SQL('UPDATE {} SET {} = {} WHERE "userId" = {}').format(
                sql.Identifier(table), sql.Identifier(column), sql.Literal(row_id(parent, EVA)), sql.Literal(ANA)
            )
            refused = (psycopg.errors.ForeignKeyViolation, psycopg.errors.CheckViolation)
            with pytest.raises(refused), connection.transaction():
                connection.execute(update)


def test_rows_go_with_their_user_and_an_account_with_a_past_stays(place: Place) -> None:
    with acting(place.app, ANA) as connection:
        with pytest.raises(psycopg.errors.ForeignKeyViolation), connection.transaction():
            connection.execute("DELETE FROM financial_accounts")
        connection.execute("DELETE FROM medical_conditions")
        kept = connection.execute('SELECT "userId", "conditionId" FROM medications').fetchall()
        assert kept == [(ANA, None)]
        connection.execute("DELETE FROM users WHERE id = %s", (EVA,))
        connection.execute("SELECT set_config('app.user_id', %s, false)", (str(EVA),))
        assert {number(connection, "SELECT count(*) FROM {}", table) for table in NAMES} == {0}
