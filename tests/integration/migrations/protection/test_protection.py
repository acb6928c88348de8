"""The head's encrypted columns and protected tables, with rows in them, as the commands see them."""

import base64

import psycopg
import pytest

from deployments.local.postgres.provisioning import ProvisionedDatabase
from migrations.apply.migrate import upgrade
from migrations.checks.security import areas
from migrations.checks.security.checklist import Application, check_database
from migrations.checks.security.finding import State
from migrations.encryption.cipher import KeyRing
from migrations.history.revisions import History
from migrations.protection.encrypted_columns import encrypted_tables
from migrations.protection.key_rotation import rotate_keys

OLD = "k1:" + base64.b64encode(b"1" * 32).decode()
NEW = "k2:" + base64.b64encode(b"2" * 32).decode()
RING = KeyRing.parse(OLD)
VALUES = {
    ("accounts", "access_token"): "ya29.token",
    ("mcp_integrations", "accessToken"): "ntn_token",
    ("mcp_integrations", "refreshToken"): "ntn_refresh",
    ("allergies", "allergen"): "penicilina",
    ("financial_accounts", "accountNumber"): "012180001234567891",
}


@pytest.fixture
def head(database: ProvisionedDatabase) -> ProvisionedDatabase:
    upgrade(database.owner_dsn, History.load(), target="head", release_id="test")
    sealed = {f"{table}_{column}": RING.encrypt(text, (table, column)) for (table, column), text in VALUES.items()}
    with psycopg.connect(database.owner_dsn) as connection:
        row = connection.execute(
            """INSERT INTO users (email, "updatedAt") VALUES ('ana@example.com', now()) RETURNING id"""
        ).fetchone()
        assert row is not None
        given = sealed | {"user": row[0]}
        connection.execute("""INSERT INTO audit_logs ("adminId", action) VALUES (%(user)s, 'user.create')""", given)
        connection.execute(
            """INSERT INTO accounts ("userId", type, provider, "providerAccountId", access_token, "updatedAt")
               VALUES (%(user)s, 'oauth', 'google', '1', %(accounts_access_token)s, now())""",
            given,
        )
        connection.execute(
            """INSERT INTO mcp_integrations ("userId", provider, account, "accessToken", "refreshToken")
               VALUES (%(user)s, 'notion', 'ana', %(mcp_integrations_accessToken)s,
                       %(mcp_integrations_refreshToken)s)""",
            given,
        )
        connection.execute(
            """INSERT INTO allergies ("userId", allergen, category, severity)
               VALUES (%(user)s, %(allergies_allergen)s, 'MEDICATION', 'SEVERE')""",
            given,
        )
        connection.execute(
            """INSERT INTO financial_accounts ("userId", name, type, "accountNumber")
               VALUES (%(user)s, 'Nómina', 'CHECKING', %(financial_accounts_accountNumber)s)""",
            given,
        )
    return database


def test_keys_rotate_through_every_table_of_the_head_and_every_value_stays(head: ProvisionedDatabase) -> None:
    ring = KeyRing.parse(f"{NEW},{OLD}")
    done = rotate_keys(head.owner_dsn, ring)
    assert done.complete
    assert done.missing == ()
    assert {column.context for column in done.columns} == {c for t in encrypted_tables() for c in t.contexts()}
    assert {column.context for column in done.columns if column.rotated} == set(VALUES)
    # Without the old key: nothing of it is left.
    alone = KeyRing.parse(NEW)
    with psycopg.connect(head.owner_dsn) as connection:
        for (table, column), text in VALUES.items():
            row = connection.execute(f'SELECT "{column}" FROM {table}'.encode()).fetchone()
            assert row is not None
            assert alone.decrypt(row[0], (table, column)) == text
            if table == "financial_accounts":
                assert alone.masked(row[0], (table, column)) == "•••• 7891"


def test_the_checklist_holds_on_the_head_as_far_as_the_database_answers_it(head: ProvisionedDatabase) -> None:
    application = Application.of(head.app_dsn, None)
    found = {one.line: one for one in check_database(head.owner_dsn, ring=RING, application=application)}
    for line in (
        "Medical data is encrypted",
        "Financial numbers are encrypted, and masked",
        "Row-level security is enabled",
        "Sensitive actions are in the audit log",
    ):
        assert found[line].state is State.HOLDS, found[line]
    assert "enabled and forced on 15 tables" in found["Row-level security is enabled"].detail
    # Two tokens that nobody has yet are in columns of the first revision, which no CHECK holds to ciphertext.
    tokens = found["OAuth tokens are encrypted"]
    assert (tokens.state, tokens.detail) == (
        State.CANNOT_TELL,
        "empty, and without a CHECK that forces ciphertext: accounts.refresh_token, accounts.id_token",
    )


def test_the_models_mark_fifteen_protected_tables() -> None:
    assert (len(areas.protected_tables()), len(areas.medical_tables()), len(areas.financial_tables())) == (15, 7, 8)
