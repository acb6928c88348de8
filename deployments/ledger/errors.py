"""Why the ledger refused, or could not answer.

DeploymentError
└── LedgerError
    ├── LedgerUnusable       the address is no ledger, or needs a newer Pilotage
    ├── LedgerUnreachable    transient: the database does not answer
    ├── LedgerBusy           transient: somebody else holds the lock for too long
    ├── LedgerTakesNoWrites  transient: its disk is full, or it is a standby's for the moment
    ├── LedgerConflict       the database refused a row: somebody else's stands in its place
    ├── ReleaseNotFound
    ├── ReleaseRunning       another release of the target runs
    ├── ReleaseAlive         a release whose holder may live cannot be abandoned
    ├── ReleaseEnded         the release has ended already, otherwise than asked
    └── LeaseLost            the release was closed, or taken over, while its process went on
"""

from datetime import UTC, datetime

from deployments.errors import DeploymentError
from deployments.ledger.holder import HolderState
from deployments.ledger.values import Release


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


class LedgerError(DeploymentError):
    """The ledger refused, or could not answer."""


class LedgerUnusable(LedgerError):
    """The address is no ledger that this Pilotage can use."""


class LedgerUnreachable(LedgerError):
    """The ledger's database does not answer."""

    transient = True


class LedgerBusy(LedgerError):
    """The ledger's database is held by somebody else for too long."""

    transient = True


class LedgerTakesNoWrites(LedgerError):
    """The ledger's database can be read, and takes no row."""

    transient = True


class LedgerConflict(LedgerError):
    """The database refused a row, since somebody else's stands in its place."""


class ReleaseNotFound(LedgerError):
    """The ledger has no such release."""

    def __init__(self, release_id: str) -> None:
        super().__init__(f"the ledger has no release {release_id}: `pilotage ledger` lists them")
        self.release_id = release_id


class ReleaseRunning(LedgerError):
    """Another release of the target runs.

    Attributes:
        release: The one that runs.
        closable: Whether it may be abandoned, since its lease has expired or its process is gone.
    """

    def __init__(self, release: Release, *, holder: HolderState, now: datetime) -> None:
        expired = release.lease_expires_at <= now
        self.release = release
        self.closable = expired or holder == "gone"
        lease = f"its lease {'expired at' if expired else 'is live until'} {_utc(release.lease_expires_at)}"
        process = "; its process is gone" if holder == "gone" else ""
        advice = (
            f"`pilotage recover {release.id}` finishes it, after showing what it left; `pilotage release abandon "
            f"{release.id}` closes it as it is."
            if self.closable
            else "Wait until it has ended."
        )
        super().__init__(
            f"release {release.id} of {release.target} has been running since {_utc(release.started_at)}, "
            f"held by {release.holder} ({lease}{process}). {advice}"
        )


class ReleaseAlive(LedgerError):
    """A release whose holder may live cannot be abandoned.

    Attributes:
        release: The one that runs.
        holder: What is known of its process.
    """

    def __init__(self, release: Release, *, holder: HolderState) -> None:
        process = "is alive" if holder == "alive" else "cannot be seen from this machine"
        super().__init__(
            f"release {release.id} of {release.target} is held by {release.holder}, which {process}, and its lease is "
            f"live until {_utc(release.lease_expires_at)}. Stop that process, or wait until the lease has expired."
        )
        self.release = release
        self.holder = holder


class ReleaseEnded(LedgerError):
    """The release has ended already, otherwise than asked."""

    def __init__(self, release: Release) -> None:
        super().__init__(
            f"release {release.id} of {release.target} has already ended as {release.state}: {release.summary}. "
            f"`pilotage ledger {release.id}` shows its steps."
        )
        self.release = release


class LeaseLost(LedgerError):
    """The release was closed or taken over while its process went on; the process must change nothing more."""

    def __init__(self, release: Release) -> None:
        became = (
            f"{release.holder} has taken it over"
            if release.state == "running"
            else f"it is {release.state} ({release.summary})"
        )
        super().__init__(
            f"release {release.id} of {release.target} is no longer ours: {became}. "
            f"Nothing more may be changed in its name; `pilotage ledger {release.id}` shows what was done."
        )
        self.release = release
