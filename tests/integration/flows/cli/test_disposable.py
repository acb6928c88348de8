"""What is dropped and seeded is never production's: not by another name or way, and not by a mistaken setting."""

import secrets
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from typer.testing import CliRunner

from deployments.local.postgres.cluster import free_port
from deployments.local.postgres.provisioning import ProvisionedDatabase
from deployments.local.supervisor.running import RunningPlatform
from flows.cli import app
from flows.cli.console.database import owner_dsn
from migrations.apply.migrate import upgrade
from migrations.authoring.reset import identify
from migrations.catalog.contents import Catalog, read_catalog
from migrations.database.session import reader
from migrations.history.revisions import History

Patch = pytest.MonkeyPatch


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: Patch, tmp_path: Path) -> None:
    (tmp_path / "empty.env").touch()
    monkeypatch.setenv("PILOTAGE_ENV_FILE", str(tmp_path / "empty.env"))


@pytest.fixture
def production(platform: RunningPlatform, monkeypatch: Patch) -> str:
    """Production's connection string, and the settings that tell that it is production's."""
    for name, value in platform.env.items():
        monkeypatch.setenv(name, value)
    return owner_dsn("production")


def run(*arguments: str) -> tuple[int, str]:
    ran = CliRunner().invoke(app, list(arguments))
    return ran.exit_code, " ".join((ran.stdout + ran.stderr).split())


def assert_refused(dsn: str, *because: str) -> None:
    for command in (
        ["reset", "--yes"],
        ["reset", "--yes", "--environment", "test", "--seed", "none"],
        ["seed", "--size", "small"],
        ["seed", "--environment", "staging"],
    ):
        code, said = run(*command, "--database-url", dsn)
        assert code == 1, said
        assert any(one in said for one in because), said
        password = conninfo_to_dict(dsn.replace("+psycopg", "")).get("password")
        assert not password or str(password) not in said


def catalog(dsn: str) -> Catalog:
    with reader(dsn) as connection:
        return read_catalog(connection)


def keywords(dsn: str, **other: object) -> str:
    given = {name: value for name, value in conninfo_to_dict(dsn).items() if value is not None}
    return make_conninfo("", **{**given, **other})  # pyright: ignore[reportArgumentType]


def encoded(dsn: str) -> str:
    return dsn.replace("127.0.0.1", "".join(f"%{ord(letter):02x}" for letter in "127.0.0.1"))


def in_the_query(dsn: str) -> str:
    given = conninfo_to_dict(dsn)
    named = "&".join(f"{name}={value}" for name, value in given.items())
    return f"postgresql:///?{named}"


WAYS: dict[str, Callable[[str], str]] = {
    "its own": str,
    "sqlalchemy's": lambda dsn: dsn.replace("postgresql://", "postgresql+psycopg://"),
    "another name": lambda dsn: dsn.replace("127.0.0.1", "localhost"),
    "keywords": keywords,
    "an encoded host": encoded,
    "a query": in_the_query,
    "an address under another name": lambda dsn: keywords(dsn, host="dev.example.com", hostaddr="127.0.0.1"),
    "behind one that is down": lambda dsn: keywords(
        dsn, host="127.0.0.1,127.0.0.1", port=f"{free_port()},{conninfo_to_dict(dsn)['port']}"
    ),
    "before another one": lambda dsn: keywords(
        dsn, host="127.0.0.1,127.0.0.1", port=f"{conninfo_to_dict(dsn)['port']},{free_port()}"
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_production_is_refused_whatever_the_way_there(production: str, way: str) -> None:
    assert_refused(WAYS[way](production), "which is never reset", "which is never seeded")


@pytest.mark.parametrize("way", ["environment", "service", "named service"])
def test_production_is_refused_where_the_environment_leads_there(
    production: str, monkeypatch: Patch, tmp_path: Path, way: str
) -> None:
    given = conninfo_to_dict(production)
    host, port = str(given.pop("host")), str(given.pop("port"))
    rest = make_conninfo("", **{name: value for name, value in given.items() if value is not None})
    if way == "environment":
        monkeypatch.setenv("PGHOST", host)
        monkeypatch.setenv("PGPORT", port)
        monkeypatch.setenv("PGOPTIONS", "-c search_path=pg_catalog")
    else:
        (tmp_path / "services").write_text(f"[dev]\nhost={host}\nport={port}\n")
        monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
        if way == "service":
            monkeypatch.setenv("PGSERVICE", "dev")
        else:
            rest = f"{rest} service=dev"
    # Where a service leads is in a file of libpq's: TLS is asked for, which a server on this machine does not have.
    assert_refused(rest, "which is never reset", "which is never seeded", "server does not support SSL")


MISTAKES = {
    "no address": ({"NEON_API_URL": "nowhere"}, "cannot be told"),
    "no key": ({"NEON_API_KEY": ""}, "cannot be told"),
    "a placeholder": ({"NEON_PROJECT_ID": "<your-neon-project-id>"}, "cannot be told"),
    "another key": ({"NEON_API_KEY": "another"}, "NEON_API_KEY"),
    "another project": ({"NEON_PROJECT_ID": "another"}, "project"),
    "no such branch": ({"NEON_PRODUCTION_BRANCH": "prod"}, "default branch"),
    "staging is production": ({"NEON_STAGING_BRANCH": "main"}, "which is never"),
    "staging is production, and production another": (
        {"NEON_STAGING_BRANCH": "main", "NEON_PRODUCTION_BRANCH": "staging"},
        "which is never",
    ),
    "no file": ({"PILOTAGE_ENV_FILE": "/nowhere/.env", "NEON_API_KEY": ""}, "cannot be told"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistaken_setting_opens_nothing(production: str, monkeypatch: Patch, mistake: str) -> None:
    before = catalog(production)
    settings, why = MISTAKES[mistake]
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert_refused(production, why)
    assert catalog(production) == before


def test_production_behind_a_tunnel_is_known_by_its_server(production: str, monkeypatch: Patch) -> None:
    def nowhere(*arguments: object) -> None:
        """In the place of what tells the branch by its address."""

    monkeypatch.setattr("flows.cli.console.disposable._branch", nowhere)
    assert_refused(production, "leads to main's database, which is never")


def test_a_database_whose_record_cannot_be_read_could_be_anybodys(database: ProvisionedDatabase) -> None:
    upgrade(database.owner_dsn, History.load(), target="20250122_1030", release_id="20260101-120000-ab12")
    with psycopg.connect(database.superuser_dsn) as connection:
        connection.execute("ALTER SCHEMA pilotage OWNER TO CURRENT_USER")
        connection.execute("ALTER TABLE pilotage.applied_revisions OWNER TO CURRENT_USER")
        connection.execute(f'REVOKE ALL ON SCHEMA pilotage FROM "{database.owner}"'.encode())
        connection.execute(f'REVOKE neon_superuser FROM "{database.owner}"'.encode())
    assert_refused(database.owner_dsn, "may not read")


def test_what_was_looked_at_is_what_is_changed(database: ProvisionedDatabase, monkeypatch: Patch) -> None:
    port = str(conninfo_to_dict(database.owner_dsn)["port"])
    two = keywords(database.owner_dsn, host="127.0.0.1,localhost", port=f"{free_port()},{port}")
    found = identify(two)
    assert repr(found).count(str(conninfo_to_dict(two)["password"])) == 0
    bound = conninfo_to_dict(found.bound_dsn)
    assert (bound["host"], bound["hostaddr"], str(bound["port"])) == ("localhost", found.address, port)
    with monkeypatch.context() as elsewhere:
        for name, value in {"PGHOST": "prod", "PGHOSTADDR": "192.0.2.1", "PGPORT": "1", "PGDATABASE": "other"}.items():
            elsewhere.setenv(name, value)
        assert identify(found.bound_dsn).is_same_database(found)


def test_a_password_may_look_like_the_beginning_of_an_address(database: ProvisionedDatabase) -> None:
    password = f"a+b://{secrets.token_hex(4)}"
    with psycopg.connect(database.superuser_dsn) as connection:
        connection.execute(f"ALTER ROLE \"{database.owner}\" PASSWORD '{password}'".encode())
    code, said = run("reset", "--yes", "--database-url", keywords(database.owner_dsn, password=password))
    assert (code, "was made anew" in said) == (0, True), said
