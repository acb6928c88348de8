"""How long revisions take to be applied by Pilotage, beside plain `alembic upgrade head`, on the same server.

Both start with an empty database and the folder of revisions, in this process: reading the files counts, importing
Alembic does not, nor what either has left to Python's collector. The runs of a pair follow each other, and their order
turns with each pair.
"""

import gc
import os
import secrets
import statistics
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from psycopg import sql
from rich.console import Console
from rich.table import Table

from deployments.local.hosting.processes import Spawner
from deployments.local.postgres.cluster import Cluster, data_root, dsn, free_port, remove_data_root
from deployments.local.postgres.provisioning import Login, provision
from migrations.apply.migrate import upgrade
from migrations.history.env_runners import ForeignEnvironment
from migrations.history.revisions import History

PAIRS = 8
GENERATED = 500
FOREIGN = 120

_ENV = """
import os
from alembic import context
from sqlalchemy import engine_from_config, pool

context.config.set_main_option("sqlalchemy.url", os.environ["DATABASE_URL"].replace("%", "%%"))
engine = engine_from_config(context.config.get_section("alembic"), prefix="sqlalchemy.", poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=None)
    with context.begin_transaction():
        context.run_migrations()
"""
_REVISION = '''"""Step {number}."""

from alembic import op
import sqlalchemy as sa

revision = "r{number:04}"
down_revision = {down!r}
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.create_table(
        "t{number}",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.String(80), nullable=False),
    )
    op.create_index("t{number}_name_idx", "t{number}", ["name"])


def downgrade() -> None:
    op.drop_table("t{number}")
'''


@dataclass(frozen=True)
class Case:
    """A history that both apply.

    Attributes:
        name: what it is.
        load: reads it.
        config: the same as Alembic's configuration.
        bound: how many times as long as plain Alembic it may take.
    """

    name: str
    load: Callable[[], History]
    config: Callable[[], Config]
    bound: float


def measure() -> bool:
    """Measure all cases on one server and print one table; whether all are within their bounds."""
    table = Table("revisions on an empty database", "pairs", "alembic s", "pilotage s", "ratio", "bound")
    within = True
    with tempfile.TemporaryDirectory(prefix="pilotage-bench-") as folder, running(Path(folder)) as cluster:
        for case in cases(Path(folder)):
            pairs = [pair(cluster, case, turned=bool(n % 2)) for n in range(PAIRS)]
            plain, ours = (statistics.median(side) for side in zip(*pairs, strict=True))
            ratio = statistics.median(one / other for other, one in pairs)
            within = within and ratio <= case.bound
            table.add_row(case.name, str(PAIRS), f"{plain:.2f}", f"{ours:.2f}", f"{ratio:.2f}", f"{case.bound:.1f}")
    Console(highlight=False).print(table)
    return within


def cases(folder: Path) -> Iterator[Case]:
    """Our own revisions, many generated ones, and a project with an env.py of its own."""
    generated = written(folder / "generated", GENERATED)
    foreign = written(folder / "foreign", FOREIGN)
    (foreign / "env.py").write_text(_ENV)
    environment = ForeignEnvironment(None, foreign, foreign)
    own = len(History.load().revisions)
    yield Case(f"all {own} of ours", History.load, History.load().alembic_config, 1.5)
    yield Case(f"{GENERATED} generated", lambda: History.load(generated), History.load(generated).alembic_config, 1.5)
    yield Case(
        f"{FOREIGN} with an env.py of their own",
        lambda: History.of_project(environment),
        environment.alembic_config,
        2.5,
    )


def written(folder: Path, count: int) -> Path:
    """Write a line of revisions, each of which makes a table with an index."""
    (folder / "versions").mkdir(parents=True)
    for number in range(count):
        down = f"r{number - 1:04}" if number else None
        (folder / "versions" / f"r{number:04}.py").write_text(_REVISION.format(number=number, down=down))
    return folder


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


def pair(cluster: Cluster, case: Case, *, turned: bool) -> tuple[float, float]:
    """Seconds of plain Alembic and of ours, one after the other; the second goes first where turned."""
    acts = [(0, plainly), (1, by_pilotage)]
    took = dict[int, float]()
    for place, act in reversed(acts) if turned else acts:
        with empty_database(cluster) as owner_dsn:
            gc.collect()
            began = time.monotonic()
            act(owner_dsn, case)
            took[place] = time.monotonic() - began
    return took[0], took[1]


def plainly(owner_dsn: str, case: Case) -> None:
    """What `alembic upgrade head` does."""
    os.environ["DATABASE_URL"] = owner_dsn.replace("postgresql://", "postgresql+psycopg://")
    command.upgrade(case.config(), "head")


def by_pilotage(owner_dsn: str, case: Case) -> None:
    """What `pilotage apply` does."""
    upgrade(owner_dsn, case.load(), release_id="bench")


@contextmanager
def empty_database(cluster: Cluster) -> Generator[str]:
    """A database with an owner, dropped afterwards."""
    name = f"bench_{secrets.token_hex(4)}"
    owner, app = (Login(f"{name}_{part}", secrets.token_urlsafe(12)) for part in ("owner", "app"))
    with cluster.connect() as superuser:
        provision(superuser, database=name, owner=owner, app=app)
    yield dsn(cluster.port, user=owner.name, password=owner.password, database=name)
    with cluster.connect() as superuser:
        superuser.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


if __name__ == "__main__":
    raise SystemExit(0 if measure() else 1)
