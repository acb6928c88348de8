"""What the code of a project raised, in words that hold no row's value: its env.py, or the head of a revision."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError

from migrations.disclosure.raised_exceptions import safe_text_of_project
from migrations.disclosure.server_messages import safe_message, sqlstate_of
from migrations.history.env_runners import ProgramEnded


def failure_of(error: BaseException) -> str:
    """An exception of a project's code by its type, its place and those of its words that some code spells.

    Args:
        error: whatever it raised, a driver's error included.
    """
    driver = error.orig if isinstance(error, DBAPIError) else error
    if driver is not None and (isinstance(error, DBAPIError) or sqlstate_of(driver)):
        statement = error.statement if isinstance(error, DBAPIError) else None
        return f"{type(driver).__name__}: {safe_message(driver, statement or '')}"
    if isinstance(error, ProgramEnded) and error.__cause__ is not None:
        code = safe_text_of_project(error.__cause__).removeprefix("SystemExit").lstrip(":, ")
        return f"{type(error).__name__}: {ProgramEnded(code)}"
    return safe_text_of_project(error)
