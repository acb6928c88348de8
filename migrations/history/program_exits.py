"""What the code of a project raises past `except Exception`, such as SystemExit: it must not end the program."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager

from migrations.disclosure.raised_exceptions import is_installed_class


class ProgramEnded(Exception):
    """A file of the project raised SystemExit or its like; only the user of the program may end it."""

    def __init__(self, raised: str = "SystemExit") -> None:
        what = re.sub(r"^(\w+), ", r"\1: ", raised)
        super().__init__(f"it ends the program ({what}); let it raise an error instead")


@contextmanager
def refusing_program_exit() -> Generator[None]:
    """Turn a SystemExit or its like that env.py or a revision raises into an error.

    The program would end without a word, or with words that hold what was read. Its user may interrupt it all the same,
    and so may what it runs in; what they raise is passed on without a word.

    Raises:
        ProgramEnded: SystemExit was raised, GeneratorExit, or an exception of the project's own that is no Exception.
    """
    try:
        yield
    except Exception:
        raise
    except BaseException as error:
        if not _is_interruption(type(error)):
            raise ProgramEnded from error
        error.args, error.__cause__, error.__context__ = (), None, None
        raise


def _is_interruption(kind: type[BaseException]) -> bool:
    is_own = kind.__module__ == "builtins" or not is_installed_class(kind)
    return kind is KeyboardInterrupt or not is_own
