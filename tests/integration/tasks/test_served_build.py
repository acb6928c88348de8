"""An address that serves another build than Vercel says: it is told, and nothing moves."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from deployments.errors import PromotionFailed
from deployments.ledger import Ledger, Release
from deployments.local.hosting.processes import Spawner
from deployments.local.hosting.servers import HttpServer
from deployments.local.vercel.api import create_vercel_app
from deployments.local.vercel.builds import Build
from deployments.local.vercel.project import Identity, VercelProject
from deployments.neon.client import Branch
from deployments.vercel.client import Deployment
from tasks import connections, served_build
from tasks.acts import Act
from tasks.errors import ApplicationFailed, MovedMeanwhile
from tasks.steps import production, restoration
from tests.integration.deployments.ledger.test_ledger_commands import SETTINGS

OLD, NEW, OTHER = "0" * 40, "1" * 40, "2" * 40


@dataclass
class Served:
    """A project of Vercel's, and an address that answers with whatever commit a test says."""

    project: VercelProject
    ledger: Ledger
    release: Release
    answers: Callable[[], str | None]

    def deployment(self, build: Build) -> Deployment:
        return connections.vercel(connections.settings()).deployment(build.id)

    @property
    def moves(self) -> int:
        return 0 if self.project.last_move is None else 1


def build(project: VercelProject, sha: str) -> Build:
    made = Build(sha=sha, ref="v2", target="production", meta={}, environment={}, state="READY")
    made.url = f"http://127.0.0.1:1/{made.id}"
    project.builds[made.id] = made
    return made


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spawner: Spawner) -> Iterator[Served]:
    project = VercelProject(Identity(), repository=tmp_path, folder=tmp_path, spawner=spawner)
    ledger_url = f"sqlite:///{tmp_path / 'ledger.db'}"

    async def version(_: Request) -> JSONResponse:
        commit = served.answers()
        return JSONResponse({"commit": commit} if commit else {}, 200 if commit else 503)

    address = Starlette(routes=[Route("/api/version", version)])
    with (
        HttpServer("vercel", create_vercel_app(project)) as vercel,
        HttpServer("address", address) as production_address,
        Ledger.open(ledger_url) as ledger,
    ):
        given = {
            **SETTINGS,
            "LEDGER_URL": ledger_url,
            "VERCEL_API_URL": vercel.url,
            "VERCEL_TOKEN": project.identity.token,
            "VERCEL_TEAM_ID": project.identity.team_id,
            "VERCEL_PROJECT_ID": project.identity.project_id,
            "PRODUCTION_URL": production_address.url,
            "PILOTAGE_TARGET": "production",
        }
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(served_build, "SPREAD_S", 0.6)
        release = ledger.begin_release(
            target="production",
            ref="v2",
            commit_sha=NEW,
            target_revision="head",
            requested_by="ana",
            flow_run_id=None,
            lease_s=60,
        )
        served = Served(project, ledger, release, lambda: project.builds[project.serving or ""].sha)
        before = build(project, OLD)
        project.serving, before.served = before.id, True
        yield served


def newest_build(served: Served) -> Build:
    return build(served.project, NEW)


def test_address_that_serves_what_vercel_says_is_moved_and_asked_again(served: Served) -> None:
    before, after = served.project.serving, newest_build(served)
    production.promote.fn(served.release.id, served.deployment(after), instead_of=before)
    assert served.project.serving == after.id
    assert before is not None
    assert restoration.roll_back_application.fn(served.release.id, before)
    assert served.project.serving == before


def test_address_that_serves_another_build_before_the_promotion_is_not_moved(served: Served) -> None:
    before, after = served.project.serving, newest_build(served)
    served.answers = lambda: OTHER
    with pytest.raises(MovedMeanwhile) as caught:
        production.promote.fn(served.release.id, served.deployment(after), instead_of=before)
    told = str(caught.value)
    assert told.startswith(f"Vercel says that production serves {before} (commit {OLD[:12]}), but http://127.0.0.1")
    assert f"is answered by commit {OTHER[:12]}: look at the project's deployments and domains" in told
    assert told.endswith(f"{after.id} was not promoted")
    assert (served.project.serving, served.moves) == (before, 0)


def test_promotion_that_the_address_does_not_follow_has_failed(served: Served) -> None:
    before, after = served.project.serving, newest_build(served)
    served.answers = lambda: OLD
    with pytest.raises(ApplicationFailed, match=f"production serves {after.id} .*is answered by commit {OLD[:12]}"):
        production.promote.fn(served.release.id, served.deployment(after), instead_of=before)


def test_rollback_is_not_believed_done_while_the_address_serves_another_build(served: Served) -> None:
    before = served.project.serving
    assert before is not None
    served.answers = lambda: NEW
    with pytest.raises(PromotionFailed, match=f"production serves {before} .*is answered by commit {NEW[:12]}"):
        restoration.roll_back_application.fn(served.release.id, before)
    assert served.moves == 0


def test_address_that_follows_a_moment_later_is_waited_for(served: Served) -> None:
    before, after = served.project.serving, newest_build(served)
    asked = list[str]()

    def answers() -> str:
        asked.append("")
        return OLD if len(asked) < 3 else served.project.builds[served.project.serving or ""].sha

    served.answers = answers
    production.promote.fn(served.release.id, served.deployment(after), instead_of=before)
    assert served.project.serving == after.id


@pytest.mark.parametrize("serving", [True, False], ids=["something serves", "nothing serves"])
def test_address_that_does_not_say_what_it_is_hinders_nothing(served: Served, serving: bool) -> None:
    served.answers = lambda: None
    settings = connections.settings()
    found = connections.vercel(settings).production_deployment() if serving else None
    assert served_build.disagreement(settings, found) is None


def test_address_of_another_application_is_told_before_the_first_release(served: Served) -> None:
    served.answers = lambda: OTHER
    told = served_build.disagreement(connections.settings(), None)
    assert told is not None
    assert told.detail.startswith("Vercel says that production serves no deployment, but ")


@pytest.mark.parametrize("believed", [True, False])
def test_kept_branch_that_is_older_than_its_restore_does_not_tell_when_that_was(
    served: Served, believed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    name = restoration.kept_branch_name(served.release.id)
    with served.ledger.step(served.release.id, Act.RESTORE, {"branch": name}):
        pass
    asked = served.ledger.steps(served.release.id)[0].at
    created = asked + timedelta(seconds=2) if believed else datetime(2025, 1, 1, tzinfo=UTC)
    kept = Branch(id="br-1", name=name, current_state="ready", created_at=created)
    moment = restoration.moment_of_restore(connections.settings(), kept)
    assert moment == (created if believed else asked)
    assert ("the ledger's time is taken" in caplog.text) is not believed
