"""What revisions change in a catalogue, seen where nobody works: so that what was changed by hand is told from it."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from migrations.catalog.contents import Difference, difference
from migrations.catalog.default_privileges import DefaultPrivilege, set_default_privileges
from migrations.database.session import connect
from migrations.history.revisions import History
from migrations.recording.throwaway import built_catalog, throwaway_database

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PromisedChange:
    """What the way from some revisions to others changes.

    Attributes:
        differences: each object that it adds, removes or changes.
        grants: whether grants are among them; they are not where the server has other roles.
    """

    differences: tuple[Difference, ...]
    grants: bool


def promised_change(
    server: str,
    history: History,
    before: Sequence[str],
    after: Sequence[str],
    granted: Sequence[DefaultPrivilege] = (),
) -> PromisedChange | None:
    """What the way from some revisions to others changes in the catalogue, up or down.

    Args:
        server: direct connection string of the server to build both on; its own database is not touched.
        history: the revisions.
        before: the revisions that stood.
        after: the revisions that stand then.
        granted: what the database in question grants by itself on each new object.

    Returns:
        The change; None where no way leads from the one to the other, or the history lacks a revision.

    Raises:
        MigrationError: the revisions cannot be applied to an empty database.
    """
    if any(revision not in history for revision in (*before, *after)):
        return None
    low, high = sorted((tuple(before), tuple(after)), key=lambda revisions: len(history.path_ids(revisions)))
    if not set(history.path_ids(low)) <= set(history.path_ids(high)):
        return None
    with throwaway_database(server) as empty:
        grants = _grant_by_itself(empty, granted)
        built = {low: built_catalog(empty, history, low)}
        built[high] = built_catalog(empty, history, high)
    found = difference(built[tuple(before)], built[tuple(after)])
    return PromisedChange(found if grants else tuple(one for one in found if one.kind != "grant"), grants)


def _grant_by_itself(empty: str, granted: Sequence[DefaultPrivilege]) -> bool:
    try:
        with connect(empty) as connection:
            set_default_privileges(connection, granted)
    except psycopg.Error as error:
        log.warning("default privileges cannot be set on a throwaway database, so grants are not foreseen: %s", error)
        return False
    return True
