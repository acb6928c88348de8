"""TLS: connection strings must demand it, our own session must use it, and the server must refuse to go without."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from migrations.checks.security.finding import Observations
from migrations.database.direct_connections import TLS_FORCED, is_here

_ASKED: Final = ("password authentication failed", "authentication method requirement")
_TIMEOUT_S: Final = 10


@dataclass(frozen=True)
class TlsState:
    """How connections to a database use TLS.

    Attributes:
        host: the host of the connection.
        modes: sslmode of each connection string, by whose it is.
        session_encrypted: whether our own session uses TLS; None where the server does not tell.
        plain_accepted: whether the server accepts connections without TLS; None where it did not answer.
    """

    host: str
    modes: Mapping[str, str]
    session_encrypted: bool | None
    plain_accepted: bool | None

    @property
    def loopback(self) -> bool:
        """Whether the connection stays on this machine."""
        return is_here(self.host)


def read_tls_state(connection: psycopg.Connection, dsns: Mapping[str, str]) -> TlsState:
    """Read how a session and connection strings use TLS; of another machine, try a connection without TLS too.

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
    found = TlsState(connection.info.host, modes, None if row is None else bool(row[0]), None)
    if found.loopback:
        return found
    return TlsState(found.host, found.modes, found.session_encrypted, plain_accepted(own[1]))


def judge_tls(found: TlsState) -> Observations:
    """Judge how connections use TLS; those to the loopback interface need none."""
    observations = Observations()
    if found.loopback:
        observations.good.append(f"{found.host} is this machine, the one exception: nothing leaves it")
        return observations
    for whose, mode in found.modes.items():
        if mode not in TLS_FORCED:
            observations.wrong.append(f"the connection string of {whose} does not force TLS (sslmode={mode})")
    if found.session_encrypted is False:
        observations.wrong.append("this session is not encrypted")
    if found.session_encrypted is None:
        observations.unknown.append("the server does not tell whether this session is encrypted")
    if found.plain_accepted:
        observations.wrong.append("the server takes connections without TLS")
    if found.plain_accepted is None:
        observations.unknown.append("the server did not answer a connection without TLS")
    observations.good.append("this session is encrypted, the strings force it, and the server refuses what is not")
    return observations


def plain_accepted(dsn: str) -> bool | None:
    """Whether a server accepts a connection without TLS; None where it did not answer at all.

    Source: with `sslmode=disable` a server that has `hostssl` lines alone refuses before it asks for a password;
    `require_auth` keeps the password from one that would ask for it in clear.
    """
    plain = make_conninfo(dsn, sslmode="disable", require_auth="scram-sha-256", channel_binding="disable")
    try:
        psycopg.connect(plain, connect_timeout=_TIMEOUT_S).close()
    except psycopg.errors.ConnectionTimeout:
        return None
    except psycopg.OperationalError as error:
        # A server that asks for a password, or for none, has accepted the connection itself.
        return any(said in str(error) for said in _ASKED)
    return True
