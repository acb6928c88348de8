"""What an emptied database still has: what is not its owner's to drop, and what is the database's and no revision's."""

from dataclasses import dataclass

import psycopg

# Source: objects below 16384 are PostgreSQL's own.
_LEFT = """
WITH others AS (
    SELECT o.kind, o.name, o.class, o.oid, pg_get_userbyid(o.owner) AS owner
    FROM (SELECT 'event trigger', evtname, evtowner, 'pg_event_trigger'::regclass, oid FROM pg_event_trigger
          UNION ALL SELECT 'publication', pubname, pubowner, 'pg_publication'::regclass, oid FROM pg_publication
          UNION ALL SELECT 'server', srvname, srvowner, 'pg_foreign_server'::regclass, oid FROM pg_foreign_server
          UNION ALL SELECT 'foreign data wrapper', fdwname, fdwowner, 'pg_foreign_data_wrapper'::regclass, oid
                    FROM pg_foreign_data_wrapper
          UNION ALL SELECT 'language', lanname, lanowner, 'pg_language'::regclass, oid FROM pg_language WHERE lanispl
          UNION ALL SELECT 'schema', nspname, nspowner, 'pg_namespace'::regclass, oid FROM pg_namespace
                    WHERE nspname !~ '^pg_' AND nspname NOT IN ('public', 'information_schema')
         ) o (kind, name, owner, class, oid)
    WHERE o.oid >= 16384
      AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = o.class AND e.objid = o.oid AND e.deptype = 'e')
)
SELECT kind, quote_ident(name),
       CASE kind WHEN 'schema' THEN 'it has an extension that is another role''s' ELSE owner || ' owns it' END
FROM others
UNION ALL
SELECT 'large objects', count(*)::text, pg_get_userbyid(lomowner) || ' owns them'
FROM pg_largeobject_metadata GROUP BY lomowner
UNION ALL
SELECT 'cast', format('(%s AS %s)', format_type(c.castsource, NULL), format_type(c.casttarget, NULL)),
       'only the owner of one of its types may drop it'
FROM pg_cast c
WHERE c.oid >= 16384 AND NOT EXISTS (
    SELECT FROM pg_depend e WHERE e.classid = 'pg_cast'::regclass AND e.objid = c.oid AND e.deptype = 'e')
UNION ALL
SELECT 'subscription', quote_ident(s.subname), 'it has a slot on another server, which would be left there'
FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE d.datname = current_database()
UNION ALL
SELECT 'replication slot', quote_ident(slot_name), 'whoever reads from it would lose its place'
FROM pg_replication_slots WHERE database = current_database()
UNION ALL
SELECT 'extension', quote_ident(extname), 'it is the database''s, and no revision''s'
FROM pg_extension WHERE oid >= 16384
UNION ALL
SELECT DISTINCT 'default privileges', 'of ' || pg_get_userbyid(a.defaclrole),
       'they are the database''s, and no revision''s'
FROM pg_default_acl a LEFT JOIN pg_namespace n ON n.oid = a.defaclnamespace
UNION ALL
SELECT 'setting',
       split_part(one, '=', 1) || CASE s.setrole WHEN 0 THEN '' ELSE ' of ' || pg_get_userbyid(s.setrole) END,
       'it is the database''s, and no revision''s'
FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) one
WHERE d.datname = current_database()
UNION ALL
SELECT 'comment', 'on the database', 'it is the database''s, and no revision''s'
FROM pg_database d WHERE d.datname = current_database() AND shobj_description(d.oid, 'pg_database') IS NOT NULL
UNION ALL
SELECT 'comment', 'on the schema public', 'it is the database''s, and no revision''s'
WHERE obj_description('public'::regnamespace, 'pg_namespace') <> 'standard public schema'
ORDER BY 1, 2
"""


@dataclass(frozen=True)
class LeftBehind:
    """Something that was not dropped.

    Attributes:
        kind: what it is.
        name: its name, as SQL; of settings no value.
        reason: why it was not.
    """

    kind: str
    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {self.reason}"


def left_behind(connection: psycopg.Connection) -> tuple[LeftBehind, ...]:
    """What a database that was emptied still has.

    Locks: AccessShareLock on system catalogues.
    """
    return tuple(LeftBehind(str(kind), str(name), str(reason)) for kind, name, reason in connection.execute(_LEFT))
