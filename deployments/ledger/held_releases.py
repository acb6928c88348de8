"""Releases and who holds them: leases, their fences, and those that nobody holds any more."""

import time
from datetime import timedelta

from sqlalchemy import Connection

from deployments.ledger.errors import ReleaseAlive, ReleaseEnded
from deployments.ledger.holder import current_holder, holder_state
from deployments.ledger.releases import Releases, change, refuse_fenced, release_of
from deployments.ledger.store import now
from deployments.ledger.values import Release
from deployments.redaction.redactor import redacted


class HeldReleases(Releases):
    """The releases of a ledger, each held by a process for as long as its lease is renewed."""

    def take_over(self, release_id: str, lease_s: float, *, flow_run_id: str | None) -> Release:
        """Hold a release whose process is gone or whose lease has expired, under the next fence.

        Args:
            release_id: A running release.
            lease_s: Seconds for which this process is taken to be alive.
            flow_run_id: The run that goes on with it.

        Raises:
            ReleaseAlive: its lease is live, and its process is not known to be gone.
            ReleaseEnded: it has ended already.
            ReleaseNotFound: there is none of that id.
        """
        holder = current_holder()
        fences = list[int]()

        def take(connection: Connection) -> Release:
            release = release_of(connection, release_id, lock=True)
            if fences and (release.holder, release.fence) == (holder, fences[0]):
                # The answer to the first try was lost.
                return release
            _refuse_living(connection, release)
            fences[:] = [release.fence + 1]
            return change(
                connection,
                release_id,
                holder=holder,
                fence=fences[0],
                flow_run_id=flow_run_id,
                lease_expires_at=now(connection) + timedelta(seconds=lease_s),
            )

        return self._write(take)

    def check_fence(self, release_id: str, fence: int | None, *, patient: bool = True) -> None:
        """Make sure that a release is still held under a fence.

        Args:
            release_id: A release.
            fence: The number of the lease that is held; None for whoever holds it.
            patient: Whether to wait for a database that is away, up to 30 s.

        Raises:
            LeaseLost: it was closed, or taken over.
            LedgerUnreachable: it cannot be told.
            ReleaseNotFound: there is none of that id.
        """

        def check(connection: Connection) -> None:
            refuse_fenced(release_of(connection, release_id), fence)

        if patient:
            self._read(check)
        else:
            self._once(check, write=False)

    def renew_lease(
        self, release_id: str, lease_s: float, *, fence: int | None = None, patient: bool = True
    ) -> Release:
        """Say that the holder lives, for some seconds more.

        Args:
            release_id: A running release.
            lease_s: Seconds from now on.
            fence: The number of the lease that is held; None for whoever holds it.
            patient: Whether to wait for a database that is away, up to 30 s.

        Raises:
            LeaseLost: the release was closed meanwhile.
            ReleaseNotFound: there is none of that id.
        """

        def renew(connection: Connection) -> Release:
            release = release_of(connection, release_id, lock=True)
            refuse_fenced(release, fence)
            return change(connection, release_id, lease_expires_at=now(connection) + timedelta(seconds=lease_s))

        return self._write(renew, patient=patient)

    def abandon(self, release_id: str, *, reason: str, by: str) -> Release:
        """Close a release whose process is gone or whose lease has expired.

        Args:
            release_id: A running release.
            reason: Why, for whoever reads it later.
            by: Who closes it.

        Raises:
            ReleaseAlive: its lease is live, and its process is not known to be gone.
            ReleaseEnded: it has ended already.
            ReleaseNotFound: there is none of that id.
        """
        summary = redacted(f"abandoned by {by}: {reason}")

        def close(connection: Connection) -> Release:
            release = release_of(connection, release_id, lock=True)
            if (release.state, release.summary) == ("abandoned", summary):
                return release
            _refuse_living(connection, release)
            return change(connection, release_id, state="abandoned", ended_at=now(connection), summary=summary)

        return self._write(close)

    def abandonable(self, release_id: str) -> Release:
        """The release, where `abandon` would close it now.

        Raises:
            ReleaseAlive: its lease is live, and its process is not known to be gone.
            ReleaseEnded: it has ended already.
            ReleaseNotFound: there is none of that id.
        """

        def find(connection: Connection) -> Release:
            release = release_of(connection, release_id)
            _refuse_living(connection, release)
            return release

        return self._read(find)

    def wait_for_death(self, release_id: str, *, poll_s: float = 0.5) -> Release:
        """The release, once `abandon` or `take_over` would be let through: a lease that is not renewed runs out.

        Args:
            release_id: A running release.
            poll_s: Seconds between two looks.

        Raises:
            ReleaseAlive: its lease was renewed meanwhile: its process lives.
            ReleaseEnded: it has ended, or did meanwhile.
            ReleaseNotFound: there is none of that id.
        """
        lease = self.release(release_id).lease_expires_at
        while True:
            try:
                return self.abandonable(release_id)
            except ReleaseAlive as alive:
                if alive.release.lease_expires_at > lease:
                    raise
            time.sleep(poll_s)


def _refuse_living(connection: Connection, release: Release) -> None:
    if release.state != "running":
        raise ReleaseEnded(release)
    process = holder_state(release.holder)
    if release.lease_expires_at > now(connection) and process != "gone":
        raise ReleaseAlive(release, holder=process)
