"""The Neon client against the local Neon, which loses replies: in the end there is exactly one effect."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import suppress

import psycopg
import pytest
from pydantic import SecretStr

from deployments.errors import DeploymentError, OperationFailed, ServiceRefused
from deployments.local.hosting.faults import Fault
from deployments.local.supervisor.running import RunningPlatform
from deployments.neon import restores
from deployments.neon.client import Branch, NeonClient
from deployments.vercel.client import VercelClient

CUT = {"when": "after", "cut": True}
GATEWAY = {"when": "after", "status": 524, "body": "<html><h1>A timeout occurred</h1></html>"}
NEVER_ARRIVED = {"when": "before", "cut": True}
BUSY = {"when": "before", "status": 503}
LIMITED = {"when": "before", "status": 429, "headers": {"Retry-After": "0.2"}}

LOST = pytest.mark.parametrize("loss", [CUT, GATEWAY], ids=["cut", "gateway"])
SPOILED = pytest.mark.parametrize("loss", [CUT, NEVER_ARRIVED], ids=["cut", "never arrived"])


def lose(platform: RunningPlatform, method: str, path: str, loss: Mapping[str, object]) -> None:
    platform.fault("neon", Fault.model_validate({"method": method, "path": path, **loss}))


def asked(platform: RunningPlatform, method: str, path: str) -> int:
    return sum(one.method == method and path in one.path for one in platform.requests("neon"))


@pytest.fixture
def neon(faults: RunningPlatform) -> NeonClient:
    env = faults.env
    return NeonClient(env["NEON_API_URL"], SecretStr(env["NEON_API_KEY"]), env["NEON_PROJECT_ID"], poll_s=0.05)


@pytest.fixture
def name(neon: NeonClient) -> Iterator[str]:
    """A name for branches; those that begin with it are deleted in the end, children first."""
    name = f"faults-{secrets.token_hex(3)}"
    yield name
    for _ in range(3):
        for branch in neon.branches():
            if branch.name.startswith(name):
                with suppress(ServiceRefused):
                    neon.delete_branch(branch.id)
    assert [branch.name for branch in neon.branches() if branch.name.startswith(name)] == []


def made(neon: NeonClient, name: str) -> list[Branch]:
    return [branch for branch in neon.branches() if branch.name.startswith(name)]


@pytest.mark.parametrize(
    "loss", [CUT, GATEWAY, NEVER_ARRIVED, LIMITED], ids=["cut", "gateway", "never arrived", "limited"]
)
def test_one_branch_is_made(faults: RunningPlatform, neon: NeonClient, name: str, loss: Mapping[str, object]) -> None:
    lose(faults, "POST", "/branches$", loss)
    branch = neon.create_branch(name, parent_id=neon.branch("main").id)
    assert made(neon, name) == [branch]
    assert branch.current_state == "ready"


def test_a_busy_neon_is_waited_for(faults: RunningPlatform, neon: NeonClient, name: str) -> None:
    lose(faults, "POST", "/branches$", BUSY)
    lose(faults, "GET", "/operations", BUSY)
    branch = neon.create_branch(name, parent_id=neon.branch("main").id)
    assert made(neon, name) == [branch]


@pytest.fixture
def served(faults: RunningPlatform, neon: NeonClient, name: str) -> Branch:
    """A child of staging that can be connected to."""
    branch = neon.create_branch(name, parent_id=neon.branch("staging").id, compute=True)
    faults.clear_faults()
    return branch


def dsn(faults: RunningPlatform, neon: NeonClient, branch: Branch) -> str:
    env = faults.env
    uri = neon.connection_uri(branch.id, database=env["NEON_DATABASE"], role=env["NEON_OWNER_ROLE"], pooled=False)
    return uri.get_secret_value()


def marks(faults: RunningPlatform, neon: NeonClient, branch: Branch) -> list[int]:
    with psycopg.connect(dsn(faults, neon, branch)) as connection:
        return [row[0] for row in connection.execute("SELECT id FROM marks ORDER BY id").fetchall()]


@LOST
def test_one_restore_is_done(
    faults: RunningPlatform, neon: NeonClient, served: Branch, loss: Mapping[str, object]
) -> None:
    with psycopg.connect(dsn(faults, neon, served), autocommit=True) as connection:
        connection.execute("CREATE TABLE marks AS SELECT 1 AS id")
        row = connection.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone()
        assert row is not None
        connection.execute("INSERT INTO marks VALUES (2)")
    faults.clear_faults()
    lose(faults, "POST", "/restore$", loss)
    restored = neon.restore(
        served.id, source_branch_id=served.id, source_lsn=row[0], preserve_under_name=f"{served.name}-kept"
    )
    assert asked(faults, "POST", "/restore") == 1
    assert (restored.id, restored.name) == (served.id, served.name)
    assert {branch.name for branch in made(neon, served.name)} == {served.name, f"{served.name}-kept"}
    assert marks(faults, neon, restored) == [1]
    kept = neon.branch(f"{served.name}-kept")
    assert neon.give_compute(kept.id)
    assert marks(faults, neon, kept) == [1, 2]
    neon.delete_computes(kept.id)


@SPOILED
def test_one_reset_is_done(
    faults: RunningPlatform, neon: NeonClient, served: Branch, loss: Mapping[str, object]
) -> None:
    staging = neon.branch("staging")
    lose(faults, "POST", "/restore$", loss)
    neon.restore(served.id, source_branch_id=staging.id)
    assert asked(faults, "POST", "/restore") == (1 if loss is CUT else 2)


@SPOILED
def test_a_protection_is_set_and_lifted(
    faults: RunningPlatform, neon: NeonClient, name: str, loss: Mapping[str, object]
) -> None:
    branch = neon.create_branch(name, parent_id=neon.branch("main").id)
    for protected in (True, False):
        lose(faults, "PATCH", branch.id, loss)
        assert neon.set_protected(branch.id, protected=protected).protected is protected


@SPOILED
def test_a_branch_is_deleted(faults: RunningPlatform, neon: NeonClient, name: str, loss: Mapping[str, object]) -> None:
    branch = neon.create_branch(name, parent_id=neon.branch("main").id)
    lose(faults, "DELETE", branch.id, loss)
    neon.delete_branch(branch.id)
    assert made(neon, name) == []


@SPOILED
def test_one_compute_is_given_and_deleted(
    faults: RunningPlatform, neon: NeonClient, name: str, loss: Mapping[str, object]
) -> None:
    branch = neon.create_branch(name, parent_id=neon.branch("main").id)
    lose(faults, "POST", "/endpoints$", loss)
    lose(faults, "DELETE", "/endpoints/", loss)
    assert neon.give_compute(branch.id)
    assert len(neon.endpoints(branch.id)) == 1
    neon.delete_computes(branch.id)
    assert neon.endpoints(branch.id) == ()


@SPOILED
def test_one_snapshot_is_taken(
    faults: RunningPlatform, neon: NeonClient, name: str, loss: Mapping[str, object]
) -> None:
    lose(faults, "POST", "/snapshot$", loss)
    lose(faults, "DELETE", "/snapshots/", loss)
    taken = neon.create_snapshot(neon.branch("main").id, name)
    assert [one.id for one in neon.snapshots() if one.name == name] == [taken.id]
    neon.delete_snapshot(taken.id)
    assert [one.id for one in neon.snapshots() if one.name == name] == []


def test_a_branch_whose_operation_fails_is_told_and_not_there(
    faults: RunningPlatform, neon: NeonClient, name: str
) -> None:
    lose(faults, "POST", "/branches$", {"work": "failed"})
    with pytest.raises(OperationFailed, match="ended as failed"):
        neon.create_branch(name, parent_id=neon.branch("main").id)
    assert made(neon, name) == []


@pytest.mark.parametrize("preserved", [True, False], ids=["to a point of its own", "from another branch"])
def test_a_restore_that_fails_without_effect_is_asked_for_again(
    faults: RunningPlatform, neon: NeonClient, served: Branch, preserved: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restores, "PAUSES_S", (0.1, 0.1))
    kept = f"{served.name}-kept" if preserved else None
    with psycopg.connect(dsn(faults, neon, served), autocommit=True) as connection:
        row = connection.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone()
        assert row is not None
        connection.execute("CREATE TABLE marks AS SELECT 1 AS id")
    source, lsn = (served.id, row[0]) if preserved else (neon.branch("staging").id, None)
    faults.clear_faults()
    lose(faults, "POST", "/restore$", {"work": "failed", "times": 2})
    restored = neon.restore(served.id, source_branch_id=source, source_lsn=lsn, preserve_under_name=kept)
    assert asked(faults, "POST", "/restore") == 3
    assert {branch.name for branch in made(neon, served.name)} == {served.name, *([kept] if kept else ())}
    with pytest.raises(psycopg.errors.UndefinedTable):
        marks(faults, neon, restored)


def test_a_restore_that_fails_for_good_changes_nothing(
    faults: RunningPlatform, neon: NeonClient, served: Branch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restores, "PAUSES_S", (0.1, 0.1))
    faults.clear_faults()
    lose(faults, "POST", "/restore$", {"work": "failed", "times": 9})
    with pytest.raises(OperationFailed, match="ended as failed"):
        neon.restore(served.id, source_branch_id=neon.branch("staging").id)
    assert asked(faults, "POST", "/restore") == restores.ASKS
    assert neon.branch(served.name).last_reset_at is None


def test_an_operation_that_never_ends_is_given_up_and_done_when_its_time_comes(
    faults: RunningPlatform, neon: NeonClient, name: str
) -> None:
    env, parent = faults.env, neon.branch("main").id
    hasty = NeonClient(
        env["NEON_API_URL"], SecretStr(env["NEON_API_KEY"]), env["NEON_PROJECT_ID"], poll_s=0.05, deadline_s=0.5
    )
    lose(faults, "POST", "/branches$", {"work": "never"})
    with pytest.raises(OperationFailed, match="is still running"):
        hasty.create_branch(name, parent_id=parent)
    faults.clear_faults()
    branch = neon.create_branch(name, parent_id=parent)
    assert made(neon, name) == [branch]


def test_a_wrong_key_names_its_variable(faults: RunningPlatform) -> None:
    env, wrong = faults.env, SecretStr("wrong-2c2c")
    neon = NeonClient(env["NEON_API_URL"], wrong, env["NEON_PROJECT_ID"])
    vercel = VercelClient(env["VERCEL_API_URL"], wrong, env["VERCEL_TEAM_ID"], env["VERCEL_PROJECT_ID"])
    for ask, variable in ((neon.project, "NEON_API_KEY"), (vercel.project, "VERCEL_TOKEN")):
        with pytest.raises(DeploymentError, match=f"check {variable}") as caught:
            ask()
        assert "wrong-2c2c" not in str(caught.value)
