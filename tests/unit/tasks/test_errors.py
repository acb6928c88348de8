"""What a set of verdicts amounts to: it decides which way back a release takes."""

import itertools

import pytest

from tasks.errors import ApplicationFailed, CannotTell, DataFailed, SchemaFailed, TaskError, verdict_error
from tasks.values import Subject, Verdict

ROWS = Verdict("integrity", Subject.DATA, "3 violations", "0", passed=False, detail="users: 3")
SHAPE = Verdict("catalogue", Subject.SCHEMA, "1 differences", "0", passed=False)
ANSWERS = Verdict("health", Subject.APPLICATION, "down", "healthy", passed=False)
THIN = Verdict("users seen", Subject.DATA, "cannot tell", "at least 10", passed=None)
GOOD = Verdict("latency P95", Subject.DATA, "9 ms", "100 ms", passed=True)


@pytest.mark.parametrize(
    ("verdicts", "kind", "sentence"),
    [
        ((ROWS, SHAPE, ANSWERS, THIN, GOOD), DataFailed, "integrity: 3 violations (limit 0): users: 3"),
        ((ROWS, ANSWERS), DataFailed, "integrity: 3 violations (limit 0): users: 3"),
        ((ROWS, SHAPE), DataFailed, "integrity: 3 violations (limit 0): users: 3"),
        ((SHAPE, ANSWERS, THIN), SchemaFailed, "catalogue: 1 differences (limit 0)"),
        ((ANSWERS, THIN, GOOD), ApplicationFailed, "health: down (limit healthy)"),
        ((THIN, GOOD), CannotTell, "users seen: cannot tell (limit at least 10)"),
    ],
)
def test_data_wins_over_schema_over_application_over_what_cannot_be_told(
    verdicts: tuple[Verdict, ...], kind: type[TaskError], sentence: str
) -> None:
    # Whatever order they were judged in.
    for order in itertools.permutations(verdicts):
        error = verdict_error(order)
        assert type(error) is kind
        assert str(error) == sentence


def test_all_that_failed_of_the_worst_kind_is_named() -> None:
    orphans = Verdict("orphans", Subject.DATA, "1 violations", "0", passed=False)
    assert str(verdict_error((ROWS, ANSWERS, orphans))) == (
        "integrity: 3 violations (limit 0): users: 3; orphans: 1 violations (limit 0)"
    )


def test_what_passed_is_no_error() -> None:
    assert verdict_error(()) is None
    assert verdict_error((GOOD,)) is None
