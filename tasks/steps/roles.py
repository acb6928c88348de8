"""The roles of an environment: made, given what they need, and known to the drift check from then on."""

from dataclasses import dataclass

from migrations.catalog.contents import Catalog, Difference, difference, read_catalog
from migrations.database.session import connect, reader
from migrations.protection.role_grants import SERVICES, RoleGiven, ensure_roles, given_roles
from tasks import connections
from tasks.errors import TaskError


class RolesRefused(TaskError):
    """The roles of an environment must not be changed now."""


@dataclass(frozen=True)
class Roles:
    """The names of the roles.

    Attributes:
        application: logs in as the application.
        read_only: reads.
        service: sees every user's rows.
    """

    application: str
    read_only: str
    service: str = SERVICES


def give_roles(dsn: str, roles: Roles, *, environment: str | None) -> tuple[RoleGiven, ...]:
    """Make the roles where they are missing, and give each what it needs.

    Args:
        dsn: direct connection string of the owner.
        roles: their names.
        environment: staging or production, whose catalogue is in the ledger: what is granted here is no drift; None for
            a database that no release goes to.

    Raises:
        RolesRefused: a release is under way there, which would take the grants for somebody's change by hand.
        MigrationError: the owner may not make roles, or the database did not answer.

    Locks: RowExclusiveLock on the system catalogues; none on user tables.
    """
    if environment is not None:
        _refuse_while_released(environment)
    before = _catalog(dsn)
    with connect(dsn) as connection:
        ensure_roles(connection, application=roles.application, read_only=roles.read_only, service=roles.service)
        found = given_roles(connection, (roles.application, roles.read_only, roles.service))
    changes = difference(before, _catalog(dsn))
    if environment is not None and changes:
        _keep(environment, changes)
    return found


def _refuse_while_released(environment: str) -> None:
    settings = connections.settings()
    with connections.ledger(settings) as ledger:
        running = ledger.running(settings.target)
    if running is not None:
        raise RolesRefused(
            f"release {running.id} is under way, and would take what is granted in {environment} for a change by hand: "
            "wait until it has ended"
        )


def _catalog(dsn: str) -> Catalog:
    with reader(dsn) as connection:
        return read_catalog(connection)


def _keep(environment: str, changes: tuple[Difference, ...]) -> None:
    """Let the catalogue that drift is measured against have these changes, and no other."""
    settings = connections.settings()
    with connections.ledger(settings) as ledger:
        kept = ledger.recorded_catalog(settings.target, environment)
        if kept is None:
            return
        catalog = Catalog.from_json(kept.catalog_json).with_changes(changes)
        ledger.record_catalog(
            settings.target,
            environment,
            release_id=kept.release_id,
            revision=kept.revision,
            digest=catalog.digest,
            catalog_json=catalog.to_json(),
        )
