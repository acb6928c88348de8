"""Seeds: the rows that a database starts with, and as many believable ones as are asked for."""

from collections.abc import Iterable
from dataclasses import dataclass

from migrations.database.locks import migration_lock
from migrations.database.session import reader
from migrations.encryption.cipher import KeyRing
from migrations.errors import describe_database
from migrations.models import Base
from migrations.seeds import _agents, _finance, _health, _identity, _mcp, _obligations, _rag, _storage, _support, _usage
from migrations.seeds._loading import Loaded, TableRows, live_columns, load, needs_keys
from migrations.seeds.errors import NoKeysToSeedWith, NothingToSeed
from migrations.seeds.initial_rows import SuperAdminIdentity, existing_rows, initial_data
from migrations.seeds.plan import Plan, Size

WAIT_S = 5.0


@dataclass(frozen=True)
class Seeded:
    """What was seeded.

    Attributes:
        loaded: what was loaded, a table each, parents first.
        left_out: tables that the database does not have.
    """

    loaded: tuple[Loaded, ...]
    left_out: tuple[str, ...]

    @property
    def added(self) -> int:
        """How many rows are new."""
        return sum(one.added for one in self.loaded)


def seed(
    dsn: str, *, super_admin: SuperAdminIdentity, size: Size | None = None, number: int = 1, keys: KeyRing | None = None
) -> Seeded:
    """Load the rows that a database starts with, and as many generated ones; those that are there stay as they are.

    Each table is loaded in a transaction of its own: what was interrupted is completed by the same call. Whether the
    database may be seeded is the caller's to know.

    Args:
        dsn: direct connection string of the owner.
        super_admin: who that is.
        size: how many rows are generated: some 5,000, 300,000 or 10,000,000; None for none.
        number: the seed of the generated rows: the same one makes the same rows, another one makes others.
        keys: what encrypted columns are encrypted with; for generated rows only.

    Raises:
        AdvisoryLockHeld: another session migrates or seeds this database.
        NothingToSeed: the database has none of the tables.
        NoKeysToSeedWith: rows are to be generated, and there are no keys.
        DatabaseRefused: a row was refused; its table, and those after it, were not loaded.

    Locks: the migration lock; and see `load`, a table at a time.
    """
    with migration_lock(dsn, wait_s=WAIT_S):
        with reader(dsn) as connection:
            live = live_columns(connection)
            if not {"users", "agents"} <= live.keys():
                raise NothingToSeed(describe_database(dsn))
            existing = existing_rows(connection, super_admin)
        first = initial_data(super_admin, existing)
        more = _generated_tables(Plan(size, number)) if size else ()
        hidden = needs_keys(one.table for one in more if one.table in live)
        if hidden and keys is None:
            raise NoKeysToSeedWith(hidden)
        loaded = [load(dsn, one, live, keys=None, triggers=True) for one in first if one.table in live]
        loaded += [load(dsn, one, live, keys=keys, triggers=False) for one in more if one.table in live]
    absent = (one.table for one in (*first, *more) if one.table not in live)
    return Seeded(_summed(loaded), tuple(dict.fromkeys(absent)))


def _generated_tables(plan: Plan) -> tuple[TableRows, ...]:
    """The generated rows of every area's tables, parents first; none is made before it is asked for."""
    areas = (_identity, _agents, _usage, _support, _storage, _health, _finance, _obligations, _rag, _mcp)
    made = {one.table: one for area in areas for one in area.tables(plan)}
    return tuple(made[table.name] for table in Base.metadata.sorted_tables if table.name in made)


def _summed(loaded: Iterable[Loaded]) -> tuple[Loaded, ...]:
    """One for each table."""
    found: dict[str, Loaded] = {}
    for one in loaded:
        was = found.get(one.table, Loaded(one.table, 0, 0, 0.0))
        found[one.table] = Loaded(one.table, was.rows + one.rows, was.added + one.added, was.seconds + one.seconds)
    return tuple(found.values())
