"""Addresses of git repositories: which are paths of this machine, and how the others are asked."""

from dulwich.config import ConfigDict

# Seconds that a server may take for an answer.
ANSWER_S = b"30"


def is_path(url: str) -> bool:
    """Whether an address is a path of this machine."""
    return url.startswith("file://") or ("://" not in url and ":" not in url.split("/", maxsplit=1)[0])


def patience() -> ConfigDict:
    """What bounds the time of an answer."""
    patience = ConfigDict()
    patience.set((b"http",), b"timeout", ANSWER_S)
    return patience


def without_credentials(url: str) -> str:
    """An address as it may be shown."""
    scheme, mark, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}" if mark else url
