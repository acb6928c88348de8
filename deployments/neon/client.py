"""Neon's API v2: branches, restores, snapshots, connection strings.

Source: the API's own rules: a branch's name is unique in its project; a restore keeps the branch's id, name and host; a
protected branch refuses a restore; a child begins at a point of its parent's history.
"""

from collections.abc import Callable
from datetime import datetime

import httpx
from pydantic import AnyHttpUrl, JsonValue, SecretStr

from deployments.call_budget import NEON_A_MINUTE
from deployments.connection_uri import encrypted, foreign_host, why_other_database
from deployments.errors import BranchNotFound, OperationFailed, ServiceRefused, WrongBranch
from deployments.fence import Fence
from deployments.neon.changes import Changes
from deployments.neon.identity import refuse_other_branch, refuse_wrong_kept_branch
from deployments.neon.inspection import Inspection
from deployments.neon.restores import Restores, WantedRestore
from deployments.neon.values import (
    Branch,
    BranchAnswer,
    Branches,
    Changed,
    Endpoint,
    Endpoints,
    NeonProject,
    ProjectAnswer,
    Snapshot,
    Snapshots,
    UriAnswer,
)
from deployments.redaction.redactor import learn_address
from deployments.service import Parameters, Service

__all__ = ["Branch", "Endpoint", "NeonClient", "NeonProject", "Snapshot"]

_GONE = 404
_PAGE = 100


class NeonClient:
    """A project of Neon's.

    Attributes:
        inspection: questions about the key and the plan.

    Args:
        base_url: address of the API, ending in `/api/v2`.
        api_key: the key; it is never shown.
        project_id: the project.
        poll_s: seconds between the first two looks at an operation; the pauses grow.
        deadline_s: seconds that a change's operations may take.
        fence: asked right before each change is sent; None where a person asks.
        transport: how requests are sent, for tests.
    """

    def __init__(
        self,
        base_url: str | AnyHttpUrl,
        api_key: SecretStr,
        project_id: str,
        *,
        poll_s: float = 0.2,
        deadline_s: float = 300.0,
        fence: Fence | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._service = Service(
            "Neon",
            str(base_url),
            api_key,
            url_variable="NEON_API_URL",
            token_variable="NEON_API_KEY",  # noqa: S106
            safe_to_retry=frozenset({423, 429, 503}),
            patience_s=deadline_s,
            calls_a_minute=NEON_A_MINUTE,
            fence=fence,
            transport=transport,
        )
        self._project_id = project_id
        self._at = f"/projects/{project_id}"
        self.inspection = Inspection(self._service, self._at)
        self._changes = Changes(self._service, self._at, poll_s=poll_s, deadline_s=deadline_s)
        self._restores = Restores(self._changes, branch_by_id=self.branch_by_id, named=self._named)

    def project(self) -> NeonProject:
        """The project itself."""
        return self._service.read(self._at, ProjectAnswer).project

    def branches(self) -> tuple[Branch, ...]:
        """Every branch of the project."""
        found: list[Branch] = []
        cursor: str | None = None
        while True:
            asked: dict[str, str | int | bool] = {"limit": _PAGE, **({"cursor": cursor} if cursor else {})}
            page = self._service.read(f"{self._at}/branches", Branches, asked)
            found += [branch for branch in page.branches if branch.id not in {one.id for one in found}]
            cursor = page.pagination.next if page.pagination else None
            if not cursor or not page.branches:
                return tuple(found)

    def branch(self, name: str) -> Branch:
        """The branch of a name.

        Raises:
            BranchNotFound: there is none.
        """
        every = self.branches()
        for branch in every:
            if branch.name == name:
                return branch
        raise BranchNotFound(name, self._project_id, [branch.name for branch in every])

    def branch_by_id(self, branch_id: str) -> Branch:
        """The branch of an id."""
        return self._service.read(f"{self._at}/branches/{branch_id}", BranchAnswer).branch

    def create_branch(
        self,
        name: str,
        *,
        parent_id: str,
        parent_lsn: str | None = None,
        compute: bool = False,
        expires_at: datetime | None = None,
    ) -> Branch:
        """Branch off a parent, at its newest state or at a point of its history.

        Args:
            name: the new branch's name; a branch of that name and parent that exists already is the one asked for, so
                that a repeated call makes one branch.
            parent_id: the branch to start from.
            parent_lsn: point of the parent's history; its newest state without.
            compute: whether it can be connected to.
            expires_at: when Neon deletes it by itself.

        Returns:
            The branch, ready for use.

        Raises:
            BranchNameTaken: there is another branch of that name.
            WrongBranch: Neon handed out another branch than the one asked for.
            OperationFailed: it did not become ready.
        """
        wanted: dict[str, JsonValue] = {"name": name, "parent_id": parent_id}
        if parent_lsn is not None:
            wanted["parent_lsn"] = parent_lsn
        if expires_at is not None:
            wanted["expires_at"] = expires_at.isoformat(timespec="seconds").replace("+00:00", "Z")
        body: dict[str, JsonValue] = {"branch": wanted}
        if compute:
            body["endpoints"] = [{"type": "read_write"}]
        made = self._changes.make("POST", "/branches", body, find=lambda: self._named(name))
        given = made.branch if isinstance(made, Changed) else made
        branch = self.branch(name)
        if given is not None and given.id != branch.id:
            raise WrongBranch(f"Neon answered with branch {given.id} for {name}, which is {branch.id}")
        refuse_other_branch(branch, parent_id, parent_lsn)
        return branch

    def restore(
        self,
        branch_id: str,
        *,
        source_branch_id: str,
        source_lsn: str | None = None,
        preserve_under_name: str | None = None,
    ) -> Branch:
        """Bring a branch to the state of a source, in place: name, host and connection strings stay.

        Args:
            branch_id: the branch to restore; a protected one refuses.
            source_branch_id: where the state comes from; the branch itself for a point in its own history.
            source_lsn: the point; the newest state without.
            preserve_under_name: name of the branch that keeps the state before. Where it keeps it already this restore
                was done before, and nothing is asked for again.

        Returns:
            The branch, ready for use.

        Raises:
            BranchNameTaken: a branch of the name to preserve under exists, and no restore of this branch made it.
            ServiceRefused: it is protected, or the point is not in the history.
            OperationFailed: it did not become ready, each time that it was asked for, and Neon shows no effect of it.
        """
        return self._restores.make(WantedRestore(branch_id, source_branch_id, source_lsn, preserve_under_name))

    def kept_by_restore(self, branch_id: str, name: str) -> Branch | None:
        """The branch that keeps what a branch was before it was restored to a point of its own; None where none does.

        Args:
            branch_id: the branch that may have been restored.
            name: the name that its state before would be preserved under.

        Raises:
            BranchNameTaken: there is a branch of that name, and no restore of this branch made it.
            OperationFailed: a change is still under way after the deadline, so that it cannot be told yet.
        """
        self._changes.wait_until_idle()
        kept = self._named(name)
        if kept is not None:
            refuse_wrong_kept_branch(kept, self.branch_by_id(branch_id), branch_id, None)
        return kept

    def set_protected(self, branch_id: str, *, protected: bool) -> Branch:
        """Protect a branch, or lift its protection; nothing is asked for where it is so already."""

        def find() -> Branch | None:
            now = self.branch_by_id(branch_id)
            return now if now.protected is protected else None

        if (found := find()) is not None:
            return found
        body: dict[str, JsonValue] = {"branch": {"protected": protected}}
        self._changes.make("PATCH", f"/branches/{branch_id}", body, find=find, branch_id=branch_id)
        if (found := find()) is None:
            raise OperationFailed(
                f"branch {branch_id} is {'not ' if protected else 'still '}protected, though Neon was asked"
            )
        return found

    def delete_branch(self, branch_id: str) -> None:
        """Delete a branch; one that is gone already is fine.

        Raises:
            ServiceRefused: it is the default, protected or has children.
        """
        self._delete(f"/branches/{branch_id}", lambda: branch_id not in {branch.id for branch in self.branches()})

    def endpoints(self, branch_id: str) -> tuple[Endpoint, ...]:
        """The computes of a branch."""
        return self._service.read(f"{self._at}/branches/{branch_id}/endpoints", Endpoints).endpoints

    def give_compute(self, branch_id: str) -> bool:
        """Give a branch a compute; whether it had none before."""
        if self.endpoints(branch_id):
            return False
        body: dict[str, JsonValue] = {"endpoint": {"branch_id": branch_id, "type": "read_write"}}
        self._changes.make(
            "POST", "/endpoints", body, find=lambda: self.endpoints(branch_id) or None, branch_id=branch_id
        )
        return True

    def delete_computes(self, branch_id: str) -> None:
        """Delete the computes of a branch; the branch stays."""
        for endpoint in self.endpoints(branch_id):
            self._delete(f"/endpoints/{endpoint.id}", lambda: not self.endpoints(branch_id))

    def snapshots(self) -> tuple[Snapshot, ...]:
        """Every snapshot of the project."""
        return self._service.read(f"{self._at}/snapshots", Snapshots).snapshots

    def create_snapshot(self, branch_id: str, name: str) -> Snapshot:
        """Take a snapshot of a root branch; one of that name and branch that exists already is the one asked for."""
        if (found := self._snapshot(branch_id, name)) is None:
            self._changes.make(
                "POST",
                f"/branches/{branch_id}/snapshot",
                find=lambda: self._snapshot(branch_id, name),
                branch_id=branch_id,
                parameters={"name": name},
            )
            found = self._snapshot(branch_id, name)
        if found is None:
            raise OperationFailed(f"Neon has no snapshot {name} of branch {branch_id}, though it was asked for one")
        return found

    def delete_snapshot(self, snapshot_id: str) -> None:
        """Delete a snapshot; one that is gone already is fine."""
        self._delete(f"/snapshots/{snapshot_id}", lambda: snapshot_id not in {one.id for one in self.snapshots()})

    def connection_uri(self, branch_id: str, *, database: str, role: str, pooled: bool) -> SecretStr:
        """A connection string to a branch, checked to lead to that branch and nowhere else.

        Args:
            branch_id: the branch.
            database: name of the database.
            role: name of the role.
            pooled: through the transaction pooler, for the application; direct for migrations.

        Raises:
            WrongBranch: the address is of no compute of the branch, or of another database or role.
        """
        asked: Parameters = {
            "branch_id": branch_id,
            "database_name": database,
            "role_name": role,
            "pooled": pooled,
        }
        uri = self._service.read(f"{self._at}/connection_uri", UriAnswer, asked).uri.get_secret_value()
        learn_address(uri)
        hosts = {endpoint.host for endpoint in self.endpoints(branch_id)}
        if (host := foreign_host(uri, hosts)) is not None:
            raise WrongBranch(
                f"Neon handed out {host} for branch {branch_id}, "
                f"whose computes are {', '.join(sorted(hosts)) or 'none'}"
            )
        if (why := why_other_database(uri, hosts, database=database, role=role)) is not None:
            raise WrongBranch(f"Neon handed out an address for branch {branch_id} that is not to be followed: {why}")
        return SecretStr(encrypted(uri))

    def _delete(self, path: str, is_gone: Callable[[], bool]) -> None:
        try:
            self._changes.make("DELETE", path, find=lambda: is_gone() or None)
        except ServiceRefused as error:
            if error.status != _GONE:
                raise

    def _named(self, name: str) -> Branch | None:
        return next((branch for branch in self.branches() if branch.name == name), None)

    def _snapshot(self, branch_id: str, name: str) -> Snapshot | None:
        every = self.snapshots()
        return next((s for s in every if s.name == name and s.source_branch_id in {None, branch_id}), None)
