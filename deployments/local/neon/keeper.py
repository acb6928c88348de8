"""What happens by itself in a project: branches and snapshots expire, bases are renewed, old history is forgotten."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime, timedelta

from deployments.local.errors import LocalPlatformError, RefusedError
from deployments.local.neon.branch_changes import delete_branch
from deployments.local.neon.branches import BranchStore
from deployments.local.neon.records import Branch, now
from deployments.local.neon.snapshots import delete_snapshot
from deployments.local.postgres.backup import bases, drop_bases_before, newest_lsn, take_base

logger = logging.getLogger(__name__)

_NEW_BASE_AFTER_BYTES = 64 * 1024 * 1024


class Keeper:
    """Looks after a project from a thread of its own, when no operation runs."""

    def __init__(self, store: BranchStore, *, every_s: float = 1) -> None:
        self._store = store
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="keeper", daemon=True)

    def start(self) -> None:
        """Begin to look after the project."""
        self._thread.start()

    def stop(self) -> None:
        """End, once what is being done is done."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def look_after(self) -> None:
        """Do what is due now; what conflicts with an operation waits for the next time.

        Source: Neon deletes expired branches by a background job, some time after their hour; not those with children.
        """
        moment = now()
        for snapshot in self._store.project.snapshots:
            if snapshot.expires_at is not None and snapshot.expires_at <= moment:
                delete_snapshot(self._store, snapshot.id)
        for branch in self._store.project.branches:
            if branch.expires_at is not None and branch.expires_at <= moment:
                self._expire(branch)
        for branch in self._store.project.branches:
            with self._store.changing():
                self._renew_history(branch)

    def _serve(self) -> None:
        while not self._stop.wait(self._every_s):
            try:
                self.look_after()
            except RefusedError as error:
                logger.debug("later: %s", error)
            except LocalPlatformError:
                logger.exception("looking after the branches failed")

    def _expire(self, branch: Branch) -> None:
        project = self._store.project
        if not project.children(branch.id) and not branch.protected and not branch.default:
            logger.info("branch %s has expired", branch.name)
            delete_branch(self._store, branch.id)

    def _renew_history(self, branch: Branch) -> None:
        cluster = self._store.cluster(branch.folder)
        known = bases(cluster)
        if not known or not cluster.running:
            return
        if newest_lsn(cluster) - known[-1].end_lsn > _NEW_BASE_AFTER_BYTES:
            take_base(cluster)
        horizon = now() - timedelta(seconds=self._store.project.history_retention_s)
        old = [base for base in known if datetime.fromtimestamp(base.folder.stat().st_mtime, UTC) < horizon]
        if len(old) > 1:
            drop_bases_before(cluster, old[-1].end_lsn)
