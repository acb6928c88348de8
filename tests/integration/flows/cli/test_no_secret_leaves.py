"""No secret leaves a command, however malformed the address is that holds it, and whatever env.py does with it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
import pytest
from typer.testing import CliRunner

from deployments.local.postgres.provisioning import ProvisionedDatabase
from flows.cli import app
from flows.cli.console.locations import REPOSITORY_ROOT

CANARY = "Zeb4raFinch"
LEFT, RIGHT = "Zeb4ra", "Finch9Horse"

# Each holds the canary, or both of its halves, where a password stands or was meant to stand.
MALFORMED = [
    *(
        f"postgresql://owner:{LEFT}{mark}{RIGHT}@127.0.0.1/db"
        for mark in (
            "/",
            "@",
            "#",
            "?",
            "%",
            " ",
            "\n",
            "\t",
            ":",
            "//",
            "/@",
            "@/",
            "%zz",
            "[",
            "]",
            "&",
            "=",
            "'",
            '"',
        )
    ),
    *(f"postgresql://owner:{LEFT}{mark}{RIGHT}@127.0.0.1:5432/db" for mark in ("/", "@", "?x=", "%0")),
    f"postgresql://owner:5432/{CANARY}@127.0.0.1/db",
    f"postgresql://owner:{CANARY}",
    f"postgresql://owner:{CANARY}/db",
    f"postgresql://owner:{CANARY}@",
    f"postgresql://owner:{CANARY}@host:port/db",
    f"postgresql://owner:{CANARY}@127.0.0.1/db?sslmode",
    f"postgresql://owner:{CANARY}@127.0.0.1/db?pgbouncer=true",
    f"postgresql://127.0.0.1/db?password={CANARY}&nonsense=1",
    f"postgresql:///db?password={CANARY} {RIGHT}",
    f"postgresql:/owner:{CANARY}@127.0.0.1/db",
    f"postgres//owner:{CANARY}@127.0.0.1/db",
    f"owner:{CANARY}@127.0.0.1/db",
    f"postgresql+psycopg://owner:{LEFT}/{RIGHT}@127.0.0.1/db",
    f"mysql://owner:{CANARY}@127.0.0.1/db",
    f"jdbc:postgresql://127.0.0.1/db?user=owner&password={CANARY}",
    f"host=127.0.0.1 password={LEFT} {RIGHT} dbname=db",
    f"host=127.0.0.1 password='{LEFT} {RIGHT} dbname=db",
    f"host=127.0.0.1 port=nowhere password={CANARY}",
    f"host=127.0.0.1 passwort={CANARY}",
    f" postgresql://owner:{CANARY}@127.0.0.1:1/db\n",
    f"postgresql://owner:{quote(LEFT + '/' + RIGHT, safe='')}@127.0.0.1:1/db",
]
COMMANDS = [
    ["status"],
    ["status", "--json"],
    ["history"],
    ["apply"],
    ["plan"],
    ["rehearse"],
    ["lint", "--database-url", ""],
    ["check", "--live"],
    ["metrics"],
    ["roles", "--application", "app"],
    ["seed"],
    ["resolve", "--applied", "20250122_1030"],
    ["reset", "--yes"],
    ["security-check"],
    ["rotate-keys"],
    ["create-super-admin"],
    ["backfill", "status"],
    ["env", "check"],
    ["ledger"],
    ["drift"],
    ["branch", "list"],
    ["studio", "--no-browser"],
    ["merge"],
    ["schema"],
]


def canaries(text: str) -> list[str]:
    return [word for word in (CANARY, LEFT, RIGHT, "Finch9") if word in text]


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without settings, and an environment without any."""
    for name in [*os.environ]:
        if name.startswith(("NEON_", "VERCEL_", "PILOTAGE_", "DATABASE_URL", "ENCRYPTION_KEYS", "LEDGER_", "PG")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(*arguments: str) -> str:
    """All that a command tells, its own exception included."""
    result = CliRunner().invoke(app, list(arguments))
    return f"{result.output}\n{result.exception!r}\n{result.exit_code}"


@pytest.mark.parametrize("dsn", MALFORMED)
def test_a_malformed_address_is_refused_without_a_word_of_it(
    alone: Path, monkeypatch: pytest.MonkeyPatch, dsn: str
) -> None:
    said = told("status", "--database-url", dsn)
    assert canaries(said) == []
    assert "error:" in said
    monkeypatch.setenv("DATABASE_URL", dsn)
    assert canaries(told("status")) == []
    assert canaries(told("env", "check")) == []


@pytest.mark.parametrize("mark", ["/", "@", "#", "?", "%", " ", "\n"])
def test_an_address_with_a_delimiter_in_its_password_is_not_called_ready(
    alone: Path, monkeypatch: pytest.MonkeyPatch, mark: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://owner:{LEFT}{mark}{RIGHT}@127.0.0.1/db")
    said = told("env", "check")
    assert "DATABASE_URL cannot be read" in said
    assert "write it as postgresql://<user>:<password>@host/database" in said
    assert "on the development database: ready" not in said
    assert "needs DATABASE_URL" in said


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_tells_a_word_of_a_malformed_address(
    alone: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    for dsn in MALFORMED[:8]:
        for name in ("DATABASE_URL", "LEDGER_URL", "RELEASE_REPOSITORY", "APP_DATABASE_URL"):
            monkeypatch.setenv(name, dsn)
        assert canaries(told(*command)) == [], (command, dsn)


@pytest.mark.parametrize("command", ["security-check --environment development", "local traffic"])
def test_what_is_no_address_of_an_application_is_refused_without_a_word_of_it(alone: Path, command: str) -> None:
    for given in (*MALFORMED[:8], f"http://{CANARY}:port", f"https://app\t{CANARY}", "//", ""):
        said = told(*command.split(), "--url", given)
        assert canaries(said) == [], given
        assert "--url" in said, given
        assert "SystemExit(2)" in said, given


@pytest.mark.parametrize("command", ["local status", "local down", "local demo", "db status", "db down"])
def test_a_file_where_the_folder_of_a_platform_is_wanted_is_refused(alone: Path, command: str) -> None:
    (alone / "file").touch()
    said = told(*command.split(), "--state", "file")
    assert "--state" in said
    assert "SystemExit(2)" in said


def test_a_file_of_settings_is_no_door_either(alone: Path) -> None:
    for number, dsn in enumerate(MALFORMED):
        file = alone / f"{number}.env"
        file.write_text(f"DATABASE_URL={dsn!r}\nLEDGER_URL={dsn!r}\n")
        assert canaries(told("--env-file", str(file), "status")) == [], dsn


CONFIGURED = """
import logging, os, sys, warnings
from alembic import context
config = context.config
url = os.environ["DATABASE_URL"]
"""
PASSWORD = "Zeb4ra@Finch/9Horse"
SECRETS = ["Zeb4ra", "Finch", "9Horse"]
READS = """
import psycopg
with psycopg.connect(url.replace("+psycopg", "")) as session:
    who = session.execute("SELECT 'ana' || '-4711'").fetchone()[0]
"""
ROW = "ana-4711"
OF_A_ROW = {
    "raise ValueError(who)": "ValueError, at env.py:",
    "raise ValueError(f'the tenant {who} is unknown')": "ValueError: the tenant … is unknown, at env.py:",
    "raise RuntimeError('set TENANT')": "RuntimeError: set TENANT, at env.py:",
    "{}[who]": "KeyError, at env.py:",
    "os.environ['OUR_TENANT']": "KeyError: 'OUR_TENANT', at env.py:",
    "int(who)": "at env.py:",
    "import nowhere_to_be_found": "ModuleNotFoundError: No module named 'nowhere_to_be_found', at env.py:",
    "import importlib; importlib.import_module(who)": "ModuleNotFoundError",
    "nobody(who)": "NameError: name 'nobody' is not defined, at env.py:",
    "getattr(os, who)": "AttributeError, at env.py:",
    "import types; types.ModuleType(who).nothing": "AttributeError, at env.py:",
    "compile(who + ' (', who, 'exec')": "SyntaxError, at env.py:",
    "open('/nowhere/' + who)": "No such file or directory",
    "sys.exit(f'no tenant {who}')": "it ends the program (SystemExit: no tenant …",
    "class Gone(BaseException): ...\nraise Gone(f'no tenant {who}')": "it ends the program (Gone: no tenant …",
    "raise type(who, (ValueError,), {})": "its env.py: ValueError, at env.py:",
    "raise type(who, (KeyboardInterrupt,), {})": "it ends the program (KeyboardInterrupt: at env.py:",
    "import psycopg.errors; raise psycopg.errors.DivisionByZero(who)": "DivisionByZero, at env.py:",
    "error = ValueError('so'); error.add_note(who); raise error": "ValueError",
    "\ntry: raise KeyError(who)\nexcept KeyError as error: raise ValueError('so') from error": "ValueError",
    "from alembic.util import CommandError; raise CommandError(who)": "CommandError, at env.py:",
    "context.configure(url=who)": "Could not parse SQLAlchemy URL",
    "with psycopg.connect(url.replace('+psycopg', '')) as session:"
    " session.execute(f\"SELECT '{who}'::int\")": "type integer",
    "from sqlalchemy import create_engine, text, NullPool\n"
    "with create_engine(url, poolclass=NullPool).connect() as session:"
    " session.execute(text('SELECT CAST(:it AS int)'), {'it': who})": "type integer",
}
ENVIRONMENTS = {
    "interpolated": 'config.set_main_option("sqlalchemy.url", url)\nconfig.get_section("alembic")',
    "worded": "raise RuntimeError(f'cannot use {url}')",
    "in its arguments": "raise RuntimeError('no', {'url': url}, [url])",
    "chained": "try:\n    raise KeyError(url)\nexcept KeyError as error:\n    raise ValueError('so') from error",
    "while handled": "try:\n    raise KeyError(url)\nexcept KeyError:\n    int(url)",
    "printed": "print(url)\nprint(url, file=sys.stderr)\nraise RuntimeError('done')",
    "logged": "logging.getLogger('mine').error('at %s', url)\nlogging.basicConfig()\nlogging.error(url)\nint('x')",
    "warned": "warnings.warn(f'old: {url}')\nraise RuntimeError('done')",
    "left": "sys.exit(f'no: {url}')",
    "of a group": "raise ExceptionGroup('all', [ValueError(url), OSError(2, url)])",
    "noted": "error = ValueError('so')\nerror.add_note(url)\nraise error",
    "of its own words": "class E(Exception):\n    def __str__(self): return url\nraise E",
    "decoded": "from urllib.parse import unquote\nraise ValueError(unquote(url))",
    "built anew": "from urllib.parse import unquote\nfrom sqlalchemy import create_engine\n"
    "create_engine(unquote(url)).connect()",
    "unreadable": "from psycopg.conninfo import conninfo_to_dict\nconninfo_to_dict(url + '?x=' + url)",
    "asked by urllib": "from urllib.request import urlopen\nurlopen(url)",
    "literal": "postgresql = 'LITERAL'; raise RuntimeError('see the line')",
    "escaped": "import json\nraise ValueError(json.dumps([repr(url)]))",
}


@pytest.fixture
def theirs(alone: Path, database: ProvisionedDatabase) -> tuple[Path, str]:
    """A project of somebody else with one revision, and a database whose password has to be encoded."""
    folder = alone / "theirs"
    (folder / "versions").mkdir(parents=True)
    (folder / "versions" / "a1_first.py").write_text(
        'from alembic import op\nrevision = "a1"\ndown_revision = None\n\n'
        'def upgrade():\n    op.execute("CREATE TABLE one (id int)")\n\n'
        'def downgrade():\n    op.execute("DROP TABLE one")\n'
    )
    with psycopg.connect(database.superuser_dsn, autocommit=True) as superuser:
        superuser.execute(f"ALTER ROLE {database.owner} PASSWORD '{PASSWORD}'".encode())
    given = urlsplit(database.owner_dsn)
    dsn = f"postgresql://{database.owner}:{quote(PASSWORD, safe='')}@{given.netloc.rpartition('@')[2]}{given.path}"
    return folder, dsn


@pytest.mark.parametrize("deed", ENVIRONMENTS)
def test_an_environment_that_words_its_address_is_told_without_it(theirs: tuple[Path, str], deed: str) -> None:
    folder, dsn = theirs
    (folder / "env.py").write_text(CONFIGURED + ENVIRONMENTS[deed].replace("LITERAL", dsn) + "\n")
    for command in ("apply", "plan"):
        said = told(command, "--database-url", dsn, "--script-location", str(folder))
        assert [one for one in SECRETS if one in said] == [], said


@pytest.mark.parametrize("deed", OF_A_ROW)
def test_an_environment_that_fails_before_any_revision_tells_no_row(theirs: tuple[Path, str], deed: str) -> None:
    folder, dsn = theirs
    (folder / "env.py").write_text(f"{CONFIGURED}{READS}{deed}\n")
    for command in ("apply", "plan"):
        said = told(command, "--database-url", dsn, "--script-location", str(folder))
        assert [one for one in (*SECRETS, ROW) if one in said] == [], said
        assert OF_A_ROW[deed] in said


def test_a_folder_that_is_called_alembic_is_not_alembic_itself(theirs: tuple[Path, str]) -> None:
    folder, dsn = theirs
    folder = folder.rename(folder.with_name("alembic"))
    (folder / "env.py").write_text(f"{CONFIGURED}{READS}raise ValueError(who)\n")
    said = told("apply", "--database-url", dsn, "--script-location", str(folder))
    assert ROW not in said
    assert "ValueError, at env.py:" in said


def test_a_syntax_error_of_an_environment_is_told_with_its_place(theirs: tuple[Path, str]) -> None:
    folder, dsn = theirs
    (folder / "env.py").write_text("a = (\n")
    assert "SyntaxError: '(' was never closed, at env.py:1" in told(
        "apply", "--database-url", dsn, "--script-location", str(folder)
    )


# What the commands import is imported once; each runs in a process of its own all the same, with streams of its own.
EACH_IN_ITS_PROCESS = """
import os, sys
from flows.cli import app
for folder in sys.argv[1:]:
    child = os.fork()
    if child == 0:
        told = os.open(os.path.join(folder, "told"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(told, 1)
        os.dup2(told, 2)
        sys.argv[1:] = ["apply", "--script-location", folder]
        app()
    assert os.WEXITSTATUS(os.waitpid(child, 0)[1]) != 0, folder
"""


def test_nor_does_it_reach_the_streams_of_a_process(theirs: tuple[Path, str]) -> None:
    folder, dsn = theirs
    folders: list[Path] = []
    for deed in ("interpolated", "printed", "logged", "left", "literal", "of a group"):
        folders.append(folder.parent / deed)
        shutil.copytree(folder, folders[-1])
        (folders[-1] / "env.py").write_text(CONFIGURED + ENVIRONMENTS[deed].replace("LITERAL", dsn) + "\n")
    ran = subprocess.run(
        [sys.executable, "-c", EACH_IN_ITS_PROCESS, *folders],
        env={**os.environ, "DATABASE_URL": dsn, "PYTHONPATH": str(REPOSITORY_ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    for one in folders:
        said = (one / "told").read_text()
        assert "error:" in said, (one.name, said)
        assert [secret for secret in SECRETS if secret in said] == [], (one.name, said)
