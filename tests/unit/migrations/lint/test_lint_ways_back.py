"""Downgrades that are missing or lie, and honest ones; each after a revision that makes the table NAME."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from migrations.lint.locations import alembic_config, load
from migrations.lint.revisions import lint_history

CASES = Path(__file__).parent / "lint_variants" / "downgrades.txt"
ENV = """
from alembic import context

context.configure(dialect_name="postgresql", literal_binds=True)
with context.begin_transaction():
    context.run_migrations()
"""
REVISION = """
import sqlalchemy as sa
from alembic import op

revision = {id!r}
down_revision = {down!r}


def upgrade():
    {up}


{rest}
"""
TABLE = '''op.execute("""
    CREATE TABLE NAME (
        id bigint PRIMARY KEY,
        a int CONSTRAINT NAME_c CHECK (a > 0),
        b text NOT NULL DEFAULT 'x',
        c varchar(20),
        CONSTRAINT NAME_u UNIQUE (a)
    );
    CREATE INDEX NAME_i ON NAME (b);
    CREATE TYPE NAME_m AS ENUM ('x')
    """)'''
NO_TABLE = 'def downgrade():\n    op.execute("DROP TABLE NAME; DROP TYPE NAME_m")\n'


def cases() -> list[tuple[str, str, str]]:
    """Each upgrade with its downgrade and what is told of the two."""
    parts = re.split(r"^#= (.*)\n", CASES.read_text(), flags=re.MULTILINE)[1:]
    pairs = [(parts[at + 1].split("#-\n"), parts[at].strip()) for at in range(0, len(parts), 2)]
    return [(up.strip(), down.strip(), expected) for (up, down), expected in pairs]


PAIRS = cases()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """What is told of each downgrade, all of them in one history."""
    folder = tmp_path_factory.mktemp("downgrades")
    (folder / "versions").mkdir()
    (folder / "env.py").write_text(ENV)
    below: str | None = None
    for number, (up, down, _) in enumerate(PAIRS):
        for name, sent, back in ((f"made{number}", TABLE, NO_TABLE), (f"r{number}", up, down)):
            text = REVISION.format(id=name, down=below, up=sent, rest=back).replace("NAME", f"t{number}")
            (folder / "versions" / f"{name}.py").write_text(text)
            below = name
    config = alembic_config(None, folder)
    assert config is not None
    history = load(config)
    report = lint_history(config, history, history.revisions)
    found = {one.id: "silent" for one in history.revisions}
    for one in report.findings:
        if one.hazard.startswith("downgrade-"):
            found[str(one.revision)] = one.hazard
    return found


@pytest.mark.parametrize(
    "number", range(len(PAIRS)), ids=[f"{up.splitlines()[0][:50]} / {down[-50:]}" for up, down, _ in PAIRS]
)
def test_a_downgrade_is_judged_by_what_it_brings_back(told: Mapping[str, str], number: int) -> None:
    assert told[f"r{number}"] == PAIRS[number][2]
    assert told[f"made{number}"] == "silent"


def test_what_a_revision_prints_is_not_said_for_the_lint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "versions").mkdir()
    (tmp_path / "env.py").write_text(ENV)
    text = REVISION.format(id="r1", down=None, up='print("hello")', rest="def downgrade():\n    pass\n")
    (tmp_path / "versions" / "r1.py").write_text(text)
    config = alembic_config(None, tmp_path)
    assert config is not None
    history = load(config)
    lint_history(config, history, history.revisions)
    assert capsys.readouterr() == ("", "hello\n")
