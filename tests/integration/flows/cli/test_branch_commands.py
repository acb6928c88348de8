"""`pilotage branch`: branches for developers, on Neon's API as the local platform has it."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from deployments.ledger import Ledger
from deployments.local.hosting.faults import Fault
from deployments.local.supervisor.running import RunningPlatform
from deployments.neon.client import NeonClient
from deployments.settings import load_neon_settings, load_settings
from flows.cli.branch import app, default_name


@pytest.fixture
def neon(
    faults: RunningPlatform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[NeonClient, RunningPlatform]]:
    """The project, of which every new branch is deleted again; only what concerns Neon is set."""
    for name, value in faults.env.items():
        if name.startswith("NEON_"):
            monkeypatch.setenv(name, value)
    file = tmp_path / "settings.env"
    file.touch()
    monkeypatch.setenv("PILOTAGE_ENV_FILE", str(file))
    monkeypatch.setenv("LEDGER_URL", f"sqlite:///{tmp_path / 'ledger.db'}")
    monkeypatch.setenv("COLUMNS", "200")
    settings = load_neon_settings()
    client = NeonClient(settings.neon_api_url, settings.neon_api_key, settings.neon_project_id)
    there = {branch.id for branch in client.branches()}
    yield client, faults
    faults.clear_faults()
    for branch in client.branches():
        if branch.id not in there:
            client.delete_branch(branch.id)


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.stdout, " ".join(result.stderr.split())


def test_a_branch_is_made_once_connected_to_listed_and_deleted(neon: tuple[NeonClient, RunningPlatform]) -> None:
    client, _ = neon
    code, said, error = run("create", "dev-ana", "--from", "staging", "--expires", "24h", "--json")
    assert (code, error) == (0, "")
    made = json.loads(said)
    assert (made["name"], made["parent"], made["created"]) == ("dev-ana", "staging", True)
    left = datetime.fromisoformat(made["expires_at"]) - datetime.now(UTC)
    assert timedelta(hours=23) < left <= timedelta(hours=24)

    again = json.loads(run("create", "dev-ana", "--from", "staging", "--json")[1])
    assert (again["id"], again["created"]) == (made["id"], False)

    code, dsn, error = run("url", "dev-ana")
    assert (code, error) == (0, "")
    with psycopg.connect(dsn.strip()) as connection:
        connection.execute("CREATE TABLE only_here (id int)")
    pooled = json.loads(run("url", "dev-ana", "--pooled", "--json")[1])
    assert pooled["pooled"] is True

    listed = {one["name"]: one for one in json.loads(run("list", "--json")[1])}
    assert listed["main"]["kind"] == "production"
    assert listed["staging"]["kind"] == "staging"
    assert (listed["dev-ana"]["kind"], listed["dev-ana"]["made_by"]) == ("", "local")
    row = next(line for line in run("list")[1].splitlines() if line.startswith(" dev-ana"))
    assert row.split() == ["dev-ana", "staging", "0", "min", "in", "24", "h", "local"]

    assert run("delete", "dev-ana")[:2] == (0, "dev-ana is deleted\n")
    assert "dev-ana" not in {branch.name for branch in client.branches()}


def test_its_name_is_the_users_and_it_stays_unless_told_otherwise(neon: tuple[NeonClient, RunningPlatform]) -> None:
    client, _ = neon
    code, said, _ = run("create", "--no-compute")
    assert code == 0
    assert "is a copy of main as it is now, and stays until it is deleted" in said
    assert default_name().startswith("dev-")
    assert client.branch(default_name()).expires_at is None
    code, _, error = run("url", default_name())
    assert code == 1
    assert error == (
        f"error: {default_name()} has no compute to connect to: delete it and create it without --no-compute"
    )


def test_production_is_neither_connected_to_nor_deleted(neon: tuple[NeonClient, RunningPlatform]) -> None:
    client, _ = neon
    assert run("url", "main")[0::2] == (
        1,
        "error: main is production: work on a branch of it (`pilotage branch create`)",
    )
    assert run("delete", "main")[0::2] == (1, "error: main is production: it is not deleted here")
    assert run("delete", "staging")[0::2] == (1, "error: staging is staging: it is not deleted here")
    branch = client.create_branch("dev-kept", parent_id=client.branch("main").id)
    client.set_protected(branch.id, protected=True)
    assert run("delete", "dev-kept")[0::2] == (1, "error: dev-kept is protected: it is not deleted here")
    client.set_protected(branch.id, protected=False)


def test_what_hangs_under_a_branch_is_named_with_what_takes_it_off(neon: tuple[NeonClient, RunningPlatform]) -> None:
    client, _ = neon
    parent = client.create_branch("dev-kept", parent_id=client.branch("main").id)
    client.create_branch("dev-child", parent_id=parent.id)
    staging = client.branch("staging")
    client.restore(staging.id, source_branch_id=parent.id)
    try:
        code, _, error = run("delete", "dev-kept")
        assert code == 1
        assert error == (
            "error: dev-kept has branches under it (dev-child, staging). First: `pilotage branch delete dev-child`; "
            "`pilotage branch delete dev-kept --reset-staging` makes staging a copy of production, which takes it off"
        )
    finally:
        client.restore(staging.id, source_branch_id=client.branch("main").id)
        run("delete", "dev-child")
    assert run("delete", "dev-kept")[0] == 0


@pytest.fixture
def under_staging(neon: tuple[NeonClient, RunningPlatform], monkeypatch: pytest.MonkeyPatch) -> Iterator[NeonClient]:
    """A branch that staging hangs under, with all the settings of a worker."""
    client, platform = neon
    for name, value in platform.env.items():
        if name != "LEDGER_URL":
            monkeypatch.setenv(name, value)
    parent = client.create_branch("dev-kept", parent_id=client.branch("main").id)
    client.restore(client.branch("staging").id, source_branch_id=parent.id)
    yield client
    client.restore(client.branch("staging").id, source_branch_id=client.branch("main").id)


def test_staging_is_taken_off_a_branch_whatever_production_serves(under_staging: NeonClient) -> None:
    assert run("delete", "dev-kept")[0] == 1
    assert run("delete", "dev-kept", "--reset-staging")[:2] == (0, "dev-kept is deleted\n")
    assert under_staging.branch("staging").parent_id == under_staging.branch("main").id
    with Ledger.open(load_neon_settings().ledger_url) as ledger:
        (row,) = ledger.releases(limit=9)
        assert (row.state, row.summary) == ("succeeded", "staging is a copy of production")
        assert [one.step for one in ledger.steps(row.id)] == ["reset staging", "reset staging"]


def test_staging_is_not_reset_under_a_release_or_for_a_branch_that_stays_all_the_same(
    under_staging: NeonClient,
) -> None:
    parent, before = under_staging.branch("dev-kept"), under_staging.branch("staging").last_reset_at
    child = under_staging.create_branch("dev-child", parent_id=parent.id)
    code, _, error = run("delete", "dev-kept", "--reset-staging")
    assert (code, error) == (
        1,
        "error: dev-kept has branches under it (dev-child). First: `pilotage branch delete dev-child`",
    )
    under_staging.delete_branch(child.id)
    target = load_settings().target
    with Ledger.open(load_neon_settings().ledger_url) as ledger:
        begin(ledger, target=target)
        code, _, error = run("delete", "dev-kept", "--reset-staging")
    assert code == 1
    assert "has been running since" in error
    assert under_staging.branch("staging").last_reset_at == before


def test_a_branch_that_a_running_release_made_stays(neon: tuple[NeonClient, RunningPlatform]) -> None:
    client, _ = neon
    client.create_branch("release-now", parent_id=client.branch("main").id)
    settings = load_neon_settings()
    with Ledger.open(settings.ledger_url) as ledger:
        release = ledger.begin_release(
            target="shop",
            ref="v2",
            commit_sha="5d1c" * 10,
            target_revision="20251101_0900",
            requested_by="ana",
            flow_run_id=None,
            lease_s=60,
        )
        ledger.note(release.id, "snapshot", {"branch": "release-now"})
        code, _, error = run("delete", "release-now")
        assert code == 1
        assert error.startswith(f"error: release {release.id} is running and may need release-now for its way back")
        ledger.end_release(release.id, "succeeded", "done")
    assert run("delete", "release-now")[0] == 0


def begin(ledger: Ledger, requested_by: str = "ana", *, target: str = "shop") -> str:
    return ledger.begin_release(
        target=target,
        ref="v2",
        commit_sha="5d1c" * 10,
        target_revision="20251101_0900",
        requested_by=requested_by,
        flow_run_id=None,
        lease_s=60,
    ).id


@pytest.mark.parametrize("decided", ["kept", "rolled back", "found good", "superseded"])
def test_a_branch_of_a_release_that_was_held_goes_once_that_is_decided(
    neon: tuple[NeonClient, RunningPlatform], decided: str
) -> None:
    client, _ = neon
    client.create_branch("release-held", parent_id=client.branch("main").id)
    with Ledger.open(load_neon_settings().ledger_url) as ledger:
        held = begin(ledger)
        ledger.note(held, "snapshot", {"branch": "release-held"})
        ledger.note(held, "promote", {"deployment": "dpl_new"})
        ledger.end_release(held, "undecided", "too few users")
        code, _, error = run("delete", "release-held")
        assert code == 1
        assert error.endswith(f"end it first, with `pilotage release keep {held}` or `pilotage rollback {held}`")
        if decided == "kept":
            ledger.note(held, "kept", {})
        else:
            later = begin(ledger, f"rollback of {held}: by hand" if decided == "rolled back" else "ana")
            if decided == "found good":
                ledger.note(later, "watch production", {"deployment": "dpl_new"})
            elif decided == "superseded":
                ledger.note(later, "promote", {"deployment": "dpl_newer"})
            ledger.end_release(later, "rolled_back" if decided == "rolled back" else "succeeded", "done")
    assert run("delete", "release-held")[0] == 0


def test_a_kept_state_goes_once_the_rollback_that_broke_off_was_run_again(
    neon: tuple[NeonClient, RunningPlatform],
) -> None:
    client, _ = neon
    client.create_branch("before-rollback-x", parent_id=client.branch("main").id)
    with Ledger.open(load_neon_settings().ledger_url) as ledger:
        undone = begin(ledger)
        ledger.end_release(undone, "succeeded", "done")
        for state in ("undecided", "rolled_back"):
            tried = begin(ledger, f"rollback of {undone}: by hand")
            ledger.note(tried, "restore production", {"branch": "before-rollback-x"})
            ledger.end_release(tried, state, "")
            if state == "undecided":
                code, _, error = run("delete", "before-rollback-x")
                assert (code, error.rpartition("end it first, ")[2]) == (
                    1,
                    f"`pilotage rollback {undone}` goes on with it",
                )
    assert run("delete", "before-rollback-x")[0] == 0


def test_an_address_of_another_branch_is_not_handed_out(neon: tuple[NeonClient, RunningPlatform]) -> None:
    client, _ = neon
    assert run("create", "dev-ana")[0] == 0
    settings = load_neon_settings()
    uri = client.connection_uri(
        client.branch("staging").id, database=settings.neon_database, role=settings.neon_owner_role, pooled=False
    )
    _, platform = neon
    platform.fault(
        "neon",
        Fault(method="GET", path="/connection_uri", status=200, body=json.dumps({"uri": uri.get_secret_value()})),
    )
    code, said, error = run("url", "dev-ana")
    assert (code, said) == (1, "")
    assert "Neon handed out" in error


@pytest.mark.parametrize("span", ["31d", "721h", "999999d"])
def test_a_span_that_neon_does_not_take_is_refused_before_anything_is_made(
    span: str, neon: tuple[NeonClient, RunningPlatform]
) -> None:
    before = neon[0].branches()
    code, _, error = run("create", "dev-ana", f"--expires={span}")
    assert (code, error) == (
        1,
        f"error: --expires {span}: Neon lets a branch expire 30 days ahead, and no later",
    )
    assert neon[0].branches() == before


def test_the_longest_span_that_neon_takes_is_taken(neon: tuple[NeonClient, RunningPlatform]) -> None:
    code, said, error = run("create", "dev-ana", "--expires", "30d", "--no-compute", "--json")
    assert code == 0, error
    left = datetime.fromisoformat(json.loads(said)["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=29, hours=23) < left < timedelta(days=30)


@pytest.mark.parametrize("span", ["24", "0h", "h", "1w", "-3d"])
def test_a_span_that_says_nothing_is_refused(span: str, neon: tuple[NeonClient, RunningPlatform]) -> None:
    code, _, error = run("create", "dev-ana", f"--expires={span}")
    assert code == 1
    assert error == f"error: --expires {span}: give a number and m, h or d, such as 90m, 24h or 7d"
