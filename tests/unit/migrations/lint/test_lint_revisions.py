"""Revisions judged without a database: `op.*`, waivers, downgrades, what cannot be told."""

from collections.abc import Callable
from pathlib import Path

import pytest

from migrations.lint.documentation import bad_example_output
from migrations.lint.errors import RevisionUnreadable
from migrations.lint.findings import Finding
from migrations.lint.hazard_registry import HAZARDS
from migrations.lint.locations import alembic_config, load
from migrations.lint.revisions import LintReport, lint_history, lint_recorded
from migrations.recording.recorded_statements import RecordedStatement
from migrations.sql.database_context import DatabaseContext
from migrations.sql.errors import SqlUnreadable

HEAD = '''"""{slug}."""

import sqlalchemy as sa
from alembic import op

revision = "{id}"
down_revision = {down}
branch_labels = None
depends_on = None
{attributes}


def upgrade() -> None:
{upgrade}


def downgrade() -> None:
    op.execute("SELECT 1")
'''
ENV = """
from alembic import context

context.configure(dialect_name="postgresql", literal_binds=True)
with context.begin_transaction():
    context.run_migrations()
"""

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a revision above the last one."""
    (tmp_path / "versions").mkdir()
    (tmp_path / "env.py").write_text(ENV)
    written: list[str] = []

    def one(upgrade: str, attributes: str = "") -> str:
        name, down = f"r{len(written)}", repr(written[-1]) if written else None
        body = "\n".join(f"    {line}" for line in upgrade.splitlines())
        text = HEAD.format(slug=name, id=name, down=down, attributes=attributes, upgrade=body)
        (tmp_path / "versions" / f"{name}_x.py").write_text(text)
        written.append(name)
        return name

    return one


def judge(folder: Path, since: str | None = None, context: DatabaseContext | None = None) -> LintReport:
    config = alembic_config(None, folder)
    assert config is not None
    history = load(config)
    judged = history.path_to("heads", () if since is None else (since,))
    return lint_history(config, history, judged, context=context, one_plan=since is not None)


def unwaived(report: LintReport) -> set[tuple[str, str | None]]:
    """What is not waived; that the downgrade of these revisions does nothing has tests of its own."""
    return {(one.hazard, one.revision) for one in honest(report) if one.waived_by is None}


def honest(report: LintReport) -> list[Finding]:
    return [one for one in report.findings if one.hazard != "downgrade-lies"]


OPERATIONS = [
    ('op.create_index("i", "orders", ["a"])', "index-not-concurrent"),
    ('op.drop_index("i", table_name="orders")', "drop-index-not-concurrent"),
    ('op.create_unique_constraint("u", "orders", ["a"])', "constraint-builds-index"),
    ('op.create_foreign_key("f", "orders", "customers", ["a"], ["id"])', "foreign-key-scans"),
    ('op.create_check_constraint("c", "orders", "a > 0")', "check-scans"),
    ('op.alter_column("orders", "a", nullable=False)', "not-null-scans"),
    ('op.alter_column("orders", "a", type_=sa.BigInteger())', "type-change-rewrites"),
    ('op.alter_column("orders", "a", new_column_name="b")', "column-renamed"),
    ('op.alter_column("orders", "a", server_default=None)', "default-dropped"),
    ('op.rename_table("orders", "purchases")', "table-renamed"),
    ('op.drop_column("orders", "a")', "column-dropped"),
    ('op.drop_table("orders")', "table-dropped"),
    ('op.execute("BEGIN; UPDATE t SET a = 1 WHERE id = 1; COMMIT")', "transaction-by-hand"),
    ('op.execute("COMMIT")', "transaction-by-hand"),
    ('op.add_column("orders", sa.Column("a", sa.Text(), nullable=False))', "required-column"),
    ('op.add_column("orders", sa.Column("a", sa.JSON()))', "json-column"),
    (
        'op.add_column("orders", sa.Column("a", sa.Uuid(), server_default=sa.func.random()))',
        "volatile-default",
    ),
    (
        'op.add_column("orders", sa.Column("a", sa.Integer(), sa.Computed("b", persisted=True)))',
        "generated-column-stored",
    ),
    ('op.create_table("t", sa.Column("id", sa.Integer(), primary_key=True))', "integer-key"),
    ('op.create_table("t", sa.Column("a", sa.DateTime()))', "timestamp-without-zone"),
    ('with op.batch_alter_table("orders") as batch:\n    batch.drop_column("a")', "column-dropped"),
    ('op.execute(sa.text("UPDATE orders SET a = 1"))', "unbatched-update"),
    ('op.execute("""\n    TRUNCATE orders;\n    SELECT 1;\n""")', "truncate"),
    ("op.execute(sa.table('orders', sa.column('a', sa.Integer)).update().values(a=1))", "unbatched-update"),
    ("for name in ('orders', 'customers'):\n    op.execute(f'ALTER TABLE {name} ADD COLUMN x text')", "several-locks"),
    ('op.create_index("i", "orders", ["a"], postgresql_concurrently=True)', "concurrently-in-transaction"),
    (
        (
            "with op.get_context().autocommit_block():\n"
            '    op.create_index("i", "orders", ["a"], postgresql_concurrently=True, if_not_exists=True)'
        ),
        "invalid-index-hidden",
    ),
    (
        (
            'op.add_column("orders", sa.Column("b", sa.Text()))\n'
            "with op.get_context().autocommit_block():\n"
            '    op.create_index("i", "orders", ["a"], postgresql_concurrently=True)'
        ),
        "concurrently-beside-others",
    ),
    ("op.execute(\"DO $$ BEGIN EXECUTE format('TRUNCATE %I', 'orders'); END $$\")", "truncate"),
]


@pytest.mark.parametrize(("upgrade", "hazard"), OPERATIONS)
def test_what_an_operation_sends_is_judged(write: Write, tmp_path: Path, upgrade: str, hazard: str) -> None:
    name = write(upgrade)
    report = judge(tmp_path)
    assert report.unknown == {}
    assert (hazard, name) in unwaived(report)


def test_concurrently_alone_in_its_block_is_silent(write: Write, tmp_path: Path) -> None:
    write(
        "with op.get_context().autocommit_block():\n"
        '    op.create_index("i", "orders", ["a"], postgresql_concurrently=True)'
    )
    assert unwaived(judge(tmp_path)) == set()


def test_a_finding_says_the_line_of_the_call(write: Write, tmp_path: Path) -> None:
    write('op.add_column("orders", sa.Column("b", sa.Text()))\nop.drop_column(\n    "orders", "a"\n)')
    (found,) = honest(judge(tmp_path))
    lines = Path(found.file).read_text().splitlines()
    assert lines[found.line - 1].strip() == "op.drop_column("


def test_a_table_of_an_earlier_revision_is_in_use_unless_both_are_one_plan(write: Write, tmp_path: Path) -> None:
    write("pass")
    write('op.create_table("t", sa.Column("id", sa.BigInteger(), primary_key=True), sa.Column("a", sa.Text()))')
    name = write('op.create_index("i", "t", ["a"])')
    assert unwaived(judge(tmp_path)) == {("index-not-concurrent", name)}
    assert unwaived(judge(tmp_path, since="r0")) == set()
    assert unwaived(judge(tmp_path, since="r1")) == {("index-not-concurrent", name)}


def test_what_revisions_before_leave_behind_is_known(write: Write, tmp_path: Path) -> None:
    write('op.execute("ALTER TABLE orders ADD CONSTRAINT c CHECK (a IS NOT NULL) NOT VALID")')
    write('op.execute("ALTER TABLE orders VALIDATE CONSTRAINT c")')
    write('op.alter_column("orders", "a", nullable=False)')
    assert unwaived(judge(tmp_path, since="r1")) == set()
    assert unwaived(judge(tmp_path)) == set()


def test_a_contract_revision_may_drop(write: Write, tmp_path: Path) -> None:
    write('op.drop_column("orders", "a")', attributes='phase = "contract"')
    assert unwaived(judge(tmp_path)) == set()


def test_a_waiver_covers_its_hazard_in_its_revision_alone(write: Write, tmp_path: Path) -> None:
    write('op.drop_column("orders", "a")', attributes='waivers = {"column-dropped": "nothing reads it"}')
    other = write('op.drop_column("orders", "b")')
    report = judge(tmp_path)
    assert unwaived(report) == {("column-dropped", other)}
    assert [one.waived_by for one in honest(report)] == ["nothing reads it", None]


@pytest.mark.parametrize(
    ("waivers", "mistake"),
    [
        ('{"column-dropped": "nothing reads it", "truncate": "it is empty"}', "waiver-unused"),
        ('{"column-dropped": "nothing reads it", "colum-dropped": "so"}', "waiver-unknown"),
        ('{"column-dropped": "  "}', "waiver-without-reason"),
    ],
)
def test_a_waiver_that_is_a_mistake_is_told(write: Write, tmp_path: Path, waivers: str, mistake: str) -> None:
    name = write('op.drop_column("orders", "a")', attributes=f"waivers = {waivers}")
    assert (mistake, name) in unwaived(judge(tmp_path))


def test_a_waiver_of_a_hazard_that_only_this_database_lacks_is_no_mistake(write: Write, tmp_path: Path) -> None:
    write('op.create_index("i", "orders", ["a"])', attributes='waivers = {"index-not-concurrent": "at night"}')
    report = judge(tmp_path, context=DatabaseContext(lock_timeout_set=True))
    assert [one.waived_by for one in honest(report)] == ["at night"]
    new_everywhere = write('op.create_table("orders", sa.Column("id", sa.BigInteger()))')
    assert new_everywhere == "r1"
    small = DatabaseContext(lock_timeout_set=True, tables={})
    assert unwaived(judge(tmp_path, context=small)) == set()


def test_waivers_that_are_put_together_at_run_time_cannot_be_read(write: Write, tmp_path: Path) -> None:
    write("op.execute('SELECT 1')", attributes="waivers = dict(truncate='no')")
    with pytest.raises(RevisionUnreadable, match="r0"):
        judge(tmp_path)


def test_a_statement_that_is_no_sql_is_told_with_its_place(write: Write, tmp_path: Path) -> None:
    write("op.execute('ALTER TABEL orders ADD x int')")
    with pytest.raises(SqlUnreadable, match=r"r0_x\.py:14: syntax error"):
        judge(tmp_path)


def test_a_revision_that_reads_the_database_cannot_be_told_and_the_others_can(write: Write, tmp_path: Path) -> None:
    asking = write('rows = op.get_bind().execute(sa.text("SELECT 1")).fetchall()')
    name = write('op.drop_column("orders", "a")')
    report = judge(tmp_path)
    assert set(report.unknown) == {asking}
    assert unwaived(report) == {("column-dropped", name)}


def test_what_a_revision_raises_is_told_without_what_it_has_read(write: Write, tmp_path: Path) -> None:
    row = "str(4700 + 11)"
    told = {
        write(f'raise ValueError("the code " + {row})'): "ValueError: the code …, at r0_x.py:",
        write(f"raise type('F' + {row}, (BaseException,), {{}})"): "it ends the program (BaseException: at r1_x.py:",
    }
    unknown = judge(tmp_path).unknown
    assert [wanted for name, wanted in told.items() if wanted not in unknown[name]] == [], unknown
    assert "4711" not in str(unknown)


def test_a_waiver_of_a_revision_that_cannot_be_told_is_no_mistake(write: Write, tmp_path: Path) -> None:
    asking = 'rows = op.get_bind().execute(sa.text("SELECT 1")).fetchall()'
    write(asking, attributes='waivers = {"truncate": "it is empty"}')
    assert unwaived(judge(tmp_path)) == set()


def test_recorded_statements_are_judged_as_those_that_are_written_down(write: Write, tmp_path: Path) -> None:
    attributes = 'waivers = {"truncate": "it is empty", "downgrade-lies": "a rehearsal tells"}'
    write('op.execute("TRUNCATE orders")\nop.drop_column("orders", "a")', attributes=attributes)
    history = load(alembic_config(None, tmp_path))
    recorded = [RecordedStatement(sql, True) for sql in ("TRUNCATE orders", "ALTER TABLE orders DROP COLUMN a")]
    found = lint_recorded(history.revisions, {"r0": recorded}, DatabaseContext(lock_timeout_set=True))
    assert [(one.hazard, one.line, one.waived_by) for one in found] == [
        ("column-dropped", 13, None),
        ("truncate", 14, "it is empty"),
    ]


def test_an_env_py_that_cannot_run_here_is_done_without(write: Write, tmp_path: Path) -> None:
    (tmp_path / "env.py").write_text("import a_module_of_the_other_project")
    name = write('op.drop_column("orders", "a")')
    assert unwaived(judge(tmp_path)) == {("column-dropped", name)}


def test_a_percent_sign_is_read_as_it_is_sent(write: Write, tmp_path: Path) -> None:
    write("op.execute(\"DELETE FROM orders WHERE note LIKE '%old%'\")")
    (found,) = honest(judge(tmp_path))
    assert "'%old%'" in found.statement


@pytest.mark.parametrize(
    "downgrade",
    [
        "",
        "def downgrade() -> None:\n    pass\n",
        'def downgrade():\n    """None."""\n',
        "def downgrade():\n    return None\n",
        "def downgrade():\n    raise NotImplementedError('no way back')\n",
        "def downgrade():\n    ...\n",
    ],
)
def test_a_downgrade_that_is_missing_is_told(write: Write, tmp_path: Path, downgrade: str) -> None:
    name = write("op.execute('SELECT 1')")
    (path,) = (tmp_path / "versions").glob("*.py")
    text = path.read_text()
    path.write_text(text[: text.index("def downgrade")] + downgrade)
    assert unwaived(judge(tmp_path)) == {("downgrade-missing", name)}


def test_a_revision_that_does_nothing_needs_no_downgrade(write: Write, tmp_path: Path) -> None:
    write("pass")
    (path,) = (tmp_path / "versions").glob("*.py")
    path.write_text(path.read_text().replace('op.execute("SELECT 1")', "pass"))
    assert unwaived(judge(tmp_path)) == set()


@pytest.mark.parametrize("kind", ["bad", "good"])
def test_the_examples_of_hazards_of_revision_files(tmp_path: Path, kind: str) -> None:
    hazards = [one for one in HAZARDS.values() if one.language == "python"]
    assert hazards
    for hazard in hazards:
        folder = tmp_path / hazard.id / "versions"
        folder.mkdir(parents=True)
        (folder / "20260101_0900_example.py").write_text(hazard.bad if kind == "bad" else hazard.good)
        found = {one.hazard: one.message for one in judge(folder.parent).findings}
        assert found == ({hazard.id: bad_example_output(hazard)} if kind == "bad" else {})


WAYS_BACK = [
    ('op.add_column("orders", sa.Column("a", sa.Text()))', 'op.drop_column("orders", "a")', None),
    ('op.add_column("orders", sa.Column("a", sa.Text()))', 'op.drop_column("orders", "b")', "column orders.a stays"),
    ('op.create_table("t", sa.Column("a", sa.Text()))', 'op.drop_table("t")', None),
    ('op.create_table("t", sa.Column("a", sa.Text()))', 'op.execute("SELECT 1")', "table t stays"),
    ('op.drop_column("known", "a")', 'op.add_column("known", sa.Column("a", sa.Text()))', None),
    ('op.drop_column("known", "a")', 'op.execute("SELECT 1")', "column known.a does not come back"),
    ('op.drop_table("known")', 'op.execute("SELECT 1")', "known does not come back"),
    ('op.rename_table("known", "k")', 'op.rename_table("k", "known")', None),
    ('op.alter_column("known", "a", type_=sa.JSON())', 'op.alter_column("known", "a", type_=sa.Text())', None),
    ('op.alter_column("known", "a", type_=sa.JSON())', 'op.execute("SELECT 1")', "known.a stays json"),
    ('op.create_index("i", "known", ["a"])', 'op.drop_index("i")', None),
    ('op.create_index("i", "known", ["a"])', 'op.drop_index("j")', "index known.i stays"),
    ("op.execute(\"ALTER TYPE mood ADD VALUE 'calm'\")", 'op.execute("SELECT 1")', "labels of mood stay: calm"),
    ('op.alter_column("known", "a", nullable=False)', 'op.alter_column("known", "a", nullable=True)', None),
    ('op.alter_column("orders", "a", nullable=False)', 'op.execute("SELECT 1")', None),
    ('op.execute("UPDATE known SET a = 1")', 'op.execute("SELECT 1")', None),
    ('op.drop_column("known", "a")', "op.execute(\"DO $$ BEGIN EXECUTE current_setting('x.y'); END $$\")", None),
]


@pytest.mark.parametrize(("upgrade", "downgrade", "fault"), WAYS_BACK)
def test_a_downgrade_that_does_not_return_is_told_with_what_differs(
    write: Write, tmp_path: Path, upgrade: str, downgrade: str, fault: str | None
) -> None:
    write("op.execute(\"CREATE TABLE known (a text); CREATE TYPE mood AS ENUM ('glad')\")")
    name = write(upgrade)
    (path,) = (tmp_path / "versions").glob(f"{name}_x.py")
    path.write_text(path.read_text().replace('op.execute("SELECT 1")', downgrade))
    said = [one.message for one in judge(tmp_path, since="r0").findings if one.hazard == "downgrade-lies"]
    assert (len(said) == 1 and fault in said[0]) if fault else said == []
