"""What a user of the application may try to get at another one's health or money, and does not."""

import secrets
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import sql

from deployments.local.postgres.cluster import Cluster, dsn
from deployments.local.postgres.provisioning import Login, create_login, provision
from migrations.apply.migrate import upgrade
from migrations.checks.security.areas import medical_tables, protected_tables
from migrations.encryption.cipher import KEY_BYTES, KeyRing
from migrations.history.revisions import History
from migrations.protection.role_grants import ensure_roles
from migrations.seeds.initial_rows import SuperAdminIdentity
from migrations.seeds.seeding import seed

each_table = pytest.mark.parametrize("table", protected_tables())
Refused = psycopg.errors.InsufficientPrivilege


@dataclass(frozen=True)
class Place:
    """How each role connects to a seeded database at the head."""

    owner: str
    app: str
    service: str
    owner_role: str


@pytest.fixture(scope="module")
def place(server: Cluster, grant_services: Callable[[str], None]) -> Place:
    name = f"attacks_{secrets.token_hex(4)}"
    owner, app, service = (Login(f"{name}_{kind}", secrets.token_urlsafe(12)) for kind in ("owner", "app", "service"))
    owner_dsn, app_dsn, service_dsn = (
        dsn(server.port, user=one.name, password=one.password, database=name) for one in (owner, app, service)
    )
    with server.connect() as superuser:
        provision(superuser, database=name, owner=owner, app=app)
        create_login(superuser, service)
        # On Neon everybody may make temporary tables and functions.
        grant = sql.SQL("GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}, {}")
        superuser.execute(grant.format(*map(sql.Identifier, (name, app.name, service.name))))
    grant_services(owner.name)
    upgrade(owner_dsn, History.load(), release_id="r")
    with psycopg.connect(owner_dsn) as connection:
        ensure_roles(connection, application=app.name, read_only=f"{name}_ro")
    with psycopg.connect(server.superuser_dsn(name)) as connection:
        connection.execute(sql.SQL("GRANT pilotage_service TO {}").format(sql.Identifier(service.name)))
    seed(owner_dsn, super_admin=SuperAdminIdentity(), size="small", keys=KeyRing([("k", bytes(KEY_BYTES))]))
    with psycopg.connect(owner_dsn, autocommit=True) as connection:
        connection.execute("ANALYZE")
    return Place(owner_dsn, app_dsn, service_dsn, owner.name)


@dataclass(frozen=True)
class Between:
    """Two users with rows in a table, one of them at work as the application."""

    connection: psycopg.Connection
    table: str
    me: object
    other: object
    mine: frozenset[object]
    theirs: object

    def run(self, query: LiteralString, **more: Any) -> psycopg.Cursor[Any]:
        given = {"t": sql.Identifier(self.table), "other": sql.Literal(self.other), "theirs": sql.Literal(self.theirs)}
        return self.connection.execute(sql.SQL(query).format(**given, **more))

    def ids(self, query: LiteralString, **more: Any) -> set[object]:
        return {row[0] for row in self.run(query, **more)}


@contextmanager
def between(place: Place, table: str) -> Generator[Between]:
    with psycopg.connect(place.owner) as owner:
        name = sql.Identifier(table)
        query = sql.SQL('SELECT "userId", array_agg(id) FROM {} GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 2')
        (me, mine), (other, theirs) = owner.execute(query.format(name)).fetchall()
    with psycopg.connect(place.app) as connection:
        connection.execute("SELECT set_config('app.user_id', %s, false)", (str(me),))
        yield Between(connection, table, me, other, frozenset(mine), theirs[0])
        connection.rollback()


LOOKS: dict[str, LiteralString] = {
    "place on disk": "SELECT id FROM {t} WHERE ctid IN (SELECT format('(0,%s)', n)::tid FROM generate_series(1, 99) n)",
    "sample": "SELECT id FROM {t} TABLESAMPLE SYSTEM (100)",
    "cte": "WITH all_of_it AS MATERIALIZED (SELECT * FROM {t}) SELECT id FROM all_of_it",
    "lateral": 'SELECT l.id FROM users u, LATERAL (SELECT * FROM {t} t WHERE t."userId" = u.id) l',
    "union": 'SELECT id FROM {t} UNION ALL SELECT id FROM {t} WHERE "userId" = {other}',
    "outer join": 'SELECT t.id FROM users u FULL JOIN {t} t ON t."userId" = u.id WHERE t.id IS NOT NULL',
    "updated": 'UPDATE {t} SET "updatedAt" = now() WHERE "userId" = {other} OR true RETURNING id',
    "updated by a join": 'UPDATE {t} t SET "updatedAt" = now() FROM users u WHERE t."userId" = u.id RETURNING t.id',
    "not in": 'SELECT id FROM {t} WHERE "userId" NOT IN (SELECT gen_random_uuid())',
    "whole rows": "SELECT (t).id FROM (SELECT t FROM {t} t) all_of_it",
    "for share": "SELECT id FROM {t} FOR SHARE SKIP LOCKED",
}


@each_table
def test_whatever_the_query_a_user_gets_its_own_rows(place: Place, table: str) -> None:
    with between(place, table) as it:
        for name, query in LOOKS.items():
            assert it.ids(query) <= it.mine, name
            if name != "place on disk":
                assert it.ids(query) == it.mine, name
        with it.connection.cursor().copy(
            sql.SQL("COPY (SELECT id FROM {} ORDER BY 1) TO STDOUT").format(sql.Identifier(table))
        ) as copied:
            assert {bytes(line).decode().strip() for line in copied} == {str(one) for one in it.mine}


CHANGES: dict[str, LiteralString] = {
    "update": 'UPDATE {t} SET "updatedAt" = now() WHERE id = {theirs} RETURNING id',
    "delete": "DELETE FROM {t} WHERE id = {theirs} RETURNING id",
    "delete by a join": 'DELETE FROM {t} t USING users u WHERE t."userId" = u.id AND u.id = {other} RETURNING t.id',
    "in a cte": "WITH gone AS (DELETE FROM {t} WHERE id = {theirs} RETURNING id) SELECT id FROM gone",
    "by its place": 'UPDATE {t} SET "updatedAt" = now() WHERE ctid IN (SELECT ctid FROM {t} WHERE id = {theirs})'
    " RETURNING id",
}


@each_table
def test_a_row_of_another_user_is_out_of_reach_of_every_change(place: Place, table: str) -> None:
    with between(place, table) as it:
        for name, query in CHANGES.items():
            assert it.ids(query) == set(), name
        merged = it.run(
            "MERGE INTO {t} t USING (SELECT {theirs}::uuid AS id) s ON t.id = s.id"
            ' WHEN MATCHED THEN UPDATE SET "updatedAt" = now()'
        )
        assert merged.rowcount == 0
        # A copy of one's own row under the key of another's: the row that is in the way stays unseen and as it is.
        it.run("CREATE TEMP TABLE forged ON COMMIT DROP AS SELECT * FROM {t} LIMIT 1")
        it.run("UPDATE forged SET id = {theirs}")
        columns = [c.name for c in it.run("SELECT * FROM forged").description or ()]
        fixed = {
            row[0]
            for row in it.connection.execute(
                "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attgenerated <> ''", (table,)
            )
        }
        names = sql.SQL(", ").join(sql.Identifier(one) for one in columns if one not in fixed)
        forge: LiteralString = "INSERT INTO {t} ({names}) SELECT {names} FROM forged ON CONFLICT"
        assert it.ids(forge + " DO NOTHING RETURNING id", names=names) == set()
        with pytest.raises((Refused, psycopg.errors.UniqueViolation)), it.connection.transaction():
            it.run(forge + ' (id) DO UPDATE SET "updatedAt" = now()', names=names)


FORBIDDEN: dict[str, LiteralString] = {
    "truncate": "TRUNCATE {t}",
    "disable": "ALTER TABLE {t} DISABLE ROW LEVEL SECURITY",
    "drop a policy": "DROP POLICY {policy} ON {t}",
    "add a policy": "CREATE POLICY open ON {t} USING (true)",
    "own it": "ALTER TABLE {t} OWNER TO CURRENT_USER",
    "trigger": "CREATE TRIGGER spy AFTER INSERT ON {t} FOR EACH ROW EXECUTE FUNCTION touch_updated_at()",
    "rule": "CREATE RULE spy AS ON INSERT TO {t} DO ALSO SELECT 1",
    "heir": "CREATE TABLE heir () INHERITS ({t})",
    "temporary heir": "CREATE TEMP TABLE heir () INHERITS ({t})",
    "become the owner": "SET ROLE {owner}",
    "log in as the owner": "SET SESSION AUTHORIZATION {owner}",
    "become a service": "SET ROLE pilotage_service",
    "become a service for good": "GRANT pilotage_service TO CURRENT_USER",
    "let oneself past": "ALTER ROLE CURRENT_USER BYPASSRLS",
    "replicas fire no trigger": "SET session_replication_role = replica",
    "by the server's program": "COPY {t} TO PROGRAM 'cat'",
    "to the server's disk": "COPY {t} TO '/tmp/rows'",
    "from the server's disk": "SELECT pg_read_file('PG_VERSION')",
    "large object": "SELECT lo_import('/etc/hostname')",
    "copy in": "COPY {t} FROM STDIN",
}


@each_table
def test_the_application_cannot_take_the_protection_away(place: Place, table: str) -> None:
    refused = (Refused, psycopg.errors.FeatureNotSupported, psycopg.errors.WrongObjectType)
    with between(place, table) as it:
        for name, statement in FORBIDDEN.items():
            given = {"owner": sql.Identifier(place.owner_role), "policy": sql.Identifier(f"{table}_owner")}
            try:
                with it.connection.transaction():
                    it.run(statement, **given)
            except refused:
                continue
            pytest.fail(name)
        it.run("SET row_security = off")
        with pytest.raises(Refused, match="would be affected"):
            it.run("SELECT id FROM {t}")


@each_table
def test_neither_leaky_functions_nor_statistics_tell_of_rows_of_others(place: Place, table: str) -> None:
    with between(place, table) as it:
        heard: list[str] = []
        it.connection.add_notice_handler(lambda said: heard.append(str(said.message_primary)))
        it.run(
            "CREATE FUNCTION pg_temp.leak(what text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS"
            " $$ BEGIN RAISE NOTICE '%', what; RETURN true; END $$"
        )
        it.run("SELECT 1 FROM {t} WHERE pg_temp.leak({t}::text)")
        assert heard
        assert [line for line in heard if str(it.other) in line] == []
        it.run("""SELECT 1 FROM {t} WHERE 1 / (CASE WHEN "userId" = {other} THEN 0 ELSE 1 END) = 1""")
        assert it.connection.execute("SELECT FROM pg_stats WHERE tablename = %s", (table,)).fetchall() == []
        with pytest.raises(Refused), it.connection.transaction():
            it.run("SELECT stavalues1 FROM pg_statistic WHERE starelid = '{t}'::regclass")


@each_table
def test_what_was_prepared_for_one_user_serves_the_next_with_its_own_rows(place: Place, table: str) -> None:
    with between(place, table) as it:
        it.run("PREPARE looking AS SELECT id FROM {t}")
        it.run("SET plan_cache_mode = force_generic_plan")
        it.run("SET debug_parallel_query = on")
        for _ in range(3):
            assert it.ids("EXECUTE looking") == it.mine
        it.run("SELECT set_config('app.user_id', {other}::text, false)")
        assert it.theirs in it.ids("EXECUTE looking")
        assert it.ids("EXECUTE looking") & it.mine == set()
        it.run("SELECT set_config('app.user_id', '', false)")
        assert it.ids("EXECUTE looking") == set()
        it.run("RESET app.user_id")
        assert it.ids("EXECUTE looking") == set()


@pytest.mark.parametrize("said", ["ana", " ", "' OR true --", "%", "00000000-0000-0000-0000-00000000000"])
def test_a_user_that_is_none_sees_nothing(place: Place, said: str) -> None:
    for table in protected_tables():
        with psycopg.connect(place.app) as connection:
            connection.execute("SELECT set_config('app.user_id', %s, false)", (said,))
            with pytest.raises(psycopg.errors.InvalidTextRepresentation):
                connection.execute(sql.SQL("SELECT id FROM {}").format(sql.Identifier(table)))


@pytest.mark.parametrize("table", medical_tables())
def test_a_service_cannot_have_its_reading_recorded_elsewhere(place: Place, table: str) -> None:
    with between(place, table) as it, psycopg.connect(place.service) as service:
        service.execute("SELECT set_config('app.user_id', %s, false)", (str(it.me),))
        service.execute("CREATE TEMP TABLE audit_logs (LIKE public.audit_logs INCLUDING DEFAULTS)")
        service.execute("SET search_path = pg_temp, public")
        seen = service.execute(sql.SQL("SELECT count(*) FROM public.{}").format(sql.Identifier(table))).fetchone()
        assert seen is not None
        assert seen[0] > len(it.mine)
        recorded = service.execute(
            'SELECT count(*) FROM public.audit_logs WHERE "targetType" = %s AND "adminId" = %s', (table, it.me)
        ).fetchone()
        assert recorded == (1,)
        service.rollback()


def test_nothing_at_the_head_acts_or_shows_with_the_rights_of_its_owner(place: Place) -> None:
    with psycopg.connect(place.owner) as connection:
        assert (
            connection.execute(
                "SELECT proname FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace"
            ).fetchall()
            == []
        )
        assert (
            connection.execute(
                "SELECT relname FROM pg_class WHERE relkind IN ('v', 'm') AND relnamespace = 'public'::regnamespace"
                " AND oid NOT IN (SELECT objid FROM pg_depend WHERE deptype = 'e')"
            ).fetchall()
            == []
        )
