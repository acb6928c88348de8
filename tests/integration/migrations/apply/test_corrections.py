"""The corrections of the first tables: what stood before, and what is written meanwhile, is right after them."""

import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest

from deployments.local.postgres.provisioning import ProvisionedDatabase
from migrations.apply.migrate import Progress, downgrade, upgrade
from migrations.catalog.contents import read_catalog
from migrations.checks.integrity import run_checks
from migrations.database.session import reader
from migrations.errors import RevisionFailed
from migrations.history.revisions import History
from migrations.restore.restore_point import seal

HISTORY = History.load()
(BEFORE,) = HISTORY.revision("20251121_0900").down_revisions
EXPANDED = "20251129_0900"

LOCAL = Path(__file__).parents[4] / "deployments" / "local"
WORK = """
import os, sys
import database, agents, conversations
database.open_pool(os.environ["DATABASE_URL"])
for line in sys.stdin:
    name = line.strip()
    agents.sign_up(f"{name}@example.org", name)
    agents.create(name, name, f"{name}@example.org")
    conversation = conversations.begin(f"{name}@example.org", name, "Hello")
    conversations.say(conversation, "user", "Hello there")
    conversations.say(conversation, "assistant", "Good day")
    (newest,) = [row for row in conversations.newest(100) if row["id"] == conversation]
    read = len(conversations.messages(conversation)), len(agents.every()) > 0
    print(newest["messageCount"], newest["tokenCount"], *read, flush=True)
"""
WORKED = "2 6 2 True"


@contextmanager
def application(dsn: str, *overlays: str) -> Generator[subprocess.Popen[str]]:
    """The stand-in application's own code at work: a user, an agent and a conversation for each name it is given."""
    folders = [*(LOCAL / "releases" / name / "application" for name in overlays), LOCAL / "application"]
    process = subprocess.Popen(
        [sys.executable, "-c", WORK],
        env=os.environ | {"DATABASE_URL": dsn, "PYTHONPATH": os.pathsep.join(str(folder) for folder in folders)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield process


def work(process: subprocess.Popen[str], name: str) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    print(name, file=process.stdin, flush=True)
    return process.stdout.readline().strip()


def test_the_applications_of_the_first_releases_work_after_every_revision(database: ProvisionedDatabase) -> None:
    (first, second) = (one.id for one in HISTORY.revisions[:2])
    upgrade(database.owner_dsn, HISTORY, target=first, release_id="r")
    answers: dict[str, tuple[str, str]] = {}
    with application(database.app_dsn) as v1, application(database.app_dsn, "v2") as v2:
        assert work(v1, "v1-begins") == WORKED
        upgrade(database.owner_dsn, HISTORY, target=second, release_id="r")

        def both(progress: Progress) -> None:
            revision = progress.revision
            answers[revision] = (work(v1, f"v1-{revision}"), work(v2, f"v2-{revision}"))

        upgrade(database.owner_dsn, HISTORY, release_id="r", on_event=both)
    assert set(answers.values()) == {(WORKED, WORKED)}


class Old:
    """Rows as they were written before the corrections."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection
        self.user = self.add("""users (email, "updatedAt") VALUES ('a@example.org', now())""")
        self.gone = uuid4()
        self.agent = self.add(
            """agents ("createdBy", name, slug, category, model, "endpointUrl", "updatedAt")
               VALUES (%s, 'a', 'a', 'a', 'a', 'a', now())""",
            self.user,
        )
        session = self.add("""chat_sessions ("userId", "lastActivity") VALUES (%s, now())""", self.user)
        self.conversation = self.add(
            """conversations ("chatSessionId", "agentId", title, "messageCount", "tokenCount", "updatedAt")
               VALUES (%s, %s, 'a', 7, 7, '2025-01-01')""",
            session,
            self.agent,
        )
        self.message = self.say()

    def add(self, what: str, *values: object) -> UUID:
        row = self.connection.execute(f"INSERT INTO {what} RETURNING id".encode(), values).fetchone()
        assert row is not None
        return row[0]

    def say(self) -> UUID:
        return self.add(
            """messages ("conversationId", role, content, "tokensInput", "tokensOutput")
               VALUES (%s, 'user', 'a', 3, 4)""",
            self.conversation,
        )

    def artifact(self, owner: str, conversation: UUID | None = None) -> UUID:
        return self.add(
            """artifacts ("agentId", "userId", "conversationId", name, type, content, "updatedAt")
               VALUES (%s, %s, %s, 'a', 'code', 'a', '2025-01-01')""",
            self.agent,
            owner,
            conversation,
        )

    def permission(self, granter: str | None) -> UUID:
        user = self.add("""users (email, "updatedAt") VALUES (gen_random_uuid()::text, now())""")
        return self.add(
            """user_agent_permissions ("userId", "agentId", "grantedBy") VALUES (%s, %s, %s)""",
            user,
            self.agent,
            granter,
        )

    def usage(self, message: str | None, conversation: UUID | None) -> UUID:
        return self.add(
            """usage_logs ("userId", "agentId", "conversationId", "messageId", "tokensInput", "tokensOutput",
                           "totalTokens", model, "costInput", "costOutput", "totalCost")
               VALUES (%s, %s, %s, %s, 1, 1, 2, 'm', 0, 0, 0)""",
            self.user,
            self.agent,
            conversation,
            message,
        )

    def rows(self, query: str) -> dict[object, tuple[object, ...]]:
        return {row[0]: tuple(row[1:]) for row in self.connection.execute(query.encode())}


@pytest.fixture
def old(database: ProvisionedDatabase) -> Iterator[Old]:
    upgrade(database.owner_dsn, HISTORY, target=BEFORE, release_id="r")
    with psycopg.connect(database.app_dsn, autocommit=True) as connection:
        yield Old(connection)


def test_texts_become_keys_and_the_way_back_writes_them_again(database: ProvisionedDatabase, old: Old) -> None:
    made = old.artifact(str(old.user).upper(), old.conversation)
    apart = old.artifact(str(old.user), old.gone)
    granted, granted_by_gone, by_nobody = (
        old.permission(str(old.user)),
        old.permission(str(old.gone)),
        old.permission(None),
    )
    charged = old.usage(str(old.message), old.conversation)
    charged_for_gone = old.usage(str(old.gone), old.gone)
    upgrade(database.owner_dsn, HISTORY, target=EXPANDED, release_id="r")
    meanwhile = old.artifact(str(old.user))
    by_the_next = old.add(
        """artifacts ("agentId", "ownerId", name, type, content) VALUES (%s, %s, 'a', 'code', 'a')""",
        old.agent,
        old.user,
    )
    nobodys = old.artifact("somebody")
    texts = old.rows('SELECT id, "userId", "ownerId" FROM artifacts')
    assert texts[meanwhile] == texts[by_the_next] == (str(old.user), old.user)
    assert texts[nobodys] == ("somebody", None)
    with pytest.raises(RevisionFailed, match="… rows of artifacts have no owner: give each its user, or delete it"):
        upgrade(database.owner_dsn, HISTORY, release_id="r")
    old.connection.execute("DELETE FROM artifacts WHERE id = %s", (nobodys,))
    upgrade(database.owner_dsn, HISTORY, release_id="r")
    artifacts = old.rows("""SELECT id, "ownerId", "conversationId", "updatedAt" = '2025-01-01' FROM artifacts""")
    assert artifacts[made] == (old.user, old.conversation, True)
    assert artifacts[apart] == (old.user, None, True)
    permissions = old.rows('SELECT id, "granterId" FROM user_agent_permissions')
    assert permissions == {granted: (old.user,), granted_by_gone: (None,), by_nobody: (None,)}
    usage = old.rows('SELECT id, "sourceMessageId", "conversationId" FROM usage_logs')
    assert usage == {charged: (old.message, old.conversation), charged_for_gone: (None, None)}
    downgrade(database.owner_dsn, HISTORY, BEFORE)
    texts = old.rows("""SELECT id, "userId", "updatedAt" = '2025-01-01' FROM artifacts""")
    assert texts[made] == (str(old.user), True)
    assert old.rows('SELECT id, "grantedBy" FROM user_agent_permissions')[granted] == (str(old.user),)
    assert old.rows('SELECT id, "messageId" FROM usage_logs')[charged] == (str(old.message),)


@pytest.mark.parametrize("written", ["artifact", "permission", "usage"])
def test_a_text_that_was_never_a_key_stops_the_release_and_is_told(
    database: ProvisionedDatabase, old: Old, written: str
) -> None:
    if written == "artifact":
        old.artifact(str(old.gone))
    elif written == "permission":
        old.permission("the administrator")
    else:
        old.usage("message 7", None)
    with pytest.raises(RevisionFailed, match=r"… rows of \w+ (name no user in|have a) .*: SELECT id, ") as caught:
        upgrade(database.owner_dsn, HISTORY, release_id="r")
    said = str(caught.value)
    query = said[said.index("SELECT id") :].split(" in: ", maxsplit=1)[0]
    assert len(old.connection.execute(query.encode()).fetchall()) == 1


def test_more_rows_than_a_batch_are_all_filled_in(database: ProvisionedDatabase, old: Old) -> None:
    old.connection.execute(
        """INSERT INTO artifacts ("agentId", "userId", name, type, content, "updatedAt")
           SELECT %s, %s, 'a', 'code', 'a', now() FROM generate_series(1, 2500)""",
        (old.agent, old.user),
    )
    upgrade(database.owner_dsn, HISTORY, target=EXPANDED, release_id="r")
    assert old.rows('SELECT "ownerId", count(*) FROM artifacts GROUP BY 1') == {old.user: (2500,)}


def test_counts_that_were_wrong_are_corrected_without_touching_the_row(database: ProvisionedDatabase, old: Old) -> None:
    old.say()
    upgrade(database.owner_dsn, HISTORY, release_id="r")
    conversations = old.rows('SELECT id, "messageCount", "tokenCount", "updatedAt"::text FROM conversations')
    assert conversations == {old.conversation: (2, 14, "2025-01-01 00:00:00")}


def test_a_user_with_a_trail_is_not_deleted(database: ProvisionedDatabase, old: Old) -> None:
    upgrade(database.owner_dsn, HISTORY, release_id="r")
    old.add("""audit_logs ("adminId", action) VALUES (%s, 'user.create')""", old.user)
    with pytest.raises(psycopg.errors.RestrictViolation, match="audit_logs_adminId_fkey"):
        old.connection.execute("DELETE FROM users WHERE id = %s", (old.user,))


def test_every_check_passes_after_the_corrections(database: ProvisionedDatabase, old: Old) -> None:
    old.artifact(str(old.user), old.gone)
    old.usage(str(old.gone), old.gone)
    upgrade(database.owner_dsn, HISTORY, release_id="r")
    with reader(database.owner_dsn) as connection:
        promised = read_catalog(connection)
    results = run_checks(database.owner_dsn, promised=promised, row_counts=seal(database.owner_dsn).row_counts)
    assert {one.check: one.violations for one in results if one.violations} == {}
