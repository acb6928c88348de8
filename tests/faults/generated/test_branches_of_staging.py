"""Somebody has a branch of staging: a release that makes staging a copy of production leaves it, and is not stopped."""

import pytest
from prefect import Task

from tasks import connections
from tasks.steps import left_behind
from tests.faults.generated.flow_process import called
from tests.faults.generated.target import RELEASE, Target
from tests.users_at_work import Users

NAME = "dev-of-staging"


def test_release_resets_staging_under_somebody_s_branch_and_the_state_before_goes_with_that_branch(
    target: Target, users: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connections.neon(target.settings, in_release=False)
    staging = connections.staging_branch(target.settings)
    client.create_branch(NAME, parent_id=staging.id, compute=False, expires_at=None)
    released = target.run("release", RELEASE)
    assert "release succeeded" in released.said, released.said
    named = {branch.name: branch for branch in client.branches()}
    kept = named[f"staging-before-{target.newest().id}"]
    assert named[NAME].parent_id == kept.id
    assert named[staging.name].parent_id == connections.production_branch(target.settings).id

    monkeypatch.setattr(Task, "__call__", called)
    left_behind.tidy_branches()
    assert kept.id in {branch.id for branch in client.branches()}
    client.delete_branch(named[NAME].id)
    left_behind.tidy_branches()
    assert kept.id not in {branch.id for branch in client.branches()}
    with target.ledger() as ledger:
        assert ledger.leftovers(target.newest().id).branches == (f"release-{target.newest().id}",)
