"""What the plan of a local Neon project allows: what would go over one of its limits is refused."""

from dataclasses import dataclass

from deployments.local.errors import RefusedError
from deployments.local.neon.records import Project


@dataclass(frozen=True)
class Limits:
    """How much of each kind a project may have."""

    branches: int = 10
    root_branches: int = 3
    protected_branches: int = 2
    snapshots: int = 10

    def refuse_more_branches(self, project: Project, *, branches: int = 0, roots: int = 0, protected: int = 0) -> None:
        """Refuse what would make more of a kind than the project may have.

        Raises:
            RefusedError: With status 422 and Neon's code for the limit.
        """
        has = project.branches
        for more, count, limit, kind, code in (
            (branches, len(has), self.branches, "branches", "BRANCHES_LIMIT_EXCEEDED"),
            (roots, sum(b.root for b in has), self.root_branches, "root branches", "ROOT_BRANCHES_LIMIT_EXCEEDED"),
            (
                protected,
                sum(b.protected for b in has),
                self.protected_branches,
                "protected branches",
                "BRANCHES_PROTECTED_LIMIT_EXCEEDED",
            ),
        ):
            if more and count + more > limit:
                raise RefusedError(422, f"{kind} limit exceeded: the project has {count} of {limit}", code)

    def refuse_more_snapshots(self, project: Project) -> None:
        """Refuse one more snapshot where the project has as many as it may.

        Raises:
            RefusedError: With status 422.
        """
        if len(project.snapshots) >= self.snapshots:
            raise RefusedError(422, f"snapshots limit exceeded: the project has {len(project.snapshots)}")
