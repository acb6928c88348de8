"""Brings a ledger to head: its own Alembic history, run without Alembic's process-wide context.

A revision of the ledger takes its operations as an argument (`def upgrade(op: Operations)`), so that one process may
open a ledger in one thread while another thread migrates a target through `alembic.op`.
"""

from functools import cache
from pathlib import Path

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError
from sqlalchemy import Connection

from deployments.ledger.errors import LedgerUnusable

VERSION_TABLE = "ledger_version"


@cache
def scripts() -> ScriptDirectory:
    """The ledger's revisions."""
    here = Path(__file__).parent
    return ScriptDirectory(here, version_locations=[here / "versions"])


def at_head(connection: Connection) -> bool:
    """Whether the ledger has every revision; reads only.

    Args:
        connection: An open connection to the ledger.
    """
    return _context(connection).get_current_revision() == scripts().get_current_head()


def upgrade(connection: Connection) -> None:
    """Apply what is missing, in the transaction that is open on the connection.

    Args:
        connection: In a transaction, with the ledger locked against others that do the same.

    Raises:
        LedgerUnusable: a newer Pilotage has changed this ledger.

    Locks:
        AccessExclusiveLock on what a revision changes, until the transaction ends.
    """
    context = _context(connection)
    current = context.get_current_revision()
    try:
        missing = list(scripts().iterate_revisions("head", current or "base"))
    except (CommandError, RevisionError) as error:
        raise LedgerUnusable(
            f"the ledger stands at revision {current}, which this Pilotage does not know: install a newer one"
        ) from error
    operations = Operations(context)
    for revision in reversed(missing):
        revision.module.upgrade(operations)
        context.stamp(scripts(), revision.revision)


def _context(connection: Connection) -> MigrationContext:
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
