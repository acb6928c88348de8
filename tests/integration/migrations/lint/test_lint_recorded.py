"""Revisions that Alembic cannot write down are run on a throwaway database."""

from pathlib import Path

from deployments.local.postgres.provisioning import ProvisionedDatabase
from migrations.history.revisions import History
from migrations.lint.locations import alembic_config, load
from migrations.lint.recorded import record_what_runs
from migrations.lint.revisions import LintReport, lint_history

REVISION = '''"""Do it."""
import sqlalchemy as sa
from alembic import op

revision, down_revision = "{id}", {down}


def upgrade() -> None:
    {upgrade}


def downgrade() -> None:
    op.execute("SELECT 1")
'''
STEPS = (
    'op.execute("CREATE TABLE orders (id bigint PRIMARY KEY, a text)")',
    'for name in op.get_bind().execute(sa.text("SELECT \'a\'")).scalars(): op.drop_column("orders", name)',
    'op.get_bind().execute(sa.text("SELECT no_such_function()")).scalar_one()',
)


def history_at(folder: Path) -> tuple[History, Path]:
    (folder / "versions").mkdir()
    for number, step in enumerate(STEPS):
        text = REVISION.format(id=f"r{number}", down=repr(f"r{number - 1}") if number else None, upgrade=step)
        (folder / "versions" / f"r{number}_x.py").write_text(text)
    return History.load(folder), folder


def judged(folder: Path, dsn: str | None) -> LintReport:
    history, _ = history_at(folder)
    config = alembic_config(None, folder)
    assert config is not None
    record = None if dsn is None else (lambda: record_what_runs(dsn, history))
    return lint_history(config, load(config), history.revisions, record=record)


def test_what_reads_the_database_is_told_once_it_has_run_and_what_fails_stays_unknown(
    database: ProvisionedDatabase, tmp_path: Path
) -> None:
    report = judged(tmp_path, database.owner_dsn)
    assert set(report.unknown) == {"r2"}
    assert ("column-dropped", "r1") in {(one.hazard, one.revision) for one in report.findings}


def test_without_a_server_both_stay_unknown(tmp_path: Path) -> None:
    assert set(judged(tmp_path, None).unknown) == {"r1", "r2"}
