"""Judgement: what was measured against its threshold, and when it is too little to tell."""

from deployments.application.address_watch import Observation
from deployments.application.endpoints import Health
from deployments.settings import Settings
from deployments.vercel.runtime_log import RequestCounts
from migrations.catalog.contents import Catalog, difference
from migrations.checks.counts import NAME as COUNTS
from migrations.checks.result import CheckResult
from tasks.values import RestorePoint, Subject, Verdict

LATENCY = "latency P95"


def catalogue(expected: Catalog | None, live: Catalog, why: str = "") -> Verdict:
    """Every object is what it must be, and there is none beside.

    Args:
        expected: what it must be; None where that cannot be told.
        live: what stands.
        why: why it cannot be told.
    """
    differences = () if expected is None else difference(expected, live)
    return Verdict(
        check="catalogue",
        subject=Subject.SCHEMA,
        measured="cannot tell" if expected is None else f"{len(differences)} differences",
        threshold="0",
        passed=None if expected is None else not differences,
        detail=(why or "no catalogue was recorded, and the commit does not know what stands")
        if expected is None
        else "; ".join(str(one) for one in differences[:5]),
    )


def check(point: RestorePoint, result: CheckResult) -> Verdict:
    """What was wrong before the release is not the release's doing: only more of it fails.

    Rows are counted against the restore point, which may be days old by the time that somebody goes back by hand.
    """
    since = f"counted since {point.seal.sealed_at:%Y-%m-%d %H:%M} UTC, with what users have deleted"
    lost = result.check == COUNTS and bool(result.violations)
    before = next((b.violations for b in point.baseline if b.check == result.check), None) or 0
    return Verdict(
        check=result.check,
        subject=Subject.SCHEMA if result.check in {"foreign keys", "indexes"} else Subject.DATA,
        measured="cannot tell" if result.violations is None else f"{result.violations} violations",
        threshold=f"{before}",
        passed=None if result.violations is None else result.violations <= before,
        detail="; ".join((result.detail, *result.sample[:5], *((since,) if lost else ()))).strip("; "),
    )


def health(found: Health, commit_sha: str | None) -> Verdict:
    """The application says that it is healthy, and is the build that was promoted.

    Args:
        found: what it answered.
        commit_sha: the commit that must serve; None where any may.
    """
    other_build = commit_sha is not None and found.commit_sha not in {None, commit_sha}
    return Verdict(
        check="health",
        subject=Subject.APPLICATION,
        measured=found.status,
        threshold="healthy",
        passed=found.healthy and not other_build,
        detail=f"production serves {found.commit_sha}" if other_build else found.detail,
    )


def latency(settings: Settings, observed: Observation) -> Verdict:
    """Answers come soon enough, as probes from outside see it."""
    p95 = observed.p95_ms
    return Verdict(
        check=LATENCY,
        subject=Subject.APPLICATION,
        measured="cannot tell" if p95 is None else f"{p95:.0f} ms",
        threshold=f"{settings.p95_limit_ms:.0f} ms",
        passed=None if p95 is None else p95 < settings.p95_limit_ms,
        detail=f"{observed.requests} probes",
    )


def errors(
    settings: Settings, observed: Observation, counted: RequestCounts | None, *, expect_traffic: bool
) -> Verdict:
    """Few requests fail; our own probes are among those that the platform's log tells of, and are no users.

    Args:
        settings: the limits.
        observed: what the probes saw.
        counted: what the platform's log tells; None where it could not be read.
        expect_traffic: whether users must have been there to judge at all.
    """
    requests = observed.requests if counted is None else max(counted.requests, observed.requests)
    failed = observed.errors if counted is None else max(counted.errors, observed.errors)
    of_users = 0 if counted is None else max(0, counted.requests - observed.requests)
    too_thin = expect_traffic and of_users < settings.minimum_requests
    too_many = failed > requests * settings.error_rate_limit
    known = "the platform's log could not be read" if counted is None else f"{of_users} requests of users"
    thin = f"{known}: at least {settings.minimum_requests} are needed to judge" if too_thin else ""
    named = observed.failures or (() if counted is None else counted.failures)
    return Verdict(
        check="error rate",
        subject=Subject.APPLICATION,
        measured=f"{failed} of {requests} requests ({failed / requests:.2%})" if requests else "no requests",
        threshold=f"{settings.error_rate_limit:.2%}",
        passed=False if too_many else None if too_thin or not requests else True,
        detail="; ".join((*named[:3], thin)).strip("; "),
    )


def users_seen(settings: Settings, users: int | None) -> Verdict:
    """Enough people used the new build; too few say nothing against it, and nothing for it."""
    enough = users is not None and users >= settings.minimum_users
    return Verdict(
        check="users seen",
        subject=Subject.APPLICATION,
        measured="cannot tell" if users is None else f"{users} users",
        threshold=f"at least {settings.minimum_users}",
        passed=True if enough else None,
        detail="" if enough else "traffic is too thin to judge the release",
    )


def as_json(verdict: Verdict) -> dict[str, str]:
    """A verdict as the ledger and the reports keep it."""
    return {
        "check": verdict.check,
        "measured": verdict.measured,
        "threshold": verdict.threshold,
        "verdict": verdict.mark,
        "detail": verdict.detail,
    }
