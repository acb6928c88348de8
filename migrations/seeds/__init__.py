"""Seeds: the rows that a database starts with, and as many believable ones as are asked for."""

from dataclasses import dataclass

from migrations.errors import place
from migrations.errors_seeds import NothingToSeed
from migrations.locks import migration_lock
from migrations.seeds.loading import Loaded, TableRows, live_columns, load
from migrations.seeds.strategy_data import Person, strategy_data, taken
from migrations.session import reader

__all__ = ["Loaded", "Person", "Seeded", "seed"]

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


def seed(dsn: str, *, super_admin: Person) -> Seeded:
    """Load the rows that a database starts with; those that are there stay as they are.

    Whether the database may be seeded is the caller's to know.

    Args:
        dsn: direct connection string of the owner.
        super_admin: who that is.

    Raises:
        AdvisoryLockHeld: another session migrates or seeds this database.
        NothingToSeed: the database has none of the tables.
        DatabaseRefused: a row was refused; its table, and those after it, were not loaded.

    Locks: the migration lock; and see `load`, a table at a time.
    """
    with migration_lock(dsn, wait_s=WAIT_S):
        with reader(dsn) as connection:
            live = live_columns(connection)
            if not {"users", "agents"} <= live.keys():
                raise NothingToSeed(place(dsn))
            standing = taken(connection, super_admin)
        given: tuple[TableRows, ...] = strategy_data(super_admin, standing)
        loaded = tuple(load(dsn, one, live, keys=None, triggers=True) for one in given if one.table in live)
    return Seeded(loaded, tuple(one.table for one in given if one.table not in live))
