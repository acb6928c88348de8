"""A live database compared with its current revisions: what was changed by hand."""

import psycopg

from migrations.authoring.consistency.finding import CheckResult, Finding
from migrations.catalog.contents import Catalog, read_catalog
from migrations.catalog.default_privileges import DefaultPrivilege, read_default_privileges, set_default_privileges
from migrations.database.session import connect, reader
from migrations.drift.comparison import CHECKSUMS, DriftFinding, find_drift
from migrations.errors import DatabaseRefused, describe_database
from migrations.history.revisions import History, HistoryState, history_state
from migrations.recording.throwaway import build_catalog, throwaway_database

CHECK = "database"

_OTHER_ROLES = (
    psycopg.errors.UndefinedObject,
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.InvalidSchemaName,
)


def check_live(live: str, server: str, history: History) -> tuple[CheckResult, HistoryState]:
    """Whether a database is what its current revisions build, and their files are those that were applied.

    Args:
        live: direct connection string of the owner; the database is read only.
        server: of the server to build the expected catalogue on; the same one, or one with the same roles, where grants
            are to be compared.
        history: the revisions.

    Returns:
        What was found, and the state of the database relative to the history.

    Raises:
        MigrationError: the database could not be read, or the expected catalogue not be built.

    Locks: AccessShareLock on the system catalogues of the live database.
    """
    with reader(live) as connection:
        state, found = history_state(connection, history), read_catalog(connection)
        default_privileges = read_default_privileges(connection)
    expected, comparable = None, _owner(live) == _owner(server)
    if not state.unknown:
        expected = _expected_catalog(server, history, state, default_privileges) if comparable else None
        comparable = expected is not None
        expected = expected or _expected_catalog(server, history, state, ())
    if not comparable:
        expected, found = expected and expected.without("grant"), found.without("grant")
    drift = find_drift(found, expected, state)
    findings = tuple(_finding(one) for one in drift if one.kind != "pending" and one.subject != CHECKSUMS)
    pending = "what is pending cannot be told" if state.pending is None else f"{len(state.pending)} pending"
    notes = [f"{describe_database(live)} at {', '.join(state.current) or 'base'}, {pending}"]
    if expected is not None and not comparable:
        notes.append("grants were not compared: the server of the throwaway database has other roles")
    if state.edited is None:
        notes.append("edited and deleted files cannot be told: no record of what was applied is kept there")
    return CheckResult(CHECK, findings, "; ".join(notes)), state


def _expected_catalog(
    server: str, history: History, state: HistoryState, default_privileges: tuple[DefaultPrivilege, ...]
) -> Catalog | None:
    """What the revisions build under these default privileges; None where those cannot be set."""
    with throwaway_database(server) as empty:
        try:
            with connect(empty) as connection:
                set_default_privileges(connection, default_privileges)
        except _OTHER_ROLES:
            return None
        except psycopg.Error as error:
            raise DatabaseRefused.of(empty, "setting default privileges", error) from error
        return build_catalog(empty, history, state.current)


def _owner(dsn: str) -> str:
    with reader(dsn) as connection:
        row = connection.execute("SELECT current_user").fetchone()
    return str(row[0]) if row else ""


def _finding(found: DriftFinding) -> Finding:
    return Finding(found.subject, found.detail, found.advice)
