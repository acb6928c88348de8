"""Rehearsal: the plan tried on a fresh branch of production, so that opinions become evidence."""

import base64
import secrets
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from prefect.artifacts import create_image_artifact, create_markdown_artifact

from deployments.git.repository import Commit
from deployments.neon.client import NeonClient
from deployments.redaction.redactor import redacted
from deployments.settings import Settings
from migrations.database.session import reader
from migrations.disclosure.sentences import clauses, sentence
from migrations.errors import MigrationError
from migrations.plan.planned_revisions import Plan
from migrations.rehearsal.compatibility.observed_statements import running_application
from migrations.rehearsal.dress_rehearsal import rehearse
from migrations.rehearsal.evidence import Evidence
from migrations.rehearsal.evidence_report import compatibility, downgrades, downtime, render, timeline
from tasks import best_effort, connections
from tasks.acts import Act
from tasks.errors import RehearsalFailed
from tasks.record import recorded_step
from tasks.step import step

BRANCH_HOURS = 2


def branch_name(release_id: str) -> str:
    """The name of the branch that a release rehearses on."""
    return f"rehearsal-{release_id}"


@step("rehearsal", timeout_s=3600)
def rehearse_release(release_id: str, commit: Commit, plan: Plan) -> Evidence:
    """Try the plan on a branch of production, which is deleted afterwards, and keep the evidence.

    Raises:
        RehearsalFailed: a revision does not go through on production's rows, a client would wait for longer than the
            budget, or the application that runs now would break. Production was not touched.
    """
    settings = connections.settings()
    name = branch_name(release_id)
    with recorded_step(release_id, Act.REHEARSAL, branch=name, plan=plan.digest) as entry:
        evidence = _rehearse_on_branch(
            settings,
            connections.neon(settings),
            name,
            commit,
            plan,
            on_deleted=lambda: entry.result({"branch_deleted": name}),
        )
        keep_evidence(settings, release_id, evidence)
        problems = evidence.problems(blocking_budget_ms=settings.blocking_budget_ms)
        entry.result(
            {
                "plan": plan.digest,
                "evidence": evidence.digest,
                "downtime": downtime(evidence),
                "way_back": downgrades(evidence.way_back),
                "compatibility": compatibility(evidence.compatibility),
                "problems": list(problems),
            }
        )
        if problems:
            raise RehearsalFailed(
                f"the rehearsal stops the release: {sentence(clauses(problems))} Production was not touched."
            )
    return evidence


@step("delete rehearsal branch", timeout_s=300)
def delete_branch_left(release_id: str) -> None:
    """Delete the branch on which a release has rehearsed whose process died."""
    client, name = connections.neon(connections.settings()), branch_name(release_id)
    for branch in client.branches():
        if branch.name == name:
            with recorded_step(release_id, Act.DELETE_REHEARSAL_BRANCH) as entry:
                client.delete_branch(branch.id)
                entry.result({"branch_deleted": name})


@dataclass(frozen=True)
class RehearsalResult:
    """What a rehearsal without a release found.

    Attributes:
        summary: it in a line, with the digests of plan and evidence.
        problems: why a release would stop; empty where it would not.
    """

    summary: str
    problems: tuple[str, ...]


@step("rehearsal", timeout_s=3600)
def rehearse_plan(commit: Commit, plan: Plan) -> RehearsalResult:
    """Try a plan on a branch of production, which is deleted afterwards, and keep the evidence; no release is made.

    Raises:
        RehearsalFailed: a revision does not go through on production's rows.
    """
    settings = connections.settings()
    name = branch_name(f"{commit.sha[:12]}-{secrets.token_hex(3)}")
    evidence = _rehearse_on_branch(settings, connections.neon(settings, in_release=False), name, commit, plan)
    keep_evidence(settings, None, evidence)
    return RehearsalResult(
        f"plan {plan.digest}, evidence {evidence.digest}: downtime: {downtime(evidence)};"
        f" way back: {downgrades(evidence.way_back)}",
        evidence.problems(blocking_budget_ms=settings.blocking_budget_ms),
    )


def _rehearse_on_branch(
    settings: Settings,
    client: NeonClient,
    name: str,
    commit: Commit,
    plan: Plan,
    *,
    on_deleted: Callable[[], None] = lambda: None,
) -> Evidence:
    production = connections.production_branch(settings)
    with reader(connections.owner_dsn(settings, production)) as connection:
        sent = running_application(connection, settings.neon_app_role)
    with _branch(settings, client, name, production.id, on_deleted) as dsn:
        try:
            return rehearse(dsn, connections.history(settings, commit), plan, sent)
        except MigrationError as error:
            raise RehearsalFailed(
                f"on a branch of production: {sentence(str(error))} Production was not touched.",
                transient=error.transient,
            ) from error


@contextmanager
def _branch(
    settings: Settings, client: NeonClient, name: str, production_id: str, on_deleted: Callable[[], None]
) -> Generator[str]:
    """A branch of production for as long as the block runs; its owner's DSN.

    Neon deletes it by itself where this process is killed before it can.
    """
    expires_at = datetime.now(UTC) + timedelta(hours=BRANCH_HOURS)
    branch = client.create_branch(name, parent_id=production_id, compute=True, expires_at=expires_at)
    try:
        yield connections.owner_dsn(settings, branch)
    finally:
        client.delete_branch(branch.id)
        on_deleted()


def keep_evidence(settings: Settings, release_id: str | None, evidence: Evidence) -> None:
    """Keep evidence in the ledger under its digest, and show it in the Prefect UI."""
    with connections.ledger(settings) as ledger:
        ledger.record_evidence(evidence.digest, evidence.plan_digest, evidence.to_json(), release_id=release_id)
    trouble = "the rehearsal could not be shown in Prefect"
    best_effort.attempt(release_id, trouble, lambda: _show(settings, release_id, evidence))


def _show(settings: Settings, release_id: str | None, evidence: Evidence) -> None:
    create_markdown_artifact(
        redacted(render(evidence, blocking_budget_ms=settings.blocking_budget_ms)),
        key="rehearsal",
        description=f"Rehearsal of release {release_id}" if release_id else "Rehearsal without a release",
    )
    picture = base64.b64encode(redacted(timeline(evidence)).encode()).decode()
    create_image_artifact(
        f"data:image/svg+xml;base64,{picture}", key="rehearsal-locks", description="When each lock was held"
    )


def evidence_of_release(release_id: str) -> Evidence | None:
    """The evidence that a release was judged by; None where it rehearsed nothing."""
    with connections.ledger(connections.settings()) as ledger:
        kept = ledger.evidence_of_release(release_id)
    return Evidence.from_json(kept) if kept else None
