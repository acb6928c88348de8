"""How many rows a second are seeded, beside a bare COPY of the same rows, and how much memory that takes.

Both fill an empty database of the same revisions on the same server, indexes and foreign keys in place: seeding makes
and encrypts its rows meanwhile, in a process of its own; the bare COPY reads them from files. SIZE says how many.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql
from rich.console import Console
from rich.table import Table

from deployments.local.hosting.processes import Spawner
from deployments.local.postgres.cluster import Cluster, data_root, dsn, free_port, remove_data_root
from deployments.local.postgres.provisioning import Login, provision
from migrations.apply.migrate import upgrade
from migrations.encryption.cipher import KEY_BYTES, KeyRing
from migrations.history.revisions import History
from migrations.models import Base
from migrations.seeds.initial_rows import SuperAdminIdentity
from migrations.seeds.plan import Size
from migrations.seeds.seeding import seed

SIZES: dict[str, Size] = {"small": "small", "medium": "medium", "large": "large"}
MOST_MB = 1_000
_BYTES = 1 << 20


def measure(size: Size) -> bool:
    """Measure both once and print one table; whether seeding kept within its memory."""
    with tempfile.TemporaryDirectory(prefix="pilotage-bench-") as folder, running(Path(folder)) as cluster:
        seeded, bare = made(cluster, "seeded"), made(cluster, "bare")
        ours = json.loads(
            subprocess.run(
                [sys.executable, __file__, "load", seeded, size], check=True, stdout=subprocess.PIPE, text=True
            ).stdout
        )
        files = written(seeded, Path(folder))
        rows, seconds = copied(bare, files)
    table = Table(f"seeding, {size}", "rows", "seconds", "rows/s", "peak MB")
    peak = ours["peak_kb"] / 1024
    table.add_row("pilotage seed", *figures(ours["rows"], ours["seconds"]), f"{peak:.0f}")
    table.add_row("bare COPY of the same rows", *figures(rows, seconds), "")
    console = Console(highlight=False)
    console.print(table)
    console.print(f"ratio {ours['seconds'] / seconds:.2f}; memory within {MOST_MB} MB: {peak < MOST_MB}")
    return peak < MOST_MB


def load(given: str, size: Size) -> None:
    """Seed a database, and print what it took; a process that does nothing else."""
    began = time.monotonic()
    done = seed(given, super_admin=SuperAdminIdentity(), size=size, keys=KeyRing([("bench", bytes(KEY_BYTES))]))
    told = {
        "rows": done.added,
        "seconds": time.monotonic() - began,
        "peak_kb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }
    sys.stdout.write(json.dumps(told))


def written(given: str, folder: Path) -> dict[str, Path]:
    """Write the rows of each table to a file, parents first."""
    files = {table.name: folder / f"{table.name}.copy" for table in Base.metadata.sorted_tables}
    with psycopg.connect(given) as connection:
        for table, path in files.items():
            statement = sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(table))
            with path.open("wb") as file, connection.cursor().copy(statement) as copy:
                for chunk in copy:
                    file.write(chunk)
    return files


def copied(given: str, files: dict[str, Path]) -> tuple[int, float]:
    """Copy the files into a database, a transaction each, without triggers; rows and seconds."""
    began, rows = time.monotonic(), 0
    for table, path in files.items():
        name = sql.Identifier(table)
        with psycopg.connect(given) as connection, connection.cursor() as cursor:
            cursor.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER USER").format(name))
            with path.open("rb") as file, cursor.copy(sql.SQL("COPY {} FROM STDIN").format(name)) as copy:
                while chunk := file.read(_BYTES):
                    copy.write(chunk)
            rows += cursor.rowcount
            cursor.execute(sql.SQL("ALTER TABLE {} ENABLE TRIGGER USER").format(name))
    return rows, time.monotonic() - began


def figures(rows: int, seconds: float) -> tuple[str, str, str]:
    """Rows, seconds, and rows a second."""
    return f"{rows:,}", f"{seconds:.1f}", f"{rows / seconds:,.0f}"


def made(cluster: Cluster, name: str) -> str:
    """A database with all revisions applied; the connection string of its owner."""
    owner, app = Login(f"{name}_owner", "bench"), Login(f"{name}_app", "bench")
    with cluster.connect() as superuser:
        provision(superuser, database=name, owner=owner, app=app)
    given = dsn(cluster.port, user=owner.name, password=owner.password, database=name)
    upgrade(given, History.load(), target="heads", release_id="bench")
    return given


@contextmanager
def running(folder: Path) -> Generator[Cluster]:
    """A server that is gone afterwards."""
    cluster = Cluster.create(data_root(folder) / "bench", spawner=Spawner())
    cluster.start(free_port(), settings={"archive_mode": "off"})
    try:
        yield cluster
    finally:
        cluster.stop("immediate")
        remove_data_root(folder)


if __name__ == "__main__":
    if sys.argv[1:2] == ["load"]:
        load(sys.argv[2], SIZES[sys.argv[3]])
    else:
        sys.exit(not measure(SIZES[os.environ.get("SIZE", "medium")]))
