"""What the local Neon API answers: every field that Neon's own answers always have."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from deployments.local.neon.branches import Accepted, BranchStore, connection_uri
from deployments.local.neon.limits import Limits
from deployments.local.neon.operations import Operation
from deployments.local.neon.records import Branch, Database, Endpoint, Project, Role, Snapshot
from deployments.local.postgres.cluster import binaries
from deployments.local.postgres.cluster_template import server_version

Json = dict[str, object]

_REGION = "local"
_UNMEASURED: Json = {
    "cpu_used_sec": 0,
    "compute_time_seconds": 0,
    "active_time_seconds": 0,
    "written_data_bytes": 0,
    "data_transfer_bytes": 0,
}


def moment(value: datetime) -> str:
    """Return a time as Neon writes it: RFC 3339 in UTC."""
    return value.isoformat().replace("+00:00", "Z")


def project_json(project: Project, limits: Limits) -> Json:
    """Return the project as GET projects/{id} shows it."""
    plan = "launch" if limits.protected_branches else "free_v3"
    return {
        **_project_basics(project),
        **_UNMEASURED,
        "data_storage_bytes_hour": 0,
        "history_retention_seconds": project.history_retention_s,
        "consumption_period_start": moment(project.created_at),
        "consumption_period_end": moment(project.created_at + timedelta(days=30)),
        "owner": {
            "email": "local@example.com",
            "name": "local",
            "branches_limit": limits.branches,
            "subscription_type": plan,
        },
    }


def project_item_json(project: Project) -> Json:
    """Return the project as the list of projects shows it."""
    return {**_project_basics(project), "active_time": 0, "cpu_used_sec": 0}


def branch_json(project: Project, branch: Branch) -> Json:
    """Return a branch."""
    found: Json = {
        "id": branch.id,
        "project_id": project.id,
        "name": branch.name,
        "current_state": branch.current_state,
        "state_changed_at": moment(branch.state_changed_at),
        "creation_source": "console",
        "created_by": {"name": "local", "image": ""},
        "default": branch.default,
        "primary": branch.default,
        "protected": branch.protected,
        **_UNMEASURED,
        "created_at": moment(branch.created_at),
        "updated_at": moment(branch.updated_at),
    }
    if branch.current_state != "ready":
        found["pending_state"] = "ready"
    if branch.parent_id is not None:
        found |= {"parent_id": branch.parent_id, "parent_lsn": branch.parent_lsn, "init_source": "parent-data"}
    if branch.expires_at is not None:
        found["ttl_interval_seconds"] = int((branch.expires_at - branch.created_at).total_seconds())
    for name in ("parent_timestamp", "expires_at", "last_reset_at"):
        value = getattr(branch, name)
        if isinstance(value, datetime):
            found[name] = moment(value)
    return found


def annotation_json(branch: Branch) -> Json:
    """Return what was noted about a branch when it was made."""
    times: Json = {"created_at": moment(branch.created_at), "updated_at": moment(branch.created_at)}
    return {"object": {"type": "console/branch", "id": branch.id}, "value": branch.annotation, **times}


def endpoint_json(project: Project, endpoint: Endpoint) -> Json:
    """Return a compute."""
    found: Json = {
        "id": endpoint.id,
        "host": endpoint.host,
        "project_id": project.id,
        "branch_id": endpoint.branch_id,
        "region_id": _REGION,
        "type": "read_write",
        "current_state": endpoint.current_state,
        "settings": {},
        "autoscaling_limit_min_cu": 0.25,
        "autoscaling_limit_max_cu": 0.25,
        "pooler_enabled": False,
        "pooler_mode": "transaction",
        "disabled": False,
        "passwordless_access": False,
        "creation_source": "console",
        "created_at": moment(endpoint.created_at),
        "updated_at": moment(endpoint.updated_at),
        "proxy_host": "127.0.0.1",
        "suspend_timeout_seconds": -1,
        "provisioner": "k8s-pod",
    }
    if endpoint.current_state == "init":
        found["pending_state"] = "active"
    for name in ("started_at", "suspended_at"):
        value = getattr(endpoint, name)
        if isinstance(value, datetime):
            found[name] = moment(value)
    return found


def role_json(branch_id: str, role: Role, *, with_password: bool = False) -> Json:
    """Return a role; its password only where it is new."""
    found: Json = {
        "branch_id": branch_id,
        "name": role.name,
        "protected": False,
        "created_at": moment(role.created_at),
        "updated_at": moment(role.updated_at),
    }
    if with_password and role.password is not None:
        found["password"] = role.password
    return found


def database_json(branch_id: str, database: Database) -> Json:
    """Return a database."""
    return {
        "id": database.id,
        "branch_id": branch_id,
        "name": database.name,
        "owner_name": database.owner,
        "created_at": moment(database.created_at),
        "updated_at": moment(database.updated_at),
    }


def snapshot_json(snapshot: Snapshot) -> Json:
    """Return a snapshot."""
    found: Json = {
        "id": snapshot.id,
        "name": snapshot.name,
        "source_branch_id": snapshot.source_branch_id,
        "lsn": snapshot.lsn,
        "manual": True,
        "created_at": moment(snapshot.created_at),
    }
    if snapshot.expires_at is not None:
        found["expires_at"] = moment(snapshot.expires_at)
    return found


def operation_json(project: Project, operation: Operation) -> Json:
    """Return an operation."""
    found: Json = {
        "id": operation.id,
        "project_id": project.id,
        "action": operation.action,
        "status": operation.status,
        "failures_count": 1 if operation.status == "failed" else 0,
        "created_at": moment(operation.created_at),
        "updated_at": moment(operation.updated_at),
        "total_duration_ms": operation.duration_ms,
    }
    optional = {"branch_id": operation.branch_id, "endpoint_id": operation.endpoint_id, "error": operation.error}
    return found | {name: value for name, value in optional.items() if value is not None}


def operations_json(project: Project, operations: Iterable[Operation]) -> list[Json]:
    """Return the operations that a request has begun."""
    return [operation_json(project, operation) for operation in operations]


def created_branch_json(store: BranchStore, accepted: Accepted) -> Json:
    """Return what POST branches answers.

    Source: Neon adds `connection_uris` only where a branch has exactly one database and one role, and a compute. The
    passwords of a protected branch's children are not known yet, so there it is left out.
    """
    project, branch, endpoint = store.project, accepted.branch, accepted.endpoint
    answer: Json = {
        "branch": branch_json(project, branch),
        "endpoints": [endpoint_json(project, endpoint)] if endpoint is not None else [],
        "databases": [database_json(branch.id, database) for database in branch.databases],
        "roles": [role_json(branch.id, role) for role in branch.roles],
        "operations": operations_json(project, accepted.operations),
    }
    parent = project.branch(branch.parent_id) if branch.parent_id else None
    known = parent is not None and not parent.protected
    if endpoint is not None and known and len(branch.roles) == len(branch.databases) == 1:
        answer["connection_uris"] = [_connection_json(store, branch, endpoint)]
    return answer


def _connection_json(store: BranchStore, branch: Branch, endpoint: Endpoint) -> Json:
    role, database = branch.roles[0], branch.databases[0]
    uri = connection_uri(store, branch_id=branch.id, endpoint_id=None, database=database.name, role=role.name)
    parameters: Json = {
        "database": database.name,
        "role": role.name,
        "password": role.password,
        "host": endpoint.host,
        "pooler_host": endpoint.host,
    }
    return {"connection_uri": uri, "connection_parameters": parameters}


def _project_basics(project: Project) -> Json:
    return {
        "id": project.id,
        "name": project.name,
        "platform_id": "local",
        "region_id": _REGION,
        "provisioner": "k8s-pod",
        "pg_version": int(server_version(binaries()).split(".", maxsplit=1)[0]),
        "proxy_host": "127.0.0.1",
        "branch_logical_size_limit": 16_777_216,
        "branch_logical_size_limit_bytes": 17_592_186_044_416,
        "store_passwords": True,
        "creation_source": "console",
        "created_at": moment(project.created_at),
        "updated_at": moment(project.updated_at),
        "owner_id": "local",
        "settings": {},
        "default_endpoint_settings": {},
    }
