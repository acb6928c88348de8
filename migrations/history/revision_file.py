"""A revision as its file declares it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from alembic.script import Script, ScriptDirectory


@dataclass(frozen=True)
class Revision:
    """A revision as its file declares it.

    Attributes:
        id: its name in the history.
        down_revisions: the revisions that must stand before it, those it depends on among them.
        path: its file.
        checksum: SHA-256 of the file's bytes, hexadecimal.
        message: what it does, in a line.
        phase: expand, contract, or None where it does not say.
        labels: the branches that it is part of, where they have names.
    """

    id: str
    down_revisions: tuple[str, ...]
    path: Path
    checksum: str
    message: str
    phase: str | None
    labels: tuple[str, ...] = ()

    @classmethod
    def of(cls, script: Script, directory: ScriptDirectory) -> Revision:
        """Read a revision that Alembic has loaded."""
        path = Path(script.path)
        needs = script.dependencies or ()
        named = [directory.get_revision(one) for one in ((needs,) if isinstance(needs, str) else needs)]
        phase = getattr(script.module, "phase", None)
        return cls(
            id=script.revision,
            down_revisions=(*_as_tuple(script.down_revision), *(one.revision for one in named if one)),
            path=path,
            checksum=_checksum(path),
            message=script.doc,
            phase=phase if isinstance(phase, str) else None,
            labels=tuple(sorted(script.branch_labels)),
        )

    def is_changed(self) -> bool:
        """Whether its file has changed since it was read."""
        return not self.path.is_file() or self.checksum != _checksum(self.path)


def _as_tuple(revisions: str | Sequence[str] | None) -> tuple[str, ...]:
    return (revisions,) if isinstance(revisions, str) else tuple(revisions or ())


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
