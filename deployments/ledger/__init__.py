"""The durable record of releases: who released what and when, each act before and after it was done.

SQLite by default, PostgreSQL in production. It has a small Alembic history of its own; opening it brings it to head.
"""

from deployments.ledger.errors import (
    LeaseLost,
    LedgerBusy,
    LedgerError,
    LedgerTakesNoWrites,
    LedgerUnreachable,
    LedgerUnusable,
    ReleaseAlive,
    ReleaseEnded,
    ReleaseNotFound,
    ReleaseRunning,
)
from deployments.ledger.holder import HolderState, holder_state, tell_to_stop
from deployments.ledger.leases import KeptLease
from deployments.ledger.ledger import Ledger
from deployments.ledger.outbox import Outbox
from deployments.ledger.steps import StepHandle
from deployments.ledger.unclosed_releases import ReleaseLeftovers
from deployments.ledger.values import (
    EndState,
    Json,
    Message,
    MessageState,
    RecordedCatalog,
    Release,
    ReleaseState,
    Step,
    StepEvent,
)

__all__ = [
    "EndState",
    "HolderState",
    "Json",
    "KeptLease",
    "LeaseLost",
    "Ledger",
    "LedgerBusy",
    "LedgerError",
    "LedgerTakesNoWrites",
    "LedgerUnreachable",
    "LedgerUnusable",
    "Message",
    "MessageState",
    "Outbox",
    "ReleaseLeftovers",
    "RecordedCatalog",
    "Release",
    "ReleaseAlive",
    "ReleaseEnded",
    "ReleaseNotFound",
    "ReleaseRunning",
    "ReleaseState",
    "Step",
    "StepEvent",
    "StepHandle",
    "holder_state",
    "tell_to_stop",
]
