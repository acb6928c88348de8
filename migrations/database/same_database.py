"""Whether two connection strings lead to one database, seen from inside: not by what it is called or holds."""

import secrets
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg import pq

from migrations.database.direct_connections import CONNECT_TIMEOUT_S
from migrations.database.session import reader
from migrations.errors import DatabaseUnreachable, MigrationError, describe_database

# Source: pg_locks is of one running server and may be read by every role; it has the database of an advisory lock, and
# splits the lock's key into classid and objid. A copy of the data has the same system identifier, but not the lock.
_IS_HELD = """
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
      AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
      AND classid = %s::oid AND objid = %s::oid
)
"""


class LeadsElsewhere(MigrationError):
    """A connection string leads to another database than the one that it was given for."""

    def __init__(self, given: str, wanted: str) -> None:
        super().__init__(f"it leads to {given}, and not to {wanted}")


def refuse_another_database(given: str, owner: str) -> None:
    """Make sure that a connection string leads to the very database that the owner's leads to.

    The owner's session takes a lock that nobody can know of beforehand, and the other session must see it. It works
    through a pooler too, and for a role that may do nothing but connect.

    Args:
        given: the connection string in question, a secret; parameters of other drivers are passed over.
        owner: direct connection string of the owner.

    Raises:
        LeadsElsewhere: it leads to another server, to another branch, or to another database of the same server.
        DatabaseUnreachable: one of them does not answer, or refuses the login.

    Locks: an advisory lock of a random key, for the moment of the look.
    """
    high, low = secrets.randbits(31), secrets.randbits(32)
    with reader(owner) as mine:
        mine.execute("SELECT pg_advisory_xact_lock(%s::bigint)", (high << 32 | low,))
        if not _sees(given, high, low):
            raise LeadsElsewhere(describe_database(_for_libpq(given)), describe_database(owner))


def _sees(given: str, high: int, low: int) -> bool:
    known = _for_libpq(given)
    try:
        with psycopg.connect(
            known, connect_timeout=CONNECT_TIMEOUT_S, prepare_threshold=None, application_name="pilotage"
        ) as theirs:
            row = theirs.execute(_IS_HELD, (high, low)).fetchone()
    except psycopg.ProgrammingError:
        # libpq's message would quote the string, and the password with it.
        raise DatabaseUnreachable(describe_database(known), "check how it is written") from None
    except psycopg.Error as error:
        raise DatabaseUnreachable.of(known, error) from error
    return row is not None and bool(row[0])


def _for_libpq(uri: str) -> str:
    """An address without what other drivers read in its query.

    Source: libpq refuses an address with a parameter that it does not know, such as Prisma's `pgbouncer`.
    """
    names = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    parts = urlsplit(uri)
    kept = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name in names]
    return urlunsplit(parts._replace(query=urlencode(kept, quote_via=quote)))
