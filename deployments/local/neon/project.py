"""The local Neon project: made at the first start, found again at the next."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deployments.local.errors import LocalPlatformError
from deployments.local.hosting.processes import Spawner
from deployments.local.neon.branch_changes import NewBranch, create_branch
from deployments.local.neon.branches import PROJECT_FILE, BranchStore, new_id
from deployments.local.neon.keeper import Keeper
from deployments.local.neon.limits import Limits
from deployments.local.neon.records import Branch, Endpoint, Project, now, read_project
from deployments.local.neon.roles import new_password, read_roles_and_databases
from deployments.local.postgres.backup import take_base
from deployments.local.postgres.cluster import Cluster, free_port
from deployments.local.postgres.provisioning import Login, provision


@dataclass(frozen=True)
class Seed:
    """What a new project begins with: a protected default branch with the application's database, and a child of it."""

    production: str = "main"
    staging: str = "staging"
    database: str = "cjhirashi"
    owner: str = "cjhirashi_owner"
    app: str = "cjhirashi_app"


@contextmanager
def open_project(
    root: Path, *, spawner: Spawner, seed: Seed | None = None, limits: Limits | None = None
) -> Generator[BranchStore]:
    """Run a project: its servers are up inside the `with`, and stopped after it.

    Args:
        root: Where its data lie, a data root; a project found there goes on, else one is made.
        spawner: What its servers are started by.
        seed: What a new project begins with.
        limits: How many branches and snapshots it may have.

    Raises:
        ClusterStartError: A server does not start.
    """
    found = read_project(root / PROJECT_FILE)
    if found is None:
        _remove_orphaned_folders(root, None)
        store = _make(root, spawner, seed or Seed(), limits or Limits())
    else:
        project = _without_unfinished(found)
        _remove_orphaned_folders(root, project)
        store = BranchStore(root, spawner=spawner, project=project, limits=limits or Limits())
    keeper = Keeper(store)
    try:
        if found is None:
            _add_staging(store, (seed or Seed()).staging)
        else:
            store.commit(lambda project: project)
            store.start_computes()
        keeper.start()
        yield store
    finally:
        keeper.stop()
        store.close()


def _make(root: Path, spawner: Spawner, seed: Seed, limits: Limits) -> BranchStore:
    cluster = Cluster.create(root / new_id("c"), spawner=spawner)
    port = free_port()
    cluster.start(port, durable=True)
    owner, app = Login(seed.owner, new_password()), Login(seed.app, new_password())
    with cluster.connect() as connection:
        provision(connection, database=seed.database, owner=owner, app=app)
    take_base(cluster)
    roles, databases = read_roles_and_databases(cluster)
    passwords = {login.name: login.password for login in (owner, app)}
    branch_id = new_id("br")
    branch = Branch(
        id=branch_id,
        name=seed.production,
        folder=cluster.folder.name,
        default=True,
        protected=True,
        roles=tuple(role.model_copy(update={"password": passwords.get(role.name)}) for role in roles),
        databases=databases,
    )
    endpoint = Endpoint(id=new_id("ep"), branch_id=branch_id, port=port, current_state="active", started_at=now())
    name = f"quiet-harbor-{secrets.randbelow(90_000_000) + 10_000_000}"
    store = BranchStore(root, spawner=spawner, project=Project(id=name, name=seed.database), limits=limits)
    store.adopt(cluster)
    store.commit(lambda project: project.with_branch(branch).with_endpoint(endpoint))
    return store


def _add_staging(store: BranchStore, name: str) -> None:
    created = create_branch(store, NewBranch(name=name, compute=True))
    store.operations.wait_until_free(120)
    if store.project.branch(created.branch.id) is None:
        last = [store.operations.get(operation.id) for operation in created.operations]
        reasons = "; ".join(operation.error for operation in last if operation is not None and operation.error)
        raise LocalPlatformError(f"branch {name} could not be made: {reasons}")


def _without_unfinished(project: Project) -> Project:
    """Undo what an operation had begun when the platform was killed."""
    for branch in project.branches:
        if branch.current_state == "init":
            project = project.without_branch(branch.id)
        elif branch.current_state == "resetting":
            project = project.with_branch(branch.model_copy(update={"current_state": "ready"}))
    for endpoint in project.endpoints:
        if endpoint.current_state == "init":
            project = project.without_endpoint(endpoint.id)
    for snapshot in project.snapshots:
        if not snapshot.ready:
            project = project.without_snapshot(snapshot.id)
    return project


def _remove_orphaned_folders(root: Path, project: Project | None) -> None:
    """Delete folders that no branch and no snapshot stands on: what an interrupted operation left."""
    known = {branch.folder for branch in project.branches} if project else set[str]()
    known |= {snapshot.folder for snapshot in project.snapshots} if project else set()
    for folder in (*root.glob("c-*"), *root.glob("s-*")):
        if folder.name not in known:
            shutil.rmtree(folder, ignore_errors=True)
