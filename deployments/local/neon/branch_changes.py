"""Branches made, changed and deleted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from deployments.local.errors import HistoryError, RefusedError
from deployments.local.neon.branches import Accepted, BranchStore, changed, is_durable, new_id
from deployments.local.neon.operations import Step
from deployments.local.neon.records import Branch, Endpoint, Project, now
from deployments.local.neon.roles import read_roles_and_databases
from deployments.local.postgres.backup import base_for, format_lsn, newest_lsn, parse_lsn, recover, take_base
from deployments.local.postgres.cluster import Cluster


@dataclass(frozen=True)
class NewBranch:
    """What a branch is to be; without parent it comes from the default branch, without LSN from its newest state."""

    name: str | None = None
    parent_id: str | None = None
    parent_lsn: str | None = None
    protected: bool = False
    expires_at: datetime | None = None
    compute: bool = False
    annotation: dict[str, str] = field(default_factory=dict[str, str])


def create_branch(store: BranchStore, wanted: NewBranch) -> Accepted:
    """Begin to make a branch of another, which goes on undisturbed.

    The newest state is that of the moment of this call.

    Raises:
        RefusedError: No such parent (404), the name is taken (409), a limit is reached (422), the LSN is not in the
            parent's history (400), or an operation runs (423).
    """
    with store.changing() as project:
        parent = store.branch(wanted.parent_id) if wanted.parent_id else store.default_branch()
        refuse_taken_name(project, wanted.name)
        store.limits.refuse_more_branches(project, branches=1, protected=1 if wanted.protected else 0)
        lsn = wanted_lsn(store.cluster(parent.folder), wanted.parent_lsn)
        branch_id = new_id("br")
        branch = Branch(
            id=branch_id,
            name=wanted.name or branch_id,
            folder=new_id("c"),
            current_state="init",
            parent_id=parent.id,
            parent_lsn=format_lsn(lsn),
            parent_timestamp=now() if wanted.parent_lsn is None else None,
            protected=wanted.protected,
            expires_at=wanted.expires_at,
            roles=parent.roles,
            databases=parent.databases,
            annotation=wanted.annotation,
        )
        endpoint = Endpoint(id=new_id("ep"), branch_id=branch_id, port=store.new_port()) if wanted.compute else None
        store.commit(lambda project: project.with_branch(branch))
        steps = [Step("create_branch", lambda: _make(store, parent, branch, endpoint, lsn), branch_id=branch_id)]
        if endpoint is not None:
            store.commit(lambda project: project.with_endpoint(endpoint))
            announce = _activation(store, endpoint)
            steps.append(Step("start_compute", announce, branch_id=branch_id, endpoint_id=endpoint.id))
        return Accepted(branch, store.operations.begin(steps, on_failure=lambda: _forget(store, branch)), endpoint)


def update_branch(
    store: BranchStore,
    branch_id: str,
    *,
    name: str | None = None,
    protected: bool | None = None,
    expiry: tuple[datetime | None] | None = None,
) -> Branch:
    """Change a branch's name, protection or expiry; `expiry` is a tuple of one, so that None can clear it.

    Raises:
        RefusedError: No such branch (404), the name is taken (409), a limit is reached (422), or an operation runs.
    """
    with store.changing() as project:
        branch = store.branch(branch_id)
        update: dict[str, object] = {}
        if name is not None and name != branch.name:
            refuse_taken_name(project, name)
            update["name"] = name
        if protected is not None and protected != branch.protected:
            store.limits.refuse_more_branches(project, protected=1 if protected else 0)
            update["protected"] = protected
        if expiry is not None:
            if expiry[0] is not None and (branch.default or branch.protected or protected):
                raise RefusedError(422, "cannot set an expiration on a default or protected branch")
            update["expires_at"] = expiry[0]
        if update:
            store.commit(lambda project: project.with_branch(changed(branch, **update)))
        return store.branch(branch_id)


def delete_branch(store: BranchStore, branch_id: str) -> Accepted:
    """Begin to delete a branch with its compute and history.

    Raises:
        RefusedError: No such branch (404); it is the default, protected, the first root, or has children (422); or an
            operation runs (423).
    """
    with store.changing() as project:
        branch = store.branch(branch_id)
        _refuse_deletion(project, branch)
        endpoint = project.endpoint_of(branch_id)

        def remove() -> None:
            store.commit(lambda project: project.without_branch(branch_id))
            store.discard(branch.folder)

        steps = [Step("delete_timeline", remove, branch_id=branch_id)]
        if endpoint is not None and endpoint.current_state == "active":
            stop = Step("suspend_compute", store.cluster(branch.folder).stop, branch_id, endpoint.id)
            steps.insert(0, stop)
        return Accepted(branch, store.operations.begin(steps), endpoint)


def wanted_lsn(cluster: Cluster, text: str | None) -> int:
    """Return the LSN that a request means, which is the newest one where it names none.

    Raises:
        RefusedError: It is no LSN, or not in the history of the cluster (400).
    """
    newest = newest_lsn(cluster)
    if text is None:
        return newest
    try:
        lsn = parse_lsn(text)
        if lsn > newest:
            raise HistoryError(text, f"the branch has only come to {format_lsn(newest)}")
        base_for(cluster, lsn)
    except (ValueError, HistoryError) as error:
        raise RefusedError(400, str(error)) from error
    return lsn


def refuse_taken_name(project: Project, name: str | None) -> None:
    """Refuse a name that another branch has.

    Raises:
        RefusedError: With status 409.
    """
    if name is not None and project.branch_named(name) is not None:
        raise RefusedError(409, f'branch with the provided name "{name}" already exists')


def _refuse_deletion(project: Project, branch: Branch) -> None:
    """Refuse to delete what must stay.

    Source: Neon refuses the default branch, the root, a protected branch and one with children.
    """
    children = project.children(branch.id)
    if branch.protected:
        raise RefusedError(422, "cannot delete protected branch")
    if branch.default:
        raise RefusedError(422, "cannot delete default branch")
    if children:
        raise RefusedError(422, f"cannot delete branch that has children: {', '.join(child.id for child in children)}")
    if branch.root and not branch.kept_by_restore:
        raise RefusedError(422, "cannot delete root branch")


def _make(store: BranchStore, parent: Branch, branch: Branch, endpoint: Endpoint | None, lsn: int) -> None:
    port = endpoint.port if endpoint is not None else None
    source = store.cluster(parent.folder)
    cluster = store.adopt(recover(source, lsn, store.root / branch.folder, port=port, durable=is_durable(branch)))
    roles, databases = read_roles_and_databases(cluster, inherited=parent.roles, renew=parent.protected)
    if endpoint is not None:
        take_base(cluster)
    else:
        cluster.stop()
    ready = changed(branch, current_state="ready", roles=roles, databases=databases)
    store.commit(lambda project: project.with_branch(ready))


def _activation(store: BranchStore, endpoint: Endpoint) -> Callable[[], None]:
    def announce() -> None:
        moment = now()
        active = endpoint.model_copy(
            update={"current_state": "active", "started_at": moment, "updated_at": moment, "suspended_at": None}
        )
        store.commit(lambda project: project.with_endpoint(active))

    return announce


def _forget(store: BranchStore, branch: Branch) -> None:
    store.commit(lambda project: project.without_branch(branch.id))
    store.discard(branch.folder)
