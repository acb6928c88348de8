"""What a person should do after a way back that was walked to its end: by the way, and by what failed."""

from flows.decision import FailureKind, RollbackPath, failure_kind
from tasks.errors import CannotTell, MigrationFailed

RELEASE_AGAIN = (
    "`pilotage release start {ref}`, with a longer `--watch-seconds` and once there is traffic, releases it again: a "
    "build that serves already is validated and watched, not built again"
)
_DECIDE = (
    "; `pilotage release keep {release}` keeps what stands; `pilotage rollback {release}` goes back, and with "
    "`--way data` restores the rows as well."
)
FIRST_RELEASE = (
    "decide: `pilotage release keep {release}` keeps what stands; "
    + RELEASE_AGAIN
    + ". Before this release production served "
    "nothing, so there is no way back: where it is not fit, mend it and release again."
)
_START = "`pilotage release start {ref}`"
_START_AFRESH = "`pilotage release start {ref} --reset-staging`"
_ROWS = "look at the receipt and the kept branch for rows to bring over"
_AFTER_A_FAILURE = {
    RollbackPath.NOTHING: "mend what is named, then release again: " + _START + ".",
    RollbackPath.HOLD: "decide: once what failed is mended, `pilotage release start {ref}` goes on with it: a build "
    "that serves already is validated and watched, not built again" + _DECIDE,
    RollbackPath.STAGING: "mend what failed, then release again: " + _START + ".",
    RollbackPath.UNCHANGED: "mend what failed; staging still carries its revisions, so release with "
    + _START_AFRESH
    + ".",
    RollbackPath.APPLICATION: "mend what failed, then release again: " + _START + "; the schema stays as it is.",
    RollbackPath.DOWNGRADE: "mend what failed; production is as it was, and nothing was lost. Release again with "
    + _START_AFRESH
    + ".",
    RollbackPath.RESTORE: _ROWS + "; once what failed is mended, release again with " + _START_AFRESH + ".",
}
_NOT_TO_BLAME = "nothing is known to be wrong with what was released"
_AFTER_A_DEATH = {
    RollbackPath.NOTHING: f"{_NOT_TO_BLAME}: {_START} releases it again.",
    RollbackPath.STAGING: f"{_NOT_TO_BLAME}: {_START} releases it again.",
    RollbackPath.UNCHANGED: f"{_NOT_TO_BLAME}: {_START_AFRESH} releases it again.",
    RollbackPath.APPLICATION: f"{_NOT_TO_BLAME}: {_START} releases it again; the schema stays as it is.",
    RollbackPath.DOWNGRADE: f"{_NOT_TO_BLAME}: {_START_AFRESH} releases it again; nothing was lost.",
    RollbackPath.RESTORE: f"{_ROWS}. {_NOT_TO_BLAME.capitalize()}: {_START_AFRESH} releases it again.",
}
_AFTER_A_ROLLBACK_BY_HAND = {
    RollbackPath.APPLICATION: f"nothing; once it is fit, {_START} releases it again. The schema stays as it is.",
    RollbackPath.RESTORE: f"{_ROWS}; once it is fit, {_START_AFRESH} releases it again.",
}
_TOO_LITTLE_SEEN = "decide: " + RELEASE_AGAIN + _DECIDE
_IN_THE_WAY = (
    "see to what stood in the revision's way; the revision itself is not known to be wrong. Then "
    + _START_AFRESH
    + " releases it again."
)


def next_step(
    path: RollbackPath,
    error: Exception,
    *,
    release_id: str,
    ref: str,
    is_first_release: bool = False,
    by_hand: bool = False,
) -> str:
    """What to do now that a release is back.

    Args:
        path: the way that was walked.
        error: what failed: who is to mend something is told what, and who has only lost a process is not.
        release_id: the release that was undone.
        ref: what it released.
        is_first_release: whether production served nothing before it.
        by_hand: whether a person asked for the way back, and no release failed.
    """
    failed = failure_kind(error)
    if path is RollbackPath.HOLD and is_first_release:
        said = FIRST_RELEASE
    elif path is RollbackPath.HOLD and isinstance(error, CannotTell):
        said = _TOO_LITTLE_SEEN
    elif by_hand and path in _AFTER_A_ROLLBACK_BY_HAND:
        said = _AFTER_A_ROLLBACK_BY_HAND[path]
    elif path is RollbackPath.UNCHANGED and isinstance(error, MigrationFailed) and error.in_the_way:
        said = _IN_THE_WAY
    elif failed is FailureKind.PROCESS and path in _AFTER_A_DEATH:
        said = _AFTER_A_DEATH[path]
    else:
        said = _AFTER_A_FAILURE[path]
    return said.format(release=release_id, ref=ref)
