"""Connection strings as a service hands them out: which host they lead to, and whether the way there is encrypted."""

import ipaddress
import re
from collections.abc import Collection
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

_DELIMITED = re.compile(
    r"(?P<scheme>[a-z][\w+.-]*):///?(?:(?P<user>[^/?#@\s]*)@)?(?P<hosts>[\w.,:\[\]%~-]*)(?P<path>/[^?#@\s]*)?(?:\?[^#\s]*)?",
    re.IGNORECASE,
)
_PORTS = re.compile(r"(?:(?:\[[^\]]*\]|[^:,\[\]]*)(?::\d*)?(?:,|$))+")
_ENCRYPTED = {"require", "verify-ca", "verify-full"}
# Source: libpq lets the query of an address overrule what stands before it, and so do drivers of other languages.
_LEADING = {
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "service",
    "servicefile",
    "load_balance_hosts",
    "target_session_attrs",
}
_PORT = 5432


def foreign_host(uri: str, hosts: Collection[str]) -> str | None:
    """Where a connection string may lead that is none of these hosts, nor the pooler of one; None where nowhere else.

    It is read as libpq reads it, which takes hosts and addresses from parameters too, and several of them.

    Source: Neon's pooled host is the compute's with `-pooler` at the end of its first label.
    """
    try:
        places = _places(uri)
    except psycopg.ProgrammingError:
        return "an address that cannot be read"
    known = {*hosts, *map(_pooled, hosts)}
    for host, port in places:
        if known.isdisjoint({host, f"{host}:{port}", f"[{host}]:{port}"}):
            return f"{host or 'no host by name'}{f':{port}' if port not in {'', '5432'} else ''}"
    return None


def _places(uri: str) -> list[tuple[str, str]]:
    """Every host, or address in its stead, that libpq would try, with its port; a service's are not known.

    Raises:
        psycopg.ProgrammingError: libpq cannot read it.
    """
    given = {name: str(value) for name, value in conninfo_to_dict(uri).items() if value is not None}
    if "service" in given:
        return [(f"service {given['service']}", "")]
    named = [given[name].split(",") for name in ("host", "hostaddr") if name in given] or [[""]]
    ports = given.get("port", "").split(",")
    return [
        (host, (ports[0] if len(ports) == 1 else dict(enumerate(ports)).get(number, "")) or "5432")
        for several in named
        for number, host in enumerate(several)
    ]


def is_ambiguous(address: str) -> bool:
    """Whether an address can be read in more than one way, since a delimiter in it is not percent-encoded.

    Of such an address, a part of the password reads as its host, its port or its database.
    """
    found = _DELIMITED.fullmatch(address)
    if found is None or re.search(r"%(?![0-9A-Fa-f]{2})", address) or _PORTS.fullmatch(found["hosts"]) is None:
        return True
    return any(ord(character) < ord(" ") for character in address)


def why_ambiguous(uri: str) -> str | None:
    """Why an address does not say once, and in one place, where it leads; None where it does. Nothing of it is told."""
    if uri.partition("://")[0].lower() not in {"postgres", "postgresql"}:
        return "it is no postgresql:// address"
    try:
        if is_ambiguous(uri):
            return "it can be read in more than one way: percent-encode what is no delimiter in its password"
        parts = urlsplit(uri)
        complete = parts.hostname and parts.username and parts.path.strip("/") and parts.port != 0
    except ValueError:
        return "its host or port cannot be read"
    if "," in parts.netloc.rpartition("@")[2]:
        return "it names several hosts"
    if not complete:
        return "it does not name a role, a host and a database"
    led = sorted({name.lower() for name, _ in parse_qsl(parts.query, keep_blank_values=True)} & _LEADING)
    return f"it says {' and '.join(led)} in its query" if led else None


def why_other_database(uri: str, hosts: Collection[str], *, database: str, role: str) -> str | None:
    """Why an address is not that of a database and a role on one of these hosts; None where it is."""
    if (why := why_ambiguous(uri)) is not None:
        return why
    parts = urlsplit(uri)
    if unquote(parts.path[1:]) != database:
        return f"it leads to another database than {database}"
    if unquote(parts.username or "") != role:
        return f"it is of another role than {role}"
    host = parts.netloc.rpartition("@")[2]
    if host not in hosts and parts.port not in {None, _PORT}:
        return f"it leads to port {parts.port}"
    return None


def encrypted(uri: str) -> str:
    """Force TLS on a connection string; the loopback interface alone may do without."""
    parts = urlsplit(uri)
    if all(is_loopback(host) for host, _ in _places(_for_libpq(uri))):
        return uri
    query = dict(parse_qsl(parts.query))
    # Source: drivers of other languages take `ssl=false` for the last word.
    query.pop("ssl", None)
    if query.get("sslmode") not in _ENCRYPTED:
        query["sslmode"] = "require"
    return urlunsplit(parts._replace(query=urlencode(query, quote_via=quote)))


def _for_libpq(uri: str) -> str:
    """An address without what other drivers read in its query, such as Prisma's `pgbouncer`, which libpq refuses."""
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    parts = urlsplit(uri)
    kept = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name in known]
    return urlunsplit(parts._replace(query=urlencode(kept, quote_via=quote)))


def _pooled(host: str) -> str:
    label, dot, rest = host.partition(".")
    return f"{label}-pooler{dot}{rest}"


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
