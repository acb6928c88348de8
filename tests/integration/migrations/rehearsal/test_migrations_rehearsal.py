"""Rehearsals: what is tried on a copy is measured, and what would go wrong in production is named beforehand."""

from pathlib import Path

import psycopg
import pytest

from deployments.local.postgres.provisioning import ProvisionedDatabase
from migrations.apply.migrate import upgrade
from migrations.catalog.contents import Catalog, read_catalog
from migrations.database.session import reader
from migrations.disclosure.normalized_statements import normalized
from migrations.errors import EvidenceUnreadable, RevisionFailed
from migrations.history.revisions import History
from migrations.plan.planned_revisions import make_plan
from migrations.rehearsal.compatibility.observed_statements import Application, ProductionStatement, running_application
from migrations.rehearsal.dress_rehearsal import rehearse
from migrations.rehearsal.evidence import Evidence
from migrations.rehearsal.evidence_report import render

BASE = (
    "CREATE TYPE mood AS ENUM ('calm', 'cross');"
    "CREATE TABLE owners (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), email text NOT NULL, age integer);"
    "CREATE TABLE notes (id serial PRIMARY KEY, owner_id uuid REFERENCES owners, body text, size integer NOT NULL,"
    " mood mood);"
    "CREATE INDEX notes_owner_idx ON notes (owner_id);"
    "INSERT INTO owners (email, age) SELECT 'u' || n, n FROM generate_series(1, 300) n;"
    "INSERT INTO notes (owner_id, body, size, mood) SELECT id, email, 1, 'calm' FROM owners, generate_series(1, 20)"
)
SENT = (
    "SELECT id, email FROM owners WHERE email = $1",
    "SELECT n.body FROM notes n JOIN owners o ON o.id = n.owner_id WHERE o.email = $1",
    "SELECT * FROM notes WHERE owner_id = $1 ORDER BY id DESC LIMIT $2",
    "INSERT INTO notes (owner_id, body, size) VALUES ($1, $2, $3) RETURNING id",
    "UPDATE notes SET body = $1 WHERE id = $2",
    "UPDATE notes SET mood = $1 WHERE id = $2",
    "SELECT id FROM notes WHERE mood = $1",
    "SELECT now() - INTERVAL $1",
)


def write(folder: Path, number: int, up: str, down: str, *, phase: str = "expand") -> None:
    below = f'"r{number - 1}"' if number > 1 else None
    (folder / f"r{number}.py").write_text(
        f'"""Step {number}."""\nfrom alembic import op\nrevision = "r{number}"\ndown_revision = {below}\n'
        f'phase = "{phase}"\n\n\ndef upgrade():\n    op.execute("""{up}""")\n\n\n'
        f'def downgrade():\n    op.execute("""{down}""")\n'
    )


@pytest.fixture
def folder(database: ProvisionedDatabase, tmp_path: Path) -> Path:
    """A history whose first revision stands."""
    write(tmp_path, 1, BASE, "DROP TABLE notes; DROP TABLE owners; DROP TYPE mood")
    upgrade(database.owner_dsn, History.load(tmp_path), release_id="r", record=False)
    return tmp_path


def rehearsed(database: ProvisionedDatabase, folder: Path, *sent: str) -> Evidence:
    history = History.load(folder)
    plan = make_plan(database.owner_dsn, history, current=("r1",))
    statements = tuple(ProductionStatement(query, 1) for query in sent or SENT)
    return rehearse(database.owner_dsn, history, plan, Application(database.app, statements))


def catalog(database: ProvisionedDatabase) -> Catalog:
    with reader(database.owner_dsn) as connection:
        return read_catalog(connection)


def test_a_harmless_plan_has_evidence_of_it(database: ProvisionedDatabase, folder: Path) -> None:
    write(folder, 2, "ALTER TABLE owners ADD COLUMN nickname text", "ALTER TABLE owners DROP COLUMN nickname")
    evidence = rehearsed(database, folder)
    assert evidence.problems(blocking_budget_ms=10_000) == ()
    assert evidence.way_back.lossless
    assert evidence.compatible
    assert evidence.compatibility is not None
    assert evidence.compatibility.unknown == ()
    (revision,) = evidence.revisions
    assert [(held.lock.relation, held.lock.mode) for held in revision.locks] == [("owners", "AccessExclusiveLock")]
    assert revision.rewrites == ()
    assert revision.wal_bytes > 0
    # The copy is left as the plan leaves it.
    assert [o.name for o in catalog(database).of_kind("column") if o.name == "owners.nickname"] == ["owners.nickname"]


BREAKING = {
    "dropped column": ("ALTER TABLE owners DROP COLUMN email", "refused", 'column "email" does not exist'),
    "renamed column": ("ALTER TABLE notes RENAME COLUMN body TO content", "refused", "body"),
    "renamed table": ("ALTER TABLE notes RENAME TO remarks", "refused", 'relation "notes" does not exist'),
    "required column": (
        "ALTER TABLE notes ADD COLUMN kind text NOT NULL DEFAULT 'x'; ALTER TABLE notes ALTER COLUMN kind DROP DEFAULT",
        "required column",
        "notes.kind",
    ),
    "default taken away": ("ALTER TABLE notes ALTER COLUMN id DROP DEFAULT", "required column", "notes.id"),
    "compared type": (
        "ALTER TABLE notes DROP CONSTRAINT notes_owner_id_fkey; ALTER TABLE notes ALTER COLUMN owner_id TYPE text",
        "refused",
        "operator does not exist",
    ),
    "parameter type": (
        "ALTER TABLE owners ALTER COLUMN email TYPE integer USING 1",
        "parameter type",
        "was text and is integer now",
    ),
    "value of an enum": (
        "ALTER TYPE mood RENAME VALUE 'calm' TO 'quiet'",
        "values",
        'invalid input value for enum mood: "***"',
    ),
    "enum without a value": (
        """ALTER TABLE notes ALTER mood TYPE text; DROP TYPE mood; CREATE TYPE mood AS ENUM ('cross', 'quiet');
        ALTER TABLE notes ALTER mood TYPE mood USING replace(mood, 'calm', 'quiet')::mood""",
        "values",
        'invalid input value for enum mood: "***"',
    ),
    "result columns of *": (
        "ALTER TABLE notes ADD COLUMN extra text",
        "result columns",
        "name the columns instead of *",
    ),
    "privilege": (
        "REVOKE SELECT ON owners FROM PUBLIC; DROP TABLE owners CASCADE",
        "refused",
        'relation "owners" does not exist',
    ),
}


@pytest.mark.parametrize(("up", "trouble", "reason"), BREAKING.values(), ids=BREAKING.keys())
def test_a_statement_of_the_application_that_would_break_is_named(
    up: str, trouble: str, reason: str, database: ProvisionedDatabase, folder: Path
) -> None:
    write(folder, 2, up.replace("\n", " "), "SELECT 1")
    evidence = rehearsed(database, folder)
    assert evidence.compatibility is not None
    found = [one for one in evidence.compatibility.broken if one.trouble == trouble and reason in one.reason]
    assert found, evidence.compatibility.broken
    assert {one.statement.query for one in found} <= set(SENT)
    told = "\n".join(evidence.problems(blocking_budget_ms=10_000))
    assert normalized(found[0].statement.query) in told
    assert not evidence.compatible


def test_evidence_holds_no_value_of_a_statement(database: ProvisionedDatabase, folder: Path) -> None:
    dropped = "ALTER TABLE owners DROP email; ALTER TABLE notes DROP mood"
    write(folder, 2, f"DELETE FROM notes WHERE body = 'F32.1-quill'; {dropped}", "SELECT 1")
    evidence = rehearsed(
        database,
        folder,
        "SELECT id FROM owners WHERE email = 'zoe.quill@example.org'",
        "UPDATE notes SET body = $1 WHERE mood = $2 /* for zoe.quill@example.org */",
        "CALL tell('971-55-0142')",
        "SELECT nothing('971-55-0142')",
    )
    assert evidence.compatibility is not None
    assert evidence.compatibility.broken
    assert evidence.compatibility.unknown
    kept = evidence.to_json()
    assert [value for value in ("zoe.quill", "971-55-0142", "F32.1-quill") if value in kept] == []
    assert (Evidence.from_json(kept), Evidence.from_json(kept).digest) == (evidence, evidence.digest)


def test_a_way_back_that_loses_rows_is_not_lossless_and_says_what(database: ProvisionedDatabase, folder: Path) -> None:
    write(
        folder,
        2,
        "ALTER TABLE owners DROP COLUMN age; DELETE FROM notes WHERE id < 10; UPDATE owners SET email = upper(email)",
        "ALTER TABLE owners ADD COLUMN age integer",
    )
    evidence = rehearsed(database, folder, "SELECT 1")
    assert evidence.way_back.ran
    assert not evidence.way_back.lossless
    assert evidence.way_back.rows == (
        "notes had 6000 rows and has 5991",
        "owners has the same number of rows, and other values in them",
    )
    assert evidence.way_back.catalogue == ()


def test_a_way_back_that_leaves_something_is_named(database: ProvisionedDatabase, folder: Path) -> None:
    write(folder, 2, "CREATE TABLE extra (id int); CREATE INDEX notes_size_idx ON notes (size)", "DROP TABLE extra")
    evidence = rehearsed(database, folder)
    assert not evidence.way_back.lossless
    assert [one for one in evidence.way_back.catalogue if "notes_size_idx" in one]
    assert evidence.way_back.by_revision == ("r2: index notes_size_idx is left over",)


def test_a_way_back_that_does_nothing_is_found_by_going_up_again(database: ProvisionedDatabase, folder: Path) -> None:
    write(folder, 2, "ALTER TABLE notes ADD COLUMN extra text", "SELECT 1")
    way_back = rehearsed(database, folder).way_back
    assert way_back.ran
    assert not way_back.lossless
    assert way_back.catalogue == ("column notes.extra added (text)",)
    assert 'column "extra" of relation "notes" already exists' in way_back.again[0]


def test_a_way_back_that_does_not_run_is_told(database: ProvisionedDatabase, folder: Path) -> None:
    write(folder, 2, "CREATE TABLE extra (id int)", "DROP TABLE nowhere")
    evidence = rehearsed(database, folder)
    assert not evidence.way_back.ran
    assert 'table "nowhere" does not exist' in evidence.way_back.reason


def test_rewrites_rows_and_blocking_are_measured(database: ProvisionedDatabase, folder: Path) -> None:
    write(
        folder,
        2,
        "ALTER TABLE notes ALTER COLUMN size TYPE bigint; UPDATE owners SET age = 1; SELECT pg_sleep(0.1)",
        "ALTER TABLE notes ALTER COLUMN size TYPE integer",
    )
    evidence = rehearsed(database, folder, "SELECT 1")
    (revision,) = evidence.revisions
    assert "notes" in revision.rewrites
    assert revision.blocked_reads_ms >= 100
    (problem,) = evidence.problems(blocking_budget_ms=50)
    assert problem.startswith("r2 holds AccessExclusiveLock on notes for ")
    assert "it was taken by: ALTER TABLE notes ALTER COLUMN size TYPE bigint" in problem


def test_a_revision_that_fails_on_these_rows_is_an_error(database: ProvisionedDatabase, folder: Path) -> None:
    write(folder, 2, "ALTER TABLE notes ADD CONSTRAINT few UNIQUE (owner_id)", "ALTER TABLE notes DROP CONSTRAINT few")
    with pytest.raises(RevisionFailed, match="could not create unique index"):
        rehearsed(database, folder)


def test_contract_revisions_are_tried_after_the_application_was_asked(
    database: ProvisionedDatabase, folder: Path
) -> None:
    write(folder, 2, "ALTER TABLE owners ADD COLUMN mail text", "ALTER TABLE owners DROP COLUMN mail")
    write(folder, 3, "ALTER TABLE owners DROP COLUMN age", "ALTER TABLE owners ADD COLUMN age int", phase="contract")
    evidence = rehearsed(database, folder, "SELECT age FROM owners")
    assert [(one.revision, one.phase) for one in evidence.revisions] == [("r2", "expand"), ("r3", "contract")]
    assert evidence.compatible


def test_a_plan_that_became_much_worse_is_named(database: ProvisionedDatabase, folder: Path) -> None:
    write(folder, 2, "DROP INDEX notes_owner_idx", "CREATE INDEX notes_owner_idx ON notes (owner_id)")
    evidence = rehearsed(database, folder, "SELECT body FROM notes WHERE owner_id = $1")
    assert evidence.compatibility is not None
    ((_, reason),) = evidence.compatibility.worse
    assert reason.endswith("it no longer uses notes_owner_idx")


def test_evidence_is_kept_as_it_is(database: ProvisionedDatabase, folder: Path) -> None:
    write(folder, 2, "ALTER TABLE notes ADD COLUMN extra text", "ALTER TABLE notes DROP COLUMN extra")
    evidence = rehearsed(database, folder)
    again = Evidence.from_json(evidence.to_json())
    assert (again, again.digest) == (evidence, evidence.digest)
    with pytest.raises(EvidenceUnreadable):
        Evidence.from_json("{}")


def test_the_statements_of_a_role_are_those_that_it_sent(database: ProvisionedDatabase, folder: Path) -> None:
    del folder
    with psycopg.connect(database.superuser_dsn, autocommit=True) as superuser:
        superuser.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        superuser.execute(f"ALTER ROLE {database.app} SET pg_stat_statements.track = 'all'".encode())
        # A server that has no room left for statements forgets those that were sent once.
        superuser.execute("SELECT pg_stat_statements_reset()")
    with psycopg.connect(database.app_dsn, autocommit=True) as application:
        application.execute("DO $$ BEGIN PERFORM count(*) FROM notes; END $$")
        for age in range(3):
            application.execute("SELECT email FROM owners WHERE age = %s", (age,))
        application.execute("SET statement_timeout = 1000")
        with application.transaction(), application.transaction():
            application.execute("DECLARE c CURSOR FOR SELECT 1")
            application.execute("FETCH 1 FROM c")
    with reader(database.owner_dsn) as connection:
        connection.execute("SELECT id FROM notes LIMIT 1")
        found = running_application(connection, database.app)
    assert found is not None
    told = {one.query: one.calls for one in found.statements}
    assert told.pop("SELECT email FROM owners WHERE age = $1") == 3
    # What the block ran within is not what the application sent.
    assert {query.split()[0] for query in told} == {"DECLARE", "DO"}


def test_an_application_that_the_statistics_do_not_show_is_not_called_fine(
    database: ProvisionedDatabase, folder: Path
) -> None:
    with psycopg.connect(database.superuser_dsn, autocommit=True) as superuser:
        superuser.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    with reader(database.owner_dsn) as connection:
        found = running_application(connection, "nobody_of_that_name")
    assert found is not None
    assert "hold no statement of nobody_of_that_name" in found.unseen[0]
    write(folder, 2, "ALTER TABLE owners ADD COLUMN nickname text", "ALTER TABLE owners DROP COLUMN nickname")
    history = History.load(folder)
    evidence = rehearse(database.owner_dsn, history, make_plan(database.owner_dsn, history, current=("r1",)), found)
    assert not evidence.compatible
    assert "cannot tell of all" in render(evidence, blocking_budget_ms=10_000)


def test_what_a_function_runs_is_not_taken_for_what_the_application_sends(
    database: ProvisionedDatabase, folder: Path
) -> None:
    with psycopg.connect(database.owner_dsn) as owner:
        owner.execute(
            "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ DECLARE changed int; BEGIN"
            " PERFORM 1 FROM notes WHERE id = changed\n FOR UPDATE; END $$"
        )
    write(folder, 2, "ALTER TABLE owners ADD COLUMN nickname text", "ALTER TABLE owners DROP COLUMN nickname")
    inside, unknown = "SELECT $3 FROM notes WHERE id = changed FOR UPDATE", "SELECT $1 FROM notes WHERE id = nothing"
    found = rehearsed(database, folder, inside, unknown).compatibility
    assert found is not None
    assert [one.query for one, _ in found.unknown] == [unknown]
    assert not found.proven
