"""The data folder that every new cluster is copied from, made once by initdb."""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
import tempfile
from functools import cache
from pathlib import Path

from deployments.local.errors import CommandError
from deployments.local.hosting.installation import cache_root, give_to_server, run

SUPERUSER = "cloud_admin"
START_FILE = "pilotage.conf"

_SETTINGS = f"""
# Set by the local platform.
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 100
shared_buffers = 32MB
max_wal_size = 256MB
min_wal_size = 32MB
wal_level = replica
max_wal_senders = 0
archive_mode = on
archive_command = 'cp "%p" "../archive/.%f" && mv "../archive/.%f" "../archive/%f"'
track_commit_timestamp = on
log_destination = stderr
logging_collector = off
log_line_prefix = '%m [%p] %q%u@%d '
log_timezone = 'UTC'
timezone = 'UTC'
include_if_exists = '{START_FILE}'
"""
# Relative paths above and in recovery: PostgreSQL runs these commands in the data folder, so no name needs quoting.

# Passwords are random and opened on this machine alone: the rounds that slow guessing would slow each connection only.
_FEW_ROUNDS = "scram_iterations=1"

_CONNECTIONS = "host all all 127.0.0.1/32 scram-sha-256\n"
_SEGMENT_MB = 4


def template(binaries: Path, fallback: Path) -> Path:
    """Return the folder with a new cluster's `data` and its superuser's password, made at the first call.

    Args:
        binaries: The folder of PostgreSQL's binaries.
        fallback: Where it is kept when this user has no home that can be written to.

    Raises:
        CommandError: initdb ended with an error.
    """
    version = server_version(binaries)
    settings = _SETTINGS + _preload(binaries)
    digest = hashlib.sha256(f"{_SEGMENT_MB}{_CONNECTIONS}{_FEW_ROUNDS}{settings}".encode()).hexdigest()[:8]
    place = cache_root(fallback) / f"postgres-{version}-{digest}"
    if not (place / "data").is_dir():
        _make(binaries, int(version.split(".")[0]), settings, place)
    return place


@cache
def server_version(binaries: Path) -> str:
    """Return the version of the server in a folder of binaries, such as `18.6`."""
    answer = run([binaries / "postgres", "--version"])
    number = re.search(r"\d+(\.\d+)*", answer)
    return number.group() if number else answer.strip()


def _preload(binaries: Path) -> str:
    """Preload pg_stat_statements where this installation brings it."""
    try:
        libraries = Path(run([binaries / "pg_config", "--pkglibdir"]).strip())
    except (CommandError, OSError):
        return ""
    found = any(libraries.glob("pg_stat_statements.*"))
    return "shared_preload_libraries = 'pg_stat_statements'\n" if found else ""


def _make(binaries: Path, major: int, settings: str, place: Path) -> None:
    fresh = Path(tempfile.mkdtemp(prefix=f"{place.name}.", dir=place.parent))
    give_to_server(fresh)
    password = fresh / "superuser"
    password.touch(mode=0o600)
    password.write_text(secrets.token_urlsafe(24), encoding="ascii")
    give_to_server(password)
    data = fresh / "data"
    argv: list[str | Path] = [binaries / "initdb", "-D", data, "-U", SUPERUSER, "--pwfile", password, "--no-sync"]
    argv += ["-A", "scram-sha-256", f"--wal-segsize={_SEGMENT_MB}", "--encoding=UTF8", "--locale=C"]
    if major >= 16:
        argv += ["-c", _FEW_ROUNDS]
    if major >= 17:
        argv += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    run(argv, as_server=True)
    with (data / "postgresql.conf").open("a", encoding="utf-8") as configuration:
        configuration.write(settings)
    (data / "pg_hba.conf").write_text(_CONNECTIONS, encoding="utf-8")
    try:
        fresh.rename(place)
    except OSError:
        if not place.exists():
            raise
        shutil.rmtree(fresh)  # another process was first
