from pathlib import Path

import pytest

from deployments.errors import SettingsError
from flows.cli.console import database, variables
from flows.cli.console.command_errors import CommandFailed

DSN = "postgresql://owner:sec-41aa@127.0.0.1/shop"


@pytest.fixture(autouse=True)
def only_these(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "PILOTAGE_ENV_FILE", "NEON_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_a_string_that_is_given_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://other")
    for environment in ("development", "staging", "production"):
        assert database.owner_dsn(environment, DSN) == DSN


def test_development_is_database_url_of_the_environment_or_of_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("DATABASE_URL=postgresql://localhost/of-the-file\n")
    assert database.owner_dsn("development") == "postgresql://localhost/of-the-file"
    monkeypatch.setenv("DATABASE_URL", DSN)
    assert database.owner_dsn("development") == DSN


def test_sqlalchemy_s_driver_is_left_out() -> None:
    assert database.owner_dsn("development", DSN.replace("postgresql:", "postgresql+psycopg:")) == DSN
    assert database.owner_dsn("development", "host=127.0.0.1 dbname=shop") == "host=127.0.0.1 dbname=shop"


FAR = "postgresql://owner:sec-41aa@db.example.com/shop"


@pytest.mark.parametrize(
    ("given", "forced"),
    [
        (FAR, f"{FAR}?sslmode=require"),
        (f"{FAR}?sslmode=disable", f"{FAR}?sslmode=require"),
        (f"{FAR}?sslmode=require&sslmode=prefer", f"{FAR}?sslmode=require"),
        (f"{FAR}?options=-c%20geqo%3Doff&sslmode=allow", f"{FAR}?options=-c%20geqo%3Doff&sslmode=require"),
        (f"{FAR}?sslmode=verify-full", f"{FAR}?sslmode=verify-full"),
        ("postgresql://o@127.0.0.1.example.com/shop", "postgresql://o@127.0.0.1.example.com/shop?sslmode=require"),
        ("postgresql://o@localhost.example.com/shop", "postgresql://o@localhost.example.com/shop?sslmode=require"),
        ("postgresql://o@localhost,db/shop", "postgresql://o@localhost,db/shop?sslmode=require"),
        (f"{DSN}?hostaddr=10.0.0.9", f"{DSN}?hostaddr=10.0.0.9&sslmode=require"),
        (f"{DSN}?host=db", f"{DSN}?host=db&sslmode=require"),
        (f"{DSN}?sslmode=disable", f"{DSN}?sslmode=disable"),
        ("postgresql://o@[::1]/shop", "postgresql://o@[::1]/shop"),
        ("host=db.example.com dbname=shop sslmode=prefer", "dbname=shop host=db.example.com sslmode=require"),
        ("host=/var/run/postgresql dbname=shop", "host=/var/run/postgresql dbname=shop"),
        ("service=shop", "service=shop sslmode=require"),
    ],
)
def test_tls_is_forced_wherever_a_string_leaves_this_machine(
    given: str, forced: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGSSLMODE", "disable")
    assert database.owner_dsn("development", given) == forced


def test_tls_is_forced_where_the_environment_names_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "db.example.com")
    assert database.owner_dsn("development", "dbname=shop") == "dbname=shop sslmode=require"


def test_development_without_its_variable_says_what_to_set() -> None:
    with pytest.raises(CommandFailed, match=r"DATABASE_URL is not set: .* or give --database-url"):
        database.owner_dsn("development")


def test_a_placeholder_is_refused_and_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://<user>@h/d")
    with pytest.raises(CommandFailed, match="DATABASE_URL still holds a placeholder") as caught:
        database.owner_dsn("development")
    assert "<user>" not in str(caught.value)


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_the_other_environments_need_the_settings_that_lead_to_neon(environment: str) -> None:
    with pytest.raises(SettingsError, match="NEON_API_KEY is missing"):
        database.owner_dsn(environment)


def test_an_environment_of_another_name_is_refused() -> None:
    with pytest.raises(CommandFailed, match="there is no environment prod"):
        database.owner_dsn("prod")


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "")
    assert variables.find_variable("DATABASE_URL") is None
