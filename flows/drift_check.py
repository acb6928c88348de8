"""Drift check: the live catalogue of every environment against the released one, on a schedule."""

from typing import Annotated, Literal

from prefect import State, flow
from prefect.states import Completed
from pydantic import Field

from tasks import notification
from tasks.errors import TaskError
from tasks.process import broken_pipes
from tasks.step import without_secrets
from tasks.steps.drift import ENVIRONMENTS, DriftReport, check_environment


class DriftFound(TaskError):
    """An environment is not as it was released."""


@flow(name="drift-check")
@without_secrets
def drift_check(
    environment: Annotated[Literal["all", "production", "staging"], Field(title="Environment")] = "all",
) -> State[str]:
    """Look for drift, and tell Slack of what is new.

    Args:
        environment: Which environment to look at; all of them by default.

    Raises:
        DriftFound: at least one environment differs; the run is red for as long as it does.
    """
    broken_pipes.survive_broken_pipes()
    names = ENVIRONMENTS if environment == "all" else (environment,)
    reports = [check_environment(name) for name in names]
    for report in reports:
        if report.new:
            notify_slack(report)
    drifted = [report for report in reports if report.findings]
    if drifted:
        raise DriftFound("\n".join(f"{report.environment}: {report.text}" for report in drifted))
    summary = "; ".join(f"{r.environment}: {'no drift' if r.released else 'nothing released yet'}" for r in reports)
    return Completed(message=summary, data=summary)


def notify_slack(report: DriftReport) -> None:
    """Tell Slack once what differs and what to do."""
    notification.tell(
        f"Drift in {report.environment}",
        {"Environment": report.environment, "Findings": str(len(report.findings))},
        text=report.text,
        next_step="undo the change by hand, or release a revision that takes it over (the drift runbook); no other "
        "release starts over drift.",
    )
