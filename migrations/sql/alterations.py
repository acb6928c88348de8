"""What a statement adds to tables, however it is spelled: by ALTER TABLE, by a column, or by CREATE TABLE."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import postgast
from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes.base import AstNode

from migrations.sql.database_context import ConstraintKind
from migrations.sql.names import Name, SqlType, strings

KINDS: dict[int, ConstraintKind] = {
    int(pb.CONSTR_CHECK): "check",
    int(pb.CONSTR_FOREIGN): "foreign key",
    int(pb.CONSTR_UNIQUE): "unique",
    int(pb.CONSTR_PRIMARY): "primary key",
    int(pb.CONSTR_EXCLUSION): "exclude",
    int(pb.CONSTR_NOTNULL): "not null",
}
# Source: ChooseConstraintName and ChooseIndexName in PostgreSQL.
_ENDINGS: dict[ConstraintKind, str] = {
    "check": "check",
    "foreign key": "fkey",
    "unique": "key",
    "primary key": "pkey",
    "exclude": "excl",
    "not null": "not_null",
}
# Every rule asks the same of one statement, one after the other.
_RECENT = 16
SERIALS = {"smallserial": "int2", "serial": "int4", "bigserial": "int8"}


@dataclass(frozen=True)
class AddedConstraint:
    """A constraint that a statement adds.

    Attributes:
        table: to which table.
        kind: what it demands.
        node: as it was parsed.
        columns: the columns that it is about.
        with_column: the new column that brings it; None where the column was there before.
    """

    table: Name
    kind: ConstraintKind
    node: nodes.Constraint
    columns: tuple[str, ...]
    with_column: nodes.ColumnDef | None = None

    @property
    def name(self) -> str:
        """The constraint's name, or the one that PostgreSQL will choose."""
        if self.node.conname:
            return self.node.conname
        several = self.kind == "check" and len(self.columns) > 1
        middle = () if self.kind == "primary key" or several else self.columns
        return "_".join((self.table.name, *middle, _ENDINGS[self.kind]))

    @property
    def references(self) -> Name | None:
        """The table that a foreign key points at."""
        return Name.of_range(self.node.pktable) if self.node.pktable is not None else None

    @property
    def builds_index(self) -> bool:
        """Whether it builds an index of its own."""
        return self.kind in {"unique", "primary key", "exclude"} and not self.node.indexname


@lru_cache(maxsize=_RECENT)
def commands(node: AstNode) -> tuple[tuple[Name, nodes.AlterTableCmd], ...]:
    """Each command of an ALTER TABLE."""
    return tuple(_commands(node))


def _commands(node: AstNode) -> Iterator[tuple[Name, nodes.AlterTableCmd]]:
    if isinstance(node, nodes.AlterTableStmt) and node.objtype in {
        pb.OBJECT_TABLE,
        pb.OBJECT_MATVIEW,
        pb.OBJECT_FOREIGN_TABLE,
    }:
        table = Name.of_range(node.relation)
        for one in node.cmds:
            if isinstance(one, nodes.AlterTableCmd):
                yield table, one


@lru_cache(maxsize=_RECENT)
def added_columns(node: AstNode) -> tuple[tuple[Name, nodes.ColumnDef], ...]:
    """Each column that an ALTER TABLE adds."""
    return tuple(_added_columns(node))


def _added_columns(node: AstNode) -> Iterator[tuple[Name, nodes.ColumnDef]]:
    for table, command in commands(node):
        if command.subtype == pb.AT_AddColumn and isinstance(command.def_, nodes.ColumnDef):
            yield table, command.def_


@lru_cache(maxsize=_RECENT)
def created_columns(node: AstNode) -> tuple[tuple[Name, nodes.ColumnDef], ...]:
    """Each column that a CREATE TABLE has."""
    return tuple(_created_columns(node))


def _created_columns(node: AstNode) -> Iterator[tuple[Name, nodes.ColumnDef]]:
    if isinstance(node, nodes.CreateStmt):
        for one in node.table_elts:
            if isinstance(one, nodes.ColumnDef):
                yield Name.of_range(node.relation), one


def every_new_column(node: AstNode) -> Iterator[tuple[Name, nodes.ColumnDef]]:
    """Each column that a statement makes, in an old table or in a new one."""
    yield from added_columns(node)
    yield from created_columns(node)


@lru_cache(maxsize=_RECENT)
def added_constraints(node: AstNode) -> tuple[AddedConstraint, ...]:
    """Each constraint that an ALTER TABLE adds."""
    return tuple(_added_constraints(node))


def _added_constraints(node: AstNode) -> Iterator[AddedConstraint]:
    for table, command in commands(node):
        given = command.def_
        if command.subtype == pb.AT_AddConstraint and isinstance(given, nodes.Constraint):
            yield from _constraints(table, [given])
        elif command.subtype == pb.AT_AddColumn and isinstance(given, nodes.ColumnDef):
            yield from _constraints(table, given.constraints, given)


@lru_cache(maxsize=_RECENT)
def created_constraints(node: AstNode) -> tuple[AddedConstraint, ...]:
    """Each constraint that a CREATE TABLE has."""
    return tuple(_created_constraints(node))


def _created_constraints(node: AstNode) -> Iterator[AddedConstraint]:
    if isinstance(node, nodes.CreateStmt):
        table = Name.of_range(node.relation)
        for one in node.table_elts:
            if isinstance(one, nodes.Constraint):
                yield from _constraints(table, [one])
            elif isinstance(one, nodes.ColumnDef):
                yield from _constraints(table, one.constraints, one)


def _constraints(
    table: Name, given: Sequence[AstNode], column: nodes.ColumnDef | None = None
) -> Iterator[AddedConstraint]:
    for one in given:
        if isinstance(one, nodes.Constraint) and (kind := KINDS.get(one.contype)):
            named = (column.colname,) if column is not None else strings(one.fk_attrs or one.keys)
            columns = named or tuple(dict.fromkeys(_columns(one)))
            yield AddedConstraint(table, kind, one, columns, column)


def _columns(given: AstNode) -> Iterator[str]:
    for _, one in postgast.walk_typed(given):
        if isinstance(one, nodes.ColumnRef) and (found := strings(one.fields)):
            yield found[-1]
        elif isinstance(one, nodes.IndexElem) and one.name:
            yield one.name


def column_constraint(column: nodes.ColumnDef, kind: int) -> nodes.Constraint | None:
    """The constraint of that kind which a column is written with."""
    found = (one for one in column.constraints if isinstance(one, nodes.Constraint) and one.contype == kind)
    return next(found, None)


def default_of(column: nodes.ColumnDef) -> AstNode | None:
    """The default that a column is written with; None where that is NULL too."""
    given = column_constraint(column, pb.CONSTR_DEFAULT)
    value = given.raw_expr if given is not None else column.raw_default
    bare = value
    while isinstance(bare, nodes.TypeCast):
        bare = bare.arg
    return None if isinstance(bare, nodes.A_Const) and bare.isnull else value


def type_of(column: nodes.ColumnDef) -> SqlType | None:
    """The type that a column is written with."""
    return SqlType.of(column.type_name)


def is_serial(column: nodes.ColumnDef) -> bool:
    """Whether a sequence numbers the column, and so every row that is there already."""
    type_ = type_of(column)
    return (type_ is not None and type_.name in SERIALS) or column_constraint(column, pb.CONSTR_IDENTITY) is not None


def not_null_columns(condition: AstNode | None) -> tuple[str, ...]:
    """The columns that a condition proves to hold no NULL.

    Source: PostgreSQL takes `col IS NOT NULL`, alone or joined by AND, for a proof (ConstraintImpliedByRelConstraint),
        and NOT is drawn into what it stands before (negate_clause).
    """
    return _proven(condition, negated=False)


def _proven(condition: AstNode | None, *, negated: bool) -> tuple[str, ...]:
    if isinstance(condition, nodes.NullTest):
        proves = condition.nulltesttype == (pb.IS_NULL if negated else pb.IS_NOT_NULL)
        return strings(condition.arg.fields)[-1:] if proves and isinstance(condition.arg, nodes.ColumnRef) else ()
    if not isinstance(condition, nodes.BoolExpr):
        return ()
    if condition.boolop == pb.NOT_EXPR:
        negated = not negated
    elif condition.boolop != (pb.OR_EXPR if negated else pb.AND_EXPR):
        return ()
    return tuple(column for one in condition.args for column in _proven(one, negated=negated))
