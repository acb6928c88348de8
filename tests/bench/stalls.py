"""The longest stall of a client while a change is applied: by Pilotage, by `alembic upgrade head`, and by nobody.

The same changes on the same durable server, under 200 queries a second of a process of its own. A stall is the longest
time between when a query was due and when it was answered. Each figure is the minimum, median and maximum of its runs.
It fails where the median of ours is above the bound, or a query failed while ours ran.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psycopg
from alembic import command
from rich.console import Console
from rich.table import Table
from stall_cases import CHANGES, Change

from deployments.local.hosting.processes import Spawner
from deployments.local.postgres.cluster import Cluster, data_root, dsn, free_port, remove_data_root
from deployments.local.postgres.provisioning import Login, provision
from migrations.apply.migrate import upgrade
from migrations.history.revisions import History

RUNS = int(os.environ.get("RUNS", "5"))
ORDERS = int(os.environ.get("ROWS", "3000000"))
CUSTOMERS = 10_000
PRICES = ORDERS // 3
BOUND_MS = 150.0
IDLE_S = 3.0
SETTLE_S = 0.3
PER_SETTLE = 2000

SCHEMA = f"""
CREATE TABLE customers (id int PRIMARY KEY, name text);
CREATE TABLE orders (id int PRIMARY KEY, customer int NOT NULL, amount int, code int, note text);
CREATE TABLE prices (id int PRIMARY KEY, amount int NOT NULL, note text);
INSERT INTO customers SELECT g, 'name' FROM generate_series(1, {CUSTOMERS}) g;
INSERT INTO orders SELECT g, 1 + g % {CUSTOMERS}, g % 1000, g, 'note' FROM generate_series(1, {ORDERS}) g;
INSERT INTO prices SELECT g, g, 'note' FROM generate_series(1, {PRICES}) g;
GRANT SELECT, INSERT, UPDATE, DELETE ON customers, orders, prices TO PUBLIC
"""
# As a server is set up that has rows to keep: the defaults are for 128 MB of memory, and a checkpoint each gigabyte.
SETTINGS = {"archive_mode": "off", "shared_buffers": "1GB", "min_wal_size": "2GB", "max_wal_size": "8GB"}
FORGET = """
DELETE FROM alembic_version;
DO $$ BEGIN
  IF to_regclass('pilotage.applied_revisions') IS NOT NULL THEN DELETE FROM pilotage.applied_revisions; END IF;
  IF to_regclass('pilotage.backfills') IS NOT NULL THEN DELETE FROM pilotage.backfills; END IF;
END $$
"""
REVISION = '''"""Step {number}."""

from alembic import op

revision = "r{number}"
down_revision = {down!r}
phase = "expand"


def upgrade() -> None:
    {body}


def downgrade() -> None:
    pass
'''


@dataclass(frozen=True)
class Answer:
    """A query: when it was due, when it was answered, what it was, its error."""

    due: float
    answered: float
    kind: str
    error: str


@dataclass
class Clients:
    """What the clients have seen so far."""

    answers: list[Answer] = field(default_factory=list[Answer])

    def read(self, lines: IO[str]) -> None:
        """Keep every answer, until the process ends."""
        for line in lines:
            due, answered, kind, error = json.loads(line)
            self.answers.append(Answer(due, answered, kind, error))

    def settle(self) -> None:
        """Wait until all that was held up is answered, so that no change pays for the one before."""
        ends = time.monotonic() + 30
        while time.monotonic() < ends:
            time.sleep(SETTLE_S)
            now = time.monotonic()
            last = [one for one in self.answers[-PER_SETTLE:] if one.answered > now - SETTLE_S]
            if last and all(one.answered - one.due < SETTLE_S / 3 for one in last):
                return

    def during(self, began: float, ended: float) -> Sequence[Answer]:
        """The queries that were due, or waited, in a time; all are answered when this returns."""
        # Every connection must have come past the end.
        while sum(one.due > ended for one in self.answers[-200:]) < 32:
            time.sleep(0.02)
        return [one for one in self.answers if one.due <= ended and one.answered >= began]


@dataclass
class Figures:
    """Of one change: the longest stalls in milliseconds, how long it took in seconds, and failed queries."""

    stalls: list[float] = field(default_factory=list[float])
    took: list[float] = field(default_factory=list[float])
    worst: list[str] = field(default_factory=list[str])
    errors: list[str] = field(default_factory=list[str])

    def add(self, answers: Sequence[Answer], took_s: float) -> None:
        """Add a run."""
        longest = max(answers, key=lambda one: one.answered - one.due)
        self.stalls.append((longest.answered - longest.due) * 1000)
        self.took.append(took_s)
        self.worst.append(longest.kind)
        self.errors += [one.error for one in answers if one.error]

    def __str__(self) -> str:
        low, middle, high = min(self.stalls), statistics.median(self.stalls), max(self.stalls)
        return f"{low:.0f} / {middle:.0f} / {high:.0f}"


def measure() -> bool:
    """Measure all changes on one server and print one table; whether ours keeps its bound."""
    changes = [one for one in CHANGES if not sys.argv[1:] or any(word in one.name for word in sys.argv[1:])]
    console = Console(highlight=False)
    idle = Figures()
    measured = {one.name: (Figures(), Figures()) for one in changes}
    with (
        tempfile.TemporaryDirectory(prefix="pilotage-bench-") as name,
        filled(Path(name)) as (owner, app),
        clients(app) as seen,
    ):
        for run in range(RUNS):
            observe(seen, idle, lambda: time.sleep(IDLE_S))
            for change in changes:
                ours, plain = measured[change.name]
                sides = [(ours, by_pilotage, change.safe), (plain, plainly, (change.plain,))]
                for figures, act, bodies in reversed(sides) if run % 2 else sides:
                    folder = written(Path(name), f"{run}{act.__name__}{changes.index(change)}", bodies)
                    with changing(owner, change):
                        observe(seen, figures, lambda act=act, folder=folder: act(owner, folder))
    return told(console, measured, idle)


def told(console: Console, measured: dict[str, tuple[Figures, Figures]], idle: Figures) -> bool:
    """Print the table, and what failed."""
    title = f"longest stall of a client, ms: min / median / max of {RUNS} runs; seconds that the change took"
    table = Table("change", "n", "pilotage ms", "s", "alembic ms", "s", title=title)
    failed: list[str] = []
    for name, (ours, plain) in measured.items():
        times = [f"{statistics.median(one.took):.1f}" for one in (ours, plain)]
        table.add_row(name, str(len(ours.stalls)), str(ours), times[0], str(plain), times[1])
        if statistics.median(ours.stalls) > BOUND_MS:
            failed.append(f"{name}: a client stalled for longer than {BOUND_MS:.0f} ms ({', '.join(ours.worst)})")
        failed += [f"{name}: a query failed: {error}" for error in sorted(set(ours.errors))]
    table.add_row("nothing", str(len(idle.stalls)), str(idle), f"{IDLE_S:.1f}", "", "")
    console.print(table)
    for one in failed:
        console.print(one, markup=False)
    return not failed


def observe(seen: Clients, figures: Figures, act: Callable[[], None]) -> None:
    """Do something under the eyes of the clients."""
    seen.settle()
    began = time.monotonic()
    act()
    ended = time.monotonic()
    figures.add(seen.during(began, ended), ended - began)


@contextmanager
def changing(owner: str, change: Change) -> Generator[None]:
    """A change is made, and undone; where it is to be so, behind a transaction that stays open."""
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
    with reading(owner, change.reader_s) if change.reader_s else nullcontext():
        yield
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute(change.undo.encode())
        connection.execute(FORGET.encode())


@contextmanager
def reading(owner: str, seconds: float) -> Generator[None]:
    """A transaction that has read the orders, and does nothing for a while."""
    with psycopg.connect(owner, application_name="report") as connection:
        connection.execute("SELECT id FROM orders WHERE id = 1")
        end = threading.Timer(seconds, connection.rollback)
        end.start()
        yield
        end.join()


def plainly(owner: str, folder: Path) -> None:
    """What `alembic upgrade head` does."""
    os.environ["DATABASE_URL"] = owner.replace("postgresql://", "postgresql+psycopg://")
    command.upgrade(History.load(folder).alembic_config(), "head")


def by_pilotage(owner: str, folder: Path) -> None:
    """What `pilotage apply` does."""
    upgrade(owner, History.load(folder), release_id="bench")


def written(folder: Path, name: str, bodies: Sequence[str]) -> Path:
    """Write a line of revisions."""
    made = folder / name
    made.mkdir()
    for number, body in enumerate(bodies, 1):
        down = f"r{number - 1}" if number > 1 else None
        (made / f"r{number}.py").write_text(REVISION.format(number=number, down=down, body=body))
    return made


@contextmanager
def filled(folder: Path) -> Generator[tuple[str, str]]:
    """A durable server with the rows, gone afterwards; connection strings of the owner and of the application."""
    cluster = Cluster.create(data_root(folder) / "bench", spawner=Spawner())
    cluster.start(free_port(), durable=True, settings=SETTINGS)
    try:
        owner, app = Login("bench_owner", "owner"), Login("bench_app", "app")
        with cluster.connect() as superuser:
            provision(superuser, database="bench", owner=owner, app=app)
            superuser.execute("GRANT pg_checkpoint TO bench_owner")
        given = dsn(cluster.port, user=owner.name, password=owner.password, database="bench")
        with psycopg.connect(given, autocommit=True) as connection:
            connection.execute(SCHEMA.encode())
            connection.execute("VACUUM (ANALYZE)")
        yield given, dsn(cluster.port, user=app.name, password=app.password, database="bench")
    finally:
        cluster.stop("immediate")
        remove_data_root(folder)


@contextmanager
def clients(app: str) -> Generator[Clients]:
    """The clients at work, in a process of their own."""
    argv = [sys.executable, Path(__file__).with_name("stall_clients.py")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        given = {"dsn": app, "order": ORDERS, "price": PRICES, "customer": CUSTOMERS}
        process.stdin.write(f"{json.dumps(given)}\n")
        process.stdin.flush()
        seen = Clients()
        reader = threading.Thread(target=seen.read, args=(process.stdout,))
        reader.start()
        try:
            yield seen
        finally:
            process.stdin.close()
            reader.join()


if __name__ == "__main__":
    raise SystemExit(0 if measure() else 1)
