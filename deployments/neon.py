"""Neon's API v2: branches, restores, connection strings. A change is awaited; a lost reply's effect is found by name.

Source: the API's own rules: a change answers at once with operations, and its object is usable when all of them have
ended; 423 and 503 mean that nothing happened; a branch's name is unique in its project.
"""

import ipaddress
import logging
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime
from typing import Literal, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import httpx
from pydantic import AnyHttpUrl, AwareDatetime, BaseModel, ConfigDict, JsonValue, SecretStr

from deployments.errors import (
    BranchNameTaken,
    BranchNotFound,
    LostReply,
    OperationFailed,
    ServiceRefused,
    WrongBranch,
)
from deployments.service import Service

log = logging.getLogger(__name__)

A = TypeVar("A")
F = TypeVar("F")

_ENDED_WELL = {"finished", "skipped"}
_ENDED_BADLY = {"failed", "error", "cancelled"}
_CONFLICT = 409
_GONE = 404
_PAGE = 100


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class NeonProject(_Value):
    """A project."""

    id: str
    name: str
    pg_version: int
    history_retention_seconds: int


class Branch(_Value):
    """A branch of a project.

    Attributes:
        parent_id: None for a root branch.
        parent_lsn: where in its parent's history it begins.
        current_state: init, ready, resetting or archived.
    """

    id: str
    name: str
    current_state: str
    protected: bool = False
    default: bool = False
    parent_id: str | None = None
    parent_lsn: str | None = None
    created_at: datetime
    expires_at: datetime | None = None


class Endpoint(_Value):
    """A compute of a branch."""

    id: str
    host: str
    branch_id: str
    type: Literal["read_write", "read_only"]


class Snapshot(_Value):
    """A snapshot of a root branch."""

    id: str
    name: str
    created_at: datetime
    source_branch_id: str | None = None


class _Operation(_Value):
    id: str
    action: str
    status: str
    branch_id: str | None = None
    error: str | None = None
    updated_at: AwareDatetime | None = None


class _Changed(_Value):
    operations: tuple[_Operation, ...] = ()
    branch: Branch | None = None
    endpoint: Endpoint | None = None
    snapshot: Snapshot | None = None


class _Page(_Value):
    next: str | None = None


class _Branches(_Value):
    branches: tuple[Branch, ...]
    pagination: _Page | None = None


class _ProjectAnswer(_Value):
    project: NeonProject


class _BranchAnswer(_Value):
    branch: Branch


class _Endpoints(_Value):
    endpoints: tuple[Endpoint, ...]


class _Snapshots(_Value):
    snapshots: tuple[Snapshot, ...]


class _Operations(_Value):
    operations: tuple[_Operation, ...]


class _Uri(_Value):
    uri: SecretStr


class NeonClient:
    """A project of Neon's.

    Args:
        base_url: address of the API, ending in `/api/v2`.
        api_key: the key; it is never shown.
        project_id: the project.
        poll_s: seconds between two looks at an operation.
        deadline_s: seconds that a change's operations may take.
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
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._service = Service(
            "Neon",
            str(base_url),
            api_key,
            url_variable="NEON_API_URL",
            token_variable="NEON_API_KEY",  # noqa: S106
            patience_s=deadline_s,
            transport=transport,
        )
        self._project_id = project_id
        self._at = f"/projects/{project_id}"
        self._poll_s = poll_s
        self._deadline_s = deadline_s

    def project(self) -> NeonProject:
        """The project itself."""
        return self._service.read(self._at, _ProjectAnswer).project

    def branches(self) -> tuple[Branch, ...]:
        """Every branch of the project."""
        found: list[Branch] = []
        cursor: str | None = None
        while True:
            asked: dict[str, str | int | bool] = {"limit": _PAGE, **({"cursor": cursor} if cursor else {})}
            page = self._service.read(f"{self._at}/branches", _Branches, asked)
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
        return self._service.read(f"{self._at}/branches/{branch_id}", _BranchAnswer).branch

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
        made = self._done_once(
            lambda: self._service.change("POST", f"{self._at}/branches", _Changed, body), lambda: self._named(name)
        )
        return self._checked(made, name, parent_id, parent_lsn)

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
            preserve_under_name: name of the branch that keeps the state before. A branch of that name means that this
                restore was done already.

        Returns:
            The branch, ready for use.

        Raises:
            ServiceRefused: it is protected, or the point is not in the history.
            OperationFailed: it did not become ready.
        """
        body = {"source_branch_id": source_branch_id}
        if source_lsn is not None:
            body["source_lsn"] = source_lsn
        if preserve_under_name is not None:
            body["preserve_under_name"] = preserve_under_name
        path = f"{self._at}/branches/{branch_id}/restore"
        kept = preserve_under_name
        self._done_once(
            lambda: self._service.change("POST", path, _Changed, body),
            (lambda: self._named(kept)) if kept is not None else (lambda: None),
        )
        self._settle(branch_id)
        return self.branch_by_id(branch_id)

    def set_protected(self, branch_id: str, *, protected: bool) -> Branch:
        """Protect a branch, or lift its protection; nothing is asked for where it is so already."""
        if self.branch_by_id(branch_id).protected is not protected:
            path = f"{self._at}/branches/{branch_id}"
            body: dict[str, JsonValue] = {"branch": {"protected": protected}}
            self._done_once(
                lambda: self._service.change("PATCH", path, _Changed, body), lambda: self.branch_by_id(branch_id)
            )
            self._settle(branch_id)
        found = self.branch_by_id(branch_id)
        if found.protected is not protected:
            raise WrongBranch(f"branch {found.name} is {'not ' if protected else ''}protected, though Neon was asked")
        return found

    def delete_branch(self, branch_id: str) -> None:
        """Delete a branch; one that is gone already is fine.

        Raises:
            ServiceRefused: it is the default, protected or has children.
        """
        path = f"{self._at}/branches/{branch_id}"
        try:
            self._done_once(lambda: self._service.change("DELETE", path, _Changed), lambda: None)
        except ServiceRefused as error:
            if error.status != _GONE:
                raise
        else:
            self._settle(branch_id)

    def endpoints(self, branch_id: str) -> tuple[Endpoint, ...]:
        """The computes of a branch."""
        return self._service.read(f"{self._at}/branches/{branch_id}/endpoints", _Endpoints).endpoints

    @contextmanager
    def compute(self, branch_id: str) -> Generator[Branch]:
        """Give a branch a compute for as long as the block runs; one that it has already stays."""
        if self.endpoints(branch_id):
            yield self.branch_by_id(branch_id)
            return
        body: dict[str, JsonValue] = {"endpoint": {"branch_id": branch_id, "type": "read_write"}}
        self._done_once(
            lambda: self._service.change("POST", f"{self._at}/endpoints", _Changed, body),
            lambda: self.endpoints(branch_id) or None,
        )
        self._settle(branch_id)
        try:
            yield self.branch_by_id(branch_id)
        finally:
            for endpoint in self.endpoints(branch_id):
                self._service.change("DELETE", f"{self._at}/endpoints/{endpoint.id}", _Changed)
            self._settle(branch_id)

    def snapshots(self) -> tuple[Snapshot, ...]:
        """Every snapshot of the project."""
        return self._service.read(f"{self._at}/snapshots", _Snapshots).snapshots

    def create_snapshot(self, branch_id: str, name: str) -> Snapshot:
        """Take a snapshot of a root branch; one of that name and branch that exists already is the one asked for."""
        path = f"{self._at}/branches/{branch_id}/snapshot"
        self._done_once(
            lambda: self._service.change("POST", path, _Changed, parameters={"name": name}),
            lambda: self._snapshot(branch_id, name),
        )
        self._settle(branch_id)
        found = self._snapshot(branch_id, name)
        if found is None:
            raise OperationFailed(f"Neon has no snapshot {name} of branch {branch_id}, though it was asked for one")
        return found

    def delete_snapshot(self, snapshot_id: str) -> None:
        """Delete a snapshot; one that is gone already is fine."""
        try:
            self._service.change("DELETE", f"{self._at}/snapshots/{snapshot_id}", _Changed)
        except ServiceRefused as error:
            if error.status != _GONE:
                raise

    def connection_uri(self, branch_id: str, *, database: str, role: str, pooled: bool) -> SecretStr:
        """A connection string to a branch, checked to lead to that branch and nowhere else.

        Args:
            branch_id: the branch.
            database: name of the database.
            role: name of the role.
            pooled: through the transaction pooler, for the application; direct for migrations.

        Raises:
            WrongBranch: the address is of no compute of the branch.
        """
        asked = {"branch_id": branch_id, "database_name": database, "role_name": role, "pooled": pooled}
        given = {key: str(value).lower() if isinstance(value, bool) else value for key, value in asked.items()}
        uri = self._service.read(f"{self._at}/connection_uri", _Uri, given).uri
        host = urlsplit(uri.get_secret_value()).netloc.rpartition("@")[2]
        hosts = {endpoint.host for endpoint in self.endpoints(branch_id)}
        if host not in hosts | {_pooled(one) for one in hosts}:
            raise WrongBranch(
                f"Neon handed out {host} for branch {branch_id}, "
                f"whose computes are {', '.join(sorted(hosts)) or 'none'}"
            )
        return SecretStr(_encrypted(uri.get_secret_value()))

    def _checked(self, made: _Changed | Branch | None, name: str, parent_id: str, parent_lsn: str | None) -> Branch:
        """Wait for a new branch, and make sure that it is the one asked for."""
        given = made.branch if isinstance(made, _Changed) else made
        self._settle(given.id if given else None)
        branch = self.branch(name)
        if given is not None and given.id != branch.id:
            raise WrongBranch(f"Neon answered with branch {given.id} for {name}, which is {branch.id}")
        if branch.id == parent_id or branch.default:
            raise WrongBranch(f"Neon handed out {branch.id} as {name}, which is its parent or the default branch")
        if branch.parent_id != parent_id:
            raise BranchNameTaken(name, branch.id, f"its parent is {branch.parent_id}, not {parent_id}")
        if parent_lsn is not None and branch.parent_lsn != parent_lsn:
            raise BranchNameTaken(name, branch.id, f"it begins at {branch.parent_lsn}, not {parent_lsn}")
        return branch

    def _done_once(self, ask: Callable[[], A], find: Callable[[], F]) -> A | F | None:
        """Ask for a change. After a lost reply, or a name that is taken, look for its effect before asking again.

        `ask` must be refused, or change nothing, where its effect exists already.
        """
        ends = time.monotonic() + self._deadline_s
        while True:
            try:
                return ask()
            except LostReply:
                self._settle(None)
                if (found := find()) is not None or time.monotonic() > ends:
                    return found
                log.warning("a reply of Neon was lost, and nothing shows its effect: asking again")
            except ServiceRefused as error:
                if error.status != _CONFLICT or (found := find()) is None:
                    raise
                return found

    def _named(self, name: str) -> Branch | None:
        return next((branch for branch in self.branches() if branch.name == name), None)

    def _snapshot(self, branch_id: str, name: str) -> Snapshot | None:
        every = self.snapshots()
        return next((s for s in every if s.name == name and s.source_branch_id in {None, branch_id}), None)

    def _settle(self, branch_id: str | None) -> None:
        """Wait until no operation of the project runs; one of this branch that ended badly raises."""
        ends = time.monotonic() + self._deadline_s
        watched: set[str] = set()
        while True:
            every = self._service.read(f"{self._at}/operations", _Operations, {"limit": _PAGE}).operations
            running = [o for o in every if o.status not in _ENDED_WELL | _ENDED_BADLY]
            watched |= {o.id for o in running}
            newest = next((o for o in every if branch_id is not None and o.branch_id == branch_id), None)
            if not running:
                failed = [o for o in every if o.status in _ENDED_BADLY and (o.id in watched or o == newest)]
                if failed:
                    raise OperationFailed(
                        f"Neon: {failed[0].action} of branch {failed[0].branch_id} ended as {failed[0].status}"
                        f"{': ' + failed[0].error if failed[0].error else ''}"
                    )
                return
            if time.monotonic() > ends:
                raise OperationFailed(
                    f"Neon: {running[0].action} of branch {running[0].branch_id} is {running[0].status} "
                    f"after {self._deadline_s:.0f} s"
                )
            time.sleep(self._poll_s)


def _pooled(host: str) -> str:
    """Neon's pooled host: the endpoint's first label with `-pooler`."""
    label, dot, rest = host.partition(".")
    return f"{label}-pooler{dot}{rest}"


def _encrypted(uri: str) -> str:
    """Force TLS on a connection string; the loopback interface alone may do without."""
    parts = urlsplit(uri)
    if _is_loopback(parts.hostname or ""):
        return uri
    query = dict(parse_qsl(parts.query))
    if query.get("sslmode") not in {"require", "verify-ca", "verify-full"}:
        query["sslmode"] = "require"
    return urlunsplit(parts._replace(query=urlencode(query)))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
