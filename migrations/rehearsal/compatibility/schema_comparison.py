"""Whether a changed schema still serves the application that runs: what breaks, what slows, what cannot be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import psycopg
from psycopg import sql

from migrations.rehearsal.compatibility._new_requirements import doubts, filters, refusals
from migrations.rehearsal.compatibility._prepared_statements import (
    GENERIC_PLAN_SINCE,
    PreparedStatement,
    prepare_statements,
)
from migrations.rehearsal.compatibility._requirements import Requirements, read_requirements
from migrations.rehearsal.compatibility._statement_usage import Usage, usage
from migrations.rehearsal.compatibility._trials import (
    Sample,
    TrialOutcome,
    Values,
    newest_rows,
    newly_refused,
    run_trials,
    values_for,
)
from migrations.rehearsal.compatibility.observed_statements import (
    Application,
    ProductionStatement,
    is_planned,
    run_by_functions,
)

# A plan is named from this cost on, where it costs so many times what it did.
MUCH_WORSE, WORSE_WITHOUT_INDEX = 10.0, 1.5
LEAST_COST_COMPARED = 50.0

# Values that any type of the family reads as the one before did.
_TEXT = frozenset({"text", "character varying", "character", "name", "citext"})
_WIDER = ("smallint", "integer", "bigint", "numeric"), ("real", "double precision")

Trouble = Literal[
    "refused", "required column", "default", "parameter type", "result columns", "values", "privilege", "uniqueness"
]


@dataclass(frozen=True)
class Broken:
    """A statement that the new schema does not take as the old one did.

    Attributes:
        statement: the application's statement.
        trouble: what is wrong.
        reason: in words, with names.
    """

    statement: ProductionStatement
    trouble: Trouble
    reason: str


@dataclass(frozen=True)
class Compatibility:
    """What a changed schema means for the running application.

    Attributes:
        looked_at: how many statements were looked at.
        broken: those that it would break.
        unknown: those of which nothing can be told, with the reason.
        worse: those whose plan became much worse, with the reason.
        plans_compared: False where the server cannot plan without values (before PostgreSQL 16).
        unseen: why the application may send more than what was looked at.
        tried: how many statements were tried with values that production holds.
        unsure: those that work with the values that were tried, while the schema requires something new of all others.
    """

    looked_at: int
    broken: tuple[Broken, ...]
    unknown: tuple[tuple[ProductionStatement, str], ...]
    worse: tuple[tuple[ProductionStatement, str], ...] = ()
    plans_compared: bool = True
    unseen: tuple[str, ...] = ()
    tried: int = 0
    unsure: tuple[tuple[ProductionStatement, str], ...] = ()

    @property
    def proven(self) -> bool:
        """Whether the application was seen to work on the new schema: nothing breaks, and nothing went untried."""
        return not (self.broken or self.unknown or self.unseen)


@dataclass(frozen=True)
class ApplicationBaseline:
    """How the running application works on the schema before it changes.

    Attributes:
        application: what it sends.
        usages: what each statement uses; those that cannot be parsed are missing.
        prepared_statements: each statement that can be prepared, as the server prepared it.
        requirements: what the schema requires of it.
        sample: rows of production.
        trials: values of production to try statements with.
        outcomes: how the trials went.
        plans_compared: whether the server can plan without values.
    """

    application: Application
    usages: Mapping[ProductionStatement, Usage]
    prepared_statements: Mapping[ProductionStatement, PreparedStatement]
    requirements: Requirements
    sample: Sample
    trials: Mapping[ProductionStatement, tuple[Values, ...]]
    outcomes: Mapping[ProductionStatement, tuple[TrialOutcome, ...]]
    plans_compared: bool


def take_baseline(connection: psycopg.Connection, application: Application) -> ApplicationBaseline:
    """Record how the application works on the schema as it is.

    Args:
        connection: a session in autocommit on a copy of production that nobody else uses.
        application: what it sends.

    Locks: those of the application's own statements, each for a moment.
    """
    _use_search_path_of(connection, application.role)
    usages = {one: found for one in application.statements if (found := usage(one.prepared)) is not None}
    prepared_statements = prepare_statements(
        connection, (one for one in application.statements if is_planned(one.query))
    )
    inside = run_by_functions(connection, [one for one, was in prepared_statements.items() if was.refusal])
    sent = tuple(one for one in application.statements if one not in inside)
    usable = {one: usages[one] for one, was in prepared_statements.items() if one in usages and not was.refusal}
    sample = newest_rows(connection, usable.values())
    trials = {one: values_for(used, sample) for one, used in usable.items()}
    return ApplicationBaseline(
        replace(application, statements=sent),
        usages,
        prepared_statements,
        read_requirements(connection, application.role),
        sample,
        trials,
        run_trials(connection, trials, usages),
        connection.info.server_version >= GENERIC_PLAN_SINCE,
    )


def compare(connection: psycopg.Connection, before: ApplicationBaseline) -> Compatibility:
    """Find what the schema as it is now does not do as the one before did.

    Args:
        connection: a session in autocommit on the same copy.
        before: how it worked on the schema before.

    Locks: those of the application's own statements, each for a moment.
    """
    _use_search_path_of(connection, before.application.role)
    now = prepare_statements(connection, before.prepared_statements)
    outcomes = run_trials(connection, {one: before.trials[one] for one in before.outcomes}, before.usages)
    requirements = read_requirements(connection, before.application.role)
    unseen = before.application.unseen
    if not before.requirements.role_known:
        unseen += (f"{before.application.role} is no role of this copy: what it may do was not compared",)
    comparison = _Comparison(before, now, outcomes, requirements)
    broken: list[Broken] = []
    unknown: list[tuple[ProductionStatement, str]] = []
    worse: list[tuple[ProductionStatement, str]] = []
    unsure: list[tuple[ProductionStatement, str]] = []
    for statement in before.application.statements:
        if found := comparison.trouble(statement):
            broken.append(found)
            continue
        if reason := comparison.unknown(statement):
            unknown.append((statement, reason))
        elif reason := comparison.unsure(statement):
            unsure.append((statement, reason))
        if statement in now and (reason := _worse(before.prepared_statements[statement], now[statement])):
            worse.append((statement, reason))
    return Compatibility(
        len(before.application.statements),
        tuple(broken),
        tuple(unknown),
        tuple(worse),
        before.plans_compared,
        unseen,
        len(outcomes),
        tuple(unsure),
    )


def _use_search_path_of(connection: psycopg.Connection, role: str) -> None:
    """Take the search_path of the application's role, so that names mean the same tables."""
    # The driver would drop every prepared statement, ours too, when a transaction is rolled back.
    connection.prepare_threshold = None
    row = connection.execute(
        "SELECT split_part(s, '=', 2) FROM pg_db_role_setting d JOIN pg_roles r ON r.oid = d.setrole,"
        " unnest(d.setconfig) s WHERE r.rolname = %s AND s LIKE 'search\\_path=%%'"
        " AND d.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))"
        " ORDER BY d.setdatabase DESC LIMIT 1",
        (role,),
    ).fetchone()
    if row is not None:
        # The catalogue's own text, quoted as SET takes it.
        connection.execute(sql.SQL("SET search_path = {}").format(sql.SQL(row[0])))


@dataclass(frozen=True)
class _Comparison:
    before: ApplicationBaseline
    now: Mapping[ProductionStatement, PreparedStatement]
    outcomes: Mapping[ProductionStatement, tuple[TrialOutcome, ...]]
    requirements: Requirements

    def trouble(self, statement: ProductionStatement) -> Broken | None:
        """What breaks; None where nothing is known to."""
        was, now = self.before.prepared_statements.get(statement), self.now.get(statement)
        if was is not None and now is not None and not was.refusal:
            trouble = _prepares_otherwise(statement, was, now)
            if trouble is not None:
                return trouble
        used = self.before.usages.get(statement)
        for kind, reason in (
            refusals(used, self.before.requirements, self.requirements, self.before.sample) if used else ()
        ):
            # A trigger may fill in what the statement leaves out.
            if kind != "required column" or not self._passed(statement):
                return Broken(statement, kind, reason)
        if refused := newly_refused(*self._trials(statement)):
            return Broken(statement, "values", f"with values that production holds: {refused.message}")
        return None

    def unknown(self, statement: ProductionStatement) -> str:
        """Why nothing can be told of it; empty where something can."""
        was = self.before.prepared_statements.get(statement)
        used = self.before.usages.get(statement)
        if was is None:
            return "it cannot be prepared, so that nothing was tried"
        if was.refusal:
            return f"it could not be tried as it was kept ({was.refusal})"
        if used is None:
            return "the server alone can read it: what it writes was not looked at"
        found = filters(used, self.before.requirements, self.requirements)
        if not self._passed(statement):
            found += doubts(used, self.before.requirements, self.requirements)
        return "; ".join(found)

    def unsure(self, statement: ProductionStatement) -> str:
        """What the schema requires of it beyond what was tried; empty where that is nothing."""
        used = self.before.usages.get(statement)
        found = doubts(used, self.before.requirements, self.requirements) if used is not None else ()
        passed = f"the values of {self._passed(statement)} rows of production pass, of others it cannot be told"
        return f"{'; '.join(found)}: {passed}" if found else ""

    def _trials(self, statement: ProductionStatement) -> tuple[tuple[TrialOutcome, ...], tuple[TrialOutcome, ...]]:
        if statement not in self.outcomes:
            return (), ()
        return self.before.outcomes[statement], self.outcomes[statement]

    def _passed(self, statement: ProductionStatement) -> int:
        return sum(not one.sqlstate for one in self.outcomes.get(statement, ()))


def _prepares_otherwise(
    statement: ProductionStatement, was: PreparedStatement, now: PreparedStatement
) -> Broken | None:
    if now.refusal:
        return Broken(statement, "refused", now.refusal)
    if changed := _changed_parameter(was, now):
        return Broken(statement, "parameter type", changed)
    if changed := _changed_results(was, now):
        return Broken(statement, "result columns", changed)
    return None


def _changed_parameter(was: PreparedStatement, now: PreparedStatement) -> str:
    for number, (old, new) in enumerate(zip(was.parameters, now.parameters, strict=True)):
        same_family = was.categories[number] == now.categories[number]
        if old != new and not (same_family and _takes_the_same(old, new, was.categories[number])):
            return f"parameter ${number + 1} was {old} and is {new} now"
    return ""


def _takes_the_same(old: str, new: str, category: str) -> bool:
    """Whether a type reads what was sent for another of its category."""
    if category == "E":
        return True
    return {old, new} <= _TEXT or any(
        old in wider and new in wider and wider.index(old) < wider.index(new) for wider in _WIDER
    )


def _changed_results(was: PreparedStatement, now: PreparedStatement) -> str:
    if was.results is None or now.results is None or was.results == now.results:
        return ""
    reason = f"it gave ({', '.join(was.results)}) and gives ({', '.join(now.results)}) now"
    if len(was.results) != len(now.results):
        return f"{reason}: a client that has prepared it fails; name the columns instead of *"
    changed = [(old, new) for old, new in zip(was.results, now.results, strict=True) if old != new]
    return "" if all({old, new} <= _TEXT for old, new in changed) else reason


def _worse(was: PreparedStatement, now: PreparedStatement) -> str:
    """Why a plan is much worse now; empty where it is not."""
    if was.cost is None or now.cost is None or now.cost < LEAST_COST_COMPARED:
        return ""
    unused = sorted(was.indexes - now.indexes)
    if now.cost < was.cost * (WORSE_WITHOUT_INDEX if unused else MUCH_WORSE):
        return ""
    lost = f"; it no longer uses {', '.join(unused)}" if unused else ""
    return f"its plan costs {now.cost:.0f} and cost {was.cost:.0f}{lost}"
