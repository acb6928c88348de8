"""`pilotage resolve`: marks are set where the catalogue agrees, and refused otherwise."""

import json
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from deployments.local.postgres.provisioning import ProvisionedDatabase
from flows.cli import app
from migrations.apply.errors import HalfApplied
from migrations.apply.migrate import upgrade
from migrations.database.locks import migration_lock
from migrations.database.session import reader
from migrations.errors import RevisionFailed
from migrations.history.revisions import History, history_state

REVISION = """from alembic import op

revision = "{id}"
down_revision = {down!r}
phase = "expand"


def upgrade() -> None:
    op.execute("{up}")


def downgrade() -> None:
    op.execute("{back}")
"""
FIRST, SECOND, THIRD = "20250101_0900", "20250102_0900", "20250103_0900"


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> History:
    monkeypatch.setattr("migrations.history.revisions.VERSIONS", tmp_path)
    for id_, down, up, back in (
        (FIRST, None, "CREATE TABLE things (id integer)", "DROP TABLE things"),
        (SECOND, FIRST, "ALTER TABLE things ADD a text", "ALTER TABLE things DROP a"),
        (THIRD, SECOND, "ALTER TABLE things ADD b text", "ALTER TABLE things DROP b"),
    ):
        (tmp_path / f"{id_}_add_things.py").write_text(REVISION.format(id=id_, down=down, up=up, back=back))
    return History.load(tmp_path)


def by_hand(database: ProvisionedDatabase, statement: str) -> None:
    with psycopg.connect(database.owner_dsn) as connection:
        connection.execute(statement.encode())


def stands(database: ProvisionedDatabase, history: History) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The revisions that stand, and those that stand without a record."""
    with reader(database.owner_dsn) as connection:
        found = history_state(connection, history)
    return found.current, found.unrecorded


def resolve(database: ProvisionedDatabase, *arguments: str) -> tuple[int, str]:
    ran = CliRunner().invoke(app, ["resolve", *arguments, "--database-url", database.owner_dsn])
    return ran.exit_code, ran.stdout + ran.stderr


def test_a_revision_that_was_applied_by_hand_is_marked(database: ProvisionedDatabase, history: History) -> None:
    upgrade(database.owner_dsn, history, target=FIRST, release_id="r")
    assert resolve(database, "--applied", SECOND)[1].count("column things.a removed") == 1
    by_hand(database, "ALTER TABLE things ADD a text")
    code, said = resolve(database, "--applied", SECOND, "--json")
    assert code == 0, said
    assert json.loads(said) == {
        "revision": SECOND,
        "mark": "applied",
        "before": [FIRST],
        "after": [SECOND],
        "recorded": True,
    }
    assert stands(database, history) == ((SECOND,), ())
    upgrade(database.owner_dsn, history, release_id="r")
    assert stands(database, history) == ((THIRD,), ())


def test_a_revision_that_was_taken_back_by_hand_is_marked(database: ProvisionedDatabase, history: History) -> None:
    upgrade(database.owner_dsn, history, release_id="r")
    code, said = resolve(database, "--rolled-back", THIRD)
    assert (code, "column things.b added" in said) == (1, True)
    assert stands(database, history) == ((THIRD,), ())
    by_hand(database, "ALTER TABLE things DROP b")
    assert resolve(database, "--rolled-back", THIRD)[0] == 0
    assert stands(database, history) == ((SECOND,), ())
    with reader(database.owner_dsn) as connection:
        assert history_state(connection, history).pending == (history.revision(THIRD),)


def test_the_first_revision_is_marked_in_a_database_that_alembic_never_saw(
    database: ProvisionedDatabase, history: History
) -> None:
    by_hand(database, "CREATE TABLE things (id integer)")
    code, said = resolve(database, "--applied", FIRST, "--json")
    assert code == 0, said
    assert json.loads(said)["recorded"] is False
    assert stands(database, history)[0] == (FIRST,)
    by_hand(database, "DROP TABLE things")
    assert resolve(database, "--rolled-back", FIRST)[0] == 0
    assert stands(database, history)[0] == ()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--applied", FIRST), "it is marked as applied already"),
        (("--applied", THIRD), f"what it follows is not applied ({SECOND}): begin with that"),
        (("--rolled-back", THIRD), "it is not marked as applied"),
        (("--applied", "2024"), "revision 2024 is not in the history"),
        (("--applied", FIRST, "--rolled-back", FIRST), "say one of"),
        ((), "say one of"),
    ],
)
def test_a_mark_that_makes_no_sense_is_refused(
    database: ProvisionedDatabase, history: History, arguments: tuple[str, ...], expected: str
) -> None:
    upgrade(database.owner_dsn, history, target=FIRST, release_id="r")
    code, said = resolve(database, *arguments)
    assert (code, expected in said) == (1, True), said
    assert stands(database, history) == ((FIRST,), ())


def test_what_others_stand_on_cannot_be_rolled_back(database: ProvisionedDatabase, history: History) -> None:
    upgrade(database.owner_dsn, history, release_id="r")
    assert "other revisions stand on it" in resolve(database, "--rolled-back", FIRST)[1]


def test_no_mark_is_set_while_another_migration_runs(database: ProvisionedDatabase, history: History) -> None:
    upgrade(database.owner_dsn, history, target=FIRST, release_id="r")
    by_hand(database, "ALTER TABLE things ADD a text")
    with migration_lock(database.owner_dsn, wait_s=0), pytest.MonkeyPatch.context() as patch:
        patch.setattr("migrations.authoring.resolve.WAIT_S", 0)
        code, said = resolve(database, "--applied", SECOND)
    assert (code, "is being migrated by pid" in said) == (1, True)
    assert stands(database, history) == ((FIRST,), ())


@pytest.mark.parametrize("mark", ["--applied", "--rolled-back"])
def test_a_revision_that_was_cut_off_half_way_is_settled_by_hand(
    database: ProvisionedDatabase, history: History, mark: str
) -> None:
    file = next(one.path for one in history.revisions if one.id == THIRD)
    block = '{}; op.execute("ALTER TABLE things ADD b text")\n    with op.get_context().autocommit_block():\n        {}'
    both = file.read_text().replace('op.execute("ALTER TABLE things ADD b text")', block)
    broken, mended = (f'op.execute("ALTER TABLE things ADD {name} text")' for name in ("a", "c"))
    file.write_text(both.format("pass", broken))
    with pytest.raises(RevisionFailed, match="already exists"):
        upgrade(database.owner_dsn, History.load(file.parent), release_id="r")
    file.write_text(both.format('op.execute("SELECT 1")', mended))
    with pytest.raises(HalfApplied, match=f"--rolled-back {THIRD}"):
        upgrade(database.owner_dsn, History.load(file.parent), release_id="r")
    code, told = resolve(database, mark, THIRD)
    assert code == 1
    assert "the database is not what the revisions promise" in " ".join(told.split())
    by_hand(database, "ALTER TABLE things ADD c text" if mark == "--applied" else "ALTER TABLE things DROP b")
    assert resolve(database, mark, THIRD)[0] == 0
    done = upgrade(database.owner_dsn, History.load(file.parent), release_id="r")
    assert [one.revision for one in done] == ([] if mark == "--applied" else [THIRD])


@pytest.mark.parametrize("mark", ["--applied", "--rolled-back"])
@pytest.mark.parametrize("why", ["no database", "no beginning", "by hand"])
def test_a_revision_that_was_cut_off_half_way_is_settled_though_its_catalogue_cannot_be_compared(
    database: ProvisionedDatabase, history: History, why: str, mark: str
) -> None:
    file = next(one.path for one in history.revisions if one.id == SECOND)
    block = 'with op.get_context().autocommit_block():\n        op.execute("INSERT INTO things VALUES (1)")\n        {}'
    rows = file.read_text().replace('op.execute("ALTER TABLE things ADD a text")', block)
    file.write_text(rows.format("raise RuntimeError"))
    with pytest.raises(RevisionFailed):
        upgrade(database.owner_dsn, History.load(file.parent), release_id="r")
    file.write_text(rows.format("pass"))
    if why == "no database":
        with psycopg.connect(database.superuser_dsn) as superuser:
            superuser.execute(f"ALTER ROLE {database.owner} NOCREATEDB".encode())
    elif why == "no beginning":
        first = next(one.path for one in history.revisions if one.id == FIRST)
        first.write_text(first.read_text().replace("CREATE TABLE things", "ALTER TABLE made_elsewhere ADD COLUMN more"))
    else:
        by_hand(database, "CREATE TABLE made_by_hand (id int)")
    code, told = resolve(database, mark, SECOND)
    assert (code, "say --unchecked" in " ".join(told.split())) == (1, True), told
    code, told = resolve(database, mark, SECOND, "--unchecked")
    assert code == 0, told
    done = upgrade(database.owner_dsn, History.load(file.parent), release_id="r")
    assert [one.revision for one in done] == ([THIRD] if mark == "--applied" else [SECOND, THIRD])


def test_of_any_other_revision_nobody_is_believed_without_a_look(
    database: ProvisionedDatabase, history: History
) -> None:
    upgrade(database.owner_dsn, history, target=FIRST, release_id="r")
    code, told = resolve(database, "--applied", SECOND, "--unchecked")
    assert (code, "it was not cut off half-way" in " ".join(told.split())) == (1, True), told
    code, told = resolve(database, "--applied", SECOND)
    assert (code, "--unchecked" in told) == (1, False)
    assert stands(database, history) == ((FIRST,), ())
