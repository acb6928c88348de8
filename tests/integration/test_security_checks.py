import base64
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from sqlalchemy import Column, MetaData, Table, Text

from deployments.local.postgres import Cluster, data_root, free_port, remove_data_root
from deployments.local.processes import Spawner
from deployments.local.provision import ProvisionedDatabase
from migrations.checks.security import Application, State, areas, check_database
from migrations.checks.security.application_role import check_application_role, check_rows_seen
from migrations.checks.security.audit import check_audit
from migrations.checks.security.encrypted import check_encrypted, check_masked
from migrations.checks.security.finding import Gathered
from migrations.checks.security.row_security import check_row_security
from migrations.checks.security.tls import Way, judge, plain_accepted, way
from migrations.encrypted_columns import EncryptedTable
from migrations.encryption import KeyRing
from migrations.errors import DatabaseUnreachable
from migrations.session import reader

RING = KeyRing.parse("k1:" + base64.b64encode(b"1" * 32).decode())
OTHER = KeyRing.parse("k9:" + base64.b64encode(b"9" * 32).decode())
NUMBERS = EncryptedTable("financial_accounts", ("id",), ("number",), ("number",))
CONTEXT = ("financial_accounts", "number")

SCHEMA = """
CREATE TABLE financial_accounts (
  id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "userId" uuid NOT NULL, number text
);
ALTER TABLE financial_accounts ENABLE ROW LEVEL SECURITY;
ALTER TABLE financial_accounts FORCE ROW LEVEL SECURITY;
CREATE POLICY owner_rows ON financial_accounts
  USING ("userId" = NULLIF(current_setting('app.user_id', true), '')::uuid);
CREATE TABLE audit_logs ("adminId" uuid NOT NULL, action text NOT NULL, "timestamp" timestamp DEFAULT now());
"""


@pytest.fixture
def shop(database: ProvisionedDatabase) -> ProvisionedDatabase:
    """A database in which everything that is checked holds."""
    execute(database, SCHEMA, f"REVOKE UPDATE, DELETE, TRUNCATE ON audit_logs FROM {database.app}")
    execute(database, """INSERT INTO audit_logs ("adminId", action) VALUES (gen_random_uuid(), 'user.create')""")
    return database


def execute(database: ProvisionedDatabase, *statements: str, superuser: bool = False) -> None:
    with psycopg.connect(database.superuser_dsn if superuser else database.owner_dsn) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def keep(database: ProvisionedDatabase, *values: str | None) -> None:
    with psycopg.connect(database.owner_dsn) as connection, connection.cursor() as cursor:
        cursor.executemany(
            'INSERT INTO financial_accounts ("userId", number) VALUES (gen_random_uuid(), %s)',
            [(value,) for value in values],
        )


def numbers(database: ProvisionedDatabase, ring: KeyRing | None = RING) -> Gathered:
    with reader(database.owner_dsn) as connection:
        return check_masked(connection, (NUMBERS,), ring)


def protected(database: ProvisionedDatabase, *more: str) -> Gathered:
    with reader(database.owner_dsn) as connection:
        return check_row_security(connection, ("financial_accounts", *more), database.app)


def role(database: ProvisionedDatabase, name: str | None = None) -> Gathered:
    with reader(database.owner_dsn) as connection:
        return check_application_role(connection, name or database.app)


def audit(database: ProvisionedDatabase) -> Gathered:
    with reader(database.owner_dsn) as connection:
        return check_audit(connection, database.app)


def state(gathered: Gathered) -> State:
    return gathered.finding("line").state


def test_ciphertext_of_known_keys_holds(shop: ProvisionedDatabase) -> None:
    keep(shop, *(RING.encrypt(f"12345678{n}", CONTEXT) for n in range(30)), None)
    found = numbers(shop).finding("numbers")
    assert found.state is State.HOLDS
    assert "financial_accounts.number: 30 values of key k1" in found.detail
    assert "masked when shown: financial_accounts.number" in found.detail


def test_one_plain_value_among_many_is_broken_and_not_told(shop: ProvisionedDatabase) -> None:
    keep(shop, *(RING.encrypt("1", CONTEXT) for _ in range(30)), "1234567890")
    found = numbers(shop).finding("numbers")
    assert found.state is State.BROKEN
    assert "1 values of financial_accounts.number are not encrypted" in found.detail
    assert "1234567890" not in found.detail


def test_a_key_that_is_not_on_the_ring_is_broken(shop: ProvisionedDatabase) -> None:
    keep(shop, RING.encrypt("1", CONTEXT), OTHER.encrypt("2", CONTEXT))
    assert numbers(shop).wrong == ["1 values of financial_accounts.number have the unknown key k9"]


def test_values_of_another_column_are_broken(shop: ProvisionedDatabase) -> None:
    keep(shop, RING.encrypt("1", ("debts", "number")))
    assert numbers(shop).wrong == ["1 of 20 values of financial_accounts.number do not decrypt with key k1"]


def test_without_keys_what_is_encrypted_cannot_be_told_and_what_is_plain_is_broken(shop: ProvisionedDatabase) -> None:
    keep(shop, RING.encrypt("1", CONTEXT))
    assert state(numbers(shop, None)) is State.CANNOT_TELL
    keep(shop, "1234567890")
    assert state(numbers(shop, None)) is State.BROKEN


def test_an_empty_column_holds_where_a_check_says_what_it_may_hold(shop: ProvisionedDatabase) -> None:
    assert state(numbers(shop)) is State.CANNOT_TELL
    execute(
        shop,
        "ALTER TABLE financial_accounts ADD CONSTRAINT financial_accounts_number_check"
        " CHECK (number ~ '^aesgcm:[A-Za-z0-9_-]+:[A-Za-z0-9+/]+=*$')",
    )
    found = numbers(shop)
    assert (state(found), "is empty, and takes ciphertext alone" in found.good[0]) == (State.HOLDS, True)


def test_columns_of_a_later_revision_cannot_be_told(shop: ProvisionedDatabase) -> None:
    later = EncryptedTable("debts", ("id",), ("number",))
    with reader(shop.owner_dsn) as connection:
        assert check_encrypted(connection, (later,), RING).unknown == [
            "the database has not, at its revision, every encrypted column of debts"
        ]
        assert state(check_encrypted(connection, (), RING)) is State.CANNOT_TELL


def test_protected_tables_hold(shop: ProvisionedDatabase) -> None:
    assert protected(shop).finding("line").detail == "enabled and forced on 1 tables"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("ALTER TABLE financial_accounts DISABLE ROW LEVEL SECURITY", "row-level security is not enabled"),
        ("ALTER TABLE financial_accounts NO FORCE ROW LEVEL SECURITY", "row-level security is not forced"),
        ("DROP POLICY owner_rows ON financial_accounts", "financial_accounts has no policy"),
        ("CREATE POLICY all_rows ON financial_accounts USING (true)", "policy all_rows lets every row through"),
        ("CREATE POLICY new_rows ON financial_accounts FOR INSERT WITH CHECK (true)", "policy new_rows lets"),
        ("CREATE VIEW totals AS SELECT count(*) FROM financial_accounts", "view totals shows financial_accounts"),
        (
            "CREATE VIEW totals WITH (security_invoker = off) AS SELECT number FROM financial_accounts",
            "view totals shows financial_accounts",
        ),
        ("CREATE MATERIALIZED VIEW kept AS SELECT * FROM financial_accounts", "view kept shows financial_accounts"),
    ],
)
def test_what_opens_a_protected_table_is_broken(shop: ProvisionedDatabase, change: str, told: str) -> None:
    execute(shop, change)
    found = protected(shop).finding("line")
    assert (found.state, told in found.detail) == (State.BROKEN, True), found.detail


@pytest.mark.parametrize(
    "change",
    [
        "CREATE VIEW totals WITH (security_invoker = true) AS SELECT number FROM financial_accounts",
        "CREATE POLICY maintenance ON financial_accounts TO {owner} USING (true)",
        "CREATE POLICY narrow ON financial_accounts AS RESTRICTIVE USING (true)",
    ],
)
def test_what_does_not_open_it_holds(shop: ProvisionedDatabase, change: str) -> None:
    execute(shop, change.format(owner=shop.owner))
    assert state(protected(shop)) is State.HOLDS


def test_a_policy_for_a_role_that_the_application_is_a_member_of_is_broken(shop: ProvisionedDatabase) -> None:
    group = f"{shop.app}_group"
    execute(shop, f"CREATE ROLE {group}", f"GRANT {group} TO {shop.app}", superuser=True)
    execute(shop, f"CREATE POLICY everything ON financial_accounts TO {group} USING (true)")
    try:
        assert protected(shop).wrong == ["financial_accounts: policy everything lets every row through"]
    finally:
        execute(shop, "DROP POLICY everything ON financial_accounts")
        execute(shop, f"DROP ROLE {group}", superuser=True)


def test_tables_of_a_later_revision_are_named(shop: ProvisionedDatabase) -> None:
    found = protected(shop, "debts", "budgets")
    assert found.unknown == ["2 of 3 tables are not there at this revision: budgets, debts"]


def test_the_role_that_is_provisioned_holds(shop: ProvisionedDatabase) -> None:
    assert state(role(shop)) is State.HOLDS


@pytest.mark.parametrize("attribute", ["SUPERUSER", "BYPASSRLS", "CREATEROLE", "CREATEDB", "REPLICATION"])
def test_a_role_with_a_power_is_broken(shop: ProvisionedDatabase, attribute: str) -> None:
    execute(shop, f"ALTER ROLE {shop.app} {attribute}", superuser=True)
    assert f"{shop.app} has {attribute}" in role(shop).wrong


def test_a_role_that_may_create_or_owns_is_broken(shop: ProvisionedDatabase) -> None:
    execute(shop, f"GRANT CREATE ON SCHEMA public TO {shop.app}")
    assert role(shop).wrong == [f"{shop.app} may create tables"]
    execute(shop, f"ALTER TABLE audit_logs OWNER TO {shop.app}", superuser=True)
    assert f"{shop.app} owns 1 tables, views or sequences" in role(shop).wrong


@pytest.mark.parametrize("other", ["{owner}", "pg_write_all_data"])
def test_a_member_of_the_owner_or_of_a_powerful_role_is_broken(shop: ProvisionedDatabase, other: str) -> None:
    name = other.format(owner=shop.owner)
    execute(shop, f"GRANT {name} TO {shop.app}", superuser=True)
    assert f"{shop.app} is a member of {name}" in role(shop).wrong


def test_a_role_that_is_not_known_cannot_be_told(shop: ProvisionedDatabase) -> None:
    assert role(shop, "nobody_of_that_name").unknown == ["there is no role nobody_of_that_name"]
    with reader(shop.owner_dsn) as connection:
        assert state(check_application_role(connection, None)) is State.CANNOT_TELL
        assert state(check_audit(connection, None)) is State.CANNOT_TELL


def test_the_application_sees_nothing_without_a_user(shop: ProvisionedDatabase) -> None:
    keep(shop, "1")
    assert state(check_rows_seen(shop.app_dsn, ("financial_accounts", "debts"))) is State.HOLDS
    execute(shop, "CREATE POLICY hidden ON financial_accounts USING (id > 0)")
    assert check_rows_seen(shop.app_dsn, ("financial_accounts",)).wrong == [
        "the application sees rows of financial_accounts without naming a user"
    ]


def test_looking_as_an_application_that_cannot_log_in_cannot_be_told(shop: ProvisionedDatabase) -> None:
    seen = check_rows_seen(make_conninfo(shop.app_dsn, password="not-it-77"), ("financial_accounts",))
    assert state(seen) is State.CANNOT_TELL
    assert "not-it-77" not in seen.unknown[0]


def test_an_audit_log_that_only_grows_holds(shop: ProvisionedDatabase) -> None:
    found = audit(shop).finding("line")
    assert (found.state, "the newest entry is of" in found.detail) == (State.HOLDS, True), found.detail


@pytest.mark.parametrize(
    ("grant", "event"),
    [("UPDATE", "UPDATE"), ("UPDATE (action)", "UPDATE"), ("DELETE", "DELETE"), ("TRUNCATE", "TRUNCATE")],
)
def test_an_audit_log_that_can_be_changed_is_broken(shop: ProvisionedDatabase, grant: str, event: str) -> None:
    execute(shop, f"GRANT {grant} ON audit_logs TO {shop.app}")
    assert audit(shop).wrong == [f"{shop.app} has {event} on audit_logs: it must be append-only"]


def test_a_trigger_that_refuses_makes_it_append_only_too(shop: ProvisionedDatabase) -> None:
    execute(
        shop,
        f"GRANT UPDATE, DELETE ON audit_logs TO {shop.app}",
        """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN RAISE EXCEPTION 'append only'; END $$""",
        "CREATE TRIGGER kept BEFORE UPDATE ON audit_logs FOR EACH ROW EXECUTE FUNCTION refuse()",
    )
    assert audit(shop).wrong == [f"{shop.app} has DELETE on audit_logs: it must be append-only"]
    execute(shop, "CREATE TRIGGER there BEFORE DELETE ON audit_logs FOR EACH ROW EXECUTE FUNCTION refuse()")
    assert state(audit(shop)) is State.HOLDS
    execute(shop, "ALTER TABLE audit_logs DISABLE TRIGGER kept")
    assert audit(shop).wrong == [f"{shop.app} has UPDATE on audit_logs: it must be append-only"]


def test_a_trail_that_goes_with_its_user_is_broken(shop: ProvisionedDatabase) -> None:
    execute(
        shop,
        "CREATE TABLE users (id uuid PRIMARY KEY)",
        'INSERT INTO users SELECT "adminId" FROM audit_logs',
        'ALTER TABLE audit_logs ADD CONSTRAINT by_whom FOREIGN KEY ("adminId") REFERENCES users ON DELETE CASCADE',
    )
    assert audit(shop).wrong == ["by_whom deletes the entries of whom adminId names, when that user is deleted"]


def test_reads_of_medical_tables_by_services_must_be_recorded(shop: ProvisionedDatabase) -> None:
    def medical() -> Gathered:
        with reader(shop.owner_dsn) as connection:
            return check_audit(connection, shop.app, ("allergies", "later"))

    execute(
        shop,
        'CREATE TABLE allergies ("userId" uuid)',
        "CREATE FUNCTION record_medical_access(accessed text) RETURNS uuid LANGUAGE sql AS 'SELECT NULL::uuid'",
    )
    assert medical().wrong == ["who reads allergies as a service is not recorded"]
    execute(
        shop, """CREATE POLICY service ON allergies USING ("userId" > (SELECT record_medical_access('allergies')))"""
    )
    assert state(medical()) is State.HOLDS


def test_lines_are_about_the_tables_that_the_models_mark() -> None:
    metadata = MetaData()
    Table(
        "allergies", metadata, Column("name", Text, info={"encrypted": True}), info={"protected": True, "medical": True}
    )
    Table("debts", metadata, Column("number", Text, info={"encrypted": True}), info={"protected": True})
    Table("budgets", metadata, Column("name", Text), info={"protected": True})
    Table("users", metadata, Column("name", Text))
    assert areas.protected_tables(metadata) == ("allergies", "budgets", "debts")
    assert areas.medical_tables(metadata) == ("allergies",)
    assert areas.financial_tables(metadata) == ("budgets", "debts")
    assert [one.name for one in areas.encrypted_in(areas.financial_tables(metadata), metadata)] == ["debts"]


def test_an_application_that_cannot_record_is_broken_and_an_empty_log_cannot_be_told(
    shop: ProvisionedDatabase,
) -> None:
    execute(shop, "TRUNCATE audit_logs")
    assert state(audit(shop)) is State.CANNOT_TELL
    execute(shop, f"REVOKE INSERT ON audit_logs FROM {shop.app}")
    assert audit(shop).wrong == [f"{shop.app} may not add to audit_logs"]
    execute(shop, "DROP TABLE audit_logs")
    assert audit(shop).unknown == ["there is no table audit_logs at this revision"]


FORCED = {"the owner": "require", "the application": "verify-full"}


@pytest.mark.parametrize(
    ("found", "state_of_it", "told"),
    [
        (Way("ep-1.neon.tech", FORCED, True, False), State.HOLDS, "the server refuses what is not"),
        (Way("127.0.0.1", {"the owner": "disable"}, False, None), State.HOLDS, "127.0.0.1 is this machine"),
        (Way("/var/run/postgresql", {"the owner": "prefer"}, False, None), State.HOLDS, "is this machine"),
        (Way("ep-1", FORCED | {"the application": "prefer"}, True, False), State.BROKEN, "of the application does not"),
        (Way("ep-1", FORCED, False, False), State.BROKEN, "this session is not encrypted"),
        (Way("ep-1", FORCED, True, True), State.BROKEN, "the server takes connections without TLS"),
        (Way("ep-1", FORCED, True, None), State.CANNOT_TELL, "did not answer a connection without TLS"),
        (Way("ep-1", FORCED, None, False), State.CANNOT_TELL, "does not tell whether this session"),
    ],
)
def test_tls_must_be_forced_on_every_way_that_leaves_the_machine(found: Way, state_of_it: State, told: str) -> None:
    finding = judge(found).finding("line")
    assert (finding.state, told in finding.detail) == (state_of_it, True), finding.detail


def test_a_session_on_loopback_is_not_knocked_at(shop: ProvisionedDatabase) -> None:
    with reader(shop.owner_dsn) as connection:
        found = way(connection, {"the owner": shop.owner_dsn, "the application": shop.app_dsn})
    assert found == Way("127.0.0.1", {"the owner": "disable", "the application": "disable"}, False, None)


@pytest.fixture
def closed_door(tmp_path: Path, spawner: Spawner) -> Iterator[Cluster]:
    """A server that turns away whoever comes to `template1` without TLS."""
    cluster = Cluster.create(data_root(tmp_path) / "closed", spawner=spawner)
    cluster.start(free_port(), settings={"archive_mode": "off"})
    rules = cluster.data / "pg_hba.conf"
    rules.write_text(f"hostnossl template1 all all reject\n{rules.read_text()}")
    cluster.scalar("SELECT pg_reload_conf()")
    yield cluster
    cluster.stop("immediate")
    remove_data_root(tmp_path)


def test_a_server_that_refuses_plain_connections_is_told_from_one_that_takes_them(closed_door: Cluster) -> None:
    assert plain_accepted(closed_door.superuser_dsn("postgres")) is True
    assert plain_accepted(make_conninfo(closed_door.superuser_dsn("postgres"), password="wrong")) is True
    turns = 0
    # The server reads its rules again when it gets to it.
    while plain_accepted(closed_door.superuser_dsn("template1")) and turns < 200:
        turns += 1
        time.sleep(0.02)
    assert plain_accepted(closed_door.superuser_dsn("template1")) is False


def test_what_a_database_can_answer_is_answered_at_the_first_revision_too(database: ProvisionedDatabase) -> None:
    findings = check_database(database.owner_dsn, ring=None, application=Application(database.app))
    assert [one.state for one in findings] == [State.CANNOT_TELL] * 5 + [State.HOLDS]


def test_one_line_that_fails_leaves_the_others(shop: ProvisionedDatabase) -> None:
    execute(shop, 'ALTER TABLE audit_logs RENAME "timestamp" TO at')
    findings = {one.line: one for one in check_database(shop.owner_dsn, ring=RING, application=Application(shop.app))}
    audited = findings["Sensitive actions are in the audit log"]
    assert (audited.state, 'column "timestamp" does not exist' in audited.detail) == (State.CANNOT_TELL, True)
    assert findings["Connections force TLS"].state is State.HOLDS


def test_a_role_is_read_from_the_application_s_string(shop: ProvisionedDatabase) -> None:
    known = Application.of(shop.app_dsn, None)
    assert known.role == shop.app
    assert shop.app_dsn not in repr(known)
    assert Application.of(shop.app_dsn, "other").role == "other"
    with pytest.raises(DatabaseUnreachable) as caught:
        Application.of("postgresql://app:sec-91@[", None)
    assert "sec-91" not in str(caught.value)
