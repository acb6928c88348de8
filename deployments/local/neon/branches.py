"""The branches of the local Neon project: what is remembered, and the cluster of each."""

from __future__ import annotations

import contextlib
import logging
import secrets
import shutil
import string
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from deployments.local.errors import LocalPlatformError, RefusedError
from deployments.local.hosting.processes import Spawner
from deployments.local.neon.limits import Limits
from deployments.local.neon.operations import Operation, Operations
from deployments.local.neon.records import Branch, Endpoint, Project, Role, Snapshot, now, write_project
from deployments.local.postgres.cluster import Cluster, dsn, free_port, is_free

logger = logging.getLogger(__name__)

PROJECT_FILE = "project.json"
_WORDS = ("amber", "brook", "cedar", "dawn", "ember", "fjord", "grove", "heath", "isle", "lagoon", "meadow", "north")


@dataclass(frozen=True)
class Accepted:
    """What a request has begun: the branch as it stands now, and the operations that change it."""

    branch: Branch
    operations: tuple[Operation, ...]
    endpoint: Endpoint | None = None
    snapshot: Snapshot | None = None
    role: Role | None = None


def new_id(kind: str) -> str:
    """Return an id such as `br-amber-brook-x1y2z3w4`, where `br` is the kind."""
    alphabet = string.ascii_lowercase + string.digits
    tail = "".join(secrets.choice(alphabet) for _ in range(8))
    return f"{kind}-{secrets.choice(_WORDS)}-{secrets.choice(_WORDS)}-{tail}"


class BranchStore:
    """A project that runs: what is remembered of it, the clusters of its branches, and its operations.

    Reading is free. A change holds `changing` while it is checked and accepted; the work is an operation, and as only
    one runs at a time, it has the clusters for itself.
    """

    def __init__(self, root: Path, *, spawner: Spawner, project: Project, limits: Limits) -> None:
        self.root = root
        self.limits = limits
        self.operations = Operations()
        self.spawner = spawner
        self._project = project
        self._lock = threading.RLock()
        self._clusters: dict[str, Cluster] = {}

    @property
    def project(self) -> Project:
        """The project as it stands; a value that does not change any more."""
        return self._project

    @contextlib.contextmanager
    def changing(self) -> Generator[Project]:
        """Hold the project for a change.

        Raises:
            RefusedError: An operation runs (423).
        """
        with self._lock:
            self.operations.refuse_while_busy()
            yield self._project

    def commit(self, change: Callable[[Project], Project]) -> None:
        """Replace the project by a changed one, on disk first."""
        with self._lock:
            changed = change(self._project)
            write_project(self.root / PROJECT_FILE, changed)
            self._project = changed

    def branch(self, branch_id: str) -> Branch:
        """Return a branch by its id.

        Raises:
            RefusedError: There is none (404).
        """
        found = self._project.branch(branch_id)
        if found is None:
            raise RefusedError(404, "branch not found")
        return found

    def default_branch(self) -> Branch:
        """Return the branch that requests mean which name none."""
        return next(branch for branch in self._project.branches if branch.default)

    def endpoint(self, endpoint_id: str) -> Endpoint:
        """Return a compute by its id.

        Raises:
            RefusedError: There is none (404).
        """
        found = self._project.endpoint(endpoint_id)
        if found is None:
            raise RefusedError(404, "endpoint not found")
        return found

    def cluster(self, folder: str) -> Cluster:
        """Return the cluster in a folder of the project."""
        with self._lock:
            if folder not in self._clusters:
                self._clusters[folder] = Cluster(self.root / folder, spawner=self.spawner)
            return self._clusters[folder]

    def adopt(self, cluster: Cluster) -> Cluster:
        """Take over a cluster that was made in a folder of the project."""
        with self._lock:
            self._clusters[cluster.folder.name] = cluster
            return cluster

    def discard(self, folder: str) -> None:
        """Stop the server of a folder and delete it."""
        with self._lock:
            cluster = self._clusters.pop(folder, None)
        if cluster is not None:
            cluster.stop("immediate")
        shutil.rmtree(self.root / folder, ignore_errors=True)

    @contextlib.contextmanager
    def served(self, branch: Branch) -> Generator[Cluster]:
        """Give the running cluster of a branch; one without active compute runs for this long only."""
        cluster = self.cluster(branch.folder)
        if cluster.running:
            yield cluster
            return
        cluster.start(free_port(), durable=is_durable(branch))
        try:
            yield cluster
        finally:
            cluster.stop()

    def new_port(self) -> int:
        """Return a free port that no compute of the project has, running or not."""
        taken = {endpoint.port for endpoint in self._project.endpoints}
        return next(port for port in iter(free_port, 0) if port not in taken)

    def start_computes(self) -> None:
        """Start the servers of all computes that were active when the project was closed, each on its port.

        A port that somebody else took meanwhile is replaced by another.
        """
        for endpoint in self._project.endpoints:
            if not is_free(endpoint.port):
                logger.warning("port %d is taken: compute %s moves to another", endpoint.port, endpoint.id)
                moved = endpoint.model_copy(update={"port": self.new_port(), "updated_at": now()})
                self.commit(lambda project, moved=moved: project.with_endpoint(moved))
        wanted = [endpoint for endpoint in self._project.endpoints if endpoint.current_state == "active"]

        def start(endpoint: Endpoint) -> None:
            branch = self.branch(endpoint.branch_id)
            self.cluster(branch.folder).start(endpoint.port, durable=is_durable(branch))

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(start, wanted))

    def close(self) -> None:
        """Finish the operation that runs and stop all servers; active computes start again when it is opened again."""
        self.operations.close(timeout_s=120)
        with self._lock:
            running = [cluster for cluster in self._clusters.values() if cluster.running]

        def stop(cluster: Cluster) -> None:
            try:
                cluster.stop()
            except LocalPlatformError:
                logger.exception("a server did not stop")

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(stop, running))


def is_durable(branch: Branch) -> bool:
    """Tell whether commits on a branch are to outlive a crash of the machine."""
    return branch.default or branch.protected


def connection_uri(
    store: BranchStore, *, branch_id: str | None, endpoint_id: str | None, database: str, role: str
) -> str:
    """Return the URL by which a role connects to a database of a branch.

    Raises:
        RefusedError: The branch, compute, database or role does not exist (404), or the password is unknown (412).
    """
    if endpoint_id is not None:
        endpoint = store.endpoint(endpoint_id)
        if branch_id not in {None, endpoint.branch_id}:
            raise RefusedError(404, "endpoint not found")
        branch = store.branch(endpoint.branch_id)
    else:
        branch = store.branch(branch_id) if branch_id else store.default_branch()
        found = store.project.endpoint_of(branch.id)
        if found is None:
            raise RefusedError(404, "endpoint not found")
        endpoint = found
    if branch.database(database) is None:
        raise RefusedError(404, "database not found")
    return dsn(endpoint.port, user=role, password=password_of(branch, role), database=database)


def password_of(branch: Branch, role: str) -> str:
    """Return the password of a role.

    Raises:
        RefusedError: The role does not exist (404), or was made by SQL (412).
    """
    found = branch.role(role)
    if found is None:
        raise RefusedError(404, "role not found")
    if found.password is None:
        raise RefusedError(412, "the password of this role is not stored")
    return found.password


def changed(branch: Branch, **update: object) -> Branch:
    """Return a branch with other values, changed now."""
    moment = now()
    times = {"updated_at": moment} | ({"state_changed_at": moment} if "current_state" in update else {})
    return branch.model_copy(update={**times, **update})
