"""The changes that revisions are expected to make in a catalogue, found on a throwaway database."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from migrations.catalog.contents import Difference, difference
from migrations.catalog.default_privileges import DefaultPrivilege, set_default_privileges
from migrations.database.session import connect
from migrations.history.revisions import History
from migrations.recording.throwaway import build_catalog, throwaway_database

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExpectedChange:
    """What an upgrade or downgrade is expected to change in the catalogue.

    Attributes:
        differences: each object that it adds, removes or changes.
        grants: whether grants are among them; they are not where the server has other roles.
    """

    differences: tuple[Difference, ...]
    grants: bool


def expected_change(
    server: str,
    history: History,
    before: Sequence[str],
    after: Sequence[str],
    default_privileges: Sequence[DefaultPrivilege] = (),
) -> ExpectedChange | None:
    """What an upgrade or downgrade between two sets of revisions changes in the catalogue.

    Args:
        server: direct connection string of the server to build both on; its own database is not touched.
        history: the revisions.
        before: the current revisions before it.
        after: the current revisions after it.
        default_privileges: those of the database in question.

    Returns:
        The change; None where neither set contains the other's ancestors, or the history lacks a revision.

    Raises:
        MigrationError: the revisions cannot be applied to an empty database.
    """
    if any(revision not in history for revision in (*before, *after)):
        return None
    low, high = sorted((tuple(before), tuple(after)), key=lambda revisions: len(history.with_ancestors(revisions)))
    if not set(history.with_ancestors(low)) <= set(history.with_ancestors(high)):
        return None
    with throwaway_database(server) as empty:
        grants = _set_default_privileges(empty, default_privileges)
        built = {low: build_catalog(empty, history, low)}
        built[high] = build_catalog(empty, history, high)
    found = difference(built[tuple(before)], built[tuple(after)])
    return ExpectedChange(found if grants else tuple(one for one in found if one.kind != "grant"), grants)


def _set_default_privileges(empty: str, default_privileges: Sequence[DefaultPrivilege]) -> bool:
    try:
        with connect(empty) as connection:
            set_default_privileges(connection, default_privileges)
    except psycopg.Error as error:
        log.warning("default privileges cannot be set on a throwaway database, so grants are not foreseen: %s", error)
        return False
    return True
