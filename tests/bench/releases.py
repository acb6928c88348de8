"""`make releases`: every revision alone, as a release of its own, under traffic and over rows of seed size small.

Each release goes through the whole flow on a local platform that is gone again. Production begins with the first
revision and gets generated rows; tables that a release made get theirs before the next one. FIRST and LAST bound it.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from deployments.local.supervisor import platform
from deployments.local.traffic.figures import TrafficReport, read_acknowledged
from deployments.local.traffic.run import run_traffic
from migrations.database.session import reader
from migrations.encryption.cipher import KEY_BYTES, KeyRing
from migrations.history.revisions import History, Revision
from migrations.seeds.initial_rows import SuperAdminIdentity
from migrations.seeds.seeding import seed
from tasks import connections
from tasks.values import ReleaseRequest

REF = "v3"
WATCH_S = 5
USERS, RATE, TRAFFIC_S, WRITES_FIRST = 12, 40.0, 600.0, 60
# How fast a machine is that does all of this at once says nothing of a release.
LIMITS = {"PILOTAGE_P95_LIMIT_MS": "5000", "PILOTAGE_BLOCKING_BUDGET_MS": "10000", "PREFECT_LOGGING_LEVEL": "WARNING"}

console = Console(highlight=False, width=100)


@dataclass(frozen=True)
class Released:
    """One revision's release.

    Attributes:
        revision: the revision.
        failure: why it did not succeed; empty where it did.
        seconds: how long it took.
        seen: what users saw meanwhile.
        lost: writes that a user was told are done, and that are not there.
    """

    revision: Revision
    failure: str
    seconds: float
    seen: TrafficReport
    lost: int

    @property
    def good(self) -> bool:
        """Whether it succeeded, and nobody noticed."""
        return not (self.failure or self.seen.errors or self.lost)


def main() -> int:
    """Bring a platform up, release on it, take it down."""
    with tempfile.TemporaryDirectory(prefix="pilotage-releases-", ignore_cleanup_errors=True) as folder:
        state = Path(folder)
        platform.up(state, detach=True, pipeline=True)
        try:
            # Prefect reads where its server is when it is imported: hence a process of its own.
            environment = {**os.environ, **platform.read_env(state), **LIMITS}
            environment["PILOTAGE_CACHE_FOLDER"] = str(state / "cache")
            return subprocess.run([sys.executable, __file__, str(state)], env=environment, check=False).returncode
        finally:
            platform.down(state)


def release_each(state: Path) -> bool:
    """Release the revisions one by one; whether all went well. The first that is rolled back ends it."""
    revisions = History.load().revisions
    bounds = os.environ.get("FIRST") or revisions[1].id, os.environ.get("LAST") or revisions[-1].id
    wanted = [one for one in revisions[1:] if bounds[0] <= one.id <= bounds[1]]
    if failure := release("v1", "head"):
        console.print(f"the first release did not succeed: {failure}", markup=False)
        return False
    filled = fill(state)
    before = revisions[revisions.index(wanted[0]) - 1]
    if before != revisions[0] and (failure := released(before, state).failure):
        console.print(f"the release up to {before.id} did not succeed: {failure}", markup=False)
        return False
    done: list[Released] = []
    for one in wanted:
        filled += fill(state)
        done.append(released(one, state))
        console.print(line(done[-1]), markup=False, soft_wrap=True)
        if done[-1].failure:
            break
    console.print(table(done))
    good = sum(one.good for one in done)
    console.print(f"{good} of {len(wanted)} releases succeeded unnoticed; {filled} rows were seeded meanwhile")
    return good == len(wanted)


def released(revision: Revision, state: Path) -> Released:
    """Release one revision while users are at work."""
    acknowledged, stop = state / f"{revision.id}.acknowledged", threading.Event()
    with ThreadPoolExecutor(max_workers=1) as pool:
        running = pool.submit(
            run_traffic,
            os.environ["PRODUCTION_URL"],
            users=USERS,
            rate=RATE,
            seconds=TRAFFIC_S,
            acknowledged=acknowledged,
            stop=stop,
        )
        try:
            while not running.done() and lines(acknowledged) < WRITES_FIRST:
                time.sleep(0.1)
            began = time.monotonic()
            failure = release(REF, revision.id)
            seconds = time.monotonic() - began
        finally:
            stop.set()
        return Released(revision, failure, seconds, running.result(), lost(acknowledged))


def release(ref: str, target: str) -> str:
    """Release a ref up to a revision; what went wrong, if anything."""
    from flows.release import release as flow

    state = flow(ReleaseRequest(ref=ref, target_revision=target, watch_seconds=WATCH_S), return_state=True)
    return "" if state.is_completed() else str(state.message)


def fill(state: Path) -> int:
    """Give every table of production that has none its generated rows, as the product itself never would."""
    settings = connections.settings()
    dsn = connections.owner_dsn(settings, connections.production_branch(settings))
    with reader(dsn) as connection:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    tables = {str(row[0]) for row in found}
    known = state / "tables"
    if known.exists() and tables <= set(known.read_text().split()):
        return 0
    known.write_text(" ".join(sorted(tables)))
    return seed(dsn, super_admin=SuperAdminIdentity(), size="small", keys=KeyRing([("local", bytes(KEY_BYTES))])).added


def lost(acknowledged: Path) -> int:
    """How many acknowledged writes production does not have."""
    settings = connections.settings()
    with reader(connections.owner_dsn(settings, connections.production_branch(settings))) as connection:
        there = {str(row[0]) for row in connection.execute("SELECT id FROM messages")}
    return len({one.id for one in read_acknowledged(acknowledged)} - there)


def lines(file: Path) -> int:
    """How many lines a file has."""
    return len(file.read_text().splitlines()) if file.exists() else 0


def line(one: Released) -> str:
    """One release in a line, as it ends."""
    mark = "ok" if one.good else "NOT OK"
    failures = "; ".join([one.failure, *one.seen.failures[:3]]).strip("; ")
    return f"{mark} {one.revision.id} {one.seconds:.1f} s, {one.seen.errors} of {one.seen.requests} failed {failures}"


def table(done: Sequence[Released]) -> Table:
    """All releases."""
    made = Table("revision", "phase", "seconds", "requests", "failed", "lost", "P95 ms", "P99 ms", "")
    for one in done:
        figures = one.seen.requests, one.seen.errors, one.lost, round(one.seen.p95_ms), round(one.seen.p99_ms)
        made.add_row(
            one.revision.id,
            one.revision.phase,
            f"{one.seconds:.1f}",
            *map(str, figures),
            "ok" if one.good else "NOT OK",
        )
    return made


if __name__ == "__main__":
    sys.exit(main() if len(sys.argv) == 1 else not release_each(Path(sys.argv[1])))
