"""What a demo's release left behind, looked at from outside: build, catalogue, rows, Slack, ledger, branches."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from rich.table import Table

from deployments.application import endpoints
from deployments.git.repository import Commit
from deployments.local.traffic.run import TrafficReport
from flows.cli.console.flow_runs import FollowedRun
from migrations.catalog.contents import Catalog, difference, read_catalog
from migrations.database.session import reader
from tasks import connections, record


@dataclass(frozen=True)
class ProductionSnapshot:
    """Production as it stands.

    Attributes:
        commit_sha: commit of the build that its address serves.
        catalog: its catalogue.
        message_ids: every message in its database.
        revisions: revisions that stand in its database.
    """

    commit_sha: str | None
    catalog: Catalog
    message_ids: frozenset[str]
    revisions: tuple[str, ...]


def read_production() -> ProductionSnapshot:
    """Read production's build through its address and its database through Neon."""
    settings = connections.settings()
    health = endpoints.health(connections.production_url(settings), bypass=None)
    dsn = connections.owner_dsn(settings, connections.production_branch(settings))
    with reader(dsn) as connection:
        ids = frozenset(str(row[0]) for row in connection.execute("SELECT id FROM messages"))
        revisions = tuple(str(row[0]) for row in connection.execute("SELECT version_num FROM alembic_version"))
        return ProductionSnapshot(health.commit_sha, read_catalog(connection), ids, revisions)


ENDS_WELL = {"release", "quiet"}
# Their revisions stay, whatever becomes of the build.
EXPANDS = {"release", "quiet", "app-crash", "killed"}
# What Slack must have heard beside the end.
HEARD = {"killed": ["Recovery"], "quiet": ["is held for a person"]}


@dataclass(frozen=True)
class DemoResult:
    """Everything that is known of an ended demo.

    Attributes:
        scenario: name of the scenario.
        run: the release's flow run.
        traffic: what the users saw.
        before: production before the release.
        after: production after it.
        acknowledged: file with the time and id of every write that a user was told is done.
    """

    scenario: str
    run: FollowedRun
    traffic: TrafficReport
    before: ProductionSnapshot
    after: ProductionSnapshot
    acknowledged: Path

    @property
    def commit(self) -> Commit:
        """The commit that was released."""
        return connections.repository(connections.settings()).resolve(self.release.ref)

    @property
    def release(self) -> record.Release:
        """The release in the ledger."""
        settings = connections.settings()
        with connections.ledger(settings) as ledger:
            return ledger.releases(target=settings.target, limit=1)[0]

    @property
    def succeeded(self) -> bool:
        """Whether the release ended well, or must have where the scenario leaves it no choice."""
        return self.release.state == "succeeded" if self.scenario == "killed" else self.scenario in ENDS_WELL


def unmet_expectations(result: DemoResult) -> tuple[str, ...]:
    """Everything that must hold at the end and does not, in words; empty when all is as it must be."""
    expected = "succeeded" if result.succeeded else "rolled_back"
    if result.release.state != expected:
        return (f"the release is {result.release.state}, not {expected}: {result.release.summary}",)
    found = [
        *_build_expectations(result),
        *_schema_expectations(result),
        *_row_expectations(result),
        *_slack_expectations(result),
        *_branch_expectations(),
    ]
    if result.succeeded and result.traffic.errors:
        found.append(f"{result.traffic.errors} requests failed: {', '.join(result.traffic.failures[:3])}")
    return tuple(found)


def _build_expectations(result: DemoResult) -> list[str]:
    expected = result.commit.sha if result.succeeded else result.before.commit_sha
    if result.after.commit_sha == expected:
        return []
    return [f"production serves {result.after.commit_sha}, not {expected}"]


def _schema_expectations(result: DemoResult) -> list[str]:
    found = difference(result.before.catalog, result.after.catalog)
    expanded = result.scenario in EXPANDS
    if expanded and not found:
        return ["the catalogue is the old one, though a revision was released"]
    if not expanded and found:
        return [f"the catalogue differs from the one before: {'; '.join(str(one) for one in found[:3])}"]
    return []


def _row_expectations(result: DemoResult) -> list[str]:
    point = record.restore_point(result.release.id)
    restored = result.scenario == "data-corruption"
    must_be_there = {
        written
        for at, written in _writes(result.acknowledged)
        if not restored or (point is not None and at < point.seal.sealed_at)
    }
    lost = must_be_there - result.after.message_ids
    return [f"{len(lost)} acknowledged writes are lost, such as {min(lost)}"] if lost else []


def _writes(file: Path) -> list[tuple[datetime, str]]:
    rows = (line.split() for line in file.read_text().splitlines())
    return [(datetime.fromisoformat(at), written) for at, written in rows]


def _slack_expectations(result: DemoResult) -> list[str]:
    told = _told(result)
    wanted = ["succeeded"] if result.succeeded else ["was rolled back"]
    wanted = [*HEARD.get(result.scenario, [] if result.succeeded else ["failed"]), *wanted]
    missing = [word for word in wanted if not any(word in text for text in told)]
    ref = result.release.ref
    return [f"Slack has not heard that the release of {ref} {' and '.join(missing)}"] if missing else []


def _told(result: DemoResult) -> list[str]:
    """What Slack was told of what was released, in its order."""
    url = urlsplit(connections.settings().slack_webhook_url.get_secret_value())
    heard = httpx.get(f"{url.scheme}://{url.netloc}/messages", timeout=10).json()
    return [text for message in heard if result.release.ref in (text := str(message["text"]))]


def _branch_expectations() -> list[str]:
    settings = connections.settings()
    with connections.ledger(settings) as ledger:
        running = ledger.running(settings.target)
    owned = {settings.neon_production_branch, settings.neon_staging_branch}
    stray = [
        branch.name
        for branch in connections.neon(settings).branches()
        if branch.name not in owned and not branch.name.startswith(("release-", "before-rollback-"))
    ]
    return [
        *([f"release {running.id} is still open in the ledger"] if running else []),
        *([f"branches that nobody owns: {', '.join(stray)}"] if stray else []),
    ]


def summary(result: DemoResult) -> Table:
    """The figures of an ended demo as a table."""
    table = Table(show_header=False, box=None)
    after, seen = result.after, result.traffic
    table.add_row("release", result.release.id)
    for name, text in _known_beforehand(result.release.id):
        table.add_row(name, text)
    table.add_row("production serves", f"{after.commit_sha} ({'new' if result.succeeded else 'the build before'})")
    table.add_row("revision", ", ".join(after.revisions))
    table.add_row("catalogue", _catalogue_words(result))
    table.add_row(
        "traffic", f"{seen.requests} requests by {seen.users} users, {seen.errors} failed, {seen.refused} refused"
    )
    table.add_row("latency", f"P50 {seen.p50_ms:.0f} ms, P95 {seen.p95_ms:.0f} ms, P99 {seen.p99_ms:.0f} ms")
    lost = "some of them lost" if _row_expectations(result) else "none lost"
    since = " that was written before the restore point" if result.scenario == "data-corruption" else ""
    table.add_row("acknowledged writes", f"{len(_writes(result.acknowledged))}, {lost}{since}")
    table.add_row("Slack was told", "\n".join(_told(result)))
    table.add_row("took", f"{result.run.seconds:.1f} s")
    return table


def _known_beforehand(release_id: str) -> list[tuple[str, str]]:
    """What the plan, the lint and the rehearsal said before anything was touched."""
    settings = connections.settings()
    with connections.ledger(settings) as ledger:
        done = {step.step: step.details for step in ledger.steps(release_id) if step.event in {"done", "failed"}}
    plan, tried = done.get("plan"), done.get("rehearsal")
    rows: list[tuple[str, str]] = []
    if plan:
        expand, contract, hazards, waived = (
            len(found) if isinstance(found := plan.get(key), list) else 0
            for key in ("expand", "contract", "hazards", "waived")
        )
        rows.append(
            ("plan", f"{str(plan.get('digest'))[:12]}: {expand} expand, {contract} contract, {plan.get('source')}")
        )
        rows.append(("lint", f"{hazards} hazards, {waived} waived"))
    if tried:
        rows.append(("rehearsal", f"downtime: {tried.get('downtime')}"))
        rows.append(("", f"way back: {tried.get('way_back')}"))
        rows.append(("", f"running application: {tried.get('compatibility')}"))
    return rows


def _catalogue_words(result: DemoResult) -> str:
    found = difference(result.before.catalog, result.after.catalog)
    if not found:
        return "equal to the one before"
    return f"expanded, and compatible with the build before: {'; '.join(str(one) for one in found[:3])}"
