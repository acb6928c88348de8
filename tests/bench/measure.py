"""How long a branch, a restore and a release take on a platform that is up, and how much of a release is Prefect's.

Each figure is the minimum, median and maximum of its runs on this machine; read them side by side, not as promises.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psycopg
from rich.console import Console
from rich.table import Table

from flows.cli.console import flow_runs
from tasks import connections
from tasks.steps import report
from tests.bench import calls, healthy
from tests.users_at_work import users_at_work

RUNS = 5
ROWS = 200_000

console = Console(highlight=False)


def measure() -> None:
    """Measure everything on one platform, and print one table."""
    table = Table("what", "runs", "min s", "median s", "max s")
    first = release_once("v1")
    with tempfile.TemporaryDirectory() as folder:
        # On staging, which has no rows yet, the revision goes through.
        unchanged = healthy.fail("v2-bad-migration", Path(folder), rehearse=False, reset_staging=False)
        restored = healthy.fail("v2-corrupts", Path(folder), rehearse=False, reset_staging=True)
        with users_at_work(connections.production_url(connections.settings()), Path(folder) / "v2.txt"):
            releases = [first, release_once("v2", reset_staging=True)]
        moved = healthy.fail("v2-crashes", Path(folder), rehearse=True, reset_staging=False)
    fill()
    row(table, "branch of production, ready to query", [timed(branch) for _ in range(RUNS)])
    row(table, "restore of production to its own history", [timed(restore) for _ in range(RUNS)])
    row(table, "release, trigger to end (watch 5 s)", [total for total, _ in releases])
    row(table, "release, its steps alone", [work for _, work in releases])
    console.print(table)
    shares = ", ".join(f"{(total - work) / total:.0%}" for total, work in releases)
    healthy.show(
        {
            "a revision fails: verified that nothing changed": (unchanged, None),
            "the application fails: the build before serves": (moved, healthy.by_hand()),
            "rows are wrong: production restored": (restored, healthy.by_hand(restore=restore)),
        }
    )
    console.print(f"share of a release spent in Prefect (trigger, scheduling, worker, states): {shares}")
    calls.show()


def row(table: Table, name: str, seconds: Sequence[float]) -> None:
    """Add the figures of one measurement."""
    figures = (min(seconds), statistics.median(seconds), max(seconds))
    table.add_row(name, str(len(seconds)), *(f"{figure:.2f}" for figure in figures))


def timed(act: Callable[[], None]) -> float:
    """Seconds that an act took."""
    began = time.monotonic()
    act()
    return time.monotonic() - began


def release_once(ref: str, *, reset_staging: bool = False) -> tuple[float, float]:
    """Release a ref through Prefect; seconds in all, and seconds that its steps worked."""
    began = time.monotonic()
    run = flow_runs.trigger(
        "release/release", {"request": {"ref": ref, "watch_seconds": 5, "reset_staging": reset_staging}}
    )
    flow_runs.follow(run, console, deadline_s=300)
    total = time.monotonic() - began
    settings = connections.settings()
    with connections.ledger(settings) as ledger:
        steps = ledger.steps(ledger.releases(target=settings.target, limit=1)[0].id)
    work = sum(float(took.split()[0]) for _, _, took, _ in report.timeline(steps) if took)
    return total, work


def fill() -> None:
    """Give production some weight: rows as a real database has them."""
    settings = connections.settings()
    dsn = connections.owner_dsn(settings, connections.production_branch(settings))
    with psycopg.connect(dsn) as connection:
        connection.execute(
            """INSERT INTO users (email, name, "updatedAt")
               SELECT 'bench' || n || '@example.com', repeat('x', 200), now() FROM generate_series(1, %s) n""",
            (ROWS,),
        )


def branch() -> None:
    """Branch production with a compute, query it, delete it."""
    settings = connections.settings()
    client = connections.neon(settings, in_release=False)
    production = connections.production_branch(settings)
    made = client.create_branch(f"bench-{time.monotonic_ns()}", parent_id=production.id, compute=True)
    with psycopg.connect(connections.owner_dsn(settings, made)) as connection:
        connection.execute("SELECT count(*) FROM users")
    client.delete_branch(made.id)


def restore() -> None:
    """Restore production to a moment ago, and delete the state that was kept."""
    settings = connections.settings()
    client = connections.neon(settings, in_release=False)
    production = connections.production_branch(settings)
    dsn = connections.owner_dsn(settings, production)
    with psycopg.connect(dsn, autocommit=True) as connection:
        lsn = connection.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()
        connection.execute("SELECT pg_logical_emit_message(true, 'bench', 'restore point', true)")
    assert lsn is not None
    client.set_protected(production.id, protected=False)
    client.restore(
        production.id, source_branch_id=production.id, source_lsn=str(lsn[0]), preserve_under_name="bench-before"
    )
    client.set_protected(production.id, protected=True)
    with psycopg.connect(dsn) as connection:
        connection.execute("SELECT count(*) FROM users")
    discard(client.branch("bench-before").id)


def discard(kept_id: str) -> None:
    """Delete the kept state; children that moved under it go back first."""
    settings = connections.settings()
    client = connections.neon(settings, in_release=False)
    for child in client.branches():
        if child.parent_id == kept_id and child.name == settings.neon_staging_branch:
            client.restore(child.id, source_branch_id=connections.production_branch(settings).id)
        elif child.parent_id == kept_id:
            client.delete_branch(child.id)
    client.delete_branch(kept_id)


if __name__ == "__main__":
    measure()
