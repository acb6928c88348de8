"""A connection string that was given is used only where it leads to the database that it is for."""

from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import SecretStr

from deployments.errors import WrongDatabase
from deployments.local.postgres.cluster import Cluster
from deployments.local.postgres.provisioning import ProvisionedDatabase
from deployments.local.supervisor.running import RunningPlatform
from deployments.settings import Settings
from migrations.database.same_database import LeadsElsewhere, refuse_another_database
from migrations.errors import DatabaseUnreachable
from tasks import builds, connections
from tasks.builds import Environment

FIELDS = {"production": "app_database_url", "staging": "app_staging_database_url"}


@pytest.fixture
def settings(platform: RunningPlatform, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    for name, value in platform.env.items():
        monkeypatch.setenv(name, value)
    return connections.settings()


def application(settings: Settings, environment: Environment) -> str:
    client, branch = connections.neon(settings, in_release=False), connections.environment_branch(settings, environment)
    uri = client.connection_uri(branch.id, database=settings.neon_database, role=settings.neon_app_role, pooled=True)
    return uri.get_secret_value()


def with_dsn(settings: Settings, environment: Environment, dsn: str) -> Settings:
    return settings.model_copy(update={FIELDS[environment]: SecretStr(dsn)})


@pytest.mark.parametrize(("environment", "other"), [("staging", "production"), ("production", "staging")])
def test_the_other_environment_s_string_is_refused_by_the_setting_s_name(
    settings: Settings, environment: Environment, other: Environment
) -> None:
    wrong = with_dsn(settings, environment, application(settings, other))
    setting = FIELDS[environment].upper()
    with pytest.raises(WrongDatabase, match=rf"{setting} is not used as {environment}'s database: it leads to") as told:
        builds.application_dsn(wrong, environment)
    assert not told.value.transient
    assert [text.split()[0] for text in builds.rejected_application_dsns(wrong, reset_staging=True)] == [setting]


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_the_right_string_is_used_as_it_is_and_so_is_neon_s(settings: Settings, environment: Environment) -> None:
    right = application(settings, environment)
    assert builds.application_dsn(settings, environment).get_secret_value() == right
    prisma = f"{right}{'&' if '?' in right else '?'}pgbouncer=true&connection_limit=5"
    for dsn in (right, prisma):
        named = with_dsn(settings, environment, dsn)
        assert builds.application_dsn(named, environment).get_secret_value() == dsn
        assert builds.rejected_application_dsns(named, reset_staging=False) == []


UNCLEAR = {
    "no address": ("host=127.0.0.1 dbname=x user=y", "no postgresql:// address"),
    "another scheme": ("mysql://u:pw-88aa@127.0.0.1/x", "no postgresql:// address"),
    "several hosts": ("postgresql://u:pw-88aa@localhost,elsewhere/x", "names several hosts"),
    "a host in the query": ("postgresql://u:pw-88aa@127.0.0.1/x?host=10.0.0.9", "says host in its query"),
    "an address in the query": ("postgresql://u:pw-88aa@127.0.0.1/x?hostaddr=10.0.0.9", "says hostaddr in its query"),
    "a service": ("postgresql://u:pw-88aa@127.0.0.1/x?service=prod", "says service in its query"),
    "a port in the query": ("postgresql://u:pw-88aa@127.0.0.1/x?port=1&dbname=y", "says dbname and port in its query"),
    "a fragment": ("postgresql://u:pw-88aa@127.0.0.1/x#@10.0.0.9/x", "in more than one way"),
    "a delimiter in the password": ("postgresql://u:pw@88aa@127.0.0.1/x", "in more than one way"),
    "no database": ("postgresql://u:pw-88aa@127.0.0.1", "does not name a role, a host and a database"),
    "no host": ("postgresql:///x", "does not name a role, a host and a database"),
    "no role": ("postgresql://127.0.0.1/x", "does not name a role, a host and a database"),
    "a bracket": ("postgresql://u:pw-88aa@[::1/x", "way|cannot be read"),
}


@pytest.mark.parametrize("unclear", UNCLEAR)
def test_a_string_that_may_lead_to_several_places_is_refused_and_not_told(settings: Settings, unclear: str) -> None:
    dsn, why = UNCLEAR[unclear]
    with pytest.raises(WrongDatabase, match=why) as told:
        builds.application_dsn(with_dsn(settings, "staging", dsn), "staging")
    assert "88aa" not in str(told.value)


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_the_owner_s_string_is_no_application_s(settings: Settings, environment: Environment) -> None:
    client, branch = connections.neon(settings, in_release=False), connections.environment_branch(settings, environment)
    owner = client.connection_uri(
        branch.id, database=settings.neon_database, role=settings.neon_owner_role, pooled=True
    )
    wrong = with_dsn(settings, environment, owner.get_secret_value())
    with pytest.raises(WrongDatabase, match=f"it is {settings.neon_owner_role}'s, who owns the database") as told:
        builds.application_dsn(wrong, environment)
    assert not told.value.transient
    assert len(builds.rejected_application_dsns(wrong, reset_staging=True)) == 1
    named = settings.model_copy(update={"neon_app_role": settings.neon_owner_role})
    with pytest.raises(WrongDatabase, match="NEON_APP_ROLE is not used"):
        builds.application_dsn(named, environment)


def test_a_staging_that_is_replaced_need_not_be_reached_yet(settings: Settings) -> None:
    unreached = with_dsn(settings, "staging", "postgresql://nobody:pw-88aa@127.0.0.1:1/x")
    assert builds.rejected_application_dsns(unreached, reset_staging=True) == []
    (found,) = builds.rejected_application_dsns(unreached, reset_staging=False)
    assert "does not answer" in found
    assert "88aa" not in found


def test_another_database_of_the_same_server_is_another(database: ProvisionedDatabase, server: Cluster) -> None:
    refuse_another_database(database.app_dsn, database.owner_dsn)
    elsewhere = server.superuser_dsn("postgres")
    for dsn in (elsewhere, make_conninfo(database.superuser_dsn, dbname="template1")):
        with pytest.raises(LeadsElsewhere):
            refuse_another_database(as_uri(dsn), database.owner_dsn)


def as_uri(dsn: str) -> str:
    found = conninfo_to_dict(dsn)
    return f"postgresql://{found['user']}:{found['password']}@{found['host']}:{found['port']}/{found['dbname']}"


def test_a_database_that_does_not_answer_is_told_without_its_password(database: ProvisionedDatabase) -> None:
    with pytest.raises(DatabaseUnreachable) as told:
        refuse_another_database("postgresql://u:pw-88aa@127.0.0.1:1/x", database.owner_dsn)
    assert "88aa" not in str(told.value)
