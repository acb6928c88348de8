"""What a project's own exception says, without a row's value: what it has read is in its words, as likely as not."""

from __future__ import annotations

import ast
import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import alembic

from migrations.disclosure.server_messages import LEFT_OUT, literal_parts

_LEFT_OUT: Final = (
    "what else it says may be a row's value and is left out: run the revision with Alembic itself, on a database whose "
    "rows may be shown, to read it"
)
_LEFT_OUT_ANYWHERE: Final = _LEFT_OUT.replace("run the revision with Alembic itself", "run Alembic itself")
# What Alembic says of a history holds its revisions' names alone; what others let it say may hold anything.
_ALEMBIC: Final = Path(alembic.__file__).parent
_SAYS_FOR_OTHERS: Final = _ALEMBIC / "util" / "messaging.py"
_INSTALLED: Final = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
# What % and str.format put their values in the place of.
_PLACES: Final = re.compile(r"%(?:\(\w+\))?[-#0 +]*[\d.]*[a-zA-Z%]|\{[^{}]*\}")


def safe_text(error: BaseException, revision: Path) -> str:
    """An exception by its type, its line in the revision, and those of its words that stand in the revision's file.

    Args:
        error: what a revision raised; not what a driver did.
        revision: its file.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename) == revision] or frames
    where = _place(own) or f"in {revision.name}"
    text = _words(error)
    safe = _as_named(error, text, [revision]) or literal_parts(text, _literals(revision))
    return _with_place(safe_name(error, [revision]), text, safe, where, _LEFT_OUT)


def safe_text_of_project(error: BaseException) -> str:
    """An exception by its type, its place in the project, and those of its words that the code it came through spells.

    Args:
        error: what the code of a project raised, outside of a revision's own functions; not what a driver did.
    """
    frames = traceback.extract_tb(error.__traceback__)
    text = _words(error)
    files = [Path(name) for name in dict.fromkeys(frame.filename for frame in frames)]
    name = safe_name(error, files)
    speakers = [file for frame in frames if (file := Path(frame.filename)) != _SAYS_FOR_OTHERS]
    if speakers and speakers[-1].is_relative_to(_ALEMBIC):
        return ": ".join(one for one in (name, text) if one)
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).is_file():
        return f"{name}: {error.msg}, at {Path(error.filename).name}:{error.lineno}"
    of_system = [os.strerror(error.errno)] if isinstance(error, OSError) and error.errno else []
    spelled = [piece for file in files for piece in _literals(file)]
    safe = _as_named(error, text, files) or literal_parts(text, [*spelled, *of_system])
    there = [frame for frame in frames if Path(frame.filename).is_file()]
    own = [frame for frame in there if not frame.filename.startswith(_INSTALLED)] or there
    return _with_place(name, text, safe, _place(own), _LEFT_OUT_ANYWHERE)


def safe_name(error: BaseException, files: Sequence[Path] = ()) -> str:
    """The name of an exception's class, or of the nearest class above it that some code spells.

    A class may be built while the code runs, and then be named by what was read.

    Args:
        error: any exception.
        files: where its class may be written, beside the module that it says it is of.
    """
    return next(one.__name__ for one in type(error).__mro__ if _is_spelled(one, files))


def is_raised_by_project(error: BaseException) -> bool:
    """Whether the code of a project has raised it itself, and no installed package that it called."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and Path(frames[-1].filename).is_file() and not frames[-1].filename.startswith(_INSTALLED)


def is_installed_class(kind: type) -> bool:
    """Whether a class is one of an installed package, of Python's own library, or built into Python."""
    module = sys.modules.get(str(kind.__module__))
    file = getattr(module, "__file__", None)
    return (file is None or file.startswith(_INSTALLED)) and getattr(module, kind.__name__, None) is kind


def _is_spelled(kind: type, files: Sequence[Path]) -> bool:
    if is_installed_class(kind):
        return True
    module = getattr(sys.modules.get(str(kind.__module__)), "__file__", None)
    written = re.compile(rf"^\s*class\s+{re.escape(kind.__name__)}\b", re.MULTILINE)
    places = (*files, *([Path(module)] if module else []))
    return any(written.search(_source(file)) or kind.__name__ in _literals(file) for file in places)


def _with_place(name: str, text: str, safe: str, where: str, left_out: str) -> str:
    said = ", ".join(one for one in (": ".join(one for one in (name, safe) if one), where) if one)
    return said + (f" ({left_out})" if LEFT_OUT in safe or (text and not safe) else "")


def _place(frames: Sequence[traceback.FrameSummary]) -> str:
    return f"at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def _words(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # An exception whose own words fail has none.
        return ""


def _as_named(error: BaseException, text: str, files: Sequence[Path]) -> str:
    """Python's own words about a name, where the code has that name."""
    name = getattr(error, "name", None) if isinstance(error, AttributeError | NameError | ImportError) else None
    if not name:
        return ""
    source = "\n".join(_source(file) for file in files)
    quoted = {str(name), *re.findall(r"'([^']*)'", text)} - {type(getattr(error, "obj", None)).__name__}
    return text if all(re.search(rf"\b{re.escape(one)}\b", source) for one in quoted) else ""


def _literals(revision: Path) -> list[str]:
    """The texts that a revision spells, each cut where a value is put into it."""
    try:
        parts = ast.walk(ast.parse(_source(revision)))
    except (SyntaxError, ValueError):
        return []
    texts = [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    return [piece for text in texts for piece in (text, *_PLACES.split(text))]


def _source(revision: Path) -> str:
    try:
        return revision.read_text(errors="replace")
    except OSError:
        return ""
