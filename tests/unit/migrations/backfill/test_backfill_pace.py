"""How fast a backfill goes: told from what was measured, without a clock."""

import pytest

from migrations.backfill.throttle import MOST_ROWS, LoadSample, Throttle, ThrottleLimits, next_rows


@pytest.mark.parametrize(
    ("rows", "took_s", "expected"),
    [
        (1000, 0.025, 1000),
        (1000, 0.020, 1250),
        (1000, 0.001, 2000),
        (1000, 0.0, 2000),
        (1000, 0.040, 625),
        (1000, 10.0, 500),
        (2, 10.0, 1),
        (1, 10.0, 1),
        (MOST_ROWS, 0.001, MOST_ROWS),
        (3 * MOST_ROWS, 10.0, MOST_ROWS),
    ],
)
def test_a_batch_grows_and_shrinks_toward_its_time_by_half_or_twice_at_most(
    rows: int, took_s: float, expected: int
) -> None:
    assert next_rows(rows, took_s, 25) == expected


def reasons(*seen: LoadSample | None, limits: ThrottleLimits | None = None) -> list[str]:
    looks = iter(seen)
    one = Throttle(limits or ThrottleLimits(), lambda: next(looks))
    return [one.reason_to_wait() for _ in seen]


def dead(rows: int, live: int = 0) -> LoadSample:
    return LoadSample(1.0, None, rows, live)


def test_what_was_dead_before_it_began_is_not_its_own() -> None:
    assert reasons(dead(5_000_000), dead(6_000_000), dead(6_000_001)) == [
        "",
        "",
        "1000001 dead rows wait for autovacuum",
    ]


def test_after_autovacuum_its_own_dead_rows_are_counted_from_the_lowest_that_was_seen() -> None:
    assert reasons(dead(5_000_000), dead(100), dead(1_000_100), dead(1_000_101)) == [
        "",
        "",
        "",
        "1000001 dead rows wait for autovacuum",
    ]


def test_of_a_large_table_a_share_may_be_dead() -> None:
    live = 4_000_000
    assert reasons(dead(0, live), dead(2_000_000, live), dead(2_000_001, live)) == [
        "",
        "",
        "2000001 dead rows wait for autovacuum",
    ]


def test_where_autovacuum_does_not_come_it_goes_on_and_counts_anew() -> None:
    limits = ThrottleLimits(max_vacuum_wait_s=-1)
    assert reasons(dead(0), dead(1_000_001), dead(2_000_001), dead(2_000_002), limits=limits) == ["", "", "", ""]
    patient = ThrottleLimits(max_vacuum_wait_s=3600)
    assert reasons(dead(0), dead(1_000_001), dead(500), limits=patient) == [
        "",
        "1000001 dead rows wait for autovacuum",
        "",
    ]


def test_a_probe_is_slow_above_its_limit_and_above_thrice_the_fastest() -> None:
    quick, slow, far = LoadSample(60.0, None, 0, 0), LoadSample(180.0, None, 0, 0), LoadSample(181.0, None, 0, 0)
    assert reasons(
        quick, slow, far, LoadSample(10.0, None, 0, 0), LoadSample(100.0, None, 0, 0), LoadSample(101.0, None, 0, 0)
    ) == [
        "",
        "",
        "a probe took 181 ms",
        "",
        "",
        "a probe took 101 ms",
    ]


def test_a_standby_that_is_behind_is_waited_for_and_one_that_cannot_be_seen_is_not() -> None:
    limit = ThrottleLimits().lag_bytes
    assert reasons(
        LoadSample(1.0, limit, 0, 0), LoadSample(1.0, limit + 1, 0, 0), LoadSample(1.0, None, 0, 0), None
    ) == [
        "",
        "a standby is 64 MB behind",
        "",
        "",
    ]


def test_it_has_waited_since_the_first_reason_and_not_at_all_after_the_last() -> None:
    looks = iter([LoadSample(1.0, 1 << 40, 0, 0), LoadSample(1.0, None, 0, 0)])
    one = Throttle(ThrottleLimits(), lambda: next(looks))
    assert one.waited_s == 0.0
    assert one.reason_to_wait()
    first, second = one.waited_s, one.waited_s
    assert 0 <= first <= second
    assert not one.reason_to_wait()
    assert one.waited_s == 0.0
