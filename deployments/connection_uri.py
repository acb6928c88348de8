"""Connection strings as a service hands them out: which host they lead to, and whether the way there is encrypted."""

import ipaddress
from collections.abc import Collection
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

_ENCRYPTED = {"require", "verify-ca", "verify-full"}


def foreign_host(uri: str, hosts: Collection[str]) -> str | None:
    """The host of a connection string where it is none of those given, nor the pooler of one; None where it is.

    Source: Neon's pooled host is the compute's with `-pooler` at the end of its first label.
    """
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    known = {*hosts, *map(_pooled, hosts)}
    return None if host in known or parts.hostname in known else host


def encrypted(uri: str) -> str:
    """Force TLS on a connection string; the loopback interface alone may do without."""
    parts = urlsplit(uri)
    if is_loopback(parts.hostname or ""):
        return uri
    query = dict(parse_qsl(parts.query))
    if query.get("sslmode") not in _ENCRYPTED:
        query["sslmode"] = "require"
    return urlunsplit(parts._replace(query=urlencode(query)))


def _pooled(host: str) -> str:
    label, dot, rest = host.partition(".")
    return f"{label}-pooler{dot}{rest}"


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
