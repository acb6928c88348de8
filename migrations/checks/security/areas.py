"""Which tables a line of the checklist is about, as the models have them."""

from migrations.encrypted_columns import EncryptedTable, encrypted_tables
from migrations.models import Base

OAUTH = ("accounts", "mcp_integrations")


def tables_of(*areas: str) -> tuple[str, ...]:
    """The tables of areas, by name; an area is a module of migrations.models, and those whose names go on from it."""
    found: set[str] = set()
    for mapper in Base.registry.mappers:
        module = mapper.class_.__module__.rpartition(".")[2]
        if any(module == area or module.startswith(f"{area}_") for area in areas):
            found |= {str(table.name) for table in mapper.tables if hasattr(table, "name")}
    return tuple(sorted(found))


def encrypted_in(names: tuple[str, ...]) -> tuple[EncryptedTable, ...]:
    """Those of the tables that have encrypted columns."""
    return tuple(table for table in encrypted_tables() if table.name in names)
