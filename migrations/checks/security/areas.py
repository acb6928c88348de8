"""Which tables a line of the checklist is about, as the models say it in the `info` of a table."""

from sqlalchemy import MetaData

from migrations.models import Base
from migrations.protection.encrypted_columns import EncryptedTable, encrypted_tables

OAUTH = ("accounts", "mcp_integrations")


def protected_tables(metadata: MetaData = Base.metadata) -> tuple[str, ...]:
    """The tables whose rows are one user's alone, by name."""
    return tuple(sorted(table.name for table in metadata.tables.values() if table.info.get("protected")))


def medical_tables(metadata: MetaData = Base.metadata) -> tuple[str, ...]:
    """Those of them that tell of somebody's health."""
    return tuple(sorted(table.name for table in metadata.tables.values() if table.info.get("medical")))


def financial_tables(metadata: MetaData = Base.metadata) -> tuple[str, ...]:
    """Those of them that tell of somebody's money: all that are not medical."""
    medical = medical_tables(metadata)
    return tuple(name for name in protected_tables(metadata) if name not in medical)


def encrypted_in(names: tuple[str, ...], metadata: MetaData = Base.metadata) -> tuple[EncryptedTable, ...]:
    """Those of the tables that have encrypted columns."""
    return tuple(table for table in encrypted_tables(metadata) if table.name in names)
