"""Metrics: what the server knows of a database's size, speed, locks and upkeep; one query a file, nothing is judged."""

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import psycopg

from migrations.disclosure.server_messages import safe_message

_HEADER = re.compile(r"^--\s*(name|needs):\s*(.+?)\s*$", re.MULTILINE)
_LOCK_TIMEOUT_MS = 200
_STATEMENTS = """
SELECT EXISTS (SELECT FROM pg_extension WHERE extname = %s)
   AND current_setting('shared_preload_libraries') LIKE '%%' || %s || '%%'
"""


@dataclass(frozen=True)
class Metric:
    """What one query answered.

    Attributes:
        name: its name.
        columns: names of the columns.
        rows: the rows; None where it could not be asked.
        why: why it could not.
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...] | None
    why: str = ""


@dataclass(frozen=True)
class _Question:
    name: str
    needs: str | None
    text: str


def read_metrics(connection: psycopg.Connection) -> tuple[Metric, ...]:
    """Ask every query, each in a savepoint: one that cannot be asked does not take the others with it.

    Args:
        connection: a session that reads, of a role that may see what others do.

    Locks: AccessShareLock on the system catalogues, and on each table for its size; one that is locked is not waited
        for, and the metric cannot be told.

    Source: pg_total_relation_size waits for whoever holds AccessExclusiveLock.
    """
    connection.execute("SELECT set_config('lock_timeout', %s, false)", (str(_LOCK_TIMEOUT_MS),))
    return tuple(_asked(connection, one) for one in _questions())


@cache
def _questions() -> tuple[_Question, ...]:
    found: list[_Question] = []
    for file in (files("migrations.checks") / "metrics").iterdir():
        if file.name.endswith(".sql"):
            text = file.read_text()
            head = dict(_HEADER.findall(text))
            found.append(_Question(head["name"], head.get("needs"), text))
    return tuple(sorted(found, key=lambda one: one.name))


def _asked(connection: psycopg.Connection, question: _Question) -> Metric:
    try:
        with connection.transaction(), connection.cursor() as cursor:
            if question.needs and cursor.execute(_STATEMENTS, (question.needs, question.needs)).fetchone() != (True,):
                why = f"{question.needs} is not there: preload it (shared_preload_libraries), then CREATE EXTENSION"
                return Metric(question.name, (), None, why)
            cursor.execute(question.text.encode())
            columns = tuple(column.name for column in cursor.description or ())
            return Metric(question.name, columns, tuple(cursor.fetchall()))
    except psycopg.Error as error:
        if connection.broken:
            raise
        return Metric(question.name, (), None, safe_message(error).splitlines()[0])
