"""What a statement is about to ask for, read from its text before it is sent."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass, replace
from functools import lru_cache

from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes.base import AstNode

from migrations.database.trace import Lock
from migrations.sql.errors import SqlUnreadable
from migrations.sql.locking import ACCESS_EXCLUSIVE, SHARE_UPDATE, is_concurrent, locks
from migrations.sql.names import Name, strings
from migrations.sql.source_statement import SourceStatement
from migrations.sql.statements import Reader

# Of those that no transaction may hold, none is among these but in its concurrent form.
_ATOMIC = (
    nodes.AlterEnumStmt,
    nodes.AlterTableStmt,
    nodes.AlterObjectSchemaStmt,
    nodes.CommentStmt,
    nodes.CreateFunctionStmt,
    nodes.CreateStmt,
    nodes.CreateTrigStmt,
    nodes.DeleteStmt,
    nodes.DropStmt,
    nodes.GrantStmt,
    nodes.IndexStmt,
    nodes.InsertStmt,
    nodes.RenameStmt,
    nodes.UpdateStmt,
    nodes.ViewStmt,
)
# RESET ALL names no setting.
RESETS_ALL = "all"
_INDEXES = frozenset({int(pb.OBJECT_INDEX)})


@dataclass(frozen=True)
class RequestedLocks:
    """What a statement asks for.

    Attributes:
        locks: the relations that it names, as SQL names them, and how it locks them; an index stands for its table.
        locks_referencing: whether it locks what refers to those relations, too: they are dropped or emptied.
        exempt_from_timeouts: whether it waits without anybody waiting behind it, and breaks if it is hurried: a build
            CONCURRENTLY, or VACUUM.
        sets: settings that it sets itself.
        atomic: whether it is one statement that can stand in a transaction.
        creates: tables that it makes, as SQL names them.
    """

    locks: tuple[Lock, ...] = ()
    locks_referencing: bool = False
    exempt_from_timeouts: bool = False
    sets: frozenset[str] = frozenset()
    atomic: bool = False
    creates: frozenset[str] = frozenset()

    def of_others(self, own: Set[str]) -> RequestedLocks:
        """The same without the locks of tables that nobody else uses.

        Args:
            own: those that its own transaction has made, and the one that says which revisions stand.
        """
        if self.locks_referencing or all(lock.relation not in own for lock in self.locks):
            return self
        return replace(self, locks=tuple(lock for lock in self.locks if lock.relation not in own))

    @property
    def stops_others(self) -> bool:
        """Whether somebody who writes, or even reads, may have to wait for its end."""
        return any(lock.stops_writes for lock in self.locks)


NO_LOCKS = RequestedLocks()


@lru_cache(maxsize=1000)
def locks_requested_by(sql: str) -> RequestedLocks:
    """What a statement asks for, as far as its text tells; what it hides, the first try will tell."""
    try:
        parts = Reader().read([SourceStatement(sql)])
    except SqlUnreadable:
        return NO_LOCKS
    found = [_of(one.node) for one in parts if not one.dynamic]
    return RequestedLocks(
        tuple(dict.fromkeys(lock for one in found for lock in one.locks)),
        any(one.locks_referencing for one in found),
        any(one.exempt_from_timeouts for one in found),
        frozenset(name for one in found for name in one.sets),
        len(parts) == 1 and isinstance(parts[0].node, _ATOMIC) and not is_concurrent(parts[0].node),
        frozenset(name for one in found for name in one.creates),
    )


def _of(node: AstNode) -> RequestedLocks:
    if isinstance(node, nodes.VariableSetStmt):
        return RequestedLocks(sets=frozenset({node.name.lower() or RESETS_ALL}))
    held = tuple(Lock(str(one.table), one.mode) for one in locks(node))
    is_drop = isinstance(node, nodes.DropStmt)
    if is_drop and node.remove_type in _INDEXES:
        mode = SHARE_UPDATE if node.concurrent else ACCESS_EXCLUSIVE
        held += tuple(Lock(str(_name_of(one)), mode) for one in node.objects)
    elif isinstance(node, nodes.ReindexStmt) and node.kind == pb.REINDEX_OBJECT_INDEX:
        held += (Lock(str(Name.of_range(node.relation)), SHARE_UPDATE if is_concurrent(node) else "ShareLock"),)
    return RequestedLocks(
        held,
        locks_referencing=isinstance(node, nodes.TruncateStmt) or is_drop,
        exempt_from_timeouts=is_concurrent(node) or isinstance(node, nodes.VacuumStmt),
        creates=frozenset(_created_by(node)),
    )


def _created_by(node: AstNode) -> Iterator[str]:
    if isinstance(node, nodes.CreateStmt) and not node.if_not_exists:
        yield str(Name.of_range(node.relation))


def _name_of(node: AstNode) -> Name:
    parts = node.items if isinstance(node, nodes.List) else [node]
    *schema, name = strings(parts)
    return Name.of(name, schema[-1] if schema else "")
