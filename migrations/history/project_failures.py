"""What the code of a project raised, in words that hold no row's value: its env.py, or the head of a revision."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError

from migrations.disclosure.raised_exceptions import is_raised_by_project, safe_name, safe_text_of_project
from migrations.disclosure.server_messages import safe_message, sqlstate_of
from migrations.history.program_exits import ProgramEnded


def failure_of(error: BaseException) -> str:
    """An exception of a project's code by its type, its place and those of its words that some code spells.

    Args:
        error: whatever it raised, a driver's error included.
    """
    if isinstance(error, DBAPIError) and error.orig is not None:
        return f"{safe_name(error.orig)}: {safe_message(error.orig, error.statement or '')}"
    if sqlstate_of(error) and not is_raised_by_project(error):
        return f"{safe_name(error)}: {safe_message(error)}"
    if isinstance(error, ProgramEnded) and error.__cause__ is not None:
        return f"{type(error).__name__}: {ProgramEnded(safe_text_of_project(error.__cause__))}"
    return safe_text_of_project(error)
