"""Roles and databases of a branch."""

from __future__ import annotations

import secrets

from psycopg import sql

from deployments.local.errors import RefusedError
from deployments.local.neon.branches import Accepted, BranchStore, changed
from deployments.local.neon.operations import Step
from deployments.local.neon.records import Branch, Database, Role, now
from deployments.local.postgres.cluster import Cluster
from deployments.local.postgres.cluster_template import SUPERUSER
from deployments.local.postgres.provisioning import NEON_SUPERUSER, Login, create_database, create_managed, set_password


def new_password() -> str:
    """Return a password that nobody can guess, safe in a URL."""
    return f"npg_{secrets.token_urlsafe(18)}"


def read_roles_and_databases(
    cluster: Cluster, *, own: tuple[Role, ...] = (), inherited: tuple[Role, ...] = (), renew: bool = False
) -> tuple[tuple[Role, ...], tuple[Database, ...]]:
    """Read which roles and databases a new cluster has, and give each role the password that its branch promises.

    Args:
        cluster: A running cluster that a branch will stand on.
        own: Roles of the branch itself, from before: their passwords stay.
        inherited: Roles of the branch that it comes from.
        renew: Whether roles that are not the branch's own get new passwords.

    Returns:
        The roles and the databases.

    Source: on Neon the children of a protected branch get new passwords for all roles.
    """
    kept = {role.name: role for role in own if role.password}
    given = {role.name: role for role in inherited}
    roles: list[Role] = []
    with cluster.connect() as connection:
        named = connection.execute(
            "SELECT rolname, rolcanlogin FROM pg_roles WHERE rolname !~ '^pg_' AND rolname <> ALL (%s) ORDER BY oid",
            [[SUPERUSER, NEON_SUPERUSER]],
        ).fetchall()
        for name, may_login in ((str(row[0]), bool(row[1])) for row in named):
            role = kept.get(name) or given.get(name) or Role(name=name)
            if renew and may_login and name not in kept:
                role = Role(name=name, password=new_password())
            if role.password is not None:
                set_password(connection, Login(name, role.password))
            roles.append(role)
        databases = connection.execute(
            "SELECT oid::bigint, datname, pg_get_userbyid(datdba) FROM pg_database"
            " WHERE NOT datistemplate AND datname <> 'postgres' ORDER BY oid"
        ).fetchall()
    found = tuple(Database(id=int(str(row[0])), name=str(row[1]), owner=str(row[2])) for row in databases)
    return tuple(roles), found


def make_role(store: BranchStore, branch_id: str, name: str, *, may_login: bool = True) -> Accepted:
    """Make a role on a branch as the API makes it, with a new password.

    Raises:
        RefusedError: The branch does not exist (404), has such a role (409), or an operation runs (423).
    """
    with store.changing():
        branch = store.branch(branch_id)
        if branch.role(name) is not None:
            raise RefusedError(409, f'role with the provided name "{name}" already exists')
        password = new_password()
        role = Role(name=name, password=password if may_login else None)

        def work() -> None:
            with store.served(branch) as cluster, cluster.connect() as connection:
                create_managed(connection, Login(name, password), may_login=may_login)
            _replace_role(store, branch_id, role)

        operations = store.operations.begin([Step("apply_config", work, branch_id=branch_id)])
        return Accepted(branch, operations, role=role)


def reset_password(store: BranchStore, branch_id: str, name: str) -> Accepted:
    """Give a role of a branch a new password, and end its sessions.

    Raises:
        RefusedError: The branch or the role does not exist (404), or an operation runs (423).
    """
    with store.changing():
        branch = store.branch(branch_id)
        former = branch.role(name)
        if former is None:
            raise RefusedError(404, "role not found")
        password = new_password()
        role = former.model_copy(update={"password": password, "updated_at": now()})

        def work() -> None:
            with store.served(branch) as cluster, cluster.connect() as connection:
                set_password(connection, Login(name, password))
                connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [name])
            _replace_role(store, branch_id, role)

        operations = store.operations.begin([Step("apply_config", work, branch_id=branch_id)])
        return Accepted(branch, operations, role=role)


def delete_role(store: BranchStore, branch_id: str, name: str) -> Accepted:
    """Delete a role of a branch that owns nothing; the operation fails where it does.

    Raises:
        RefusedError: The branch or the role does not exist (404), or an operation runs (423).
    """
    with store.changing():
        branch = store.branch(branch_id)
        role = branch.role(name)
        if role is None:
            raise RefusedError(404, "role not found")

        def work() -> None:
            with store.served(branch) as cluster, cluster.connect() as connection:
                connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))
            others = tuple(other for other in store.branch(branch_id).roles if other.name != name)
            store.commit(lambda project: project.with_branch(changed(store.branch(branch_id), roles=others)))

        operations = store.operations.begin([Step("apply_config", work, branch_id=branch_id)])
        return Accepted(branch, operations, role=role)


def make_database(store: BranchStore, branch_id: str, name: str, owner: str) -> tuple[Database, Accepted]:
    """Make an empty database on a branch.

    Raises:
        RefusedError: The branch or the owner does not exist (404), it has such a database (409), or an operation runs.
    """
    with store.changing():
        branch = store.branch(branch_id)
        if branch.role(owner) is None:
            raise RefusedError(404, "role not found")
        if branch.database(name) is not None:
            raise RefusedError(409, f'database with the provided name "{name}" already exists')
        database = Database(id=max((other.id for other in branch.databases), default=0) + 1, name=name, owner=owner)

        def work() -> None:
            with store.served(branch) as cluster, cluster.connect() as connection:
                create_database(connection, name, owner)
            _replace_databases(store, branch_id, (*store.branch(branch_id).databases, database))

        operations = store.operations.begin([Step("apply_config", work, branch_id=branch_id)])
        return database, Accepted(branch, operations)


def delete_database(store: BranchStore, branch_id: str, name: str) -> tuple[Database, Accepted]:
    """Delete a database of a branch, ending the sessions in it.

    Raises:
        RefusedError: The branch or the database does not exist (404), or an operation runs (423).
    """
    with store.changing():
        branch = store.branch(branch_id)
        database = branch.database(name)
        if database is None:
            raise RefusedError(404, "database not found")

        def work() -> None:
            with store.served(branch) as cluster, cluster.connect() as connection:
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
            others = tuple(other for other in store.branch(branch_id).databases if other.name != name)
            _replace_databases(store, branch_id, others)

        operations = store.operations.begin([Step("apply_config", work, branch_id=branch_id)])
        return database, Accepted(branch, operations)


def _replace_role(store: BranchStore, branch_id: str, role: Role) -> None:
    branch = store.branch(branch_id)
    others = tuple(other for other in branch.roles if other.name != role.name)
    store.commit(lambda project: project.with_branch(changed(branch, roles=(*others, role))))


def _replace_databases(store: BranchStore, branch_id: str, databases: tuple[Database, ...]) -> None:
    branch: Branch = store.branch(branch_id)
    store.commit(lambda project: project.with_branch(changed(branch, databases=databases)))
