"""A plan judged before it runs: what its statements would do to the clients of the database that it is for."""

from dataclasses import replace

from migrations.history.revisions import History
from migrations.lint.findings import Finding
from migrations.lint.live import read_context
from migrations.lint.revisions import lint_recorded
from migrations.plan.planned_revisions import Plan
from migrations.sql.database_context import DatabaseContext


def lint_plan(plan: Plan, history: History, dsn: str | None) -> tuple[Finding, ...]:
    """Judge a plan with the database in hand: its sizes, its traffic, what it has already.

    Args:
        plan: what is to be applied.
        history: the revisions that it was made of.
        dsn: direct connection string of the database; None where it is not known: then every table counts as large.

    Returns:
        What was found, in the plan's order; what a revision waives is marked so.

    Raises:
        MigrationError: the database, or a statement, cannot be read.

    Locks: as `read_context` does.
    """
    known = DatabaseContext() if dsn is None else read_context(dsn)
    context = replace(known, one_plan=True, lock_timeout_set=True)
    revisions = [history.revision(one.id) for one in plan.revisions]
    return lint_recorded(revisions, {one.id: one.statements for one in plan.revisions}, context)


def unwaived(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """The findings that stop a release."""
    return tuple(one for one in findings if one.waived_by is None)
