"""What holds after every fault and the recovery from it, whatever it was: all of it looked at from outside."""

import json
from collections.abc import Sequence
from pathlib import Path

from deployments.application import endpoints
from deployments.ledger import Release, Step
from flows.cli.console import demo_checks
from migrations.catalog.contents import difference, read_catalog
from migrations.database.session import reader
from migrations.history.revisions import current_revisions
from tasks import connections, record
from tasks.steps import status
from tests.faults.generated.target import RELEASE, Target
from tests.told_once import assert_told_once
from tests.users_at_work import Users

OLD, NEW = ("20250122_1030",), ("20251101_0900",)
# What the revision of v2 makes of the catalogue of v1.
CHANGED = ('column audit_logs."targetType"',)
ENDED = {"succeeded": "succeeded", "rolled_back": "was rolled back", "failed": "did not start"}


def hold_invariants(
    target: Target, users: Users, first: Release, *, slack_heard: bool = True, sent_again: bool = False
) -> Release:
    """Look at everything from outside.

    Args:
        target: the target.
        users: the users who were at work meanwhile.
        first: the first release, or rollback, whose writes may have gone to a receipt.
        slack_heard: whether Slack took what it was told.
        sent_again: whether Slack may have got one message twice.

    Returns:
        The newest row of the ledger.
    """
    row = target.newest()
    with target.ledger() as ledger:
        assert ledger.running(target.settings.target) is None
        rows = [
            one
            for one in ledger.releases(target=target.settings.target, limit=20)
            if one.started_at >= first.started_at
        ]
        steps = [step for one in rows for step in ledger.steps(one.id)]
    assert row.state in ENDED, row.summary
    # What follows a fault may be over before the users have begun.
    users.wait_for_writes(1)
    _production_is_old_or_new(target, row)
    _staging_is_old_or_new(target)
    _no_write_is_lost(users, steps)
    _nothing_is_left(target, rows)
    if slack_heard:
        _slack_has_heard(target, row, sent_again=sent_again)
    _next_release_starts(target)
    return row


def _production_is_old_or_new(target: Target, row: Release) -> None:
    old, after = target.old, demo_checks.read_production()
    assert old is not None
    assert (after.commit_sha == old.commit_sha) is (row.state != "succeeded")
    assert after.revisions == NEW if row.state == "succeeded" else after.revisions in {OLD, NEW}
    assert "serves at" not in row.summary or f"serves at {', '.join(after.revisions)}" in row.summary
    changed = tuple(f"{one.kind} {one.name}" for one in difference(old.catalog, after.catalog))
    assert changed == (CHANGED if after.revisions == NEW else ())
    url = connections.production_url(target.settings)
    health = endpoints.health(url, bypass=None)
    assert (health.healthy, health.maintenance) == (True, False)
    probes = endpoints.probe_reads(url, bypass=None, commit_sha=after.commit_sha)
    assert [probe for probe in probes if not probe.ok] == []
    assert connections.production_branch(target.settings).protected


def _staging_is_old_or_new(target: Target) -> None:
    assert target.old is not None
    with reader(connections.owner_dsn(target.settings, connections.staging_branch(target.settings))) as connection:
        revisions, catalog = tuple(current_revisions(connection)), read_catalog(connection)
    changed = tuple(f"{one.kind} {one.name}" for one in difference(target.old.catalog, catalog))
    assert (revisions, changed) in ((OLD, ()), (NEW, CHANGED))


def _no_write_is_lost(users: Users, steps: Sequence[Step]) -> None:
    """Every write that was acknowledged is in production, or on a receipt; none in neither, none in both."""
    receipts = {str(one.details["file"]) for one in steps if one.step == "receipt" and one.event == "done"}
    lines = [json.loads(line) for file in receipts for line in Path(file).read_text().splitlines()]
    taken = {str(value) for line in lines if line["table"] == "messages" for value in line["key"].values()}
    written = {str(identity) for _, identity in users.acknowledged}
    stands = demo_checks.read_production().message_ids
    assert written
    assert written <= stands | taken, f"{len(written - stands - taken)} acknowledged writes are lost"
    assert not written & stands & taken
    restored = any(one.step == "restore production" and one.event == "done" for one in steps)
    assert bool(receipts) is restored


def _nothing_is_left(target: Target, rows: Sequence[Release]) -> None:
    """No branch, session, lock or process is there that nobody owns."""
    ids = {each for one in rows for each in (one.id, record.release_undone_by(one)) if each}
    owned = {f"{kind}-{each}" for kind in ("release", "before-rollback") for each in ids}
    owned |= {target.settings.neon_production_branch, target.settings.neon_staging_branch}
    branches = connections.neon(target.settings).branches()
    assert {branch.name for branch in branches} <= owned
    with target.production() as connection:
        sessions = connection.execute(
            "SELECT application_name, state FROM pg_stat_activity"
            " WHERE application_name LIKE 'pilotage%' AND pid <> pg_backend_pid()"
        ).fetchall()
        locks = connection.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone()
        roles = connection.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE 'pilotage%'").fetchall()
    assert sessions == []
    assert locks == (0,)
    assert roles == [("pilotage_service",)] or roles == []
    assert [flow for flow in target.started if flow.process.exitcode is None] == []


def _slack_has_heard(target: Target, row: Release, *, sent_again: bool) -> None:
    """The end was told, and each fact once."""
    messages = target.platform.slack_messages()[target.heard :]
    headlines = [str(message["text"]) for message in messages if row.id in str(message)]
    assert any(text.endswith(ENDED[row.state]) for text in headlines), (
        f"Slack has not heard that it ended as {row.state}: {target.told()[target.heard :]}"
    )
    assert_told_once(messages, sent_again=sent_again)


def _next_release_starts(target: Target) -> None:
    """Nothing that is left refuses the next release."""
    commit = connections.repository(target.settings).resolve(RELEASE["ref"])
    status.survey.fn(commit, "head", reset_staging=True)
