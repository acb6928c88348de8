"""A backfill by any key, of any rows, broken off anywhere and begun again: every row exactly once."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st
from psycopg import sql
from sqlalchemy import Engine, create_engine, make_url, pool

from deployments.local.postgres.provisioning import ProvisionedDatabase
from migrations.backfill import runner
from migrations.backfill.batch_statements import Backfill
from migrations.backfill.errors import BackfillStopped
from migrations.backfill.positions import StoredPosition
from migrations.backfill.progress import BackfillContext, BackfillProgress, reporting_progress
from migrations.backfill.runner import BackfillRun
from migrations.backfill.throttle import ThrottleLimits

# A type of a key column, and a value of it for a number from 0 to 2^20: other numbers, other values.
KINDS = {
    "integer": "{g} - 500000",
    "char(8)": "to_hex({g})",
    "char(26)": "upper(left(md5({g}::text), 26))",
    '"char"': "chr(32 + mod({g}, 90))",
    "varchar(12)": "repeat(' ', mod({g}, 3)) || to_hex({g})",
    'text COLLATE "C"': "chr(65 + mod({g}, 26) + 32 * (mod({g}, 2))) || {g} || ' '",
    "text": "chr(65 + mod({g}, 26) + 32 * (mod({g}, 2))) || 'é' || {g}",
    "bit(21)": "{g}::bit(21)",
    "varbit(40)": "('1' || {g}::bit(21)::text)::varbit",
    "numeric(12, 4)": "CASE mod({g}, 97) WHEN 0 THEN 'NaN' ELSE {g} / 16.0 END",
    "double precision": "CASE mod({g}, 97) WHEN 0 THEN 'Infinity' WHEN 1 THEN 'NaN' ELSE 1 + {g} * 1e-15::float8 END",
    "uuid": "md5({g}::text)::uuid",
    "timestamptz(3)": "CASE mod({g}, 97) WHEN 0 THEN '-infinity' ELSE 'epoch'::timestamptz + {g} * interval '7 ms' END",
    "date": "CASE mod({g}, 97) WHEN 0 THEN 'infinity' ELSE date '0001-01-01' + {g} END",
    "interval": "{g} * interval '-1 day +1 second'",
    "bytea": "decode(md5({g}::text), 'hex')",
    "apart.code": "to_hex({g})",
    'apart."Amount due"': "{g} / 100.0",
    "apart.mood": "(ARRAY['sad', 'ok', 'happy'])[1 + mod({g}, 3)]",
    "extensions.citext": "chr(65 + mod({g}, 26) + 32 * (mod({g}, 2))) || {g}",
}
MADE = """
CREATE DOMAIN apart.code AS char(9) CHECK (value <> '');
CREATE DOMAIN apart."Amount due" AS numeric(11, 3);
CREATE TYPE apart.mood AS ENUM ('sad', 'ok', 'happy');
"""


@dataclass
class Broken(Exception):
    """Where a run is broken off.

    Attributes:
        after: batches that it lets pass.
        how: before the batch is committed, after it, or with its session.
    """

    after: int
    how: str
    passed: int = field(default=0, init=False)

    def reached(self) -> bool:
        self.passed += 1
        return self.passed > self.after


@pytest.fixture
def engine(database: ProvisionedDatabase) -> Iterator[Engine]:
    """The owner's, of a database with types in a schema that is not looked in."""
    with psycopg.connect(database.superuser_dsn, autocommit=True) as superuser:
        superuser.execute("CREATE SCHEMA extensions; CREATE EXTENSION citext SCHEMA extensions; CREATE SCHEMA apart")
        granted = sql.SQL("GRANT ALL ON SCHEMA extensions, apart TO {}").format(sql.Identifier(database.owner))
        superuser.execute(granted)
    with psycopg.connect(database.owner_dsn, autocommit=True) as owner:
        owner.execute(MADE.encode())
    url = make_url(database.owner_dsn).set(drivername="postgresql+psycopg")
    engine = create_engine(url, poolclass=pool.NullPool, isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


def one_run(engine: Engine, asked: Backfill, position: StoredPosition, target_ms: int, broken: Broken | None) -> bool:
    """Run it, and break it off as asked; whether it came to its end."""
    with engine.connect() as connection:
        driver = connection.connection.dbapi_connection
        assert isinstance(driver, psycopg.Connection)

        def in_batch() -> None:
            if broken is not None and broken.how == "killed" and broken.reached():
                with engine.connect() as other:
                    other.exec_driver_sql(f"SELECT pg_terminate_backend({driver.info.backend_pid}, 5000)")
            elif broken is not None and broken.how == "before" and broken.reached():
                raise broken

        def told(_: BackfillProgress) -> None:
            if broken is not None and broken.how == "after" and broken.reached():
                raise broken

        limits = ThrottleLimits(target_ms=target_ms, rest_share=0)
        run = BackfillRun(
            connection,
            asked,
            position,
            BackfillContext(limits=limits, before_batch_commit=lambda _: in_batch()),
            verify=False,
        )
        try:
            with reporting_progress(told):
                run.run()
        except (Broken, psycopg.OperationalError, BackfillStopped) as error:
            event(f"broken off: {type(error).__name__}")
            connection.invalidate()
            return False
    return True


keys = st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=3)


def spread(first: int, count: int, step: int) -> set[int]:
    return {(first + number * step) % 2**20 for number in range(count)}


numbers = st.builds(spread, st.integers(0, 2**20), st.integers(0, 90), st.integers(1, 99_999))
breaks = st.lists(st.builds(Broken, st.integers(0, 6), st.sampled_from(["before", "after", "killed"])), max_size=3)


@settings(
    max_examples=35,
    deadline=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(kinds=keys, rows=numbers, first_rows=st.integers(1, 40), target_ms=st.sampled_from([0, 25]), breaks=breaks)
def test_every_row_goes_through_it_exactly_once(
    engine: Engine, kinds: list[str], rows: set[int], first_rows: int, target_ms: int, breaks: list[Broken]
) -> None:
    columns = [f"Key {place}" for place in range(len(kinds))]
    defined = ", ".join(f'"{name}" {kind}' for name, kind in zip(columns, kinds, strict=True))
    quoted = ", ".join(f'"{name}"' for name in columns)
    values = ", ".join(
        f"({KINDS[kind].format(g=f'mod(g, {10 ** (6 - place)})')})::{kind.split(' COLLATE')[0]}"
        for place, kind in enumerate(kinds)
    )
    with engine.connect() as connection:
        run = connection.exec_driver_sql
        run('DROP TABLE IF EXISTS "The rows"; DROP SCHEMA IF EXISTS pilotage CASCADE')
        run(f'CREATE TABLE "The rows" ({defined}, n int DEFAULT 0, PRIMARY KEY ({quoted}))')
        run(f'INSERT INTO "The rows" SELECT {values} FROM unnest(%s::int[]) g ON CONFLICT DO NOTHING', (sorted(rows),))
    asked = Backfill("The rows", (("n", "n + 1"),), key=tuple(columns))
    position = StoredPosition("r1", "upgrade", 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "FIRST_ROWS", first_rows)
        for broken in breaks:
            one_run(engine, asked, position, target_ms, broken)
        assert one_run(engine, asked, position, target_ms, None)
    with engine.connect() as connection:
        counted = connection.exec_driver_sql('SELECT count(*), count(*) FILTER (WHERE n = 1) FROM "The rows"').one()
        there, once = counted
        assert once == there
        told = connection.exec_driver_sql("SELECT passed, changed FROM pilotage.backfills").one()
        assert tuple(told) == (there, there)
