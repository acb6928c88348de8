"""A database emptied, and rebuilt from the revisions."""

from dataclasses import dataclass, field
from datetime import datetime

import psycopg
from psycopg.conninfo import make_conninfo

from migrations.apply.migrate import Applied, upgrade
from migrations.apply.owner_rights import refuse_without_rights
from migrations.authoring._left_behind import LeftBehind, left_behind
from migrations.database.locks import migration_lock
from migrations.database.session import connect, reader
from migrations.errors import DatabaseRefused
from migrations.history import applied_revisions
from migrations.history.revisions import History

RELEASE = "development"
LOCK_TIMEOUT_MS = 5_000
WAIT_S = 5.0

_IDENTITY = """
SELECT current_database(), pg_postmaster_start_time(), (SELECT system_identifier FROM pg_control_system()),
       EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname = 'pilotage' AND c.relname = 'applied_revisions')
"""
_RELEASES = """
SELECT DISTINCT release_id FROM pilotage.applied_revisions WHERE release_id ~ '^[0-9]{8}-[0-9]{6}' ORDER BY 1
"""
# What an extension brought stays, and so do rights on the schema public and default privileges: they are the
# database's, and no revision's. A schema in which somebody else's extension stands is emptied, and not dropped: the
# extension would go with it, and perhaps only its owner could bring it back.
_EMPTY = """
DO $$
DECLARE
  it record;
  emptied oid[] := ARRAY(
    SELECT n.oid FROM pg_namespace n
    WHERE n.nspname = 'public' OR n.nspname !~ '^pg_' AND EXISTS (
        SELECT FROM pg_extension x WHERE x.extnamespace = n.oid AND NOT pg_has_role(x.extowner, 'USAGE')));
BEGIN
  -- What stands in no schema. Event triggers go first: they would fire at what follows.
  FOR it IN
    SELECT format('DROP %s IF EXISTS %I CASCADE', o.kind, o.name) AS statement
    FROM (SELECT 1, 'EVENT TRIGGER', evtname, evtowner, 'pg_event_trigger'::regclass, oid FROM pg_event_trigger
          UNION ALL SELECT 2, 'PUBLICATION', pubname, pubowner, 'pg_publication'::regclass, oid FROM pg_publication
          UNION ALL SELECT 3, 'SERVER', srvname, srvowner, 'pg_foreign_server'::regclass, oid FROM pg_foreign_server
          UNION ALL SELECT 4, 'FOREIGN DATA WRAPPER', fdwname, fdwowner, 'pg_foreign_data_wrapper'::regclass, oid
                    FROM pg_foreign_data_wrapper
          UNION ALL SELECT 5, 'LANGUAGE', lanname, lanowner, 'pg_language'::regclass, oid FROM pg_language
                    WHERE lanispl) o (place, kind, name, owner, class, oid)
    WHERE pg_has_role(o.owner, 'USAGE') AND o.oid >= 16384
      AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = o.class AND e.objid = o.oid AND e.deptype = 'e')
    ORDER BY o.place
  LOOP
    EXECUTE it.statement;
  END LOOP;
  FOR it IN
    SELECT format('DROP SCHEMA %I CASCADE', n.nspname) AS statement FROM pg_namespace n
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND n.oid <> ALL (emptied)
      AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_namespace'::regclass AND e.objid = n.oid
                      AND e.deptype = 'e')
  LOOP
    EXECUTE it.statement;
  END LOOP;
  -- One at a time: what goes with another by CASCADE has no name any more that could be dropped.
  LOOP
    SELECT format('DROP %s %s CASCADE',
                  CASE WHEN o.type IN ('function', 'procedure', 'aggregate') THEN 'ROUTINE'
                       WHEN o.type = 'statistics object' THEN 'STATISTICS' ELSE o.type END,
                  o.identity) AS statement
    INTO it
    FROM pg_depend d CROSS JOIN pg_identify_object(d.classid, d.objid, 0) o
    WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = ANY (emptied) AND d.deptype = 'n'
      AND d.classid <> 'pg_extension'::regclass
      AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = d.classid AND e.objid = d.objid
                      AND e.deptype IN ('e', 'i'))
    LIMIT 1;
    EXIT WHEN NOT FOUND;
    EXECUTE it.statement;
  END LOOP;
END $$
"""
# Each takes a lock of its own, and a server has room for some thousands.
_UNLINK_LARGE_OBJECTS = """
SELECT count(lo_unlink(l.oid))
FROM (SELECT oid FROM pg_largeobject_metadata WHERE pg_has_role(lomowner, 'USAGE') LIMIT 1000) l
"""


@dataclass(frozen=True)
class Rebuilt:
    """A database that was emptied and rebuilt.

    Attributes:
        applied: the revisions that were applied, in order.
        left: what had not been dropped, and why.
    """

    applied: tuple[Applied, ...]
    left: tuple[LeftBehind, ...]


@dataclass(frozen=True)
class Identity:
    """Which database this is, whatever connection string leads to it.

    Attributes:
        database: its name.
        server_started: when its server was started.
        system_identifier: what initdb called the cluster; a copy of one has the same.
        address: where the session goes, after names were resolved; empty for a socket.
        host: the host as it was given; where an address was given with it, that address, which is where it goes.
        port: the port.
        releases: releases that applied revisions to it, or to what it was copied from; None where this role may not
            read which.
        bound_dsn: the connection string, bound to this very server: several hosts, a service, a name with several
            addresses or the environment lead nowhere else any more; a secret.
    """

    database: str
    server_started: datetime
    system_identifier: int
    address: str
    host: str
    port: int
    releases: tuple[str, ...] | None
    bound_dsn: str = field(repr=False)

    def is_same_database(self, other: "Identity") -> bool:
        """Whether both are one database of one running server."""
        mine, theirs = ((one.database, one.server_started, one.system_identifier) for one in (self, other))
        return mine == theirs


def identify(dsn: str) -> Identity:
    """Find out which database a connection string leads to.

    Raises:
        MigrationError: it could not be read.

    Locks: AccessShareLock on pilotage.applied_revisions, where it is kept.
    """
    with reader(dsn) as connection:
        row = connection.execute(_IDENTITY).fetchone()
        if row is None:  # pragma: no cover - the query has no condition.
            raise psycopg.DataError("nothing was read")
        releases: tuple[str, ...] | None = ()
        if row[3]:
            kept = connection.execute(_RELEASES).fetchall() if applied_revisions.has_records(connection) else None
            releases = None if kept is None else tuple(str(one[0]) for one in kept)
        info = connection.info
        return Identity(
            database=str(row[0]),
            server_started=row[1],
            system_identifier=int(row[2]),
            # psycopg gives the address as it was given where libpq kept none.
            address=info.hostaddr,
            host=info.hostaddr if info.get_parameters().get("hostaddr") else info.host,
            port=info.port,
            releases=releases,
            bound_dsn=_bound_dsn(dsn, info),
        )


def _bound_dsn(dsn: str, info: psycopg.ConnectionInfo) -> str:
    where = {"host": info.host, "port": info.port, "dbname": info.dbname, "user": info.user}
    if info.hostaddr:
        where["hostaddr"] = info.hostaddr
    return make_conninfo(dsn, **where)


def rebuild(dsn: str, history: History) -> Rebuilt:
    """Drop everything that revisions or people made in a database, and apply all revisions.

    Whether it may be dropped is the caller's to know.

    Args:
        dsn: direct connection string of the owner.
        history: the revisions.

    Returns:
        What was applied, and what was left.

    Raises:
        AdvisoryLockHeld: another session migrates this database; nothing was dropped.
        OwnerLacksRight: the role may not do what the revisions do; nothing was dropped.
        DatabaseRefused: something could not be dropped; nothing was, large objects aside.
        MigrationError: a revision could not be applied.

    Locks: AccessExclusiveLock on everything, for one transaction.
    """
    with migration_lock(dsn, wait_s=WAIT_S):
        try:
            with connect(dsn, lock_timeout=LOCK_TIMEOUT_MS) as connection:
                refuse_without_rights(connection, dsn, history.revisions)
                connection.execute(_EMPTY)
            with connect(dsn, lock_timeout=LOCK_TIMEOUT_MS, autocommit=True) as connection:
                while connection.execute(_UNLINK_LARGE_OBJECTS).fetchone() != (0,):
                    continue
                left = left_behind(connection)
        except psycopg.Error as error:
            raise DatabaseRefused.of(dsn, "dropping everything", error) from error
    return Rebuilt(upgrade(dsn, history, target="heads", release_id=RELEASE), left)
