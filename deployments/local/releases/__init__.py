"""The repository that is released: its refs are commits, and so are its failures."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from dulwich.objects import Blob, Commit, ObjectID, Tree
from dulwich.refs import Ref as GitRef
from dulwich.repo import Repo

from deployments.local.errors import LocalPlatformError

HERE = Path(__file__).parent
CLONE = HERE.parents[2]
REPOSITORY = Path("tu-org") / "cjhirashi-agents.git"

_AUTHOR = b"Ana <ana@example.com>"
_FIRST_COMMIT_AT = 1_761_130_800
_AN_HOUR = 3600
_FILE, _FOLDER = 0o100644, 0o040000


@dataclass(frozen=True)
class Ref:
    """A ref of the repository.

    Attributes:
        name: the branch's name.
        parent: the ref that it was made from; None for the first.
        newest_revision: the newest of our own revisions that it has.
        overlays: folders whose files it has instead of, or beside, the application's.
        message: what its commit says.
    """

    name: str
    parent: str | None
    newest_revision: str
    overlays: tuple[str, ...]
    message: str


# Later than any revision: the whole history.
NEWEST = "99991231_2359"
REFS = (
    Ref("v1", None, "20250122_1030", (), "Release the core: agents, conversations, usage"),
    Ref("v2", "v1", "20251101_0900", ("v2",), "Say in the trail what kind of thing an action was done to"),
    Ref("v2-bad-migration", "v1", "20250122_1030", ("v2_bad_migration",), "Number the turns of a conversation"),
    Ref("v2-crashes", "v2", "20251101_0900", ("v2", "v2_crashes"), "Write messages to the trail as well"),
    Ref("v3", "v2", NEWEST, ("v2",), "Carry support, storage, health, finance, RAG and MCP, and mend the core"),
    Ref("v2-corrupts", "v2", "20251101_0900", ("v2", "v2_corrupts"), "Count the messages of conversations again"),
)
DEFAULT = "v2"


def make_repository(folder: Path) -> Path:
    """Make the repository; the same files give the same commits.

    Args:
        folder: where it is made; what was there is replaced.

    Returns:
        The path of the bare repository.
    """
    place = folder / REPOSITORY
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    with Repo.init_bare(str(place)) as repo:
        commits: dict[str, ObjectID] = {}
        for number, ref in enumerate(REFS):
            parents = [commits[ref.parent]] if ref.parent else []
            commits[ref.name] = _commit(repo, ref, parents, _FIRST_COMMIT_AT + number * _AN_HOUR)
            repo.refs.set_if_equals(GitRef(f"refs/heads/{ref.name}".encode()), None, commits[ref.name])
        main = GitRef(b"refs/heads/main")
        repo.refs.set_if_equals(main, None, commits[DEFAULT])
        repo.refs.set_symbolic_ref(GitRef(b"HEAD"), main)
    return place


def checkout(repository: Path, sha: str, subpath: str, into: Path) -> None:
    """Write the files that a commit has below a path.

    Raises:
        LocalPlatformError: there is no such commit, or it has nothing there.
    """
    with Repo(str(repository)) as repo:
        try:
            commit = repo[ObjectID(sha.encode())]
            tree = repo[commit.tree] if isinstance(commit, Commit) else None
            for part in Path(subpath).parts:
                tree = repo[tree[part.encode()][1]] if isinstance(tree, Tree) else None
        except (KeyError, ValueError) as error:
            raise LocalPlatformError(f"{repository} has no {subpath} at {sha}") from error
        if not isinstance(tree, Tree):
            raise LocalPlatformError(f"{repository} has no folder {subpath} at {sha}")
        _write(repo, tree, into)


def has_commit(repository: Path, sha: str) -> bool:
    """Whether the repository has a commit of that full SHA."""
    with Repo(str(repository)) as repo:
        try:
            return isinstance(repo[ObjectID(sha.encode())], Commit)
        except (KeyError, ValueError):
            return False


def _write(repo: Repo, tree: Tree, into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    for entry in tree.iteritems():
        found = repo[entry.sha]
        if isinstance(found, Tree):
            _write(repo, found, into / entry.path.decode())
        elif isinstance(found, Blob):
            (into / entry.path.decode()).write_bytes(found.data)


def _commit(repo: Repo, ref: Ref, parents: list[ObjectID], at: int) -> ObjectID:
    commit = Commit()
    commit.tree = _tree(repo, _files(ref))
    commit.parents = parents
    commit.author = commit.committer = _AUTHOR
    commit.author_time = commit.commit_time = at
    commit.author_timezone = commit.commit_timezone = 0
    commit.message = f"{ref.message}\n".encode()
    repo.object_store.add_object(commit)
    return commit.id


def _files(ref: Ref) -> dict[str, bytes]:
    """Every file of a ref by its path: our own revisions, the application, and what its overlays have otherwise."""
    files = {
        f"migrations/versions/{path.name}": path.read_bytes()
        for path in (CLONE / "migrations" / "versions").glob("[0-9]*.py")
        if path.name[: len(ref.newest_revision)] <= ref.newest_revision
    }
    for source in (HERE.parent / "application", *(HERE / overlay for overlay in ref.overlays)):
        prefix = "application/" if source.name == "application" else ""
        for path in source.rglob("*.py"):
            files[f"{prefix}{path.relative_to(source).as_posix()}"] = path.read_bytes()
    return files


def _tree(repo: Repo, files: dict[str, bytes]) -> ObjectID:
    tree = Tree()
    below: dict[str, dict[str, bytes]] = {}
    for path, data in files.items():
        first, slash, rest = path.partition("/")
        if slash:
            below.setdefault(first, {})[rest] = data
        else:
            blob = Blob.from_string(data)
            repo.object_store.add_object(blob)
            tree.add(first.encode(), _FILE, blob.id)
    for name, inner in below.items():
        tree.add(name.encode(), _FOLDER, _tree(repo, inner))
    repo.object_store.add_object(tree)
    return tree.id
