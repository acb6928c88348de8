"""Locks that a run does not show, and statements that are Alembic's own."""

import pytest

from migrations.database.bookkeeping import is_bookkeeping
from migrations.database.trace import Lock
from migrations.plan.known_locks import strongest, with_known_locks
from migrations.recording.recorded_statements import RecordedStatement

EXCLUSIVE, SHARE_ROW, SHARE_UPDATE = "AccessExclusiveLock", "ShareRowExclusiveLock", "ShareUpdateExclusiveLock"


def told(*statements: RecordedStatement) -> list[tuple[Lock, ...]]:
    return [one.locks for one in with_known_locks(statements)]


def test_each_statement_has_its_own_lock_though_its_transaction_holds_it_already() -> None:
    first = RecordedStatement("ALTER TABLE a ADD COLUMN x int", True, (Lock("a", EXCLUSIVE),))
    second = RecordedStatement("ALTER TABLE a ADD FOREIGN KEY (x) REFERENCES b (id) NOT VALID", True)
    assert told(first, second) == [(Lock("a", EXCLUSIVE),), (Lock("a", SHARE_ROW), Lock("b", SHARE_ROW))]


def test_a_relation_is_called_as_the_run_called_it() -> None:
    first = RecordedStatement('ALTER TABLE "user" ADD x int', True, (Lock('app."user"', EXCLUSIVE),))
    assert told(first, RecordedStatement('ALTER TABLE "user" ADD y int', True))[1] == (Lock('app."user"', EXCLUSIVE),)


def test_what_the_transaction_has_made_is_left_out() -> None:
    made = [
        RecordedStatement(f"{sql} a{rest}", True) for sql, rest in (("CREATE TABLE", " (x int)"), ("DROP TABLE", ""))
    ]
    assert told(*made) == [(), ()]
    assert told(made[0], RecordedStatement("CREATE INDEX CONCURRENTLY i ON a (x)", False))[1] == (
        Lock("a", SHARE_UPDATE),
    )


def test_the_locks_of_a_block_are_those_of_its_statements() -> None:
    block = RecordedStatement("DO $$ BEGIN ALTER TABLE a ADD x int; UPDATE b SET y = 1; END $$", True)
    assert told(block) == [(Lock("a", EXCLUSIVE), Lock("b", "RowExclusiveLock"))]


def test_of_several_modes_the_strongest_is_shown() -> None:
    assert strongest((Lock("b", "ShareLock"), Lock("a", "AccessShareLock"), Lock("a", EXCLUSIVE))) == (
        Lock("a", EXCLUSIVE),
        Lock("b", "ShareLock"),
    )


@pytest.mark.parametrize(
    ("sql", "kept"),
    [
        ("UPDATE alembic_version SET version_num='b' WHERE alembic_version.version_num = 'a'", True),
        ("UPDATE app.versions SET version_num='b' WHERE app.versions.version_num = 'a'", True),
        ('INSERT INTO "My Versions" (version_num) VALUES (\'a\') RETURNING "My Versions".version_num', True),
        ("DELETE FROM versions WHERE versions.version_num = 'a'", True),
        ("CREATE TABLE versions (\n    version_num VARCHAR(32) NOT NULL, \n    PRIMARY KEY (version_num)\n)", True),
        ("INSERT INTO pilotage.applied VALUES (1)", True),
        ("UPDATE orders SET version_num = 1", False),
        ("DELETE FROM orders WHERE orders.version = 'a'", False),
        ("CREATE TABLE orders (version text)", False),
        ("ALTER TABLE alembic_version ADD COLUMN note text", False),
    ],
)
def test_what_alembic_writes_down_is_known_whatever_its_table_is_called(sql: str, kept: bool) -> None:
    assert is_bookkeeping(sql) is kept
