"""What an environment's catalogue was at its last release, and which differences from it were told already."""

from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Select, delete, func, insert, or_, select

from deployments.ledger import schema
from deployments.ledger.errors import LedgerConflict
from deployments.ledger.releases import release_of
from deployments.ledger.store import Store, now
from deployments.ledger.values import RecordedCatalog

_catalogs = schema.catalogs
_announcements = schema.announcements


class Catalogs(Store):
    """The catalogues and announcements of a ledger."""

    def record_catalog(
        self,
        target: str,
        environment: str,
        *,
        release_id: str | None,
        revision: str | None,
        digest: str,
        catalog_json: str,
    ) -> None:
        """Record what an environment's catalogue is from now on; the older ones stay.

        Args:
            target: The project with its environments.
            environment: `production`, `staging` or `development`.
            release_id: The release that left it so; None where none did.
            revision: The revision that stands; None where none does.
            digest: The catalogue's digest.
            catalog_json: The catalogue itself.

        Raises:
            ReleaseNotFound: there is no release of that id.
        """
        row: dict[str, Any] = {
            "id": str(uuid4()),
            "target": target,
            "environment": environment,
            "release_id": release_id,
            "revision": revision,
            "digest": digest,
            "catalog": catalog_json,
        }

        def record(connection: Connection) -> None:
            if release_id is not None:
                release_of(connection, release_id)
            if connection.execute(select(_catalogs.c.id).where(_catalogs.c.id == row["id"])).one_or_none() is None:
                connection.execute(insert(_catalogs).values(**row, at=now(connection)))

        self._write(record)

    def recorded_catalog(self, target: str, environment: str, *, revision: str | None = None) -> RecordedCatalog | None:
        """The catalogue that was recorded last for an environment, if one was.

        Args:
            target: The project with its environments.
            environment: `production`, `staging` or `development`.
            revision: The last one recorded while this revision stood; without it, whatever stood.
        """
        query = _newest(target, environment)
        return self._found(query if revision is None else query.where(_catalogs.c.revision == revision))

    def catalog_before(self, target: str, environment: str, release_id: str) -> RecordedCatalog | None:
        """The catalogue that was recorded last before a release recorded its own first one.

        Args:
            target: The project with its environments.
            environment: `production`, `staging` or `development`.
            release_id: The release; where it recorded none, the newest one counts.
        """
        own = (_catalogs.c.target == target, _catalogs.c.environment == environment)
        first = select(func.min(_catalogs.c.number)).where(*own, _catalogs.c.release_id == release_id).scalar_subquery()
        return self._found(_newest(target, environment).where(or_(first.is_(None), _catalogs.c.number < first)))

    def _found(self, query: Select[Any]) -> RecordedCatalog | None:
        row = self._read(lambda connection: connection.execute(query).one_or_none())
        if row is None:
            return None
        return RecordedCatalog(
            target=row.target,
            environment=row.environment,
            release_id=row.release_id,
            revision=row.revision,
            digest=row.digest,
            catalog_json=row.catalog,
            at=row.at,
        )

    def announce_once(self, target: str, environment: str, digest: str) -> bool:
        """Claim the announcement of a finding.

        Args:
            target: The project with its environments.
            environment: `production`, `staging` or `development`.
            digest: The finding's digest.

        Returns:
            True for the one caller who is to tell of it; False once it was claimed.
        """
        key = str(uuid4())
        same = (
            _announcements.c.target == target,
            _announcements.c.environment == environment,
            _announcements.c.digest == digest,
        )

        def claim(connection: Connection) -> str:
            found = connection.execute(select(_announcements.c.id).where(*same)).scalar_one_or_none()
            if found is not None:
                return found
            row = {"id": key, "target": target, "environment": environment, "digest": digest}
            connection.execute(insert(_announcements).values(**row, first_at=now(connection)))
            return key

        try:
            return self._write(claim) == key
        except LedgerConflict:
            return self._write(claim) == key

    def forget_announcements(self, target: str, environment: str) -> None:
        """Let what was told of an environment be told again: it went away, and is news when it returns.

        Args:
            target: The project with its environments.
            environment: `production`, `staging` or `development`.
        """
        told = delete(_announcements).where(
            _announcements.c.target == target, _announcements.c.environment == environment
        )

        def forget(connection: Connection) -> None:
            connection.execute(told)

        self._write(forget)


def _newest(target: str, environment: str) -> Select[Any]:
    query = select(_catalogs).where(_catalogs.c.target == target, _catalogs.c.environment == environment)
    return query.order_by(_catalogs.c.number.desc()).limit(1)
