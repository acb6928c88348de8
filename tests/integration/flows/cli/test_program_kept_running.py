"""An env.py or a revision that calls for the end of the program ends no command in silence: it is an error."""

from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from deployments.local.postgres.provisioning import ProvisionedDatabase
from flows.cli import app

ENV = """
from alembic import context
from sqlalchemy import create_engine, pool

engine = create_engine(context.config.get_main_option("sqlalchemy.url"), poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
REVISION = '''"""Step one."""
from alembic import op
import sys
revision = "r1"
down_revision = None
{head}

def upgrade():
    op.execute("CREATE TABLE a (id int)")
    {up}

def downgrade():
    op.execute("DROP TABLE a")
'''


def project(folder: Path, *, env: str = ENV, head: str = "", up: str = "") -> Path:
    (folder / "versions").mkdir(parents=True)
    (folder / "env.py").write_text(env)
    (folder / "versions" / "r1.py").write_text(REVISION.format(head=head, up=up))
    return folder


@pytest.mark.parametrize("code", ["", "'stop here'"])
@pytest.mark.parametrize(
    ("where", "command"),
    [
        ("head", "history"),
        ("head", "status"),
        ("head", "apply"),
        ("head", "plan"),
        ("env.py", "status"),
        ("env.py", "apply"),
        ("env.py", "plan"),
        ("upgrade", "apply"),
        ("upgrade", "lint"),
    ],
)
def test_no_command_ends_in_silence_where_a_file_ends_the_program(
    database: ProvisionedDatabase, tmp_path: Path, where: str, command: str, code: str
) -> None:
    exits = f"sys.exit({code})"
    given = {"env.py": {"env": f"import sys\n{exits}\n"}, "head": {"head": exits}, "upgrade": {"up": exits}}[where]
    folder = project(tmp_path / "project", **given)
    url = [] if command in {"history", "lint"} else ["--database-url", database.owner_dsn]
    done = CliRunner().invoke(app, [command, "--script-location", str(folder), *url])
    assert done.exit_code != 0
    assert "it ends the program (SystemExit: " in " ".join(done.output.split())
    with psycopg.connect(database.owner_dsn) as connection:
        assert connection.execute("SELECT to_regclass('a') IS NULL").fetchone() == (True,)
