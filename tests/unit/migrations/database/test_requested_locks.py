"""What a statement is about to ask for, from its text."""

import pytest

from migrations.database.requested_locks import NO_LOCKS, locks_requested_by
from migrations.database.trace import Lock


@pytest.mark.parametrize(
    ("statement", "locks"),
    [
        ("ALTER TABLE users ADD COLUMN note text", {Lock("users", "AccessExclusiveLock")}),
        ("create index on only Public.users (id)", {Lock("users", "ShareLock")}),
        ("CREATE INDEX CONCURRENTLY i ON billing.users (id)", {Lock("billing.users", "ShareUpdateExclusiveLock")}),
        (
            'ALTER TABLE "Odd" ADD FOREIGN KEY (a) REFERENCES users',
            {Lock('"Odd"', "ShareRowExclusiveLock"), Lock("users", "ShareRowExclusiveLock")},
        ),
        ("CREATE TABLE t (a uuid REFERENCES users)", {Lock("users", "ShareRowExclusiveLock")}),
        ("DROP INDEX i", {Lock("i", "AccessExclusiveLock")}),
        ("CREATE TABLE t (id int)", set[Lock]()),
        ("SELECT 1", set[Lock]()),
    ],
)
def test_locks_are_read_from_the_text(statement: str, locks: set[Lock]) -> None:
    assert set(locks_requested_by(statement).locks) == locks


def test_nobody_waits_for_a_table_that_the_transaction_made_itself() -> None:
    assert locks_requested_by('CREATE TABLE "T" (id int)').creates == {'"T"'}
    reference = locks_requested_by('ALTER TABLE "T" ADD FOREIGN KEY (a) REFERENCES users')
    assert reference.of_others({'"T"'}).locks == (Lock("users", "ShareRowExclusiveLock"),)
    assert reference.of_others(set()) == reference


@pytest.mark.parametrize("statement", ["CREATE TABLE IF NOT EXISTS t (id int)", "CREATE TABLE u AS SELECT 1", "SELECT"])
def test_a_table_that_may_have_stood_before_is_not_its_own(statement: str) -> None:
    assert not locks_requested_by(statement).creates


def test_what_a_dropped_table_is_referred_by_is_looked_at_whoever_made_it() -> None:
    assert locks_requested_by("DROP TABLE t").of_others({"t"}).locks == (Lock("t", "AccessExclusiveLock"),)


def test_what_cannot_be_read_asks_for_nothing_that_is_known() -> None:
    assert locks_requested_by("ALTER TABEL users") == NO_LOCKS
