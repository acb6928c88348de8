"""Values that production holds, put back into the application's statements: what its rows say no plan tells."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from migrations.disclosure.server_messages import safe_message
from migrations.rehearsal.compatibility._statement_usage import ColumnReference, Relation, Usage
from migrations.rehearsal.compatibility.observed_statements import ProductionStatement

# The newest rows are what the application writes today; they stand in the last blocks, as a rule.
SAMPLED, BLOCKS = 200, 50
TRIALS_OF_A_WRITE, TRIALS_OF_A_READ = 40, 8
BUDGET_S, STATEMENT_TIMEOUT_MS = 45.0, 2000

_NEWEST = """
SELECT {columns} FROM {table}
WHERE ctid >= format('(%%s,0)', greatest(0, pg_relation_size({name}::regclass) / 8192 - {blocks}))::tid
ORDER BY ctid DESC LIMIT {limit}
"""
# Source: a row that is there already is refused by every unique rule, old or new: that tells nothing.
_KEY_EXISTS = frozenset({"23505", "23P01"})
# Cancelled, out of time, no lock: nothing is known of such a trial.
_NO_ANSWER = frozenset({"57014", "55P03", "40001", "40P01"})

Values = tuple[str | None, ...]


@dataclass(frozen=True)
class TrialOutcome:
    """How a trial of a statement, with values of production, ended.

    Attributes:
        sqlstate: of the error; empty where it went through.
        message: the error's.
    """

    sqlstate: str = ""
    message: str = ""

    @property
    def told(self) -> bool:
        """Whether it went through or was refused for a reason."""
        return self.sqlstate not in _NO_ANSWER


@dataclass(frozen=True)
class Rows:
    """Rows of a table, newest first.

    Attributes:
        columns: their columns.
        values: a tuple a row, as text.
    """

    columns: tuple[str, ...]
    values: tuple[Values, ...]

    def column(self, name: str) -> tuple[str | None, ...]:
        """What the rows hold in a column."""
        at = self.columns.index(name)
        return tuple(row[at] for row in self.values)


Sample = Mapping[Relation, Rows]


def newest_rows(connection: psycopg.Connection, usages: Iterable[Usage]) -> Sample:
    """Take the newest rows of every table that statements write to or compare with.

    Args:
        connection: a session in autocommit on a copy of production.
        usages: what the statements use.

    Locks: AccessShareLock on the tables, for the moment.
    """
    wanted: dict[Relation, set[str]] = {}
    for used in usages:
        for reference in used.parameters.values():
            wanted.setdefault(reference.relation, set()).add(reference.column)
        for relation, written in used.written.items():
            wanted.setdefault(relation, set()).update(written or ())
    found: dict[Relation, Rows] = {}
    for relation, columns in wanted.items():
        if columns and (rows := _newest_of_table(connection, relation, tuple(sorted(columns)))) is not None:
            found[relation] = rows
    return found


def _newest_of_table(connection: psycopg.Connection, relation: Relation, columns: tuple[str, ...]) -> Rows | None:
    table = sql.Identifier(*(part for part in (relation.schema, relation.name) if part))
    parts = {
        "columns": sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(one)) for one in columns),
        "table": table,
        "name": sql.Literal(table.as_string()),
        "blocks": sql.Literal(BLOCKS),
        "limit": sql.Literal(SAMPLED),
    }
    try:
        rows = connection.execute(sql.SQL(_NEWEST.replace("%%", "%")).format(**parts)).fetchall()
    except psycopg.Error:
        # A view, or a name that is none of this database's: nothing can be taken from it.
        return None
    return Rows(columns, tuple(tuple(row) for row in rows))


def values_for(used: Usage, sample: Sample) -> tuple[Values, ...]:
    """The values to try a statement with: each parameter from its own column, those of one table from one row.

    Returns:
        A tuple a trial, by the number of the parameter; empty where there is no row, or a parameter has no column.
    """
    if used.numbers - used.parameters.keys() - used.limits:
        return ()
    tables = {reference.relation for reference in used.parameters.values()}
    if any(table not in sample or not sample[table].values for table in tables):
        return ()
    if any(reference.column not in sample[reference.relation].columns for reference in used.parameters.values()):
        return ()
    most = TRIALS_OF_A_WRITE if used.writes else TRIALS_OF_A_READ
    rows = max((len(sample[table].values) for table in tables), default=1)
    found = (_one(used, sample, number) for number in range(rows))
    return tuple(dict.fromkeys(found))[:most]


def _one(used: Usage, sample: Sample, number: int) -> Values:
    def value(parameter: int) -> str | None:
        reference: ColumnReference | None = used.parameters.get(parameter)
        if reference is None:
            return "1"
        column = sample[reference.relation].column(reference.column)
        return column[number % len(column)]

    return tuple(value(parameter) for parameter in range(1, max(used.numbers, default=0) + 1))


def run_trials(
    connection: psycopg.Connection,
    trials: Mapping[ProductionStatement, Sequence[Values]],
    usages: Mapping[ProductionStatement, Usage],
) -> dict[ProductionStatement, tuple[TrialOutcome, ...]]:
    """Try statements with values. Writes are run and rolled back, reads are planned; nothing stays.

    Args:
        connection: a session in autocommit on a copy that nobody else uses.
        trials: the values, by statement.
        usages: what each statement uses.

    Returns:
        How each trial went; a statement for which there was no time is missing.

    Locks: those of the writes, until each is rolled back.
    """
    until = time.monotonic() + BUDGET_S
    done: dict[ProductionStatement, tuple[TrialOutcome, ...]] = {}
    connection.execute(
        f"SET statement_timeout = {STATEMENT_TIMEOUT_MS}; SET plan_cache_mode = force_custom_plan".encode()
    )
    try:
        for statement, given in trials.items():
            if time.monotonic() > until:
                break
            if given:
                done[statement] = _all(connection, statement, given, run=usages[statement].writes)
    finally:
        connection.execute("RESET statement_timeout; RESET plan_cache_mode")
    return done


def _all(
    connection: psycopg.Connection, statement: ProductionStatement, given: Sequence[Values], *, run: bool
) -> tuple[TrialOutcome, ...]:
    try:
        connection.execute(f"PREPARE pilotage_try AS {statement.prepared}".encode())
    except psycopg.Error as error:
        return (_outcome(error),) * len(given)
    try:
        return _each(connection, given, run=run)
    finally:
        connection.execute("DEALLOCATE pilotage_try")


def _each(connection: psycopg.Connection, given: Sequence[Values], *, run: bool) -> tuple[TrialOutcome, ...]:
    done: list[TrialOutcome] = []
    for values in given:
        done.append(_run_trial(connection, values, run=run))
        if not done[-1].told:
            # What took too long once would do so each time.
            return (*done, *(done[-1],) * (len(given) - len(done)))
    return tuple(done)


def _run_trial(connection: psycopg.Connection, values: Values, *, run: bool) -> TrialOutcome:
    literals = sql.SQL(", ").join(map(sql.Literal, values))
    call = sql.SQL("EXECUTE pilotage_try({})").format(literals) if values else sql.SQL("EXECUTE pilotage_try")
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(call if run else sql.SQL("EXPLAIN {}").format(call))
            # What is checked at the end of a transaction is checked now.
            connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    except psycopg.Error as error:
        return _outcome(error)
    return TrialOutcome()


def _outcome(error: psycopg.Error) -> TrialOutcome:
    return TrialOutcome(error.sqlstate or "?", safe_message(error))


def newly_refused(before: Sequence[TrialOutcome], after: Sequence[TrialOutcome]) -> TrialOutcome | None:
    """The first trial that went through, or further, before and is refused now; None where there is none."""
    for was, now in zip(before, after, strict=True):
        if was.told and now.told and now.sqlstate and now.sqlstate != was.sqlstate and now.sqlstate not in _KEY_EXISTS:
            return now
    return None
