"""What a git repository keeps that should be a secret: files with settings, and connection strings with a password."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from deployments.application.defence import Defence
from deployments.connection_uri import is_loopback
from deployments.errors import RepositoryUnreachable
from deployments.git.worktree import Worktree
from deployments.settings import is_placeholder

ALLOWED: Final = "pragma: allowlist secret"
"""What a line says that holds a password on purpose; other tools look for the same words."""

_LARGEST_BYTES: Final = 1_000_000
_SHOWN: Final = 5
_EXAMPLES: Final = (".example", ".sample", ".template", ".dist")
_RESERVED: Final = (".example", ".test", ".invalid", ".localhost", "example.com", "example.net", "example.org")
_STRING: Final = re.compile(
    r"postgres(?:ql)?(?:\+\w+)?://[^\s:/@\"'<>]*:([^\s@\"'<>]+)@([^\s/:?#\"'`<>)\]]+)", re.IGNORECASE
)
_TEMPLATE: Final = re.compile(r"[${}%]|^[*•.…x]+$", re.IGNORECASE)
_WORDS: Final = {"pass", "passwd", "password", "postgres", "pw", "pwd", "secret", "contraseña"}


def no_secrets_tracked(folder: Path) -> Defence:
    """Look through the files that git keeps of a folder, as they are now; their history is not looked through.

    Args:
        folder: the working tree of a repository, or a folder in it.

    Returns:
        Broken where a `.env` is kept, or a connection string with a password that is no placeholder and leads
        somewhere: to no loopback address, reserved name or name without a dot. Passwords are never told.
    """
    try:
        worktree = Worktree.around(folder)
    except RepositoryUnreachable as error:
        return Defence(None, str(error))
    if worktree is None:
        return Defence(None, f"{folder} is in no git repository: name the application's (--repository)")
    root, names = worktree.root, worktree.tracked
    found = [f"{name} is kept in git" for name in names if _holds_settings(name)]
    found += [f"{place} holds a connection string with a password" for place in _strings(root, names)]
    if found:
        more = f", and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        return Defence(
            False, f"{'; '.join(found[:_SHOWN])}{more}: take it out and change the secret, or say {ALLOWED!r} there"
        )
    return Defence(True, f"{len(names)} files in git: no .env, no connection string with a password")


def _holds_settings(name: str) -> bool:
    file = PurePosixPath(name).name
    return (file == ".env" or file.startswith(".env.")) and not file.endswith(_EXAMPLES)


def _strings(root: Path, names: Sequence[str]) -> Iterator[str]:
    for name in names:
        for number, line in enumerate(_text(root / name).splitlines(), start=1):
            if ALLOWED not in line and any(_leads_somewhere(*match.groups()) for match in _STRING.finditer(line)):
                yield f"{name}:{number}"


def _text(file: Path) -> str:
    """What a file says; nothing where it is gone, a link, large or not text."""
    try:
        if file.is_symlink() or not file.is_file() or file.stat().st_size > _LARGEST_BYTES:
            return ""
        content = file.read_bytes()
    except OSError:
        return ""
    return "" if b"\0" in content[:8192] else content.decode(errors="replace")


def _leads_somewhere(password: str, host: str) -> bool:
    if _TEMPLATE.search(password) or is_placeholder(password) or password.lower() in _WORDS:
        return False
    host = host.lower()
    return not (_TEMPLATE.search(host) or "." not in host or host.endswith(_RESERVED) or is_loopback(host))
