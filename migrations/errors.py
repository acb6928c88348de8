"""What goes wrong while a schema is read, changed or judged.

```
MigrationError                  transient: whether the same call may work a moment later
├── DatabaseUnreachable         transient: no connection to the database could be had, or it was cut
│   └── SessionLimited          the server ended a session of ours by a limit of time that a revision sets
├── DatabaseRefused             the database answered a statement of ours with an error
├── HistoryUnreadable           a folder of revisions that Alembic cannot read
├── UnknownRevision             the history has no revision of that name
├── SeveralHeads                the history ends in more than one revision, and none was named
├── ContractBelowExpand         a plan would have to contract before it expands
├── OutOfStep                   what stands in the database is not a point of the history
├── WorksElsewhere              the env.py of a project connects to another database than the one that was named
├── NotKept                     what was applied does not stand afterwards
├── MigrationRunning            transient: this process migrates another database already
├── AdvisoryLockHeld            transient: another session migrates this database
├── LockBudgetExceeded          transient: other sessions held a table for longer than the budget
├── RevisionFailed              a revision raised; its transaction was rolled back
├── NoQuietMoment               transient: commits came too fast to seal a restore point between them
├── CatalogUnreadable           a kept catalogue is not one that this version wrote
└── EvidenceUnreadable          kept evidence is not what this version wrote
```
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from migrations.disclosure.normalized_statements import normalized
from migrations.disclosure.sentences import clause, sentence
from migrations.disclosure.server_messages import safe_message

# What ends a session, by its SQLSTATE.
_LIMITS = {
    "25P03": "idle_in_transaction_session_timeout",
    "25P04": "transaction_timeout",
    "57P05": "idle_session_timeout",
}
MALFORMED = (
    "write it as postgresql://<user>:<password>@host/database, with / @ : # ? % and blanks of the password "
    "percent-encoded"
)
_HOSTS = re.compile(r"/[^@]*|@?[\w.,:~%/-]*")
_PORTS = re.compile(r"[\d,]*")
_AMBIGUOUS = re.compile(r"[@/#?]|://")


class MigrationError(Exception):
    """The root of everything that migrations/ raises."""

    transient: bool = False


def parts_of(dsn: str) -> dict[str, str] | None:
    """The parameters of a connection string; None where it cannot be read, or may be meant otherwise.

    A delimiter in a password that is not percent-encoded makes a part of it the host, the port or the database.
    """
    try:
        given = {name: str(value) for name, value in conninfo_to_dict(dsn).items() if value is not None}
    except psycopg.ProgrammingError:
        # libpq's message would quote the string, and the password with it.
        return None
    hosts, ports = given.get("host", ""), given.get("port", "")
    is_clear = _HOSTS.fullmatch(hosts) and _PORTS.fullmatch(ports) and not _AMBIGUOUS.search(given.get("dbname", ""))
    # In keywords and values a password stands for itself, whatever it looks like.
    in_address = re.match(r"[\w+]+://(.*)", dsn.strip(), re.DOTALL)
    return given if is_clear and not (in_address and re.search(r"[\s#]", in_address[1])) else None


def describe_database(dsn: str) -> str:
    """Name the database of a connection string without its password."""
    given = parts_of(dsn)
    if given is None:
        return "the database (its connection string cannot be read)"
    return f"{given.get('dbname', '')} on {given.get('host', 'localhost')}:{given.get('port', 5432)}"


class DatabaseUnreachable(MigrationError):
    """No connection to the database could be had, or it was cut."""

    transient = True

    def __init__(self, where: str, reason: str) -> None:
        self.where = where
        self.reason = reason
        super().__init__(f"{where} does not answer: {reason.strip()}")

    @classmethod
    def of(cls, dsn: str, error: BaseException) -> DatabaseUnreachable:
        """Translate a driver's error; the connection string's secrets stay out."""
        if (limit := _LIMITS.get(getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or "")) is not None:
            return SessionLimited(describe_database(dsn), limit)
        return cls(describe_database(dsn), safe_message(error))


class SessionLimited(DatabaseUnreachable):
    """The server ended a session of ours by a limit of time; what others set is set to none, so a revision did.

    Attributes:
        setting: the limit's name.
    """

    transient = False

    def __init__(self, where: str, setting: str) -> None:
        self.setting = setting
        super().__init__(where, f"it ended the session by {setting}, which the revision sets; let it set a longer one")


class DatabaseRefused(MigrationError):
    """The database answered a statement of ours with an error."""

    def __init__(self, where: str, doing: str, sqlstate: str | None, message: str) -> None:
        self.where = where
        self.sqlstate = sqlstate
        super().__init__(f"{doing} on {where} failed (SQLSTATE {sqlstate or 'none'}): {message.strip()}")

    @classmethod
    def of(cls, dsn: str, doing: str, error: psycopg.Error) -> MigrationError:
        """Translate a driver's error into the one of this tree that fits."""
        if is_cut(error):
            return DatabaseUnreachable.of(dsn, error)
        return cls(describe_database(dsn), doing, error.sqlstate, safe_message(error))


def is_cut(error: BaseException) -> bool:
    """Whether the connection is gone, and not only a statement refused.

    Source: SQLSTATE class 08 (connection exception), 57P01 to 57P03 and 57P05 (the server is being shut down, has
    crashed, is not up yet, or ended an idle session), 25P03 (it ended one idle in a transaction) and 25P04 (or a
    transaction that took too long); libpq reports a cut socket without any SQLSTATE.
    """
    if not isinstance(error, psycopg.Error):
        return False
    state = error.sqlstate
    if state is None:
        return isinstance(error, psycopg.OperationalError)
    return state.startswith("08") or state in {"57P01", "57P02", "57P03"} or state in _LIMITS


class HistoryUnreadable(MigrationError):
    """A folder of revisions that Alembic cannot read."""

    def __init__(self, folders: Sequence[Path], reason: str) -> None:
        self.folders = tuple(folders)
        super().__init__(f"the revisions in {', '.join(str(f) for f in folders)} cannot be read: {reason}")


class UnknownRevision(MigrationError):
    """The history has no revision of that name."""

    def __init__(self, revision: str, near: Sequence[str]) -> None:
        self.revision = revision
        self.near = tuple(near)
        known = f"it has, nearest first: {', '.join(near)}" if near else "it has no revisions at all"
        super().__init__(f"revision {revision} is not in the history; {known}")


class SeveralHeads(MigrationError):
    """The history ends in more than one revision, and none was named."""

    def __init__(self, heads: Sequence[str]) -> None:
        self.heads = tuple(heads)
        super().__init__(
            f"the history has {len(heads)} heads ({', '.join(heads)}): name one, name `heads`, or merge them first"
        )


class ContractBelowExpand(MigrationError):
    """A plan would have to contract before it expands.

    Attributes:
        contract: the contract revision.
        expand: the expand revision that comes after it.
    """

    def __init__(self, contract: str, expand: str) -> None:
        self.contract = contract
        self.expand = expand
        super().__init__(
            f"contract revision {contract} stands below expand revision {expand}: contract comes after the"
            f" application, and expand before it. Release up to {contract} first, then up to {expand}; or move"
            f" {contract} above it"
        )


class OutOfStep(MigrationError):
    """What stands in the database is not a point of the history."""

    def __init__(self, where: str, revisions: Sequence[str], why: str) -> None:
        self.revisions = tuple(revisions)
        super().__init__(f"{where} stands at {', '.join(revisions) or 'base'}: {why}")


class WorksElsewhere(MigrationError):
    """The env.py of a project connects to another database than the one that was named."""

    def __init__(self, where: str) -> None:
        super().__init__(
            f"the project's env.py works on another database than {where}; nothing was applied. Make it read"
            " sqlalchemy.url of its configuration, or name the environment variable that it reads (--url-variable)"
        )


class NotKept(MigrationError):
    """What was applied does not stand afterwards."""

    def __init__(self, where: str, missing: Sequence[str]) -> None:
        self.missing = tuple(missing)
        super().__init__(
            f"{where} lacks {', '.join(missing)} still, though they ran: the project's env.py does not commit."
            " Commit what it sends before context.begin_transaction(), or take engine.begin() for all of it"
        )


class MigrationRunning(MigrationError):
    """This process migrates another database already."""

    transient = True

    def __init__(self) -> None:
        super().__init__(
            "a migration runs in this process already, and Alembic keeps its context process-wide: "
            "wait for it, or start another process"
        )


@dataclass(frozen=True)
class Session:
    """A session of the database that stands in the way.

    Attributes:
        pid: process id of its backend.
        user: role.
        application: its application_name.
        age_s: seconds since its transaction began, or since it connected where it is in none.
        query: the normalized text of what it runs, or ran last: never its values.
        since: when that transaction or connection began.
        state: as pg_stat_activity has it; empty where the role may not see it.
    """

    pid: int
    user: str
    application: str
    age_s: float
    query: str
    since: datetime | None
    state: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "query", normalized(self.query))

    def __str__(self) -> str:
        program = f" ({self.application})" if self.application else ""
        state = f"{self.state} " if self.state else ""
        return (
            f"pid {self.pid} of {self.user}{program}, {state}for {self.age_s:.0f} s: "
            f"{' '.join(self.query.split())[:200]}"
        )


class AdvisoryLockHeld(MigrationError):
    """Another session migrates this database."""

    transient = True

    def __init__(self, where: str, holders: Sequence[Session]) -> None:
        self.holders = tuple(holders)
        who = "; ".join(str(one) for one in holders) or "a session that has ended meanwhile"
        super().__init__(f"{where} is being migrated by {who}. Wait until that has ended; nothing was changed")


class LockBudgetExceeded(MigrationError):
    """Other sessions held a table for longer than the budget.

    Attributes:
        revision: the revision.
        budget_s: seconds that were tried.
        attempts: how often.
        blockers: who held it.
        committed: statements of the revision that stand, so that it is half applied and trying again does not help.
    """

    transient = True

    def __init__(
        self, revision: str, budget_s: float, attempts: int, blockers: Sequence[Session], committed: Sequence[str] = ()
    ) -> None:
        self.revision = revision
        self.budget_s = budget_s
        self.attempts = attempts
        self.blockers = tuple(blockers)
        self.committed = tuple(committed)
        self.transient = not committed
        who = "; ".join(str(one) for one in blockers) or "sessions that had ended when they were looked for"
        super().__init__(
            f"revision {revision} got no lock in {budget_s:g} s and {attempts} tries, and was not applied. "
            f"In its way: {who}. "
            + (
                f"What it did before, outside a transaction, stands: {'; '.join(self.committed[:10])}. Take that back"
                f" or do the rest by hand, and say which: pilotage resolve --rolled-back {revision}, or --applied"
                if committed
                else "End those sessions (pg_terminate_backend), or try when they have ended"
            )
        )


class RevisionFailed(MigrationError):
    """A revision raised; its transaction was rolled back.

    Attributes:
        revision: the revision.
        sqlstate: SQLSTATE of the server's error; None where the revision failed otherwise.
        statement: the statement that failed; None where none was sent.
        left_behind: what a step outside the transaction may have left, such as invalid indexes.
        has_no_downgrade: whether it raised NotImplementedError, by which a revision declares that it has no downgrade.
    """

    def __init__(
        self,
        revision: str,
        *,
        sqlstate: str | None,
        statement: str | None,
        message: str,
        left_behind: Sequence[str] = (),
        has_no_downgrade: bool = False,
    ) -> None:
        self.revision = revision
        self.sqlstate = sqlstate
        self.statement = normalized(statement) if statement else statement
        self.message = message
        self.left_behind = tuple(left_behind)
        self.has_no_downgrade = has_no_downgrade
        state = f" (SQLSTATE {sqlstate})" if sqlstate else ""
        text = f" in: {normalized(statement)}" if statement else ""
        said = f"{clause(message)}{text}" if text else message
        after = (
            f"It works outside a transaction and left: {', '.join(left_behind)}"
            if left_behind
            else "Its transaction was rolled back; it left nothing"
        )
        super().__init__(f"revision {revision} failed{state}: {sentence(said)} {after}")


class NoQuietMoment(MigrationError):
    """Commits came too fast to seal a restore point between them."""

    transient = True

    def __init__(self, where: str, attempts: int, budget_s: float, running: Sequence[int]) -> None:
        self.running = tuple(running)
        super().__init__(
            f"{where} had no moment between two commits in {budget_s:g} s and {attempts} looks "
            f"({len(running)} transactions ran at the last): seal from nearer to it, or when it has less to do"
        )


class CatalogUnreadable(MigrationError):
    """A kept catalogue is not one that this version wrote."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the kept catalogue cannot be read: {clause(reason)}; keep a new one")


class EvidenceUnreadable(MigrationError):
    """Kept evidence is not what this version wrote."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the evidence cannot be read ({why}): rehearse the plan again")
