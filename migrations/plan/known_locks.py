"""The lock of each statement, where a run on a throwaway database did not show it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from postgast import nodes
from postgast.nodes.base import AstNode

from migrations.database.trace import STRENGTH, Lock
from migrations.recording.recorded_statements import RecordedStatement
from migrations.sql.errors import SqlUnreadable
from migrations.sql.locking import locks
from migrations.sql.names import Name
from migrations.sql.source_statement import SourceStatement
from migrations.sql.statements import Reader


def with_known_locks(statements: Sequence[RecordedStatement]) -> tuple[RecordedStatement, ...]:
    """Add to the statements of one revision what PostgreSQL's documentation says of their locks.

    A run shows a transaction's lock at the statement that takes it first, and may miss one that is let go at once. What
    a transaction has made itself is left out: nobody waits for it.
    """
    reader = Reader()
    names = {_last(lock.relation): lock.relation for one in statements for lock in one.locks}
    made: set[str] = set()
    result: list[RecordedStatement] = []
    for one in statements:
        if not one.transactional:
            made.clear()
        seen = {_last(lock.relation) for lock in one.locks}
        added: dict[str, str] = {}
        for node in _read(reader, one.sql):
            for lock in locks(node):
                name = lock.table.name
                if name not in seen | made:
                    relation = names.get(name, str(lock.table))
                    added[relation] = max(lock.mode, added.get(relation, lock.mode), key=STRENGTH.index)
            made.update(_made(node))
        more = tuple(Lock(relation, mode) for relation, mode in sorted(added.items()))
        result.append(replace(one, locks=(*one.locks, *more)))
    return tuple(result)


def strongest(found: Iterable[Lock]) -> tuple[Lock, ...]:
    """The strongest lock on each relation, in the order of their names."""
    kept: dict[str, Lock] = {}
    for one in found:
        if one.relation not in kept or STRENGTH.index(one.mode) > STRENGTH.index(kept[one.relation].mode):
            kept[one.relation] = one
    return tuple(kept[relation] for relation in sorted(kept))


def _read(reader: Reader, sql: str) -> Iterator[AstNode]:
    try:
        yield from (one.node for one in reader.read([SourceStatement(sql)]))
    except SqlUnreadable:
        return


def _last(relation: str) -> str:
    """The last part of a relation's name, without quotes."""
    return relation.rsplit('"."' if relation.endswith('"') and '"."' in relation else ".", 1)[-1].replace('"', "")


def _made(node: AstNode) -> Iterator[str]:
    match node:
        case nodes.CreateStmt():
            yield Name.of_range(node.relation).name
        case nodes.CreateTableAsStmt() if node.into is not None:
            yield Name.of_range(node.into.rel).name
        case nodes.ViewStmt() if not node.replace:
            yield Name.of_range(node.view).name
        case nodes.RenameStmt() if node.relation is not None:
            yield node.newname
        case _:
            return
