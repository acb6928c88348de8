"""What a statement does to the database that the next one will find."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import postgast
from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes.base import AstNode

from migrations.sql._timeouts import set_by, set_by_function
from migrations.sql.alterations import (
    SERIALS,
    AddedConstraint,
    added_constraints,
    commands,
    created_columns,
    created_constraints,
    default_of,
    is_serial,
    not_null_columns,
    type_of,
)
from migrations.sql.database_context import Column, Table, TableConstraint, TableIndex
from migrations.sql.database_state import DatabaseState
from migrations.sql.locking import locks
from migrations.sql.names import Name, SqlType, strings
from migrations.sql.objects import apply_to_objects
from migrations.sql.statements import Statement

_RELATIONS = frozenset({int(pb.OBJECT_TABLE), int(pb.OBJECT_VIEW), int(pb.OBJECT_MATVIEW)})


def apply(state: DatabaseState, statement: Statement) -> None:
    """Change the state as a statement does."""
    node = statement.node
    if statement.transaction is not None:
        held = ((one, statement) for one in locks(node) if one.stops_writes and state.is_live(one.table))
        state.transaction.locks += held
    if isinstance(node, nodes.AlterTableStmt):
        _alter(state, statement)
    _relations(state, node)
    apply_to_objects(state.objects, node)
    _types_and_settings(state, statement, node)


def _relations(state: DatabaseState, node: AstNode) -> None:
    match node:
        case nodes.CreateStmt():
            _create(state, node)
        case nodes.CreateTableAsStmt() if node.into is not None:
            kind = "materialized view" if node.objtype == pb.OBJECT_MATVIEW else "table"
            temporary = is_temporary(node.into.rel)
            _put(state, Table(Name.of_range(node.into.rel), is_new=True, kind=kind, temporary=temporary))
        case nodes.SelectStmt() if node.into_clause is not None:
            rel = node.into_clause.rel
            _put(state, Table(Name.of_range(rel), is_new=True, temporary=is_temporary(rel)))
        case nodes.ViewStmt():
            name = Name.of_range(node.view)
            state.tables.setdefault(name, Table(name, is_new=True, kind="view"))
        case nodes.IndexStmt():
            _index(state, node)
        case nodes.RenameStmt():
            _rename(state, node)
        case nodes.DropStmt():
            _drop(state, node)
        case nodes.CreatePolicyStmt():
            table = state.table(Name.of_range(node.table))
            _put(state, replace(table, policies=table.policies | {node.policy_name}))
        case _:
            return


def is_temporary(relation: nodes.RangeVar | None) -> bool:
    """Whether a relation that a statement makes is one session's own."""
    return relation is not None and (relation.relpersistence == "t" or relation.schemaname == "pg_temp")


def _put(state: DatabaseState, table: Table) -> None:
    state.tables[table.name] = table


def _types_and_settings(state: DatabaseState, statement: Statement, node: AstNode) -> None:
    match node:
        case nodes.CreateEnumStmt():
            state.enums[Name.of_parts(node.type_name)] = strings(node.vals)
            state.transaction.types.add(Name.of_parts(node.type_name))
        case nodes.AlterEnumStmt():
            name = Name.of_parts(node.type_name)
            if not node.old_val:
                state.enums[name] = (*state.enums.get(name, ()), node.new_val)
                if statement.transaction is not None and name not in state.transaction.types:
                    state.transaction.enum_values.add((name, node.new_val))
        case nodes.CreateDomainStmt():
            state.domains[Name.of_parts(node.domainname)] = bool(node.constraints)
        case nodes.VariableSetStmt():
            set_by(state, node)
        case nodes.SelectStmt():
            for _, one in postgast.walk_typed(node):
                if isinstance(one, nodes.FuncCall):
                    set_by_function(state, one)
        case _:
            return


def _create(state: DatabaseState, node: nodes.CreateStmt) -> None:
    name = Name.of_range(node.relation)
    if name in state.tables and node.if_not_exists:
        return
    table = Table(
        name,
        columns={column.colname: made_column(column) for _, column in created_columns(node)},
        complete=not node.inh_relations,
        is_new=True,
        kind="partitioned" if node.partspec is not None else "table",
        temporary=is_temporary(node.relation),
    )
    for one in created_constraints(node):
        table = _with_constraint(table, one, None)
    _put(state, table)


def made_column(node: nodes.ColumnDef) -> Column:
    """A column as it is written."""
    kinds = {one.contype for one in node.constraints if isinstance(one, nodes.Constraint)}
    type_ = type_of(node)
    serial = type_ is not None and type_.name in SERIALS
    if serial and type_ is not None:
        type_ = SqlType(SERIALS[type_.name])
    return Column(
        node.colname,
        type_,
        not_null=serial or bool(kinds & {pb.CONSTR_NOTNULL, pb.CONSTR_PRIMARY, pb.CONSTR_IDENTITY}),
        has_default=is_serial(node) or default_of(node) is not None or pb.CONSTR_GENERATED in kinds,
        generated=pb.CONSTR_GENERATED in kinds,
        made=True,
    )


def _with_constraint(table: Table, added: AddedConstraint, transaction: int | None) -> Table:
    node = added.node
    proves = added.columns if added.kind == "not null" else not_null_columns(node.raw_expr)
    one = TableConstraint(
        added.name,
        added.kind,
        added.columns,
        validated=not node.skip_validation,
        proves=proves if added.kind in {"check", "not null"} else (),
        transaction=transaction,
        references=added.references,
    )
    columns = dict(table.columns)
    if added.kind == "primary key" or (added.kind == "not null" and not node.skip_validation):
        columns = {
            name: replace(column, not_null=column.not_null or name in added.columns) for name, column in columns.items()
        }
    indexes = dict(table.indexes)
    if added.builds_index:
        unique = added.kind != "exclude"
        indexes[added.name] = TableIndex(added.name, added.columns, unique=unique)
    elif node.indexname and node.conname and node.indexname in indexes:
        # Source: a constraint by USING INDEX renames the index to its own name.
        indexes[node.conname] = replace(indexes.pop(node.indexname), name=node.conname)
    return replace(table, columns=columns, constraints=(*table.constraints, one), indexes=indexes)


def _alter(state: DatabaseState, statement: Statement) -> None:
    for name, command in commands(statement.node):
        table = state.table(name)
        _put(state, _commanded(table, command))
    for added in added_constraints(statement.node):
        serial = state.transaction.serial if statement.transaction is not None else None
        _put(state, _with_constraint(state.table(added.table), added, serial))
    # A command after the ADD of the same statement may validate it.
    for name, command in commands(statement.node):
        if command.subtype == pb.AT_ValidateConstraint:
            _put(state, _validated(state.table(name), command.name))


def _commanded(table: Table, command: nodes.AlterTableCmd) -> Table:
    columns, given = dict(table.columns), command.def_
    column = columns.get(command.name, Column(command.name))
    match command.subtype:
        case pb.AT_AddColumn if isinstance(given, nodes.ColumnDef):
            columns.setdefault(given.colname, made_column(given))
        case pb.AT_DropColumn:
            return _without_column(table, command.name)
        case pb.AT_AlterColumnType if isinstance(given, nodes.ColumnDef):
            columns[command.name] = replace(column, type=type_of(given))
        case pb.AT_SetNotNull | pb.AT_DropNotNull:
            columns[command.name] = replace(column, not_null=command.subtype == pb.AT_SetNotNull)
        case pb.AT_ColumnDefault | pb.AT_AddIdentity | pb.AT_DropIdentity:
            columns[command.name] = replace(column, has_default=given is not None)
        case pb.AT_DropConstraint:
            kept = tuple(one for one in table.constraints if one.name != command.name)
            indexes = {name: one for name, one in table.indexes.items() if name != command.name}
            return replace(table, constraints=kept, indexes=indexes)
        case pb.AT_EnableRowSecurity | pb.AT_DisableRowSecurity:
            return replace(table, row_security=command.subtype == pb.AT_EnableRowSecurity)
        case pb.AT_ForceRowSecurity | pb.AT_NoForceRowSecurity:
            return replace(table, row_security_forced=command.subtype == pb.AT_ForceRowSecurity)
        case _:
            return table
    return replace(table, columns=columns)


def _without_column(table: Table, column: str) -> Table:
    return replace(
        table,
        columns={name: one for name, one in table.columns.items() if name != column},
        constraints=tuple(one for one in table.constraints if column not in one.columns),
        indexes={name: one for name, one in table.indexes.items() if column not in one.columns},
    )


def _validated(table: Table, constraint: str) -> Table:
    columns = dict(table.columns)
    constraints: list[TableConstraint] = []
    for one in table.constraints:
        if one.name == constraint and one.kind == "not null":
            columns |= {name: replace(columns[name], not_null=True) for name in one.columns if name in columns}
        constraints.append(replace(one, validated=True) if one.name == constraint else one)
    return replace(table, columns=columns, constraints=tuple(constraints))


def index_name(node: nodes.IndexStmt) -> str:
    """The index's name, or the one that PostgreSQL will choose."""
    columns = index_columns(node)
    return node.idxname or "_".join((Name.of_range(node.relation).name, *(columns or ("expr",)), "idx"))


def index_columns(node: nodes.IndexStmt) -> tuple[str, ...]:
    """The columns of an index, in order; expressions have none."""
    return tuple(one.name for one in node.index_params if isinstance(one, nodes.IndexElem) and one.name)


def _index(state: DatabaseState, node: nodes.IndexStmt) -> None:
    table = state.table(Name.of_range(node.relation))
    made = TableIndex(index_name(node), index_columns(node), node.unique, partial=node.where_clause is not None)
    _put(state, replace(table, indexes={**table.indexes, made.name: made}))


def _rename(state: DatabaseState, node: nodes.RenameStmt) -> None:
    name = Name.of_range(node.relation)
    table = state.tables.get(name)
    if node.rename_type in _RELATIONS and table is not None:
        del state.tables[name]
        _put(state, replace(table, name=Name(node.newname, name.schema)))
    elif node.rename_type == pb.OBJECT_COLUMN and table is not None and node.subname in table.columns:
        columns = dict(table.columns)
        columns[node.newname] = replace(columns.pop(node.subname), name=node.newname)
        _put(state, replace(table, columns=columns))
    elif node.rename_type == pb.OBJECT_TABCONSTRAINT and table is not None:
        renamed = tuple(
            replace(one, name=node.newname) if one.name == node.subname else one for one in table.constraints
        )
        _put(state, replace(table, constraints=renamed))
    elif node.rename_type == pb.OBJECT_INDEX:
        for one in tuple(state.tables.values()):
            if name.name in one.indexes and one.name.schema == name.schema:
                indexes = dict(one.indexes)
                indexes[node.newname] = replace(indexes.pop(name.name), name=node.newname)
                _put(state, replace(one, indexes=indexes))


def dropped(node: nodes.DropStmt) -> Iterator[Name]:
    """The names of what a DROP takes away; of triggers and policies, the table's."""
    for one in node.objects:
        parts = one.items if isinstance(one, nodes.List) else [one]
        if isinstance(one, nodes.TypeName):
            parts = one.names
        elif isinstance(one, nodes.ObjectWithArgs):
            parts = one.objname
        if node.remove_type in {pb.OBJECT_TRIGGER, pb.OBJECT_POLICY, pb.OBJECT_RULE}:
            parts = parts[:-1]
        yield Name.of_parts(parts)


def _drop(state: DatabaseState, node: nodes.DropStmt) -> None:
    for name in dropped(node):
        if node.remove_type in _RELATIONS:
            state.tables.pop(name, None)
        elif node.remove_type == pb.OBJECT_INDEX:
            state.dropped_indexes.add(name)
            for table in tuple(state.tables.values()):
                if name.name in table.indexes and table.name.schema == name.schema:
                    kept = {key: one for key, one in table.indexes.items() if key != name.name}
                    _put(state, replace(table, indexes=kept))
    if node.remove_type == pb.OBJECT_POLICY:
        for one in node.objects:
            parts = strings([one])
            table = state.table(Name.of("", "") if len(parts) < 2 else Name.of(parts[-2], "".join(parts[-3:-2])))
            _put(state, replace(table, policies=table.policies - set(parts[-1:])))
