"""All generated rows of a size and a seed, parents first."""

from migrations.models import Base
from migrations.seeds import _agents, _finance, _health, _identity, _mcp, _obligations, _rag, _storage, _support, _usage
from migrations.seeds._loading import TableRows
from migrations.seeds.plan import Plan, Size


def generated(size: Size, seed: int) -> tuple[TableRows, ...]:
    """The rows of every table; nothing is made before it is asked for.

    Args:
        size: some 5,000, 300,000 or 10,000,000 rows in all.
        seed: another one makes other rows.
    """
    plan = Plan(size, seed)
    areas = (_identity, _agents, _usage, _support, _storage, _health, _finance, _obligations, _rag, _mcp)
    made = {one.table: one for area in areas for one in area.tables(plan)}
    return tuple(made[table.name] for table in Base.metadata.sorted_tables if table.name in made)
