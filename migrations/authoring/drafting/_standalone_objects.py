"""Objects that belong to no table: schemas, domains, sequences, functions, views."""

import re
from collections.abc import Iterable

from migrations.authoring.drafting._tables import serial_sequences
from migrations.authoring.drafting.names import unqualified
from migrations.authoring.drafting.schema_changes import (
    Comparison,
    Rank,
    SchemaChange,
    replaced,
    reverse,
    schema_change,
)


def create_schema_changes(compared: Comparison) -> Iterable[SchemaChange]:
    """Schemas beside public."""
    for found in compared.of_kind("schema"):
        created = schema_change(
            Rank.SCHEMA, f"CREATE SCHEMA {found.name}", f"DROP SCHEMA {found.name}", subject=f"schema {found.name}"
        )
        yield created if found.change == "added" else reverse(created, Rank.DROP_SCHEMA, "contract")


def domain_changes(compared: Comparison) -> Iterable[SchemaChange]:
    """Domains, which are dropped and made again where they change."""
    for found in compared.of_kind("domain"):
        before, after = (_domain(found.name, text) if text else None for text in (found.before, found.after))
        yield from replaced(reverse(before, Rank.DROP_TYPE, "contract") if before else None, after)


def sequence_changes(compared: Comparison) -> Iterable[SchemaChange]:
    """Sequences that no column brings along."""
    own = serial_sequences(compared.before) | serial_sequences(compared.after)
    for found in compared.of_kind("sequence"):
        subject = f"sequence {found.name}"
        if found.change == "changed":
            to, back = _sequence_options(found.after), _sequence_options(found.before)
            head = f"ALTER SEQUENCE {found.name}"
            yield schema_change(Rank.SEQUENCE, f"{head} {to}", f"{head} {back}", subject=subject)
        elif found.name not in own:
            options = _sequence_options(found.after or found.before)
            created = schema_change(
                Rank.SEQUENCE,
                f"CREATE SEQUENCE {found.name} {options}",
                f"DROP SEQUENCE {found.name}",
                subject=subject,
            )
            yield created if found.change == "added" else reverse(created, Rank.DROP_SEQUENCE, "contract")


def function_changes(compared: Comparison) -> Iterable[SchemaChange]:
    """Functions and procedures."""
    for found in compared.of_kind("function"):
        subject = f"function {found.name}"
        if found.before is not None and found.after is not None:
            yield schema_change(Rank.FUNCTION, _function(found.after), _function(found.before), subject=subject)
            continue
        definition = found.after or found.before or ""
        # PostgreSQL looks into the body of one in SQL when it is made, so its tables come first.
        in_sql = re.search(r"\n LANGUAGE sql\b", definition) is not None
        kind = "PROCEDURE" if definition.startswith("CREATE OR REPLACE PROCEDURE") else "FUNCTION"
        created = schema_change(
            Rank.SQL_FUNCTION if in_sql else Rank.FUNCTION,
            _function(definition).replace("CREATE OR REPLACE ", "CREATE ", 1),
            f"DROP {kind} {unqualified(found.name)}",
            subject=subject,
        )
        yield created if found.change == "added" else reverse(created, Rank.DROP_FUNCTION, "contract")


def view_changes(compared: Comparison) -> Iterable[SchemaChange]:
    """Views, plain and materialized, which are dropped and made again where they change."""
    for found in compared.of_kind("view"):
        before, after = (_view(found.name, text) if text else None for text in (found.before, found.after))
        if before is not None:
            yield reverse(before, Rank.DROP_VIEW, "contract" if after is None else "expand")
        if after is not None:
            yield after


def _domain(name: str, definition: str) -> SchemaChange:
    return schema_change(
        Rank.TYPE,
        f"CREATE DOMAIN {name} AS {unqualified(definition)}",
        f"DROP DOMAIN {name}",
        subject=f"domain {name}",
    )


def _sequence_options(definition: str | None) -> str:
    found = re.fullmatch(
        r"(?P<type>\w+) start (\S+) increment (\S+) min (\S+) max (\S+) cache (\S+)( cycle)?", definition or ""
    )
    if found is None:
        return ""
    _, start, increment, least, most, cache, cycle = found.groups()
    return (
        f"AS {found['type']} INCREMENT {increment} MINVALUE {least} MAXVALUE {most} START {start} CACHE {cache}"
        f"{' CYCLE' if cycle else ' NO CYCLE'}"
    )


def _function(definition: str) -> str:
    return unqualified(definition).rstrip()


def _view(name: str, definition: str) -> SchemaChange:
    if definition.startswith("CREATE "):
        kind = "MATERIALIZED VIEW" if definition.startswith("CREATE MATERIALIZED") else "VIEW"
        return schema_change(Rank.VIEW, definition, f"DROP {kind} {name}", subject=f"view {name}")
    kind = "MATERIALIZED VIEW" if definition.startswith("materialized") else "VIEW"
    rest = definition.removeprefix("materialized").strip()
    found = re.match(r"with \((.*?)\) ", rest)
    options = f" WITH ({found[1]})" if found else ""
    query = unqualified(rest[found.end() :] if found else rest).strip().rstrip(";")
    return schema_change(
        Rank.VIEW, f"CREATE {kind} {name}{options} AS\n{query}", f"DROP {kind} {name}", subject=f"view {name}"
    )
