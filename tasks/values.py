"""What crosses rooms: the request, the commit's place in the world, the restore point, verdicts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from migrations.checks.result import CheckResult
from migrations.drift.comparison import DriftFinding
from migrations.restore.restore_point import Seal


class ReleaseRequest(BaseModel):
    """What a release manager fills in."""

    model_config = ConfigDict(frozen=True)

    ref: str = Field(
        title="Git ref",
        description="Branch, tag or commit to release: its revisions and its application.",
        min_length=1,
        max_length=200,
        pattern=r"^[A-Za-z0-9_+#@][A-Za-z0-9._/+#@=,-]*$",
        examples=["v2"],
    )
    target_revision: str = Field(
        default="head",
        title="Target revision",
        description="Alembic revision to migrate to; head is the newest of the commit.",
        min_length=1,
        max_length=32,
        pattern=r"^[A-Za-z0-9_]+$",
    )
    watch_seconds: int = Field(
        default=60,
        title="Watch window (seconds)",
        description="How long production is watched after the new build serves, before the release counts as good.",
        ge=5,
        le=3600,
    )
    rehearse: bool = Field(
        default=True,
        title="Rehearse",
        description="Try the plan on a fresh branch of production first. Without its evidence nothing is known of the "
        "running application's fate, and a way back that needs it is a restore.",
    )
    reset_staging: bool = Field(
        default=False,
        title="Reset staging",
        description="Make staging a fresh copy of production first. What is in staging now is lost.",
    )


class Subject(StrEnum):
    """What a verdict speaks of: it decides which way back is taken."""

    SCHEMA = "schema"
    DATA = "data"
    APPLICATION = "application"


@dataclass(frozen=True)
class Verdict:
    """What a check measured against its threshold.

    Attributes:
        check: name of the check.
        subject: what it speaks of.
        measured: the figure found, with its unit.
        threshold: the figure it was held against.
        passed: True, False, or None where it could not tell.
        detail: what was found, with examples.
    """

    check: str
    subject: Subject
    measured: str
    threshold: str
    passed: bool | None
    detail: str = ""

    @property
    def mark(self) -> str:
        """The outcome in a word."""
        return {True: "pass", False: "fail", None: "cannot tell"}[self.passed]


@dataclass(frozen=True)
class EnvironmentStatus:
    """An environment as a release finds it.

    Attributes:
        name: production or staging.
        branch_id: its Neon branch.
        revisions: Alembic revisions that stand in its database; empty before the first release.
        pending: revisions of the commit that it lacks, oldest first.
        drift: what differs from what was released, worst first.
        changes_taken_over: what was changed by hand just as the pending revisions promise it.
        unrecorded_grants: grants that the revisions which stand make, and no release has recorded.
    """

    name: str
    branch_id: str
    revisions: tuple[str, ...]
    pending: tuple[str, ...]
    drift: tuple[DriftFinding, ...]
    changes_taken_over: tuple[str, ...] = ()
    unrecorded_grants: tuple[str, ...] = ()


@dataclass(frozen=True)
class Survey:
    """The state of the target before a release.

    Attributes:
        production: the production environment.
        staging: the staging environment.
        target_revision: the revision that the release ends at, never `head`.
        serving_deployment_id: the deployment that production's address serves; None before the first.
        serving_commit: the commit of that deployment.
        warnings: what a release manager should know, but does not stop a release.
    """

    production: EnvironmentStatus
    staging: EnvironmentStatus
    target_revision: str
    serving_deployment_id: str | None
    serving_commit: str | None
    warnings: tuple[str, ...]

    @property
    def first_release(self) -> bool:
        """Whether production has neither a schema nor an application yet."""
        return not self.production.revisions and self.serving_deployment_id is None

    @property
    def with_unrecorded_grants(self) -> tuple[str, ...]:
        """The environments with grants that revisions made and no release has recorded."""
        return tuple(one.name for one in (self.production, self.staging) if one.unrecorded_grants)

    def nothing_to_do(self, commit_sha: str) -> bool:
        """Whether production has all revisions up to the target and serves this commit already."""
        return not self.production.pending and self.serving_commit == commit_sha


@dataclass(frozen=True)
class RestorePoint:
    """Where production can go back to.

    Attributes:
        production_branch_id: Neon branch of production.
        snapshot_branch_id: branch kept beside it, which outlives the history window.
        seal: the exact point in production's history, with row counts.
        catalog_digest: digest of the catalogue at that moment.
        catalog_json: that catalogue.
        revisions: revisions that stood then.
        serving_deployment_id: deployment that served then; None before the first.
        baseline: what the integrity checks found before anything was changed.
        target_revision: the revision this release migrates to.
    """

    production_branch_id: str
    snapshot_branch_id: str
    seal: Seal
    catalog_digest: str
    catalog_json: str
    revisions: tuple[str, ...]
    serving_deployment_id: str | None
    baseline: tuple[CheckResult, ...]
    target_revision: str


@dataclass(frozen=True)
class Restoration:
    """What a restore of production did.

    Attributes:
        kept_branch: name of the branch that keeps the state before the restore.
        kept_branch_id: its id.
        lsn: the point that production was brought back to.
        restored_at: when the restore had ended.
        before: whether it was done before anybody asked this time: what was written since then was left alone.
    """

    kept_branch: str
    kept_branch_id: str
    lsn: str
    restored_at: datetime
    before: bool = False


@dataclass(frozen=True)
class Finding:
    """What the watchdog has to tell.

    Attributes:
        fact: what is told once; empty where it is told whenever it is found.
        headline: one line.
        facts: label and value.
        text: what happened, in a sentence.
        next_step: what the reader should do; empty where there is nothing to do.
        release_id: the release that it is about; None where it is about none.
    """

    fact: str
    headline: str
    facts: Mapping[str, str]
    text: str = ""
    next_step: str = ""
    release_id: str | None = None
