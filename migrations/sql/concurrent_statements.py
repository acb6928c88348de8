"""Statements that work on an index CONCURRENTLY, read from their text."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import postgast
from postgast import nodes
from postgast import pg_query_pb2 as pb

from migrations.sql.locking import is_concurrent
from migrations.sql.names import Name, quoted, strings

Kind = Literal["create", "drop", "reindex"]


@dataclass(frozen=True)
class ConcurrentStatement:
    """What is done to an index.

    Attributes:
        kind: create, drop, or reindex.
        table: as SQL names it; empty where the statement names an index, or more than one table.
        index: as the catalogue names it; empty where PostgreSQL gives it a name, or where it is a table's.
        schema: the schema that stands before the index's name; empty for the search_path.
        excuses: whether it says IF NOT EXISTS or IF EXISTS.
    """

    kind: Kind
    table: str
    index: str
    schema: str = ""
    excuses: bool = False

    @property
    def named(self) -> str:
        """The index as SQL names it."""
        return str(Name(self.index, self.schema)) if self.index else ""


@lru_cache(maxsize=200)
def concurrent(sql: str) -> ConcurrentStatement | None:
    """Read a statement; None where it is of another kind."""
    try:
        tree = postgast.wrap(postgast.parse(sql))
    except postgast.PgQueryError:
        return None
    if not isinstance(tree, nodes.ParseResult) or len(tree.stmts) != 1:
        return None
    node = tree.stmts[0].stmt
    match node:
        case nodes.IndexStmt() if is_concurrent(node):
            table = _table(node.relation)
            return ConcurrentStatement("create", table, node.idxname, excuses=node.if_not_exists)
        case nodes.DropStmt() if is_concurrent(node) and node.objects:
            first = node.objects[0]
            parts = strings(first.items if isinstance(first, nodes.List) else [first])
            *schema, name = parts
            return ConcurrentStatement("drop", "", name, schema[-1] if schema else "", excuses=node.missing_ok)
        case nodes.ReindexStmt() if is_concurrent(node):
            if node.kind == pb.REINDEX_OBJECT_INDEX and node.relation is not None:
                return ConcurrentStatement("reindex", "", node.relation.relname, node.relation.schemaname)
            return ConcurrentStatement("reindex", _table(node.relation), "")
        case _:
            return None


def built_on_a_copy(sql: str) -> tuple[str, str]:
    """The statement that builds the same index on an empty copy of its table, and the name of that copy."""
    tree = postgast.parse(sql)
    build = tree.stmts[0].stmt.index_stmt
    build.idxname, build.concurrent, build.if_not_exists, build.table_space = "", False, False, ""
    build.relation.schemaname, build.relation.catalogname = "pg_temp", ""
    return postgast.deparse(tree), f"pg_temp.{quoted(build.relation.relname)}"


def without_names(definition: str) -> str:
    """What pg_get_indexdef() says of an index, but for the names of it and of its table."""
    tree = postgast.parse(definition)
    build = tree.stmts[0].stmt.index_stmt
    build.idxname = ""
    build.relation.schemaname, build.relation.relname = "", "it"
    return postgast.deparse(tree)


def _table(relation: nodes.RangeVar | None) -> str:
    if relation is None:
        return ""
    return str(Name(relation.relname, relation.schemaname))
