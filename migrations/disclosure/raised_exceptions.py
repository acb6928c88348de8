"""What a revision's own exception says, without a row's value: what it has read is in its words, as likely as not."""

from __future__ import annotations

import ast
import re
import traceback
from pathlib import Path
from typing import Final

from migrations.disclosure.server_messages import LEFT_OUT, spelled_out

_LEFT_OUT: Final = (
    "what else it says may be a row's value and is left out: run the revision with Alembic itself, on a database whose "
    "rows may be shown, to read it"
)
# What % and str.format put their values in the place of.
_PLACES: Final = re.compile(r"%(?:\(\w+\))?[-#0 +]*[\d.]*[a-zA-Z%]|\{[^{}]*\}")


def raised(error: BaseException, revision: Path) -> str:
    """An exception by its type, its place in the revision, and those of its words that stand in the revision.

    Args:
        error: what a revision raised; not what a driver did.
        revision: its file.
    """
    where = _place(error, revision)
    text = _words(error)
    told = _as_named(error, text, revision) or spelled_out(text, _literals(revision))
    said = ": ".join(one for one in (type(error).__name__, told) if one)
    return f"{said}, {where}" + (f" ({_LEFT_OUT})" if LEFT_OUT in told or (text and not told) else "")


def _place(error: BaseException, revision: Path) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename) == revision] or frames
    return f"at {Path(own[-1].filename).name}:{own[-1].lineno}" if own else f"in {revision.name}"


def _words(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # An exception whose own words fail has none.
        return ""


def _as_named(error: BaseException, text: str, revision: Path) -> str:
    """Python's own words about a name, where the revision has that name."""
    name = getattr(error, "name", None) if isinstance(error, AttributeError | NameError | ImportError) else None
    return text if name and re.search(rf"\b{re.escape(str(name))}\b", _source(revision)) else ""


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
