"""Computes: the servers that branches are reached by."""

from __future__ import annotations

from collections.abc import Callable

from deployments.local.errors import RefusedError
from deployments.local.neon.branches import Accepted, BranchStore, is_durable, new_id
from deployments.local.neon.operations import Action, Step
from deployments.local.neon.records import Endpoint, now
from deployments.local.postgres.backup import bases, take_base


def create_endpoint(store: BranchStore, branch_id: str) -> Accepted:
    """Begin to give a branch a compute.

    Raises:
        RefusedError: No such branch (404), it has one (409), or an operation runs (423).
    """
    with store.changing() as project:
        branch = store.branch(branch_id)
        if project.endpoint_of(branch_id) is not None:
            raise RefusedError(409, "read_write endpoint already exists for this branch")
        endpoint = Endpoint(id=new_id("ep"), branch_id=branch_id, port=store.new_port())
        store.commit(lambda project: project.with_endpoint(endpoint))
        operations = store.operations.begin(
            [_step("start_compute", endpoint, lambda: _start(store, endpoint))],
            on_failure=lambda: store.commit(lambda project: project.without_endpoint(endpoint.id)),
        )
        return Accepted(branch, operations, endpoint)


def start_endpoint(store: BranchStore, endpoint_id: str) -> Accepted:
    """Begin to start a compute that is suspended.

    Raises:
        RefusedError: No such compute (404), or an operation runs (423).
    """
    return _begin(store, endpoint_id, ("start_compute",))


def suspend_endpoint(store: BranchStore, endpoint_id: str) -> Accepted:
    """Begin to stop a compute; unlike Neon's it does not start again when somebody connects.

    Raises:
        RefusedError: No such compute (404), or an operation runs (423).
    """
    return _begin(store, endpoint_id, ("suspend_compute",))


def restart_endpoint(store: BranchStore, endpoint_id: str) -> Accepted:
    """Begin to stop and start a compute.

    Raises:
        RefusedError: No such compute (404), or an operation runs (423).
    """
    return _begin(store, endpoint_id, ("suspend_compute", "start_compute"))


def delete_endpoint(store: BranchStore, endpoint_id: str) -> Accepted:
    """Begin to stop and forget a compute; the branch and its data stay.

    Raises:
        RefusedError: No such compute (404), or an operation runs (423).
    """
    with store.changing():
        endpoint = store.endpoint(endpoint_id)

        def remove() -> None:
            _suspend(store, endpoint)
            store.commit(lambda project: project.without_endpoint(endpoint_id))

        operations = store.operations.begin([_step("suspend_compute", endpoint, remove)])
        return Accepted(store.branch(endpoint.branch_id), operations, endpoint)


def _begin(store: BranchStore, endpoint_id: str, actions: tuple[Action, ...]) -> Accepted:
    with store.changing():
        endpoint = store.endpoint(endpoint_id)
        works: dict[Action, Callable[[], None]] = {
            "start_compute": lambda: _start(store, endpoint),
            "suspend_compute": lambda: _suspend(store, endpoint),
        }
        operations = store.operations.begin([_step(action, endpoint, works[action]) for action in actions])
        return Accepted(store.branch(endpoint.branch_id), operations, endpoint)


def _step(action: Action, endpoint: Endpoint, work: Callable[[], None]) -> Step:
    return Step(action, work, branch_id=endpoint.branch_id, endpoint_id=endpoint.id)


def _start(store: BranchStore, endpoint: Endpoint) -> None:
    branch = store.branch(endpoint.branch_id)
    cluster = store.cluster(branch.folder)
    if not cluster.running:
        if not bases(cluster):
            take_base(cluster)  # the branch's own history begins here
        cluster.start(endpoint.port, durable=is_durable(branch))
    moment = now()
    _note(store, endpoint, {"current_state": "active", "started_at": moment, "suspended_at": None})


def _suspend(store: BranchStore, endpoint: Endpoint) -> None:
    store.cluster(store.branch(endpoint.branch_id).folder).stop()
    _note(store, endpoint, {"current_state": "idle", "suspended_at": now()})


def _note(store: BranchStore, endpoint: Endpoint, update: dict[str, object]) -> None:
    noted = store.endpoint(endpoint.id).model_copy(update={"updated_at": now(), **update})
    store.commit(lambda project: project.with_endpoint(noted))
