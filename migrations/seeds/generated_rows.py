"""All generated rows of a size and a seed, parents first."""

from migrations.models import Base
from migrations.seeds import agents, finance, health, identity, mcp, obligations, rag, storage, support, usage
from migrations.seeds.loading import TableRows
from migrations.seeds.plan import Plan, Size


def generated(size: Size, seed: int) -> tuple[TableRows, ...]:
    """The rows of every table; nothing is made before it is asked for.

    Args:
        size: some 5,000, 300,000 or 10,000,000 rows in all.
        seed: another one makes other rows.
    """
    plan = Plan(size, seed)
    areas = (identity, agents, usage, support, storage, health, finance, obligations, rag, mcp)
    made = {one.table: one for area in areas for one in area.tables(plan)}
    return tuple(made[table.name] for table in Base.metadata.sorted_tables if table.name in made)
