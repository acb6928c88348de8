"""How a rollback ended: it is closed in the ledger and reported, and no failed report changes what was done."""

from dataclasses import dataclass, field

from deployments.git.repository import Commit
from deployments.ledger import EndState
from flows.decision import RollbackPath
from flows.next_steps import FIRST_RELEASE, RELEASE_AGAIN, next_step
from migrations.disclosure.sentences import clauses, sentence
from tasks import best_effort, production_state, record
from tasks.errors import NoRoom
from tasks.process import termination
from tasks.steps import report
from tasks.values import RestorePoint, Verdict


@dataclass(frozen=True)
class RollbackContext:
    """What a rollback needs to know.

    Attributes:
        release_id: the ledger's row that the acts are written to.
        commit: the commit that failed; its revisions may stand in production.
        point: where production can go back to; None when production was never touched.
        revisions: the revisions that stand in production now.
        verdicts: what the release itself had measured before it failed.
        failed_release_id: the release that is undone, where that is another one than the ledger's row.
        by_hand: whether a person asked for it, and no release failed.
        brings_back: the release whose build serves again, where what is undone is a rollback itself.
    """

    release_id: str
    commit: Commit
    point: RestorePoint | None
    revisions: tuple[str, ...]
    verdicts: tuple[Verdict, ...] = ()
    failed_release_id: str | None = None
    by_hand: bool = False
    brings_back: str | None = None

    @property
    def release_ids(self) -> dict[str, str]:
        """The release that is undone, and the ledger's row of the way back where that is another one."""
        own = {} if self.undone_id == self.release_id else {"Rollback" if self.by_hand else "Ledger": self.release_id}
        return {"Release": self.undone_id, **own}

    @property
    def cause_label(self) -> str:
        """What to call the error that a way back began with: by hand it is the reason that was given."""
        return "Why" if self.by_hand else "What failed"

    @property
    def is_first_release(self) -> bool:
        """Whether production served nothing before: there is no build to go back to."""
        return self.point is not None and self.point.serving_deployment_id is None

    @property
    def undone_id(self) -> str:
        """The release that is undone."""
        return self.failed_release_id or self.release_id

    @property
    def subject(self) -> str:
        """What is rolled back, in a word."""
        return "Release" if self.brings_back is None else "Rollback"

    def undone_text(self, ref: str) -> str:
        """What is rolled back, after "rollback of"."""
        return ref if self.brings_back is None else f"the rollback of {ref}"

    @property
    def revisions_text(self) -> str:
        """The revisions that stand, as text."""
        return ", ".join(self.revisions) or "no revision"


@dataclass
class RollbackProgress:
    """What a rollback has done so far: it is told however the rollback ends.

    Attributes:
        summary: what was done, in one line; empty while nothing was.
        verdicts: what the validation afterwards measured.
        kept_branch: branch that keeps the state before a restore.
        rows_taken_out: what was written since the restore point, where a restore took it out of production.
        maintenance: whether maintenance mode was switched on, and not off again.
        warnings: what did not work beside it and has to be mended by hand.
    """

    summary: str = ""
    verdicts: tuple[Verdict, ...] = ()
    kept_branch: str = ""
    rows_taken_out: str = ""
    maintenance: bool = False
    warnings: list[str] = field(default_factory=list[str])

    def warn(self, warning: str) -> None:
        """Remember what has to be mended by hand, once; an empty warning is none."""
        if warning and warning not in self.warnings:
            self.warnings.append(warning)


@termination.last_act()
def hold_for_decision(release_id: str, ref: str, error: Exception, failure: Exception, *, undone_id: str = "") -> str:
    """Close a release whose way back could not even be chosen: nothing is moved, and a person decides.

    Args:
        release_id: the ledger's row.
        ref: what was released.
        error: what failed.
        failure: why no way back could be chosen.
        undone_id: the release that was to be undone, where that is another one than the ledger's row.

    Returns:
        The summary, and what leads on.
    """
    production = production_state.read().description
    summary = (
        f"undecided: the way back could not be chosen, and nothing was moved: "
        f"{clauses((str(failure), production, f'what failed: {error}'))}"
    )
    leads_on = (
        f"`pilotage ledger {release_id}` shows every act; where production was touched, "
        f"`pilotage rollback {undone_id or release_id} --way application` or `--way data` goes back"
    ) + (
        "."
        if undone_id
        else f", `pilotage release keep {release_id}` keeps what stands, and {RELEASE_AGAIN.format(ref=ref)}."
    )
    closing = best_effort.attempt(
        release_id, NOT_CLOSED, lambda: record.close_release(release_id, "undecided", summary)
    )
    best_effort.notify_slack(
        release_id,
        f"Release of {ref} is held for a person",
        {"Release": release_id, "What failed": str(error), "What stands": production, "Ledger": closing},
        text=f"The way back could not be chosen: {failure}",
        next_step=leads_on,
    )
    return _with_next_step(summary, leads_on)


@dataclass(frozen=True)
class RollbackResult:
    """How a rollback is told.

    Attributes:
        state: how it ended, for the ledger.
        summary: what was done, in one line.
        headline: the same for Slack.
        facts: what Slack is told beside what is told of every rollback.
        next_step: what a person should do.
    """

    state: EndState
    summary: str
    headline: str
    facts: dict[str, str]
    next_step: str


def completed_result(
    context: RollbackContext, ref: str, path: RollbackPath, error: Exception, progress: RollbackProgress
) -> RollbackResult:
    """A way back that was walked to its end."""
    said, state, headline = RESULTS.get(path, ROLLED_BACK)
    summary = f"{said}: {progress.summary}"
    if path in RESULTS:
        summary = clauses((summary, f"what failed: {error}"))
    # Where what was tried first did not come out even, production was restored after all.
    taken = RollbackPath.RESTORE if progress.kept_branch else path
    return RollbackResult(
        state,
        summary,
        f"{context.subject} of {ref} {headline}",
        {"What was done": progress.summary},
        _receipt_first(context, progress) + _next_step(context, taken, error, ref),
    )


def _receipt_first(context: RollbackContext, progress: RollbackProgress) -> str:
    """What comes before everything else where a restore took rows out, and no receipt lists them."""
    if not progress.kept_branch or progress.rows_taken_out:
        return ""
    return f"`pilotage rollback {context.undone_id} --way data` makes the receipt, and restores nothing again; then "


def _next_step(context: RollbackContext, taken: RollbackPath, error: Exception, ref: str) -> str:
    if context.brings_back is not None:
        return SERVES_AGAIN.format(release=context.brings_back, ref=ref)
    return next_step(
        taken,
        error,
        release_id=context.undone_id,
        ref=ref,
        is_first_release=context.is_first_release,
        by_hand=context.by_hand,
    )


def interrupted_result(
    context: RollbackContext, ref: str, path: RollbackPath, progress: RollbackProgress, failure: Exception
) -> RollbackResult:
    """How far a way back came that could not be walked to its end, and what stands now."""
    done, production = progress.summary or "nothing was moved", production_state.read().description
    again = "data" if path is RollbackPath.RESTORE or progress.kept_branch else "application"
    if isinstance(failure, NoRoom):
        go_on = f"{failure.leads_on}: what was done is found, and not done again. "
    elif context.point is None:
        go_on = (
            f"mend what is named, then release with a fresh staging: `pilotage release start {ref} --reset-staging`. "
        )
    elif context.is_first_release:
        go_on = FIRST_RELEASE.format(release=context.undone_id, ref=ref) + " "
    else:
        go_on = (
            f"`pilotage rollback {context.undone_id} --way {again}` goes on: "
            "what was done is found, and not done again. "
        )
    return RollbackResult(
        "undecided",
        clauses((f"rollback failed: {failure}", f"done before that: {done}", f"now {production}")),
        f"Rollback of {ref} failed: a person is needed",
        {
            "What was to be done": path.value,
            "Why it ended": str(failure),
            "Done before that": done,
            "What stands": production,
        },
        f"{go_on}`pilotage ledger {context.release_id}` shows every act; the rollback runbook tells how to go on.",
    )


@termination.last_act()
def close_and_report(
    context: RollbackContext, error: Exception, progress: RollbackProgress, result: RollbackResult
) -> str:
    """Close the release and tell of it; each is tried for itself, and none changes what was done.

    Returns:
        The summary, with what is left to mend, what failed and what leads on.
    """
    release_id = context.release_id
    summary = clauses((result.summary, *(f"to mend: {warning}" for warning in progress.warnings)))
    progress.warn(
        best_effort.attempt(release_id, NOT_CLOSED, lambda: record.close_release(release_id, result.state, summary))
    )
    affected: list[str] = []
    unknown = best_effort.attempt(
        release_id,
        "how long users were affected cannot be told",
        lambda: affected.append(report.affected(context.undone_id, release_id, production_state.read())),
    )
    facts = {
        **context.release_ids,
        context.cause_label: str(error),
        **result.facts,
        "Users affected": unknown or affected[0],
        "Kept branch": progress.kept_branch,
        "Written since the restore point": progress.rows_taken_out,
        "To mend": clauses(progress.warnings),
    }
    best_effort.notify_slack(release_id, result.headline, facts, next_step=result.next_step)
    verdicts = context.verdicts + progress.verdicts
    best_effort.attempt(
        release_id,
        "the report could not be published",
        lambda: report.publish(release_id, summary, verdicts, next_step=result.next_step),
    )
    is_unsaid = result.state == "rolled_back" and not context.by_hand
    return _with_next_step(clauses((summary, f"what failed: {error}")) if is_unsaid else summary, result.next_step)


def _with_next_step(summary: str, next_step: str) -> str:
    """What whoever waits for the run is told: it may be all that they see."""
    return f"{sentence(summary)} What to do: {next_step}"


NOT_CLOSED = "the ledger could not be told how it ended; `pilotage recover` closes it"
ROLLED_BACK: tuple[str, EndState, str] = ("rolled back", "rolled_back", "was rolled back")
RESULTS: dict[RollbackPath, tuple[str, EndState, str]] = {
    RollbackPath.NOTHING: ("failed", "failed", "did not start"),
    RollbackPath.HOLD: ("undecided", "undecided", "is held for a person"),
}
SERVES_AGAIN = "nothing; `pilotage rollback {release}` takes {ref} out of service again."
