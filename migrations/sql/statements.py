"""Statements as PostgreSQL's own parser reads them, those inside DO blocks and called functions included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import postgast
from postgast import nodes
from postgast.nodes.base import AstNode

from migrations.sql import procedural
from migrations.sql._blocks import BodyStatement
from migrations.sql.errors import SqlUnreadable
from migrations.sql.names import Name
from migrations.sql.routines import Routine, routine
from migrations.sql.source_statement import SourceStatement

_DEEPEST = 5


@dataclass(frozen=True)
class Statement:
    """One statement.

    Attributes:
        node: what the parser made of it.
        sql: its text.
        origin: what it was part of.
        line: its line in the file, from 1.
        within: the block or function that holds it; empty where it stands alone.
        looped: whether it runs in a loop.
        batched: whether it runs in a loop that commits.
        nested: whether it is a part of the statement before it.
        limited: common table expressions around it that end after a number of rows.
        dynamic: the expression that its text is put together by at run time, where it cannot be known.
    """

    node: AstNode
    sql: str
    origin: SourceStatement
    line: int
    within: str = ""
    looped: bool = False
    batched: bool = False
    nested: bool = False
    limited: frozenset[str] = frozenset()
    dynamic: str = ""

    @property
    def transaction(self) -> int | None:
        """The transaction that it runs in; None outside of one."""
        return self.origin.transaction

    @property
    def on_one_line(self) -> str:
        """Its text, short enough to be shown."""
        text = " ".join(self.sql.split())
        return text if len(text) <= 300 else f"{text[:297]}..."


@dataclass
class Reader:
    """Reads statements in order; a function that one of them creates is known to those that call it.

    Attributes:
        functions: the functions that are known.
    """

    functions: dict[Name, Routine] = field(default_factory=dict[Name, Routine])

    @classmethod
    def with_functions(cls, functions: Mapping[Name, Routine]) -> Reader:
        """A reader that knows functions beforehand."""
        return cls(dict(functions))

    def read(self, given: Sequence[SourceStatement]) -> tuple[Statement, ...]:
        """Read all statements.

        Raises:
            SqlUnreadable: PostgreSQL's parser refuses one; its place is told.
        """
        return tuple(one for origin in given for one in self._parsed(origin.sql, origin, origin.line))

    def _parsed(
        self, sql: str, origin: SourceStatement, line: int, held: BodyStatement | None = None, depth: int = 0
    ) -> Iterator[Statement]:
        try:
            parts = _split(sql)
        except postgast.PgQueryError as error:
            if held is None:
                raise _refused(sql, origin, line, error) from error
            # Text that is put together at run time may lack what only the server adds.
            yield _unknown(held, origin, line)
            return
        for node, text, offset in parts:
            one = Statement(
                node,
                text,
                origin,
                line if held else line + offset,
                within=held.within if held else "",
                looped=held.looped if held else False,
                batched=held.batched if held else False,
            )
            yield one
            for inner, ctes in procedural.nested(node):
                yield replace(one, node=inner, limited=ctes, nested=True)
            if isinstance(node, nodes.CreateFunctionStmt):
                self._learn(node, text)
            if depth < _DEEPEST:
                yield from self._inside(one, depth)

    def _inside(self, outer: Statement, depth: int) -> Iterator[Statement]:
        for statement in procedural.body_statements(outer.node, self.functions):
            if statement.dynamic:
                yield _unknown(statement, outer.origin, outer.line + statement.line)
            else:
                yield from self._parsed(statement.sql, outer.origin, outer.line + statement.line, statement, depth + 1)

    def _learn(self, node: nodes.CreateFunctionStmt, text: str) -> None:
        found = routine(node, text)
        if found is not None:
            self.functions[Name.of_parts(node.funcname)] = found


def _unknown(statement: BodyStatement, origin: SourceStatement, line: int) -> Statement:
    nothing = postgast.wrap(postgast.parse(""))
    return Statement(nothing, statement.sql, origin, line, statement.within, dynamic=statement.sql)


def _refused(sql: str, origin: SourceStatement, line: int, error: postgast.PgQueryError) -> SqlUnreadable:
    # Source: PostgreSQL counts the position of an error in characters.
    before = sql[: max(error.cursorpos - 1, 0)]
    return SqlUnreadable(origin.file, line + before.count("\n"), error.message, " ".join(sql.split())[:200])


@lru_cache(maxsize=50_000)
def _split(sql: str) -> tuple[tuple[AstNode, str, int], ...]:
    """Each statement of a text with the number of lines before it."""
    tree = postgast.wrap(postgast.parse(sql))
    return tuple(_parts(sql.encode(), tree)) if isinstance(tree, nodes.ParseResult) else ()


def _parts(encoded: bytes, tree: nodes.ParseResult) -> Iterator[tuple[AstNode, str, int]]:
    for raw in tree.stmts:
        if raw.stmt is None:
            continue
        start = raw.stmt_location
        end = start + raw.stmt_len if raw.stmt_len else len(encoded)
        start += _blank(encoded[start:end])
        yield raw.stmt, encoded[start:end].decode().strip(), encoded[:start].count(b"\n")


def _blank(text: bytes) -> int:
    """How many bytes of spaces and comments a statement begins with."""
    tokens = postgast.scan(text.decode(errors="replace")).tokens
    for token in tokens:
        if token.token not in procedural.COMMENTS:
            return token.start
    return 0
