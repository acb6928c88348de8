"""TLS: the strings demand it, our own session has it, and the server refuses what comes without."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from migrations.checks.security.finding import Gathered
from migrations.database.direct_connections import TLS_FORCED, is_here

_ASKED: Final = ("password authentication failed", "authentication method requirement")
_TIMEOUT_S: Final = 10


@dataclass(frozen=True)
class Way:
    """The way to a database, as far as TLS goes.

    Attributes:
        host: where it leads.
        modes: sslmode of each connection string, by whose it is.
        session_encrypted: whether our own session is; None where the server does not tell.
        plain_accepted: whether the server takes connections without; None where it did not answer.
    """

    host: str
    modes: Mapping[str, str]
    session_encrypted: bool | None
    plain_accepted: bool | None

    @property
    def loopback(self) -> bool:
        """Whether it does not leave this machine."""
        return is_here(self.host)


def way(connection: psycopg.Connection, dsns: Mapping[str, str]) -> Way:
    """Look at a session, at connection strings, and knock without TLS where the way leaves this machine.

    Args:
        connection: a session of the first string.
        dsns: connection strings, by whose they are; the first one is the session's.

    Locks: none on user tables.
    """
    used = connection.info.get_parameters()
    own, *others = dsns.items()
    modes = {own[0]: used.get("sslmode", "prefer")}
    modes |= {whose: str(conninfo_to_dict(dsn).get("sslmode") or "prefer") for whose, dsn in others}
    row = connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
    found = Way(connection.info.host, modes, None if row is None else bool(row[0]), None)
    if found.loopback:
        return found
    return Way(found.host, found.modes, found.session_encrypted, plain_accepted(own[1]))


def judge(found: Way) -> Gathered:
    """What a way says about TLS; the loopback interface is the one exception."""
    gathered = Gathered()
    if found.loopback:
        gathered.good.append(f"{found.host} is this machine, the one exception: nothing leaves it")
        return gathered
    for whose, mode in found.modes.items():
        if mode not in TLS_FORCED:
            gathered.wrong.append(f"the connection string of {whose} does not force TLS (sslmode={mode})")
    if found.session_encrypted is False:
        gathered.wrong.append("this session is not encrypted")
    if found.session_encrypted is None:
        gathered.unknown.append("the server does not tell whether this session is encrypted")
    if found.plain_accepted:
        gathered.wrong.append("the server takes connections without TLS")
    if found.plain_accepted is None:
        gathered.unknown.append("the server did not answer a connection without TLS")
    gathered.good.append("this session is encrypted, the strings force it, and the server refuses what is not")
    return gathered


def plain_accepted(dsn: str) -> bool | None:
    """Whether a server lets somebody come without TLS; None where it did not answer at all.

    Source: with `sslmode=disable` a server that has `hostssl` lines alone refuses before it asks for a password;
    `require_auth` keeps the password from one that would ask for it in clear.
    """
    plain = make_conninfo(dsn, sslmode="disable", require_auth="scram-sha-256", channel_binding="disable")
    try:
        psycopg.connect(plain, connect_timeout=_TIMEOUT_S).close()
    except psycopg.errors.ConnectionTimeout:
        return None
    except psycopg.OperationalError as error:
        # Who is asked for a password, or let in without one, has come through the door.
        return any(said in str(error) for said in _ASKED)
    return True
