"""`pilotage studio`: pages over a real database, for this machine alone."""

import csv
import io
import re
import socket
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress

import httpx
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import NullPool, create_engine
from typer.testing import CliRunner

from deployments.local.hosting.servers import HttpServer
from deployments.local.postgres.cluster import free_port
from deployments.local.postgres.provisioning import ProvisionedDatabase
from deployments.local.supervisor.running import RunningPlatform
from flows.cli import app
from flows.cli.console.command_errors import CommandFailed
from flows.cli.studio.development import refuse_beyond_development
from flows.cli.studio.page import studio_app
from migrations.encryption.cipher import HIDDEN
from migrations.models import Base
from tasks import connections

ANA = "6b1a0f5e-6f0b-4a53-9d0c-0c5cf2a0a001"
SECRET = "aesgcm:k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


@pytest.fixture
def owner_dsn(database: ProvisionedDatabase) -> str:
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(database.owner_dsn), poolclass=NullPool
    )
    Base.metadata.create_all(engine)
    with psycopg.connect(database.owner_dsn) as connection:
        connection.execute(
            'INSERT INTO users (id, email, name, permissions, "lastResetAt", "updatedAt") VALUES'
            " (%s, 'ana@example.com', 'Ana <b>', NULL, '2026-01-02 03:04:05.678', now()),"
            " (gen_random_uuid(), 'bo@example.com', 'Bo', '[1]', now(), now())",
            [ANA],
        )
        connection.execute(
            'INSERT INTO accounts ("userId", type, provider, "providerAccountId", access_token, "updatedAt")'
            " VALUES (%s, 'oauth', 'github', '7', %s, now())",
            [ANA, SECRET],
        )
    return database.owner_dsn


@pytest.fixture
def studio(owner_dsn: str) -> Iterator[httpx.Client]:
    with (
        HttpServer("studio", studio_app(owner_dsn)) as server,
        httpx.Client(base_url=server.url, trust_env=False, follow_redirects=True, timeout=30) as client,
    ):
        yield client


def value(dsn: str, query: str) -> object:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None


def form_of(page: str) -> dict[str, str]:
    """What a browser would send back of a form that nobody touched."""
    found: dict[str, str] = {}
    for tag in re.findall(r"<input [^>]+>", page):
        given = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        if given.get("type") == "checkbox":
            if "checked" in tag:
                found[given["name"]] = given.get("value", "y")
        elif given.get("type") not in {"submit", "button"} and "name" in given:
            found[given["name"]] = given.get("value", "")
    found |= dict(re.findall(r'<textarea[^>]* name="(\w+)"[^>]*>(?:\r?\n)?(.*?)</textarea>', page, re.DOTALL))
    for name, options in re.findall(r'<select[^>]* name="(\w+)"[^>]*>(.*?)</select>', page, re.DOTALL):
        chosen = re.search(r'<option selected value="([^"]*)"', options)
        found[name] = chosen[1] if chosen else ""
    return found


def test_every_model_has_a_list_a_form_and_filters(studio: httpx.Client) -> None:
    first = studio.get("/")
    assert first.url.path == "/admin/query"
    assert first.headers["x-frame-options"] == "DENY"
    for table in Base.metadata.tables:
        for page in ("list", "create"):
            assert studio.get(f"/admin/{table}/{page}").status_code == 200, (table, page)


def test_rows_are_listed_searched_and_filtered(studio: httpx.Client) -> None:
    page = studio.get("/admin/users/list").text
    assert "ana@example.com" in page
    assert "bo@example.com" in page
    assert "Ana <b>" not in page
    found = studio.get("/admin/users/list", params={"search": "bo@"}).text
    assert "ana@example.com" not in found
    assert "bo@example.com" in found
    assert "bo@example.com" not in studio.get("/admin/users/list", params={"role": "ADMIN"}).text
    assert "bo@example.com" in studio.get("/admin/users/list", params={"role": "USER"}).text


def test_an_edit_writes_what_was_changed_and_leaves_the_rest(studio: httpx.Client, owner_dsn: str) -> None:
    before = value(owner_dsn, f"SELECT to_jsonb(u) - 'name' - 'updatedAt' FROM users u WHERE id = '{ANA}'")
    form = form_of(studio.get(f"/admin/users/edit/{ANA}").text)
    assert form["email"] == "ana@example.com"
    saved = studio.post(f"/admin/users/edit/{ANA}", data={**form, "name": "Ana María", "save": "Save"})
    assert (saved.status_code, saved.url.path) == (200, "/admin/users/list")
    assert value(owner_dsn, f"SELECT name FROM users WHERE id = '{ANA}'") == "Ana María"
    assert value(owner_dsn, f"SELECT to_jsonb(u) - 'name' - 'updatedAt' FROM users u WHERE id = '{ANA}'") == before


def test_a_json_value_that_is_taken_away_is_null(studio: httpx.Client, owner_dsn: str) -> None:
    row = value(owner_dsn, "SELECT id::text FROM users WHERE name = 'Bo'")
    form = form_of(studio.get(f"/admin/users/edit/{row}").text)
    assert form["permissions"] == "[1]"
    studio.post(f"/admin/users/edit/{row}", data={**form, "permissions": "", "save": "Save"})
    assert value(owner_dsn, "SELECT permissions IS NULL FROM users WHERE name = 'Bo'") is True


def test_a_new_row_gets_the_databases_defaults(studio: httpx.Client, owner_dsn: str) -> None:
    user = form_of(studio.get("/admin/users/create").text)
    assert (user["role"], user["isActive"], user["language"], user["totalMessages"]) == ("USER", "y", "es", "0")
    form = form_of(studio.get("/admin/invitations/create").text)
    wanted = {
        "email": "c@example.com",
        "token": "t",
        "role": "GUEST",
        "invitedBy": ANA,
        "expiresAt": "2027-01-01 00:00:00",
    }
    saved = studio.post("/admin/invitations/create", data={**form, **wanted, "save": "Save"})
    assert saved.url.path == "/admin/invitations/list", re.findall(r"feedback[^<]*<[^<]*|alert[^<]*", saved.text)
    assert value(owner_dsn, 'SELECT status::text FROM invitations WHERE "createdAt" IS NOT NULL') == "PENDING"


def test_what_is_encrypted_is_masked_and_in_no_form(studio: httpx.Client, owner_dsn: str) -> None:
    row = value(owner_dsn, "SELECT id::text FROM accounts")
    details = studio.get(f"/admin/accounts/details/{row}").text
    assert HIDDEN in details
    form = studio.get(f"/admin/accounts/edit/{row}").text
    export = studio.get("/admin/accounts/export/csv").text
    asked = studio.post("/admin/query", data={"query": "SELECT access_token FROM accounts"}).text
    assert HIDDEN in asked
    for page in (details, form, export, asked, studio.get("/admin/accounts/list").text):
        assert "aesgcm" not in page
    assert 'name="access_token"' not in form
    assert "access_token" not in export


def ask(studio: httpx.Client, query: str) -> httpx.Response:
    return studio.post("/admin/query", data={"query": query})


def test_a_query_gives_rows_nulls_and_no_markup_of_theirs(studio: httpx.Client) -> None:
    page = ask(studio, "SELECT name, permissions, '100%' AS share FROM users ORDER BY email")
    assert page.status_code == 200
    assert "Ana &lt;b&gt;" in page.text
    assert "null</em>" in page.text
    assert "100%" in page.text
    many = ask(studio, "SELECT n FROM (SELECT generate_series(1, 100000000) AS n) g").text
    assert "500 of more rows" in many


REFUSED = [
    ("INSERT INTO verification_tokens VALUES ('a', 'b', now())", "read-only transaction"),
    ("WITH gone AS (DELETE FROM users RETURNING id) SELECT * FROM gone", "read-only transaction"),
    ("COMMIT; DELETE FROM users", "multiple commands"),
    ("DO $$ BEGIN COMMIT; DELETE FROM users; END $$", "invalid transaction termination"),
    ("SELECT set_config('transaction_read_only', 'off', false), * FROM users", "read-write mode"),
    ("COPY users TO STDOUT", "COPY"),
    ("SELECT nothing", "does not exist"),
]


def test_a_query_that_writes_or_fails_is_refused_with_the_reason(studio: httpx.Client, owner_dsn: str) -> None:
    for query, reason in REFUSED:
        answer = ask(studio, query)
        assert answer.status_code == 400, query
        assert reason in answer.text, query
    assert ask(studio, "").status_code == 400
    assert value(owner_dsn, "SELECT count(*) FROM users") == 2
    assert value(owner_dsn, "SELECT count(*) FROM verification_tokens") == 0


def test_a_name_that_somebody_made_to_lead_here_is_refused(studio: httpx.Client) -> None:
    for host in ("attacker.example", "attacker.example:5555", "127.0.0.1.attacker.example", ""):
        answer = studio.get("/admin/users/list", headers={"host": host})
        assert answer.status_code == 403, host
        assert "ana@" not in answer.text
    assert studio.get("/admin/users/list", headers={"host": "localhost:5555"}).status_code == 200


def test_a_change_that_another_sites_page_sends_is_refused(studio: httpx.Client, owner_dsn: str) -> None:
    row = str(value(owner_dsn, "SELECT id::text FROM accounts"))
    for headers in ({"origin": "https://attacker.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        assert studio.delete("/admin/accounts/delete", params={"pks": row}, headers=headers).status_code == 403
    assert value(owner_dsn, "SELECT count(*) FROM accounts") == 1
    mine = {"origin": str(studio.base_url).rstrip("/"), "sec-fetch-site": "same-origin"}
    assert studio.delete("/admin/accounts/delete", params={"pks": row}, headers=mine).status_code == 200
    assert value(owner_dsn, "SELECT count(*) FROM accounts") == 0


@contextmanager
def tunnelled(dsn: str, listener: socket.socket) -> Generator[None]:
    """Pass one connection after another on to a database, until the listener is closed."""
    port = conninfo_to_dict(dsn)["port"]

    def copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with suppress(OSError):
            while True:
                near = listener.accept()[0]
                with near, socket.create_connection(("127.0.0.1", int(str(port)))) as far:
                    back = threading.Thread(target=copy, args=(far, near))
                    back.start()
                    copy(near, far)
                    back.join()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def test_production_and_staging_are_refused_and_a_branch_is_not(
    platform: RunningPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, given in platform.env.items():
        monkeypatch.setenv(name, given)
    settings = connections.settings()
    for branch in (connections.production_branch(settings), connections.staging_branch(settings)):
        with pytest.raises(CommandFailed, match=f"is {branch.name}: the studio is for development"):
            refuse_beyond_development(connections.owner_dsn(settings, branch))
    tunnel, ends = socket.create_server(("127.0.0.1", 0)), connections.owner_dsn(settings, branch)
    with tunnelled(ends, tunnel), pytest.raises(CommandFailed, match="is staging: the studio is for development"):
        refuse_beyond_development(re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{tunnel.getsockname()[1]}", ends))
    client = connections.neon(settings, in_release=False)
    mine = client.create_branch("dev-studio", parent_id=connections.staging_branch(settings).id, compute=True)
    try:
        assert settings.neon_database in refuse_beyond_development(connections.owner_dsn(settings, mine))
    finally:
        client.delete_branch(mine.id)


def test_the_command_refuses_production_in_one_line(platform: RunningPlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, given in platform.env.items():
        monkeypatch.setenv(name, given)
    settings = connections.settings()
    dsn = connections.owner_dsn(settings, connections.production_branch(settings))
    result = CliRunner().invoke(app, ["studio", "--port", str(free_port()), "--database-url", dsn])
    assert result.exit_code == 1
    assert "the studio is for development" in result.stderr
    assert "password" not in result.stderr


def test_nobody_comes_in_without_the_token_of_the_address(owner_dsn: str) -> None:
    with (
        HttpServer("studio", studio_app(owner_dsn, token="tok-88aa")) as server,
        httpx.Client(base_url=server.url, trust_env=False, timeout=30) as client,
    ):
        for path in ("/", "/admin/users/list", "/?token=other", "/?token="):
            assert client.get(path).status_code == 403, path
        assert client.post("/admin/query", data={"query": "SELECT 1"}).status_code == 403
        arrived = client.get("/?token=tok-88aa")
        assert (arrived.status_code, arrived.headers["location"]) == (303, "/")
        assert "samesite=strict" in arrived.headers["set-cookie"].lower()
        assert client.get("/admin/users/list").status_code == 200
        client.cookies.clear()
        assert client.get("/admin/users/list", headers={"cookie": "pilotage_studio=tok-88ab"}).status_code == 403


def test_no_query_of_a_superuser_is_run(database: ProvisionedDatabase, owner_dsn: str) -> None:
    program = "COPY (SELECT 1) TO PROGRAM 'cat > /dev/null'"
    for dsn, told in ((database.superuser_dsn, "is a superuser"), (owner_dsn, "COPY")):
        with (
            HttpServer("studio", studio_app(dsn)) as server,
            httpx.Client(base_url=server.url, trust_env=False, timeout=30) as client,
        ):
            answer = client.post("/admin/query", data={"query": program})
            assert (answer.status_code, told in answer.text) == (400, True), answer.text
    ran = CliRunner().invoke(app, ["studio", "--database-url", database.superuser_dsn, "--port", str(free_port())])
    assert (ran.exit_code, "is a superuser" in ran.output) == (1, True), ran.output


def test_an_export_has_no_formulas(studio: httpx.Client, owner_dsn: str) -> None:
    names = ["=1+1", "+1", "-1+cmd", "@sum(1)", "-5", "plain, with = inside", 'one "quoted"']
    with psycopg.connect(owner_dsn) as connection:
        for number, name in enumerate(names):
            connection.execute(
                'INSERT INTO users (id, email, name, "lastResetAt", "updatedAt")'
                " VALUES (gen_random_uuid(), %s, %s, now(), now())",
                (f"n{number}@example.com", name),
            )
    text = studio.get("/admin/users/export/csv").text
    rows = {row["email"]: row["name"] for row in csv.DictReader(io.StringIO(text, newline=""))}
    exported = [rows[f"n{number}@example.com"] for number in range(len(names))]
    assert exported == ["'=1+1", "'+1", "'-1+cmd", "'@sum(1)", "-5", *names[5:]]
