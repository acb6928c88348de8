"""A git working tree: which files are kept in it, and which are left out. No git program is needed."""

from dataclasses import dataclass
from pathlib import Path

from dulwich.errors import NotGitRepository
from dulwich.ignore import IgnoreFilterManager
from dulwich.repo import Repo

from deployments.errors import RepositoryUnreachable


@dataclass(frozen=True)
class Worktree:
    """What git says of the files of a working tree.

    Attributes:
        root: its folder.
        tracked: the paths that the index has, relative to the root.
    """

    root: Path
    tracked: tuple[str, ...]

    @classmethod
    def around(cls, folder: Path) -> "Worktree | None":
        """The working tree that a folder lies in; None where it lies in none.

        Raises:
            RepositoryUnreachable: there is one that cannot be read.
        """
        try:
            with Repo.discover(str(folder)) as repo:
                paths = tuple(sorted(path.decode("utf-8", "replace") for path in repo.open_index()))
                return cls(Path(repo.path), paths)
        except NotGitRepository:
            return None
        except Exception as error:
            # dulwich raises its parsers' own kinds for files that are damaged.
            raise RepositoryUnreachable(str(folder), f"{type(error).__name__}: {error}") from error

    def ignores(self, path: str) -> bool:
        """Whether a file of that path would not be added by accident."""
        with Repo(str(self.root)) as repo:
            return bool(IgnoreFilterManager.from_repo(repo).is_ignored(path))
