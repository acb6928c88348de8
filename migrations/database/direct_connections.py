"""Whether a connection string leads to a session of its own, or to a pooler that gives each transaction another.

Through such a pooler a session lock stays on a backend that others use, and a setting holds for strangers. Its name may
not tell, so it is told from outside: of two connections that are open at once, one answers from several backends, or
both from the same. Nothing is set and nothing is locked meanwhile. A pooler in session mode gives each connection a
backend of its own, and is as good as none.
"""

from __future__ import annotations

import ipaddress
import os
import select
import time
from functools import lru_cache
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

from migrations.database.errors import NoSessionLeft, ThroughPooler
from migrations.errors import MALFORMED, DatabaseRefused, DatabaseUnreachable, describe_database, parts_of

CONNECT_TIMEOUT_S = 10
ANSWER_TIMEOUT_S = 10.0
TLS_FORCED = frozenset({"require", "verify-ca", "verify-full"})

# A pooler that gives a random one of two idle backends would have to give the same one to each connection every time.
_ROUNDS = 4
# A connection that died without a word is noticed within a minute; the system's own default is two hours.
_KEEPALIVES = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}


def opened(dsn: str, application_name: str) -> psycopg.Connection:
    """A connection in autocommit that answers, none of whose settings is settled yet.

    Raises:
        DatabaseUnreachable: the server did not answer, or refused the login.
        NoSessionLeft: the login was accepted, and nothing was answered.
    """
    given = _parts(dsn)
    noticed = {name: value for name, value in _KEEPALIVES.items() if name not in given}
    try:
        connection = psycopg.connect(
            make_conninfo(dsn, **noticed),
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name=application_name,
            client_encoding="UTF8",
        )
        if _answers(connection.pgconn, ANSWER_TIMEOUT_S):
            return connection
    except psycopg.OperationalError as error:
        raise DatabaseUnreachable.of(dsn, error) from error
    connection.close()
    raise NoSessionLeft(describe_database(dsn), ANSWER_TIMEOUT_S)


def _answers(connection: pq.abc.PGconn, within_s: float) -> bool:
    """Whether the first statement of a connection is answered in time.

    Source: PgBouncer accepts a login at once, and lets the first statement wait for a session of the server's for
    `query_wait_timeout`, two minutes if nobody has set it.
    """
    ends = time.monotonic() + within_s
    ready = select.poll()
    ready.register(connection.socket, select.POLLIN)
    # A failure is told again by the statement that comes next.
    connection.send_query(b"SELECT 1")
    connection.flush()
    while True:
        while connection.is_busy():
            if not ready.poll(max(0.0, ends - time.monotonic()) * 1000):
                return False
            connection.consume_input()
        if connection.get_result() is None:
            return True


def is_here(host: str) -> bool:
    """Whether a host is this machine, by the loopback interface or a socket."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.startswith(("/", "@"))


def with_tls(dsn: str) -> str:
    """Force TLS on a connection string that leaves this machine, whatever it or PGSSLMODE says; else as it is.

    Raises:
        DatabaseUnreachable: the string cannot be read.

    Source: libpq goes to `hostaddr` where both are given, and a service may name another host than the string does.
    """
    given = _parts(dsn)
    named = [given.get("hostaddr"), given.get("host"), os.environ.get("PGHOSTADDR"), os.environ.get("PGHOST")]
    first = next((str(one) for one in named if one), "")
    leaves = (
        given.get("service") or os.environ.get("PGSERVICE") or not all(map(is_here, filter(None, first.split(","))))
    )
    if not leaves or given.get("sslmode") in TLS_FORCED:
        return dsn
    if "://" not in dsn.partition("=")[0]:
        return make_conninfo(dsn, sslmode="require")
    parts = urlsplit(dsn)
    kept = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name != "sslmode"]
    return urlunsplit(parts._replace(query=urlencode([*kept, ("sslmode", "require")], quote_via=quote)))


def is_named_pooler(host: str) -> bool:
    """Whether a host's name, or one of several, says that it is a pooler in transaction mode.

    Source: Neon's pooled host is the compute's with `-pooler` at the end of a label.
    """
    return any(label.endswith("-pooler") for one in host.lower().split(",") for label in one.split("."))


def refuse_pooler(dsn: str) -> None:
    """Let no connection string pass that leads through a pooler in transaction or statement mode.

    What was found to be direct is not asked again by this process.

    Raises:
        ThroughPooler: it does.
        DatabaseUnreachable, DatabaseRefused: it could not be told.
    """
    if is_named_pooler(_parts(dsn).get("host") or os.environ.get("PGHOST", "")):
        raise ThroughPooler(describe_database(dsn), "its name says so")
    _look(dsn)


@lru_cache(maxsize=1000)
def _look(dsn: str) -> None:
    try:
        with opened(dsn, "pilotage") as one, opened(dsn, "pilotage") as other:
            answered: tuple[set[int], set[int]] = set(), set()
            for _ in range(_ROUNDS):
                for connection, backends in zip((one, other), answered, strict=True):
                    # Two in a row: of two backends that take turns, each connection would have one to itself otherwise.
                    backends |= {_backend(connection), _backend(connection)}
                if answered[0] & answered[1]:
                    raise ThroughPooler(
                        describe_database(dsn), "two connections that were open at once were the same backend's"
                    )
                if len(answered[0] | answered[1]) > len(answered):
                    raise ThroughPooler(describe_database(dsn), "one connection was answered by several backends")
    except psycopg.Error as error:
        raise DatabaseRefused.of(dsn, "looking for a pooler", error) from error


def _backend(connection: psycopg.Connection) -> int:
    # A statement that the driver prepared would be unknown to another backend.
    return connection.execute("SELECT pg_catalog.pg_backend_pid()", prepare=False).fetchall()[0][0]


def _parts(dsn: str) -> dict[str, str]:
    parts = parts_of(dsn)
    if parts is None:
        raise DatabaseUnreachable(describe_database(dsn), MALFORMED)
    return parts
