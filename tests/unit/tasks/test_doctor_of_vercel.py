"""What is told of a token, a team, a repository and a secret, by what Vercel answers."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

import httpx
import pytest
from pydantic import SecretStr

from deployments.settings import Settings
from deployments.vercel.client import VercelClient
from tasks.doctor import vercel
from tasks.doctor.finding import Finding, State
from tests.integration.deployments.ledger.test_ledger_commands import SETTINGS

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
DAY_MS = 86_400_000
AT_MS = int(NOW.timestamp() * 1000)
TEAM = {"type": "team", "teamId": "team_1"}
USER = {"type": "user"}

Answers = Mapping[str, object]


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    repository = "https://github.com/Tu-Org/app.git"
    for name, value in {**SETTINGS, "RELEASE_REPOSITORY": repository}.items():
        monkeypatch.setenv(name, value)
    return Settings(_env_file=None)  # pyright: ignore[reportCallIssue]


def client(answers: Answers) -> VercelClient:
    """Vercel that answers these paths, and refuses all else."""

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.method == "GET"
        found = answers.get(request.url.path)
        if found is None:
            return httpx.Response(403, json={"error": {"code": "forbidden", "message": "no"}})
        return httpx.Response(200, content=json.dumps(found))

    return VercelClient(
        "http://vercel.test", SecretStr("token"), "team_1", "prj_1", transport=httpx.MockTransport(answer)
    )


def token(answers: Answers) -> dict[str, Finding]:
    return {one.line: one for one in vercel.token_findings(client(answers), lambda: NOW)}


@pytest.mark.parametrize(
    ("scopes", "expires_ms", "state", "told"),
    [
        ([TEAM], None, State.GOOD, "it reaches one team, without an end"),
        ([TEAM], AT_MS + 30 * DAY_MS, State.GOOD, "it reaches one team, until 2026-12-28"),
        ([USER], None, State.GOOD, "it reaches the whole account, without an end"),
        ([USER, TEAM], None, State.GOOD, "it reaches the whole account, without an end"),
        ([TEAM], AT_MS + 2 * DAY_MS, State.BAD, "it ends at 2026-11-30 12:00 UTC"),
        ([TEAM], AT_MS - DAY_MS, State.BAD, "it ends at 2026-11-27 12:00 UTC"),
    ],
)
def test_token_is_told_by_its_reach_and_its_end(
    scopes: list[object], expires_ms: int | None, state: State, told: str
) -> None:
    found = token({"/v5/user/tokens/current": {"token": {"scopes": scopes, "expiresAt": expires_ms}}})
    assert (found["Vercel token"].state, found["Vercel token"].detail) == (state, told)
    least = "a token scoped to the team is enough"
    assert (found["Vercel token"].advice == least) is (told.startswith("it reaches the whole account"))


@pytest.mark.parametrize(
    ("role", "state", "advice"),
    [
        ("MEMBER", State.GOOD, ""),
        ("OWNER", State.GOOD, "MEMBER is enough"),
        ("VIEWER", State.BAD, "take the token of a MEMBER of the team"),
        ("SOMETHING_NEW", State.CANNOT_TELL, ""),
    ],
)
def test_role_that_may_not_deploy_is_bad_and_one_that_is_more_than_enough_is_named(
    role: str, state: State, advice: str
) -> None:
    found = token({"/v2/teams/team_1": {"id": "team_1", "membership": {"role": role}}})
    assert (found["Vercel team"].state, found["Vercel team"].advice) == (state, advice)


def test_token_that_may_not_be_asked_about_cannot_be_told() -> None:
    assert {one.state for one in token({}).values()} == {State.CANNOT_TELL}


@pytest.mark.parametrize(
    ("link", "state"),
    [
        ({"type": "github", "repoId": 1, "org": "tu-org", "repo": "app"}, State.GOOD),
        ({"type": "gitlab", "projectId": 1, "projectNamespace": "tu-org", "projectName": "app"}, State.GOOD),
        ({"type": "bitbucket", "uuid": "{a}", "workspaceUuid": "{b}", "owner": "tu-org", "slug": "app"}, State.GOOD),
        ({"type": "github", "repoId": 1, "org": "tu-org", "repo": "other"}, State.BAD),
        ({"type": "github", "repoId": 1, "org": "u-org", "repo": "app"}, State.BAD),
        ({"type": "github", "repoId": 1}, State.CANNOT_TELL),
        ({"type": "gitea"}, State.BAD),
        (None, State.BAD),
    ],
    ids=["GitHub", "GitLab", "Bitbucket", "another name", "an end of the name", "without a name", "unknown", "none"],
)
def test_repository_of_the_project_is_the_one_that_is_released(settings: Settings, link: object, state: State) -> None:
    answers: Answers = {
        "/v9/projects/prj_1": {"id": "prj_1", "name": "app", "link": link},
        "/v10/projects/prj_1/env": {"envs": []},
        "/v1/edge-config/ecfg_1/items": [],
    }
    found = {one.line: one for one in vercel.project_findings(settings, client(answers))}
    assert found["git connection"].state is state


@pytest.mark.parametrize(
    ("bypass", "state"),
    [
        ({"bypass": {"scope": "automation-bypass"}}, State.GOOD),
        ({"other": {"scope": "automation-bypass"}}, State.BAD),
        ({"bypass": {"scope": "shareable-link"}}, State.BAD),
        ({}, State.BAD),
    ],
)
def test_secret_is_one_of_the_project_s(settings: Settings, bypass: object, state: State) -> None:
    answers = {"/v9/projects/prj_1": {"id": "prj_1", "name": "app", "protectionBypass": bypass}}
    (found,) = vercel.bypass_findings(settings, client(answers))
    assert found.state is state


def test_secret_that_is_not_listed_cannot_be_told_without_a_build(settings: Settings) -> None:
    answers: Answers = {"/v9/projects/prj_1": {"id": "prj_1", "name": "app"}, "/v6/deployments": {"deployments": []}}
    (found,) = vercel.bypass_findings(settings, client(answers))
    assert found.state is State.CANNOT_TELL


@pytest.mark.parametrize(
    ("kind", "advice"), [("sensitive", ""), ("encrypted", "remove it: the next release makes it sensitive")]
)
def test_variable_that_others_can_read_is_named(settings: Settings, kind: str, advice: str) -> None:
    variable = {"id": "env_1", "key": "DATABASE_URL_POOLED", "type": kind, "target": ["production"]}
    answers: Answers = {
        "/v9/projects/prj_1": {"id": "prj_1", "name": "app"},
        "/v10/projects/prj_1/env": {"envs": [variable]},
        "/v1/edge-config/ecfg_1/items": [],
    }
    found = {one.line: one for one in vercel.project_findings(settings, client(answers))}
    one = found["variable DATABASE_URL_POOLED"]
    assert (one.state, one.advice) == (State.GOOD, advice)
