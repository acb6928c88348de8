import base64
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import psycopg
import pytest
import typer
from typer.testing import CliRunner

from deployments.local.postgres.provisioning import ProvisionedDatabase
from deployments.local.supervisor.running import RunningPlatform
from deployments.settings import Settings, variable
from flows.cli.security import security_check
from migrations.apply.migrate import upgrade
from migrations.history.revisions import History

LINES = [
    "OAuth tokens are encrypted",
    "Medical data is encrypted",
    "Financial numbers are encrypted, and masked",
    "Row-level security is enabled",
    "Sensitive actions are in the audit log",
    "Connection strings are secrets",
    "Backups are encrypted",
    "Connections force TLS",
    "The API limits the rate of requests",
    "Inputs are validated",
]
SETTINGS = {
    "NEON_API_URL": "http://127.0.0.1:1/api/v2",
    "NEON_API_KEY": "key",
    "NEON_PROJECT_ID": "quiet-harbor-12345678",
    "NEON_DATABASE": "shop",
    "NEON_OWNER_ROLE": "shop_owner",
    "NEON_APP_ROLE": "shop_app",
    "VERCEL_API_URL": "http://127.0.0.1:1",
    "VERCEL_TOKEN": "token",
    "VERCEL_TEAM_ID": "team_1",
    "VERCEL_PROJECT_ID": "prj_1",
    "VERCEL_CONFIG_ID": "ecfg_1",
    "VERCEL_AUTOMATION_BYPASS_SECRET": "bypass",
    "RELEASE_REPOSITORY": "/nowhere.git",
    "PRODUCTION_URL": "http://127.0.0.1:1",
    "SLACK_WEBHOOK_URL": "http://127.0.0.1:1/hook",
}


class Strict(BaseHTTPRequestHandler):
    """An application that limits the rate, and refuses what is malformed."""

    def do_GET(self) -> None:
        """Answer a read."""
        self.answer(200)

    def do_POST(self) -> None:
        """Refuse a write."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(422)

    def answer(self, status: int) -> None:
        """Answer without a body."""
        self.send_response(status)
        self.send_header("RateLimit", '"default";r=99;t=60')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that the base class gave it
        """Say nothing."""


@pytest.fixture
def application() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Strict) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def shop(database: ProvisionedDatabase, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ProvisionedDatabase:
    """A database at the first revision, in a folder without settings and without git."""
    upgrade(database.owner_dsn, History.load(), target="20250122_1030", release_id="test")
    monkeypatch.chdir(tmp_path)
    for name in map(variable, Settings.model_fields):
        monkeypatch.delenv(name, raising=False)
    for name in ("PILOTAGE_ENV_FILE", "ENCRYPTION_KEYS", "DATABASE_URL_POOLED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATABASE_URL", database.owner_dsn)
    monkeypatch.setenv("NEON_APP_ROLE", database.app)
    monkeypatch.setenv("COLUMNS", "200")
    return database


def run(*arguments: str) -> tuple[int, str, str]:
    app = typer.Typer()
    app.command()(security_check)
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.stdout, " ".join(result.stderr.split())


def states(*arguments: str) -> tuple[int, dict[str, str]]:
    code, said, _ = run(*arguments, "--json")
    return code, {one["line"]: one["state"] for one in json.loads(said)["findings"]}


def test_every_line_of_the_checklist_is_answered_in_its_order(shop: ProvisionedDatabase) -> None:
    code, found = states("--environment", "development")
    assert list(found) == LINES
    # The first revision deletes the trail with its user, and the application may change it.
    assert (code, found["Sensitive actions are in the audit log"]) == (1, "broken")
    assert found["Connections force TLS"] == "holds"
    assert found["Backups are encrypted"] == found["Inputs are validated"] == "cannot tell"


@pytest.mark.parametrize(
    ("given", "known"),
    [({"NEON_APP_ROLE": "{app}"}, True), ({"DATABASE_URL_POOLED": "{app_dsn}"}, True), ({}, False)],
    ids=["by its name", "by its connection string", "not at all"],
)
def test_the_application_s_role_is_known_from_what_is_set(
    shop: ProvisionedDatabase, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], known: bool
) -> None:
    monkeypatch.delenv("NEON_APP_ROLE")
    for name, value in given.items():
        monkeypatch.setenv(name, value.format(app=shop.app, app_dsn=shop.app_dsn))
    _, said, _ = run("--environment", "development", "--json")
    audited = json.loads(said)["findings"][4]["detail"]
    assert (f"{shop.app} has UPDATE, DELETE on audit_logs" in audited) is known
    assert ("the application's role is not known" in audited) is not known


def test_without_anything_broken_what_cannot_be_told_ends_with_2(shop: ProvisionedDatabase) -> None:
    with psycopg.connect(shop.owner_dsn) as connection:
        connection.execute("DROP TABLE audit_logs")
    code, found = states("--environment", "development")
    assert (code, set(found.values())) == (2, {"holds", "cannot tell"})


def test_plain_tokens_are_broken_and_said_so(shop: ProvisionedDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENCRYPTION_KEYS", "k1:" + base64.b64encode(b"1" * 32).decode())
    with psycopg.connect(shop.owner_dsn) as connection:
        connection.execute(
            """WITH made AS (INSERT INTO users (email, "updatedAt") VALUES ('a@example.com', now()) RETURNING id)
               INSERT INTO accounts ("userId", type, provider, "providerAccountId", access_token, "updatedAt")
               SELECT id, 'oauth', 'google', '1', 'ya29.plain', now() FROM made"""
        )
    code, said, _ = run("--environment", "development")
    assert code == 1
    assert "1 values of accounts.access_token are not encrypted" in said
    assert "ya29.plain" not in said


def test_the_application_is_asked_where_its_address_is_given(shop: ProvisionedDatabase, application: str) -> None:
    _, found = states("--environment", "staging", "--database-url", shop.owner_dsn, "--url", application)
    assert found["The API limits the rate of requests"] == found["Inputs are validated"] == "holds"


def test_the_local_platform_s_copies_are_plain(shop: ProvisionedDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    code, found = states("--environment", "production", "--database-url", shop.owner_dsn)
    assert (code, found["Backups are encrypted"]) == (1, "broken")
    # Its address is known from the settings, and nobody answers there.
    assert found["Inputs are validated"] == "cannot tell"


@pytest.mark.parametrize("environment", ["production", "staging"])
def test_an_environment_is_found_through_neon(
    platform: RunningPlatform, monkeypatch: pytest.MonkeyPatch, environment: str
) -> None:
    for name, value in platform.env.items():
        monkeypatch.setenv(name, value)
    code, found = states("--environment", environment)
    assert (code, found["Backups are encrypted"], found["Connections force TLS"]) == (1, "broken", "holds")


def test_keys_that_cannot_be_read_stop_it_and_are_not_told(
    shop: ProvisionedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENCRYPTION_KEYS", "k1:not-a-key")
    code, _, said = run("--environment", "development", "--database-url", shop.owner_dsn)
    assert (code, "not-a-key" in said, "ENCRYPTION_KEYS" in said) == (1, False, True)
