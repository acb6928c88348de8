"""Connection strings as a service hands them out: which host they lead to, and whether the way there is encrypted."""

import ipaddress
import re
from collections.abc import Collection
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

_DELIMITED = re.compile(
    r"(?P<scheme>[a-z][\w+.-]*):///?(?:(?P<user>[^/?#@\s]*)@)?(?P<hosts>[\w.,:\[\]%~-]*)(?P<path>/[^?#@\s]*)?(?:\?[^#\s]*)?",
    re.IGNORECASE,
)
_PORTS = re.compile(r"(?:(?:\[[^\]]*\]|[^:,\[\]]*)(?::\d*)?(?:,|$))+")
_ENCRYPTED = {"require", "verify-ca", "verify-full"}


def foreign_host(uri: str, hosts: Collection[str]) -> str | None:
    """The host of a connection string where it is none of those given, nor the pooler of one; None where it is.

    Source: Neon's pooled host is the compute's with `-pooler` at the end of its first label.
    """
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    known = {*hosts, *map(_pooled, hosts)}
    return None if host in known or parts.hostname in known else host


def is_ambiguous(address: str) -> bool:
    """Whether an address can be read in more than one way, since a delimiter in it is not percent-encoded.

    Of such an address, a part of the password reads as its host, its port or its database.
    """
    found = _DELIMITED.fullmatch(address)
    if found is None or re.search(r"%(?![0-9A-Fa-f]{2})", address) or _PORTS.fullmatch(found["hosts"]) is None:
        return True
    return any(ord(character) < ord(" ") for character in address)


def encrypted(uri: str) -> str:
    """Force TLS on a connection string; the loopback interface alone may do without."""
    parts = urlsplit(uri)
    if is_loopback(parts.hostname or ""):
        return uri
    query = dict(parse_qsl(parts.query))
    if query.get("sslmode") not in _ENCRYPTED:
        query["sslmode"] = "require"
    return urlunsplit(parts._replace(query=urlencode(query, quote_via=quote)))


def _pooled(host: str) -> str:
    label, dot, rest = host.partition(".")
    return f"{label}-pooler{dot}{rest}"


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
