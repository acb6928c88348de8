"""A release's revisions know its restore point: what users wrote since then is recorded where they overwrite it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime

import psycopg
import pytest

from deployments.local.supervisor.running import RunningPlatform
from migrations.restore.restore_point import Seal
from tasks import connections, record
from tasks.acts import Act
from tasks.steps import production, status
from tasks.values import RestorePoint

POINT = RestorePoint(
    production_branch_id="br_1",
    snapshot_branch_id="br_2",
    # Of two transactions that had begun at the point, the older one has the id 5.
    seal=Seal("0/1", "6:7:6", (6, 5), datetime(2026, 11, 27, tzinfo=UTC), 1),
    catalog_digest="",
    catalog_json="[]",
    revisions=(),
    serving_deployment_id="dpl_1",
    baseline=(),
    target_revision="20251101_0900",
)


def test_production_s_revisions_look_for_what_was_written_since_the_restore_point(
    bring_up: Callable[[], AbstractContextManager[RunningPlatform]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with bring_up() as platform:
        for name, value in platform.env.items():
            monkeypatch.setenv(name, value)
        settings = connections.settings()
        commit = connections.repository(settings).resolve("v2")
        with connections.ledger(settings) as ledger:
            release = ledger.begin_release(
                target=settings.target,
                ref="v2",
                commit_sha=commit.sha,
                target_revision="head",
                requested_by="a test",
                flow_run_id=None,
                lease_s=60,
            )
        with record.recorded_step(release.id, Act.RESTORE_POINT) as entry:
            entry.result(record.restore_point_json(POINT))
        assert production.migrate_production.fn(release.id, commit, POINT.target_revision)
        dsn = connections.owner_dsn(settings, connections.production_branch(settings))
        with psycopg.connect(dsn) as connection:
            since = connection.execute(
                "SELECT DISTINCT written_by::text FROM pilotage.overwritten_rows w"
                " JOIN pilotage.applied_revisions a USING (revision) WHERE w.kind = 'since' AND a.release_id = %s",
                (release.id,),
            ).fetchall()
        assert since == [("5",)]
        monkeypatch.setenv("RELEASE_REPOSITORY", "/gone")
        for stood, applied in (((), ("20251101_0900",)), (("20251101_0900",), ())):
            assert status.applied_since(replace(POINT, revisions=stood), commit) == applied
