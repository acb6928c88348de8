"""Plans: what will run, what it locks, and the way back, from a server where nothing of it stays."""

import re
from pathlib import Path

import psycopg
import pytest

from deployments.local.postgres.provisioning import ProvisionedDatabase
from migrations.apply.migrate import downgrade, upgrade
from migrations.catalog.contents import read_catalog
from migrations.database.session import reader
from migrations.database.trace import Lock
from migrations.errors import ContractBelowExpand, HistoryUnreadable, RevisionFailed, UnknownRevision
from migrations.history.foreign_project import foreign_environment
from migrations.history.revisions import History
from migrations.plan.planned_revisions import make_plan
from migrations.recording.recorded_statements import offline_sql
from migrations.recording.throwaway import PREFIX

CORE, TARGET_TYPE = "20250122_1030", "20251101_0900"


def revision(folder: Path, number: int, up: str, down: str = "pass", *, phase: str = "", head: str = "") -> None:
    below = f'"r{number - 1}"' if number > 1 else None
    (folder / f"r{number}.py").write_text(
        f'"""Step {number}."""\nimport sqlalchemy as sa\nfrom alembic import op\nrevision = "r{number}"\n'
        f"down_revision = {below}\n{f'phase = {phase!r}' if phase else ''}\n{head}\n\n"
        f"def upgrade():\n    {up}\n\ndef downgrade():\n    {down}\n"
    )


def test_a_plan_has_every_statement_with_its_locks_and_the_way_back(database: ProvisionedDatabase) -> None:
    plan = make_plan(database.owner_dsn, History.load(), current=(CORE,), target=TARGET_TYPE, commit="c0ffee")
    (planned,) = plan.revisions
    assert (planned.id, planned.phase, planned.declared, planned.transactional) == (TARGET_TYPE, "expand", True, True)
    (statement,) = planned.statements
    assert statement.sql == 'ALTER TABLE "audit_logs" ADD COLUMN "targetType" VARCHAR(100)'
    assert statement.locks == (Lock("audit_logs", "AccessExclusiveLock"),)
    assert (plan.source, plan.note, plan.expand, plan.contract) == ("recorded", "", plan.revisions, ())
    assert planned.downgrade is not None
    assert [one.sql for one in planned.downgrade] == ['ALTER TABLE "audit_logs" DROP COLUMN "targetType"']
    with psycopg.connect(database.superuser_dsn) as connection:
        left = connection.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", (PREFIX,))
        assert left.fetchall() == []
        assert connection.execute("SELECT to_regclass('public.audit_logs')").fetchone() == (None,)


def test_the_files_of_a_plan_do_what_its_revisions_do(database: ProvisionedDatabase) -> None:
    history = History.load()
    plan = make_plan(database.owner_dsn, history, current=(), target=TARGET_TYPE)
    upgrade(database.owner_dsn, history, target=TARGET_TYPE, release_id="r")
    with reader(database.owner_dsn) as connection:
        promised = read_catalog(connection).without("comment")
    downgrade(database.owner_dsn, history, "base")
    with psycopg.connect(database.owner_dsn, autocommit=True) as connection:
        connection.execute(plan.sql().encode())
        assert read_catalog(connection).without("comment") == promised
        connection.execute(plan.rollback_sql().encode())
        assert read_catalog(connection).of_kind("table") == ()


def test_the_digest_binds_the_revisions_bytes_where_they_start_and_the_commit(
    database: ProvisionedDatabase, tmp_path: Path
) -> None:
    revision(tmp_path, 1, 'op.execute("CREATE TABLE a (id int)")', 'op.execute("DROP TABLE a")')
    revision(tmp_path, 2, 'op.execute("CREATE TABLE b (id int)")', 'op.execute("DROP TABLE b")')

    def digest(current: tuple[str, ...] = (), commit: str = "c1") -> str:
        return make_plan(database.owner_dsn, History.load(tmp_path), current=current, commit=commit).digest

    first = digest()
    assert digest() == first
    assert digest(current=("r1",)) != first
    assert digest(commit="c2") != first
    (tmp_path / "r2.py").write_text((tmp_path / "r2.py").read_text() + "# changed\n")
    assert digest() != first


def test_the_digest_binds_where_a_plan_begins_though_the_same_revisions_are_missing(
    database: ProvisionedDatabase, tmp_path: Path
) -> None:
    revision(tmp_path, 1, "pass")
    (tmp_path / "b1.py").write_text((tmp_path / "r1.py").read_text().replace('"r1"', '"b1"'))
    history = History.load(tmp_path)
    plans = [make_plan(database.owner_dsn, history, current=current, target="b1") for current in ((), ("r1",))]
    assert [[one.id for one in plan.revisions] for plan in plans] == [["b1"], ["b1"]]
    assert plans[0].digest != plans[1].digest


def test_contract_below_expand_is_refused_with_the_way_out(database: ProvisionedDatabase, tmp_path: Path) -> None:
    revision(tmp_path, 1, "pass", phase="expand")
    revision(tmp_path, 2, "pass", phase="contract")
    revision(tmp_path, 3, "pass", phase="expand")
    history = History.load(tmp_path)
    with pytest.raises(ContractBelowExpand, match="Release up to r2 first, then up to r3"):
        make_plan(database.owner_dsn, history, current=())
    assert [one.id for one in make_plan(database.owner_dsn, history, current=("r2",)).expand] == ["r3"]
    plan = make_plan(database.owner_dsn, history, current=(), target="r2")
    assert ([one.id for one in plan.expand], [one.id for one in plan.contract]) == (["r1"], ["r2"])


def test_what_runs_outside_of_a_transaction_is_told(database: ProvisionedDatabase, tmp_path: Path) -> None:
    revision(tmp_path, 1, 'op.execute("CREATE TABLE a (id int)")', 'op.execute("DROP TABLE a")')
    block = "with op.get_context().autocommit_block():\n        "
    revision(
        tmp_path,
        2,
        block + 'op.execute("CREATE INDEX CONCURRENTLY a_id_idx ON a (id)")',
        block + 'op.execute("DROP INDEX CONCURRENTLY a_id_idx")',
    )
    plan = make_plan(database.owner_dsn, History.load(tmp_path), current=())
    assert [one.transactional for one in plan.revisions] == [True, False]
    text = plan.sql()
    assert re.findall(r"^(?:BEGIN|COMMIT);", text, re.MULTILINE) == ["BEGIN;", "COMMIT;"]
    assert text.index("COMMIT;") < text.index("CONCURRENTLY")


def test_a_revision_without_a_way_back_is_named(database: ProvisionedDatabase, tmp_path: Path) -> None:
    revision(tmp_path, 1, 'op.execute("CREATE TABLE a (id int)")', 'op.execute("DROP TABLE a")')
    revision(tmp_path, 2, 'op.execute("CREATE TABLE b (id int)")', 'raise NotImplementedError("rows would be lost")')
    revision(tmp_path, 3, 'op.execute("CREATE TABLE c (id int)")', 'op.execute("DROP TABLE c")')
    plan = make_plan(database.owner_dsn, History.load(tmp_path), current=())
    assert [one.downgrade is not None for one in plan.revisions] == [False, False, True]
    assert "r2" in plan.note
    assert "rows would be lost" in plan.note
    assert plan.rollback_sql().endswith("-- r2: no way back is known\n")


def test_what_does_not_run_on_an_empty_database_is_written_offline(
    database: ProvisionedDatabase, tmp_path: Path
) -> None:
    head = "from alembic import context\n"
    body = (
        'context.is_offline_mode() or op.get_bind().execute(sa.text("SELECT 1/count(*) FROM a"))\n'
        '    op.add_column("a", sa.Column("b", sa.Text))'
    )
    revision(tmp_path, 1, 'op.execute("CREATE TABLE a (id int)")')
    revision(tmp_path, 2, body, head=head)
    plan = make_plan(database.owner_dsn, History.load(tmp_path), current=())
    assert plan.source == "offline"
    assert "r2" in plan.note
    assert [[one.sql for one in planned.statements] for planned in plan.revisions] == [
        ["CREATE TABLE a (id int)"],
        ["ALTER TABLE a ADD COLUMN b TEXT"],
    ]
    later = make_plan(database.owner_dsn, History.load(tmp_path), current=("r1",))
    assert [one.id for one in later.revisions] == ["r2"]
    assert [one.sql for one in later.revisions[0].statements] == ["ALTER TABLE a ADD COLUMN b TEXT"]


BRANCHES = {
    "a1": (None, "CREATE TABLE a (id int)"),
    "a2": ("a1", "DROP TABLE a"),
    "b1": (None, "CREATE TABLE b (id int)"),
    "b2": ("b1", "ALTER TABLE b ADD n int"),
    "c1": (None, "CREATE TABLE c (id int)"),
}


@pytest.mark.parametrize("where_it_stands", [(), ("a1",), ("a1", "b1"), ("b1", "c1"), ("a2", "b1"), ("a1", "b2", "c1")])
@pytest.mark.parametrize("target", ["heads", ("b2", "a2"), ("c1", "b1"), "a2", "b2"])
def test_each_revision_of_several_branches_is_shown_with_its_own_text_where_it_is_written_offline(
    database: ProvisionedDatabase, tmp_path: Path, where_it_stands: tuple[str, ...], target: str | tuple[str, ...]
) -> None:
    for name, (below, statement) in BRANCHES.items():
        reads = 'op.get_context().as_sql or op.execute("SELECT 1/0")'
        (tmp_path / f"{name}.py").write_text(
            f'from alembic import op\nrevision = "{name}"\ndown_revision = {below!r}\n\n'
            f'def upgrade():\n    op.execute("{statement}")\n    {reads}\n\ndef downgrade():\n    pass\n'
        )
    plan = make_plan(database.owner_dsn, History.load(tmp_path), current=where_it_stands, target=target)
    assert {one.id: [of.sql for of in one.statements] for one in plan.revisions} == {
        one.id: [BRANCHES[one.id][1]] for one in plan.revisions
    }


def test_an_env_that_writes_no_sql_is_told_instead_of_a_plan_without_statements(tmp_path: Path) -> None:
    (tmp_path / "versions").mkdir()
    revision(tmp_path / "versions", 1, 'op.execute("CREATE TABLE a (id int)")')
    for body, why in (("", "writes no SQL for r1"), ("raise SystemError('no such file')", "no such file")):
        (tmp_path / "env.py").write_text(f"{body}\n")
        environment = foreign_environment(None, tmp_path)
        assert environment is not None
        with pytest.raises(HistoryUnreadable, match=why):
            offline_sql(History.of_project(environment), current=(), target="head")


@pytest.mark.parametrize("configured", ["", "driver://user:pass@localhost/dbname"])
def test_an_env_that_is_to_be_given_an_address_writes_sql_without_one(tmp_path: Path, configured: str) -> None:
    (tmp_path / "versions").mkdir()
    revision(tmp_path / "versions", 1, 'op.execute("CREATE TABLE a (id int)")')
    (tmp_path / "alembic.ini").write_text(f"[alembic]\nscript_location = {tmp_path}\nsqlalchemy.url = {configured}\n")
    (tmp_path / "env.py").write_text(
        "from alembic import context\ncontext.configure(url=context.config.get_main_option('sqlalchemy.url'))\n"
        "with context.begin_transaction():\n    context.run_migrations()\n"
    )
    environment = foreign_environment(tmp_path / "alembic.ini", None)
    assert environment is not None
    (written,) = offline_sql(History.of_project(environment), current=(), target="head")["r1"]
    assert written.sql == "CREATE TABLE a (id int)"


def test_what_can_neither_run_nor_be_written_is_an_error_that_names_the_revision(
    database: ProvisionedDatabase, tmp_path: Path
) -> None:
    revision(tmp_path, 1, "pass")
    revision(tmp_path, 2, 'op.get_bind().execute(sa.text("SELECT 1/0")).scalar_one()')
    with pytest.raises(RevisionFailed, match="r2"):
        make_plan(database.owner_dsn, History.load(tmp_path), current=())


def test_nothing_pending_is_an_empty_plan_and_an_unknown_target_an_error(database: ProvisionedDatabase) -> None:
    history = History.load()
    assert make_plan(database.owner_dsn, history, current=(history.resolve("head"),)).revisions == ()
    with pytest.raises(UnknownRevision):
        make_plan(database.owner_dsn, history, current=(), target="20300101")


def test_offline_and_recorded_agree_on_our_own_history(database: ProvisionedDatabase) -> None:
    history = History.load()
    plan = make_plan(database.owner_dsn, history, current=())
    written = offline_sql(history, current=(), target="head")
    for one in plan.revisions:
        assert [" ".join(s.sql.split()) for s in one.statements] == [" ".join(s.sql.split()) for s in written[one.id]]


def test_offline_writes_a_percent_sign_as_it_is_sent(tmp_path: Path) -> None:
    revision(tmp_path, 1, """op.execute("SELECT format('%s%%', 50)")""")
    (written,) = offline_sql(History.load(tmp_path), current=(), target="head")["r1"]
    assert written.sql == "SELECT format('%s%%', 50)"


def test_offline_leaves_a_text_as_it_is_and_says_the_locks_of_each_statement(
    database: ProvisionedDatabase, tmp_path: Path
) -> None:
    revision(tmp_path, 1, 'op.execute("CREATE TABLE a (b text)")')
    text = "INSERT INTO a VALUES ('first\\n\\n-- second')"
    revision(tmp_path, 2, f'op.execute("{text}")\n    op.execute("-- a remark\\nALTER TABLE a ADD c int")')
    raises = 'op.get_context().as_sql or op.execute("SELECT 1/0")'
    revision(tmp_path, 3, raises)
    plan = make_plan(database.owner_dsn, History.load(tmp_path), current=("r1",))
    assert (plan.source, [one.sql for one in plan.revisions[0].statements]) == (
        "offline",
        ["INSERT INTO a VALUES ('first\n\n-- second')", "ALTER TABLE a ADD c int"],
    )
    assert [one.locks for one in plan.revisions[0].statements] == [
        (Lock("a", "RowExclusiveLock"),),
        (Lock("a", "AccessExclusiveLock"),),
    ]
