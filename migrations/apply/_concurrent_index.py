"""Indexes that are built CONCURRENTLY: what a build that was cut off has left is taken away, and nothing else.

Source: CREATE INDEX CONCURRENTLY works in several transactions. Where it fails, the index stays and is invalid: it
serves nobody, and IF NOT EXISTS takes it for the index. REINDEX CONCURRENTLY leaves one that ends in _ccnew or _ccold.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass

import psycopg
from psycopg import sql

from migrations.apply.blocking_monitor import BlockingMonitor
from migrations.apply.errors import IndexInTheWay
from migrations.apply.resume_notes import InterruptedStatement
from migrations.database.locks import MIGRATING
from migrations.database.session import connect
from migrations.database.session_settings import REVISIONS
from migrations.sql.concurrent_statements import ConcurrentStatement, built_on_a_copy, without_names

log = logging.getLogger(__name__)

CLEAN_MS = 30_000
CHECK_CLIENT_MS = 1000
_LEFT_BY_REINDEX = re.compile(r"_cc(?:new|old)\d*$")

_INDEXES = b"""
SELECT i.indexrelid::bigint, n.nspname, c.relname, i.indisvalid AND i.indisready AND i.indislive,
       pg_get_indexdef(i.indexrelid), i.indrelid::bigint,
       (SELECT p.pid FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid LIMIT 1)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'i' AND n.nspname !~ '^pg_'
"""
_ON_TABLE = _INDEXES + b" AND i.indrelid = to_regclass(%s)"
_NAMED_ON_TABLE = _ON_TABLE + b" AND c.relname = %s"
_ON_COPY = b"""
SELECT pg_get_indexdef(i.indexrelid), c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = to_regclass(%s)
"""
_NAMED = _INDEXES + b" AND i.indexrelid = to_regclass(%s)"
_OF_SAME_TABLE = _INDEXES + (
    b" AND NOT i.indisvalid AND i.indrelid = (SELECT indrelid FROM pg_index WHERE indexrelid = to_regclass(%s))"
)
_INVALID = _INDEXES + b" AND NOT i.indisvalid"
_INVALID_OIDS = b"SELECT indexrelid::bigint FROM pg_index WHERE NOT indisvalid"
_NAMESAKE = b"""
SELECT EXISTS (SELECT FROM pg_class c WHERE c.relname = %s
               AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass(%s)))
"""


@dataclass(frozen=True)
class FoundIndex:
    """An index that stands.

    Attributes:
        oid: its oid.
        schema: its schema.
        name: its name.
        is_valid: whether it serves queries.
        definition: as pg_get_indexdef() writes it.
        table: oid of its table.
        builder: backend that builds it now; None where nobody does.
    """

    oid: int
    schema: str
    name: str
    is_valid: bool
    definition: str
    table: int
    builder: int | None

    def is_like(self, promised: Promise | None) -> bool:
        """Whether it is what a statement builds, whatever its name."""
        return promised is not None and without_names(self.definition) == promised.definition


@dataclass(frozen=True)
class Promise:
    """What a statement builds.

    Attributes:
        definition: as pg_get_indexdef() writes it, but for names.
        name: what PostgreSQL calls it where nothing of that name stands.
    """

    definition: str
    name: str


class ConcurrentIndexes:
    """Takes care of the indexes that statements build CONCURRENTLY.

    Args:
        dsn: direct connection string of the owner.
        session: in autocommit, not the one that builds.
        monitor: sees which sessions block a DROP.
        tell: told of what is taken away, or stands already.
    """

    def __init__(
        self, dsn: str, session: psycopg.Connection, monitor: BlockingMonitor, tell: Callable[[str], None]
    ) -> None:
        self._dsn = dsn
        self._session = session
        self._monitor = monitor
        self._tell = tell
        self._invalid_before: frozenset[int] = frozenset()
        self.standing: tuple[int, ...] = ()

    def prepare(
        self,
        statement: ConcurrentStatement,
        sql_text: str,
        revision: str,
        interrupted: InterruptedStatement | None = None,
    ) -> bool:
        """Take away what an earlier try of the statement has left.

        Args:
            statement: what it is, and on what it works.
            sql_text: its text.
            revision: whose it is.
            interrupted: the note of an earlier try that was cut off in this very statement; None without one.

        Returns:
            Whether it has had its effect already, and is not to be sent.

        Raises:
            IndexInTheWay: an index stands in its place that is not of its making, or is not what it builds.

        Locks: AccessShareLock on the table; ShareUpdateExclusiveLock on it while an invalid index is dropped.
        """
        had_effect = False
        if statement.kind == "create":
            had_effect = self._prepare_create(statement, sql_text, revision, interrupted)
        elif statement.kind == "reindex":
            for one in self._leftovers(statement):
                if self._is_twin(one):
                    self._drop(one)
        elif interrupted is not None and not self._named(statement.named):
            had_effect = True
            self._tell(f"index {statement.index} is gone already")
        self._invalid_before = frozenset(int(row[0]) for row in self._session.execute(_INVALID_OIDS))
        return had_effect

    def is_invalid(self, statement: ConcurrentStatement) -> bool:
        """Whether the index that a statement names stands and serves nobody."""
        return any(not one.is_valid for one in self._named(statement.named))

    def clean(self, statement: ConcurrentStatement) -> list[str]:
        """Take away what the statement has left that was prepared last, and that failed.

        Returns:
            What could not be taken away.

        Locks: ShareUpdateExclusiveLock on the table, for 30 s at most.
        """
        left: list[str] = []
        try:
            for one in self._left_by(statement):
                try:
                    self._drop(one, limit_ms=CLEAN_MS)
                except psycopg.Error as error:
                    log.warning("invalid index %s.%s could not be dropped: %s", one.schema, one.name, error)
                    left.append(f"invalid index {one.schema}.{one.name}, which the next try drops")
        except psycopg.Error as error:
            left.append(f"perhaps an invalid index ({error}), which the next try drops")
        return left

    def _prepare_create(
        self, statement: ConcurrentStatement, sql_text: str, revision: str, interrupted: InterruptedStatement | None
    ) -> bool:
        name = statement.index
        standing = (
            self._read(_NAMED_ON_TABLE, statement.table, name) if name else self._read(_ON_TABLE, statement.table)
        )
        self.standing = tuple(one.oid for one in standing)
        if not name:
            before = interrupted.indexes if interrupted is not None else frozenset(self.standing)
            standing = tuple(one for one in standing if one.oid not in before)
        elif not standing and self._is_taken(statement):
            raise IndexInTheWay(revision, name, "another relation has its name")
        promised = self._promised(sql_text, statement.table) if standing else None
        for one in standing:
            is_like = one.is_like(promised)
            if one.is_valid and is_like:
                self._tell(f"index {one.name} stands already, as it is promised")
                return True
            # Somebody may have built another one meanwhile.
            if name or is_like:
                self._replace(one, statement, revision, promised, is_ours=is_like)
        return False

    def _replace(
        self, one: FoundIndex, statement: ConcurrentStatement, revision: str, promised: Promise | None, *, is_ours: bool
    ) -> None:
        if one.is_valid:
            if statement.excuses:
                log.warning("%s: index %s stands and is not what the revision builds", revision, one.name)
                return
            why = "it cannot be told whether it is" if promised is None else "it is not"
            raise IndexInTheWay(revision, one.name, f"it stands, and {why} what the revision builds: {one.definition}")
        if one.builder is not None:
            raise IndexInTheWay(revision, one.name, f"pid {one.builder} is building it: wait until that has ended")
        if not is_ours:
            raise IndexInTheWay(revision, one.name, f"it is invalid and not of the revision's making: {one.definition}")
        self._drop(one)

    def _left_by(self, statement: ConcurrentStatement) -> tuple[FoundIndex, ...]:
        if statement.kind == "drop":
            return ()
        found = self._leftovers(statement) if statement.kind == "reindex" else self._read(_ON_TABLE, statement.table)
        return tuple(
            one
            for one in found
            if not one.is_valid
            and one.oid not in self._invalid_before
            and one.builder is None
            and statement.index in {"", one.name if statement.kind == "create" else statement.index}
        )

    def _leftovers(self, statement: ConcurrentStatement) -> tuple[FoundIndex, ...]:
        """What a REINDEX may have left: of its index, of its table, or anywhere."""
        if statement.index:
            found = self._read(_OF_SAME_TABLE, statement.named)
            # Source: PostgreSQL cuts the name so that its ending fits into 63 bytes.
            found = tuple(one for one in found if statement.index.startswith(_LEFT_BY_REINDEX.sub("", one.name)))
        elif statement.table:
            found = self._read(_ON_TABLE, statement.table)
        else:
            found = self._read(_INVALID)
        return tuple(one for one in found if not one.is_valid and _LEFT_BY_REINDEX.search(one.name))

    def _is_twin(self, left: FoundIndex) -> bool:
        """Whether a valid index of the same table is what an invalid one was to replace."""
        base = _LEFT_BY_REINDEX.sub("", left.name)
        promised = Promise(without_names(left.definition), base)
        return any(
            one.is_valid and one.table == left.table and one.name.startswith(base) and one.is_like(promised)
            for one in self._read(_INDEXES)
        )

    def _is_taken(self, statement: ConcurrentStatement) -> bool:
        if statement.excuses:
            return False
        row = self._session.execute(_NAMESAKE, (statement.index, statement.table), prepare=True).fetchone()
        return bool(row and row[0])

    def _named(self, name: str) -> tuple[FoundIndex, ...]:
        return self._read(_NAMED, name)

    def _read(self, query: bytes, *given: str) -> tuple[FoundIndex, ...]:
        return tuple(FoundIndex(*row) for row in self._session.execute(query, given or None, prepare=True).fetchall())

    def _promised(self, sql_text: str, table: str) -> Promise | None:
        """What the statement builds, seen on an empty copy of its table; None where the role may not make one."""
        build, copy = built_on_a_copy(sql_text)
        like = f"CREATE TEMPORARY TABLE {copy.partition('.')[2]} (LIKE {table}) ON COMMIT DROP"
        try:
            with connect(self._dsn, application_name=MIGRATING, kind=REVISIONS, lock_timeout=CLEAN_MS) as trying:
                trying.execute(like.encode())
                trying.execute(build.encode())
                row = trying.execute(_ON_COPY, (copy,)).fetchone()
                trying.rollback()
        except psycopg.Error as error:
            log.warning("what an index is to be cannot be told: %s", error)
            return None
        return Promise(without_names(str(row[0])), str(row[1])) if row else None

    def _drop(self, one: FoundIndex, *, limit_ms: int = 0) -> None:
        log.info("dropping the invalid index %s.%s, which a build that failed has left", one.schema, one.name)
        self._tell(f"drops the invalid index {one.name}, which a build that failed has left")
        statement = sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier(one.schema, one.name))
        with connect(
            self._dsn,
            autocommit=True,
            application_name=MIGRATING,
            statement_timeout=limit_ms,
            client_connection_check_interval=CHECK_CLIENT_MS,
        ) as dropping:
            self._monitor.statement_begins(dropping.info.backend_pid, builds=True)
            try:
                dropping.execute(statement)
            finally:
                self._monitor.transaction_ended()
