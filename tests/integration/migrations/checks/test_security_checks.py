import base64
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from sqlalchemy import Column, MetaData, Table, Text

from deployments.local.hosting.processes import Spawner
from deployments.local.postgres.cluster import Cluster, data_root, free_port, remove_data_root
from deployments.local.postgres.provisioning import Login, ProvisionedDatabase, provision
from migrations.checks.security import areas
from migrations.checks.security.application_role import check_application_role, check_rows_seen
from migrations.checks.security.audit import check_audit
from migrations.checks.security.checklist import Application, check_database
from migrations.checks.security.encrypted import check_encrypted, check_masked
from migrations.checks.security.finding import Observations, State
from migrations.checks.security.row_security import check_row_security
from migrations.checks.security.tls import TlsState, judge_tls, plain_accepted, read_tls_state
from migrations.database.session import reader
from migrations.encryption.cipher import KeyRing
from migrations.errors import DatabaseUnreachable
from migrations.protection.encrypted_columns import EncryptedTable

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
INSERT INTO audit_logs ("adminId", action) VALUES (gen_random_uuid(), 'user.create');
"""


class Shop:
    """A database in which everything that is checked holds, and a transaction that changes it for one test."""

    def __init__(self, session: psycopg.Connection, owner: str, app: str) -> None:
        self.session = session
        self.owner = owner
        self.app = app

    def run(self, *statements: str) -> None:
        for statement in statements:
            self.session.execute(statement.format(owner=self.owner, app=self.app).encode())

    def keep(self, *values: str | None) -> None:
        with self.session.cursor() as cursor:
            cursor.executemany(
                'INSERT INTO financial_accounts ("userId", number) VALUES (gen_random_uuid(), %s)',
                [(value,) for value in values],
            )

    def numbers(self, ring: KeyRing | None = RING) -> Observations:
        return check_masked(self.session, (NUMBERS,), ring)

    def protected(self, *more: str) -> Observations:
        return check_row_security(self.session, ("financial_accounts", *more), self.app)

    def role(self, name: str | None = None) -> Observations:
        return check_application_role(self.session, name or self.app)

    def audit(self, *medical: str) -> Observations:
        return check_audit(self.session, self.app, medical)


@pytest.fixture(scope="module")
def provisioned(server: Cluster) -> ProvisionedDatabase:
    """A database for all tests of this file; it goes with the server."""
    name = f"security_{secrets.token_hex(4)}"
    with server.connect() as superuser:
        provision(superuser, database=name, owner=Login(f"{name}_owner", "owner"), app=Login(f"{name}_app", "app"))
    made = ProvisionedDatabase(name, f"{name}_owner", f"{name}_app", "", "", server.superuser_dsn(name))
    with psycopg.connect(made.superuser_dsn) as session:
        session.execute(f"SET ROLE {made.owner}".encode())
        session.execute(SCHEMA)
        session.execute(f"REVOKE UPDATE, DELETE, TRUNCATE ON audit_logs FROM {made.app}".encode())
    return made


@pytest.fixture
def shop(provisioned: ProvisionedDatabase) -> Iterator[Shop]:
    with psycopg.connect(provisioned.superuser_dsn) as session:
        yield Shop(session, provisioned.owner, provisioned.app)
        session.rollback()


def state(observations: Observations) -> State:
    return observations.finding("line").state


def test_ciphertext_of_known_keys_holds(shop: Shop) -> None:
    shop.keep(*(RING.encrypt(f"12345678{n}", CONTEXT) for n in range(30)), None)
    found = shop.numbers().finding("numbers")
    assert found.state is State.HOLDS
    assert "30 values of key k1" in found.detail
    assert "masked when shown: financial_accounts.number" in found.detail


def test_one_plain_value_among_many_is_broken_and_not_told(shop: Shop) -> None:
    shop.keep(*(RING.encrypt("1", CONTEXT) for _ in range(30)), "1234567890")
    found = shop.numbers().finding("numbers")
    assert found.state is State.BROKEN
    assert "1 values of financial_accounts.number are not encrypted" in found.detail
    assert "1234567890" not in found.detail


def test_a_key_that_is_not_on_the_ring_is_broken(shop: Shop) -> None:
    shop.keep(RING.encrypt("1", CONTEXT), OTHER.encrypt("2", CONTEXT))
    assert shop.numbers().wrong == ["1 values of financial_accounts.number have the unknown key k9"]


def test_values_of_another_column_are_broken(shop: Shop) -> None:
    shop.keep(RING.encrypt("1", ("debts", "number")), RING.encrypt("2", CONTEXT))
    assert shop.numbers().wrong == ["1 of the 2 values of financial_accounts.number tried do not decrypt with key k1"]


def test_without_keys_what_is_encrypted_cannot_be_told_and_what_is_plain_is_broken(shop: Shop) -> None:
    shop.keep(RING.encrypt("1", CONTEXT))
    assert shop.numbers(None).unknown == ["1 values have key k1: ENCRYPTION_KEYS is not given to try it"]
    shop.keep("1234567890")
    assert state(shop.numbers(None)) is State.BROKEN


def test_an_empty_column_holds_where_a_check_says_what_it_may_hold(shop: Shop) -> None:
    assert shop.numbers().unknown == ["empty, and without a CHECK that forces ciphertext: financial_accounts.number"]
    shop.session.execute(
        "ALTER TABLE financial_accounts ADD CONSTRAINT financial_accounts_number_check"
        " CHECK (number ~ '^aesgcm:[A-Za-z0-9_-]+:[A-Za-z0-9+/]+=*$')"
    )
    found = shop.numbers()
    assert (state(found), found.good[0]) == (State.HOLDS, "1 columns are empty, and take ciphertext alone")


def test_columns_of_a_later_revision_cannot_be_told(shop: Shop) -> None:
    later = EncryptedTable("debts", ("id",), ("number",))
    assert check_encrypted(shop.session, (later,), RING).unknown == [
        "the database has not, at its revision, every encrypted column of debts"
    ]
    assert state(check_encrypted(shop.session, (), RING)) is State.CANNOT_TELL


def test_protected_tables_hold(shop: Shop) -> None:
    assert shop.protected().finding("line").detail == "enabled and forced on 1 tables"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("ALTER TABLE financial_accounts DISABLE ROW LEVEL SECURITY", "row-level security is not enabled"),
        ("ALTER TABLE financial_accounts NO FORCE ROW LEVEL SECURITY", "row-level security is not forced"),
        ("DROP POLICY owner_rows ON financial_accounts", "financial_accounts has no policy"),
        ("CREATE POLICY all_rows ON financial_accounts USING (true)", "policy all_rows lets every row through"),
        ("CREATE POLICY new_rows ON financial_accounts FOR INSERT WITH CHECK (true)", "policy new_rows lets"),
        ("CREATE POLICY theirs ON financial_accounts TO {app} USING (true)", "policy theirs lets every row through"),
        ("CREATE VIEW totals AS SELECT count(*) FROM financial_accounts", "view totals shows financial_accounts"),
        (
            "CREATE VIEW totals WITH (security_invoker = off) AS SELECT number FROM financial_accounts",
            "view totals shows financial_accounts",
        ),
        ("CREATE MATERIALIZED VIEW kept AS SELECT * FROM financial_accounts", "view kept shows financial_accounts"),
    ],
)
def test_what_opens_a_protected_table_is_broken(shop: Shop, change: str, told: str) -> None:
    shop.run(change)
    found = shop.protected().finding("line")
    assert (found.state, told in found.detail) == (State.BROKEN, True), found.detail


@pytest.mark.parametrize(
    "change",
    [
        "CREATE VIEW totals WITH (security_invoker = true) AS SELECT number FROM financial_accounts",
        "CREATE POLICY maintenance ON financial_accounts TO {owner} USING (true)",
        "CREATE POLICY narrow ON financial_accounts AS RESTRICTIVE USING (true)",
    ],
)
def test_what_does_not_open_it_holds(shop: Shop, change: str) -> None:
    shop.run(change)
    assert state(shop.protected()) is State.HOLDS


def test_a_function_that_acts_past_it_cannot_be_told_unless_the_application_may_not_call_it(shop: Shop) -> None:
    shop.run(
        "CREATE FUNCTION total() RETURNS bigint LANGUAGE sql SECURITY DEFINER"
        " AS 'SELECT count(*) FROM financial_accounts'"
    )
    assert shop.protected().unknown == ["total() acts past row-level security, and the application may call it"]
    shop.run("REVOKE EXECUTE ON FUNCTION total() FROM PUBLIC")
    assert state(shop.protected()) is State.HOLDS


def test_a_policy_for_a_role_that_the_application_is_a_member_of_is_broken(shop: Shop) -> None:
    shop.run(
        "CREATE ROLE {app}_group",
        "GRANT {app}_group TO {app}",
        "CREATE POLICY everything ON financial_accounts TO {app}_group USING (true)",
    )
    assert shop.protected().wrong == ["financial_accounts: policy everything lets every row through"]


def test_tables_of_a_later_revision_are_named(shop: Shop) -> None:
    found = shop.protected("debts", "budgets")
    assert found.unknown == ["2 of 3 tables are not there at this revision: budgets, debts"]


def test_the_role_that_is_provisioned_holds(shop: Shop) -> None:
    assert state(shop.role()) is State.HOLDS


@pytest.mark.parametrize("attribute", ["SUPERUSER", "BYPASSRLS", "CREATEROLE", "CREATEDB", "REPLICATION"])
def test_a_role_with_a_power_is_broken(shop: Shop, attribute: str) -> None:
    shop.run("ALTER ROLE {app} " + attribute)
    assert f"{shop.app} has {attribute}" in shop.role().wrong


def test_a_role_that_may_create_or_owns_is_broken(shop: Shop) -> None:
    shop.run("GRANT CREATE ON SCHEMA public TO {app}")
    assert shop.role().wrong == [f"{shop.app} may create tables"]
    shop.run("ALTER TABLE audit_logs OWNER TO {app}")
    assert f"{shop.app} owns 1 tables, views or sequences" in shop.role().wrong


@pytest.mark.parametrize("other", ["{owner}", "pg_write_all_data", "pilotage_service"])
def test_a_member_of_the_owner_or_of_a_powerful_role_is_broken(shop: Shop, other: str) -> None:
    shop.run(f"GRANT {other} TO {{app}}")
    assert f"{shop.app} is a member of {other.format(owner=shop.owner)}" in shop.role().wrong


def test_a_role_that_is_not_known_cannot_be_told(shop: Shop) -> None:
    assert shop.role("nobody_of_that_name").unknown == ["there is no role nobody_of_that_name"]
    assert state(check_application_role(shop.session, None)) is State.CANNOT_TELL
    assert state(check_audit(shop.session, None)) is State.CANNOT_TELL


def test_the_application_sees_nothing_without_a_user(database: ProvisionedDatabase) -> None:
    with psycopg.connect(database.owner_dsn) as connection:
        connection.execute(SCHEMA)
        connection.execute('INSERT INTO financial_accounts ("userId") VALUES (gen_random_uuid())')
    assert state(check_rows_seen(database.app_dsn, ("financial_accounts", "debts"))) is State.HOLDS
    with psycopg.connect(database.owner_dsn) as connection:
        connection.execute("CREATE POLICY hidden ON financial_accounts USING (id > 0)")
    assert check_rows_seen(database.app_dsn, ("financial_accounts",)).wrong == [
        "the application sees rows of financial_accounts without naming a user"
    ]
    seen = check_rows_seen(make_conninfo(database.app_dsn, password="not-it-77"), ("financial_accounts",))
    assert (state(seen), "not-it-77" in seen.unknown[0]) == (State.CANNOT_TELL, False)


def test_an_audit_log_that_only_grows_holds(shop: Shop) -> None:
    found = shop.audit().finding("line")
    assert (found.state, "the newest entry is of" in found.detail) == (State.HOLDS, True), found.detail


@pytest.mark.parametrize(
    ("grant", "event"),
    [("UPDATE", "UPDATE"), ("UPDATE (action)", "UPDATE"), ("DELETE", "DELETE"), ("TRUNCATE", "TRUNCATE")],
)
def test_an_audit_log_that_can_be_changed_is_broken(shop: Shop, grant: str, event: str) -> None:
    shop.run(f"GRANT {grant} ON audit_logs TO {{app}}")
    assert shop.audit().wrong == [f"{shop.app} has {event} on audit_logs: it must be append-only"]


def test_a_trigger_that_refuses_makes_it_append_only_too(shop: Shop) -> None:
    shop.run(
        "GRANT UPDATE, DELETE ON audit_logs TO {app}",
        """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN RAISE EXCEPTION 'append only'; END $$""",
        "CREATE TRIGGER kept BEFORE UPDATE ON audit_logs FOR EACH ROW EXECUTE FUNCTION refuse()",
    )
    assert shop.audit().wrong == [f"{shop.app} has DELETE on audit_logs: it must be append-only"]
    shop.run("CREATE TRIGGER there BEFORE DELETE ON audit_logs FOR EACH ROW EXECUTE FUNCTION refuse()")
    assert state(shop.audit()) is State.HOLDS
    shop.run("ALTER TABLE audit_logs DISABLE TRIGGER kept")
    assert shop.audit().wrong == [f"{shop.app} has UPDATE on audit_logs: it must be append-only"]


def test_a_trail_that_goes_with_its_user_is_broken(shop: Shop) -> None:
    shop.run(
        "CREATE TABLE users (id uuid PRIMARY KEY)",
        'INSERT INTO users SELECT "adminId" FROM audit_logs',
        'ALTER TABLE audit_logs ADD CONSTRAINT by_whom FOREIGN KEY ("adminId") REFERENCES users ON DELETE CASCADE',
    )
    assert shop.audit().wrong == ["by_whom deletes the entries of whom adminId names, when that user is deleted"]


def test_reads_of_medical_tables_by_services_must_be_recorded(shop: Shop) -> None:
    shop.run(
        'CREATE TABLE allergies ("userId" uuid)',
        "CREATE FUNCTION record_medical_access(accessed text) RETURNS uuid LANGUAGE sql AS 'SELECT NULL::uuid'",
    )
    assert shop.audit("allergies", "later").wrong == ["who reads allergies as a service is not recorded"]
    shop.run("""CREATE POLICY service ON allergies USING ("userId" > (SELECT record_medical_access('allergies')))""")
    assert state(shop.audit("allergies", "later")) is State.HOLDS


def test_an_application_that_cannot_record_is_broken_and_an_empty_log_cannot_be_told(shop: Shop) -> None:
    shop.run("TRUNCATE audit_logs")
    assert state(shop.audit()) is State.CANNOT_TELL
    shop.run("REVOKE INSERT ON audit_logs FROM {app}")
    assert shop.audit().wrong == [f"{shop.app} may not add to audit_logs"]
    shop.run("DROP TABLE audit_logs")
    assert shop.audit().unknown == ["there is no table audit_logs at this revision"]


def test_lines_are_about_the_tables_that_the_models_mark() -> None:
    metadata = MetaData()
    medical = {"protected": True, "medical": True}
    Table("allergies", metadata, Column("name", Text, info={"encrypted": True}), info=medical)
    Table("debts", metadata, Column("number", Text, info={"encrypted": True}), info={"protected": True})
    Table("budgets", metadata, Column("name", Text), info={"protected": True})
    Table("users", metadata, Column("name", Text))
    assert areas.protected_tables(metadata) == ("allergies", "budgets", "debts")
    assert areas.medical_tables(metadata) == ("allergies",)
    assert areas.financial_tables(metadata) == ("budgets", "debts")
    assert [one.name for one in areas.encrypted_in(areas.financial_tables(metadata), metadata)] == ["debts"]


FORCED = {"the owner": "require", "the application": "verify-full"}


@pytest.mark.parametrize(
    ("found", "state_of_it", "told"),
    [
        (TlsState("ep-1.neon.tech", FORCED, True, False), State.HOLDS, "the server refuses what is not"),
        (TlsState("127.0.0.1", {"the owner": "disable"}, False, None), State.HOLDS, "127.0.0.1 is this machine"),
        (TlsState("/var/run/postgresql", {"the owner": "prefer"}, False, None), State.HOLDS, "is this machine"),
        (
            TlsState("127.0.0.1.example.com", {"the owner": "prefer"}, True, False),
            State.BROKEN,
            "of the owner does not",
        ),
        (
            TlsState("localhost.example.com", {"the owner": "prefer"}, True, False),
            State.BROKEN,
            "of the owner does not",
        ),
        (
            TlsState("ep-1", FORCED | {"the application": "prefer"}, True, False),
            State.BROKEN,
            "of the application does not",
        ),
        (TlsState("ep-1", FORCED, False, False), State.BROKEN, "this session is not encrypted"),
        (TlsState("ep-1", FORCED, True, True), State.BROKEN, "the server takes connections without TLS"),
        (TlsState("ep-1", FORCED, True, None), State.CANNOT_TELL, "did not answer a connection without TLS"),
        (TlsState("ep-1", FORCED, None, False), State.CANNOT_TELL, "does not tell whether this session"),
    ],
)
def test_tls_must_be_forced_on_every_way_that_leaves_the_machine(
    found: TlsState, state_of_it: State, told: str
) -> None:
    finding = judge_tls(found).finding("line")
    assert (finding.state, told in finding.detail) == (state_of_it, True), finding.detail


def test_a_session_on_loopback_is_not_knocked_at(provisioned: ProvisionedDatabase) -> None:
    strings = {"the owner": provisioned.superuser_dsn, "the application": "host=127.0.0.1 user=app"}
    with reader(provisioned.superuser_dsn) as connection:
        found = read_tls_state(connection, strings)
    assert found == TlsState("127.0.0.1", {"the owner": "disable", "the application": "prefer"}, False, None)


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


def test_an_empty_database_can_tell_nothing_but_the_way_to_it(database: ProvisionedDatabase) -> None:
    findings = check_database(database.owner_dsn, ring=None, application=Application(database.app))
    assert [one.state for one in findings] == [State.CANNOT_TELL] * 5 + [State.HOLDS]


def test_one_line_that_fails_leaves_the_others(database: ProvisionedDatabase) -> None:
    with psycopg.connect(database.owner_dsn) as connection:
        connection.execute("CREATE TABLE audit_logs (at timestamp)")
    findings = check_database(database.owner_dsn, ring=RING, application=Application(database.app))
    audited = {one.line: one for one in findings}["Sensitive actions are in the audit log"]
    assert (audited.state, 'column "timestamp" does not exist' in audited.detail) == (State.CANNOT_TELL, True)
    assert findings[-1].state is State.HOLDS


def test_a_role_is_read_from_the_application_s_string() -> None:
    known = Application.of("postgresql://app:sec-91@127.0.0.1/shop", None)
    assert known.role == "app"
    assert "sec-91" not in repr(known)
    assert Application.of("postgresql://app:sec-91@127.0.0.1/shop", "other").role == "other"
    with pytest.raises(DatabaseUnreachable) as caught:
        Application.of("postgresql://app:sec-91@[", None)
    assert "sec-91" not in str(caught.value)
