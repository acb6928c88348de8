"""Cases of lint_variants/: what each has is told, and nothing else; `--=` and `#=` say what that is."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from migrations.lint.hazard_registry import HAZARDS
from migrations.lint.judging import lint
from migrations.lint.locations import alembic_config, load
from migrations.lint.revisions import lint_history
from migrations.lint.sql_files import parse_sql

CASES = Path(__file__).parent / "lint_variants"
TIMEOUT = "SET lock_timeout = '2s';\n"
ENV = """
from alembic import context

context.configure(dialect_name="postgresql", literal_binds=True)
with context.begin_transaction():
    context.run_migrations()
"""
HEAD = """
import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.orm import Session

revision = {id!r}
down_revision = {down!r}


def upgrade() -> None:
"""
DOWNGRADE = """

def downgrade() -> None:
    op.execute("SELECT 1")
"""


def cases(pattern: str, mark: str) -> list[tuple[str, str]]:
    """Each case with what it has, from all files of a kind."""
    found: list[tuple[str, str]] = []
    for file in sorted(CASES.glob(pattern)):
        parts = re.split(rf"^{mark}=(.*)$", file.read_text(), flags=re.MULTILINE)[1:]
        found += [(parts[at + 1].strip(), parts[at].strip()) for at in range(0, len(parts), 2)]
    return found


SQL = cases("*.sql", "--")
OPERATIONS = cases("operations.txt", "#")


@pytest.mark.parametrize(("sql", "expected"), SQL, ids=[f"{expected}: {sql[:50]}" for sql, expected in SQL])
def test_what_a_statement_has_is_told_and_nothing_else(sql: str, expected: str) -> None:
    history = parse_sql(TIMEOUT + sql, "history.sql")
    told = {one.hazard for one in lint(history.statements, None, history.waivers) if one.waived_by is None}
    assert " ".join(sorted(told)) == expected.replace("silent", "")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """What is told of each operation, all of them in one history."""
    folder = tmp_path_factory.mktemp("operations")
    (folder / "versions").mkdir()
    (folder / "env.py").write_text(ENV)
    down: str | None = None
    for number, (body, _) in enumerate(OPERATIONS):
        lines = "".join(f"    {line}\n" for line in body.splitlines())
        text = HEAD.format(id=f"r{number}", down=down) + lines + DOWNGRADE
        (folder / "versions" / f"r{number}.py").write_text(text)
        down = f"r{number}"
    config = alembic_config(None, folder)
    assert config is not None
    history = load(config)
    report = lint_history(config, history, history.revisions)
    found: dict[str, set[str]] = {one.id: set() for one in history.revisions}
    for one in report.findings:
        if one.hazard != "downgrade-lies":
            found[str(one.revision)].add(one.hazard)
    for revision in report.unknown:
        found[revision].add("unknown")
    return {revision: " ".join(sorted(hazards)) for revision, hazards in found.items()}


@pytest.mark.parametrize("number", range(len(OPERATIONS)), ids=[body[:60] for body, _ in OPERATIONS])
def test_what_an_operation_has_is_told_and_nothing_else(told: Mapping[str, str], number: int) -> None:
    assert told[f"r{number}"] == OPERATIONS[number][1].replace("silent", "")


def test_a_case_names_hazards_that_there_are() -> None:
    named = {hazard for _, expected in (*SQL, *OPERATIONS) for hazard in expected.split()}
    assert named - {"silent", "unknown"} <= HAZARDS.keys()
