"""What is known of a database decides what is a hazard there."""

from dataclasses import replace

import pytest

from migrations.lint.judging import lint
from migrations.lint.sql_files import parse_sql
from migrations.sql.database_context import (
    Column,
    DatabaseContext,
    ObservedStatement,
    Table,
    TableConstraint,
    TableIndex,
)
from migrations.sql.names import Name, SqlType

ORDERS = Table(
    Name("orders"),
    columns={"id": Column("id", SqlType("int8"), not_null=True), "note": Column("note", SqlType("varchar", (40,)))},
    constraints=(TableConstraint("orders_pkey", "primary key", ("id",)),),
    indexes={"orders_pkey": TableIndex("orders_pkey", ("id",), unique=True)},
    complete=True,
    rows=1_000_000,
    size_bytes=10**9,
    writes=50_000,
    calls=1_000_000,
)


def hazards(sql: str, table: Table = ORDERS, **known: object) -> list[str]:
    context = DatabaseContext(tables={table.name: table}, complete=True, lock_timeout_set=True)
    history = parse_sql(sql)
    return [one.hazard for one in lint(history.statements, replace(context, **known), history.waivers)]


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (replace(ORDERS, rows=9_999, size_bytes=10 * 1024**2 - 1), []),
        (replace(ORDERS, rows=10_000, size_bytes=0), ["index-not-concurrent"]),
        (replace(ORDERS, rows=10, size_bytes=10 * 1024**2), ["index-not-concurrent"]),
        (replace(ORDERS, rows=None, size_bytes=8192), []),
        (replace(ORDERS, rows=None, size_bytes=None), ["index-not-concurrent"]),
    ],
)
def test_a_table_is_large_by_rows_or_by_bytes(table: Table, expected: list[str]) -> None:
    assert hazards("CREATE INDEX ON orders (note)", table) == expected


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (replace(ORDERS, writes=10, calls=10), []),
        (replace(ORDERS, writes=10_000, calls=0), ["trigger-on-hot-table"]),
        (replace(ORDERS, writes=10, calls=10_000), ["trigger-on-hot-table"]),
        (replace(ORDERS, writes=None, calls=None), ["trigger-on-hot-table"]),
    ],
)
def test_a_table_is_hot_by_writes_or_by_calls(table: Table, expected: list[str]) -> None:
    trigger = "CREATE TRIGGER t BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION f()"
    assert hazards(trigger, table) == expected


def test_a_small_table_is_still_broken_by_a_rename() -> None:
    small = replace(ORDERS, rows=1, size_bytes=8192)
    assert hazards("ALTER TABLE orders RENAME COLUMN note TO remark", small) == ["column-renamed"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ('SELECT "id", note FROM orders WHERE id = $1', ["column-dropped"]),
        ("SELECT * FROM orders", ["column-dropped"]),
        ("SELECT o.* FROM public.orders o", ["column-dropped"]),
        ("SELECT id FROM orders", []),
        ("SELECT note FROM notes", []),
    ],
)
def test_a_contract_that_drops_what_the_application_still_names_is_a_hazard(query: str, expected: list[str]) -> None:
    drop = "-- phase: contract\nALTER TABLE orders DROP COLUMN note"
    assert hazards(drop, statements=(ObservedStatement(query, 5),)) == expected


def test_a_contract_of_which_nothing_is_known_may_drop() -> None:
    assert hazards("-- phase: contract\nALTER TABLE orders DROP COLUMN note; DROP TABLE orders") == []


def test_a_unique_key_that_is_known_bounds_an_update_and_another_column_does_not() -> None:
    assert hazards("UPDATE orders SET note = 'x' WHERE id = 5") == []
    assert hazards("UPDATE orders SET note = 'x' WHERE note = 'y'") == ["unbatched-update"]
    unknown_key = replace(ORDERS, constraints=(), indexes={})
    assert hazards("UPDATE orders SET note = 'x' WHERE id = 5", unknown_key) == ["unbatched-update"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("varchar(40)", []),
        ("varchar(60)", []),
        ("varchar", []),
        ("text", []),
        ("varchar(20)", ["type-change-rewrites", "type-narrowed"]),
        ("char(40)", ["char-column", "type-change-rewrites"]),
        ("text USING lower(note)", ["type-change-rewrites"]),
        ("varchar(60) USING note::varchar(60)", []),
    ],
)
def test_a_type_change_is_judged_by_the_old_type(change: str, expected: list[str]) -> None:
    assert sorted(set(hazards(f"ALTER TABLE orders ALTER note TYPE {change}"))) == expected


def test_a_check_that_stops_being_there_proves_nothing() -> None:
    proven = TableConstraint("c", "check", ("note",), proves=("note",))
    table = replace(ORDERS, constraints=(*ORDERS.constraints, proven))
    assert hazards("ALTER TABLE orders ALTER note SET NOT NULL", table) == []
    dropped = "ALTER TABLE orders DROP CONSTRAINT c; ALTER TABLE orders ALTER note SET NOT NULL"
    assert hazards(dropped, table) == ["not-null-scans"]
    unproven = replace(table, constraints=(replace(proven, validated=False),))
    assert hazards("ALTER TABLE orders ALTER note SET NOT NULL", unproven) == ["not-null-scans"]


def test_an_index_that_is_there_and_valid_hides_nothing() -> None:
    again = "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON orders (note)"
    for valid, expected in ((True, []), (False, ["invalid-index-hidden"])):
        table = replace(ORDERS, indexes={**ORDERS.indexes, "i": TableIndex("i", ("note",), valid=valid)})
        assert hazards(again, table) == expected
    assert hazards(again) == []


def test_a_constraint_over_an_invalid_index_is_a_hazard() -> None:
    table = replace(ORDERS, indexes={**ORDERS.indexes, "i": TableIndex("i", ("note",), unique=True, valid=False)})
    add = "ALTER TABLE orders ADD CONSTRAINT k UNIQUE USING INDEX i"
    assert hazards(add, table) == ["invalid-index-hidden"]


def test_a_plan_makes_tables_that_are_new_to_all_of_it() -> None:
    sql = "-- 1.sql\nCREATE TABLE t (id bigint, a text);\n-- 2.sql\nCREATE INDEX ON t (a);"
    assert hazards(sql, one_plan=True) == []
    assert hazards(sql) == ["index-not-concurrent"]


def test_policies_of_the_database_count_when_row_security_is_switched_on() -> None:
    quiet = replace(ORDERS, writes=0, calls=0)
    assert hazards("ALTER TABLE orders ENABLE ROW LEVEL SECURITY", quiet) == ["row-security-without-policy"]
    assert hazards("ALTER TABLE orders ENABLE ROW LEVEL SECURITY", replace(quiet, policies=frozenset({"own"}))) == []
