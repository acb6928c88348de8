"""What a session's meaning rests on, settled in one place, whatever its role, database, server or PGOPTIONS set.

Three kinds of session are told apart:

- One that reads or keeps books (`OWN`) settles all that changes what our statements say or what their answers mean:
  isolation, quoting, how strings are read and how values are written, whether rows are filtered, and every limit of
  time that others may have set. Names are found in PostgreSQL's own schema before any other, so that no table or
  function of the same name is taken for it (`CATALOG_FIRST`, `CATALOG_ALONE`).
- One that runs revisions of our own env.py (`REVISIONS`) settles isolation, limits of time and how values are written.
  Where a revision makes its objects (search_path, default_tablespace, default_table_access_method, role) and what its
  texts mean (standard_conforming_strings, check_function_bodies, session_replication_role) stay as the project's own
  `alembic upgrade` would have them.
- One that a foreign env.py opens (`FOREIGN`) settles isolation and limits of time; all else is that project's.

`event_triggers` and `session_replication_role` are left alone everywhere: a superuser alone may set them, and does so
on purpose. What does not change what anything means (planning, memory, compression, logging) is left alone, too.

Source: PostgreSQL's chapter "Server Configuration"; a setting of the session goes before all others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

Settings = Mapping[str, str | int]

# What the session's own search_path is: of the names that stand in it, PostgreSQL's own are found first.
CATALOG_FIRST: Final = "pg_catalog, …, pg_temp"
CATALOG_ALONE: Final = "pg_catalog, pg_temp"

# Nobody but us says when a session of ours has taken too long.
UNLIMITED: Final[Mapping[str, int]] = {
    "idle_in_transaction_session_timeout": 0,
    "idle_session_timeout": 0,
    "transaction_timeout": 0,
}

FOREIGN: Final[Settings] = {
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "default_transaction_deferrable": "off",
    "exit_on_error": "off",
    "statement_timeout": 0,
    "lock_timeout": 0,
    **UNLIMITED,
}

REVISIONS: Final[Settings] = {
    **FOREIGN,
    "row_security": "off",
    "DateStyle": "ISO",
    "IntervalStyle": "iso_8601",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": 1,
}

OWN: Final[Settings] = {
    **REVISIONS,
    "DateStyle": "ISO, MDY",
    "quote_all_identifiers": "off",
    "standard_conforming_strings": "on",
    "backslash_quote": "safe_encoding",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "xmloption": "content",
    "xmlbinary": "base64",
    "lc_monetary": "C",
    "lc_numeric": "C",
    "lc_time": "C",
}


def settling(settings: Settings, *, local: bool = False) -> str:
    """The statement that settles a session; a setting that this version of PostgreSQL lacks is passed over.

    It depends on nothing that it settles, and has no parameters, so that any driver can send it.

    Args:
        settings: names and values, none of which comes from outside.
        local: whether they hold for the transaction alone.
    """
    rows = ", ".join(f"('{name}', {_value(value)})" for name, value in settings.items())
    return (
        f"SELECT pg_catalog.set_config(w.name, w.value, {str(local).lower()}) FROM (VALUES {rows}) AS w(name, value)"  # noqa: S608
        " WHERE pg_catalog.current_setting(w.name, true) IS NOT NULL"
    )


def _value(value: str | int) -> str:
    if value == CATALOG_FIRST:
        path = "ARRAY['pg_catalog', pg_catalog.current_setting('search_path'), 'pg_temp']"
        # The session's own may be empty.
        return f"pg_catalog.array_to_string(pg_catalog.array_remove({path}, ''), ', ')"
    return f"'{value}'"
