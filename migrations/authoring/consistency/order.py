"""The order of the history: one head, and expand before contract in what is released together."""

from collections.abc import Sequence

from migrations.authoring.consistency.finding import CheckResult, Finding
from migrations.history.revisions import History, Revision

CONTRACT = "contract"


def check_heads(history: History) -> CheckResult:
    """Whether the history ends in one revision."""
    heads = history.heads
    if len(heads) == 1:
        return CheckResult.of("one head", (), heads[0])
    if not heads:
        return CheckResult.of("one head", (), "the history is empty")
    files = ", ".join(history.revision(head).path.name for head in heads)
    return CheckResult.of(
        "one head",
        [Finding(files, f"the history diverged: it has {len(heads)} heads", "make one of them: `pilotage merge`")],
    )


def check_order(history: History, current: Sequence[str] | None) -> CheckResult:
    """Whether what is pending can be released at once: expand before the application, contract after it.

    Args:
        history: the revisions.
        current: the revisions that the database stands at; None where none was named.
    """
    if current is None:
        return CheckResult.cannot_tell(
            "order of phases", "what is released together is not known: name what stands (--since), or a database"
        )
    pending = history.path_to("heads", [one for one in current if one in history])
    below: Revision | None = None
    findings: list[Finding] = []
    for one in pending:
        if one.phase == CONTRACT:
            below = below or one
        elif below is not None:
            findings.append(
                Finding(
                    one.path.name,
                    f"it expands, and stands above {below.id}, which contracts",
                    f"release up to {below.id} first, or move {one.id} below it",
                )
            )
    return CheckResult.of("order of phases", findings, f"{len(pending)} pending above {', '.join(current) or 'base'}")
