"""The git repository that is released: a ref's commit, and the files that the commit has."""

import difflib
import logging
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dulwich.client import get_transport_and_path
from dulwich.objects import Blob, ObjectID, Tag, Tree
from dulwich.objects import Commit as GitCommit
from dulwich.refs import Ref
from dulwich.repo import Repo

from deployments.errors import RefNotFound, RepositoryUnreachable, SubpathNotFound
from deployments.redaction import learn_address, redacted

log = logging.getLogger(__name__)

MIN_ABBREVIATION = 7
_NAMES = (b"refs/heads/", b"refs/tags/")
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
        self._shown = redacted(_without_credentials(url))
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

    def extract(self, sha: str, subpath: str, into: Path) -> Path:
        """Write the files that a commit has below a path.

        Args:
            sha: full SHA of the commit.
            subpath: folder inside the repository.
            into: folder to write to; what was there is replaced.

        Returns:
            The folder.

        Raises:
            RefNotFound: the repository has no such commit.
            SubpathNotFound: the commit has no such folder.
        """
        with self._holding(sha) as repo:
            commit = _peeled(repo, ObjectID(sha.encode()))
            if commit is None:
                raise RefNotFound(self._shown, sha, ())
            tree = _folder(repo, commit, subpath)
            if tree is None:
                raise SubpathNotFound(self._shown, sha, subpath)
            into.parent.mkdir(parents=True, exist_ok=True)
            fresh = Path(tempfile.mkdtemp(dir=into.parent, prefix=f".{into.name}-"))
            _write(repo, tree, fresh)
            _replace(into, fresh)
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
            if _is_path(self._url):
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
                _replace(self._cache, clone)
        elif fresh:
            with Repo(str(self._cache)) as repo:
                self._mirror(repo)
        return Repo(str(self._cache))

    def _mirror(self, repo: Repo) -> None:
        """Fetch what is new, and let the copy have the branches and tags that the remote has, and no others."""
        client, path = get_transport_and_path(self._url)
        found = client.fetch(path, repo).refs
        theirs = {name: sha for name, sha in found.items() if sha is not None and name.startswith(_NAMES)}
        for name in [name for name in repo.refs.allkeys() if name.startswith(_NAMES) and name not in theirs]:
            del repo.refs[name]
        for name, sha in theirs.items():
            if not name.endswith(_PEELED):
                repo.refs[name] = sha


def _without_credentials(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}" if mark else url


def _is_path(url: str) -> bool:
    return url.startswith("file://") or ("://" not in url and ":" not in url.split("/", maxsplit=1)[0])


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
    names = sorted({name.decode().split("/", 2)[-1] for name in repo.refs.allkeys() if name.startswith(b"refs/")})
    return tuple(difflib.get_close_matches(ref, names, n=5, cutoff=0.3)) or tuple(names[:10])


def _folder(repo: Repo, commit: GitCommit, subpath: str) -> Tree | None:
    tree = repo[commit.tree]
    for part in PurePosixPath(subpath).parts:
        if not isinstance(tree, Tree) or part.encode() not in tree:
            return None
        tree = repo[tree[part.encode()][1]]
    return tree if isinstance(tree, Tree) else None


def _write(repo: Repo, tree: Tree, into: Path) -> None:
    """Write plain files and folders; links and submodules are passed over, so that nothing leaves the folder."""
    into.mkdir(exist_ok=True)
    for entry in tree.iteritems():
        name = (entry.path or b"").decode()
        found = None if _is_link(entry.mode) else repo[entry.sha]
        if name in {"", ".", ".."} or "/" in name or found is None:
            log.warning("passed over %s: neither a file nor a folder", name)
        elif isinstance(found, Tree):
            _write(repo, found, into / name)
        elif isinstance(found, Blob):
            (into / name).write_bytes(found.data)


def _is_link(mode: int) -> bool:
    return stat.S_ISLNK(mode) or mode == 0o160000


def _replace(place: Path, fresh: Path) -> None:
    old = place.with_name(f".{place.name}-old-{fresh.name}")
    if place.exists():
        place.rename(old)
    fresh.rename(place)
    shutil.rmtree(old, ignore_errors=True)
