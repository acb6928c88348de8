"""The audit log: written by the application, changed by nobody, and not deleted with whom it tells of."""

from collections.abc import Sequence
from typing import Final

import psycopg

from migrations.checks.security.finding import Observations

TABLE: Final = "audit_logs"

_HELD = """
SELECT has_table_privilege(r.oid, t.oid, 'INSERT'),
       has_any_column_privilege(r.oid, t.oid, 'UPDATE'),
       has_table_privilege(r.oid, t.oid, 'DELETE'),
       has_table_privilege(r.oid, t.oid, 'TRUNCATE')
FROM pg_roles r, pg_class t
WHERE r.rolname = %s AND t.oid = to_regclass('public.audit_logs')
"""

# tgtype, bit by bit: 2 before, 8 delete, 16 update, 32 truncate; one with a condition may let something through.
_REFUSED = """
SELECT bit_or(t.tgtype & 56) FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
WHERE t.tgrelid = to_regclass('public.audit_logs') AND t.tgenabled IN ('O', 'A') AND t.tgtype & 2 <> 0
  AND t.tgqual IS NULL AND t.tgattr = ''::int2vector AND p.prosrc ~* 'RAISE\\s+EXCEPTION'
"""

_CASCADES = """
SELECT k.conname, a.attname FROM pg_constraint k
JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)
WHERE k.conrelid = to_regclass('public.audit_logs') AND k.contype = 'f' AND k.confdeltype = 'c' ORDER BY 1
"""

_UNRECORDED = """
SELECT c.relname FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname = ANY (%s)
  AND NOT EXISTS (
    SELECT FROM pg_policy p JOIN pg_depend d ON d.classid = 'pg_policy'::regclass AND d.objid = p.oid
    JOIN pg_proc f ON d.refclassid = 'pg_proc'::regclass AND d.refobjid = f.oid AND f.proname = %s
    WHERE p.polrelid = c.oid
  )
ORDER BY 1
"""
RECORDS: Final = "record_medical_access"
"""The function that policies of medical tables call, since no trigger sees a read."""


def check_audit(
    connection: psycopg.Connection, application_role: str | None, medical: Sequence[str] = ()
) -> Observations:
    """Look who may change the audit log, whether anything is recorded in it, and whether access to health is.

    Args:
        connection: a session that reads.
        application_role: the role that the application connects as; None where it is not known.
        medical: the tables whose reads by services must be recorded; those that are not there are passed over.

    Locks: AccessShareLock on audit_logs, for one look.
    """
    observations = Observations()
    there = connection.execute("SELECT to_regclass('public.audit_logs')").fetchone()
    if there is None or there[0] is None:
        observations.unknown.append(f"there is no table {TABLE} at this revision")
        return observations
    observations.add(_append_only(connection, application_role))
    for name, column in connection.execute(_CASCADES).fetchall():
        observations.wrong.append(f"{name} deletes the entries of whom {column} names, when that user is deleted")
    for (table,) in connection.execute(_UNRECORDED, (list(medical), RECORDS)).fetchall():
        observations.wrong.append(f"who reads {table} as a service is not recorded")
    newest = connection.execute('SELECT max("timestamp") FROM audit_logs').fetchone()
    if newest is None or newest[0] is None:
        observations.unknown.append("no action is recorded yet, so that it cannot be told whether actions are")
    else:
        observations.good.append(f"the newest entry is of {newest[0]:%Y-%m-%d %H:%M} UTC")
    return observations


def _append_only(connection: psycopg.Connection, role: str | None) -> Observations:
    observations = Observations()
    if role is None:
        observations.unknown.append("the application's role is not known: set NEON_APP_ROLE, or give --app-role")
        return observations
    held = connection.execute(_HELD, (role,)).fetchone()
    if held is None:
        observations.unknown.append(f"there is no role {role}")
        return observations
    row = connection.execute(_REFUSED).fetchone()
    refused = int(row[0] or 0) if row else 0
    if not held[0]:
        observations.wrong.append(f"{role} may not add to {TABLE}")
    events = {"UPDATE": (held[1], 16), "DELETE": (held[2], 8), "TRUNCATE": (held[3], 32)}
    open_to = [event for event, (may, bit) in events.items() if may and not refused & bit]
    if open_to:
        observations.wrong.append(f"{role} has {', '.join(open_to)} on {TABLE}: it must be append-only")
    else:
        observations.good.append(f"{role} can add to {TABLE}, and change nothing in it")
    return observations
