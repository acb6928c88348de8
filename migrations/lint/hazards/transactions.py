"""Locks that are kept while something else goes on, and work that a transaction cannot hold."""

import itertools
from collections.abc import Iterator

import postgast
from postgast import nodes
from postgast import pg_query_pb2 as pb

from migrations.lint.hazard import Hazard, Subject
from migrations.lint.sql_files import requires_autocommit
from migrations.sql.alterations import added_constraints, commands
from migrations.sql.bounds import is_bounded, is_catalogue, read_tables
from migrations.sql.database_state import DatabaseState
from migrations.sql.effects import dropped
from migrations.sql.locking import is_concurrent, locks
from migrations.sql.names import Name, strings
from migrations.sql.sources import scanned_tables, source_tables
from migrations.sql.statements import Statement


def _several(statement: Statement, state: DatabaseState) -> Iterator[Subject]:
    """See a second table locked while the first one still is."""
    strong = [one for one in locks(statement.node) if one.stops_writes and state.is_live(one.table)]
    held = {one.table for one, _ in state.transaction.locks}
    named = isinstance(statement.node, nodes.DropStmt | nodes.TruncateStmt | nodes.LockStmt)
    if named and len(strong) > 1:
        held.add(strong[0].table)
    fresh = [one for one in strong if one.table not in held]
    if held and fresh:
        yield Subject(fresh[0].table, detail=", ".join(f"`{one}`" for one in sorted(held)))


def _slow(statement: Statement, state: DatabaseState) -> Iterator[Subject]:
    """See what takes long while a lock that stops others is held."""
    held = {one.table: one for one, by in state.transaction.locks if by is not statement}
    slow = _works_through(statement, state) if held else ""
    if slow:
        first = next(iter(held.values()))
        yield Subject(first.table, name=slow, detail=f"{first.mode} on {', '.join(f'`{one}`' for one in held)}")


def _works_through(statement: Statement, state: DatabaseState) -> str:
    """What a statement reads or writes all of; empty where it does not take long."""
    node = statement.node
    match node:
        case nodes.UpdateStmt() | nodes.DeleteStmt():
            tables = (
                frozenset[Name]()
                if is_bounded(node, state, in_block=bool(statement.within), around=statement.limited)
                else read_tables(node)
            )
        case nodes.InsertStmt():
            tables = source_tables(node.select_stmt, state, node.with_clause)
        case nodes.SelectStmt():
            if _sleeps(node):
                return "pg_sleep"
            tables = scanned_tables(node, state)
        case nodes.MergeStmt() | nodes.CreateTableAsStmt() | nodes.CopyStmt():
            tables = read_tables(node)
        case nodes.IndexStmt() | nodes.RefreshMatViewStmt() | nodes.ClusterStmt():
            tables = frozenset({Name.of_range(node.relation)})
        case nodes.AlterTableStmt():
            tables = frozenset(
                table
                for table, command in commands(node)
                if command.subtype == pb.AT_ValidateConstraint
                and not _just_added(table, command.name, statement, state)
            )
        case _:
            tables = frozenset[Name]()
    return ", ".join(str(one) for one in sorted(tables) if not is_catalogue(one) and state.is_large(one))


def _sleeps(node: nodes.SelectStmt) -> bool:
    calls = (one for _, one in postgast.walk_typed(node) if isinstance(one, nodes.FuncCall))
    return any(strings(one.funcname)[-1].startswith("pg_sleep") for one in calls)


def _validated(statement: Statement, state: DatabaseState) -> Iterator[Subject]:
    """See a constraint validated under the lock of its own ADD."""
    fresh = {(one.table, one.name) for one in added_constraints(statement.node)}
    for table, command in commands(statement.node):
        if command.subtype == pb.AT_ValidateConstraint and (
            (table, command.name) in fresh or _just_added(table, command.name, statement, state)
        ):
            yield Subject(table, name=command.name)


def _just_added(table: Name, constraint: str, statement: Statement, state: DatabaseState) -> bool:
    return statement.transaction is not None and any(
        one.name == constraint and one.transaction == state.transaction.serial for one in state.table(table).constraints
    )


def _concurrently(statement: Statement, _state: DatabaseState) -> Iterator[Subject]:
    """See what refuses to run in a transaction. Source: PreventInTransactionBlock."""
    if statement.transaction is not None and requires_autocommit(statement):
        yield Subject(name=statement.on_one_line.split("(")[0].strip()[:80])


def _beside(statement: Statement, state: DatabaseState) -> Iterator[Subject]:
    """See CONCURRENTLY beside what a second try would stumble over."""
    if statement.transaction is not None or not is_concurrent(statement.node):
        return
    others = [one for one in state.step_statements if one is not statement and not _is_harmless(one)]
    fragile = [one for one in others if not _is_repeatable(one, state.step_statements)]
    if fragile or (others and not _is_repeatable(statement, state.step_statements)):
        yield Subject(name=(fragile or others)[0].on_one_line[:80])


def _is_harmless(statement: Statement) -> bool:
    node = statement.node
    drops_if_there = isinstance(node, nodes.DropStmt) and node.concurrent and node.missing_ok
    return drops_if_there or isinstance(node, nodes.VariableSetStmt | nodes.VariableShowStmt | nodes.VacuumStmt)


def _is_repeatable(statement: Statement, step: tuple[Statement, ...]) -> bool:
    """Whether a second try finds nothing of the first: what it builds is dropped before, if it is there."""
    node = statement.node
    if isinstance(node, nodes.DropStmt):
        return node.missing_ok
    if isinstance(node, nodes.ReindexStmt):
        return True
    if not isinstance(node, nodes.IndexStmt):
        return False
    built = Name(node.idxname, Name.of_range(node.relation).schema)
    before = itertools.takewhile(lambda one: one is not statement, step)
    return any(
        isinstance(one.node, nodes.DropStmt) and one.node.missing_ok and built in dropped(one.node) for one in before
    )


def _hidden(statement: Statement, state: DatabaseState) -> Iterator[Subject]:
    """See an index that may be there and INVALID.

    Source: CONCURRENTLY that fails leaves an INVALID index; IF NOT EXISTS looks at the name alone.
    """
    node = statement.node
    if isinstance(node, nodes.IndexStmt) and node.if_not_exists:
        table = state.table(Name.of_range(node.relation))
        there = table.indexes.get(node.idxname)
        gone = Name(node.idxname, table.name.schema) in state.dropped_indexes
        unsure = node.concurrent and not table.complete and not table.is_new and not gone
        if (there is not None and not there.valid) or (there is None and unsure):
            yield Subject(table.name, name=node.idxname)
    for one in added_constraints(node):
        there = state.table(one.table).indexes.get(one.node.indexname)
        if there is not None and not there.valid:
            yield Subject(one.table, name=there.name)


SEVERAL = Hazard(
    id="several-locks",
    condition="A second table that is in use is locked in a transaction which still holds the lock of another one.",
    effect="The transaction holds {detail} while it waits for `{table}`: whoever needs the first waits for whoever "
    "uses "
    "the second, and a session that takes them in another order deadlocks with it.",
    safe="Change one table a revision: each gets a transaction of its own.",
    bad="""SET lock_timeout = '2s';
ALTER TABLE orders ADD COLUMN note text;
ALTER TABLE customers ADD COLUMN note text;
""",
    good="""-- 1.sql
SET lock_timeout = '2s';
ALTER TABLE orders ADD COLUMN note text;
-- 2.sql
SET lock_timeout = '2s';
ALTER TABLE customers ADD COLUMN note text;
""",
    concern="live",
    rule=_several,
)

SLOW = Hazard(
    id="lock-held-while-slow",
    condition="After a statement that locks a table out, the same transaction reads or writes all of a large table.",
    effect="The {detail} is held until the transaction ends, and before that it works through {name}: "
    "whoever needs `{table}` waits all that time.",
    safe="Put the slow statement into a revision of its own, so that the lock is let go before.",
    bad="""SET lock_timeout = '2s';
ALTER TABLE orders ADD COLUMN open boolean;
SELECT count(*) FROM orders;
""",
    good="""-- 1.sql
SET lock_timeout = '2s';
ALTER TABLE orders ADD COLUMN open boolean;
-- 2.sql
SELECT count(*) FROM orders;
""",
    concern="live",
    rule=_slow,
)

VALIDATED = Hazard(
    id="validated-in-same-transaction",
    condition="A constraint is added NOT VALID and validated in the same transaction.",
    effect="`{name}` is held against every row of `{table}` while the lock of its ADD is still held: NOT VALID gains "
    "nothing, and whoever needs the table waits.",
    safe="VALIDATE CONSTRAINT in a revision of its own.",
    bad="""SET lock_timeout = '2s';
ALTER TABLE orders ADD CONSTRAINT orders_total_check CHECK (total >= 0) NOT VALID;
ALTER TABLE orders VALIDATE CONSTRAINT orders_total_check;
""",
    good="""-- 1.sql
SET lock_timeout = '2s';
ALTER TABLE orders ADD CONSTRAINT orders_total_check CHECK (total >= 0) NOT VALID;
-- 2.sql
SET lock_timeout = '2s';
ALTER TABLE orders VALIDATE CONSTRAINT orders_total_check;
""",
    rule=_validated,
    squawk=("constraint-missing-not-valid",),
)

CONCURRENTLY = Hazard(
    id="concurrently-in-transaction",
    condition="CONCURRENTLY, VACUUM or another statement that no transaction can hold stands in one.",
    effect="PostgreSQL refuses it: `{name}` cannot run inside a transaction block.",
    safe="Put it alone into a revision of its own, in `with op.get_context().autocommit_block():`.",
    bad="""BEGIN;
CREATE INDEX CONCURRENTLY orders_customer_idx ON orders (customer_id);
COMMIT;
""",
    good="CREATE INDEX CONCURRENTLY orders_customer_idx ON orders (customer_id);\n",
    concern="any",
    rule=_concurrently,
    squawk=("ban-concurrent-index-creation-in-transaction",),
)

BESIDE = Hazard(
    id="concurrently-beside-others",
    condition="A revision does something else beside its CONCURRENTLY that a second try would stumble over.",
    effect="It works outside a transaction: when it stops half-way, the revision counts as not applied, and the next "
    "try "
    "fails on what is there already, such as `{name}`.",
    safe="Leave CONCURRENTLY alone in its revision; a DROP INDEX CONCURRENTLY IF EXISTS before it may stand beside it.",
    bad="""CREATE INDEX CONCURRENTLY orders_customer_idx ON orders (customer_id);
CREATE INDEX CONCURRENTLY orders_status_idx ON orders (status);
""",
    good="""-- 1.sql
DROP INDEX CONCURRENTLY IF EXISTS orders_customer_idx;
CREATE INDEX CONCURRENTLY orders_customer_idx ON orders (customer_id);
-- 2.sql
CREATE INDEX CONCURRENTLY orders_status_idx ON orders (status);
""",
    concern="any",
    rule=_beside,
)

HIDDEN = Hazard(
    id="invalid-index-hidden",
    condition="CREATE INDEX CONCURRENTLY IF NOT EXISTS where an INVALID index of that name may be there, or is.",
    effect="A build that failed left `{name}` INVALID: IF NOT EXISTS takes it for done, and no query of `{table}` will "
    "ever use it, while every write pays for it.",
    safe="DROP INDEX CONCURRENTLY IF EXISTS {name} before it, and CREATE INDEX CONCURRENTLY without IF NOT EXISTS.",
    bad="CREATE INDEX CONCURRENTLY IF NOT EXISTS orders_customer_idx ON orders (customer_id);\n",
    good="""DROP INDEX CONCURRENTLY IF EXISTS orders_customer_idx;
CREATE INDEX CONCURRENTLY orders_customer_idx ON orders (customer_id);
""",
    concern="live",
    rule=_hidden,
)
