"""Plain SQL as a history: files in order, sections of a file, transactions as BEGIN and COMMIT draw them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import postgast
from postgast import nodes
from postgast import pg_query_pb2 as pb

from migrations.lint.findings import Waiver
from migrations.sql.errors import SqlUnreadable
from migrations.sql.locking import is_concurrent
from migrations.sql.procedural import commits
from migrations.sql.psql import without_psql
from migrations.sql.source_statement import SourceStatement
from migrations.sql.statements import Reader, Statement

_WHOLE = frozenset({int(pb.REINDEX_OBJECT_SCHEMA), int(pb.REINDEX_OBJECT_SYSTEM), int(pb.REINDEX_OBJECT_DATABASE)})
_SECTION = re.compile(r"^--[ \t]*(\d+[\w.-]*\.sql)[ \t]*$", re.MULTILINE)
_PHASE = re.compile(r"^--[ \t]*phase:[ \t]*(expand|contract)[ \t]*$", re.MULTILINE | re.IGNORECASE)
_WAIVER = re.compile(r"^\s*--\s*waive\s+(?P<hazard>[\w-]+)\s*:?[ \t]*(?P<reason>.*)$", re.IGNORECASE)
_BEGINS = frozenset({int(pb.TRANS_STMT_BEGIN), int(pb.TRANS_STMT_START)})
_ENDS = frozenset({int(pb.TRANS_STMT_COMMIT), int(pb.TRANS_STMT_ROLLBACK), int(pb.TRANS_STMT_PREPARE)})


@dataclass(frozen=True)
class SqlHistory:
    """The statements of plain SQL, and the waivers in it."""

    statements: tuple[SourceStatement, ...]
    waivers: tuple[Waiver, ...]


def read_sql(files: Sequence[Path]) -> SqlHistory:
    """Read files as one history.

    Raises:
        SqlUnreadable: a file cannot be read, or PostgreSQL's parser refuses it.
    """
    history = SqlHistory((), ())
    for file in files:
        try:
            text = file.read_text(encoding="utf-8-sig")
        except OSError as error:
            raise SqlUnreadable(str(file), 1, f"it cannot be read: {error.strerror}", "") from error
        except UnicodeDecodeError as error:
            raise SqlUnreadable(str(file), 1, f"it is no text in UTF-8: {error.reason}", "") from error
        history = _joined(history, parse_sql(text, str(file)))
    return history


def parse_sql(text: str, file: str = "") -> SqlHistory:
    """Read a text as a history.

    A line `-- 2.sql` begins a section, as a file of its own would; `-- phase: contract` says its phase. A text is one
    transaction, unless it says BEGIN and COMMIT itself, or holds nothing but statements that work outside of one.

    Raises:
        SqlUnreadable: PostgreSQL's parser refuses it.
    """
    marks = list(_SECTION.finditer(text))
    starts = [0, *(mark.end() for mark in marks)]
    ends = [*(mark.start() for mark in marks), len(text)]
    names = [None, *(mark.group(1) for mark in marks)]
    history = SqlHistory((), ())
    for start, end, name in zip(starts, ends, names, strict=True):
        part, line = text[start:end], text.count("\n", 0, start) + 1
        phase = said.group(1).lower() if (said := _PHASE.search(part)) else None
        history = _joined(history, _section(part, SourceStatement(part, name, file, line, phase=phase)))
    return history


def _joined(first: SqlHistory, second: SqlHistory) -> SqlHistory:
    return SqlHistory(first.statements + second.statements, first.waivers + second.waivers)


def _section(text: str, whole: SourceStatement) -> SqlHistory:
    # Functions are expanded later: here each statement stands for itself.
    found = [one for one in _read(whole) if not (one.within or one.dynamic or one.nested)]
    statements = tuple(_in_transactions(found))
    return SqlHistory(statements, tuple(_waivers(text, whole, statements)))


def _read(whole: SourceStatement) -> Sequence[Statement]:
    try:
        return Reader().read([whole])
    except SqlUnreadable:
        plain = without_psql(whole.sql, whole.file, whole.line)
        if plain == whole.sql:
            raise
    return Reader().read([replace(whole, sql=plain)])


def _in_transactions(found: Sequence[Statement]) -> Iterator[SourceStatement]:
    explicit = any(isinstance(one.node, nodes.TransactionStmt) and one.node.kind in _BEGINS for one in found)
    # SET and ANALYZE go with either.
    working = [one for one in found if not isinstance(one.node, nodes.VariableSetStmt) and not _analyzes(one)]
    alone = bool(working) and all(requires_autocommit(one) for one in working)
    current: int | None = None if explicit or alone or not found else found[0].line
    begun: Statement | None = None
    for one in found:
        node = one.node
        said = replace(one.origin, sql=one.sql, line=one.line, transaction=current)
        if not isinstance(node, nodes.TransactionStmt):
            yield said
        elif node.kind in _BEGINS:
            if begun is not None:
                yield said
            current, begun = one.line, one
        elif node.kind in _ENDS:
            if begun is None:
                yield said
            current, begun = (one.line, one) if node.chain else (None, None)
    if begun is not None:
        yield replace(begun.origin, sql=begun.sql, line=begun.line, transaction=current)


def _analyzes(statement: Statement) -> bool:
    return isinstance(statement.node, nodes.VacuumStmt) and not statement.node.is_vacuumcmd


def requires_autocommit(statement: Statement) -> bool:
    """Whether a statement cannot run inside a transaction.

    Source: PreventInTransactionBlock in PostgreSQL's commands.
    """
    node = statement.node
    if isinstance(node, nodes.VacuumStmt):
        return node.is_vacuumcmd
    if isinstance(node, nodes.ReindexStmt) and node.kind in _WHOLE:
        return True
    return (
        is_concurrent(node)
        or commits(node)
        or isinstance(
            node,
            nodes.CreatedbStmt
            | nodes.DropdbStmt
            | nodes.AlterSystemStmt
            | nodes.CreateTableSpaceStmt
            | nodes.DropTableSpaceStmt,
        )
    )


def _waivers(text: str, whole: SourceStatement, statements: Sequence[SourceStatement]) -> Iterator[Waiver]:
    """Waivers stand in comments before a statement; each holds for the next statement and no further."""
    if "waive" not in text.lower():
        return
    comments = [one for one in postgast.scan(text).tokens if one.token == pb.SQL_COMMENT]
    encoded = text.encode()
    for one in comments:
        found = _WAIVER.match(encoded[one.start : one.end].decode())
        if found is None:
            continue
        line = whole.line + encoded[: one.start].count(b"\n")
        after = next((each for each in statements if each.line > line), None)
        covers = line if after is None else after.line + after.sql.count("\n")
        yield Waiver(
            found["hazard"].lower(), found["reason"].strip(" \t\r:-"), whole.revision, whole.file, line, covers
        )
