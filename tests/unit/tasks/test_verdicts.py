"""Judgement: each measure against its threshold, and what is too little to judge from."""

from datetime import UTC, datetime

import pytest
from pydantic import AnyHttpUrl, SecretStr

from deployments.application.address_watch import Observation
from deployments.application.endpoints import Health
from deployments.settings import Settings
from deployments.vercel.runtime_log import RequestCounts
from migrations.catalog.contents import Catalog, CatalogObject
from migrations.checks.result import CheckResult
from migrations.restore.restore_point import Seal
from tasks import verdicts
from tasks.values import RestorePoint, Subject

GIVEN = Settings.model_construct(
    neon_api_url=AnyHttpUrl("http://127.0.0.1:1/api/v2"),
    neon_api_key=SecretStr("key"),
    p95_limit_ms=100.0,
    error_rate_limit=0.001,
    minimum_users=10,
    minimum_requests=100,
)


def probes(answered: int, errors: int = 0, latency_ms: float = 5.0) -> Observation:
    return Observation((latency_ms,) * answered, errors, ("GET / answered 500",) * min(errors, 5))


def log(requests: int, errors: int = 0) -> RequestCounts:
    return RequestCounts(requests, errors, ("POST /api/users 500",) * min(errors, 5))


@pytest.mark.parametrize(
    ("observed", "counted", "passed"),
    [
        (probes(50), log(150), True),
        (probes(50), log(149), None),
        (probes(5000), log(5000), None),
        (probes(50), None, None),
        (probes(50), log(0), None),
        (probes(50, 1), log(10), False),
        (probes(50), log(1000, 1), True),
        (probes(50), log(1000, 2), False),
        (probes(50, 1), None, False),
        (probes(0), None, None),
    ],
)
def test_the_error_rate_is_judged_on_enough_requests_of_users(
    observed: Observation, counted: RequestCounts | None, passed: bool | None
) -> None:
    assert verdicts.errors(GIVEN, observed, counted, expect_traffic=True).passed is passed


def test_a_log_that_could_not_be_read_is_said() -> None:
    verdict = verdicts.errors(GIVEN, probes(50), None, expect_traffic=True)
    assert verdict.detail == "the platform's log could not be read: at least 100 are needed to judge"


def test_failures_that_the_log_alone_knows_are_named() -> None:
    verdict = verdicts.errors(GIVEN, probes(50), log(1000, 2), expect_traffic=True)
    assert (verdict.measured, verdict.detail) == (
        "2 of 1000 requests (0.20%)",
        "POST /api/users 500; POST /api/users 500",
    )


@pytest.mark.parametrize(("observed", "passed"), [(probes(50), True), (probes(0), None), (probes(50, 1), False)])
def test_a_first_release_is_judged_on_probes_alone(observed: Observation, passed: bool | None) -> None:
    assert verdicts.errors(GIVEN, observed, None, expect_traffic=False).passed is passed


@pytest.mark.parametrize(
    ("observed", "passed"),
    [(probes(50, latency_ms=99.9), True), (probes(50, latency_ms=100.0), False), (probes(19), None)],
)
def test_latency_must_stay_below_the_limit(observed: Observation, passed: bool | None) -> None:
    assert verdicts.latency(GIVEN, observed).passed is passed


@pytest.mark.parametrize(("users", "passed"), [(10, True), (9, None), (0, None), (None, None)])
def test_too_few_users_say_nothing(users: int | None, passed: bool | None) -> None:
    assert verdicts.users_seen(GIVEN, users).passed is passed


@pytest.mark.parametrize(
    ("found", "wanted", "passed"),
    [
        (Health(healthy=True, status="healthy", commit_sha="a1"), "a1", True),
        (Health(healthy=True, status="healthy", commit_sha=None), "a1", True),
        (Health(healthy=True, status="healthy", commit_sha="b2"), "a1", False),
        (Health(healthy=True, status="healthy", commit_sha="b2"), None, True),
        (Health(healthy=False, status="unhealthy", commit_sha="a1"), "a1", False),
    ],
)
def test_health_is_the_application_s_word_from_the_build_that_was_promoted(
    found: Health, wanted: str | None, passed: bool
) -> None:
    assert verdicts.health(found, wanted).passed is passed


def test_the_catalogue_must_be_the_promised_one() -> None:
    promised = Catalog.of([CatalogObject("table", "users", "table")])
    live = Catalog.of([CatalogObject("table", "users", "table"), CatalogObject("table", "stray", "table")])
    assert verdicts.catalogue(promised, promised).passed is True
    verdict = verdicts.catalogue(promised, live)
    assert (verdict.passed, verdict.measured, verdict.detail) == (
        False,
        "1 differences",
        "table stray added (table)",
    )


@pytest.mark.parametrize(
    ("before", "now", "passed"),
    [(0, 0, True), (0, 1, False), (3, 3, True), (3, 4, False), (None, 1, False), (3, None, None)],
)
def test_only_what_a_release_made_worse_fails(before: int | None, now: int | None, passed: bool | None) -> None:
    seal = Seal("0/1", "1:1:", (), datetime(2026, 11, 1, tzinfo=UTC), 1)
    baseline = (CheckResult("orphans", before),)
    point = RestorePoint("br-1", "br-2", seal, "", "[]", (), None, baseline, "head")
    verdict = verdicts.check(point, CheckResult("orphans", now))
    assert (verdict.passed, verdict.subject) == (passed, Subject.DATA)


def test_rows_that_are_gone_are_told_with_the_time_since_which_they_are_counted() -> None:
    seal = Seal("0/1", "1:1:", (), datetime(2026, 11, 1, 10, 30, tzinfo=UTC), 1)
    point = RestorePoint("br-1", "br-2", seal, "", "[]", (), None, (), "head")
    gone = verdicts.check(point, CheckResult.of("row counts", ["users had 40 rows and has 3"], "9 tables"))
    assert (gone.passed, gone.detail.partition("users had")[2]) == (
        False,
        " 40 rows and has 3; counted since 2026-11-01 10:30 UTC, with what users have deleted",
    )
    assert "counted since" not in verdicts.check(point, CheckResult.of("row counts", [], "9 tables")).detail
    assert "counted since" not in verdicts.check(point, CheckResult.of("orphans", ["one"], "")).detail
