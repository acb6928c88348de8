"""Indexes that are built, taken away or built again while nobody can work."""

from collections.abc import Iterator

from postgast import nodes
from postgast import pg_query_pb2 as pb

from migrations.lint.hazard import Hazard, Subject
from migrations.sql.alterations import added_constraints
from migrations.sql.database_state import DatabaseState
from migrations.sql.effects import dropped
from migrations.sql.locking import is_concurrent
from migrations.sql.names import Name
from migrations.sql.statements import Statement


def _constraint(statement: Statement, _state: DatabaseState) -> Iterator[Subject]:
    """See a constraint that builds its index.

    Source: ADD UNIQUE and ADD PRIMARY KEY build the index under AccessExclusiveLock, unless it is there (USING INDEX).
    """
    for one in added_constraints(statement.node):
        if one.builds_index and one.kind != "exclude":
            yield Subject(one.table, ", ".join(one.columns), one.name, one.kind.upper())


def _exclusion(statement: Statement, _state: DatabaseState) -> Iterator[Subject]:
    """See an exclusion constraint. Source: it knows neither NOT VALID nor USING INDEX."""
    for one in added_constraints(statement.node):
        if one.kind == "exclude":
            yield Subject(one.table, ", ".join(one.columns), one.name)


def _drop(statement: Statement, state: DatabaseState) -> Iterator[Subject]:
    """See DROP INDEX. Source: it takes AccessExclusiveLock on the index's table; CONCURRENTLY does not."""
    node = statement.node
    if isinstance(node, nodes.DropStmt) and node.remove_type == pb.OBJECT_INDEX and not node.concurrent:
        for name in dropped(node):
            yield Subject(table_of(name, state), name=str(name))


def table_of(index: Name, state: DatabaseState) -> Name | None:
    """The table that an index belongs to, where it is known."""
    for one in state.tables.values():
        if index.name in one.indexes and one.name.schema == index.schema:
            return one.name
    return None


def _reindex(statement: Statement, state: DatabaseState) -> Iterator[Subject]:
    """See REINDEX.

    Source: it stops writes to the table, and reads that would use the index; SYSTEM knows no CONCURRENTLY.
    """
    node = statement.node
    if not isinstance(node, nodes.ReindexStmt) or is_concurrent(node):
        return
    if node.kind == pb.REINDEX_OBJECT_TABLE:
        yield Subject(Name.of_range(node.relation), name=str(Name.of_range(node.relation)))
    elif node.kind == pb.REINDEX_OBJECT_INDEX:
        index = Name.of_range(node.relation)
        yield Subject(table_of(index, state), name=str(index))
    else:
        yield Subject(name=node.name or "the database")


CONSTRAINT = Hazard(
    id="constraint-builds-index",
    condition="A UNIQUE or PRIMARY KEY constraint is added to a table that is in use, and builds its index itself.",
    effect="Adding the {detail} `{name}` builds an index on `{table}` under an AccessExclusiveLock: reads and writes "
    "wait until it is built.",
    safe="CREATE UNIQUE INDEX CONCURRENTLY in a revision of its own, then ADD CONSTRAINT ... USING INDEX.",
    bad="SET lock_timeout = '2s';\nALTER TABLE orders ADD CONSTRAINT orders_number_key UNIQUE (number);\n",
    good="""-- 1.sql
CREATE UNIQUE INDEX CONCURRENTLY orders_number_key ON orders (number);
-- 2.sql
SET lock_timeout = '2s';
ALTER TABLE orders ADD CONSTRAINT orders_number_key UNIQUE USING INDEX orders_number_key;
""",
    rule=_constraint,
    squawk=("disallowed-unique-constraint", "adding-serial-primary-key-field", "constraint-missing-not-valid"),
)

EXCLUSION = Hazard(
    id="exclusion-constraint",
    condition="An EXCLUDE constraint is added to a table that is in use.",
    effect="Adding `{name}` builds an index on `{table}` and compares every row under an AccessExclusiveLock: reads "
    "and "
    "writes wait. There is no NOT VALID for it.",
    safe="Make a new table with the constraint and move to it by expand, backfill and contract, or check in a trigger.",
    bad="""SET lock_timeout = '2s';
ALTER TABLE bookings ADD CONSTRAINT bookings_excl EXCLUDE USING gist (room WITH =, during WITH &&);
""",
    good="""SET lock_timeout = '2s';
CREATE TABLE bookings_new (
    id bigint PRIMARY KEY, room bigint, during tstzrange,
    CONSTRAINT bookings_new_excl EXCLUDE USING gist (room WITH =, during WITH &&)
);
""",
    rule=_exclusion,
    squawk=("constraint-missing-not-valid",),
)

DROP = Hazard(
    id="drop-index-not-concurrent",
    condition="DROP INDEX without CONCURRENTLY.",
    effect="Dropping `{name}` waits for an AccessExclusiveLock on its table, and everybody queues behind it.",
    safe="Use DROP INDEX CONCURRENTLY, alone in a revision of its own and outside a transaction (autocommit_block).",
    bad="SET lock_timeout = '2s';\nDROP INDEX orders_note_idx;\n",
    good="DROP INDEX CONCURRENTLY orders_note_idx;\n",
    rule=_drop,
    squawk=("require-concurrent-index-deletion", "ban-drop-index"),
)

REINDEX = Hazard(
    id="reindex-not-concurrent",
    condition="REINDEX without CONCURRENTLY.",
    effect="Rebuilding `{name}` stops writes to the table, and reads that would use the index, until it is built.",
    safe="Use REINDEX ... CONCURRENTLY, outside a transaction.",
    bad="SET lock_timeout = '2s';\nREINDEX TABLE orders;\n",
    good="REINDEX TABLE CONCURRENTLY orders;\n",
    rule=_reindex,
    squawk=("require-concurrent-reindex",),
)
