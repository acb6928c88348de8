"""Values written into statements, where a statement cannot carry them as parameters."""

from psycopg import sql


def literal(value: str) -> str:
    """A text as a literal, which every driver sends as it is."""
    return sql.Literal(value).as_string(None)
