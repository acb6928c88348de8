"""The locks that a statement takes on tables.

Source: PostgreSQL's documentation, "Explicit Locking", and the page of each command.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes.base import AstNode

from migrations.sql.alterations import added_constraints, commands, created_constraints
from migrations.sql.names import Name, strings

# Weakest first.
MODES = (
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)
ACCESS_SHARE, ROW_SHARE, ROW_EXCLUSIVE, SHARE_UPDATE, SHARE, SHARE_ROW, EXCLUSIVE, ACCESS_EXCLUSIVE = MODES
STOPS_WRITES = frozenset(MODES[4:])

_ALTER_SHARE_UPDATE = frozenset(
    int(one)
    for one in (
        pb.AT_SetStatistics,
        pb.AT_ValidateConstraint,
        pb.AT_ClusterOn,
        pb.AT_DropCluster,
        pb.AT_SetRelOptions,
        pb.AT_ResetRelOptions,
        pb.AT_ReplaceRelOptions,
        pb.AT_SetOptions,
        pb.AT_ResetOptions,
        pb.AT_AttachPartition,
        pb.AT_DetachPartitionFinalize,
    )
)
_ALTER_SHARE_ROW = frozenset(
    int(one)
    for one in (
        pb.AT_EnableTrig,
        pb.AT_EnableAlwaysTrig,
        pb.AT_EnableReplicaTrig,
        pb.AT_DisableTrig,
        pb.AT_EnableTrigAll,
        pb.AT_DisableTrigAll,
        pb.AT_EnableTrigUser,
        pb.AT_DisableTrigUser,
    )
)
_RELATIONS = frozenset(
    int(one) for one in (pb.OBJECT_TABLE, pb.OBJECT_VIEW, pb.OBJECT_MATVIEW, pb.OBJECT_FOREIGN_TABLE)
)
_ON_TABLE = frozenset({int(pb.OBJECT_TRIGGER), int(pb.OBJECT_POLICY), int(pb.OBJECT_RULE)})


@dataclass(frozen=True)
class HeldLock:
    """A lock on a table, by its name in pg_locks."""

    table: Name
    mode: str

    @property
    def stops_writes(self) -> bool:
        """Whether nobody can write to the table meanwhile."""
        return self.mode in STOPS_WRITES

    @property
    def stops_reads(self) -> bool:
        """Whether nobody can even read the table meanwhile."""
        return self.mode == ACCESS_EXCLUSIVE


@lru_cache(maxsize=16)
def locks(node: AstNode) -> tuple[HeldLock, ...]:
    """The strongest lock that a statement takes on each table that it names."""
    strongest: dict[Name, str] = {}
    for one in _taken(node):
        if one.table.name and MODES.index(one.mode) >= MODES.index(strongest.get(one.table, ACCESS_SHARE)):
            strongest[one.table] = one.mode
    return tuple(HeldLock(table, mode) for table, mode in strongest.items())


def is_concurrent(node: AstNode) -> bool:
    """Whether a statement works in steps, outside of a transaction, without stopping writes."""
    match node:
        case nodes.IndexStmt():
            return node.concurrent
        case nodes.DropStmt():
            return node.concurrent
        case nodes.ReindexStmt():
            return option(node.params, "concurrently")
        case nodes.AlterTableStmt():
            return any(
                isinstance(one.def_, nodes.PartitionCmd) and one.def_.concurrent
                for one in node.cmds
                if isinstance(one, nodes.AlterTableCmd)
            )
        case _:
            return False


def option(given: list[AstNode], name: str) -> bool:
    """Whether a list of options has one, and does not say that it is off."""
    for one in given:
        if isinstance(one, nodes.DefElem) and one.defname.lower() == name:
            value = one.arg
            # Source: `off` and `no` are names of types to the grammar of reloptions.
            said = strings(value.names)[-1] if isinstance(value, nodes.TypeName) else ""
            said = value.sval if isinstance(value, nodes.String) else said
            return said.lower() not in {"false", "off", "0", "no"} and not (
                isinstance(value, nodes.Integer) and value.ival == 0
            )
    return False


def _taken(node: AstNode) -> Iterator[HeldLock]:
    match node:
        case nodes.AlterTableStmt():
            yield from _altered(node)
        case nodes.CreateStmt():
            yield from _created(node)
        case nodes.IndexStmt():
            yield HeldLock(Name.of_range(node.relation), SHARE_UPDATE if node.concurrent else SHARE)
        case nodes.DropStmt():
            yield from _dropped(node)
        case nodes.RenameStmt() if node.rename_type != pb.OBJECT_INDEX:
            yield HeldLock(Name.of_range(node.relation), ACCESS_EXCLUSIVE)
        case nodes.AlterObjectSchemaStmt():
            yield HeldLock(Name.of_range(node.relation), ACCESS_EXCLUSIVE)
        case _:
            yield from _attached(node)


def _created(node: nodes.CreateStmt) -> Iterator[HeldLock]:
    # Source: CREATE TABLE ... PARTITION OF takes AccessExclusiveLock on the parent, INHERITS ShareUpdateExclusiveLock.
    yield from _each(node.inh_relations, ACCESS_EXCLUSIVE if node.partbound is not None else SHARE_UPDATE)
    for one in created_constraints(node):
        if one.references is not None and one.references != one.table:
            yield HeldLock(one.references, SHARE_ROW)


def _attached(node: AstNode) -> Iterator[HeldLock]:
    match node:
        case nodes.CreateTrigStmt():
            yield HeldLock(Name.of_range(node.relation), SHARE_ROW)
        case nodes.CreatePolicyStmt() | nodes.AlterPolicyStmt():
            yield HeldLock(Name.of_range(node.table), ACCESS_EXCLUSIVE)
        case nodes.ViewStmt() if node.replace:
            yield HeldLock(Name.of_range(node.view), ACCESS_EXCLUSIVE)
        case nodes.RuleStmt():
            yield HeldLock(Name.of_range(node.relation), ACCESS_EXCLUSIVE)
        case _:
            yield from _maintained(node)


def _maintained(node: AstNode) -> Iterator[HeldLock]:
    match node:
        case nodes.TruncateStmt():
            yield from _each(node.relations, ACCESS_EXCLUSIVE)
        case nodes.ClusterStmt():
            yield HeldLock(Name.of_range(node.relation), ACCESS_EXCLUSIVE)
        case nodes.VacuumStmt():
            mode = ACCESS_EXCLUSIVE if option(node.options, "full") else SHARE_UPDATE
            relations = [one.relation for one in node.rels if isinstance(one, nodes.VacuumRelation)]
            yield from _each(relations, mode)
        case nodes.ReindexStmt() if node.kind == pb.REINDEX_OBJECT_TABLE:
            yield HeldLock(Name.of_range(node.relation), SHARE_UPDATE if is_concurrent(node) else SHARE)
        case nodes.RefreshMatViewStmt():
            yield HeldLock(Name.of_range(node.relation), EXCLUSIVE if node.concurrent else ACCESS_EXCLUSIVE)
        case nodes.LockStmt():
            # Source: lockdefs.h numbers the modes from 1, in this order.
            yield from _each(node.relations, MODES[max(node.mode, 1) - 1])
        case _:
            yield from _written(node)


def _written(node: AstNode) -> Iterator[HeldLock]:
    match node:
        case nodes.UpdateStmt() | nodes.DeleteStmt() | nodes.InsertStmt() | nodes.MergeStmt():
            yield HeldLock(Name.of_range(node.relation), ROW_EXCLUSIVE)
        case nodes.CopyStmt() if node.is_from:
            yield HeldLock(Name.of_range(node.relation), ROW_EXCLUSIVE)
        case _:
            return


def _each(relations: Iterable[AstNode | None], mode: str) -> Iterator[HeldLock]:
    for one in relations:
        if isinstance(one, nodes.RangeVar):
            yield HeldLock(Name.of_range(one), mode)


def _altered(node: nodes.AlterTableStmt) -> Iterator[HeldLock]:
    for table, command in commands(node):
        given = command.def_
        is_foreign_key = isinstance(given, nodes.Constraint) and given.contype == pb.CONSTR_FOREIGN
        if is_foreign_key or command.subtype in _ALTER_SHARE_ROW:
            yield HeldLock(table, SHARE_ROW)
        elif command.subtype in _ALTER_SHARE_UPDATE:
            yield HeldLock(table, SHARE_UPDATE)
            if command.subtype == pb.AT_AttachPartition and isinstance(given, nodes.PartitionCmd):
                yield HeldLock(Name.of_range(given.name), ACCESS_EXCLUSIVE)
        elif isinstance(given, nodes.PartitionCmd) and given.concurrent:
            yield HeldLock(table, SHARE_UPDATE)
        else:
            yield HeldLock(table, ACCESS_EXCLUSIVE)
            if isinstance(given, nodes.PartitionCmd):
                yield HeldLock(Name.of_range(given.name), ACCESS_EXCLUSIVE)
    for one in added_constraints(node):
        if one.references is not None:
            yield HeldLock(one.references, SHARE_ROW)


def _dropped(node: nodes.DropStmt) -> Iterator[HeldLock]:
    for one in node.objects:
        parts = one.items if isinstance(one, nodes.List) else [one]
        if node.remove_type in _RELATIONS:
            yield HeldLock(Name.of_parts(parts), ACCESS_EXCLUSIVE)
        elif node.remove_type in _ON_TABLE:
            yield HeldLock(Name.of_parts(parts[:-1]), ACCESS_EXCLUSIVE)
