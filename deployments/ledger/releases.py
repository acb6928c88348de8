"""Releases in the ledger: one running a target, from its beginning to its end."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, insert, select, update

from deployments.ledger import schema
from deployments.ledger.errors import (
    LeaseLost,
    LedgerBusy,
    LedgerConflict,
    ReleaseEnded,
    ReleaseNotFound,
    ReleaseRunning,
)
from deployments.ledger.holder import current_holder, holder_state
from deployments.ledger.store import Store, now
from deployments.ledger.values import EndState, Release, ReleaseState
from deployments.redaction.redactor import redacted

_releases = schema.releases


class Releases(Store):
    """The releases of a ledger."""

    def begin_release(
        self,
        *,
        target: str,
        ref: str,
        commit_sha: str,
        target_revision: str,
        requested_by: str,
        flow_run_id: str | None,
        lease_s: float,
    ) -> Release:
        """Open a release of a target; this process holds it until the lease runs out unrenewed.

        Args:
            target: The project with its environments that is released to.
            ref: What was asked for, such as a branch or a tag.
            commit_sha: What the ref stood for.
            target_revision: The revision to bring production to.
            requested_by: Who asked.
            flow_run_id: The run that carries it out.
            lease_s: Seconds for which the holder is taken to be alive.

        Raises:
            ReleaseRunning: another release of this target runs, or died and was not closed.
        """
        wanted: dict[str, Any] = {
            "target": target,
            "ref": ref,
            "commit_sha": commit_sha,
            "target_revision": target_revision,
            "requested_by": requested_by,
            "flow_run_id": flow_run_id,
            "holder": current_holder(),
            "state": "running",
            "summary": "",
        }
        for _ in range(5):
            release_id = _new_id()
            try:
                return self._write(lambda connection, key=release_id: _begin(connection, key, wanted, lease_s))
            except LedgerConflict:
                blocking = self.running(target)
            if blocking is not None and blocking.id == release_id:
                return blocking
            if blocking is not None:
                raise self._refusal(blocking)
        raise LedgerBusy(f"other releases of {target} begin and end all the time: try again")

    def refuse_running(self, target: str) -> None:
        """Make sure that no release of a target runs.

        Raises:
            ReleaseRunning: one does, or died and was not closed.
        """
        if (blocking := self.running(target)) is not None:
            raise self._refusal(blocking)

    def _refusal(self, blocking: Release) -> ReleaseRunning:
        return ReleaseRunning(blocking, holder=holder_state(blocking.holder), now=self._read(now))

    def end_release(self, release_id: str, state: EndState, summary: str, *, fence: int | None = None) -> Release:
        """Close a release; its target is free for the next one.

        Args:
            release_id: A running release, or one that has ended just so.
            state: How it ended.
            summary: What became of it, in one line.
            fence: The number of the lease that is held; None for whoever holds it.

        Raises:
            LeaseLost: it was abandoned or taken over meanwhile.
            ReleaseEnded: it has ended already, otherwise.
            ReleaseNotFound: there is none of that id.
        """
        told = redacted(summary)

        def end(connection: Connection) -> Release:
            release = release_of(connection, release_id, lock=True)
            if (release.state, release.summary) == (state, told):
                return release
            if release.state not in {"running", "abandoned"} and fence in {None, release.fence}:
                raise ReleaseEnded(release)
            refuse_fenced(release, fence)
            return change(connection, release_id, state=state, ended_at=now(connection), summary=told)

        return self._write(end)

    def keep(self, release_id: str, *, reason: str, by: str) -> Release:
        """Write into the summary of a release that a person decided to keep what it left.

        Args:
            release_id: A release that ended undecided or was abandoned.
            reason: Why, for whoever reads it later.
            by: Who decided.

        Raises:
            ReleaseEnded: it ended otherwise.
            ReleaseNotFound: there is none of that id.
        """
        decision = redacted(f"; kept by {by}: {reason}")

        def decide(connection: Connection) -> Release:
            release = release_of(connection, release_id, lock=True)
            if release.summary.endswith(decision):
                return release
            if release.state not in {"undecided", "abandoned"}:
                raise ReleaseEnded(release)
            return change(connection, release_id, summary=release.summary + decision)

        return self._write(decide)

    def release(self, release_id: str) -> Release:
        """One release.

        Raises:
            ReleaseNotFound: there is none of that id.
        """
        return self._read(lambda connection: release_of(connection, release_id))

    def releases(self, target: str | None = None, limit: int | None = 20) -> tuple[Release, ...]:
        """The latest releases, newest first.

        Args:
            target: Of this target alone.
            limit: At most so many; None for all of them.
        """
        query = select(_releases).order_by(_releases.c.started_at.desc(), _releases.c.id.desc()).limit(limit)
        if target is not None:
            query = query.where(_releases.c.target == target)
        return self._read(lambda connection: tuple(_release(row) for row in connection.execute(query).mappings()))

    def running(self, target: str) -> Release | None:
        """The release of a target that runs, if one does."""
        return self._newest(target, "running")

    def last_successful(self, target: str) -> Release | None:
        """The newest release of a target that succeeded, if one did."""
        return self._newest(target, "succeeded")

    def _newest(self, target: str, state: ReleaseState) -> Release | None:
        query = (
            select(_releases)
            .where(_releases.c.target == target, _releases.c.state == state)
            .order_by(_releases.c.started_at.desc(), _releases.c.id.desc())
            .limit(1)
        )
        row = self._read(lambda connection: connection.execute(query).mappings().one_or_none())
        return _release(row) if row is not None else None


def release_of(connection: Connection, release_id: str, *, lock: bool = False) -> Release:
    """One release, within a transaction.

    Args:
        connection: In a transaction on the ledger.
        release_id: Its id.
        lock: Whether nobody else may change it, or write its steps, until the transaction ends.

    Raises:
        ReleaseNotFound: there is none of that id.

    Locks:
        With `lock`, the row FOR UPDATE (PostgreSQL); SQLite's writers are one at a time anyway.
    """
    query = select(_releases).where(_releases.c.id == release_id)
    row = connection.execute(query.with_for_update() if lock else query).mappings().one_or_none()
    if row is None:
        raise ReleaseNotFound(release_id)
    return _release(row)


def refuse_fenced(release: Release, fence: int | None) -> None:
    """Refuse whoever does not hold a release any more.

    Args:
        release: As it is now.
        fence: The number of the lease that is held; None for whoever holds it.

    Raises:
        LeaseLost: the release was closed, or taken over.
    """
    if release.state != "running" or fence not in {None, release.fence}:
        raise LeaseLost(release)


def _begin(connection: Connection, release_id: str, wanted: dict[str, Any], lease_s: float) -> Release:
    found = connection.execute(select(_releases).where(_releases.c.id == release_id)).mappings().one_or_none()
    if found is not None and (found["target"], found["holder"]) == (wanted["target"], wanted["holder"]):
        return _release(found)
    at = now(connection)
    lease = at + timedelta(seconds=lease_s)
    connection.execute(insert(_releases).values(**wanted, id=release_id, started_at=at, lease_expires_at=lease))
    return release_of(connection, release_id)


def change(connection: Connection, release_id: str, **values: Any) -> Release:
    """Write columns of a release, within a transaction; the release as it is then."""
    connection.execute(update(_releases).where(_releases.c.id == release_id).values(**values))
    return release_of(connection, release_id)


def _new_id() -> str:
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def _release(row: RowMapping) -> Release:
    return Release(**row)
