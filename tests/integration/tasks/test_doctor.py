"""The examination on a platform that is whole, and with one thing broken at a time; it changes nothing."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from deployments.ledger import Ledger
from deployments.local.hosting.faults import Fault
from deployments.local.hosting.loopback import NO_TLS
from deployments.local.hosting.servers import HttpServer
from deployments.local.supervisor.running import RunningPlatform
from deployments.service import observed
from deployments.settings import Settings
from migrations.checks.readiness import Readiness
from tasks import builds, connections, served_build
from tasks.doctor.databases import statements_finding
from tasks.doctor.examination import examine
from tasks.doctor.finding import Finding, State, worst

# What no release has told yet, and the Prefect server that a test has not.
OPEN = {"production's address", "Slack", "Prefect server"}


@pytest.fixture
def env(faults: RunningPlatform, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, str]]:
    given = {**faults.env, "LEDGER_URL": f"sqlite:///{tmp_path / 'ledger' / 'ledger.db'}"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(served_build, "SPREAD_S", 0.2)
    # Where other tests of the session have a Prefect server, these have none.
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        yield given


def examined(*, thorough: bool = True, ahead_s: float = 0) -> dict[str, Finding]:
    settings: Settings = connections.settings()
    found = [*examine(settings, thorough=thorough, now=lambda: datetime.now(UTC) + timedelta(seconds=ahead_s))]
    assert len({one.line for one in found}) == len(found)
    return {one.line: one for one in found}


def not_good(found: Mapping[str, Finding]) -> dict[str, Finding]:
    return {line: one for line, one in found.items() if one.state is not State.GOOD and line not in OPEN}


def test_platform_that_is_whole_has_nothing_bad(env: dict[str, str]) -> None:
    found = examined()
    assert not_good(found) == {}
    assert found["production's branch"].detail.startswith("main (br-")
    assert found["Slack"].state is State.CANNOT_TELL
    assert len(found) > 30


def test_nothing_but_reads_leaves_and_nothing_is_made(
    faults: RunningPlatform, env: dict[str, str], tmp_path: Path
) -> None:
    asked: list[httpx.Request] = []
    with observed(lambda _, answer: asked.append(answer.request)):
        examined()
        examined(thorough=False)
    assert len(asked) > 20
    assert {one.method for one in asked} == {"GET"}
    seen = [one for service in ("neon", "vercel", "slack") for one in faults.requests(service)]
    assert {one.method for one in seen} == {"GET"}
    assert [*tmp_path.iterdir()] == []


def test_cheap_half_asks_neon_and_vercel_a_few_times_and_no_database(
    faults: RunningPlatform, env: dict[str, str]
) -> None:
    found = examined(thorough=False)
    assert not_good(found) == {}
    assert not [line for line in found if "database" in line or "clock of production" in line or line == "ledger"]
    assert len(faults.requests("neon")) <= 4
    assert len(faults.requests("vercel")) <= 7


BROKEN = {
    "wrong key of Neon": ("NEON_API_KEY", "napi_wrong", "Neon", "401.*check NEON_API_KEY"),
    "another project of Neon's": ("NEON_PROJECT_ID", "other-1", "Neon", "404.*project not found"),
    "Neon that does not answer": ("NEON_API_URL", "http://127.0.0.1:9/api/v2", "Neon", "does not answer"),
    "missing branch": ("NEON_STAGING_BRANCH", "stage", "staging's branch", "no branch stage; there are: main, staging"),
    "one branch for both": ("NEON_STAGING_BRANCH", "main", "staging's branch", "it is production's"),
    "another role of the application": ("NEON_APP_ROLE", "nobody", "role nobody in production", "none of that name"),
    "too few branches": ("PILOTAGE_NEON_BRANCH_LIMIT", "3", "room for branches", "2 of 3 branches.*needs 2 more"),
    "wrong token of Vercel": ("VERCEL_TOKEN", "wrong", "Vercel", "403.*check VERCEL_TOKEN"),
    "another team": ("VERCEL_TEAM_ID", "team_other", "Vercel", "403.*the team is not the project's"),
    "another project of Vercel's": ("VERCEL_PROJECT_ID", "prj_other", "Vercel", "404.*Project not found"),
    "no Edge Config": ("VERCEL_CONFIG_ID", "ecfg_other", "Vercel", "404.*Edge Config could not be found"),
    "wrong secret": ("VERCEL_AUTOMATION_BYPASS_SECRET", "wrong", "protection bypass", "none of the project's"),
    "no repository": ("RELEASE_REPOSITORY", "/nowhere/tu-org/cjhirashi-agents.git", "repository", "cannot be read"),
    "another repository": (
        "RELEASE_REPOSITORY",
        "/nowhere/else.git",
        "git connection",
        "and RELEASE_REPOSITORY is another",
    ),
    "ledger that does not answer": ("LEDGER_URL", "postgresql://a:b@127.0.0.1:9/l", "ledger", "does not answer"),
    "no webhook": ("SLACK_WEBHOOK_URL", "http://127.0.0.1:9/hook", "Slack", "no address of an incoming webhook"),
}


@pytest.mark.parametrize(("name", "value", "line", "told"), BROKEN.values(), ids=BROKEN)
def test_thing_that_is_broken_is_bad_and_says_what_to_do(
    name: str, value: str, line: str, told: str, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    one = examined()[line]
    assert one.state is State.BAD
    assert re.search(told, one.detail, re.DOTALL), one.detail
    assert one.advice


def test_what_rests_on_a_service_that_says_no_cannot_be_told(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEON_API_KEY", "napi_wrong")
    monkeypatch.setenv("VERCEL_TOKEN", "wrong")
    found = examined()
    assert {line for line, one in found.items() if one.state is State.BAD} == {"Neon", "Vercel", "Prefect server"}
    assert {"databases", "production's address"} <= {
        line for line, one in found.items() if one.state is State.CANNOT_TELL
    }


@pytest.mark.parametrize("ahead_s", [-300.0, 300.0])
def test_clock_that_is_another_is_told_for_each_service_and_database(ahead_s: float, env: dict[str, str]) -> None:
    wrong = not_good(examined(ahead_s=ahead_s))
    assert set(wrong) == {
        "clock of Neon",
        "clock of Vercel",
        "clock of production's database",
        "clock of staging's database",
    }
    told = "ahead" if ahead_s > 0 else "behind"
    assert all(re.search(rf"this machine's is (29\d|30\d) s {told}", one.detail) for one in wrong.values())


def test_connection_string_of_another_database_is_told(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    staging = builds.application_dsn(connections.settings(), "staging").get_secret_value()
    monkeypatch.setenv("APP_DATABASE_URL", staging)
    (wrong,) = not_good(examined()).values()
    assert (wrong.line, wrong.state) == ("application's connection string for production", State.BAD)
    assert "it leads to" in wrong.detail
    assert wrong.advice == "correct APP_DATABASE_URL"


def test_owner_without_the_owner_s_rights_is_told(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEON_OWNER_ROLE", env["NEON_APP_ROLE"])
    one = examined()["production's database"]
    assert one.state is State.BAD
    assert "can apply no revision" in one.detail


def test_missing_statistics_of_statements_are_told() -> None:
    found = Readiness(
        database="shop",
        user="shop_owner",
        server_version=170002,
        owns_database=True,
        superuser=False,
        counts_statements=False,
        moment=datetime.now(UTC),
    )
    one = statements_finding("staging", found)
    assert (one.line, one.state) == ("pg_stat_statements in staging", State.BAD)
    assert one.advice == "run CREATE EXTENSION pg_stat_statements in shop as shop_owner"


@pytest.fixture
def other_application() -> Iterator[str]:
    async def version(_: Request) -> JSONResponse:
        return JSONResponse({"commit": "f" * 40})

    with HttpServer("other", Starlette(routes=[Route("/api/version", version)])) as server:
        yield server.url


def test_address_of_another_application_is_told(
    env: dict[str, str], other_application: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRODUCTION_URL", other_application)
    one = examined()["production's address"]
    assert one.state is State.BAD
    assert one.detail.startswith("Vercel says that production serves no deployment, but http://127.0.0.1")
    assert "whether PRODUCTION_URL is a domain of this project" in one.advice


@pytest.mark.parametrize(
    ("value", "state", "told"),
    [
        (True, State.BAD, "production is in maintenance mode"),
        ("yes", State.BAD, "neither true nor false"),
        (False, State.GOOD, "its item maintenance is off"),
    ],
)
def test_edge_config_is_read(value: bool | str, state: State, told: str, env: dict[str, str]) -> None:
    client = connections.vercel(connections.settings(), in_release=False)
    client.set_config(env["VERCEL_CONFIG_ID"], "maintenance", value)
    try:
        one = examined(thorough=False)["Edge Config"]
    finally:
        client.set_config(env["VERCEL_CONFIG_ID"], "maintenance", value=False)
    assert one.state is state
    assert told in one.detail


def test_variable_of_several_environments_is_told(env: dict[str, str]) -> None:
    at = f"{env['VERCEL_API_URL']}/v10/projects/{env['VERCEL_PROJECT_ID']}/env"
    headers = {"Authorization": f"Bearer {env['VERCEL_TOKEN']}"}
    with httpx.Client(headers=headers, params={"teamId": env["VERCEL_TEAM_ID"]}, verify=NO_TLS) as client:
        for one in client.get(at).json()["envs"]:
            client.delete(f"{at}/{one['id']}")
        body = {"key": builds.DSN_VARIABLE, "value": "v", "type": "encrypted", "target": ["production", "preview"]}
        made = client.post(at, json=body).json()["created"]["id"]
        try:
            found = [one for one in examine(connections.settings(), thorough=False) if one.state is State.BAD]
        finally:
            client.delete(f"{at}/{made}")
    assert {one.line for one in found} == {f"variable {builds.DSN_VARIABLE}"}
    assert "serves production and preview at once" in found[0].detail


def test_ledger_of_an_earlier_version_is_left_as_it_is(env: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "ledger" / "ledger.db"
    file.parent.mkdir()
    file.touch()
    assert examined()["ledger"].detail == (
        "it answers, and is empty or of an earlier version: the next release brings it to head"
    )
    assert file.read_bytes() == b""


def test_what_the_ledger_knows_is_told(env: dict[str, str]) -> None:
    settings = connections.settings()
    with Ledger.open(settings.ledger_url) as ledger:
        assert examined()["ledger"].detail == "it answers, and has no release yet"
        release = ledger.begin_release(
            target=settings.target,
            ref="v2",
            commit_sha="0" * 40,
            target_revision="head",
            requested_by="ana",
            flow_run_id=None,
            lease_s=60,
        )
        message = ledger.keep_message(settings.target, "Release of v2 begins", release_id=release.id)
        assert message is not None
        found = examined()
        assert found["ledger"].state is State.CANNOT_TELL
        assert f"`pilotage recover {release.id}`" in found["ledger"].advice
        assert found["Slack"].state is State.BAD
        ledger.message_sent(message)
        ledger.end_release(release.id, "failed", "a test")
        found = examined()
    assert (found["ledger"].state, found["Slack"].state) == (State.GOOD, State.GOOD)
    assert found["ledger"].detail == f"it answers, and its newest release is {release.id}, failed"


def test_service_that_breaks_off_is_bad_and_the_rest_is_looked_at(faults: RunningPlatform, env: dict[str, str]) -> None:
    faults.fault("vercel", Fault(path="/v2/teams/", status=403, body='{"error": {"code": "forbidden"}}'))
    faults.fault("vercel", Fault(path="/v5/user/tokens", status=404, body='{"error": {"code": "not_found"}}'))
    found = not_good(examined())
    assert {line: one.state for line, one in found.items()} == {
        "Vercel token": State.CANNOT_TELL,
        "Vercel team": State.CANNOT_TELL,
    }


def test_worst_decides() -> None:
    good, bad, unknown = (Finding("x", state, "") for state in (State.GOOD, State.BAD, State.CANNOT_TELL))
    assert worst([good]) is State.GOOD
    assert worst([good, unknown]) is State.CANNOT_TELL
    assert worst([unknown, bad, good]) is State.BAD
