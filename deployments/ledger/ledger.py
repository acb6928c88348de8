"""The ledger: all of its rooms under one name."""

from deployments.ledger.catalogs import Catalogs
from deployments.ledger.evidence import EvidenceKept
from deployments.ledger.held_releases import HeldReleases
from deployments.ledger.leases import KeptLease
from deployments.ledger.messages import Messages
from deployments.ledger.steps import Steps
from deployments.ledger.unclosed_releases import ReleaseLeftovers, read_leftovers


class Ledger(HeldReleases, Steps, Catalogs, EvidenceKept, Messages):
    """The durable record of releases, on SQLite or PostgreSQL.

    One ledger may be used by several threads; one process opens it as often as it likes.
    """

    def lease_kept(self, release_id: str, lease_s: float, *, fence: int | None = None) -> KeptLease:
        """Keep a release's lease while a block runs, renewed every third of it.

        Args:
            release_id: A running release.
            lease_s: Seconds that the lease lasts without renewal.
            fence: The number of the lease that is held; None for whoever holds it.

        Returns:
            A context manager, whose `check()` raises LeaseLost once the release is no longer ours.
        """
        return KeptLease(self, release_id, lease_s, fence=fence)

    def leftovers(self, release_id: str) -> ReleaseLeftovers:
        """What a release has begun and not finished, and what it made or changed.

        Raises:
            ReleaseNotFound: there is none of that id.
        """
        return read_leftovers(self.release(release_id), self.steps(release_id))
