"""Keys and indexes, in Prisma's words.

Source: Prisma names what has no `map` after its table and columns, and knows neither partial indexes, nor those of
expressions, nor NULLS NOT DISTINCT, nor INCLUDE.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Index, Table, UniqueConstraint
from sqlalchemy.schema import Column

from migrations.prisma._syntax import Unexpressed, identifier, one_line, quoted

_ORDERED = re.compile(r'"?(\w+)"?(?:\s+(ASC|DESC))?', re.IGNORECASE)
_METHODS = {"gin": "Gin", "gist": "Gist", "brin": "Brin", "hash": "Hash", "spgist": "SpGist"}
_OPERATORS = {"jsonb_path_ops": "JsonbPathOps", "jsonb_ops": "JsonbOps", "array_ops": "ArrayOps"}


def primary_key(table: Table) -> tuple[str, ...]:
    """The columns of a table's primary key; empty where it has none."""
    return tuple(column.name for column in table.primary_key.columns)


def unique_columns(table: Table) -> tuple[tuple[tuple[str, ...], str], ...]:
    """The columns whose values, or combinations of them, occur once in all rows; and what says so."""
    constraints = sorted(
        (each for each in table.constraints if isinstance(each, UniqueConstraint)), key=lambda each: str(each.name)
    )
    indexes = (index for index in _sorted(table) if index.unique and reason_not_expressible(index) is None)
    return (
        *(
            (tuple(column.name for column in each.columns), str(each.name or ""))
            for each in constraints
            if not each.deferrable and not _nulls_not_distinct(each)
        ),
        *((tuple(name for name, _ in _plain_columns(index)), str(index.name)) for index in indexes),
    )


def model_indexes(table: Table) -> Iterator[str]:
    """The lines of a model for its key and indexes of several columns, and for those that are not unique."""
    key = primary_key(table)
    if len(key) > 1:
        yield f"@@id([{', '.join(map(identifier, key))}]{_named(table, table.primary_key.name, (), 'pkey')})"
    for columns, name in unique_columns(table):
        if len(columns) > 1:
            yield f"@@unique([{', '.join(map(identifier, columns))}]{_named(table, name, columns, 'key')})"
    for index in _sorted(table):
        if index.unique or reason_not_expressible(index) is not None:
            continue
        columns = _plain_columns(index)
        shown = ", ".join(_shown(index, name, descends=descends) for name, descends in columns)
        method = _METHODS.get(str(_option(index, "using") or ""))
        kind = f", type: {method}" if method else ""
        yield f"@@index([{shown}]{_named(table, index.name, [name for name, _ in columns], 'idx')}{kind})"


def single_unique(table: Table, column: Column[Any]) -> tuple[str, ...]:
    """What says of one column that it is a key, or unique."""
    if primary_key(table) == (column.name,):
        return (f"@id{_parenthesised(_named(table, table.primary_key.name, (), 'pkey'))}",)
    for columns, name in unique_columns(table):
        if columns == (column.name,):
            return (f"@unique{_parenthesised(_named(table, name, columns, 'key'))}",)
    return ()


def unexpressed_indexes(table: Table) -> Iterator[Unexpressed]:
    """The indexes that Prisma cannot express."""
    for index in _sorted(table):
        if (why := reason_not_expressible(index)) is not None:
            kind = "unique index" if index.unique else "index"
            yield Unexpressed(table.name, f"{kind} {index.name}", why)
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint) and (constraint.deferrable or _nulls_not_distinct(constraint)):
            why = "DEFERRABLE" if constraint.deferrable else "NULLS NOT DISTINCT"
            yield Unexpressed(table.name, f"unique constraint {constraint.name}", why)


def reason_not_expressible(index: Index) -> str | None:
    """Why an index cannot be written; None where it can."""
    if (where := _option(index, "where")) is not None:
        return f"it is partial, WHERE {one_line(str(where))}"
    columns = _plain_columns(index)
    if not columns:
        return f"it is on an expression, {', '.join(one_line(str(one)) for one in index.expressions)}"
    if index.unique and any(descends for _, descends in columns):
        return "it is unique and sorted downwards"
    if _option(index, "nulls_not_distinct"):
        return "NULLS NOT DISTINCT"
    if include := _option(index, "include"):
        return f"INCLUDE {include}"
    method = _option(index, "using")
    if method and str(method) not in {"btree", *_METHODS}:
        return f"it is of the kind {method}"
    unknown = [str(one) for one in _operators(index).values() if str(one) not in _OPERATORS]
    return f"operator class {', '.join(unknown)}" if unknown else None


def _plain_columns(index: Index) -> tuple[tuple[str, bool], ...]:
    """The columns of an index, and whether each is sorted downwards; empty where one is an expression."""
    assert index.table is not None  # noqa: S101  (an index of the metadata has one)
    found: list[tuple[str, bool]] = []
    for expression in index.expressions:
        match = _ORDERED.fullmatch(expression.name if isinstance(expression, Column) else str(expression).strip())
        if match is None or match[1] not in index.table.columns:
            return ()
        found.append((match[1], (match[2] or "").upper() == "DESC"))
    return tuple(found)


def _shown(index: Index, name: str, *, descends: bool) -> str:
    operator = _operators(index).get(name)
    says = [*(["sort: Desc"] if descends else []), *([f"ops: {_OPERATORS[str(operator)]}"] if operator else [])]
    return f"{identifier(name)}{_parenthesised(', '.join(says))}"


def _operators(index: Index) -> dict[str, Any]:
    return dict(_option(index, "ops") or {})


def _option(index: Index, name: str) -> Any:
    options: Any = index.dialect_options["postgresql"]
    return options.get(name)


def _nulls_not_distinct(constraint: UniqueConstraint) -> bool:
    options: Any = constraint.dialect_options["postgresql"]
    return bool(options.get("nulls_not_distinct"))


def _named(table: Table, name: object, columns: Sequence[str], suffix: str) -> str:
    """Say the name in the database, where Prisma would take another."""
    expected = "_".join([table.name, *columns, suffix])
    return "" if name is None or str(name) in {"", expected} else f", map: {quoted(str(name))}"


def _parenthesised(inner: str) -> str:
    return f"({inner.removeprefix(', ')})" if inner else ""


def _sorted(table: Table) -> list[Index]:
    return sorted(table.indexes, key=lambda index: str(index.name))
