"""Rehearsals beside the stand-in application under traffic: what would break it is named by its own statement."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from deployments.local.supervisor.running import RunningPlatform
from deployments.local.traffic.run import run_traffic
from migrations.apply.migrate import upgrade
from migrations.database.session import connect, reader
from migrations.errors import RevisionFailed
from migrations.history.revisions import History
from migrations.plan.planned_revisions import make_plan
from migrations.rehearsal.compatibility.observed_statements import Application, running_application
from migrations.rehearsal.compatibility.schema_comparison import (
    ApplicationBaseline,
    Compatibility,
    compare,
    take_baseline,
)
from migrations.rehearsal.dress_rehearsal import rehearse
from migrations.rehearsal.evidence import Evidence
from tasks import builds, connections, record
from tasks.acts import Act

HEAD, CASE = "20250122_1030", "20251231_0900"

SAY = 'INSERT INTO messages ("conversationId", role, content, "tokensInput")'
TRAIL = 'INSERT INTO audit_logs ("adminId", action, "targetId")'
NEWEST = 'SELECT id, title, "messageCount"'
SIGN_UP = "INSERT INTO users (email, name"
AGENTS = "SELECT id, slug, name, category, model"
BEGIN = 'INSERT INTO conversations ("chatSessionId", "agentId", title'


@dataclass(frozen=True)
class Producing:
    """A copy of a production that served traffic, and what its application sent.

    Attributes:
        dsn: the copy's owner.
        server: a database of the same server, to make others from.
        application: what the application sent.
        before: how it stands with the copy as it is.
        revisions: the folder of the revisions that stand.
    """

    dsn: str
    server: str
    application: Application
    before: ApplicationBaseline
    revisions: Path


@pytest.fixture(scope="module")
def producing(
    bring_up: Callable[[], AbstractContextManager[RunningPlatform]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Producing]:
    folder = tmp_path_factory.mktemp("producing")
    with bring_up() as platform, pytest.MonkeyPatch.context() as patch:
        for name, value in platform.env.items():
            patch.setenv(name, value)
        patch.setenv("PILOTAGE_CACHE_FOLDER", str(folder / "cache"))
        settings = connections.settings()
        commit = connections.repository(settings).resolve("v1")
        history = connections.history(settings, commit)
        production = connections.owner_dsn(settings, connections.production_branch(settings))
        upgrade(production, history, release_id="test")
        with connections.ledger(settings) as ledger:
            row = ledger.begin_release(
                target=settings.target,
                ref="v1",
                commit_sha=commit.sha,
                target_revision="head",
                requested_by="a test",
                flow_run_id=None,
                lease_s=600,
            )
        with record.recorded_step(row.id, Act.BUILD_PRODUCTION):
            build = builds.build(settings, row.id, commit, environment="production")
        connections.vercel(settings, in_release=False).promote(build.id)
        report = run_traffic(
            platform.env["PRODUCTION_URL"], users=6, rate=60, seconds=4, acknowledged=folder / "acknowledged"
        )
        assert report.errors == 0
        with reader(production) as connection:
            application = running_application(connection, settings.neon_app_role)
        assert application is not None
        assert application.unseen == ()
        branch = connections.neon(settings, in_release=False).create_branch(
            "copy", parent_id=connections.production_branch(settings).id, compute=True, expires_at=None
        )
        dsn = connections.owner_dsn(settings, branch)
        with connect(dsn, autocommit=True) as connection:
            before = take_baseline(connection, application)
        yield Producing(dsn, make_conninfo(dsn, dbname="postgres"), application, before, history.folders[0])


@pytest.fixture
def copy(producing: Producing) -> Iterator[str]:
    """A database of its own, as the copy of production is."""
    name = str(conninfo_to_dict(producing.dsn)["dbname"])
    with psycopg.connect(producing.server, autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE a_case TEMPLATE {}").format(sql.Identifier(name)))
        yield make_conninfo(producing.dsn, dbname="a_case")
        server.execute("DROP DATABASE a_case WITH (FORCE)")


def changed(producing: Producing, copy: str, *statements: str) -> Compatibility:
    """What a changed schema means for the application."""
    with connect(copy, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())
        return compare(connection, producing.before)


def rehearsed(producing: Producing, copy: str, tmp_path: Path, *statements: str, alone: bool = False) -> Evidence:
    """One more revision, rehearsed on a copy."""
    folder = tmp_path / "versions"
    shutil.copytree(producing.revisions, folder)
    indent = "        " if alone else "    "
    lines = "".join(f"{indent}op.execute({one!r})\n" for one in statements)
    block = "    with op.get_context().autocommit_block():\n" if alone else ""
    (folder / f"{CASE}_fix_case.py").write_text(
        f'"""A case."""\nfrom alembic import op\nrevision = "{CASE}"\ndown_revision = "{HEAD}"\n'
        f'phase = "expand"\n\n\ndef upgrade():\n{block}{lines}\n\ndef downgrade():\n'
        '    raise NotImplementedError("not of interest")\n'
    )
    history = History.load(folder)
    return rehearse(copy, history, make_plan(copy, history, current=(HEAD,)), producing.application)


BREAKING = {
    "a column that it reads is renamed": (SAY, "content", 'ALTER TABLE messages RENAME COLUMN content TO "body"'),
    "a column that it reads is dropped": (NEWEST, "tokenCount", 'ALTER TABLE conversations DROP COLUMN "tokenCount"'),
    "a required column that it does not write": (
        TRAIL,
        "audit_logs.kind",
        "ALTER TABLE audit_logs ADD COLUMN kind text NOT NULL DEFAULT 'x'",
        "ALTER TABLE audit_logs ALTER COLUMN kind DROP DEFAULT",
    ),
    "text becomes an integer": (
        SIGN_UP,
        "parameter",
        "ALTER TABLE users ALTER COLUMN name TYPE integer USING 1",
    ),
    "text becomes a uuid": (
        "WHERE u.email = lower($1)",
        "operator does not exist",
        "ALTER TABLE users ALTER COLUMN email TYPE uuid USING gen_random_uuid()",
    ),
    "text becomes json": (
        SAY,
        "parameter $3 was text and is jsonb now",
        "ALTER TABLE messages ALTER COLUMN content TYPE jsonb USING to_jsonb(content)",
    ),
    "a uuid becomes json": (
        SAY,
        "parameter $1 was uuid and is jsonb now",
        'ALTER TABLE messages DROP CONSTRAINT "messages_conversationId_fkey"',
        'ALTER TABLE messages ALTER COLUMN "conversationId" TYPE jsonb USING to_jsonb("conversationId")',
    ),
    "text becomes an enum": (
        SIGN_UP,
        "is person now",
        "CREATE TYPE person AS ENUM ('a')",
        "ALTER TABLE users ALTER COLUMN name TYPE person USING 'a'::person",
    ),
    "an integer becomes a bigint": (
        NEWEST,
        "result columns",
        'ALTER TABLE conversations ALTER COLUMN "messageCount" TYPE bigint',
    ),
    "a table is dropped": (TRAIL, 'relation "audit_logs" does not exist', "DROP TABLE audit_logs"),
    "a table is renamed": (SAY, 'relation "messages" does not exist', "ALTER TABLE messages RENAME TO said"),
    "a check that its new rows violate": (
        SAY,
        'violates check constraint "quiet"',
        "ALTER TABLE messages ADD CONSTRAINT quiet CHECK (content NOT LIKE 'message%') NOT VALID",
    ),
    "a check, after the rows were mended": (
        SAY,
        'violates check constraint "loud"',
        "UPDATE messages SET content = upper(content)",
        "ALTER TABLE messages ADD CONSTRAINT loud CHECK (content = upper(content))",
    ),
    "a NOT NULL that it does not satisfy": (
        TRAIL,
        "audit_logs.details",
        "UPDATE audit_logs SET details = '{}'",
        "ALTER TABLE audit_logs ALTER COLUMN details SET NOT NULL",
    ),
    "a unique rule that it does not keep, after the rows were thinned": (
        TRAIL,
        "twice",
        'DELETE FROM audit_logs a USING audit_logs b WHERE a."adminId" = b."adminId" AND a.id < b.id',
        'CREATE UNIQUE INDEX once ON audit_logs ("adminId")',
    ),
    "a default that it counts on": (
        'INSERT INTO chat_sessions ("userId", "lastActivity")',
        "chat_sessions.id",
        "ALTER TABLE chat_sessions ALTER COLUMN id DROP DEFAULT",
    ),
    "a shorter text": (
        BEGIN,
        "value too long for type character varying(8)",
        "ALTER TABLE conversations ALTER COLUMN title TYPE varchar(8) USING left(title, 8)",
    ),
    "a privilege of its role is revoked": (
        SIGN_UP,
        "may not INSERT on users any more",
        """DO $$ BEGIN EXECUTE format('REVOKE INSERT ON users FROM %I', (SELECT grantee FROM
        information_schema.table_privileges WHERE table_name = 'users' AND privilege_type = 'INSERT'
        AND grantee <> current_user)); END $$""",
    ),
    "a table is made anew, without its privileges": (
        TRAIL,
        "may not INSERT on audit_logs any more",
        "ALTER TABLE audit_logs RENAME TO audit_logs_old",
        "CREATE TABLE audit_logs (LIKE audit_logs_old INCLUDING ALL)",
        "REVOKE ALL ON audit_logs FROM PUBLIC",
        """DO $$ BEGIN EXECUTE format('REVOKE ALL ON audit_logs FROM %I', (SELECT DISTINCT grantee FROM
        information_schema.table_privileges WHERE table_name = 'audit_logs' AND grantee <> current_user)); END $$""",
    ),
    "row-level security lets it see nothing": (
        AGENTS,
        "lets the role SELECT no row any more",
        "ALTER TABLE agents ENABLE ROW LEVEL SECURITY",
    ),
    "a foreign key that its rows do not keep": (
        TRAIL,
        'violates foreign key constraint "to_a_user"',
        'ALTER TABLE audit_logs ADD CONSTRAINT to_a_user FOREIGN KEY ("targetId") REFERENCES users NOT VALID',
    ),
    "a trigger that refuses its rows": (
        SAY,
        "function no(), line 1, raised an exception",
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not like this'; END $$",
        "CREATE TRIGGER no BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION no()",
    ),
    "a computed column in place of one that it writes": (
        SAY,
        "tokensInput",
        'ALTER TABLE messages DROP COLUMN "tokensInput"',
        'ALTER TABLE messages ADD COLUMN "tokensInput" integer GENERATED ALWAYS AS (length(content)) STORED',
    ),
}


REHEARSED = (
    "a column that it reads is renamed",
    "a column that it reads is dropped",
    "a required column that it does not write",
    "text becomes a uuid",
)


@pytest.mark.parametrize("name", REHEARSED)
def test_a_revision_that_would_break_the_application_is_stopped_with_its_own_statement(
    name: str, producing: Producing, copy: str, tmp_path: Path
) -> None:
    statement, reason, *change = BREAKING[name]
    evidence = rehearsed(producing, copy, tmp_path, *change)
    problems = evidence.problems(blocking_budget_ms=60_000)
    assert [one for one in problems if statement in one and reason in one], problems
    assert not evidence.compatible


@pytest.mark.parametrize("case", [case for name, case in BREAKING.items() if name not in REHEARSED])
def test_what_would_break_the_application_is_named_with_its_own_statement(
    case: tuple[str, ...], producing: Producing, copy: str
) -> None:
    statement, reason, *change = case
    found = changed(producing, copy, *change)
    told = [(one.statement.query, f"{one.trouble}: {one.reason}") for one in found.broken]
    assert [why for query, why in told if statement in query and reason in why], told
    assert not found.proven


HARMLESS = {
    "a column that may be empty": ("ALTER TABLE messages ADD COLUMN mood text",),
    "a column with a default": ("ALTER TABLE messages ADD COLUMN mood text NOT NULL DEFAULT 'calm'",),
    "a table": ("CREATE TABLE moods (id uuid PRIMARY KEY, name text NOT NULL UNIQUE)",),
    "a longer text": ("ALTER TABLE users ALTER COLUMN name TYPE varchar(2000)",),
    "a wider view": ("CREATE VIEW calm AS SELECT * FROM messages",),
    "a default": ("ALTER TABLE messages ALTER COLUMN content SET DEFAULT ''",),
    "a required column that a trigger fills": (
        "ALTER TABLE audit_logs ADD COLUMN kind text",
        "CREATE FUNCTION kind() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.kind = 'x'; RETURN NEW; END $$",
        "CREATE TRIGGER kind BEFORE INSERT ON audit_logs FOR EACH ROW EXECUTE FUNCTION kind()",
        "UPDATE audit_logs SET kind = 'x'",
        "ALTER TABLE audit_logs ALTER COLUMN kind SET NOT NULL",
    ),
}


@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS.keys())
def test_what_the_application_can_live_with_is_not_stopped(
    change: tuple[str, ...], producing: Producing, copy: str
) -> None:
    found = changed(producing, copy, *change)
    assert (found.broken, found.unknown) == ((), ())
    assert found.proven


def test_an_index_built_beside_the_application_is_not_stopped(producing: Producing, copy: str, tmp_path: Path) -> None:
    build = "CREATE INDEX CONCURRENTLY messages_content_idx ON messages (content)"
    evidence = rehearsed(producing, copy, tmp_path, build, alone=True)
    assert evidence.problems(blocking_budget_ms=60_000) == ()
    assert evidence.compatible
    assert evidence.compatibility is not None
    assert evidence.compatibility.tried > 0


def test_a_rule_that_the_rows_of_today_keep_is_not_called_fine(producing: Producing, copy: str) -> None:
    found = changed(producing, copy, "ALTER TABLE messages ADD CONSTRAINT short CHECK (length(content) < 1000)")
    assert found.broken == ()
    ((statement, reason),) = found.unsure
    assert SAY in statement.query
    assert "CHECK ((length(content) < 1000))" in reason
    assert "cannot be told" in reason


def test_a_unique_rule_that_cannot_be_tried_is_not_called_fine(producing: Producing, copy: str) -> None:
    found = changed(producing, copy, 'CREATE UNIQUE INDEX once ON messages ("conversationId", content)')
    assert SAY in found.unknown[0][0].query
    assert not found.proven


def test_a_unique_rule_that_production_s_rows_violate_fails(producing: Producing, copy: str, tmp_path: Path) -> None:
    with pytest.raises(RevisionFailed, match="could not create unique index"):
        rehearsed(producing, copy, tmp_path, 'CREATE UNIQUE INDEX once ON messages ("conversationId")')
