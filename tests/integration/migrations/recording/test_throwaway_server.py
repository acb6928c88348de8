"""A server made for one command, which leaves nothing behind."""

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from deployments.local.postgres.cluster import is_free
from flows.cli.console.throwaway_server import server_for_throwaways, throwaway_server
from migrations.history.revisions import History
from migrations.recording.throwaway import expected_catalog


def test_a_throwaway_server_builds_the_revisions_and_is_gone_afterwards() -> None:
    history = History.load()
    with throwaway_server() as dsn:
        assert expected_catalog(dsn, history, history.heads).of_kind("table")
        with psycopg.connect(dsn) as connection:
            found = connection.execute("SELECT current_setting('is_superuser'), current_setting('data_directory')")
            superuser, _ = found.fetchone() or ("", "")
        assert superuser == "off"
        port = int(str(conninfo_to_dict(dsn)["port"]))
        assert not is_free(port)
    assert is_free(port)


def test_a_named_server_is_taken_before_the_development_database_and_before_one_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://development")
    with server_for_throwaways("postgresql://named") as named, server_for_throwaways(None) as development:
        hosts = [(conninfo_to_dict(dsn)["host"], conninfo_to_dict(dsn)["sslmode"]) for dsn in (named, development)]
        assert hosts == [("named", "require"), ("development", "require")]
