"""What rehearsals measured, kept under its digest."""

from sqlalchemy import Connection, insert, select

from deployments.ledger import schema
from deployments.ledger.releases import release_of
from deployments.ledger.store import Store, now

_evidence = schema.evidence


class EvidenceKept(Store):
    """The evidence of a ledger."""

    def record_evidence(self, digest: str, plan_digest: str, evidence_json: str, *, release_id: str | None) -> None:
        """Keep evidence; the same digest is kept once.

        Args:
            digest: The evidence's own digest.
            plan_digest: The plan that was rehearsed.
            evidence_json: The evidence itself.
            release_id: The release that rehearsed it; None where a developer did.

        Raises:
            ReleaseNotFound: there is no release of that id.
        """

        def record(connection: Connection) -> None:
            if release_id is not None:
                release_of(connection, release_id)
            if connection.execute(select(_evidence.c.digest).where(_evidence.c.digest == digest)).one_or_none() is None:
                connection.execute(
                    insert(_evidence).values(
                        digest=digest,
                        plan_digest=plan_digest,
                        release_id=release_id,
                        evidence=evidence_json,
                        at=now(connection),
                    )
                )

        self._write(record)

    def evidence(self, digest: str) -> str | None:
        """The evidence of a digest, as it was given; None where there is none."""
        query = select(_evidence.c.evidence).where(_evidence.c.digest == digest)
        return self._read(lambda connection: connection.execute(query).scalar_one_or_none())

    def evidence_of_release(self, release_id: str) -> str | None:
        """The newest evidence that a release was judged by; None where it rehearsed nothing."""
        query = (
            select(_evidence.c.evidence)
            .where(_evidence.c.release_id == release_id)
            .order_by(_evidence.c.at.desc())
            .limit(1)
        )
        return self._read(lambda connection: connection.execute(query).scalar_one_or_none())
