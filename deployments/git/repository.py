"""The git repository that is released: a ref's commit, and the files that the commit has."""

import difflib
import fcntl
import logging
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import BYTECODE_SUFFIXES, EXTENSION_SUFFIXES
from pathlib import Path, PurePosixPath

from dulwich.client import get_transport_and_path
from dulwich.objects import Blob, ObjectID, Tag, Tree
from dulwich.objects import Commit as GitCommit
from dulwich.refs import Ref
from dulwich.repo import Repo

from deployments.errors import RefNotFound, RepositoryUnreachable, SubpathNotFound
from deployments.git.addresses import is_path, patience, without_credentials
from deployments.redaction.redactor import learn_address, redacted

log = logging.getLogger(__name__)

MIN_ABBREVIATION = 7
_NAMES = (b"refs/heads/", b"refs/tags/")
# What Python would run in the place of the source that was read and whose checksum is kept.
_COMPILED = (*BYTECODE_SUFFIXES, *EXTENSION_SUFFIXES, ".pyo", ".so", ".pyd", ".dll", ".dylib", ".pth", ".egg-link")
_CACHE = "__pycache__"
_PEELED = b"^{}"


@dataclass(frozen=True)
class Commit:
    """A commit that can be released.

    Attributes:
        sha: its full SHA-1.
        ref: the name by which it was asked for.
        summary: the first line of its message.
    """

    sha: str
    ref: str
    summary: str


class ReleaseRepository:
    """A git repository, in a folder or behind an address; no git program is needed.

    Args:
        url: path of a repository, or its http(s) or ssh address.
        cache: folder for the copy of a remote one.
    """

    def __init__(self, url: str, cache: Path) -> None:
        learn_address(url)
        self._url = url
        self._shown = redacted(without_credentials(url))
        self._cache = cache

    def resolve(self, ref: str) -> Commit:
        """Find the commit that a branch, a tag or a (shortened) SHA names.

        Raises:
            RefNotFound: there is none of that name; near ones are listed.
            RepositoryUnreachable: the repository cannot be read.
        """
        with self._open(fresh=True) as repo:
            found = _named(repo, ref)
            if found is None:
                raise RefNotFound(self._shown, ref, _near(repo, ref))
            commit = _peeled(repo, found)
            if commit is None:
                raise RefNotFound(self._shown, ref, _near(repo, ref))
            summary = commit.message.decode(errors="replace").strip().partition("\n")[0]
            return Commit(commit.id.decode(), ref, summary)

    def refs(self) -> tuple[str, ...]:
        """The names of its branches and tags, asked for without taking anything over.

        Raises:
            RepositoryUnreachable: the repository cannot be read.
        """
        try:
            if is_path(self._url):
                with self._open(fresh=False) as repo:
                    found = [bytes(name) for name in repo.refs.allkeys()]
            else:
                client, path = get_transport_and_path(self._url, config=patience())
                found = [bytes(name) for name in client.get_refs(path.encode()).refs]
        except RepositoryUnreachable:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".replace(self._url, self._shown)
            raise RepositoryUnreachable(self._shown, redacted(reason)) from None
        wanted = (name for name in found if name.startswith(_NAMES) and not name.endswith(_PEELED))
        return tuple(sorted(name.decode(errors="replace").split("/", 2)[-1] for name in wanted))

    def extract(self, sha: str, subpath: str, into: Path) -> Path:
        """Let a folder hold the source files that a commit has below a path.

        A folder that holds them is left as it is, so that others may read it meanwhile; one that is not there appears
        whole. What Python would run in place of the source is passed over, and none is made from now on.

        Args:
            sha: full SHA of the commit.
            subpath: folder inside the repository.
            into: the folder; what else was there goes, file by file.

        Returns:
            The folder.

        Raises:
            RefNotFound: the repository has no such commit.
            SubpathNotFound: the commit has no such folder.
            RepositoryUnreachable: the repository cannot be read, or the folder not be written.
        """
        with self._holding(sha) as repo:
            commit = _peeled(repo, ObjectID(sha.encode()))
            if commit is None:
                raise RefNotFound(self._shown, sha, ())
            tree = _folder(repo, commit, subpath)
            if tree is None:
                raise SubpathNotFound(self._shown, sha, subpath)
            sys.dont_write_bytecode = True
            files = dict(_files(repo, tree))
        try:
            _write(files, into)
        except OSError as error:
            raise RepositoryUnreachable(self._shown, f"{into} cannot be written: {error.strerror}") from error
        return into

    def _holding(self, sha: str) -> Repo:
        """The repository, brought up to date where it lacks a commit that another worker has resolved."""
        repo = self._open(fresh=False)
        if _peeled(repo, ObjectID(sha.encode())) is not None:
            return repo
        repo.close()
        return self._open(fresh=True)

    def _open(self, *, fresh: bool) -> Repo:
        """The repository itself, or the copy of a remote one, brought up to date first where asked."""
        try:
            if is_path(self._url):
                return Repo(str(Path(self._url.removeprefix("file://")).expanduser()))
            return self._copy(fresh=fresh)
        except Exception as error:
            # The transports below dulwich raise their own kinds, and some with the address.
            reason = f"{type(error).__name__}: {error}".replace(self._url, self._shown)
            raise RepositoryUnreachable(self._shown, redacted(reason)) from None

    def _copy(self, *, fresh: bool) -> Repo:
        if not (self._cache / "HEAD").is_file():
            self._cache.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self._cache.parent, prefix=".clone-") as folder:
                clone = Path(folder) / "clone"
                with Repo.init_bare(str(clone), mkdir=True) as repo:
                    self._mirror(repo)
                _place(self._cache, clone)
        elif fresh:
            with _alone(self._cache / "fetch.lock"), Repo(str(self._cache)) as repo:
                self._mirror(repo)
        return Repo(str(self._cache))

    def _mirror(self, repo: Repo) -> None:
        """Fetch what is new, and let the copy have the branches and tags that the remote has, and no others."""
        client, path = get_transport_and_path(self._url, config=patience())
        found = client.fetch(path, repo).refs
        theirs = {name: sha for name, sha in found.items() if sha is not None and name.startswith(_NAMES)}
        for name in [name for name in repo.refs.allkeys() if name.startswith(_NAMES) and name not in theirs]:
            del repo.refs[name]
        for name, sha in theirs.items():
            if not name.endswith(_PEELED):
                repo.refs[name] = sha


def _named(repo: Repo, ref: str) -> ObjectID | None:
    wanted = ref.encode()
    for name in (b"refs/heads/" + wanted, b"refs/tags/" + wanted, wanted):
        if (found := repo.refs.read_ref(Ref(name))) is not None and not found.startswith(b"ref:"):
            return ObjectID(found)
    if len(ref) >= MIN_ABBREVIATION and all(letter in "0123456789abcdef" for letter in ref.lower()):
        matches = set(repo.object_store.iter_prefix(wanted.lower()))
        commits = {sha for sha in matches if isinstance(repo[sha], GitCommit)}
        return commits.pop() if len(commits) == 1 else None
    return None


def _peeled(repo: Repo, sha: ObjectID) -> GitCommit | None:
    try:
        found = repo[sha]
    except KeyError:
        return None
    while isinstance(found, Tag):
        found = repo[found.object[1]]
    return found if isinstance(found, GitCommit) else None


def _near(repo: Repo, ref: str) -> tuple[str, ...]:
    names = sorted(
        {name.decode(errors="replace").split("/", 2)[-1] for name in repo.refs.allkeys() if name.startswith(b"refs/")}
    )
    return tuple(difflib.get_close_matches(ref, names, n=5, cutoff=0.3)) or tuple(names[:10])


def _folder(repo: Repo, commit: GitCommit, subpath: str) -> Tree | None:
    tree = repo[commit.tree]
    for part in PurePosixPath(subpath).parts:
        if not isinstance(tree, Tree) or part.encode() not in tree:
            return None
        tree = repo[tree[part.encode()][1]]
    return tree if isinstance(tree, Tree) else None


def _files(repo: Repo, tree: Tree, below: PurePosixPath = PurePosixPath()) -> Iterator[tuple[PurePosixPath, bytes]]:
    """The plain files of a tree; links and submodules are passed over, so that nothing leaves the folder."""
    for entry in tree.iteritems():
        name = (entry.path or b"").decode(errors="surrogateescape")
        found = None if _is_link(entry.mode) else repo[entry.sha]
        if name in {"", ".", ".."} or "/" in name or found is None:
            log.warning("passed over %s: neither a file nor a folder", ascii(name))
        elif name.lower() == _CACHE or name.lower().endswith(_COMPILED):
            log.warning("passed over %s: Python would run it in the place of source", ascii(name))
        elif isinstance(found, Tree):
            yield from _files(repo, found, below / name)
        elif isinstance(found, Blob):
            yield below / name, found.data


def _is_link(mode: int) -> bool:
    return stat.S_ISLNK(mode) or mode == 0o160000


def _write(files: dict[PurePosixPath, bytes], into: Path) -> None:
    into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into.parent, prefix=f".{into.name}-") as beside:
        if not into.exists():
            fresh = Path(beside) / "fresh"
            _settle(fresh, files, Path(beside))
            _place(into, fresh)
        # Also what has just been placed: somebody else may have been faster, or an earlier run wrote it.
        _settle(into, files, Path(beside))


def _settle(folder: Path, files: dict[PurePosixPath, bytes], beside: Path) -> None:
    """Let a folder hold these files and nothing else; what is as it must be is not touched."""
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    folder.mkdir(mode=0o700, exist_ok=True)
    folders = {parent for name in files for parent in name.parents}
    for root, below, plain in os.walk(folder):
        here = PurePosixPath(Path(root).relative_to(folder).as_posix())
        ours = [name for name in below if here / name in folders and not (Path(root) / name).is_symlink()]
        kept = [name for name in plain if here / name in files and not (Path(root) / name).is_symlink()]
        for name in {*below, *plain} - {*ours, *kept}:
            log.warning("removed %s: the commit has no such file", ascii(str(here / name)))
            _remove(Path(root) / name)
        below[:] = ours
    for name, content in files.items():
        place = folder / name
        if not place.is_file() or place.read_bytes() != content:
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh = beside / "file"
            fresh.write_bytes(content)
            fresh.replace(place)


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place, ignore_errors=True)
    else:
        place.unlink(missing_ok=True)


def _place(place: Path, fresh: Path) -> None:
    """Let a whole folder appear, unless somebody else was faster."""
    try:
        fresh.rename(place)
    except OSError:
        if not place.is_dir():
            raise


@contextmanager
def _alone(lock: Path) -> Generator[None]:
    """Keep other threads and processes out while the block runs; whoever dies lets go."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
