"""A branch restored in place: its name, compute, host and port stay, its data are those of another moment."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from deployments.local.errors import LocalPlatformError, RefusedError
from deployments.local.neon.branch_changes import refuse_taken_name, wanted_lsn
from deployments.local.neon.branches import Accepted, BranchStore, changed, is_durable, new_id
from deployments.local.neon.operations import Step
from deployments.local.neon.records import Branch, Database, Endpoint, Project, Role, now
from deployments.local.neon.roles import read_roles_and_databases
from deployments.local.postgres.backup import format_lsn, recover, take_base
from deployments.local.postgres.cluster import Cluster

logger = logging.getLogger(__name__)


def restore_branch(
    store: BranchStore,
    branch_id: str,
    *,
    source_branch_id: str,
    source_lsn: str | None = None,
    preserve_under_name: str | None = None,
) -> Accepted:
    """Begin to replace a branch's data by those that a branch, maybe itself, had at an LSN.

    Sessions on the branch end; others do not notice.

    Args:
        store: The project.
        branch_id: The branch that is restored.
        source_branch_id: Where the data come from.
        source_lsn: As of when; by default the newest state, which a branch cannot be restored to from itself.
        preserve_under_name: The name of a new branch, without compute, that keeps the state of before; the children
            move under it.

    Raises:
        RefusedError: No such branch (404), the branch is protected, has children or a limit is reached (422), the name
            is taken (409), the LSN is not in the history (400), or an operation runs (423).

    Source: Neon's restore: one from itself needs a point and a name for the former state; one from another branch makes
    the target a child of it; one of a root from itself leaves two roots.
    """
    with store.changing() as project:
        target, source = store.branch(branch_id), store.branch(source_branch_id)
        _refuse_restore(store, project, target, source, source_lsn, preserve_under_name)
        lsn = wanted_lsn(store.cluster(source.folder), source_lsn)
        work = _Restore(store, target, source, lsn, preserve_under_name, project.endpoint_of(branch_id))
        store.commit(lambda project: project.with_branch(changed(target, current_state="resetting")))
        operations = store.operations.begin(
            [
                Step("create_timeline", work.build, branch_id=branch_id),
                Step("apply_config", work.switch, branch_id=branch_id),
            ],
            on_failure=work.give_up,
        )
        return Accepted(store.branch(branch_id), operations)


def _refuse_restore(
    store: BranchStore, project: Project, target: Branch, source: Branch, lsn: str | None, preserve: str | None
) -> None:
    itself = target.id == source.id
    if target.protected:
        raise RefusedError(422, "cannot reset protected branch")
    if itself and lsn is None:
        raise RefusedError(422, "a branch is restored from itself to a point: source_lsn is required")
    if itself and preserve is None:
        raise RefusedError(422, "a branch is restored from itself: preserve_under_name is required")
    if preserve is None and project.children(target.id):
        raise RefusedError(422, "Branch has children, preserve_under_name is required")
    if not itself and source.parent_id == target.id and preserve is None:
        raise RefusedError(422, "Branch has children, preserve_under_name is required")
    if preserve is not None:
        refuse_taken_name(project, preserve)
        store.limits.refuse_more_branches(project, branches=1, roots=1 if target.root and itself else 0)


@dataclass
class _Restore:
    """The work of one restore: the new data are built first, so that the service is gone only for the switch."""

    store: BranchStore
    target: Branch
    source: Branch
    lsn: int
    preserve: str | None
    endpoint: Endpoint | None
    folder: str = field(default_factory=lambda: new_id("c"))
    roles: tuple[Role, ...] = ()
    databases: tuple[Database, ...] = ()

    def build(self) -> None:
        """Make the new data in a folder of their own; the branch still serves the old ones."""
        itself = self.target.id == self.source.id
        source = self.store.cluster(self.source.folder)
        cluster = recover(source, self.lsn, self.store.root / self.folder, replaces=itself)
        self.store.adopt(cluster)
        self.roles, self.databases = read_roles_and_databases(
            cluster, own=self.target.roles, inherited=self.source.roles, renew=self.source.protected and not itself
        )
        cluster.stop()
        take_base(cluster)

    def switch(self) -> None:
        """Stop the old server, start the new one on its port; where that fails, the old one serves again."""
        old, new = self.store.cluster(self.target.folder), self.store.cluster(self.folder)
        serves = old.running
        if serves:
            old.scalar("CHECKPOINT")  # so that the stop has little left to write
            old.stop()
        if serves and self.endpoint is not None:
            try:
                new.start(self.endpoint.port, durable=is_durable(self.target))
            except (LocalPlatformError, OSError):
                self._serve_again(old, self.endpoint)
                raise
        self.store.commit(self._restored)
        if self.preserve is None:
            self.store.discard(self.target.folder)

    def give_up(self) -> None:
        """Leave the branch as it was."""
        if self.store.branch(self.target.id).folder == self.target.folder:
            self.store.commit(lambda project: project.with_branch(changed(self.target, current_state="ready")))
            self.store.discard(self.folder)

    def _serve_again(self, old: Cluster, endpoint: Endpoint) -> None:
        logger.error(
            "the restored data of branch %s could not be served; its former state serves again", self.target.id
        )
        old.start(endpoint.port, durable=is_durable(self.target))

    def _restored(self, project: Project) -> Project:
        itself = self.target.id == self.source.id
        kept = self._kept()
        parent = self._parent_id(kept)
        restored = changed(
            self.target,
            folder=self.folder,
            current_state="ready",
            roles=self.roles,
            databases=self.databases,
            parent_id=parent,
            parent_lsn=format_lsn(self.lsn) if parent else None,
            parent_timestamp=now() if parent and not itself else None,
            last_reset_at=now(),
        )
        project = project.with_branch(restored)
        if kept is not None:
            for child in project.children(self.target.id):
                project = project.with_branch(changed(child, parent_id=kept.id))
            project = project.with_branch(kept)
        return project

    def _kept(self) -> Branch | None:
        """Return the branch that keeps the state of before."""
        if self.preserve is None:
            return None
        itself = self.target.id == self.source.id
        moment = now()
        return self.target.model_copy(
            update={
                "id": new_id("br"),
                "name": self.preserve,
                "default": False,
                "protected": False,
                "expires_at": None,
                "last_reset_at": None,
                "annotation": {},
                "kept_by_restore": self.target.root and itself,
                "current_state": "ready",
                "created_at": moment,
                "updated_at": moment,
                "state_changed_at": moment,
            }
        )

    def _parent_id(self, kept: Branch | None) -> str | None:
        if self.target.id != self.source.id:
            return self.source.id
        return None if self.target.root or kept is None else kept.id
