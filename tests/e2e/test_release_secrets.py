"""No secret and no row's value leaves a release, by whichever of its doors: each runs as its worker runs it."""

import os
import secrets
import sqlite3
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
import pytest
from dulwich.objects import Blob, Commit, ObjectID, Tree
from dulwich.refs import Ref
from dulwich.repo import Repo
from prefect.settings import PREFECT_API_URL, PREFECT_SERVER_DATABASE_CONNECTION_URL

from deployments.settings import Settings
from flows.cli.console.locations import REPOSITORY_ROOT
from tasks import connections
from tasks.builds import application_dsn

# What a person is called, has, and is known by; each is in two parts wherever a revision spells it.
ROWS = ("zoe.quill@example.org", "971-55-0142", "F32.1-quill", "88171442")
WRITTEN = ("ghp_Quill0123456789abcdef0123", "quill-bearer-5512-token", "Quill-9-Tr0ub4dor")
WAIT_S = 180.0

RUN = """
from flows.release import release
from tasks.values import ReleaseRequest
release(ReleaseRequest(ref={ref!r}, watch_seconds=6, rehearse={rehearse!r}))
"""
REVISION = '''
"""Change what is kept of patients."""
import logging
import os
from alembic import op
revision = "20251101_1000"
down_revision = "20250122_1030"
branch_labels = None
depends_on = None
phase = "expand"

def upgrade() -> None:
{upgrade}

def downgrade() -> None:
    {downgrade}
'''
FILE = "migrations/versions/20251101_1000_patients.py"
# Each failure but the last is printed and kept by the revision itself.
FAILS = """
    bind = op.get_bind()
    bind.exec_driver_sql(
        "CREATE TABLE patients (id bigint PRIMARY KEY, ssn text NOT NULL UNIQUE, code text, mail text)"
    )
    bind.exec_driver_sql(
        "INSERT INTO patients VALUES (8817 * 10000 + 1442, '971-' || '55-0142', 'F32.1-' || 'quill',"
        " 'zoe.quill' || '@example.org')"
    )
    for statement in (
        "ALTER ROLE nobody_here PASSWORD 'Quill-9-" + "Tr0ub4dor'",
        "INSERT INTO patients SELECT 2, ssn, code, mail FROM patients",
        "INSERT INTO patients SELECT id, NULL, code, mail FROM patients",
        "ALTER TABLE patients ALTER code TYPE int USING code::int",
    ):
        try:
            with bind.begin_nested():
                bind.exec_driver_sql(statement)
        except Exception as error:
            print(error, bind.engine.url.render_as_string(hide_password=False))
            logging.getLogger("flows").exception("it goes on without: %s", os.environ["NEON_API_KEY"])
    op.execute("INSERT INTO patients SELECT * FROM patients")
"""
UNLOADABLE = """
try:
    raise KeyError(f"postgresql://owner:{os.environ['NEON_API_KEY']}@127.0.0.1/db")
except KeyError as error:
    raise ValueError(str(dict(os.environ))) from error
"""


def revision(upgrade: str, downgrade: str = "pass") -> str:
    return REVISION.format(upgrade=upgrade, downgrade=downgrade)


@contextmanager
def held(dsn: str) -> Generator[None]:
    """A session that stands in the way of a revision, with a person's data in its statement."""
    words = f"SELECT '{ROWS[0]}', '{ROWS[2]}' FROM messages WHERE content = '{ROWS[1]}'"
    with psycopg.connect(dsn) as session:
        session.execute("LOCK TABLE messages IN ACCESS SHARE MODE")
        session.execute(words.encode())
        yield


def secrets_of(settings: Settings) -> set[str]:
    """What opens anything of a platform."""
    dsns = [
        application_dsn(settings, "production").get_secret_value(),
        application_dsn(settings, "staging").get_secret_value(),
        connections.owner_dsn(settings, connections.production_branch(settings)),
        connections.owner_dsn(settings, connections.staging_branch(settings)),
    ]
    passwords = {unquote(str(urlsplit(dsn).password)) for dsn in dsns}
    tokens = (settings.neon_api_key, settings.vercel_token, settings.vercel_automation_bypass_secret)
    hook = urlsplit(settings.slack_webhook_url.get_secret_value()).path.rpartition("/")[2]
    return {*passwords, *(token.get_secret_value() for token in tokens), hook}


def rows_of(database: Path) -> str:
    """All that a file of SQLite keeps."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=60)) as session:
        return "\n".join(session.iterdump())


class Doors:
    """A target, and all that a release of it leaves anywhere.

    Attributes:
        live: the target.
        folder: where what the worker writes goes.
    """

    def __init__(self, live: Any, folder: Path) -> None:
        self.live = live
        self.folder = folder
        self.canaries = {*ROWS, *WRITTEN, *secrets_of(live.settings)}

    def commit(self, changed: dict[str, str]) -> str:
        """Make a ref of the first version with other files."""
        name = f"canary-{secrets.token_hex(4)}"
        with Repo(self.live.settings.release_repository.removeprefix("file://")) as repo:
            parent = repo[repo.refs[Ref(b"refs/heads/v1")]]
            assert isinstance(parent, Commit)
            made = Commit()
            made.tree = _with(repo, parent.tree, changed)
            made.parents = [parent.id]
            made.author = made.committer = b"Ana <ana@example.com>"
            made.author_time = made.commit_time = int(time.time())
            made.author_timezone = made.commit_timezone = 0
            made.message = name.encode()
            repo.object_store.add_object(made)
            repo.refs[Ref(f"refs/heads/{name}".encode())] = made.id
        return name

    def release(self, ref: str, *, rehearse: bool = True, **variables: str) -> str:
        """Release as a worker does; all that anybody can read of it afterwards."""
        given = {
            **os.environ,
            "PREFECT_API_URL": str(PREFECT_API_URL.value()),
            "PREFECT_HOME": str(self.folder / "prefect"),
            "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "true",
            "PREFECT_LOGGING_EXTRA_LOGGERS": "flows,tasks,migrations,deployments",
            "PREFECT_LOGGING_LEVEL": "DEBUG",
            "PYTHONPATH": str(REPOSITORY_ROOT),
            **variables,
        }
        ran = subprocess.run(
            [sys.executable, "-c", RUN.format(ref=ref, rehearse=rehearse)],
            env=given,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 1, ran.stdout + ran.stderr
        self._wait_for_events(ref)
        return "\n".join((ran.stdout, ran.stderr, *self._kept()))

    def _wait_for_events(self, ref: str) -> None:
        """The server keeps events some seconds after they happened."""
        ends = time.monotonic() + WAIT_S
        found = "SELECT 1 FROM events WHERE event = 'prefect.flow-run.Failed' AND resource LIKE ?"
        while True:
            with closing(sqlite3.connect(f"file:{self._prefect_s()}?mode=ro", uri=True, timeout=60)) as session:
                if session.execute(found, (f"%release {ref}%",)).fetchone():
                    return
            assert time.monotonic() < ends
            time.sleep(0.2)

    @staticmethod
    def _prefect_s() -> Path:
        return Path(str(PREFECT_SERVER_DATABASE_CONNECTION_URL.value()).partition("///")[2])

    def _kept(self) -> Iterator[str]:
        yield rows_of(self._prefect_s())
        yield rows_of(Path(self.live.settings.ledger_url.get_secret_value().removeprefix("sqlite:///")))
        yield str(self.live.platform.slack_messages())
        # The revisions of a commit are its author's words.
        for folder in (self.folder, self.live.settings.cache_folder):
            for file in folder.rglob("*"):
                if file.is_file() and not {"revisions", "repository"} & {*file.parts}:
                    yield file.read_bytes().decode(errors="replace")

    def leaked(self, said: str) -> list[str]:
        """The lines that hold what they must not."""
        return [line for line in said.splitlines() if any(canary in line for canary in self.canaries)]


def _with(repo: Repo, root: ObjectID, changed: dict[str, str]) -> ObjectID:
    """The tree of a commit with other files in it."""
    tree = repo[root]
    assert isinstance(tree, Tree)
    tree = tree.copy()
    assert isinstance(tree, Tree)
    for path, text in changed.items():
        first, slash, rest = path.partition("/")
        if slash:
            tree[first.encode()] = (0o040000, _with(repo, tree[first.encode()][1], {rest: text}))
        else:
            blob = Blob.from_string(text.encode())
            repo.object_store.add_object(blob)
            tree[first.encode()] = (0o100644, blob.id)
    repo.object_store.add_object(tree)
    return tree.id


@pytest.fixture
def doors(live: Any, tmp_path: Path) -> Doors:
    return Doors(live, tmp_path)


def test_a_revision_that_cannot_be_loaded_tells_nothing_of_the_worker_s_environment(doors: Doors) -> None:
    said = doors.release(doors.commit({FILE: revision("    pass") + UNLOADABLE}))
    assert doors.leaked(said) == []
    summary = str(doors.live.newest().summary)
    assert Path(FILE).name in summary
    assert "is left out" in summary
    assert "PREFECT_LOGGING_LEVEL" not in summary


def test_a_revision_fails_without_a_word_of_a_secret_or_a_row(doors: Doors) -> None:
    said = doors.release(doors.commit({FILE: revision(FAILS, 'op.execute("DROP TABLE patients")')}))
    assert doors.leaked(said) == []
    for told in ('role "nobody_here" does not exist', "patients_ssn_key", 'column "ssn"', "for type integer"):
        assert told in said
    assert "nothing was touched" in str(doors.live.newest().summary)


def test_a_build_that_prints_its_variables_is_told_without_them(doors: Doors) -> None:
    shown = "\n".join(
        (
            "import os, sys",
            f"print('git clone https://x:{WRITTEN[0]}@github.com/a/b')",
            f"print('Authorization: Bearer {WRITTEN[1]}')",
            "print(os.environ['DATABASE_URL_POOLED'], dict(os.environ), sep='\\n')",
            "sys.exit('the end of the build')",
        )
    )
    said = doors.release(doors.commit({"application/main.py": shown}))
    assert doors.leaked(said) == []
    assert "the end of the build" in said


def test_a_session_in_the_way_is_told_by_the_shape_of_its_statement(doors: Doors) -> None:
    upgrade = '    op.execute("ALTER TABLE messages ADD COLUMN turn int")'
    ref = doors.commit({FILE: revision(upgrade, 'op.execute("ALTER TABLE messages DROP COLUMN turn")')})
    with held(application_dsn(doors.live.settings, "production").get_secret_value()):
        said = doors.release(ref, rehearse=False, PILOTAGE_MIGRATION_BUDGET_S="3")
    assert doors.leaked(said) == []
    assert "SELECT $1, $2 FROM messages WHERE content = $3" in said


def test_a_secret_that_ends_with_a_newline_is_named_by_its_setting(doors: Doors) -> None:
    name = "VERCEL_AUTOMATION_BYPASS_SECRET"
    said = doors.release("v1", rehearse=True, **{name: f"{os.environ[name]}\n"})
    assert doors.leaked(said) == []
    assert f"{name}: begins or ends with a blank or a newline" in said
